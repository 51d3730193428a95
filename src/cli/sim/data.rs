//! A report for programs: JSON, and CSV with one file a table.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use chordal_sim::tables::{Cell, Report, Table, Target};

use super::super::failure::Failure;
use super::cannot_write;

/// Decimals of a number in JSON and CSV: more than any run can measure, and
/// fewer than those in which platforms may differ.
const DECIMALS: i32 = 6;

/// A report as one JSON value.
pub(super) fn json(report: &Report) -> Value {
    let row = |table: &Table, cells: &[Cell]| -> Value {
        let keys = table.columns.iter().map(|column| column.key.to_owned());
        Value::Object(keys.zip(cells.iter().map(value)).collect())
    };
    let rows = |table: &Table| table.rows.iter().map(|cells| row(table, cells)).collect();
    let tables: Map<String, Value> =
        report.tables.iter().map(|table| (table.key.to_owned(), rows(table))).collect();
    let target = |target: &Target| json!({ "target": target.what, "found": target.found, "met": target.met });
    json!({
        "experiment": report.experiment,
        "seed": report.seed,
        "setting": report.setting,
        "tables": tables,
        "targets": report.targets.iter().map(target).collect::<Vec<_>>(),
        "met": report.missed().next().is_none(),
        "trace": report.cost.trace,
        "events": report.cost.events,
        "nodes": report.cost.nodes,
    })
}

fn value(cell: &Cell) -> Value {
    match cell {
        Cell::None => Value::Null,
        Cell::Count(count) => json!(count),
        Cell::Number(value, _) | Cell::Share(value, _) => json!(rounded(*value)),
        Cell::Word(word) => json!(word),
        Cell::Met(met) => json!(met),
    }
}

fn rounded(value: f64) -> f64 {
    let scale = 10f64.powi(DECIMALS);
    (value * scale).round() / scale
}

/// A table as CSV (RFC 4180, with line ends of Unix), its columns' keys first.
fn csv(table: &Table) -> String {
    let keys: Vec<String> = table.columns.iter().map(|column| field(column.key)).collect();
    let mut text = keys.join(",");
    text.push('\n');
    for row in &table.rows {
        let cells: Vec<String> = row.iter().map(text_of).collect();
        text.push_str(&cells.join(","));
        text.push('\n');
    }
    text
}

fn text_of(cell: &Cell) -> String {
    match cell {
        Cell::Word(word) => field(word),
        cell => match value(cell) {
            Value::Null => String::new(),
            value => value.to_string(),
        },
    }
}

/// A text, in quotation marks where a reader would need them.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// Whether results can be written to this file. Creates it.
pub(super) fn writable(path: &Path) -> Result<(), Failure> {
    let open = OpenOptions::new().create(true).append(true).open(path);
    open.map(drop).map_err(|error| cannot_write(path, &error))
}

/// Writes the main table to this file, and each further one beside it:
/// `paths.csv`, `paths.distribution.csv`.
pub(super) fn write_csv(report: &Report, path: &Path) -> Result<(), Failure> {
    for (at, table) in report.tables.iter().enumerate() {
        let path = if at == 0 { path.to_owned() } else { beside(path, table.key) };
        fs::write(&path, csv(table)).map_err(|error| cannot_write(&path, &error))?;
    }
    Ok(())
}

fn beside(path: &Path, key: &str) -> PathBuf {
    match path.extension().and_then(|end| end.to_str()) {
        Some(end) => path.with_extension(format!("{key}.{end}")),
        None => path.with_extension(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chordal_sim::tables::{Column, Cost};

    fn report() -> Report {
        let columns = [("n", "nodes"), ("share", "share"), ("word", "a word"), ("met", "target")];
        let table = |key| Table {
            key,
            columns: columns.iter().map(|&(key, title)| Column { key, title }).collect(),
            rows: vec![
                vec![
                    Cell::Count(7),
                    Cell::Share(1.0 / 3.0, 1),
                    Cell::Word("a, \"b\"".into()),
                    Cell::Met(true),
                ],
                vec![Cell::Count(8), Cell::None, Cell::Word("c".into()), Cell::Met(false)],
            ],
        };
        Report {
            experiment: "load",
            seed: 9,
            setting: "hosts".into(),
            tables: vec![table("load"), table("more")],
            targets: vec![Target::new("few", "many", false)],
            plots: Vec::new(),
            cost: Cost { trace: "ab".into(), events: 5, nodes: 7 },
        }
    }

    #[test]
    fn json_has_a_row_of_named_values_for_each_row() {
        let value = json(&report());
        assert_eq!(
            value["tables"]["more"],
            json!([
                { "n": 7, "share": 0.333_333, "word": "a, \"b\"", "met": true },
                { "n": 8, "share": null, "word": "c", "met": false },
            ])
        );
        assert_eq!(
            (&value["seed"], &value["met"], &value["trace"]),
            (&json!(9), &json!(false), &json!("ab"))
        );
        assert_eq!(value["targets"][0]["met"], json!(false));
    }

    #[test]
    fn csv_quotes_what_needs_it_and_leaves_out_what_is_not_there() {
        let text = csv(&report().tables[0]);
        assert_eq!(text, "n,share,word,met\n7,0.333333,\"a, \"\"b\"\"\",true\n8,,c,false\n");
    }

    #[test]
    fn each_further_table_has_a_file_beside_the_first() {
        let home = tempfile::TempDir::new().expect("a directory");
        let path = home.path().join("load.csv");
        writable(&path).expect("it can be written");
        write_csv(&report(), &path).expect("it is written");
        let mut names: Vec<_> = fs::read_dir(home.path())
            .expect("a directory")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["load.csv", "load.more.csv"]);
        assert_eq!(beside(Path::new("points"), "more"), Path::new("points.more"));
        assert!(writable(&home.path().join("no/where.csv")).is_err());
    }
}
