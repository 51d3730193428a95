//! What is known of a name, put together from the answers of several nodes.

use std::cmp::Reverse;

use crate::name::FileName;
use crate::peer::{Peer, is_reachable};
use crate::record::{ContentHash, Provider, Record, Version};

/// Contents of one name that are told apart, and sharers of one content that
/// are used: more help nobody.
const MAX_CONTENTS: usize = 48;
const MAX_SHARERS: usize = 48;

/// What is known of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Its newest record, which may be a tombstone, and who may have its bytes.
    pub record: Option<(Record, Vec<Peer>)>,
    /// Who shares it; each sharer once.
    pub providers: Vec<Provider>,
}

/// One content of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedContent {
    /// Its hash.
    pub root: ContentHash,
    /// Its bytes.
    pub size: u64,
    /// The ring stores it.
    pub stored: bool,
    /// As this version, where that is known.
    pub version: Option<Version>,
    /// Who has it: holders first, then sharers.
    pub sources: Vec<Peer>,
}

/// A sharer whose word does not agree with what the ring knows.
pub type Liar = (Peer, String);

impl Known {
    /// The different contents of the name: the stored one first, then those
    /// that most share. A content is its hash; when sharers differ about its
    /// size, the ring is right, or else the most.
    pub fn contents(&self) -> (Vec<NamedContent>, Vec<Liar>) {
        let mut contents: Vec<NamedContent> = Vec::new();
        let mut liars = Vec::new();
        if let Some((record, holders)) = &self.record
            && !record.is_deleted()
        {
            contents.push(NamedContent {
                root: record.version.root,
                size: record.size(),
                stored: true,
                version: Some(record.version),
                sources: holders.clone(),
            });
        }
        let stored = contents.first().cloned();
        // Their own files first: what was only downloaded is a further source.
        let own = self.providers.iter().filter(|provider| !provider.downloaded);
        let downloaded = self.providers.iter().filter(|provider| provider.downloaded);
        for Provider { root, size, peer, downloaded, .. } in own.chain(downloaded) {
            if let Some(stored) = stored.as_ref().filter(|stored| stored.root == *root)
                && stored.size != *size
            {
                let known = stored.size;
                let why = format!("offers {size} bytes under a hash of {known} bytes");
                liars.push((*peer, why));
                continue;
            }
            match contents.iter_mut().find(|known| (known.root, known.size) == (*root, *size)) {
                Some(known) if known.sources.contains(peer) => {}
                Some(known) => known.sources.push(*peer),
                // It was replaced or removed on the ring since.
                None if *downloaded && self.record.is_some() => {}
                None => contents.push(NamedContent {
                    root: *root,
                    size: *size,
                    stored: false,
                    version: None,
                    sources: vec![*peer],
                }),
            }
        }
        contents.sort_by_key(|content| {
            (!content.stored, Reverse(content.sources.len()), content.root, content.size)
        });
        // Of one hash only one size can be true, and nobody can tell who lies.
        let mut roots = Vec::new();
        contents.retain(|content| {
            let first = !roots.contains(&content.root);
            roots.push(content.root);
            first
        });
        contents.truncate(MAX_CONTENTS);
        (contents, liars)
    }

    /// Whether nobody has anything of the name that is worth to be fetched.
    pub fn is_empty(&self) -> bool {
        let stored = self.record.as_ref().is_some_and(|(record, _)| !record.is_deleted());
        let downloaded = self.providers.iter().all(|provider| provider.downloaded);
        !stored && (self.providers.is_empty() || downloaded && self.record.is_some())
    }

    /// Takes in what a node says of the record; the newest version counts.
    pub fn hear(&mut self, node: Peer, wanted: &[Peer], answer: Option<(Record, Vec<Peer>)>) {
        let Some((record, holders)) = answer else { return };
        if self.record.as_ref().is_none_or(|(known, _)| known.version < record.version) {
            // An owner without room has the record and not the bytes.
            let among = |peers: &[Peer], one: Peer| {
                peers.iter().any(|peer| peer.address() == one.address())
            };
            let has = holders.is_empty() || among(&holders, node);
            let mut sources = if has { vec![node] } else { Vec::new() };
            for peer in holders.iter().chain(wanted) {
                if !among(&sources, *peer) {
                    sources.push(*peer);
                }
            }
            self.record = Some((record, sources));
        }
    }

    /// Takes in what a node says of the sharers; of each its latest word.
    pub fn hear_providers(&mut self, name: &FileName, providers: Vec<Provider>) {
        for provider in providers {
            let fits = provider.name == *name
                && provider.lifetime_s > 0
                && is_reachable(provider.peer.address());
            let room = self.providers.len() < MAX_SHARERS;
            match self.providers.iter_mut().find(|known| known.peer == provider.peer) {
                Some(known) if fits && known.serial < provider.serial => *known = provider,
                None if fits && room => self.providers.push(provider),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Content;

    fn peer(number: u16) -> Peer {
        Peer::new(([127, 0, 0, 1], number).into(), 0)
    }

    fn name() -> FileName {
        FileName::new("SkyShip.jpg").expect("a name")
    }

    fn hash(byte: u8) -> ContentHash {
        ContentHash([byte; 32])
    }

    fn record(root: u8, content: Content) -> Record {
        Record { name: name(), version: Version { counter: 1, root: hash(root) }, content }
    }

    fn shares(number: u16, root: u8, size: u64) -> Provider {
        let (name, peer, root) = (name(), peer(number), hash(root));
        Provider { name, peer, root, size, downloaded: false, serial: 1, lifetime_s: 60 }
    }

    fn known(record: Option<Record>, providers: Vec<Provider>) -> Known {
        let mut known = Known::default();
        known.hear(peer(1), &[], record.map(|record| (record, vec![peer(1), peer(2)])));
        known.hear_providers(&name(), providers);
        known
    }

    fn rows(known: &Known) -> Vec<(u8, u64, bool, Vec<u16>)> {
        let row = |content: &NamedContent| {
            let ports = content.sources.iter().map(|peer| peer.address().port()).collect();
            (content.root.0[0], content.size, content.stored, ports)
        };
        known.contents().0.iter().map(row).collect()
    }

    #[test]
    fn an_owner_without_room_is_no_source_of_what_it_answers_for() {
        let mut known = Known::default();
        let stored = record(7, Content::File { size: 5 });
        // Another place of a host that was named is no other source.
        let twice = Peer::new(peer(3).address(), 1);
        known.hear(peer(1), &[twice], Some((stored, vec![peer(2), peer(3)])));
        assert_eq!(rows(&known), [(7, 5, true, vec![2, 3])]);
    }

    #[test]
    fn holders_and_sharers_of_one_content_are_its_sources_together() {
        let stored = record(7, Content::File { size: 5 });
        let known = known(Some(stored), vec![shares(3, 7, 5), shares(2, 7, 5)]);
        assert_eq!(rows(&known), [(7, 5, true, vec![1, 2, 3])]);
    }

    #[test]
    fn a_removed_name_is_what_its_sharers_have() {
        let removed = record(0, Content::Deleted { at_s: 0 });
        let known = known(Some(removed), vec![shares(3, 7, 5)]);
        assert_eq!(rows(&known), [(7, 5, false, vec![3])]);
    }

    #[test]
    fn a_download_is_a_source_of_what_is_there_and_brings_nothing_back() {
        let downloaded = |n, root| Provider { downloaded: true, ..shares(n, root, 5) };
        let stored = || record(7, Content::File { size: 5 });
        let old_and_new = || vec![downloaded(3, 6), downloaded(4, 7)];
        assert_eq!(rows(&known(Some(stored()), old_and_new())), [(7, 5, true, vec![1, 2, 4])]);
        let removed = known(Some(record(0, Content::Deleted { at_s: 0 })), old_and_new());
        assert_eq!(rows(&removed), []);
        assert!(removed.is_empty());
        // Its sharer is gone, and it was never stored: peers that downloaded it still have it.
        assert_eq!(rows(&known(None, vec![downloaded(3, 6)])), [(6, 5, false, vec![3])]);
    }

    #[test]
    fn other_contents_of_the_name_come_behind_by_the_number_of_their_sharers() {
        let stored = record(7, Content::File { size: 5 });
        let sharers = vec![shares(3, 1, 9), shares(4, 2, 9), shares(5, 2, 9)];
        assert_eq!(
            rows(&known(Some(stored), sharers)),
            [(7, 5, true, vec![1, 2]), (2, 9, false, vec![4, 5]), (1, 9, false, vec![3])]
        );
    }

    #[test]
    fn a_sharer_with_another_size_for_a_stored_hash_lies_and_is_no_source() {
        let stored = record(7, Content::File { size: 5 });
        let known = known(Some(stored), vec![shares(3, 7, 6)]);
        assert_eq!(rows(&known), [(7, 5, true, vec![1, 2])]);
        let (peer_3, why) = known.contents().1.pop().expect("a liar");
        assert_eq!(peer_3, peer(3));
        assert_eq!(why, "offers 6 bytes under a hash of 5 bytes");
    }

    #[test]
    fn among_sharers_alone_the_most_are_believed_about_a_size() {
        let known = known(None, vec![shares(3, 7, 6), shares(4, 7, 5), shares(5, 7, 5)]);
        assert_eq!(rows(&known), [(7, 5, false, vec![4, 5])]);
        assert!(known.contents().1.is_empty(), "nobody can tell who lies");
    }

    #[test]
    fn of_each_sharer_the_latest_word_counts_and_an_impossible_one_not_at_all() {
        let mut known = known(None, vec![shares(3, 7, 6)]);
        let nowhere = Peer::new(([0, 0, 0, 0], 2000).into(), 0);
        let other = FileName::new("other").expect("a name");
        known.hear_providers(
            &name(),
            vec![
                Provider { serial: 2, ..shares(3, 8, 6) },
                shares(3, 9, 6),
                Provider { lifetime_s: 0, ..shares(4, 7, 6) },
                Provider { peer: nowhere, ..shares(5, 7, 6) },
                Provider { name: other, ..shares(6, 7, 6) },
            ],
        );
        assert_eq!(rows(&known), [(8, 6, false, vec![3])]);
        known.hear_providers(&name(), (10..500).map(|n| shares(n, 7, 6)).collect());
        assert_eq!(known.providers.len(), MAX_SHARERS);
    }
}
