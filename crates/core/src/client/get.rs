//! A get: find what the name stands for, fetch it, wait for a source, and begin again with
//! what has replaced it.

use std::time::Duration;

use super::known::{Known, NamedContent};
use crate::peer::Peer;
use crate::time::Time;

/// How long a download that no node has served yet goes on looking for sources: the ring needs
/// about this to make copies again after a death. For as long a name is looked up again that
/// is replaced meanwhile.
pub const NO_SOURCE_LIMIT: Duration = Duration::from_secs(20);

/// Pause between two searches for a source: about a stabilization of a busy ring.
pub const LOOK_SOON: Duration = Duration::from_millis(500);

/// The first pause, doubled each time up to [`LOOK_SOON`]: a name that was just replaced is
/// known again in some milliseconds.
pub const FIRST_LOOK: Duration = Duration::from_millis(30);

/// How long the owner of a name must say that an older version is its newest before that is
/// fetched. One that has just come back says so until it has heard of the newer one, in less.
const OLDER_FOR: Duration = Duration::from_secs(5);

/// What the driver of a [`Get`] is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GetStep {
    /// Find what is to be fetched: [`GetEvent::Found`] or [`GetEvent::Missing`].
    Look,
    /// Fetch this content from its sources: [`GetEvent::Fetched`], [`GetEvent::NoSource`],
    /// [`GetEvent::Replaced`] or [`GetEvent::Failed`].
    Fetch(NamedContent),
    /// Look up who has this content now: [`GetEvent::Sought`].
    Seek(NamedContent),
    /// Wait so long: [`GetEvent::Woke`].
    Wait(Duration),
    /// It has ended.
    Done(GetEnd),
}

/// What has happened to a [`Get`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GetEvent {
    /// It begins.
    Begun,
    /// The text means this content.
    Found(NamedContent),
    /// There is no such content; but `back` says that there is by now.
    Missing {
        /// It has come (back).
        back: bool,
    },
    /// It was fetched.
    Fetched,
    /// No source could be asked for it.
    NoSource {
        /// For want of file descriptors: wait so long for one, at the least.
        at_least: Duration,
    },
    /// Who has it now.
    Sought(Sought),
    /// While it was fetched, its name came to stand for something else, or for nothing.
    Replaced,
    /// Fetching failed for good.
    Failed,
    /// The time of [`GetStep::Wait`] is over.
    Woke,
}

/// The end of a [`Get`]. The driver knows what it found and what failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetEnd {
    /// It is here.
    Fetched,
    /// The name stands for no such content.
    Missing,
    /// No source delivered it in time.
    NoSource,
    /// It was replaced again and again.
    Replaced,
    /// See [`GetEvent::Failed`].
    Failed,
}

/// Who has a content, seen while it is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sought {
    /// These nodes, as far as known.
    Sources(Vec<Peer>),
    /// These may have it, and the owner says that an older version is its newest: it may
    /// have been away meanwhile, or the last node that held the newer one is.
    Older(Vec<Peer>),
    /// Its name was stored again with other content, or removed: its holders delete it.
    Replaced,
}

/// The machine of one get.
#[derive(Debug)]
pub struct Get {
    /// How long sources are looked for of which none has delivered anything yet.
    patience: Duration,
    began: Option<Time>,
    /// What is fetched, and since when.
    content: Option<(NamedContent, Time)>,
    pause: Duration,
    /// How long this search may take.
    limit: Duration,
    /// Since when each answer was an older version.
    older: Option<Time>,
}

impl Get {
    /// A get that waits for a source for so long. The first event is [`GetEvent::Begun`], or
    /// [`GetEvent::Found`] if it is known what is to be fetched.
    pub const fn new(patience: Duration) -> Get {
        Get {
            patience,
            began: None,
            content: None,
            pause: FIRST_LOOK,
            limit: patience,
            older: None,
        }
    }

    /// What the driver is to do now that this has happened.
    pub fn handle(&mut self, now: Time, event: GetEvent) -> GetStep {
        let began = *self.began.get_or_insert(now);
        let again = || {
            if now.since(began) < NO_SOURCE_LIMIT {
                GetStep::Look
            } else {
                GetStep::Done(GetEnd::Replaced)
            }
        };
        match event {
            GetEvent::Begun => GetStep::Look,
            GetEvent::Found(content) => {
                (self.pause, self.older) = (FIRST_LOOK, None);
                self.content = Some((content.clone(), now));
                GetStep::Fetch(content)
            }
            GetEvent::Missing { back: true }
            | GetEvent::Replaced
            | GetEvent::Sought(Sought::Replaced) => again(),
            GetEvent::Missing { back: false } => GetStep::Done(GetEnd::Missing),
            GetEvent::Fetched => GetStep::Done(GetEnd::Fetched),
            GetEvent::Failed => GetStep::Done(GetEnd::Failed),
            GetEvent::NoSource { at_least } => {
                self.limit = self.patience.max(at_least);
                // At once: what was replaced is not waited for.
                match &self.content {
                    Some((content, _)) => GetStep::Seek(content.clone()),
                    None => GetStep::Look,
                }
            }
            GetEvent::Sought(Sought::Older(_))
                if self.older.is_some_and(|since| now.since(since) >= OLDER_FOR) =>
            {
                again()
            }
            GetEvent::Sought(Sought::Older(sources)) => {
                self.older.get_or_insert(now);
                self.sought(now, sources)
            }
            GetEvent::Sought(Sought::Sources(sources)) => {
                self.older = None;
                self.sought(now, sources)
            }
            GetEvent::Woke => match &self.content {
                Some((content, _)) => GetStep::Fetch(content.clone()),
                None => GetStep::Look,
            },
        }
    }

    fn sought(&mut self, now: Time, sources: Vec<Peer>) -> GetStep {
        let Some((content, since)) = &mut self.content else { return GetStep::Look };
        if now.since(*since) >= self.limit {
            return GetStep::Done(GetEnd::NoSource);
        }
        if content.sources != sources {
            content.sources = sources;
            return GetStep::Fetch(content.clone());
        }
        let pause = self.pause;
        self.pause = LOOK_SOON.min(2 * pause);
        GetStep::Wait(pause)
    }
}

impl NamedContent {
    /// Who has this content now, by what is `known` of its name, of which these are the
    /// `contents`. `member`: the node through which the ring is seen; what is on its way out
    /// may still be there.
    pub fn sought(&self, known: &Known, contents: Vec<NamedContent>, member: Peer) -> Sought {
        let others = !contents.is_empty();
        if let Some(found) = contents.into_iter().find(|found| found.root == self.root) {
            let agreed = found.size == self.size;
            return Sought::Sources(if agreed { found.sources } else { vec![member] });
        }
        let record = known.record.as_ref().map(|(record, _)| record);
        match (record, self.version) {
            _ if !self.stored && others => Sought::Replaced,
            (Some(_), None) if self.stored => Sought::Replaced,
            (Some(record), Some(own)) if record.version > own => Sought::Replaced,
            (Some(record), Some(own)) if record.version < own => Sought::Older(vec![member]),
            _ => Sought::Sources(vec![member]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::FileName;
    use crate::record::{Content, ContentHash, Record, Version};

    fn peer(port: u16) -> Peer {
        Peer::new(([127, 0, 0, 1], port).into(), 0)
    }

    fn version(counter: u64) -> Version {
        Version { counter, root: ContentHash([counter as u8; 32]) }
    }

    fn content(counter: u64, sources: &[u16]) -> NamedContent {
        let version = version(counter);
        let sources = sources.iter().copied().map(peer).collect();
        NamedContent { root: version.root, size: 5, stored: true, version: Some(version), sources }
    }

    fn known(counter: u64, content: Content) -> Known {
        let name = FileName::new("SkyShip.jpg").expect("a name");
        let mut known = Known::default();
        let record = Record { name, version: version(counter), content };
        known.hear(peer(1), &[], Some((record, vec![peer(1)])));
        known
    }

    fn at(millis: u64) -> Time {
        Time::ZERO + Duration::from_millis(millis)
    }

    const NO_SOURCE: GetEvent = GetEvent::NoSource { at_least: Duration::ZERO };

    fn sources(ports: &[u16]) -> GetEvent {
        GetEvent::Sought(Sought::Sources(ports.iter().copied().map(peer).collect()))
    }

    #[test]
    fn what_is_replaced_meanwhile_is_fetched_as_the_newer_record_says() {
        let mut get = Get::new(NO_SOURCE_LIMIT);
        assert_eq!(get.handle(at(0), GetEvent::Begun), GetStep::Look);
        let old = content(1, &[1]);
        assert_eq!(get.handle(at(1), GetEvent::Found(old.clone())), GetStep::Fetch(old.clone()));
        assert_eq!(get.handle(at(2), NO_SOURCE), GetStep::Seek(old.clone()));
        let newer = known(2, Content::File { size: 5 });
        let sought = old.sought(&newer, newer.contents().0, peer(9));
        assert_eq!(sought, Sought::Replaced);
        assert_eq!(get.handle(at(3), GetEvent::Sought(sought)), GetStep::Look);
        let new = content(2, &[1]);
        assert_eq!(get.handle(at(4), GetEvent::Found(new.clone())), GetStep::Fetch(new));
        assert_eq!(get.handle(at(5), GetEvent::Fetched), GetStep::Done(GetEnd::Fetched));
    }

    #[test]
    fn what_is_removed_meanwhile_is_said_to_be_missing() {
        let mut get = Get::new(NO_SOURCE_LIMIT);
        let old = content(1, &[1]);
        get.handle(at(1), GetEvent::Found(old.clone()));
        let removed = known(2, Content::Deleted { at_s: 0 });
        assert_eq!(old.sought(&removed, removed.contents().0, peer(9)), Sought::Replaced);
        assert_eq!(get.handle(at(2), GetEvent::Replaced), GetStep::Look);
        let missing = GetEvent::Missing { back: false };
        assert_eq!(get.handle(at(3), missing), GetStep::Done(GetEnd::Missing));
    }

    #[test]
    fn an_older_record_of_a_node_that_has_just_come_back_replaces_nothing() {
        let older = known(1, Content::File { size: 5 });
        let sought = content(2, &[1]).sought(&older, older.contents().0, peer(9));
        assert_eq!(sought, Sought::Older(vec![peer(9)]));
        let mut get = Get::new(NO_SOURCE_LIMIT);
        get.handle(at(0), GetEvent::Found(content(2, &[1])));
        get.handle(at(1), NO_SOURCE);
        let newer = content(2, &[9]);
        assert_eq!(get.handle(at(2), GetEvent::Sought(sought)), GetStep::Fetch(newer));
    }

    /// The last node that held the newer version is gone for good, and its owner gave the
    /// version up: the get waited 20 seconds for it and failed, while every later one got the
    /// version before.
    #[test]
    fn a_get_of_a_version_that_is_given_up_ends_with_the_one_that_counts_again() {
        let (older, mut get) = (known(1, Content::File { size: 5 }), Get::new(NO_SOURCE_LIMIT));
        get.handle(at(0), GetEvent::Found(content(2, &[9])));
        let sought = || content(2, &[9]).sought(&older, older.contents().0, peer(9));
        get.handle(at(10_000), GetEvent::Sought(sought()));
        get.handle(at(12_000), sources(&[9]));
        for at_ms in [13_000, 17_999] {
            let step = get.handle(at(at_ms), GetEvent::Sought(sought()));
            assert!(matches!(step, GetStep::Wait(_)), "since {at_ms} ms: {step:?}");
        }
        assert_eq!(get.handle(at(18_000), GetEvent::Sought(sought())), GetStep::Look);
        let left = content(1, &[1]);
        assert_eq!(get.handle(at(18_001), GetEvent::Found(left.clone())), GetStep::Fetch(left));
    }

    #[test]
    fn a_source_is_waited_for_with_growing_pauses_and_used_when_it_comes() {
        let mut get = Get::new(NO_SOURCE_LIMIT);
        let old = content(1, &[1]);
        get.handle(at(0), GetEvent::Found(old.clone()));
        for pause in [30, 60, 120, 240, 480, 500, 500] {
            assert_eq!(get.handle(at(1), NO_SOURCE), GetStep::Seek(old.clone()));
            let wait = GetStep::Wait(Duration::from_millis(pause));
            assert_eq!(get.handle(at(2), sources(&[1])), wait);
            assert_eq!(get.handle(at(3), GetEvent::Woke), GetStep::Fetch(old.clone()));
        }
        get.handle(at(4), NO_SOURCE);
        let elsewhere = content(1, &[2]);
        assert_eq!(get.handle(at(5), sources(&[2])), GetStep::Fetch(elsewhere));
    }

    #[test]
    fn a_source_that_does_not_come_ends_it_after_its_patience() {
        let mut get = Get::new(NO_SOURCE_LIMIT);
        get.handle(at(0), GetEvent::Found(content(1, &[1])));
        get.handle(at(20_000), NO_SOURCE);
        assert_eq!(get.handle(at(20_000), sources(&[1])), GetStep::Done(GetEnd::NoSource));
        // Where there are no file descriptors no source has been asked.
        let short = GetEvent::NoSource { at_least: Duration::from_secs(30) };
        get.handle(at(20_000), short);
        assert!(matches!(get.handle(at(20_000), sources(&[1])), GetStep::Wait(_)));
    }

    #[test]
    fn a_name_that_is_replaced_again_and_again_is_given_up() {
        let mut get = Get::new(NO_SOURCE_LIMIT);
        get.handle(at(0), GetEvent::Begun);
        assert_eq!(get.handle(at(19_999), GetEvent::Replaced), GetStep::Look);
        let end = GetStep::Done(GetEnd::Replaced);
        assert_eq!(get.handle(at(20_000), GetEvent::Missing { back: true }), end);
    }
}
