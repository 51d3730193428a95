//! Scrubbing: what lies on the disk is read again from time to time, so that a
//! flipped bit is found while another holder still has the right bytes.
//!
//! One content after the other, at a rate that no user notices. What is damaged
//! is put aside, its records count as lost ([`chordal_core::chord::Input::Lost`]), and
//! the ring restores them.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use chordal_core::name::FileName;
use chordal_core::record::ContentHash;
use chordal_core::transfer::manifest::PieceIndex;
use chordal_store::{SetAside, Stamp, Verified};
use chordal_view::{Level, Step};

use super::Upkeep;

/// Bytes read a second: 345 GB a day, for a few thousandths of a core.
const RATE: u64 = 4 * 1024 * 1024;

/// What a small content counts at least, in bytes: looking it up costs as much
/// time as reading so many.
const LEAST: u64 = 128 * 1024;

/// How long a node has run before it looks for the first time: its start is
/// work enough, and its user is waiting.
const FIRST: Duration = Duration::from_secs(10 * 60);

/// Contents listed at once.
const PAGE: usize = 64;

/// The longest pause at a time: a node that stops does not wait for more.
const NAP: Duration = Duration::from_millis(50);

/// Pieces that an event names; of more it tells how many.
const NAMED: usize = 3;

/// Where the store keeps how far a pass has come.
const KEY: &str = "scrub";

/// How often that is kept: a disk at rest must not be woken for each content.
const KEPT_EVERY: Duration = Duration::from_secs(60);

/// A pass over all contents, in the order of their hashes. It outlives the
/// process: a large disk takes longer than many a node runs, and would never be
/// read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pass {
    /// When it began, in seconds since 1970.
    begun_s: u64,
    /// The last content that was looked at.
    last: Option<ContentHash>,
    /// Nothing comes behind that.
    ended: bool,
}

impl Pass {
    const fn begin(begun_s: u64) -> Pass {
        Pass { begun_s, last: None, ended: false }
    }

    /// How long to wait before it goes on or, if it has ended, the next begins.
    fn pause(&self, now_s: u64, every: Duration) -> Duration {
        if !self.ended {
            return Duration::ZERO;
        }
        // A clock that was set back must not cause a long wait.
        let since = now_s.checked_sub(self.begun_s).map_or(Duration::MAX, Duration::from_secs);
        every.saturating_sub(since)
    }

    fn to_bytes(self) -> Vec<u8> {
        let last = self.last.map_or_else(String::new, |root| root.to_string());
        format!("{} {} {last}", self.begun_s, u8::from(self.ended)).into_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Pass> {
        let mut words = std::str::from_utf8(bytes).ok()?.split(' ');
        let begun_s = words.next()?.parse().ok()?;
        let ended = words.next()? == "1";
        let last = words.next().filter(|word| !word.is_empty());
        let last = last.map(str::parse).transpose().ok()?;
        Some(Pass { begun_s, last, ended })
    }
}

/// Reads everything again and again, a pass at most `every` so often; never
/// without one.
pub(crate) async fn run(upkeep: Upkeep, every: Option<Duration>) {
    let Some(every) = every else { return };
    let mut pass = remembered(&upkeep).await.unwrap_or(Pass::begin(upkeep.notes.clock.unix_s()));
    let mut pause = pass.pause(upkeep.notes.clock.unix_s(), every).max(every.min(FIRST));
    loop {
        tokio::select! {
            () = upkeep.net.stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        if pass.ended {
            pass = Pass::begin(upkeep.notes.clock.unix_s());
        }
        let begun = Instant::now();
        let mut kept = begun;
        let mut page = pass.last.map(|last| (Vec::new(), last));
        while let Some(root) = next(&upkeep, &mut page).await {
            verify(&upkeep, root, RATE).await;
            if upkeep.net.stop.is_cancelled() {
                return;
            }
            pass.last = Some(root);
            if kept.elapsed() >= KEPT_EVERY {
                remember(&upkeep, pass).await;
                kept = Instant::now();
            }
        }
        pass = Pass { last: None, ended: true, ..pass };
        remember(&upkeep, pass).await;
        // Also after an empty pass there is a pause.
        pause = every.saturating_sub(begun.elapsed()).max(NAP);
    }
}

async fn remembered(upkeep: &Upkeep) -> Option<Pass> {
    let store = upkeep.store.clone();
    let kept = upkeep.net.tasks.spawn_blocking(move || store.meta(KEY)).await.ok()?;
    Pass::from_bytes(&kept.ok()??)
}

/// Should it fail, more is looked at twice.
async fn remember(upkeep: &Upkeep, pass: Pass) {
    let store = upkeep.store.clone();
    let kept = upkeep.net.tasks.spawn_blocking(move || store.set_meta(KEY, &pass.to_bytes())).await;
    if let Ok(Err(error)) = kept {
        tracing::warn!(%error, "how far the look for damage has come cannot be kept");
    }
}

/// The contents of a page that are still to be looked at, last first, and the
/// last of the page.
type Page = (Vec<ContentHash>, ContentHash);

/// The next content; `None` at the end of the pass.
async fn next(upkeep: &Upkeep, page: &mut Option<Page>) -> Option<ContentHash> {
    if let Some((left, _)) = page
        && let Some(root) = left.pop()
    {
        return Some(root);
    }
    let after = page.as_ref().map(|(_, last)| *last);
    let store = upkeep.store.clone();
    let listed =
        upkeep.net.tasks.spawn_blocking(move || store.contents(after.as_ref(), PAGE)).await.ok()?;
    let mut listed = match listed {
        Ok(listed) => listed,
        Err(error) => {
            tracing::warn!(%error, "the stored contents cannot be listed");
            return None;
        }
    };
    let last = *listed.last()?;
    listed.reverse();
    let root = listed.pop();
    *page = Some((listed, last));
    root
}

/// Looks at one content, reading `rate` bytes a second, and has it restored if it
/// is damaged.
pub(crate) async fn verify(upkeep: &Upkeep, root: ContentHash, rate: u64) {
    let (store, stop) = (upkeep.store.clone(), upkeep.net.stop.clone());
    let verify = move || {
        let mut read = 0;
        let marks = store.marks(&root).ok().flatten();
        let verified = store.verify(&root, |bytes| {
            read += bytes;
            pause_for_rate(bytes, rate, || stop.is_cancelled())
        });
        let _ = pause_for_rate(LEAST.saturating_sub(read), rate, || stop.is_cancelled());
        (verified, marks)
    };
    let Ok((verified, marks)) = upkeep.net.tasks.spawn_blocking(verify).await else { return };
    match verified {
        Ok(Verified::Damaged { bad, pieces }) => restore(upkeep, root, marks, &bad, pieces).await,
        // Given up since it was listed, as a rule: then no record names it.
        Ok(Verified::Gone) => restore(upkeep, root, None, &[], 0).await,
        Ok(Verified::Whole | Verified::Stopped) => {}
        Err(error) => {
            upkeep.notes.event(Level::Warn, format!("cannot look for damage: {error}")).await;
        }
    }
}

/// Puts a damaged content, or what names one that is gone, aside and tells the
/// core.
async fn restore(
    upkeep: &Upkeep,
    root: ContentHash,
    seen: Option<Stamp>,
    bad: &[PieceIndex],
    pieces: u32,
) {
    // What no other node has is kept: damaged bytes are better than none.
    let alone = {
        let names = upkeep.store.name_of(&root);
        let look =
            move |core: &chordal_core::chord::Host| names.is_none_or(|n| !core.is_elsewhere(&n));
        upkeep.core.look(look).await.unwrap_or(true)
    };
    let store = upkeep.store.clone();
    let aside = upkeep.net.tasks.spawn_blocking(move || store.set_aside(&root, seen, alone)).await;
    let SetAside { records, kept } = match aside {
        Ok(Ok(aside)) => aside,
        // The node stops.
        Err(_) => return,
        Ok(Err(error)) => {
            let text = format!("a damaged file cannot be put aside: {error}");
            return upkeep.notes.event(Level::Error, text).await;
        }
    };
    for record in records {
        let mut text = sentence(&record.name, bad, pieces);
        if let Some(path) = &kept {
            text = format!("{text}; what is left of it is kept as {}", path.display());
        }
        upkeep.notes.step(Step::Damaged, Level::Warn, text).await;
        let (name, version) = (record.name, record.version);
        upkeep.core.lost(name, version).await;
    }
}

/// What people are told: pieces are counted from 1; without any the bytes are
/// gone.
fn sentence(name: &FileName, bad: &[PieceIndex], pieces: u32) -> String {
    let which = match bad {
        [] => return format!("{name} is missing from this disk"),
        _ if pieces == 1 => String::new(),
        [one] => format!(" (piece {} of {pieces})", one.0 + 1),
        few if few.len() <= NAMED => {
            let named: Vec<String> = few.iter().map(|piece| (piece.0 + 1).to_string()).collect();
            format!(" (pieces {} of {pieces})", named.join(", "))
        }
        many => format!(" ({} of {pieces} pieces)", many.len()),
    };
    format!("{name} is damaged on this disk{which}")
}

/// Pauses as long as so many bytes may take at `rate` bytes a second.
fn pause_for_rate(bytes: u64, rate: u64, stopped: impl Fn() -> bool) -> ControlFlow<()> {
    let mut left = Duration::from_secs(1).mul_f64(bytes as f64 / rate as f64);
    while !left.is_zero() {
        if stopped() {
            return ControlFlow::Break(());
        }
        let nap = left.min(NAP);
        std::thread::sleep(nap);
        left -= nap;
    }
    ControlFlow::Continue(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_counts_pieces_as_people_do() {
        let name = FileName::new("film.mkv").expect("a name");
        let said = |bad: &[u32], pieces| {
            let bad: Vec<PieceIndex> = bad.iter().map(|at| PieceIndex(*at)).collect();
            sentence(&name, &bad, pieces)
        };
        assert_eq!(said(&[0], 1), "film.mkv is damaged on this disk");
        assert_eq!(said(&[], 0), "film.mkv is missing from this disk");
        assert_eq!(said(&[2], 80), "film.mkv is damaged on this disk (piece 3 of 80)");
        assert_eq!(said(&[2, 4], 80), "film.mkv is damaged on this disk (pieces 3, 5 of 80)");
        assert_eq!(said(&[1, 2, 3, 4], 80), "film.mkv is damaged on this disk (4 of 80 pieces)");
    }

    #[test]
    fn a_pass_goes_on_where_an_earlier_run_was_and_the_next_begins_when_it_is_due() {
        let (day, at) = (Duration::from_secs(86_400), 1_800_000_000);
        let under_way = Pass { last: Some(ContentHash([7; 32])), ..Pass::begin(at) };
        let ended = Pass { last: None, ended: true, ..under_way };
        for pass in [Pass::begin(at), under_way, ended] {
            assert_eq!(Pass::from_bytes(&pass.to_bytes()), Some(pass));
        }
        assert_eq!(under_way.pause(at + 3_600, day), Duration::ZERO);
        assert_eq!(ended.pause(at + 3_600, day), Duration::from_secs(82_800));
        assert_eq!(ended.pause(at + 90_000, day), Duration::ZERO);
        assert_eq!(ended.pause(at - 1, day), Duration::ZERO, "the clock was set back");
        for damaged in [&b""[..], b"x 1 ", b"17", b"17 0 abc", b"\xFF"] {
            assert_eq!(Pass::from_bytes(damaged), None);
        }
    }

    #[test]
    fn a_pause_ends_when_the_node_stops() {
        assert!(pause_for_rate(u64::MAX / 2, RATE, || true).is_break());
        assert!(pause_for_rate(0, RATE, || true).is_continue());
        assert!(pause_for_rate(1, RATE, || false).is_continue());
    }
}
