//! The tables of the papers, measured in this simulator: each experiment builds its rings
//! from one seed, measures, and compares the results with targets.
//!
//! Everything in a [`Report`] follows from the experiment, the number of nodes and the
//! seed: the same three give the same report, byte for byte, on one thread or many. The
//! caller measures the time that it takes.

mod churn;
mod durability;
mod failures;
mod files;
mod load;
mod lookups;
mod paper;
mod partition;
mod paths;
mod played;
mod report;
mod stats;
mod workers;

pub use played::play;
pub use report::{About, Cell, Column, Cost, Report, Table, Target};
pub use workers::Progress;

/// An experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Experiment {
    /// Contacts of a lookup by the number of nodes.
    Paths,
    /// Keys of a host by the number of virtual nodes.
    Load,
    /// Lookups after many nodes failed at once.
    Failures,
    /// Lookups while nodes join and crash.
    Churn,
    /// Files lost against p^k, and under churn.
    Durability,
    /// Two halves that serve apart and become one ring again.
    Partition,
}

impl Experiment {
    /// All experiments.
    pub const ALL: [Experiment; 6] = [
        Experiment::Paths,
        Experiment::Load,
        Experiment::Failures,
        Experiment::Churn,
        Experiment::Durability,
        Experiment::Partition,
    ];

    /// The texts for users.
    pub const fn about(self) -> About {
        match self {
            Experiment::Paths => paths::ABOUT,
            Experiment::Load => load::ABOUT,
            Experiment::Failures => failures::ABOUT,
            Experiment::Churn => churn::ABOUT,
            Experiment::Durability => durability::ABOUT,
            Experiment::Partition => partition::ABOUT,
        }
    }

    /// Runs the experiment; `progress` is called as it goes on. `nodes` must be within
    /// [`About::limits`].
    pub fn run(self, nodes: u64, seed: u64, progress: Progress<'_>) -> Report {
        match self {
            Experiment::Paths => paths::Paths::new(nodes, seed).run(progress),
            Experiment::Load => load::Load { hosts: nodes, seed }.run(progress),
            Experiment::Failures => failures::Failures::new(nodes, seed).run(progress),
            Experiment::Churn => churn::Churn::new(nodes, seed).run(progress),
            Experiment::Durability => durability::Durability::new(nodes, seed).run(progress),
            Experiment::Partition => partition::Partition::new(nodes, seed).run(progress),
        }
    }
}
