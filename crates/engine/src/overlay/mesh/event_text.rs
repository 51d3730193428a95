//! What happens to links, and what is said over them, as lines of the events.

use chordal_core::mesh::gossip::Complaint;
use chordal_core::mesh::links::{Change, DEAD, Event, SUSPECT};
use chordal_core::peer::Peer;
use chordal_core::wire::mesh::GossipBody;
use chordal_core::wire::query::LinkKind;
use chordal_view::text::{bytes, clean};
use chordal_view::{Level, Step};

/// A line of the events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// How loud.
    pub(super) level: Level,
    /// What explains it.
    pub(super) step: Option<Step>,
    /// One sentence.
    pub(super) text: String,
}

/// What happened to a link, if it is worth a line.
pub(super) fn link(event: Event) -> Option<Line> {
    let Event { peer, kind, change } = event;
    // What the user asked for is news, and what others ask for is traffic; what
    // chance does is for who watches it.
    let quiet = match kind {
        LinkKind::Chosen => Level::Info,
        LinkKind::Incoming => Level::Traffic,
        LinkKind::Random => Level::Detail,
    };
    let (level, step, text) = match change {
        Change::Opened => {
            let text = match kind {
                LinkKind::Chosen => format!("connected to {peer}"),
                LinkKind::Random => format!("linked with {peer}, drawn at random"),
                LinkKind::Incoming => format!("{peer} has linked with this node"),
            };
            (quiet, Some(Step::Linked), text)
        }
        // The command that asked for it tells it.
        Change::Refused => return None,
        Change::Failed => {
            (quiet, None, format!("{peer} did not answer when it was asked for a link"))
        }
        Change::Suspected => (Level::Warn, None, format!("{peer} missed {SUSPECT} beats")),
        Change::Recovered => (Level::Info, None, format!("{peer} answers again")),
        Change::Closed => (quiet, Some(Step::Unlinked), format!("{peer} closed the link")),
        Change::Silent => {
            let text = format!("{peer} missed {DEAD} beats: the link is gone");
            (Level::Warn, Some(Step::Unlinked), text)
        }
        Change::Lost => {
            let text = format!("{peer} cannot be reached: the link is gone");
            (Level::Warn, Some(Step::Unlinked), text)
        }
    };
    Some(Line { level, step, text })
}

/// What a user says to all.
pub(super) fn news(origin: Peer, body: &GossipBody) -> Line {
    let (level, step, text) = match body {
        GossipBody::Say(text) => {
            (Level::Info, Some(Step::Said), format!("{origin} says: {}", clean(text)))
        }
        GossipBody::Shares { files, bytes: size } => {
            let what = match files {
                0 => "nothing any more".to_owned(),
                1 => format!("1 file ({})", bytes(*size)),
                _ => format!("{files} files ({})", bytes(*size)),
            };
            (Level::Info, Some(Step::Shared), format!("{origin} shares {what}"))
        }
        GossipBody::Leaving => (Level::Detail, None, format!("{origin} leaves")),
    };
    Line { level, step, text }
}

/// A node that says more than is taken; `from` passed it on.
pub(super) fn complaint(from: Peer, complaint: Complaint) -> String {
    let (who, does) = match complaint.origin {
        Some(origin) => (origin, "says"),
        None => (from, "passes on"),
    };
    match complaint.dropped {
        1 => format!("{who} {does} more than is listened to; the rest is dropped"),
        many => format!("{who} still {does} more than is listened to; {many} more dropped"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(port: u16) -> Peer {
        Peer::new(([127, 0, 0, 1], port).into(), 0)
    }

    #[test]
    fn what_people_say_is_told_without_what_a_terminal_would_obey() {
        let line = news(peer(2001), &GossipBody::Say("hello\u{1b}[2J\u{202e} you".into()));
        assert_eq!(line.text, "127.0.0.1:2001 says: hello?[2J? you");
        assert_eq!((line.level, line.step), (Level::Info, Some(Step::Said)));
    }

    #[test]
    fn announcements_count_as_people_do() {
        for (files, bytes, text) in [
            (12, 3_400_000, "127.0.0.1:2001 shares 12 files (3.4 MB)"),
            (1, 12, "127.0.0.1:2001 shares 1 file (12 B)"),
            (0, 0, "127.0.0.1:2001 shares nothing any more"),
        ] {
            assert_eq!(news(peer(2001), &GossipBody::Shares { files, bytes }).text, text);
        }
    }

    #[test]
    fn a_links_end_is_louder_when_it_is_a_death_or_was_asked_for() {
        let told = |kind, change| {
            let line = link(Event { peer: peer(2001), kind, change });
            line.map(|line| (line.level, line.text))
        };
        assert_eq!(
            told(LinkKind::Random, Change::Closed),
            Some((Level::Detail, "127.0.0.1:2001 closed the link".into()))
        );
        assert_eq!(
            told(LinkKind::Chosen, Change::Closed),
            Some((Level::Info, "127.0.0.1:2001 closed the link".into()))
        );
        assert_eq!(
            told(LinkKind::Random, Change::Silent),
            Some((Level::Warn, "127.0.0.1:2001 missed 4 beats: the link is gone".into()))
        );
        assert_eq!(told(LinkKind::Chosen, Change::Refused), None, "the command says it");
    }

    #[test]
    fn a_complaint_names_the_origin_or_the_link_that_brings_it() {
        let by = |dropped, origin| complaint(peer(1), Complaint { dropped, origin });
        assert_eq!(
            by(1, Some(peer(2))),
            "127.0.0.1:2 says more than is listened to; the rest is dropped"
        );
        assert_eq!(
            by(70, None),
            "127.0.0.1:1 still passes on more than is listened to; 70 more dropped"
        );
    }
}
