//! Limits of a scenario, so that a present-day computer can finish it.
//!
//! An event takes 1.5 to 3.3 µs and a node about 5 kB, so that a day is about
//! [`MAX_EVENTS`], and [`MAX_POSITIONS`] fit into memory.

use std::time::Duration;

use super::churn::{Churn, Workload};
use super::scenario::{Fault, FaultHosts, FaultKind};
use super::setup::{Setup, Unfit};

/// Ring positions of all hosts of a run: about 20 GB.
pub(super) const MAX_POSITIONS: u64 = 4_000_000;

/// Events of one run: about a day on one core.
const MAX_EVENTS: f64 = 3e10;

/// Rough number of events of one round of a node's upkeep.
const EVENTS_A_ROUND: f64 = 10.0;

/// Events of one operation: its lookup, its messages, its disk operations.
const EVENTS_AN_OPERATION: f64 = 20.0;

/// Bytes of the largest file: the limit of a put.
const MAX_SIZE: u64 = 1 << 40;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// A year as `humantime` writes it: 365.25 days.
const YEAR: Duration = Duration::from_secs(31_557_600);

/// The part of a file that has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Outside of all tables.
    Top,
    /// `[setup]`.
    Setup,
    /// `[churn]`.
    Churn,
    /// `[workload]`.
    Workload,
    /// One of the `[[faults]]`.
    Fault(usize),
}

/// The values that the size of a run depends on.
pub(super) struct Run<'a> {
    pub(super) until: Duration,
    pub(super) setup: &'a Setup,
    pub(super) churn: Option<&'a Churn>,
    pub(super) workload: Option<&'a Workload>,
    pub(super) faults: &'a [&'a Fault],
}

impl Run<'_> {
    /// Whether the run can be finished.
    ///
    /// # Errors
    /// The first value that is too large, and what is allowed.
    pub(super) fn check(&self) -> Result<(), (Part, Unfit)> {
        self.spans()?;
        self.positions()?;
        self.events()
    }

    fn spans(&self) -> Result<(), (Part, Unfit)> {
        let within = |part, key, span: Duration, least: Duration, most: Duration| {
            if (least..=most).contains(&span) {
                return Ok(());
            }
            let told = |span| humantime::format_duration(span).to_string();
            let why = format!("is {}; allowed is {} to {}", told(span), told(least), told(most));
            Err((part, Unfit { key, why }))
        };
        let (setup, short) = (self.setup, Duration::from_millis(1));
        within(Part::Top, "until", self.until, Duration::ZERO, YEAR)?;
        within(Part::Setup, "stabilize", setup.stabilize, short, DAY)?;
        within(Part::Setup, "patience", setup.patience, short, DAY)?;
        within(Part::Setup, "disk", setup.disk, Duration::ZERO, DAY)?;
        within(Part::Setup, "latency", setup.latency.most(), Duration::ZERO, DAY)?;
        if let Some(sessions) = self.churn.and_then(|churn| churn.sessions) {
            within(Part::Churn, "median", sessions.median, short, YEAR)?;
        }
        match self.workload.map(|workload| workload.size) {
            Some(size) if size > MAX_SIZE => {
                let why = format!("is {size}; allowed is 0 to {MAX_SIZE}");
                Err((Part::Workload, Unfit { key: "size", why }))
            }
            _ => Ok(()),
        }
    }

    fn positions(&self) -> Result<(), (Part, Unfit)> {
        let vnodes = u64::from(self.setup.vnodes);
        let mut hosts = u64::from(self.setup.hosts);
        let fits = |part, key, hosts: u64| {
            let positions = hosts.saturating_mul(vnodes);
            if positions <= MAX_POSITIONS {
                return Ok(());
            }
            let why = format!(
                "makes {positions} ring positions in all; at most {MAX_POSITIONS} fit into memory"
            );
            Err((part, Unfit { key, why }))
        };
        fits(Part::Setup, "hosts", hosts)?;
        for (number, fault) in self.faults.iter().enumerate() {
            if fault.what == FaultKind::Join {
                hosts += match fault.hosts {
                    Some(FaultHosts::Some(count)) => u64::from(count),
                    _ => 1,
                };
                fits(Part::Fault(number), "hosts", hosts)?;
            }
        }
        if let Some(churn) = self.churn {
            // A conversion from float to integer saturates.
            hosts = hosts.saturating_add((churn.joins * self.until.as_secs_f64()) as u64);
            fits(Part::Churn, "joins", hosts)?;
        }
        Ok(())
    }

    fn events(&self) -> Result<(), (Part, Unfit)> {
        let seconds = self.until.as_secs_f64();
        let positions = f64::from(self.setup.hosts) * f64::from(self.setup.vnodes);
        let rounds = seconds / self.setup.stabilize.as_secs_f64();
        let upkeep = positions * rounds * EVENTS_A_ROUND;
        let asked =
            self.workload.map_or(0.0, |Workload { lookups, puts, gets, removes, .. }| {
                (lookups + puts + gets + removes) * seconds * EVENTS_AN_OPERATION
            });
        if upkeep + asked <= MAX_EVENTS {
            return Ok(());
        }
        let why = format!(
            "makes about {:.0e} events with these hosts and rates, days of work; at most \
             {MAX_EVENTS:.0e} are allowed",
            upkeep + asked
        );
        Err((Part::Top, Unfit { key: "until", why }))
    }
}
