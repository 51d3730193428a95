//! Bursts of like events, told in few lines.
//!
//! A join or a death moves hundreds of files at once. The first lines of each
//! kind are shown as they are; the rest of the burst is counted and told in
//! one line a second, so that what else happens stays in sight.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chordal_core::chord::Notice;
use chordal_view::Level;

/// Lines of one kind that are shown before they are counted.
pub(crate) const SHOWN: u32 = 5;

/// How often the count is told; a kind of which nothing comes for this long
/// is shown again.
pub(crate) const WINDOW: Duration = Duration::from_secs(1);

/// The bursts under way, by the kind of what happens.
#[derive(Debug)]
pub(crate) struct Bursts<K> {
    open: BTreeMap<K, Burst>,
}

#[derive(Debug)]
struct Burst {
    until: Instant,
    shown: u32,
    counted: u32,
    /// Of what is counted, for kinds that have a weight.
    sum: u64,
}

impl<K> Default for Bursts<K> {
    fn default() -> Bursts<K> {
        Bursts { open: BTreeMap::new() }
    }
}

impl<K: Copy + Ord> Bursts<K> {
    /// Whether one more of this kind is shown by itself; otherwise it is
    /// counted, and its weight added up.
    pub(crate) fn shows(&mut self, kind: K, weight: u64, now: Instant) -> bool {
        let burst = self.burst(kind, now);
        if burst.shown < SHOWN {
            burst.shown += 1;
            return true;
        }
        self.add(kind, weight, now);
        false
    }

    /// Counts one more of this kind.
    pub(crate) fn add(&mut self, kind: K, weight: u64, now: Instant) {
        let burst = self.burst(kind, now);
        burst.counted += 1;
        burst.sum = burst.sum.saturating_add(weight);
    }

    /// Whether a burst of this kind is under way.
    pub(crate) fn is_open(&self, kind: &K) -> bool {
        self.open.contains_key(kind)
    }

    /// Bursts under way.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    fn burst(&mut self, kind: K, now: Instant) -> &mut Burst {
        let fresh = Burst { until: now + WINDOW, shown: 0, counted: 0, sum: 0 };
        self.open.entry(kind).or_insert(fresh)
    }

    /// When there is something to tell.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.open.values().map(|burst| burst.until).min()
    }

    /// The counts that are due, with what was counted and the sum of its weights.
    pub(crate) fn counts(&mut self, now: Instant) -> Vec<(K, u32, u64)> {
        let mut counts = Vec::new();
        self.open.retain(|kind, burst| {
            if burst.until > now {
                return true;
            }
            if burst.counted == 0 {
                return false;
            }
            counts.push((*kind, burst.counted, burst.sum));
            *burst = Burst { until: now + WINDOW, shown: SHOWN, counted: 0, sum: 0 };
            true
        });
        counts
    }
}

/// Notices of which many come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Kept,
    Removed,
    Given,
    Lacking,
    Complete,
    Failed,
    Unable,
    Lost,
    Beaten,
    Forgotten,
    Restored,
}

/// Bursts of the core's notices.
#[derive(Debug, Default)]
pub(crate) struct Notices(Bursts<Kind>);

impl Notices {
    /// Whether this notice is shown by itself; otherwise it is counted.
    pub(crate) fn shows(&mut self, notice: &Notice, now: Instant) -> bool {
        kind(notice).is_none_or(|kind| self.0.shows(kind, 0, now))
    }

    /// When there is something to tell.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.0.due()
    }

    /// The lines that are due.
    pub(crate) fn tell(&mut self, now: Instant) -> Vec<(Level, String)> {
        self.0.counts(now).into_iter().map(|(kind, count, _)| line(kind, count)).collect()
    }
}

fn kind(notice: &Notice) -> Option<Kind> {
    match notice {
        Notice::Kept(record) if record.is_deleted() => Some(Kind::Removed),
        Notice::Kept(_) => Some(Kind::Kept),
        Notice::Given(_) => Some(Kind::Given),
        // A command waits for these copies: they are no burst.
        Notice::Copies { ticket: Some(_), .. } => None,
        // Told in detail only, and no file's copies.
        Notice::Copies { removed: true, .. } => None,
        Notice::Copies { copies, wanted, .. } if copies < wanted => Some(Kind::Lacking),
        Notice::Copies { .. } => Some(Kind::Complete),
        Notice::KeepFailed { .. } => Some(Kind::Failed),
        Notice::PassedOver { .. } => Some(Kind::Unable),
        Notice::Lost { .. } => Some(Kind::Lost),
        Notice::Beaten { .. } => Some(Kind::Beaten),
        Notice::Forgotten { .. } => Some(Kind::Forgotten),
        Notice::Restored { .. } => Some(Kind::Restored),
        _ => None,
    }
}

fn line(kind: Kind, count: u32) -> (Level, String) {
    let files = if count == 1 { "file" } else { "files" };
    let more = format!("{count} more {files}");
    match kind {
        Kind::Kept => (Level::Info, format!("{more} kept here")),
        Kind::Removed => (Level::Info, format!("{more} removed")),
        Kind::Given => (Level::Info, format!("{more} handed over")),
        Kind::Lacking => (Level::Detail, format!("fewer copies than wanted, {more}")),
        Kind::Complete => (Level::Info, format!("all copies made, {more}")),
        Kind::Failed => (Level::Warn, format!("{more} could not be copied here")),
        Kind::Unable => (Level::Warn, format!("holders cannot store {more}")),
        Kind::Lost => (Level::Warn, format!("{more} damaged on this disk")),
        Kind::Beaten => (Level::Warn, format!("{more} lost to newer versions unheard of")),
        Kind::Forgotten => (Level::Warn, format!("nobody holds the newest version of {more}")),
        Kind::Restored => (Level::Info, format!("{more} restored")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chordal_core::name::FileName;

    #[test]
    fn the_first_lines_of_a_burst_are_shown_and_the_rest_is_counted() {
        let start = Instant::now();
        let mut bursts = Notices::default();
        let given = Notice::Given(FileName::new("a").expect("a name"));
        let shown = (0..1_000).filter(|_| bursts.shows(&given, start)).count();
        assert_eq!(shown, SHOWN as usize);
        assert!(bursts.shows(&Notice::Left, start), "what comes alone is shown");

        let later = start + WINDOW;
        assert_eq!(bursts.due(), Some(later));
        assert_eq!(bursts.tell(later), [(Level::Info, "995 more files handed over".to_owned())]);
        // While it goes on, only its count is told.
        assert!(!bursts.shows(&given, later));
        assert_eq!(
            bursts.tell(later + WINDOW),
            [(Level::Info, "1 more file handed over".to_owned())]
        );
        // It is over.
        assert!(bursts.tell(later + WINDOW * 2).is_empty());
        assert_eq!(bursts.due(), None);
        assert!(bursts.shows(&given, later + WINDOW * 3));
    }
}
