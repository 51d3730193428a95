//! What an experiment found, as data: tables, targets, plots. The command line
//! turns it into text, JSON or CSV.

use crate::plot::Plot;

/// What an experiment found.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Its name on the command line.
    pub experiment: &'static str,
    /// The seed from which everything followed.
    pub seed: u64,
    /// What was done, in one or two sentences with their numbers.
    pub setting: String,
    /// What was measured; the main table first.
    pub tables: Vec<Table>,
    /// What had to come out.
    pub targets: Vec<Target>,
    /// Pictures of it.
    pub plots: Vec<Plot>,
    /// What it took.
    pub cost: Cost,
}

impl Report {
    /// The targets that were missed.
    pub fn missed(&self) -> impl Iterator<Item = &Target> {
        self.targets.iter().filter(|target| !target.met)
    }
}

/// Rows of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Its name in JSON and in the names of files.
    pub key: &'static str,
    /// Its columns.
    pub columns: Vec<Column>,
    /// As many cells each as there are columns.
    pub rows: Vec<Vec<Cell>>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name in JSON and CSV.
    pub key: &'static str,
    /// Its title for people.
    pub title: &'static str,
}

/// A column of a table of `R`s: its key, its title, and what a row has there.
pub(super) type ColumnOf<'a, R> = (&'static str, &'static str, &'a dyn Fn(&R) -> Cell);

impl Table {
    /// One row for each of `rows`.
    pub(super) fn of<R>(key: &'static str, rows: &[R], columns: &[ColumnOf<'_, R>]) -> Table {
        let row = |row: &R| columns.iter().map(|(_, _, cell)| cell(row)).collect();
        Table {
            key,
            columns: columns.iter().map(|&(key, title, _)| Column { key, title }).collect(),
            rows: rows.iter().map(row).collect(),
        }
    }
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Nobody has published it, or it does not apply.
    None,
    /// A count.
    Count(u64),
    /// A measurement, and how many decimals of it mean something.
    Number(f64, u8),
    /// A share of 1, told in percent with so many decimals.
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

    /// The same where there may be none.
    pub(super) fn of<T>(value: Option<T>, cell: impl Fn(T) -> Cell) -> Cell {
        value.map_or(Cell::None, cell)
    }
}

/// What had to come out, and what did.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// A sentence without a verb: `at most 15 failed lookups of 10 000 at 0.40/s`.
    pub what: String,
    /// What came out, in words: `3 failed`.
    pub found: String,
    /// Whether that is so.
    pub met: bool,
}

impl Target {
    /// `what` was wanted, `found` came out.
    pub fn new(what: impl Into<String>, found: impl Into<String>, met: bool) -> Target {
        Target { what: what.into(), found: found.into(), met }
    }
}

/// What an experiment took, the same at every run of one seed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Everything that happened, as one number (hexadecimal).
    pub trace: String,
    /// Events.
    pub events: u64,
    /// Nodes of all rings together, or hosts where no ring was simulated.
    pub nodes: u64,
}
