//! The state of a simulation, beside that of the node of it that is shown.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A simulation at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SimulationRow {
    /// What is simulated, in a word or two.
    pub title: String,
    /// What everything random in it follows from.
    pub seed: u64,
    /// Simulated time since its beginning.
    pub now: Duration,
    /// Events so far: messages, timers, ends of disk operations.
    pub events: u64,
    /// Whether time passes.
    pub running: bool,
    /// The chosen speed.
    pub speed: Speed,
    /// How fast it passed lately, in simulated seconds a second; `None`: not
    /// measured.
    pub pace: Option<f64>,
    /// Machines that run.
    pub hosts: u32,
    /// Machines that crashed and may be started again.
    pub down: u32,
    /// Parts that cannot reach each other; 1: the network is whole.
    pub parts: u32,
}

/// Simulated seconds a second: one of some round numbers, or no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Speed(u8);

/// The speeds, in tenths.
const TENTHS: [u32; 13] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];

impl Speed {
    /// Like a clock.
    pub const REAL: Speed = Speed(3);

    /// As fast as the machine can.
    pub const MOST: Speed = Speed(TENTHS.len() as u8);

    /// The next higher one.
    #[must_use]
    pub fn faster(self) -> Speed {
        Speed(self.0 + 1).min(Speed::MOST)
    }

    /// The next lower one.
    #[must_use]
    pub const fn slower(self) -> Speed {
        Speed(self.0.saturating_sub(1))
    }

    /// How much simulated time passes in this much real time; `None`: as much
    /// as can be.
    pub fn simulated(self, real: Duration) -> Option<Duration> {
        let tenths = TENTHS.get(usize::from(self.0))?;
        Some(real.saturating_mul(*tenths) / 10)
    }

    /// `×0.5`, `×100`, `max`.
    pub fn show(self) -> String {
        match TENTHS.get(usize::from(self.0)) {
            Some(tenths) if tenths % 10 == 0 => format!("×{}", tenths / 10),
            Some(tenths) => format!("×0.{tenths}"),
            None => "max".to_owned(),
        }
    }
}

impl Default for Speed {
    fn default() -> Speed {
        Speed::REAL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_go_from_a_tenth_to_as_fast_as_can_be() {
        let mut speed = Speed::default();
        for _ in 0..20 {
            speed = speed.slower();
        }
        let mut shown = vec![speed.show()];
        while speed != speed.faster() {
            speed = speed.faster();
            shown.push(speed.show());
        }
        assert_eq!(shown.join(" "), "×0.1 ×0.2 ×0.5 ×1 ×2 ×5 ×10 ×20 ×50 ×100 ×200 ×500 ×1000 max");
        let second = Duration::from_secs(1);
        assert_eq!(Speed::REAL.simulated(second), Some(second));
        assert_eq!(Speed(0).simulated(second), Some(Duration::from_millis(100)));
        assert_eq!(Speed::MOST.simulated(second), None);
    }
}
