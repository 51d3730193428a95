//! The way of a content from this node to the next one of its chain, and past
//! those that fail.
//!
//! One thread reads from this node's disk what the next one lacks, as it comes
//! in. When the next one dies, takes nothing or has no room, the one after it
//! is sent what it lacks, which is little: it was sent the rest by the one that
//! failed. Behind the last one come this node's other [`spares`]. Whoever is
//! left out gets its copy after the commit, if it is to have one (`keep`).

use std::collections::BTreeSet;
use std::io::{Seek, SeekFrom};
use std::time::{Duration, Instant};

use chordal_core::chord::placement::others;
use chordal_core::limits::MAX_REPLICAS;
use chordal_core::name::FileName;
use chordal_core::peer::Peer;
use chordal_core::transfer::manifest::PieceIndex;
use chordal_core::wire::data::{DataRequest, DataResponse};
use chordal_view::Level;

use super::Data;
use super::plane::{DataConnection, DataError, DataPlane};
use super::relay::{Content, Handed, Passage, hand_manifest};
use crate::transfers::Transfer;

/// A next node that takes nothing for this long, or says nothing when it is its
/// turn, is left out: a paused process must not hold up a whole upload.
const SILENCE_LIMIT: Duration = Duration::from_secs(6);

/// When no piece has come for this long, the next node is let go until one
/// does: it would take the silence for the end.
const IDLE_LIMIT: Duration = Duration::from_secs(10);

/// How soon somebody who waits for a piece notices that all is over.
const TICK: Duration = Duration::from_millis(100);

/// Bytes sent at once: between two such steps it is looked whether the other
/// side has said something.
const STEP_BYTES: u64 = 4 * 1024 * 1024;

/// Nodes that are left out of one chain by one node, at the most: where so many
/// fail, the copies can be made later.
const MAX_LEFT_OUT: usize = 4;

/// The next part of a chain, seen from the node before it.
pub(crate) struct Forward<'a> {
    passage: &'a Passage<'a>,
    content: &'a Content,
    /// Given up, everything here ends at once.
    way: &'a Transfer,
    plane: DataPlane,
    /// Who was asked, or stands behind one that was.
    asked: BTreeSet<Peer>,
    /// Who has it durably.
    holders: Vec<Peer>,
    left_out: usize,
}

/// How an attempt with a next node ended well.
enum Sent {
    /// These have the content durably.
    Durable(Vec<Peer>),
    /// Nothing came for a while.
    Idle,
}

/// This node's successors as far as they lie behind it, seen from the key of a name: they may
/// hold it in the place of those of its chain that fail.
pub(crate) async fn spares(data: &Data, name: &FileName) -> Vec<Peer> {
    let space = data.net.me().params.space;
    let key = name.key(space);
    let looked = data.core.look(move |core| {
        let node = core.responsible_node(key);
        let behind = |peer: Peer| space.distance(key, peer.id(space));
        let further = |peer: &Peer| behind(*peer) > behind(node.peer());
        node.successors().iter().copied().filter(further).collect()
    });
    looked.await.unwrap_or_default()
}

impl<'a> Forward<'a> {
    /// For a content on its way through this node.
    pub(crate) fn new(
        passage: &'a Passage<'a>,
        content: &'a Content,
        way: &'a Transfer,
    ) -> Forward<'a> {
        Forward {
            passage,
            content,
            way,
            plane: passage.data.plane(),
            asked: BTreeSet::new(),
            holders: Vec::new(),
            left_out: 0,
        }
    }

    /// Sends the content to as many nodes as the chain has, or as can be had;
    /// who of them has it durably. Blocks.
    pub(crate) fn run(mut self) -> Vec<Peer> {
        let wanted = self.passage.chain.len();
        while self.holders.len() < wanted && self.left_out < MAX_LEFT_OUT {
            let mut order = self.candidates().into_iter();
            let Some(next) = order.next() else { break };
            let rest: Vec<Peer> = order.take(wanted - self.holders.len() - 1).collect();
            let sent = self.send(next, &rest);
            if self.way.is_cancelled() {
                break;
            }
            match sent {
                Ok(Sent::Durable(holders)) => {
                    self.asked.extend(rest);
                    self.asked.insert(next);
                    self.holders.extend(holders);
                }
                Ok(Sent::Idle) => {
                    let name = self.passage.name;
                    tracing::info!(peer = %next, "{name}: no more of it comes; the next node is let go until it does");
                    self.wait();
                }
                Err(error) => {
                    self.asked.insert(next);
                    self.left_out += 1;
                    self.tell(next, &error);
                }
            }
        }
        self.holders
    }

    /// Who may be asked, the nearest first: the chain, then the spares. None of those to
    /// which no connection was made a moment ago: they get their copies later.
    fn candidates(&self) -> Vec<Peer> {
        let Passage { data, chain, spares, .. } = self.passage;
        // Each host once: its positions share a disk.
        let asked = |peer: &Peer| self.asked.iter().any(|one| one.address() == peer.address());
        let deaf = |peer: &Peer| self.plane.reach.doubts(peer.address());
        let candidates = others(data.net.me().me, chain.iter().chain(spares).copied());
        candidates.filter(|peer| !asked(peer) && !deaf(peer)).collect()
    }

    /// Sends one node what it lacks, with word of who is to come behind it.
    fn send(&self, next: Peer, rest: &[Peer]) -> Result<Sent, DataError> {
        let Passage { name, manifest, .. } = self.passage;
        let mut connection = self.plane.dial(next.address())?;
        connection.wait_at_most(SILENCE_LIMIT)?;
        connection.push_at_most(SILENCE_LIMIT)?;
        connection.serves(self.way);
        let (root, size) = (manifest.root(), manifest.size());
        let (name, rest) = ((*name).clone(), rest.to_vec());
        connection.send(&DataRequest::Relay { name, root, size, rest, follows: false })?;
        match connection.receive()? {
            DataResponse::Proceed => {}
            other => return Err(refused(other)),
        }
        let there = match hand_manifest(&mut connection, manifest)? {
            Handed::Has(there) => there,
            Handed::Answered(other) => return Err(refused(other)),
        };
        for run in there.lacking_runs() {
            let mut start = run.start;
            while start < run.end {
                if !self.await_piece(start, &connection)? {
                    return Ok(Sent::Idle);
                }
                let end = self.available(start, run.end);
                self.send_run(&mut connection, start, end)?;
                start = end;
            }
        }
        loop {
            match connection.receive()? {
                // It is alive, and waits for its disk or for those behind it.
                DataResponse::Progress { .. } => {}
                DataResponse::Relayed { mut holders } => {
                    holders.truncate(usize::from(MAX_REPLICAS));
                    return Ok(Sent::Durable(holders));
                }
                other => return Err(refused(other)),
            }
        }
    }

    /// Waits for a piece; `false`: it does not come for a while.
    fn await_piece(&self, index: PieceIndex, to: &DataConnection) -> Result<bool, DataError> {
        let began = Instant::now();
        while !self.content.wait_for(index, TICK) {
            if self.way.is_cancelled() {
                return Err(DataError::Cancelled);
            }
            if to.has_answer() {
                // Said, or gone: what follows hears it.
                return Ok(true);
            }
            if began.elapsed() > IDLE_LIMIT {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The end of the pieces that are here from `start` on, as far as they may
    /// be sent at once.
    fn available(&self, start: PieceIndex, end: PieceIndex) -> PieceIndex {
        let most = (STEP_BYTES / self.passage.manifest.piece_size()).max(1) as u32;
        let last = end.0.min(start.0.saturating_add(most));
        let here = |n: &u32| self.content.wait_for(PieceIndex(*n), Duration::ZERO);
        let first_missing = (start.0 + 1..last).find(|n| !here(n));
        PieceIndex(first_missing.unwrap_or(last))
    }

    fn send_run(
        &self,
        connection: &mut DataConnection,
        start: PieceIndex,
        end: PieceIndex,
    ) -> Result<(), DataError> {
        if connection.has_answer() {
            return Err(refused(connection.receive()?));
        }
        let bytes = self.passage.manifest.bytes_of(start..end);
        let opened = self.content.reader().map_err(|error| DataError::Peer(error.to_string()));
        let mut file = opened?;
        file.seek(SeekFrom::Start(bytes.start))?;
        connection.send_file(&file, bytes.end - bytes.start, self.way)
    }

    /// Waits, without a connection, until something comes or all is over.
    fn wait(&self) {
        let before = self.content.here();
        let Some(next) = before.lacking().next() else { return };
        while !self.way.is_cancelled()
            && !self.content.wait_for(next, TICK)
            && self.content.here().len() == before.len()
        {}
    }

    /// Says who is left out, and why.
    fn tell(&self, next: Peer, error: &DataError) {
        tracing::info!(peer = %next, %error, "left out of the chain of an upload");
        if let DataError::Peer(_) | DataError::Failed(_) = error {
            let Passage { data, name, .. } = self.passage;
            let text =
                format!("{name}: another node takes the copy of {}: {error}", next.address());
            data.notes.event_now(Level::Warn, text);
        }
    }
}

fn refused(response: DataResponse) -> DataError {
    match response {
        DataResponse::Failed { why } => DataError::Failed(why),
        other => DataError::Peer(format!("it answered out of turn: {other:?}")),
    }
}
