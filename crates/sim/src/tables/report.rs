//! The results of an experiment, as data: tables, targets, plots. The command line turns
//! them into text, JSON or CSV.

use std::ops::RangeInclusive;

use crate::plot::Plot;

/// The texts about an experiment for users.
#[derive(Clone, Debug)]
pub struct About {
    /// Its name on the command line.
    pub name: &'static str,
    /// One line.
    pub summary: &'static str,
    /// What is measured, what counts, and where it was published.
    pub details: &'static str,
    /// The meaning of `--nodes`.
    pub nodes_are: &'static str,
    /// The default number of nodes.
    pub nodes: u64,
    /// The allowed numbers of nodes.
    pub limits: RangeInclusive<u64>,
}

/// The results of an experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Its name on the command line.
    pub experiment: &'static str,
    /// The seed from which everything follows.
    pub seed: u64,
    /// The setting, in one or two sentences with their numbers.
    pub setting: String,
    /// The measurements; the main table first.
    pub tables: Vec<Table>,
    /// The targets, with their results.
    pub targets: Vec<Target>,
    /// The plots.
    pub plots: Vec<Plot>,
    /// The cost of the experiment.
    pub cost: Cost,
}

impl Report {
    /// The targets that were missed.
    pub fn missed(&self) -> impl Iterator<Item = &Target> {
        self.targets.iter().filter(|target| !target.met)
    }
}

/// A table.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Its name in JSON and in the names of files.
    pub key: &'static str,
    pub columns: Vec<Column>,
    /// The rows, each with one cell per column.
    pub rows: Vec<Vec<Cell>>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name in JSON and CSV.
    pub key: &'static str,
    /// Its title for users.
    pub title: &'static str,
}

/// A column of a table of `R`s: its key, its title, and the cell of a row.
pub(super) type ColumnOf<'a, R> = (&'static str, &'static str, &'a dyn Fn(&R) -> Cell);

impl Table {
    /// A table with one row for each of `rows`.
    pub(super) fn of<R>(key: &'static str, rows: &[R], columns: &[ColumnOf<'_, R>]) -> Table {
        let row = |row: &R| columns.iter().map(|(_, _, cell)| cell(row)).collect();
        Table {
            key,
            columns: columns.iter().map(|&(key, title, _)| Column { key, title }).collect(),
            rows: rows.iter().map(row).collect(),
        }
    }
}

/// A cell of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// There is no published value, or it does not apply.
    None,
    /// A count.
    Count(u64),
    /// A measurement, with the number of significant decimals.
    Number(f64, u8),
    /// A share of 1, shown in percent with this many decimals.
    Share(f64, u8),
    /// A word.
    Word(String),
    /// Whether the row's target was met.
    Met(bool),
}

impl Cell {
    /// A measurement with two decimals.
    pub const fn two(value: f64) -> Cell {
        Cell::Number(value, 2)
    }

    /// A cell for a value that may be missing.
    pub(super) fn of<T>(value: Option<T>, cell: impl Fn(T) -> Cell) -> Cell {
        value.map_or(Cell::None, cell)
    }
}

/// A target and its result.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The target, without a verb: `at most 15 failed lookups of 10 000 at 0.40/s`.
    pub what: String,
    /// The result, in words: `3 failed`.
    pub found: String,
    /// Whether the target was met.
    pub met: bool,
}

impl Target {
    /// A target `what` with the result `found`.
    pub fn new(what: impl Into<String>, found: impl Into<String>, met: bool) -> Target {
        Target { what: what.into(), found: found.into(), met }
    }
}

/// The cost of an experiment, the same at every run of one seed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// The fingerprint of all events (hexadecimal).
    pub trace: String,
    /// Number of events.
    pub events: u64,
    /// Number of nodes of all rings, or of hosts where no ring was simulated.
    pub nodes: u64,
}
