//! What happens to shared files, for the events panel: each line by itself,
//! but of a burst only the first lines and then its size.

use std::time::Instant;

use chordal_view::Level;

use crate::inputs::event_coalescer::Bursts;

/// What happens to a shared file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// It is shared now.
    Added,
    /// It has other bytes now.
    Changed,
    /// It is gone.
    Gone,
    /// It is not shared, for a reason.
    Skipped,
}

impl Kind {
    const fn level(self) -> Level {
        match self {
            Kind::Added | Kind::Changed | Kind::Gone => Level::Info,
            Kind::Skipped => Level::Warn,
        }
    }

    const fn counted(self) -> &'static str {
        match self {
            Kind::Added => "shared",
            Kind::Changed => "shared with other bytes",
            Kind::Gone => "not shared any more",
            Kind::Skipped => "not shared",
        }
    }
}

/// The lines of shared files.
#[derive(Debug, Default)]
pub(super) struct Teller(Bursts<Kind>);

impl Teller {
    /// The line as it is to be shown, unless it is only counted.
    pub(super) fn line(
        &mut self,
        kind: Kind,
        text: String,
        now: Instant,
    ) -> Option<(Level, String)> {
        self.0.shows(kind, 0, now).then(|| (kind.level(), text))
    }

    /// When there is something to tell.
    pub(super) fn due(&self) -> Option<Instant> {
        self.0.due()
    }

    /// The counts that are due.
    pub(super) fn counts(&mut self, now: Instant) -> Vec<(Level, String)> {
        let line = |(kind, count, _): (Kind, u32, u64)| {
            let files = match count {
                1 => "1 more file is".to_owned(),
                more => format!("{more} more files are"),
            };
            (kind.level(), format!("{files} {}", kind.counted()))
        };
        self.0.counts(now).into_iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::event_coalescer::{SHOWN, WINDOW};

    #[test]
    fn of_a_burst_the_first_lines_are_shown_and_the_rest_is_counted() {
        let start = Instant::now();
        let mut teller = Teller::default();
        let shown = (0..100).filter_map(|_| teller.line(Kind::Added, "a".into(), start)).count();
        assert_eq!(shown, SHOWN as usize);
        let skipped = teller.line(Kind::Skipped, "b".into(), start);
        assert_eq!(skipped, Some((Level::Warn, "b".into())));
        assert_eq!(teller.due(), Some(start + WINDOW));
        let counts = teller.counts(start + WINDOW);
        assert_eq!(counts, [(Level::Info, "95 more files are shared".to_owned())]);
        assert!(teller.counts(start + WINDOW * 2).is_empty(), "it is over");
        assert_eq!(teller.due(), None);
    }
}
