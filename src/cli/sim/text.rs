//! A report as lines of text, for a terminal.

use crossterm::style::Stylize;
use unicode_width::UnicodeWidthStr;

use chordal_sim::plot::{Glyphs, grouped};
use chordal_sim::tables::{Cell, Report, Table, Target};

use super::Look;

/// The lines of a report, a blank one between its parts and an empty one at the
/// end.
pub(super) fn lines(report: &Report, look: Look) -> Vec<String> {
    let mut lines = vec![report.setting.clone(), String::new()];
    for table in &report.tables {
        lines.extend(table_lines(table, look));
        lines.push(String::new());
    }
    for plot in &report.plots {
        lines.extend(plot.draw(look.width, look.glyphs));
        lines.push(String::new());
    }
    lines.extend(report.targets.iter().map(|target| target_line(target, look)));
    let (met, all) = (report.targets.len() - report.missed().count(), report.targets.len());
    lines.push(format!("{met} of {all} targets met"));
    let cost = &report.cost;
    lines.push(format!(
        "trace {}, {} events, {} nodes",
        cost.trace,
        grouped(cost.events),
        grouped(cost.nodes)
    ));
    lines.push(String::new());
    match look.glyphs {
        Glyphs::Unicode => lines,
        Glyphs::Ascii => lines.iter().map(|line| ascii(line)).collect(),
    }
}

/// A line without the signs that a plain terminal does not know.
fn ascii(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    for sign in line.chars() {
        match sign {
            '×' => plain.push('x'),
            '·' => plain.push('*'),
            '–' | '−' => plain.push('-'),
            '½' => plain.push_str("1/2"),
            '₂' => plain.push('2'),
            '⁴' => plain.push_str("^4"),
            sign if sign.is_ascii() => plain.push(sign),
            _ => plain.push('?'),
        }
    }
    plain
}

/// The columns of a table, numbers to the right; the first line names them.
fn table_lines(table: &Table, look: Look) -> Vec<String> {
    let rows: Vec<Vec<String>> =
        table.rows.iter().map(|row| row.iter().map(|cell| shown(cell, look)).collect()).collect();
    let width = |at: usize| {
        let cells = rows.iter().map(|row| row[at].width());
        cells.max().unwrap_or(0).max(table.columns[at].title.width())
    };
    let widths: Vec<usize> = (0..table.columns.len()).map(width).collect();
    let is_word = |at: usize| table.rows.iter().any(|row| matches!(row[at], Cell::Word(_)));
    let line = |cells: &[&str]| {
        let mut line = String::new();
        for (at, cell) in cells.iter().enumerate() {
            let gap = " ".repeat(widths[at].saturating_sub(cell.width()));
            let (before, after) = if is_word(at) { ("", gap.as_str()) } else { (gap.as_str(), "") };
            line.extend([if at > 0 { "  " } else { "" }, before, cell, after]);
        }
        line.trim_end().to_owned()
    };
    let titles: Vec<&str> = table.columns.iter().map(|column| column.title).collect();
    let mut lines = vec![line(&titles)];
    for (row, cells) in rows.iter().zip(&table.rows) {
        let texts: Vec<&str> = row.iter().map(String::as_str).collect();
        let text = line(&texts);
        let missed = cells.contains(&Cell::Met(false));
        lines.push(if missed && look.colours { text.red().to_string() } else { text });
    }
    lines
}

/// A value for people.
fn shown(cell: &Cell, look: Look) -> String {
    match cell {
        Cell::None => if look.glyphs == Glyphs::Unicode { "–" } else { "-" }.to_owned(),
        Cell::Count(count) => grouped(*count),
        Cell::Number(value, decimals) => number(*value, usize::from(*decimals)),
        Cell::Share(value, decimals) => format!("{:.*} %", usize::from(*decimals), value * 100.0),
        Cell::Word(word) => word.clone(),
        Cell::Met(true) => "met".to_owned(),
        Cell::Met(false) => "MISSED".to_owned(),
    }
}

/// A number with so many decimals, and no sign before nothing.
fn number(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(plain) if plain.chars().all(|c| matches!(c, '0' | '.')) => plain.to_owned(),
        _ => text,
    }
}

fn target_line(target: &Target, look: Look) -> String {
    let (word, sign) = if target.met { ("met   ", '✓') } else { ("MISSED", '✗') };
    let lead = match look.glyphs {
        Glyphs::Unicode => sign.to_string(),
        Glyphs::Ascii => word.to_owned(),
    };
    let lead = match (look.colours, target.met) {
        (false, _) => lead,
        (true, true) => lead.green().to_string(),
        (true, false) => lead.red().to_string(),
    };
    format!("{lead} {}: {}", target.what, target.found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chordal_sim::tables::{Column, Cost};

    fn report() -> Report {
        let column = |key, title| Column { key, title };
        Report {
            experiment: "paths",
            seed: 1,
            setting: "so many lookups".to_owned(),
            tables: vec![Table {
                key: "paths",
                columns: vec![
                    column("nodes", "nodes"),
                    column("mean", "mean"),
                    column("paper", "paper"),
                    column("word", "word"),
                    column("met", "target"),
                ],
                rows: vec![
                    vec![
                        Cell::Count(1_048_576),
                        Cell::two(7.5),
                        Cell::None,
                        Cell::Word("far".into()),
                        Cell::Met(true),
                    ],
                    vec![
                        Cell::Count(128),
                        Cell::two(4.321),
                        Cell::Share(0.125, 1),
                        Cell::Word("near".into()),
                        Cell::Met(false),
                    ],
                ],
            }],
            targets: vec![
                Target::new("at most 1 failed", "0", true),
                Target::new("within 0.1", "0.3 off", false),
            ],
            plots: Vec::new(),
            cost: Cost { trace: "00ff".into(), events: 1_234_567, nodes: 12 },
        }
    }

    #[test]
    fn a_report_reads_as_table_targets_and_cost() {
        let look = Look { width: 80, glyphs: Glyphs::Ascii, colours: false };
        assert_eq!(
            lines(&report(), look).join("\n"),
            "\
so many lookups

    nodes  mean   paper  word  target
1 048 576  7.50       -  far      met
      128  4.32  12.5 %  near  MISSED

met    at most 1 failed: 0
MISSED within 0.1: 0.3 off
1 of 2 targets met
trace 00ff, 1 234 567 events, 12 nodes
"
        );
    }

    #[test]
    fn nothing_has_no_sign() {
        assert_eq!([number(-0.001, 2), number(-0.01, 2), number(0.5, 0)], ["0.00", "-0.01", "0"]);
    }

    #[test]
    fn a_plain_terminal_gets_plain_signs() {
        assert_eq!(ascii("p99 × mean, ½·log₂N, 10⁴ – ok"), "p99 x mean, 1/2*log2N, 10^4 - ok");
    }

    #[test]
    fn without_colours_no_escape_sequence_is_written() {
        let has_escapes = |colours| {
            let look = Look { width: 80, glyphs: Glyphs::Unicode, colours };
            lines(&report(), look).iter().any(|line| line.contains('\x1b'))
        };
        assert!(!has_escapes(false));
    }
}
