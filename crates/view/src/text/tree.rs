//! Whole directories.

use crate::Outcome;
use crate::outcome::Outvoted;
use chordal_core::peer::Peer;

use crate::format::{self, bytes, clean, count};

/// What became of a directory: one line for all, then what failed.
pub(super) fn lines(outcome: &Outcome) -> Vec<String> {
    match outcome {
        Outcome::StoredAll {
            name,
            stored,
            already,
            bytes: sum,
            millis,
            failed,
            skipped,
            cut_off,
            outvoted,
            example,
        } => {
            let sum = Sum { moved: *stored, already: *already, bytes: *sum, millis: *millis };
            let mut first = match stored + already {
                0 => {
                    format!("nothing stored as {name}/: the ring keeps files, no empty directories")
                }
                _ => format!("{name}/ {}", sum.words("stored")),
            };
            if !skipped.is_empty() {
                first = format!("{first}; {} left out", skipped.len());
            }
            let skipped =
                skipped.iter().map(|(path, what)| format!("left out: {}: {what}", clean(path)));
            let cut_off = super::is_cut_off(*cut_off);
            let outvoted = example.as_ref().map(|example| older(*outvoted, example));
            let first = std::iter::once(first).chain(cut_off).chain(outvoted);
            first.chain(skipped).chain(failures(failed)).collect()
        }
        Outcome::FetchedAll {
            name,
            fetched,
            already,
            bytes: sum,
            path,
            millis,
            failed,
            silent,
        } => {
            let sum = Sum { moved: *fetched, already: *already, bytes: *sum, millis: *millis };
            let path = clean(&path.to_string_lossy()).into_owned();
            let first = format!("{name}/ {}, saved in {path}", sum.words("fetched"));
            let missing = (!silent.is_empty()).then(|| silence(silent));
            std::iter::once(first).chain(missing).chain(failures(failed)).collect()
        }
        _ => Vec::new(),
    }
}

struct Sum {
    moved: u32,
    already: u32,
    bytes: u64,
    millis: u64,
}

impl Sum {
    fn words(&self, done: &str) -> String {
        let already = match self.already {
            0 => String::new(),
            some => format!(" ({some} already there)"),
        };
        format!(
            "{done}: {}{already}, {} in {}",
            format::files((self.moved + self.already) as usize),
            bytes(self.bytes),
            format::took(self.millis),
        )
    }
}

/// What may happen to names that are new to the nodes that answer, with one of them as
/// an example.
fn older(names: u32, Outvoted { name, silent, likely }: &Outvoted) -> String {
    let example = super::of_likely(name, silent, *likely);
    match names {
        0 | 1 => format!("{example}; an older version there may win"),
        _ => format!(
            "most nodes that may hold an older version of {names} of these files do not answer: \
             {example}; older versions may win"
        ),
    }
}

fn silence(silent: &[Peer]) -> String {
    let peers: Vec<_> = silent.iter().map(ToString::to_string).collect();
    format!(
        "{} did not answer, so files that only they have are missing: {}",
        count(silent.len(), "member", "members"),
        peers.join(", ")
    )
}

/// What failed of a directory, as lines: how many, then each with its reason;
/// none when nothing did.
pub fn failures(failed: &[(String, String)]) -> Vec<String> {
    if failed.is_empty() {
        return Vec::new();
    }
    let head = format!("{} failed:", format::files(failed.len()));
    let each = failed.iter().map(|(what, why)| format!("  {}: {}", clean(what), clean(why)));
    std::iter::once(head).chain(each).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chordal_core::name::FileName;

    fn name() -> FileName {
        FileName::new("holiday").expect("a name")
    }

    #[test]
    fn a_directory_is_one_line_and_one_for_each_that_failed() {
        let stored = Outcome::StoredAll {
            name: name(),
            stored: 11,
            already: 1,
            bytes: 85_000,
            millis: 1_250,
            failed: vec![("holiday/a:b".into(), "it cannot be a name".into())],
            skipped: vec![("holiday/link".into(), "a symbolic link".into())],
            cut_off: 0,
            outvoted: 0,
            example: None,
        };
        assert_eq!(
            lines(&stored),
            [
                "holiday/ stored: 12 files (1 already there), 85.0 kB in 1.2 s; 1 left out",
                "left out: holiday/link: a symbolic link",
                "1 file failed:",
                "  holiday/a:b: it cannot be a name",
            ]
        );
    }

    #[test]
    fn an_empty_directory_is_said_to_be_one() {
        let stored = Outcome::StoredAll {
            name: name(),
            stored: 0,
            already: 0,
            bytes: 0,
            millis: 1,
            failed: Vec::new(),
            skipped: Vec::new(),
            cut_off: 0,
            outvoted: 0,
            example: None,
        };
        assert_eq!(
            lines(&stored),
            ["nothing stored as holiday/: the ring keeps files, no empty directories"]
        );
    }

    #[test]
    fn what_an_older_version_may_beat_is_one_line_whatever_number() {
        let stored = |outvoted| Outcome::StoredAll {
            name: name(),
            stored: 40,
            already: 0,
            bytes: 7,
            millis: 1,
            failed: Vec::new(),
            skipped: Vec::new(),
            cut_off: 0,
            outvoted,
            example: Some(Outvoted {
                name: FileName::new("holiday/a.txt").expect("a name"),
                silent: [2000, 2001].map(|port| Peer::new(([127, 0, 0, 1], port).into(), 0)).into(),
                likely: 3,
            }),
        };
        assert_eq!(
            lines(&stored(1))[1..],
            ["2 of 3 nodes that may hold holiday/a.txt do not answer (127.0.0.1:2000, \
              127.0.0.1:2001); an older version there may win"]
        );
        assert_eq!(
            lines(&stored(12))[1..],
            ["most nodes that may hold an older version of 12 of these files do not answer: 2 of \
              3 nodes that may hold holiday/a.txt do not answer (127.0.0.1:2000, 127.0.0.1:2001); \
              older versions may win"]
        );
    }

    #[test]
    fn who_did_not_say_what_it_has_is_named() {
        let fetched = Outcome::FetchedAll {
            name: name(),
            fetched: 2,
            already: 0,
            bytes: 7,
            path: "here/holiday".into(),
            millis: 12,
            failed: Vec::new(),
            silent: vec![Peer::new(([127, 0, 0, 1], 2000).into(), 0)],
        };
        assert_eq!(
            lines(&fetched),
            [
                "holiday/ fetched: 2 files, 7 B in 12 ms, saved in here/holiday",
                "1 member did not answer, so files that only they have are missing: 127.0.0.1:2000",
            ]
        );
    }
}
