//! What this node has told the ring of the files that it shares, and so what
//! there is to be told. No I/O.

use std::collections::BTreeMap;

use chordal_core::limits::PROVIDER_LIFETIME_S;
use chordal_core::name::FileName;
use chordal_core::peer::Peer;
use chordal_core::record::{ContentHash, Provider};

use super::super::shares::file::SharedFile;

/// Attempts to withdraw a record whose owner does not take it: later it has
/// ended by itself.
const WITHDRAWALS: u8 = 20;

/// The records of this node, as far as some owner may know them.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    said: BTreeMap<(FileName, Peer), Said>,
    /// That of the last statements.
    serial: u64,
}

#[derive(Debug)]
struct Said {
    root: ContentHash,
    size: u64,
    downloaded: bool,
    serial: u64,
    /// `Some`: no longer shared; attempts to say so.
    withdrawn: Option<u8>,
    /// The owner has taken it.
    taken: bool,
}

impl Ledger {
    /// What is to be said when `files` are shared by `me`: what is new or has
    /// changed, what no owner took the last time, what is shared no longer; with
    /// `all`, everything.
    pub(super) fn news(
        &mut self,
        me: Peer,
        files: Vec<SharedFile>,
        all: bool,
        unix_ms: u64,
    ) -> Vec<Provider> {
        let serial = self.next_serial(unix_ms);
        let mut news = Vec::new();
        let mut before = std::mem::take(&mut self.said);
        for SharedFile { name, root, size, downloaded, .. } in files {
            let key = (name, me);
            let mut said = match before.remove(&key) {
                Some(said)
                    if (said.root, said.downloaded) == (root, downloaded)
                        && said.withdrawn.is_none() =>
                {
                    said
                }
                _ => Said { root, size, downloaded, serial, withdrawn: None, taken: false },
            };
            if all || !said.taken {
                (said.serial, said.taken) = (serial, false);
                news.push(said.provider(&key));
            }
            self.said.insert(key, said);
        }
        for (key, mut said) in before {
            let attempts = said.withdrawn.unwrap_or_default();
            if attempts < WITHDRAWALS {
                (said.serial, said.taken) = (serial, false);
                said.withdrawn = Some(attempts + 1);
                news.push(said.provider(&key));
                self.said.insert(key, said);
            }
        }
        news
    }

    /// What owners have taken, word for word: said again it is no news to them,
    /// and they answer how many share it. Nothing when that is more than
    /// `at_most`.
    pub(super) fn again(&self, at_most: usize) -> Vec<Provider> {
        if self.said.len() > at_most {
            return Vec::new();
        }
        self.said
            .iter()
            .filter(|(_, said)| said.taken && said.withdrawn.is_none())
            .map(|(key, said)| said.provider(key))
            .collect()
    }

    /// Takes everything back.
    pub(super) fn withdraw(&mut self, me: Peer, unix_ms: u64) -> Vec<Provider> {
        self.news(me, Vec::new(), false, unix_ms)
    }

    /// Takes in how a statement ended. One that was overtaken by another about
    /// the same file says nothing any more.
    pub(super) fn ended(&mut self, statement: &Provider, taken: bool) {
        let key = (statement.name.clone(), statement.peer);
        if let Some(said) = self.said.get_mut(&key)
            && said.serial == statement.serial
        {
            said.taken = taken;
            if taken && said.withdrawn.is_some() {
                self.said.remove(&key);
            }
        }
    }

    /// Statements that no owner has taken yet.
    pub(super) fn untaken(&self) -> usize {
        self.said.values().filter(|said| !said.taken).count()
    }

    /// Milliseconds since the Unix epoch: larger than whatever an earlier run of
    /// this node said; and larger than the last one, whatever the clock does.
    fn next_serial(&mut self, unix_ms: u64) -> u64 {
        self.serial = unix_ms.max(self.serial.saturating_add(1));
        self.serial
    }
}

impl Said {
    fn provider(&self, (name, peer): &(FileName, Peer)) -> Provider {
        Provider {
            name: name.clone(),
            peer: *peer,
            root: self.root,
            size: self.size,
            downloaded: self.downloaded,
            serial: self.serial,
            lifetime_s: if self.withdrawn.is_some() { 0 } else { PROVIDER_LIFETIME_S },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, content: u8) -> SharedFile {
        SharedFile {
            name: FileName::new(name).expect("a plain name"),
            path: name.into(),
            root: ContentHash([content; 32]),
            size: 1,
            downloaded: false,
        }
    }

    fn peer(index: u16) -> Peer {
        Peer::new(([127, 0, 0, 1], 2000).into(), index)
    }

    /// Statements as (name, index of the sharer, whether it is shared), all
    /// taken by their owners.
    fn told(ledger: &mut Ledger, news: Vec<Provider>) -> Vec<(String, u16, bool)> {
        news.into_iter()
            .map(|one| {
                ledger.ended(&one, true);
                (one.name.as_str().to_owned(), one.peer.index(), one.lifetime_s > 0)
            })
            .collect()
    }

    #[test]
    fn only_what_differs_is_said() {
        let mut ledger = Ledger::default();
        let news = ledger.news(peer(0), vec![file("a", 1), file("b", 1)], false, 10);
        assert_eq!(told(&mut ledger, news).len(), 2);
        assert!(ledger.news(peer(0), vec![file("a", 1), file("b", 1)], false, 11).is_empty());
        let news = ledger.news(peer(0), vec![file("b", 2), file("c", 1)], false, 12);
        assert!(news.iter().all(|one| one.serial == 12));
        let expected = [("b", true), ("c", true), ("a", false)];
        let expected = expected.map(|(name, sharing)| (name.to_owned(), 0, sharing));
        assert_eq!(told(&mut ledger, news), expected);
        assert!(ledger.news(peer(0), vec![file("b", 2), file("c", 1)], false, 13).is_empty());
        assert_eq!(ledger.news(peer(0), vec![file("b", 2), file("c", 1)], true, 14).len(), 2);
    }

    #[test]
    fn what_nobody_took_is_said_again_and_a_withdrawal_not_for_ever() {
        let mut ledger = Ledger::default();
        let first = ledger.news(peer(0), vec![file("a", 1)], false, 10);
        ledger.ended(&first[0], false);
        assert_eq!(ledger.untaken(), 1);
        let second = ledger.news(peer(0), vec![file("a", 1)], false, 11);
        ledger.ended(&first[0], true);
        assert_eq!(ledger.untaken(), 1, "the end of an overtaken statement");
        ledger.ended(&second[0], true);
        assert_eq!(ledger.untaken(), 0);
        let mut attempts = 0;
        while !ledger.withdraw(peer(0), 12).is_empty() {
            attempts += 1;
        }
        assert_eq!(attempts, WITHDRAWALS);
        assert_eq!(ledger.untaken(), 0);
    }

    #[test]
    fn a_question_repeats_what_was_taken_word_for_word() {
        let mut ledger = Ledger::default();
        let news = ledger.news(peer(0), vec![file("a", 1), file("b", 1)], false, 10);
        ledger.ended(&news[0], true);
        ledger.ended(&news[1], false);
        assert_eq!(ledger.again(2), news[..1]);
        assert!(ledger.again(1).is_empty(), "too many");
        ledger.withdraw(peer(0), 11);
        assert!(ledger.again(2).is_empty());
    }

    #[test]
    fn a_node_that_changed_its_place_takes_back_what_it_said_as_another() {
        let mut ledger = Ledger::default();
        let news = ledger.news(peer(0), vec![file("a", 1)], false, 10);
        told(&mut ledger, news);
        let news = ledger.news(peer(1), vec![file("a", 1)], false, 11);
        let expected = [("a".to_owned(), 1, true), ("a".to_owned(), 0, false)];
        assert_eq!(told(&mut ledger, news), expected);
    }

    #[test]
    fn a_file_shared_again_before_its_withdrawal_was_taken_is_shared() {
        let mut ledger = Ledger::default();
        let news = ledger.news(peer(0), vec![file("a", 1)], false, 10);
        told(&mut ledger, news);
        let gone = ledger.withdraw(peer(0), 11);
        let back = ledger.news(peer(0), vec![file("a", 1)], false, 12);
        ledger.ended(&gone[0], true);
        assert!(back[0].lifetime_s > 0 && back[0].serial > gone[0].serial);
        ledger.ended(&back[0], true);
        assert_eq!(ledger.untaken(), 0);
    }

    #[test]
    fn serials_grow_when_the_clock_goes_back() {
        let mut ledger = Ledger::default();
        let serial = |ledger: &mut Ledger, unix_ms| {
            ledger.news(peer(0), vec![file("a", 1)], true, unix_ms)[0].serial
        };
        assert_eq!(serial(&mut ledger, 1_000), 1_000);
        assert_eq!(serial(&mut ledger, 500), 1_001);
        assert_eq!(serial(&mut ledger, 2_000), 2_000);
    }
}
