//! Everything that a run depends on, as a value that is read from a file, checked, and part
//! of the run's result.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use chordal_core::chord::Config;
use chordal_core::id::Space;
use chordal_core::limits::{MAX_REPLICAS, MAX_SUCCESSORS, MAX_VNODES};
use chordal_core::wire::handshake::Params;

/// Maximum number of hosts of one world: the addresses of 10.0.0.0/8.
pub const MAX_HOSTS: u32 = (1 << 24) - 2;

/// The settings of a world. In files, durations are texts such as `"500ms"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Setup {
    /// The seed of all random choices.
    pub seed: u64,
    /// Bits of the identifiers, m.
    pub bits: u8,
    /// Copies of each file, k.
    pub replicas: u8,
    /// Entries in the successor list, r.
    pub successors: usize,
    /// Mean time between a node's stabilizations.
    #[serde(with = "span")]
    pub stabilize: Duration,
    /// Number of hosts at the beginning.
    pub hosts: u32,
    /// Ring positions of each host.
    pub vnodes: u16,
    /// How long messages take.
    pub latency: Latency,
    /// The share of messages that are lost, 0 to 1.
    pub loss: f64,
    /// The share of messages that arrive twice, 0 to 1.
    pub duplication: f64,
    /// How long a node waits for an answer.
    #[serde(with = "span")]
    pub patience: Duration,
    /// Whether the time limit follows the measured round trips to each peer, as in a real
    /// node ([`chordal_core::chord::rtt`]), instead of `patience`.
    pub adaptive: bool,
    /// Whether a host without its process refuses connections at once; otherwise it is
    /// silent like a host without power.
    pub refuse: bool,
    /// Bytes per second from one host to another.
    pub bandwidth: u64,
    /// How long the disk takes to make something durable.
    #[serde(with = "span")]
    pub disk: Duration,
}

impl Default for Setup {
    /// A LAN with the settings that a real node has.
    fn default() -> Setup {
        Setup {
            seed: 1,
            bits: 64,
            replicas: 3,
            successors: 16,
            stabilize: Duration::from_secs(1),
            hosts: 100,
            vnodes: 1,
            latency: Latency::default(),
            loss: 0.0,
            duplication: 0.0,
            patience: Duration::from_millis(500),
            adaptive: false,
            refuse: true,
            bandwidth: 125_000_000,
            disk: Duration::from_millis(5),
        }
    }
}

/// How long a message takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "model", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Latency {
    /// The same for every message.
    Constant {
        /// One way.
        #[serde(with = "span")]
        delay: Duration,
    },
    /// Drawn for each message, so that messages can overtake each other.
    Uniform {
        /// The shortest delay.
        #[serde(with = "span")]
        least: Duration,
        /// The longest delay.
        #[serde(with = "span")]
        most: Duration,
    },
    /// Hosts are points in a cube, and the delay is proportional to their distance (the
    /// model of the Chord papers' measurements): the mean is 0.66 of `edge`.
    Space3d {
        /// The delay along the cube's edge.
        #[serde(with = "span")]
        edge: Duration,
        /// The shortest delay.
        #[serde(with = "span")]
        least: Duration,
    },
}

impl Default for Latency {
    /// A LAN.
    fn default() -> Latency {
        Latency::Uniform { least: Duration::from_micros(200), most: Duration::from_millis(2) }
    }
}

impl Latency {
    /// The longest delay of a message.
    pub fn most(&self) -> Duration {
        match *self {
            Latency::Constant { delay } => delay,
            Latency::Uniform { most, .. } => most,
            // The diagonal.
            Latency::Space3d { edge, least } => least.max(edge * 1_733 / 1_000),
        }
    }
}

/// A value of a [`Setup`] or a scenario that is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} {why}")]
pub struct Unfit {
    /// Its name, as in a file.
    pub key: &'static str,
    /// What is wrong, and what is allowed.
    pub why: String,
}

impl Setup {
    /// Whether every value is valid.
    ///
    /// # Errors
    /// The first one that is not.
    pub fn check(&self) -> Result<(), Unfit> {
        let unfit = |key, why: String| Err(Unfit { key, why });
        let range = |key, value: u64, least: u64, most: u64| {
            let fits = (least..=most).contains(&value);
            if fits {
                Ok(())
            } else {
                unfit(key, format!("is {value}; allowed is {least} to {most}"))
            }
        };
        let share = |key, value: f64| {
            let fits = (0.0..=1.0).contains(&value);
            if fits { Ok(()) } else { unfit(key, format!("is {value}; allowed is 0 to 1")) }
        };
        let some = |key, span: Duration| {
            if span.is_zero() { unfit(key, "is 0; it must be longer".to_owned()) } else { Ok(()) }
        };
        range("bits", self.bits.into(), 1, 128)?;
        range("replicas", self.replicas.into(), 1, MAX_REPLICAS.into())?;
        range("successors", self.successors as u64, 1, MAX_SUCCESSORS as u64)?;
        range("hosts", self.hosts.into(), 1, MAX_HOSTS.into())?;
        range("vnodes", self.vnodes.into(), 1, MAX_VNODES.into())?;
        range("bandwidth", self.bandwidth, 1, u64::MAX)?;
        share("loss", self.loss)?;
        share("duplication", self.duplication)?;
        some("stabilize", self.stabilize)?;
        some("patience", self.patience)?;
        if let Latency::Uniform { least, most } = self.latency
            && least > most
        {
            return unfit("latency", "has a least that is more than its most".to_owned());
        }
        let positions = u128::from(self.hosts) * u128::from(self.vnodes);
        // If more than half of the identifiers are taken, free ones are hard to find.
        if self.bits < 128 && positions > (1u128 << self.bits) / 2 {
            return unfit(
                "bits",
                format!("is {}: too few places for {positions} positions", self.bits),
            );
        }
        Ok(())
    }

    /// The configuration of each node. An invalid number of bits gives the default.
    pub fn config(&self) -> Config {
        Config {
            params: Params {
                ring: "sim".to_owned(),
                space: Space::new(self.bits).unwrap_or_default(),
                replicas: self.replicas,
            },
            successors: self.successors,
            stabilize: self.stabilize,
        }
    }
}

/// Serde functions for durations: `"1m 30s"`.
pub(super) mod span {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&humantime::format_duration(*span))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        humantime::parse_duration(&text).map_err(|error| {
            de::Error::custom(format!(
                "'{text}' is not a duration such as \"500ms\" or \"2m\": {error}"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setup_reads_back_from_its_text() {
        let setup = Setup {
            latency: Latency::Space3d {
                edge: Duration::from_millis(150),
                least: Duration::from_millis(1),
            },
            ..Setup::default()
        };
        let text = toml::to_string(&setup).expect("it can be written");
        assert_eq!(toml::from_str::<Setup>(&text).expect("it can be read"), setup);
        assert_eq!(toml::from_str::<Setup>("").expect("all have defaults"), Setup::default());
        assert_eq!(Setup::default().check(), Ok(()));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let key = |setup: Setup| setup.check().map_err(|unfit| unfit.key);
        assert_eq!(key(Setup { loss: 1.5, ..Setup::default() }), Err("loss"));
        assert_eq!(key(Setup { loss: f64::NAN, ..Setup::default() }), Err("loss"));
        assert_eq!(key(Setup { hosts: 0, ..Setup::default() }), Err("hosts"));
        assert_eq!(key(Setup { bits: 6, ..Setup::default() }), Err("bits"));
        assert_eq!(key(Setup { patience: Duration::ZERO, ..Setup::default() }), Err("patience"));
        let error = toml::from_str::<Setup>("seed = 1\nstabilize = \"soon\"").expect_err("no");
        assert!(error.to_string().contains("line 2"), "{error}");
    }
}
