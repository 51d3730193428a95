//! How far a command is, on standard error: a line for all and, of a directory,
//! one for each file that is at work. Invisible unless that is a terminal.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use chordal_core::limits::EAGER_BYTES;
use chordal_core::peer::Party;
use chordal_engine::client::Progress;
use chordal_view::text::{bytes, clean, duration, goes_on};
use chordal_view::{TransferKind, TransferRow, TransferState};

/// Lines for files at the most: a small terminal shows them all.
const FILES_SHOWN: usize = 8;

/// Cells of a name, a third of the line within these bounds; of a longer one its
/// end.
const NAME_CELLS: usize = 32;
const LEAST_NAME_CELLS: usize = 12;

/// Cells of a bar.
const BAR: usize = 20;
const LEAST_BAR: usize = 6;

/// Cells of a line beside its name, its bar and its words, with one to spare:
/// some terminals go to the next line when the last one is taken.
const AROUND_BAR: usize = " [] 100 %  ".len();

/// Cells of a line where the terminal does not say.
const CELLS: usize = 80;

/// Sources that are named with their share; of the others their number.
const SOURCES_SHOWN: usize = 4;

/// A transfer without a byte for this long is called stalled.
const STALLED_AFTER: Duration = Duration::from_secs(3);

/// A small file has a line only after so long: most are done before anybody can
/// read their names.
const SHOWN_AFTER: Duration = Duration::from_secs(1);

/// How often what has no bytes to count shows that it lives.
const TICK: Duration = Duration::from_millis(200);

/// The lines of one command.
#[derive(Debug)]
pub(super) struct Bars {
    all: MultiProgress,
    first: Bar,
    files: BTreeMap<u64, Bar>,
    /// When each transfer's bytes were counted last, and how many they were.
    moved: BTreeMap<u64, (u64, Instant)>,
    /// Since when each file has been at work.
    seen: BTreeMap<u64, Instant>,
    /// It was said that the command goes on where an earlier attempt ended.
    went_on: bool,
    /// It was said that the command waits for a source, which it still does.
    waits: bool,
}

impl Bars {
    /// Draws on standard error, if that is a terminal.
    pub(super) fn new() -> Bars {
        let target = if io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        Bars::on(target)
    }

    fn on(target: ProgressDrawTarget) -> Bars {
        let all = MultiProgress::with_draw_target(target);
        let first = Bar::new(&all);
        let (files, moved, seen) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Bars { all, first, files, moved, seen, went_on: false, waits: false }
    }

    /// Shows how far the command is.
    pub(super) fn follow(&mut self, progress: &Progress, now: Instant) {
        // Where there is none, crossterm would start programs to find out.
        let size = if self.all.is_hidden() { None } else { crossterm::terminal::size().ok() };
        let cells = size.map_or(CELLS, |(columns, _)| columns.into());
        if let Some(row) = progress.transfer.as_ref().filter(|_| progress.there > 0)
            && !self.went_on
        {
            self.went_on = true;
            // Without a terminal there is nowhere to say it; the outcome does.
            let _ = self.all.println(goes_on(&row.name, progress.there, row.total));
        }
        let waits = |row: &TransferRow| row.state == TransferState::Waiting;
        let waiting = progress.transfer.as_ref().filter(|row| waits(row));
        if !std::mem::replace(&mut self.waits, waiting.is_some())
            && let Some(row) = waiting
        {
            self.say(&format!("{}: waiting for a source", clean(&row.name)));
        }
        match &progress.transfer {
            Some(row) => {
                let words = self.words(row, &progress.phase, now);
                self.first.show(row, words, cells);
            }
            None => self.first.spin(progress.phase.clone()),
        }
        for (row, _) in &progress.files {
            self.seen.entry(row.number).or_insert(now);
        }
        let lasts = |row: &TransferRow| {
            let since = self.seen.get(&row.number).copied().unwrap_or(now);
            row.total > EAGER_BYTES || now.duration_since(since) >= SHOWN_AFTER
        };
        let shown: Vec<_> =
            progress.files.iter().filter(|(row, _)| lasts(row)).take(FILES_SHOWN).collect();
        self.files.retain(|number, bar| {
            let stays = shown.iter().any(|(row, _)| row.number == *number);
            if !stays {
                bar.line.finish_and_clear();
                self.all.remove(&bar.line);
            }
            stays
        });
        for (row, phase) in shown {
            let words = self.words(row, phase, now);
            let bar = self.files.entry(row.number).or_insert_with(|| Bar::new(&self.all));
            bar.show(row, words, cells);
        }
        let at_work = |number: &u64| {
            let first = progress.transfer.as_ref().map(|row| row.number);
            first == Some(*number) || progress.files.iter().any(|(row, _)| row.number == *number)
        };
        self.moved.retain(|number, _| at_work(number));
        self.seen.retain(|number, _| at_work(number));
    }

    /// Says something above the lines, and also where there is no terminal to draw
    /// them on.
    pub(super) fn say(&self, line: &str) {
        if self.all.println(line).is_err() || self.all.is_hidden() {
            let _ = writeln!(io::stderr().lock(), "{line}");
        }
    }

    /// Takes all lines away.
    pub(super) fn clear(&mut self) {
        self.first.line.finish_and_clear();
        self.files.values().for_each(|bar| bar.line.finish_and_clear());
        self.files.clear();
    }

    fn words(&mut self, row: &TransferRow, phase: &str, now: Instant) -> Vec<Word> {
        let (moved, since) = self.moved.entry(row.number).or_insert((row.done, now));
        if *moved != row.done {
            (*moved, *since) = (row.done, now);
        }
        words(row, phase, now.duration_since(*since))
    }
}

/// One line.
#[derive(Debug)]
struct Bar {
    line: ProgressBar,
    shape: Option<Shape>,
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// There is nothing to count.
    Spinner,
    /// A share of a whole, in so many cells.
    Bar(usize),
}

impl Bar {
    fn new(all: &MultiProgress) -> Bar {
        Bar { line: all.add(ProgressBar::new(0)), shape: None }
    }

    fn show(&mut self, row: &TransferRow, words: Vec<Word>, cells: usize) {
        let Line { name, bar, words } = Line::of(row, words, cells);
        if row.total == 0 {
            return self.spin(format!("{name} {words}"));
        }
        // First what is counted, in one step: a bar of length 0 is drawn as full.
        self.line.update(|state| {
            state.set_len(row.total);
            state.set_pos(row.done.min(row.total));
        });
        self.draw(Shape::Bar(bar));
        self.line.set_prefix(name);
        self.line.set_message(words);
    }

    fn spin(&mut self, words: String) {
        self.draw(Shape::Spinner);
        self.line.set_message(words);
    }

    fn draw(&mut self, shape: Shape) {
        if self.shape == Some(shape) {
            return;
        }
        self.shape = Some(shape);
        let template = match shape {
            Shape::Spinner => "{spinner} {wide_msg}".to_owned(),
            Shape::Bar(cells) => {
                format!("{{prefix}} [{{bar:{cells}}}] {{percent:>3}} % {{wide_msg}}")
            }
        };
        if let Ok(style) = ProgressStyle::with_template(&template) {
            self.line.set_style(style.progress_chars("=> "));
        }
        match shape {
            Shape::Bar(_) => self.line.disable_steady_tick(),
            Shape::Spinner => self.line.enable_steady_tick(TICK),
        }
    }
}

/// What is said behind a transfer's bar; `still`: how long no byte has come.
fn words(row: &TransferRow, phase: &str, still: Duration) -> Vec<Word> {
    let mut words = Vec::new();
    let mut say = |weight, forms| words.push(Word { weight, forms });
    if let Some(files) = row.files {
        say(Weight::State, vec![format!("{}/{} files", files.done, files.total)]);
        if files.failed > 0 {
            say(Weight::State, vec![format!("{} failed", files.failed)]);
        }
    }
    let moving = row.total > 0 && row.done < row.total;
    match row.state {
        TransferState::Queued => say(Weight::State, vec!["waiting for its turn".to_owned()]),
        TransferState::Paused => say(Weight::State, vec!["paused".to_owned()]),
        TransferState::Waiting => say(Weight::State, vec!["waiting for a source".to_owned()]),
        TransferState::Running if moving => {
            if row.files.is_none() && phase == "hashing" {
                say(Weight::State, vec![phase.to_owned()]);
            }
            say(Weight::Bytes, vec![format!("{}/{}", bytes(row.done), bytes(row.total))]);
            if still >= STALLED_AFTER {
                say(Weight::State, vec!["stalled".to_owned()]);
            } else if row.rate > 0 {
                say(Weight::Rate, vec![format!("{}/s", bytes(row.rate))]);
                let seconds = (row.total - row.done).div_ceil(row.rate);
                say(Weight::Left, vec![format!("{} left", remaining(seconds))]);
            }
            if row.kind == TransferKind::Download {
                let forms = (1..=SOURCES_SHOWN).rev().map(|most| sources(&row.peers, most));
                say(Weight::Sources, forms.collect());
            }
        }
        _ if row.files.is_none() || row.total == 0 => say(Weight::State, vec![phase.to_owned()]),
        _ => {}
    }
    words.retain(|word| word.forms.iter().all(|form| !form.is_empty()));
    words
}

/// One thing that a line tells.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    weight: Weight,
    /// How it can be said, the longest first.
    forms: Vec<String>,
}

/// What is left out first where a line is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    Sources,
    Left,
    Rate,
    Bytes,
    State,
}

/// As many words as fit into so many cells, each whole: the lightest goes first,
/// and says less before it goes.
fn fitting(mut words: Vec<Word>, room: usize) -> String {
    loop {
        let said: Vec<&str> =
            words.iter().filter_map(|word| word.forms.first()).map(String::as_str).collect();
        let line = said.join(", ");
        if line.width() <= room {
            return line;
        }
        // Of two alike the last one.
        let light = words.iter().enumerate().rev().min_by_key(|(_, word)| word.weight);
        let Some((at, _)) = light else { return line };
        words[at].forms.remove(0);
        if words[at].forms.is_empty() {
            words.remove(at);
        }
    }
}

/// What one line shows, by the cells that it has.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    name: String,
    /// Cells of the bar.
    bar: usize,
    words: String,
}

impl Line {
    /// A narrow line has a shorter name and a shorter bar before it says less.
    fn of(row: &TransferRow, words: Vec<Word>, cells: usize) -> Line {
        let name = name(row, (cells / 3).clamp(LEAST_NAME_CELLS, NAME_CELLS));
        let all = words.iter().filter_map(|word| word.forms.first());
        let wanted: usize = all.map(|word| word.width() + 2).sum();
        // The last word has no comma behind it.
        let room = cells.saturating_sub(name.width() + AROUND_BAR);
        let bar = room.saturating_sub(wanted.saturating_sub(2)).clamp(LEAST_BAR, BAR);
        let words = fitting(words, room.saturating_sub(bar));
        Line { name, bar, words }
    }
}

/// An estimate in seconds, without the decimal that it does not have.
fn remaining(seconds: u64) -> String {
    if seconds < 60 {
        return format!("{seconds} s");
    }
    duration(Duration::from_secs(seconds))
}

/// `:2004 68% :2001 32%`: who delivers how much, so many of them and how many
/// more; with hosts where they differ.
fn sources(peers: &[(Party, u64)], most: usize) -> String {
    let nodes = peers.iter().filter_map(|(party, part)| Some((party.node()?, *part)));
    let peers: Vec<(SocketAddr, u64)> = nodes.collect();
    let sum: u64 = peers.iter().map(|(_, part)| part).sum();
    let one_host = peers.windows(2).all(|pair| pair[0].0.ip() == pair[1].0.ip());
    let mut order: Vec<_> = peers.iter().filter(|(_, part)| *part > 0).collect();
    order.sort_by_key(|(address, part)| (std::cmp::Reverse(*part), *address));
    let shown = order.iter().take(most).map(|(address, part)| {
        let share = part.saturating_mul(100) / sum.max(1);
        if one_host {
            format!(":{} {share}%", address.port())
        } else {
            format!("{address} {share}%")
        }
    });
    let mut words: Vec<String> = shown.collect();
    if order.len() > most {
        words.push(format!("+{}", order.len() - most));
    }
    words.join(" ")
}

/// A transfer's name: of a long one its end, which tells more, in `most` cells.
fn name(row: &TransferRow, most: usize) -> String {
    let text = clean(&row.name);
    let cells = |c: char| c.width().unwrap_or(0);
    let indent = if row.part_of.is_some() { "  " } else { "" };
    if text.width() <= most {
        return format!("{indent}{text}");
    }
    let mut room = most.saturating_sub(1);
    let fits = |c: &char| {
        let fits = cells(*c) <= room;
        room = room.saturating_sub(cells(*c));
        fits
    };
    let mut end: Vec<char> = text.chars().rev().take_while(fits).collect();
    end.reverse();
    format!("{indent}…{}", end.into_iter().collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use chordal_view::FileCount;

    fn row(number: u64, done: u64, total: u64) -> TransferRow {
        TransferRow {
            number,
            name: format!("dir/{number}"),
            kind: TransferKind::Download,
            state: TransferState::Running,
            done,
            total,
            rate: 0,
            peers: Vec::new(),
            started_ms: 0,
            ended_ms: None,
            files: None,
            part_of: None,
        }
    }

    /// Everything that a line would say.
    fn everything(row: &TransferRow, phase: &str, still: Duration) -> String {
        fitting(words(row, phase, still), usize::MAX)
    }

    fn at(port: u16) -> Party {
        Party::Node(([127, 0, 0, 1], port).into())
    }

    #[test]
    fn a_line_tells_bytes_rate_time_and_the_share_of_each_source() {
        let peers = vec![(at(2001), 320), (at(2004), 680), (at(2007), 0)];
        let row = TransferRow { rate: 500, peers, ..row(1, 1_000, 4_000) };
        let line = everything(&row, "receiving", Duration::ZERO);
        assert_eq!(line, "1.0 kB/4.0 kB, 500 B/s, 6 s left, :2004 68% :2001 32%");
        let elsewhere = [(at(2001), 1), (Party::Node(([10, 0, 0, 1], 2001).into()), 1)];
        assert_eq!(sources(&elsewhere, 4), "10.0.0.1:2001 50% 127.0.0.1:2001 50%");
        let many: Vec<_> = (1..=7).map(|port| (at(port), 1)).collect();
        assert!(sources(&many, 4).ends_with(":4 14% +3"), "{}", sources(&many, 4));
        assert_eq!(sources(&many, 1), ":1 14% +6");
        let put = TransferRow { kind: TransferKind::Upload, ..row };
        assert!(!everything(&put, "sending", Duration::ZERO).contains('%'), "that has a target");
    }

    #[test]
    fn a_short_line_says_less_but_cuts_no_word() {
        let peers = vec![(at(2001), 320), (at(2004), 680), (at(2007), 40)];
        let name = "a rather long name of a film that somebody has put.mkv".to_owned();
        let row = TransferRow { rate: 500, peers, name, ..row(1, 1_000, 4_000) };
        let line = |cells| Line::of(&row, words(&row, "", Duration::ZERO), cells);
        let all = "1.0 kB/4.0 kB, 500 B/s, 6 s left, :2004 65% :2001 30% :2007 3%";
        assert_eq!((line(140).bar, line(140).words.as_str()), (BAR, all));
        assert_eq!((line(112).bar < BAR, line(112).words.as_str()), (true, all));
        assert_eq!(line(100).words, "1.0 kB/4.0 kB, 500 B/s, 6 s left, :2004 65% +2");
        assert_eq!(line(80).words, "1.0 kB/4.0 kB, 500 B/s, 6 s left");
        assert_eq!(line(60).words, "1.0 kB/4.0 kB, 500 B/s");
        assert_eq!(line(50).words, "1.0 kB/4.0 kB");
        assert_eq!(line(60).name.width(), 20, "a third");
        assert_eq!(line(0).words, "");
        for cells in 30..200 {
            let Line { name, bar, words } = line(cells);
            let drawn = format!("{name} [{}] 100 % {words}", "=".repeat(bar));
            assert!(drawn.width() < cells, "{cells}: {drawn}");
            assert!(all.starts_with(&words) || words.ends_with("% +1") || words.ends_with("% +2"));
        }
        let files = Some(FileCount { done: 12, failed: 1, total: 40 });
        let row = TransferRow { files, ..row };
        let line = Line::of(&row, words(&row, "", Duration::ZERO), 60);
        assert_eq!(line.words, "12/40 files, 1 failed");
    }

    #[test]
    fn a_line_tells_what_is_done_where_no_bytes_move() {
        let still = Duration::from_secs(9);
        let said = |row: &TransferRow, phase| everything(row, phase, still);
        assert_eq!(said(&row(1, 0, 0), "looking up"), "looking up");
        assert_eq!(said(&row(1, 5, 10), "receiving"), "5 B/10 B, stalled");
        let with = |state| TransferRow { state, ..row(1, 5, 10) };
        assert_eq!(said(&with(TransferState::Paused), "sending"), "paused");
        assert_eq!(said(&with(TransferState::Queued), ""), "waiting for its turn");
        let securing = with(TransferState::Securing { copies: 2, wanted: 3 });
        assert_eq!(said(&securing, "securing copies 2/3"), "securing copies 2/3");
        let hashing = TransferRow { rate: 5, ..row(1, 5, 10) };
        let hashing = everything(&hashing, "hashing", Duration::ZERO);
        assert_eq!(hashing, "hashing, 5 B/10 B, 5 B/s, 1 s left");
    }

    #[test]
    fn a_directory_counts_its_files() {
        let files = Some(FileCount { done: 12, failed: 1, total: 40 });
        let row = TransferRow { files, rate: 10, ..row(1, 50, 100) };
        let line = everything(&row, "receiving", Duration::ZERO);
        assert_eq!(line, "12/40 files, 1 failed, 50 B/100 B, 10 B/s, 5 s left");
    }

    /// A terminal that keeps everything that is written to it.
    #[derive(Clone, Debug, Default)]
    struct Kept(std::sync::Arc<parking_lot::Mutex<String>>);

    impl indicatif::TermLike for Kept {
        fn width(&self) -> u16 {
            100
        }
        fn move_cursor_up(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> std::io::Result<()> {
            self.write_str(text)
        }
        fn write_str(&self, text: &str) -> std::io::Result<()> {
            self.0.lock().push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> std::io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn no_bar_begins_at_100_percent() {
        let screen = Kept::default();
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(screen.clone()), 255);
        let mut bars = Bars::on(target);
        let now = Instant::now();
        let mut progress = Progress { transfer: Some(row(1, 0, 0)), ..Progress::default() };
        for (done, total) in [(0, 0), (0, 4 << 20), (1 << 20, 4 << 20), (0, 8 << 20)] {
            progress.transfer = Some(row(1, done, total));
            let part = TransferRow { part_of: Some(1), ..row(total, done, total) };
            progress.files = vec![(part, String::new())];
            bars.follow(&progress, now + SHOWN_AFTER);
        }
        let drawn = screen.0.lock().clone();
        assert!(drawn.contains(" 25 %"), "{drawn}");
        assert!(!drawn.contains("100 %"), "{drawn}");
    }

    #[test]
    fn a_long_name_is_shown_by_its_end() {
        let long = TransferRow { name: format!("{}/空.jpg", "d".repeat(60)), ..row(1, 0, 0) };
        let shown = name(&long, NAME_CELLS);
        assert!(shown.starts_with("…d") && shown.ends_with("/空.jpg"), "{shown}");
        let cells: usize = shown.chars().filter_map(UnicodeWidthChar::width).sum();
        assert_eq!(cells, NAME_CELLS);
        let part = TransferRow { part_of: Some(1), ..row(2, 0, 0) };
        assert_eq!(name(&part, NAME_CELLS), "  dir/2");
    }

    #[test]
    fn each_file_at_work_has_a_line_as_long_as_it_is() {
        let mut bars = Bars::on(ProgressDrawTarget::hidden());
        let now = Instant::now();
        let file =
            |number| (TransferRow { part_of: Some(1), ..row(number, 1, 4 << 20) }, String::new());
        let mut progress = Progress {
            phase: "receiving".into(),
            transfer: Some(row(1, 2, 8)),
            there: 1,
            files: (2..30).map(file).collect(),
        };
        bars.follow(&progress, now);
        assert_eq!(bars.files.len(), FILES_SHOWN);
        assert_eq!((bars.first.line.position(), bars.first.line.length()), (2, Some(8)));
        progress.files.drain(..26);
        bars.follow(&progress, now);
        assert_eq!(bars.files.keys().copied().collect::<Vec<_>>(), [28, 29]);
        assert_eq!(bars.moved.len(), 3, "who ended is forgotten");
        bars.clear();
        assert!(bars.files.is_empty());
    }

    #[test]
    fn a_small_file_has_a_line_only_when_it_takes_long() {
        let mut bars = Bars::on(ProgressDrawTarget::hidden());
        let now = Instant::now();
        let small = TransferRow { part_of: Some(1), ..row(2, 1, 4_096) };
        let progress = Progress {
            phase: "receiving".into(),
            transfer: Some(row(1, 2, 8)),
            there: 0,
            files: vec![(small, String::new())],
        };
        bars.follow(&progress, now);
        assert!(bars.files.is_empty());
        bars.follow(&progress, now + SHOWN_AFTER);
        assert_eq!(bars.files.len(), 1);
    }

    #[test]
    fn a_search_counts_no_bytes_and_has_no_bar() {
        let mut bars = Bars::on(ProgressDrawTarget::hidden());
        let phase = "searching: 12 nodes, 3 files".to_owned();
        bars.follow(&Progress { phase: phase.clone(), ..Progress::default() }, Instant::now());
        assert_eq!(bars.first.line.message(), phase);
        assert_eq!(bars.first.shape, Some(Shape::Spinner));
    }
}
