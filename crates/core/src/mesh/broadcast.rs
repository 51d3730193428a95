//! One node's part in one search over the ring.
//!
//! A search begins at its origin and covers the ring clockwise, from just after the origin
//! back to it. Each node that is asked gets the end of the interval for which it is
//! responsible. It divides that interval among the nodes it knows there, each of which gets
//! the part from itself up to the next (El-Ansary et al., 2003). So every node is asked
//! once, by one message, and results go back up the same tree.
//!
//! - **No loops.** Questions only go clockwise from the origin and never past it; others
//!   are ignored ([`is_fair`]). Nodes wait for each other in the same order.
//! - **A silent child** costs its interval one retry: the first live node after it, which
//!   the driver looks up, gets the rest of it. If the silent node answers later, its
//!   results still count.
//! - **A second parent.** A node whose parent died is asked again, by the node that took
//!   over that interval. It answers with everything it has, asks only nodes that it has not
//!   asked yet, and sends further results to both. The rows of a node that is reached twice
//!   are the same and count once.
//! - **No node fills a search alone.** Rows are limited for each node, for each child and
//!   in all, and half of the room is kept for children that have not answered yet. Rows
//!   that the child cannot have, or that do not match, are dropped and the child is
//!   reported.
//!
//! The driver passes in the messages that arrive, the children that were silent for too
//! long, and the end of the time; it carries out the effects.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;

use crate::id::{Id, Space};
use crate::limits::{MAX_LIST, MAX_PAGE, MAX_RESULTS, MAX_RESULTS_PER_NODE, MAX_SILENT};
use crate::mesh::pattern::Pattern;
use crate::peer::Peer;
use crate::wire::mesh::{FoundRow, SearchId, SearchMessage};

use question::{is_part, offset};

mod question;
#[cfg(test)]
mod tests;

pub use question::{MAX_DEPTH, Question, is_fair};

/// Nodes that wait for the results of one node: its parent, and the nodes that take over
/// from parents that died. More than this do not die in one search.
const MAX_PARENTS: usize = 4;

/// Children of one node in one search: a whole successor list, every finger of the widest
/// space, and a retry for each. More than these can only be invented nodes.
const MAX_CHILDREN: usize = 2 * (MAX_LIST + 128);

/// What a node's part in a search asks the driver to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send this to another node's mesh.
    Send {
        /// The receiver; never the node itself.
        to: Peer,
        /// The message.
        message: SearchMessage,
    },
    /// Search this node's files; ends with [`Broadcast::own`].
    SearchHere,
    /// Find the first live node at or after `key`; ends with
    /// [`Broadcast::looked_up`].
    LookUp {
        /// Where to begin.
        key: Id,
    },
    /// New results for the user, at the origin.
    Found(Vec<FoundRow>),
    /// A child broke the rules; reported once for each child.
    Offence {
        /// The child.
        child: Peer,
        /// The rule that it broke.
        what: Offence,
    },
    /// The part has ended and may be forgotten.
    Ended,
}

/// How a child can break the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offence {
    /// It sent more results than any part of a tree can have.
    TooMany,
    /// It sent results of nodes outside its interval.
    NotItsOwn,
    /// It sent files that do not match.
    NoMatch,
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Offence::TooMany => "sent more results of a search than are taken; the rest is dropped",
            Offence::NotItsOwn => "sent results of a search for nodes that it was not asked for",
            Offence::NoMatch => "sent results of a search that do not match",
        })
    }
}

/// The progress of a search at its origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Nodes that answered, including this one.
    pub answered: u32,
    /// Number of messages from the origin to the deepest of them.
    pub depth: u8,
    /// Nodes that did not answer, at most [`MAX_SILENT`].
    pub silent: Vec<Peer>,
    /// There were more results than a search passes on.
    pub truncated: bool,
}

/// One node's part in one search.
#[derive(Clone, Debug, PartialEq)]
pub struct Broadcast {
    search: SearchId,
    text: String,
    pattern: Pattern,
    space: Space,
    me: Peer,
    /// The nodes that get the results; empty at the origin, and while no parent is left.
    parents: Vec<Parent>,
    /// Number of messages from the origin to this node.
    depth: u8,
    /// The part of the interval that was divided so far, as an offset from this node.
    covered: u128,
    children: BTreeMap<Peer, Child>,
    /// Parts whose first node is being looked up: begin and end.
    gaps: BTreeMap<Id, Id>,
    /// This node's files were searched.
    searched: bool,
    rows: BTreeSet<FoundRow>,
    /// Number of rows by the node that has them.
    counts: BTreeMap<Peer, usize>,
    silent: Vec<Peer>,
    truncated: bool,
}

/// A node that waits for results, and for which interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parent {
    peer: Peer,
    until: Id,
}

/// A node that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Child {
    /// Exclusive end of its interval, which begins with the child itself.
    until: Id,
    state: State,
    /// Rows that it sent, including dropped ones.
    sent: usize,
    /// Rows of these that were accepted.
    kept: usize,
    /// It was reported already.
    named: bool,
}

/// The state of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It has not answered.
    Asked,
    /// It is searching.
    Taken,
    /// It has sent everything.
    Done { answered: u32, depth: u8 },
    /// It was silent for too long; another node has its interval now.
    Lost,
    /// The same, but it answered later.
    Late,
}

/// Whether this is an answer of the sender itself: rows of its own, or that it has done.
fn answers_itself(from: Peer, message: &SearchMessage) -> bool {
    match message {
        SearchMessage::Found { rows, .. } => rows.iter().any(|row| row.node == from),
        SearchMessage::Done { .. } => true,
        SearchMessage::Taken { .. } | SearchMessage::Ask { .. } => false,
    }
}

impl State {
    const fn is_awaited(self) -> bool {
        matches!(self, State::Asked | State::Taken)
    }
}

impl Broadcast {
    /// Begins a search of this node. `known` are the members that it knows, in any order.
    pub fn begin(
        space: Space,
        search: SearchId,
        pattern: &str,
        known: &[Peer],
        out: &mut Vec<Effect>,
    ) -> Broadcast {
        let mut new = Broadcast::new(space, search.origin, search, pattern, 0);
        out.push(Effect::SearchHere);
        new.cover(search.origin.id(space), known, out);
        new
    }

    /// Begins a part in another node's search, for which `from` asks. The question must be
    /// fair ([`is_fair`]).
    pub fn join(
        space: Space,
        me: Peer,
        from: Peer,
        question: &Question,
        known: &[Peer],
        out: &mut Vec<Effect>,
    ) -> Broadcast {
        let Question { search, pattern, depth, .. } = question;
        let mut new = Broadcast::new(space, me, *search, pattern, *depth);
        out.push(Effect::SearchHere);
        new.asked(from, question, known, out);
        new
    }

    fn new(space: Space, me: Peer, search: SearchId, text: &str, depth: u8) -> Broadcast {
        Broadcast {
            search,
            text: text.to_owned(),
            pattern: Pattern::new(text),
            space,
            me,
            parents: Vec::new(),
            depth,
            covered: 0,
            children: BTreeMap::new(),
            gaps: BTreeMap::new(),
            searched: false,
            rows: BTreeSet::new(),
            counts: BTreeMap::new(),
            silent: Vec::new(),
            truncated: false,
        }
    }

    /// Handles a question from `from` about this search, perhaps again or for another
    /// interval. The question must be fair, too.
    pub fn asked(
        &mut self,
        from: Peer,
        question: &Question,
        known: &[Peer],
        out: &mut Vec<Effect>,
    ) {
        let until = question.until;
        if self.is_origin() || question.pattern != self.text {
            return;
        }
        let again = self.parents.iter().position(|parent| parent.peer == from);
        match again {
            Some(at) => {
                let before = self.parents[at].until;
                if !self.lies_before(until, before) {
                    self.parents[at].until = until;
                }
            }
            None if self.parents.len() >= MAX_PARENTS => return,
            None => self.parents.push(Parent { peer: from, until }),
        }
        self.depth = self.depth.max(question.depth);
        self.tell(from, SearchMessage::Taken { search: self.search }, out);
        if again.is_none() {
            let rows: Vec<FoundRow> = self.rows.iter().cloned().collect();
            self.pass_to(Parent { peer: from, until }, &rows, out);
        }
        self.cover(until, known, out);
        self.settle(out);
    }

    /// Handles an answer about this search. Returns whether the sender is an awaited child,
    /// whose time limit begins again.
    pub fn heard(&mut self, from: Peer, message: SearchMessage, out: &mut Vec<Effect>) -> bool {
        let Some(child) = self.children.get_mut(&from) else { return false };
        match (child.state, &message) {
            (State::Done { .. }, _) => return false,
            (State::Asked, _) => child.state = State::Taken,
            // That it is searching is no answer yet: what is behind it was asked already.
            (State::Lost, answer) if answers_itself(from, answer) => {
                child.state = State::Late;
                self.silent.retain(|peer| *peer != from);
            }
            _ => {}
        }
        match message {
            SearchMessage::Found { rows, .. } => self.found(from, rows, out),
            SearchMessage::Done { answered, depth, silent, truncated, .. } => {
                self.done(from, answered, depth, &silent, truncated);
            }
            SearchMessage::Taken { .. } | SearchMessage::Ask { .. } => {}
        }
        self.settle(out);
        self.children.get(&from).is_some_and(|child| child.state.is_awaited())
    }

    /// Handles a node that was silent for too long or cannot be reached: the interval of a
    /// child goes to the next node, and a parent gets no more results.
    pub fn lost(&mut self, peer: Peer, out: &mut Vec<Effect>) {
        self.parents.retain(|parent| parent.peer != peer);
        let Some(child) = self.children.get_mut(&peer) else { return };
        if !child.state.is_awaited() {
            return;
        }
        child.state = State::Lost;
        let until = child.until;
        self.name_silent(peer);
        let next = self.space.id(peer.id(self.space).value().wrapping_add(1));
        if self.lies_before(next, until) {
            self.gaps.insert(next, until);
            out.push(Effect::LookUp { key: next });
        }
        self.settle(out);
    }

    /// Handles the end of the last connection to an address: the node there is lost.
    pub fn gone(&mut self, address: SocketAddr, out: &mut Vec<Effect>) {
        let parents = self.parents.iter().map(|parent| parent.peer);
        let here = |peer: &Peer| peer.address() == address;
        let lost: Vec<Peer> = parents.chain(self.awaited()).filter(here).collect();
        for peer in lost {
            self.lost(peer, out);
        }
    }

    /// Handles the end of [`Effect::LookUp`] with the first live node at or after `key`;
    /// `None` if none was found.
    pub fn looked_up(&mut self, key: Id, owner: Option<Peer>, out: &mut Vec<Effect>) {
        let Some(until) = self.gaps.remove(&key) else { return };
        if let Some(owner) = owner {
            let at = owner.id(self.space);
            let inside = offset(self.space, self.me, key) <= offset(self.space, self.me, at)
                && self.lies_before(at, until);
            if inside && owner != self.me && !self.children.contains_key(&owner) {
                self.ask(owner, until, out);
            }
        }
        self.settle(out);
    }

    /// Handles the matching files of this node; `truncated` if there are more.
    pub fn own(&mut self, rows: Vec<FoundRow>, truncated: bool, out: &mut Vec<Effect>) {
        self.searched = true;
        self.truncated |= truncated || rows.len() > MAX_RESULTS_PER_NODE;
        let rows = rows.into_iter().take(MAX_RESULTS_PER_NODE).collect();
        let new = self.keep(None, rows);
        self.pass_on(&new, out);
        self.settle(out);
    }

    /// Tells the parents that this node is still searching; after a longer silence they
    /// would take it for dead.
    pub fn beat(&self, out: &mut Vec<Effect>) {
        for parent in &self.parents {
            self.tell(parent.peer, SearchMessage::Taken { search: self.search }, out);
        }
    }

    /// Ends the search, because its time is over, with the results so far.
    pub fn expire(&mut self, out: &mut Vec<Effect>) {
        let awaited: Vec<Peer> = self.awaited().collect();
        for peer in awaited {
            if let Some(child) = self.children.get_mut(&peer) {
                child.state = State::Lost;
            }
            self.name_silent(peer);
        }
        self.gaps.clear();
        self.truncated |= !self.searched;
        self.searched = true;
        if self.parents.is_empty() {
            out.push(Effect::Ended);
        } else {
            self.settle(out);
        }
    }

    /// Children that have not sent everything yet.
    pub fn awaited(&self) -> impl Iterator<Item = Peer> + '_ {
        self.children.iter().filter(|(_, child)| child.state.is_awaited()).map(|(peer, _)| *peer)
    }

    /// Whether this node began the search.
    pub fn is_origin(&self) -> bool {
        self.search.origin == self.me
    }

    /// The pattern as the user wrote it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The pattern.
    pub const fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// The progress of the search.
    pub fn progress(&self) -> Progress {
        self.progress_until(self.me.id(self.space))
    }

    /// The progress of the part of the interval that ends with `until`: another child of
    /// the parent that asked for it counts the nodes behind it.
    fn progress_until(&self, until: Id) -> Progress {
        let mut progress = Progress {
            answered: 1,
            depth: self.depth,
            silent: self.silent.clone(),
            truncated: self.truncated,
        };
        let asked = |(peer, _): &(&Peer, &Child)| self.lies_before(peer.id(self.space), until);
        for (peer, child) in self.children.iter().filter(asked) {
            let (answered, depth) = match child.state {
                // It answered for nodes behind `until` as well: those before it are at
                // least itself and the ones that have files.
                State::Done { depth, .. } if self.lies_before(until, child.until) => {
                    let named = self
                        .counts
                        .keys()
                        .filter(|node| *node != peer && is_part(self.space, *peer, until, **node));
                    (1 + named.count() as u32, depth)
                }
                State::Done { answered, depth } => (answered, depth),
                State::Taken | State::Late => (1, self.depth.saturating_add(1)),
                State::Asked | State::Lost => (0, 0),
            };
            progress.answered = progress.answered.saturating_add(answered);
            progress.depth = progress.depth.max(depth);
        }
        progress
    }

    /// Divides the part up to `until` that is not covered yet among the known nodes there.
    fn cover(&mut self, until: Id, known: &[Peer], out: &mut Vec<Effect>) {
        let end = offset(self.space, self.me, until);
        let begin = self.covered;
        if end <= begin {
            return;
        }
        self.covered = end;
        let mut parts: Vec<(u128, Peer)> = known
            .iter()
            .map(|peer| (offset(self.space, self.me, peer.id(self.space)), *peer))
            .filter(|(at, peer)| (begin..end).contains(at) && !self.children.contains_key(peer))
            .collect();
        parts.sort_unstable();
        parts.dedup_by_key(|(at, _)| *at);
        let first = parts.first().map_or(end, |(at, _)| *at);
        // The first node after this one is its successor, which it knows. Further along
        // there may be nodes that it does not know.
        if begin > 0 && begin < first {
            let key = self.space.id(self.me.id(self.space).value().wrapping_add(begin + 1));
            let before = parts.first().map_or(until, |(_, peer)| peer.id(self.space));
            self.gaps.insert(key, before);
            out.push(Effect::LookUp { key });
        }
        for (at, (_, peer)) in parts.iter().enumerate() {
            let until = parts.get(at + 1).map_or(until, |(_, next)| next.id(self.space));
            self.ask(*peer, until, out);
        }
    }

    fn ask(&mut self, peer: Peer, until: Id, out: &mut Vec<Effect>) {
        if self.children.len() >= MAX_CHILDREN || self.depth >= MAX_DEPTH {
            self.name_silent(peer);
            return;
        }
        let child = Child { until, state: State::Asked, sent: 0, kept: 0, named: false };
        self.children.insert(peer, child);
        let (search, pattern, depth) = (self.search, self.text.clone(), self.depth + 1);
        self.tell(peer, SearchMessage::Ask { search, pattern, until, depth }, out);
    }

    fn found(&mut self, from: Peer, mut rows: Vec<FoundRow>, out: &mut Vec<Effect>) {
        let Some(child) = self.children.get_mut(&from) else { return };
        let (space, until) = (self.space, child.until);
        let within = move |peer: Peer| is_part(space, from, until, peer);
        let mut offence = None;
        let room = MAX_PAGE.min(MAX_RESULTS.saturating_sub(child.sent));
        child.sent = child.sent.saturating_add(rows.len());
        if rows.len() > room {
            rows.truncate(room);
            self.truncated = true;
            offence = Some(Offence::TooMany);
        }
        rows.retain(|row| {
            let what = if !within(row.node) {
                Offence::NotItsOwn
            } else if !self.pattern.matches(row.name.as_str()) {
                Offence::NoMatch
            } else {
                return true;
            };
            offence = Some(what);
            false
        });
        if let Some(what) = offence
            && !std::mem::replace(&mut child.named, true)
        {
            out.push(Effect::Offence { child: from, what });
        }
        let new = self.keep(Some(from), rows);
        self.pass_on(&new, out);
    }

    fn done(&mut self, from: Peer, answered: u32, depth: u8, silent: &[Peer], truncated: bool) {
        let Some(child) = self.children.get_mut(&from) else { return };
        self.truncated |= truncated;
        // Another node answers for the interval of a child that answered too late.
        if child.state == State::Late {
            return;
        }
        let depth = depth.max(self.depth.saturating_add(1)).min(MAX_DEPTH);
        child.state = State::Done { answered: answered.max(1), depth };
        let until = child.until;
        for peer in silent.iter().take(MAX_SILENT) {
            if *peer != from && is_part(self.space, from, until, *peer) {
                self.name_silent(*peer);
            }
        }
    }

    /// Accepts rows, as far as there is room for those of this child (`None`: this node).
    /// Returns the new ones.
    fn keep(&mut self, child: Option<Peer>, rows: Vec<FoundRow>) -> Vec<FoundRow> {
        let mut new = Vec::new();
        for row in rows {
            if self.rows.contains(&row) {
                continue;
            }
            let count = self.counts.get(&row.node).copied().unwrap_or_default();
            if count >= MAX_RESULTS_PER_NODE || !self.has_room(child) {
                self.truncated = true;
                continue;
            }
            self.counts.insert(row.node, count + 1);
            if let Some(child) = child.and_then(|peer| self.children.get_mut(&peer)) {
                child.kept += 1;
            }
            self.rows.insert(row.clone());
            new.push(row);
        }
        new
    }

    /// Whether there is room for one more row of this child. Half of all room is kept, in
    /// equal shares, for children that have not sent everything; the other half is for any
    /// child, in the order of arrival.
    fn has_room(&self, child: Option<Peer>) -> bool {
        let share = MAX_RESULTS / 2 / (self.children.len() + 1);
        let kept = |peer: Peer| self.children.get(&peer).map_or(0, |child| child.kept);
        let own = if self.searched { 0 } else { share };
        let reserved: usize = self
            .children
            .iter()
            .filter(|(peer, other)| Some(**peer) != child && other.state.is_awaited())
            .map(|(_, other)| share.saturating_sub(other.kept))
            .sum();
        let within_share = child.is_none_or(|peer| kept(peer) < share);
        self.rows.len() < MAX_RESULTS
            && (within_share || self.rows.len() + reserved + own < MAX_RESULTS)
    }

    fn pass_on(&self, rows: &[FoundRow], out: &mut Vec<Effect>) {
        if rows.is_empty() {
            return;
        }
        if self.is_origin() {
            out.push(Effect::Found(rows.to_vec()));
        }
        for parent in &self.parents {
            self.pass_to(*parent, rows, out);
        }
    }

    /// Sends a parent the rows of the interval that it asked for.
    fn pass_to(&self, parent: Parent, rows: &[FoundRow], out: &mut Vec<Effect>) {
        let its = |row: &&FoundRow| is_part(self.space, self.me, parent.until, row.node);
        let rows: Vec<FoundRow> = rows.iter().filter(its).cloned().collect();
        for page in rows.chunks(MAX_PAGE) {
            let message = SearchMessage::Found { search: self.search, rows: page.to_vec() };
            self.tell(parent.peer, message, out);
        }
    }

    /// Ends the part when all results have arrived. Without a parent it waits for the node
    /// that takes over.
    fn settle(&mut self, out: &mut Vec<Effect>) {
        if !self.searched || !self.gaps.is_empty() || self.awaited().next().is_some() {
            return;
        }
        for parent in &self.parents {
            let search = self.search;
            let Progress { answered, depth, silent, truncated } = self.progress_until(parent.until);
            let message = SearchMessage::Done { search, answered, depth, silent, truncated };
            self.tell(parent.peer, message, out);
        }
        if self.is_origin() || !self.parents.is_empty() {
            out.push(Effect::Ended);
        }
    }

    fn name_silent(&mut self, peer: Peer) {
        if self.silent.len() < MAX_SILENT && !self.silent.contains(&peer) {
            self.silent.push(peer);
        }
    }

    fn lies_before(&self, id: Id, end: Id) -> bool {
        offset(self.space, self.me, id) < offset(self.space, self.me, end)
    }

    fn tell(&self, to: Peer, message: SearchMessage, out: &mut Vec<Effect>) {
        if to != self.me {
            out.push(Effect::Send { to, message });
        }
    }
}
