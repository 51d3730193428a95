//! The text of events: what the core notices, as sentences.

use crate::format::bytes;
use crate::{Level, Step};
use chordal_core::chord::Notice;
use chordal_core::id::Space;
use chordal_core::peer::Peer;
use chordal_core::record::{PassedOver, Record, Version};

/// The event of a notice: its level, its step, its text.
pub fn describe(notice: &Notice, space: Space) -> (Level, Step, String) {
    let id = |peer: &Peer| format!("{} ({})", space.show(peer.id(space)), peer);
    let opt = |peer: &Option<Peer>| peer.as_ref().map_or_else(|| "nobody".to_owned(), id);
    match notice {
        Notice::Joined { successor } => (
            Level::Info,
            Step::Joined,
            format!("joined the ring; the successor is {}", id(successor)),
        ),
        Notice::Renamed { from, to, taken_by } => (
            Level::Warn,
            Step::Renamed,
            format!(
                "place {} is taken by {}; this node goes by {} now",
                space.show(from.id(space)),
                taken_by,
                id(to)
            ),
        ),
        Notice::Adopted(params) => (
            Level::Info,
            Step::Adopted,
            format!("took over the parameters of ring {}", params.describe()),
        ),
        Notice::Left => (Level::Info, Step::Left, "left the ring".to_owned()),
        Notice::Alone => (Level::Warn, Step::Alone, "alone on the ring".to_owned()),
        Notice::Predecessor { new, .. } => {
            (Level::Info, Step::Predecessor, format!("the predecessor is {} now", opt(new)))
        }
        Notice::Successor { new, .. } => {
            (Level::Info, Step::Successor, format!("the successor is {} now", opt(new)))
        }
        Notice::Successors(list) => {
            let ids: Vec<String> = list.iter().map(|peer| space.show(peer.id(space))).collect();
            (Level::Detail, Step::Successors, format!("the successor list is {}", ids.join(" ")))
        }
        Notice::Finger { index, node } => {
            (Level::Detail, Step::Finger, format!("finger {index} is {} now", opt(node)))
        }
        Notice::Dropped(peer) => {
            (Level::Warn, Step::Dropped, format!("{} does not answer: dropped", id(peer)))
        }
        Notice::Departed(peer) => (Level::Info, Step::Left, format!("{} left", id(peer))),
        Notice::Hop { key, asked } => {
            (Level::Detail, Step::Hop, format!("lookup {}: asking {}", space.show(*key), id(asked)))
        }
        Notice::Merged(peer) => {
            (Level::Info, Step::Merged, format!("two rings met: {} is taken in", id(peer)))
        }
        Notice::Copies { name, copies, wanted, removed: true, .. } => {
            let nodes = if *wanted == 1 { "node" } else { "nodes" };
            let text = format!("{name}: {copies} of {wanted} {nodes} know that it was removed");
            (Level::Detail, Step::Copies, text)
        }
        Notice::Copies { name, copies, wanted, .. } if copies < wanted => {
            (Level::Detail, Step::Copies, format!("{name}: {copies} of {wanted} copies"))
        }
        Notice::Copies { name, copies, wanted, .. } => {
            (Level::Info, Step::Copies, format!("{name}: {copies}/{wanted} copies"))
        }
        Notice::Kept(record) if record.is_deleted() => {
            (Level::Info, Step::Kept, format!("{} was removed", record.name))
        }
        Notice::Kept(record) => (Level::Info, Step::Kept, format!("{} is kept here", record.name)),
        Notice::Given(name) => (Level::Info, Step::Given, format!("{name} was handed over")),
        Notice::Beaten { lost, by } => {
            let (name, hash) = (&lost.name, lost.version.root.short());
            let by = if by.is_deleted() {
                format!("a removal (version {})", by.version.counter)
            } else {
                format!("{} (version {})", by.version.root.short(), by.version.counter)
            };
            let (size, version) = (bytes(lost.size()), lost.version.counter);
            let text = format!(
                "{name}: the content here, {hash} ({size}, version {version}), lost to {by}, of \
                 which this node had not heard; it stays for a day while there is room: get \
                 {name}@{hash}"
            );
            (Level::Warn, Step::Beaten, text)
        }
        Notice::Forgotten { lost, older } => {
            let said = |record: &Record| {
                let Version { counter, root } = record.version;
                format!("{} (version {counter})", root.short())
            };
            let now = match older {
                Some(older) if !older.is_deleted() => format!("{} counts again", said(older)),
                _ => "an older version counts again, if some node has one".to_owned(),
            };
            let text = format!(
                "{}: nobody holds {} any more; {now}. If no holder returns with it, put it again",
                lost.name,
                said(lost)
            );
            (Level::Warn, Step::Forgotten, text)
        }
        Notice::Lost { record, holders } if holders.is_empty() => (
            Level::Warn,
            Step::Damaged,
            format!(
                "{}: no other copy is known here; if no holder returns with one, put it again",
                record.name
            ),
        ),
        Notice::Lost { record, holders } => (
            Level::Info,
            Step::Damaged,
            format!("{} is fetched anew from {}", record.name, listed(holders)),
        ),
        Notice::Restored { record, from } if from.is_empty() => {
            (Level::Info, Step::Restored, format!("{} was restored", record.name))
        }
        Notice::Restored { record, from } => (
            Level::Info,
            Step::Restored,
            format!("{} was restored from {}", record.name, listed(from)),
        ),
        Notice::PassedOver { name, over: PassedOver { peer, why, stand_in } } => {
            let said = why.said_of(&peer.to_string(), name.as_str());
            let end = match stand_in {
                Some(peer) => format!("; {peer} keeps the copy"),
                None => ", and no other node is there to keep the copy".to_owned(),
            };
            (Level::Warn, Step::NoRoom, said + &end)
        }
        Notice::KeepFailed { name, why } => {
            (Level::Warn, Step::KeepFailed, format!("{name} could not be copied here: {why}"))
        }
    }
}

/// Peers, one after the other.
fn listed(peers: &[Peer]) -> String {
    peers.iter().map(Peer::to_string).collect::<Vec<_>>().join(" and ")
}
