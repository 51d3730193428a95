//! The small pieces that lines are made of: sizes, times, peers, tables.

use std::borrow::Cow;
use std::time::Duration;

use textwrap::{Options, WordSplitter};
use unicode_width::UnicodeWidthStr;

use chordal_core::id::Space;
use chordal_core::peer::Peer;

/// Cells of a paragraph's line: fits the smallest usual terminal in a frame.
pub(crate) const PARAGRAPH: usize = 74;

/// A number of bytes for people: `999 B`, `85.0 kB`, `1.2 GB` (powers of 1 000).
pub fn bytes(count: u64) -> String {
    // From 999.95 on one decimal would read "1000.0".
    match scaled(count, 999.95) {
        (_, "B") => format!("{count} B"),
        (value, unit) => format!("{value:.1} {unit}"),
    }
}

/// A number of bytes in the smallest unit in which it is below `most`, and that unit.
pub fn scaled(count: u64, most: f64) -> (f64, &'static str) {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if count < 1_000 {
        return (count as f64, "B");
    }
    let mut value = count as f64 / 1_000.0;
    let mut unit = 0;
    while value >= most && unit + 1 < UNITS.len() {
        value /= 1_000.0;
        unit += 1;
    }
    (value, UNITS[unit])
}

/// A span of time that was measured in whole milliseconds.
pub(crate) fn took(millis: u64) -> String {
    match millis {
        0 => "less than 1 ms".to_owned(),
        some => duration(Duration::from_millis(some)),
    }
}

/// A span of time for people: `840 µs`, `4.2 ms`, `1.3 s`, `2 min 05 s`.
pub fn duration(span: Duration) -> String {
    let micros = span.as_micros();
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..9_950 => format!("{:.1} ms", micros as f64 / 1e3),
        9_950..999_500 => format!("{:.0} ms", micros as f64 / 1e3),
        999_500..59_950_000 => format!("{:.1} s", micros as f64 / 1e6),
        _ => {
            let seconds = (micros + 500_000) / 1_000_000;
            format!("{} min {:02} s", seconds / 60, seconds % 60)
        }
    }
}

/// How long ago something was, for people: `4 s`, `2 min 05 s`, `3 h 05 min`,
/// `2 d 03 h`.
pub(crate) fn age(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {:02} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {:02} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// Text of a foreign origin without anything that a terminal would obey or
/// that would reorder or hide its neighbours; those characters become `?`,
/// tabs and line ends become blanks.
pub fn clean(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_harmless) {
        return Cow::Borrowed(text);
    }
    let harmless = |c| match c {
        '\t' | '\n' | '\r' => ' ',
        c if is_harmless(c) => c,
        _ => '?',
    };
    Cow::Owned(text.chars().map(harmless).collect())
}

/// Characters of a person's words that a sentence about them repeats: enough to
/// know them again.
const QUOTED: usize = 80;

/// The beginning of a text from outside in quotation marks, without anything that a
/// terminal would obey.
pub fn quoted(text: &str) -> String {
    let mut words: String = text.chars().take(QUOTED).collect();
    if words.len() < text.len() {
        words.push_str("...");
    }
    format!("'{}'", clean(&words))
}

fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(c,
            '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}')
}

/// Columns padded to one width, two blanks between them. `right` names the
/// columns that are flush right; the last column is never padded.
pub(crate) fn table(head: &[&str], right: &[usize], rows: Vec<Vec<String>>) -> Vec<String> {
    let head: Vec<String> = head.iter().map(|&title| title.to_owned()).collect();
    let mut widths: Vec<usize> = head.iter().map(|title| title.width()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    let line = |row: &Vec<String>| {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let blanks = " ".repeat(width.saturating_sub(cell.width()));
            if column > 0 {
                line.push_str("  ");
            }
            if right.contains(&column) {
                line.push_str(&blanks);
                line.push_str(cell);
            } else {
                line.push_str(cell);
                line.push_str(&blanks);
            }
        }
        line.truncate(line.trim_end().len());
        line
    };
    std::iter::once(&head).chain(&rows).map(line).collect()
}

pub(crate) fn show(space: Space, peer: &Peer) -> String {
    format!("{} {peer}", space.show(peer.id(space)))
}

pub(crate) fn peers(space: Space, peers: &[Peer]) -> String {
    let shown: Vec<_> = peers.iter().map(|peer| show(space, peer)).collect();
    if shown.is_empty() { "nobody".to_owned() } else { shown.join(", ") }
}

pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

pub(crate) fn files(number: usize) -> String {
    count(number, "file", "files")
}

/// Breaks a text into lines of at most `cells`, at spaces where there are any.
/// The spaces that a line begins with stay.
pub fn wrap(text: &str, cells: usize) -> Vec<String> {
    let options = Options::new(cells.max(1)).word_splitter(WordSplitter::NoHyphenation);
    let wrapped = text.lines().flat_map(|line| textwrap::wrap(line, &options));
    wrapped.map(Cow::into_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_rounded_for_people() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (85_000, "85.0 kB"),
            (999_949, "999.9 kB"),
            (999_999, "1.0 MB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(bytes(count), text);
        }
        for (micros, text) in [
            (840, "840 µs"),
            (4_200, "4.2 ms"),
            (9_960, "10 ms"),
            (999_600, "1.0 s"),
            (59_960_000, "1 min 00 s"),
            (125_000_000, "2 min 05 s"),
        ] {
            assert_eq!(duration(Duration::from_micros(micros)), text);
        }
        for (seconds, text) in
            [(0, "0 s"), (125, "2 min 05 s"), (11_100, "3 h 05 min"), (183_600, "2 d 03 h")]
        {
            assert_eq!(age(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn of_long_words_a_sentence_repeats_the_beginning_and_nothing_for_the_terminal() {
        assert_eq!(quoted("SkyShip.jpg"), "'SkyShip.jpg'");
        assert_eq!(quoted("a\u{1b}[2Jb"), "'a?[2Jb'");
        assert_eq!(quoted(&"é".repeat(80)), format!("'{}'", "é".repeat(80)));
        assert_eq!(quoted(&"é".repeat(100_000)), format!("'{}...'", "é".repeat(80)));
    }

    #[test]
    fn foreign_text_cannot_reach_the_terminal_as_a_command() {
        assert_eq!(clean("plain é 空"), "plain é 空");
        assert_eq!(clean("a\u{1b}[2J\u{202e}b\tc"), "a?[2J?b c");
        assert_eq!(clean("\u{9b}31m"), "?31m");
    }
}
