//! Explain mode: why a step of the protocol was taken, one sentence each, and
//! which command asks for what a key shows.
//!
//! The events say *what* happened; these sentences say what made it happen, in
//! the words of the papers, so that they can be looked up there.

use chordal_view::{Step, UiEvent};

use super::action::Action;
use super::panel::Panel;

/// What led to an event, if a step of the protocol did.
pub fn why(event: &UiEvent) -> Option<&'static str> {
    Some(match event.step? {
        Step::Joined => {
            "join: a member looked up the owner of this node's place; that owner is its successor"
        }
        Step::Renamed => {
            "join: two nodes cannot share a place, so the address is hashed again with an index"
        }
        Step::Adopted => "join: a node alone takes over the ring's name, size and copies",
        Step::Left => {
            "leave: the files went to the next holders, then both neighbours were linked up"
        }
        Step::Alone => "stabilize: no entry of the successor list answers, so nobody is left",
        Step::Predecessor => {
            "rectify: a node that lies between notified this one, or the predecessor before is dead"
        }
        Step::Successor => {
            "stabilize: the successor told of a predecessor that lies closer, or it is dead and \
             the next of the list takes its place"
        }
        Step::Successors => {
            "stabilize: the list is the successor followed by the successor's own list, cut to r"
        }
        Step::Finger => "fix fingers: finger i is the owner of id + 2^i; it was looked up anew",
        Step::Dropped => {
            "time-out: a peer that misses its answers leaves every table, so that lookups go round \
             it"
        }
        Step::Hop => {
            "lookup: the closest known node before the key is asked; each hop halves the way"
        }
        Step::Merged => {
            "merge: a probe met a member of another ring; stabilize now weaves both into one"
        }
        Step::Copies => {
            "repair: the owner of a key counts the copies on its next successors and adds what is \
             missing"
        }
        Step::Kept => "placement: the key is this node's own, or its owner is just before it",
        Step::Given => "placement: the copies are where they belong, so the one here could go",
        Step::KeepFailed => "repair: the owner tries again in its next round",
        Step::NoRoom => {
            "repair: the next successor behind the holders stands in for one that cannot \
             store the file, which is asked again now and then"
        }
        Step::Beaten => {
            "versions: two versions were made without knowing of each other; everywhere the higher \
             one wins"
        }
        Step::Forgotten => {
            "versions: its holders have been gone for a while, so the one before it counts; should \
             one return, the higher one wins"
        }
        Step::Damaged => {
            "scrub: the bytes on the disk do not match their hash, so they count as lost and come \
             anew from another holder"
        }
        Step::Restored => {
            "scrub: another holder's bytes match the hash and took the place of the bad"
        }
        Step::Said => {
            "gossip: it came over one link and goes on over all others; its number keeps it from \
             being shown or sent twice"
        }
        Step::Linked => {
            "links: some are drawn at random among the known nodes, besides those asked for, so \
             that what one says reaches all"
        }
        Step::Unlinked => {
            "links: a closed connection or four missed beats end a link; another node is drawn in \
             its place"
        }
        Step::Registry => {
            "registry: it keeps a list of live nodes, checks each of them, and tells every change \
             to those connected"
        }
        Step::Shared => {
            "sharing: the file stays where it is; the owner of its key remembers for half an hour \
             who has it, and is told again before that"
        }
        Step::Trust => {
            "trust: whoever sent a wrong piece is not asked for a while, whoever was slow is asked \
             last"
        }
    })
}

/// The command that asks for what an action shows or does.
pub const fn command(action: Action) -> Option<&'static str> {
    Some(match action {
        Action::Panel(Panel::Ring) => "ring",
        Action::Panel(Panel::Fingers) => "fingers",
        Action::Panel(Panel::Neighbours) => "info",
        Action::Panel(Panel::Files) => "ls",
        Action::Panel(Panel::Transfers) => "transfers",
        Action::Panel(Panel::Peers) => "peers",
        Action::Cancel => "cancel N",
        Action::Pause => "pause N",
        Action::Disconnect => "disconnect PEER",
        Action::Export => "info --json",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {

    use crate::action::BINDINGS;
    use chordal_view::command::parse_line;

    #[test]
    fn every_command_that_a_key_stands_for_is_one() {
        for binding in BINDINGS {
            let Some(line) = super::command(binding.action) else { continue };
            // The shell knows --json, the prompt has panels for it.
            let line = line.replace(" N", " 1").replace(" --json", "");
            assert!(parse_line(&line).is_ok(), "{line}");
        }
    }
}
