//! The searches that begin at this node: what they have found, and the commands that follow
//! them: the dashboard, the command, a client.
//!
//! Results only grow, in the order in which they came, so that a command that follows
//! asks for what is behind the last one it has.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::timeout;

use chordal_core::error::{CommandError, Reason};
use chordal_core::limits::{MAX_PAGE, MAX_RESULTS};
use chordal_core::mesh::broadcast::Progress;
use chordal_core::mesh::pattern::Pattern;
use chordal_core::name::FileName;
use chordal_core::peer::Peer;
use chordal_core::record::ContentHash;
use chordal_core::wire::mesh::{FoundRow, SearchId};
use chordal_core::wire::query::SearchState;
use chordal_core::wire::{Request, Response};
use chordal_view::{FoundContent, Liveness, SearchRow};

use super::input::{Found, Watched};
use crate::data::Data;
use crate::data::access::Access;
use crate::overlay::Overlay;

/// Searches of this node under way at one time: a person's, and those of a few
/// clients.
const RUNNING: usize = 8;

/// Searches of which the results are kept for commands that follow them.
const KEPT: usize = 16;

/// Linked peers that are asked directly: far more than a node has.
const LINKED: usize = 32;

/// Results that linked peers may bring, all together: members of the ring are
/// heard there as well, so this is room for those that are not.
const LINKED_RESULTS: usize = MAX_RESULTS / 4;

/// How long a linked peer may take: it answers from its memory.
const LINKED_LIMIT: Duration = Duration::from_secs(2);

/// What follows a search changes at most this often: a person sees no more.
const SPACING: Duration = Duration::from_millis(100);

/// The searches that began here.
pub(super) struct Finds {
    overlay: Overlay,
    /// Searches begun so far.
    count: u32,
    /// Added to the numbers that other nodes see: those of an earlier run of
    /// this node may still be on their way.
    base: u32,
    running: BTreeMap<u32, Find>,
    /// Those that ended, the newest last; never so many that [`KEPT`] is passed.
    ended: BTreeMap<u32, Watched>,
    published: Option<Instant>,
}

/// A search under way.
struct Find {
    pattern: String,
    matcher: Pattern,
    /// The dashboard shows it.
    shown: bool,
    seen: BTreeSet<FoundRow>,
    /// By which of its positions each host is named.
    hosts: BTreeMap<SocketAddr, Peer>,
    found: Found,
    /// Rows that only linked peers brought.
    linked_rows: usize,
    /// Linked peers that have more than they were asked for.
    linked_more: BTreeSet<SocketAddr>,
    /// Nodes of whose files the ring told: these are not only linked.
    on_ring: BTreeSet<SocketAddr>,
    /// There was no room for everything that came, or the ring said so.
    cut: bool,
    /// Linked peers that have not answered.
    asked: BTreeSet<Peer>,
    /// Linked peers that are not on the ring, as far as is known, where their answers are
    /// not counted: those that nothing here names, and of whose files the ring tells nothing.
    strangers: BTreeSet<Peer>,
    /// Nodes of the ring that answered.
    ring_answered: u32,
    ring_ended: bool,
    changed: bool,
    followers: watch::Sender<Arc<Found>>,
}

impl Finds {
    pub(super) fn new(overlay: Overlay) -> Finds {
        Finds {
            overlay,
            count: 0,
            base: fastrand::u32(..),
            running: BTreeMap::new(),
            ended: BTreeMap::new(),
            published: None,
        }
    }

    /// A new search: its number, its name for other nodes, and the linked peers
    /// that are to be asked.
    pub(super) fn begin(
        &mut self,
        me: Peer,
        pattern: &str,
        shown: bool,
        on_ring: impl Fn(SocketAddr) -> bool,
    ) -> Result<(u32, SearchId, Vec<Peer>), CommandError> {
        if self.running.len() >= RUNNING {
            return Err(Reason::Limit.because(format!(
                "{RUNNING} searches of {} are under way already; try again in a moment",
                me.address()
            )));
        }
        while self.running.len() + self.ended.len() >= KEPT && self.ended.pop_first().is_some() {}
        self.count += 1;
        let rows = self.overlay.data.notes.ui_rows.rows();
        let mut linked: Vec<Peer> = rows
            .peers
            .iter()
            .filter(|row| row.link.is_some() && row.liveness != Liveness::Dead && row.peer != me)
            .map(|row| row.peer)
            .take(LINKED)
            .collect();
        linked.sort_unstable();
        let strangers = linked.iter().filter(|peer| !on_ring(peer.address())).copied().collect();
        let find = Find { strangers, ..Find::new(pattern, &linked, shown) };
        self.running.insert(self.count, find);
        let number = self.base.wrapping_add(self.count);
        Ok((self.count, SearchId { origin: me, number }, linked))
    }

    /// Results of the ring.
    pub(super) fn found(&mut self, search: SearchId, rows: Vec<FoundRow>) {
        let number = search.number.wrapping_sub(self.base);
        let Some(find) = self.running.get_mut(&number) else { return };
        find.ring_found(rows);
    }

    /// How the ring's part of a search stands.
    pub(super) fn stands(&mut self, search: SearchId, progress: Progress, ended: bool) {
        let number = search.number.wrapping_sub(self.base);
        let Some(find) = self.running.get_mut(&number) else { return };
        find.ring_stands(progress, ended);
        self.end_if_over(number);
    }

    /// A linked peer answered with files and whether it has more, or did not.
    pub(super) async fn linked_answered(
        &mut self,
        number: u32,
        peer: Peer,
        answer: Option<(Vec<FoundRow>, bool)>,
    ) {
        let Some(find) = self.running.get_mut(&number) else { return };
        if !find.linked_answered(peer, answer) {
            let text = format!("{peer} answered a search with files that it was not asked for");
            self.overlay.data.notes.stranger(text).await;
        }
        self.end_if_over(number);
    }

    /// Follows a search.
    pub(super) fn follow(&self, number: u32) -> Option<Watched> {
        let running = self.running.get(&number).map(|find| find.followers.subscribe());
        running.or_else(|| self.ended.get(&number).cloned())
    }

    /// When there is something to publish.
    pub(super) fn due(&self) -> Option<Instant> {
        let changed = self.running.values().any(|find| find.changed);
        changed.then(|| self.published.map_or_else(Instant::now, |at| at + SPACING))
    }

    /// Publishes what changed, if it is time to.
    pub(super) fn publish(&mut self, now: Instant) {
        if self.due().is_none_or(|due| due > now) {
            return;
        }
        self.published = Some(now);
        for (number, find) in self.running.iter_mut().filter(|(_, find)| find.changed) {
            find.publish(*number, &self.overlay);
        }
    }

    fn end_if_over(&mut self, number: u32) {
        let find = self.running.get_mut(&number).filter(|find| find.is_over());
        let Some(find) = find else { return };
        find.found.state.ended = true;
        find.publish(number, &self.overlay);
        self.ended.insert(number, find.followers.subscribe());
        self.running.remove(&number);
    }
}

impl Find {
    fn new(pattern: &str, linked: &[Peer], shown: bool) -> Find {
        let state = SearchState {
            peers: linked.iter().map(|peer| (*peer, None)).collect(),
            answered: 1,
            ..SearchState::default()
        };
        let found = Found { rows: Vec::new(), state };
        Find {
            pattern: pattern.to_owned(),
            matcher: Pattern::new(pattern),
            shown,
            seen: BTreeSet::new(),
            hosts: BTreeMap::new(),
            followers: watch::Sender::new(Arc::new(found.clone())),
            found,
            linked_rows: 0,
            linked_more: BTreeSet::new(),
            on_ring: BTreeSet::new(),
            cut: false,
            asked: linked.iter().copied().collect(),
            strangers: BTreeSet::new(),
            ring_answered: 1,
            ring_ended: false,
            changed: true,
        }
    }

    /// A linked peer answered, or did not; whether the answer is fair.
    fn linked_answered(&mut self, peer: Peer, answer: Option<(Vec<FoundRow>, bool)>) -> bool {
        if !self.asked.remove(&peer) {
            return true;
        }
        self.changed = true;
        let Some((rows, more)) = answer else {
            self.strangers.remove(&peer);
            return true;
        };
        let sent = rows.len();
        let its = |row: &FoundRow| {
            row.node.address() == peer.address() && self.matcher.matches(row.name.as_str())
        };
        let rows: Vec<FoundRow> = rows.into_iter().filter(its).take(MAX_PAGE).collect();
        let is_fair = rows.len() == sent;
        let state = &mut self.found.state;
        if let Some((_, has)) = state.peers.iter_mut().find(|(asked, _)| *asked == peer) {
            *has = Some(!rows.is_empty());
        }
        if !rows.is_empty() && !self.on_ring.contains(&peer.address()) {
            self.found.state.outside.push(peer.address());
        }
        self.count_answers();
        if more || !is_fair {
            self.linked_more.insert(peer.address());
        }
        for row in rows {
            if self.found.rows.len() >= MAX_RESULTS || self.linked_rows >= LINKED_RESULTS {
                self.linked_more.insert(peer.address());
                break;
            }
            self.linked_rows += usize::from(self.take(row));
        }
        self.count_cuts();
        is_fair
    }

    /// Takes results of the ring in.
    fn ring_found(&mut self, rows: Vec<FoundRow>) {
        self.changed = true;
        for row in rows {
            if self.found.rows.len() >= MAX_RESULTS {
                self.cut = true;
                break;
            }
            let address = row.node.address();
            self.on_ring.insert(address);
            self.found.state.outside.retain(|outside| *outside != address);
            self.strangers.retain(|peer| peer.address() != address);
            self.take(row);
        }
        self.count_answers();
        self.count_cuts();
    }

    /// Takes over how the ring's part stands.
    fn ring_stands(&mut self, progress: Progress, ended: bool) {
        let Progress { answered, depth, silent, truncated } = progress;
        self.cut |= truncated;
        let before = self.found.state.clone();
        self.ring_answered = answered;
        self.found.state = SearchState { silent, depth, ..before.clone() };
        self.count_answers();
        self.changed |= self.found.state != before;
        self.ring_ended |= ended;
        self.count_cuts();
    }

    /// Nodes that answered: those of the ring, and linked peers beside it.
    fn count_answers(&mut self) {
        let beside = self.strangers.difference(&self.asked).count();
        let beside = u32::try_from(beside).unwrap_or(u32::MAX);
        self.found.state.answered = self.ring_answered.saturating_add(beside);
    }

    /// Whether anything is missing. The ring tells all that a member has, so a
    /// page of that member alone is no loss.
    fn count_cuts(&mut self) {
        let only_linked = self.linked_more.difference(&self.on_ring).next().is_some();
        let truncated = self.cut || only_linked;
        self.changed |= truncated != self.found.state.truncated;
        self.found.state.truncated = truncated;
    }

    fn is_over(&self) -> bool {
        self.ring_ended && self.asked.is_empty()
    }

    /// Takes a row in; whether it is new. A host speaks by several positions: what
    /// it has counts once.
    fn take(&mut self, mut row: FoundRow) -> bool {
        row.node = *self.hosts.entry(row.node.address()).or_insert(row.node);
        let new = self.seen.insert(row.clone());
        if new {
            self.found.rows.push(row);
        }
        new
    }

    fn publish(&mut self, number: u32, overlay: &Overlay) {
        self.changed = false;
        self.followers.send_replace(Arc::new(self.found.clone()));
        if self.shown {
            let row = Arc::new(row(number, &self.pattern, &self.found));
            overlay.data.notes.show(|rows| {
                // A later search is not pushed aside by the end of an earlier one.
                if rows.search.as_ref().is_none_or(|shown| shown.number <= number) {
                    rows.search = Some(row);
                }
            });
        }
    }
}

/// Asks a linked peer for its files that match: the first page, and whether
/// there are more. `None`: it did not answer.
pub(super) async fn ask_linked(
    data: Data,
    peer: Peer,
    pattern: String,
) -> Option<(Vec<FoundRow>, bool)> {
    let request = Request::Search { pattern, after: None };
    let access = Access::Inside(data);
    match timeout(LINKED_LIMIT, access.request(peer.address(), request)).await {
        Ok(Ok(Response::Found { rows, more })) => Some((rows, more)),
        _ => None,
    }
}

/// A search as it is shown: each content once.
pub(crate) fn row(number: u32, pattern: &str, found: &Found) -> SearchRow {
    let SearchState { ended, peers, outside, answered, silent, depth, truncated } =
        found.state.clone();
    SearchRow {
        number,
        pattern: pattern.to_owned(),
        peers,
        contents: contents(&found.rows, &outside),
        answered,
        silent,
        depth,
        running: !ended,
        truncated,
    }
}

/// What is known of a content while rows are gathered.
#[derive(Default)]
struct Gathered {
    names: BTreeSet<FileName>,
    sources: BTreeSet<Peer>,
    stored: bool,
}

/// Groups rows by content, in the order of first names. A false size does not
/// get into the true content's group.
fn contents(rows: &[FoundRow], outside: &[SocketAddr]) -> Vec<FoundContent> {
    let mut groups: BTreeMap<(ContentHash, u64), Gathered> = BTreeMap::new();
    for row in rows {
        let group = groups.entry((row.root, row.size)).or_default();
        group.names.insert(row.name.clone());
        group.sources.insert(row.node);
        group.stored |= row.stored;
    }
    let mut contents: Vec<FoundContent> = groups
        .into_iter()
        .map(|((root, size), group)| FoundContent {
            names: group.names.into_iter().collect(),
            root,
            size,
            outside: group.sources.iter().all(|peer| outside.contains(&peer.address())),
            sources: group.sources.into_iter().collect(),
            stored: group.stored,
        })
        .collect();
    contents.sort_by(|a, b| (&a.names, a.root).cmp(&(&b.names, b.root)));
    contents
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(port: u16, name: &str, root: u8, size: u64, stored: bool) -> FoundRow {
        FoundRow {
            node: Peer::new(([127, 0, 0, 1], port).into(), 0),
            name: FileName::new(name).expect("a name"),
            root: ContentHash([root; 32]),
            size,
            stored,
        }
    }

    #[test]
    fn a_content_is_shown_once_with_its_names_and_sources() {
        let rows = [
            row(2002, "b.jpg", 7, 5, false),
            row(2001, "c.jpg", 7, 5, true),
            row(2001, "b.jpg", 7, 5, false),
            row(2003, "a.jpg", 8, 9, false),
            row(2004, "b.jpg", 7, 6, true),
        ];
        let contents = contents(&rows, &[]);
        let shown: Vec<_> = contents
            .iter()
            .map(|content| {
                let names: Vec<_> = content.names.iter().map(FileName::as_str).collect();
                let ports: Vec<_> = content.sources.iter().map(|p| p.address().port()).collect();
                (names, ports, content.size, content.stored)
            })
            .collect();
        assert_eq!(
            shown,
            [
                (vec!["a.jpg"], vec![2003], 9, false),
                (vec!["b.jpg"], vec![2004], 6, true),
                (vec!["b.jpg", "c.jpg"], vec![2001, 2002], 5, true),
            ]
        );
    }

    fn peer(port: u16) -> Peer {
        row(port, "x", 0, 0, false).node
    }

    #[test]
    fn a_search_is_over_when_the_ring_and_every_linked_peer_have_had_their_say() {
        let mut find = Find::new("jpg", &[peer(2001), peer(2002), peer(2003)], true);
        assert_eq!(find.found.state.peers[0], (peer(2001), None));
        assert!(
            find.linked_answered(peer(2001), Some((vec![row(2001, "a.jpg", 1, 1, false)], false)))
        );
        assert!(find.linked_answered(peer(2002), Some((Vec::new(), false))));
        find.ring_found(vec![row(2001, "a.jpg", 1, 1, false), row(2004, "b.jpg", 2, 1, true)]);
        find.ring_stands(Progress { answered: 3, depth: 1, ..Progress::default() }, true);
        assert!(!find.is_over(), "2003 has not answered");
        assert!(find.linked_answered(peer(2003), None));
        assert!(find.is_over());
        let shown = super::row(1, "jpg", &find.found);
        let has: Vec<_> = shown.peers.iter().map(|(_, has)| *has).collect();
        assert_eq!(has, [Some(true), Some(false), None]);
        // What the ring tells again about a linked peer is the same file.
        assert_eq!((shown.contents.len(), find.found.rows.len(), shown.answered), (2, 2, 3));
    }

    #[test]
    fn a_linked_peer_speaks_for_itself_and_fills_its_part_only() {
        let mut find = Find::new("jpg", &[peer(2001), peer(2002), peer(2003)], true);
        let others = vec![row(2009, "a.jpg", 1, 1, false), row(2001, "mine.jpg", 2, 1, false)];
        assert!(!find.linked_answered(peer(2001), Some((others, false))));
        assert_eq!(find.found.rows.len(), 1);
        let other = vec![row(2002, "a.png", 1, 1, false)];
        assert!(!find.linked_answered(peer(2002), Some((other, false))));
        assert_eq!(find.found.state.peers[1].1, Some(false));
        let many = (0..=255).map(|n| row(2003, "a.jpg", n, 1, false)).collect();
        assert!(!find.linked_answered(peer(2003), Some((many, true))));
        assert_eq!(find.found.rows.len(), 1 + MAX_PAGE);
        assert!(find.found.state.truncated);
    }

    #[test]
    fn a_page_of_a_linked_peer_is_the_whole_when_the_ring_tells_the_rest() {
        let mut find = Find::new("jpg", &[peer(2001), peer(2002)], true);
        find.ring_found(vec![row(2001, "b.jpg", 2, 1, true)]);
        assert!(
            find.linked_answered(peer(2001), Some((vec![row(2001, "a.jpg", 1, 1, true)], true)))
        );
        assert!(!find.found.state.truncated);
        assert!(
            find.linked_answered(peer(2002), Some((vec![row(2002, "a.jpg", 1, 1, true)], true)))
        );
        assert!(find.found.state.truncated);
        find.ring_found(vec![row(2002, "b.jpg", 2, 1, true)]);
        assert!(!find.found.state.truncated);
    }

    #[test]
    fn a_linked_peer_that_the_ring_reaches_after_all_counts_once() {
        // The census has just lost one of the two members, because a busy machine did not
        // answer in time; the other one is on no ring of ours.
        for ring_first in [false, true] {
            let linked = [peer(2001), peer(2002)];
            let mut find = Find::new("jpg", &linked, true);
            find.strangers = BTreeSet::from(linked);
            let mut ring = vec![row(2001, "a.jpg", 1, 1, true)];
            if ring_first {
                find.ring_found(std::mem::take(&mut ring));
            }
            for peer in linked {
                find.linked_answered(peer, Some((Vec::new(), false)));
            }
            find.ring_found(ring);
            find.ring_stands(Progress { answered: 2, ..Progress::default() }, true);
            assert_eq!(find.found.state.answered, 3, "this node, the member and the stranger");
        }
    }

    #[test]
    fn results_of_one_search_are_limited() {
        let mut find = Find::new("", &[], true);
        let rows = (0..=MAX_RESULTS).map(|n| row(2001, "a.jpg", 1, n as u64, true)).collect();
        find.ring_found(rows);
        assert_eq!((find.found.rows.len(), find.found.state.truncated), (MAX_RESULTS, true));
    }
}
