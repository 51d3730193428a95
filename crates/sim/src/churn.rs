//! Churn, and operations that are started all the time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use chordal_core::id::Id;
use chordal_core::name::FileName;

use super::World;
use super::event::{Arrival, Event};
use super::host::HostId;
use super::setup::{Unfit, span};

/// With this many hosts left, no further host leaves.
const LEAST_HOSTS: usize = 2;

/// Hosts that join and leave.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Churn {
    /// New hosts per second: a Poisson process.
    pub joins: f64,
    /// Departures per second, of random living hosts: a Poisson process.
    pub leaves: f64,
    /// How long each host stays; when it departs, a new one joins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<Sessions>,
    /// How hosts depart.
    pub going: Going,
}

/// Session lengths of hosts: a Weibull distribution, heavy-tailed when the shape is below
/// 1, as in measured file-sharing systems (Stutzbach and Rejaie, IMC 2006).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sessions {
    /// The shape, k.
    pub shape: f64,
    /// The median: half of the sessions are shorter.
    #[serde(with = "span")]
    pub median: Duration,
}

/// How hosts depart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Going {
    /// They die at once.
    #[default]
    Crash,
    /// They hand their files over and leave.
    Leave,
    /// They die and their disks are destroyed.
    Destroy,
}

/// Operations of random hosts; each kind is a Poisson process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Workload {
    /// Lookups of random keys per second.
    pub lookups: f64,
    /// Puts per second.
    pub puts: f64,
    /// Gets per second.
    pub gets: f64,
    /// Removals per second.
    pub removes: f64,
    /// Number of different names.
    pub names: u32,
    /// Bytes of the largest file; all sizes up to it are equally likely.
    pub size: u64,
}

impl Default for Workload {
    fn default() -> Workload {
        Workload { lookups: 0.0, puts: 0.0, gets: 0.0, removes: 0.0, names: 1_000, size: 65_536 }
    }
}

/// Events of one kind per second: a million nodes with one lookup per second each.
const MAX_RATE: f64 = 1e6;

fn rate(key: &'static str, value: f64) -> Result<(), Unfit> {
    if (0.0..=MAX_RATE).contains(&value) {
        Ok(())
    } else {
        Err(Unfit { key, why: format!("is {value}; allowed is 0 to {MAX_RATE} a second") })
    }
}

impl Churn {
    /// Whether every value is valid.
    ///
    /// # Errors
    /// The first one that is not.
    pub fn check(&self) -> Result<(), Unfit> {
        /// Shapes for which the arithmetic is accurate.
        const SHAPES: std::ops::RangeInclusive<f64> = 0.1..=10.0;
        rate("joins", self.joins)?;
        rate("leaves", self.leaves)?;
        if let Some(Sessions { shape, median }) = self.sessions {
            if !SHAPES.contains(&shape) {
                let why = format!("is {shape}; allowed is 0.1 to 10");
                return Err(Unfit { key: "shape", why });
            }
            if median.is_zero() {
                return Err(Unfit { key: "median", why: "is 0; it must be longer".to_owned() });
            }
        }
        Ok(())
    }
}

impl Workload {
    /// Whether every value is valid.
    ///
    /// # Errors
    /// The first one that is not.
    pub fn check(&self) -> Result<(), Unfit> {
        rate("lookups", self.lookups)?;
        rate("puts", self.puts)?;
        rate("gets", self.gets)?;
        rate("removes", self.removes)?;
        if self.names == 0 {
            return Err(Unfit { key: "names", why: "is 0; there must be one".to_owned() });
        }
        Ok(())
    }

    /// The rates, each at the index of its kind.
    const fn rates(&self) -> [f64; 4] {
        [self.lookups, self.puts, self.gets, self.removes]
    }
}

/// The name of a file of the workload.
pub(super) fn file_name(number: u32) -> Option<FileName> {
    FileName::new(&format!("file-{number}")).ok()
}

impl World {
    /// Sets the churn from now on; `None` ends it.
    pub fn set_churn(&mut self, churn: Option<Churn>) {
        self.churn = churn;
        self.replan();
    }

    /// Sets the workload from now on; `None` ends it.
    pub fn set_workload(&mut self, workload: Option<Workload>) {
        self.workload = workload;
        self.replan();
    }

    /// Plans the next events of churn and workload again.
    fn replan(&mut self) {
        self.plan += 1;
        self.plan_churn(Arrival::Join);
        self.plan_churn(Arrival::Leave);
        for what in 0..4 {
            self.plan_operation(what);
        }
        if self.churn.as_ref().is_some_and(|churn| churn.sessions.is_some()) {
            for host in self.alive.list().to_vec() {
                self.session_begins(host);
            }
        }
    }

    fn plan_churn(&mut self, what: Arrival) {
        let Some(churn) = &self.churn else { return };
        let rate = match what {
            Arrival::Join => churn.joins,
            Arrival::Leave => churn.leaves,
            Arrival::End(..) => return,
        };
        if let Some(wait) = self.chance.until_next(rate) {
            let event = Event::Churn { what, generation: self.plan };
            self.queue.push(self.now + wait, event);
        }
    }

    fn plan_operation(&mut self, what: u8) {
        let Some(workload) = &self.workload else { return };
        let rate = workload.rates().get(usize::from(what)).copied().unwrap_or(0.0);
        if let Some(wait) = self.chance.until_next(rate) {
            let event = Event::Operate { what, generation: self.plan };
            self.queue.push(self.now + wait, event);
        }
    }

    /// Plans the end of a host's session, if hosts have sessions.
    pub(super) fn session_begins(&mut self, host: HostId) {
        let Some(Sessions { shape, median }) = self.churn.as_ref().and_then(|c| c.sessions) else {
            return;
        };
        let stays = self.chance.weibull(shape, median);
        let life = self.hosts[host as usize].life;
        let event = Event::Churn { what: Arrival::End(host, life), generation: self.plan };
        self.queue.push(self.now + stays, event);
    }

    /// [`Event::Churn`]
    pub(super) fn churned(&mut self, what: Arrival, generation: u32) {
        if generation != self.plan {
            return;
        }
        match what {
            Arrival::Join => {
                self.join();
            }
            Arrival::Leave => {
                if self.alive.len() > LEAST_HOSTS
                    && let Some(host) = self.some_host()
                {
                    self.go_away(host);
                }
            }
            Arrival::End(host, life) => {
                if self.hosts[host as usize].life == life && self.hosts[host as usize].lives() {
                    self.go_away(host);
                    self.join();
                }
            }
        }
        self.plan_churn(what);
    }

    fn go_away(&mut self, host: HostId) {
        match self.churn.as_ref().map_or(Going::Crash, |churn| churn.going) {
            Going::Crash => self.crash(host),
            Going::Leave => self.leave(host),
            Going::Destroy => self.destroy(host),
        }
    }

    /// [`Event::Operate`]
    pub(super) fn operate(&mut self, what: u8, generation: u32) {
        if generation != self.plan {
            return;
        }
        let Some(workload) = &self.workload else { return };
        let (names, size) = (workload.names, workload.size);
        let Some(host) = self.some_host() else { return self.plan_operation(what) };
        if what == 0 {
            let key = self.chance.wide();
            self.lookup(host, Id::new(key));
        } else if let Some(name) = file_name(self.chance.below(names.into()) as u32) {
            match what {
                1 => {
                    let size = self.chance.within(0..=size);
                    self.put(host, &name, size);
                }
                2 => {
                    self.get(host, &name);
                }
                _ => {
                    self.remove(host, &name);
                }
            }
        }
        self.plan_operation(what);
    }
}
