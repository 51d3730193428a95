//! What an owner knows of the copies of one record on other nodes: of each node one
//! thing.

use std::collections::BTreeMap;

use crate::peer::Peer;
use crate::record::Obstacle;

/// The copies by node; a wanted holder that has not been asked is not among them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Copies(BTreeMap<Peer, Copy>);

/// The copy of one node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Copy {
    /// A wanted holder's.
    Wanted(Word),
    /// That of a node behind the wanted holders, which is to hold it in the place of
    /// one that cannot: of a partner or of the owner. `None`: it has said nothing, and
    /// no answer is awaited.
    StandIn(Option<Word>),
    /// The node said that it cannot store it.
    Unable(Obstacle),
}

/// What a node that is to hold the record says of its copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Word {
    /// It was offered the record and has not said whether it holds it.
    Awaited,
    /// It holds this version durably.
    Held,
    /// It holds this version, as far as known, and was asked again.
    AskedAgain,
}

impl Copies {
    /// Those that hold this version durably.
    pub(super) fn holders(&self) -> impl Iterator<Item = Peer> {
        self.0.keys().copied().filter(|peer| self.has(*peer))
    }

    /// Those to which it was offered and that have not said whether they hold it.
    pub(super) fn awaited(&self) -> impl Iterator<Item = Peer> {
        self.0.keys().copied().filter(|peer| self.is_awaited(*peer))
    }

    /// Those that cannot store it, and why.
    pub(super) fn unable(&self) -> impl Iterator<Item = (Peer, Obstacle)> {
        self.0.keys().filter_map(|peer| Some((*peer, self.obstacle(*peer)?)))
    }

    /// Those that are to hold it in the place of others.
    pub(super) fn stand_ins(&self) -> impl Iterator<Item = Peer> {
        self.0.keys().copied().filter(|peer| self.is_stand_in(*peer))
    }

    /// Whether any of these cannot store it, or stands in for one that cannot.
    pub(super) fn is_replaced(&self) -> bool {
        self.0.values().any(|copy| matches!(copy, Copy::StandIn(_) | Copy::Unable(_)))
    }

    pub(super) fn has(&self, peer: Peer) -> bool {
        matches!(self.word(peer), Some(Word::Held | Word::AskedAgain))
    }

    pub(super) fn is_awaited(&self, peer: Peer) -> bool {
        matches!(self.word(peer), Some(Word::Awaited | Word::AskedAgain))
    }

    pub(super) fn is_stand_in(&self, peer: Peer) -> bool {
        matches!(self.0.get(&peer), Some(Copy::StandIn(_)))
    }

    pub(super) fn is_unable(&self, peer: Peer) -> bool {
        self.obstacle(peer).is_some()
    }

    /// OfferReason this node cannot store it, if it said so.
    pub(super) fn obstacle(&self, peer: Peer) -> Option<Obstacle> {
        match self.0.get(&peer) {
            Some(Copy::Unable(why)) => Some(*why),
            _ => None,
        }
    }

    /// Whether this wanted holder has been asked, or has said something unasked.
    pub(super) fn knows(&self, peer: Peer) -> bool {
        self.0.contains_key(&peer)
    }

    /// A node is asked whether it holds it. From one that cannot store it, only the
    /// word that it does is news.
    pub(super) fn ask(&mut self, peer: Peer) {
        match self.word(peer) {
            _ if self.is_unable(peer) => {}
            None => self.set(peer, Some(Word::Awaited)),
            Some(Word::Held) => self.set(peer, Some(Word::AskedAgain)),
            Some(Word::Awaited | Word::AskedAgain) => {}
        }
    }

    /// A node has answered; whether that was awaited.
    pub(super) fn answered(&mut self, peer: Peer) -> bool {
        let awaited = self.is_awaited(peer);
        if awaited {
            let held = self.has(peer).then_some(Word::Held);
            self.set(peer, held);
        }
        awaited
    }

    /// A wanted holder or a stand-in holds it; whether that is news.
    pub(super) fn hold(&mut self, peer: Peer) -> bool {
        let news = !self.has(peer);
        if news {
            let awaited = self.is_awaited(peer);
            self.set(peer, Some(if awaited { Word::AskedAgain } else { Word::Held }));
        }
        news
    }

    /// A node holds it no more; whether it was thought to.
    pub(super) fn lose(&mut self, peer: Peer) -> bool {
        let held = self.has(peer);
        if held {
            let awaited = self.is_awaited(peer).then_some(Word::Awaited);
            self.set(peer, awaited);
        }
        held
    }

    /// A node cannot store it; whether it was thought to hold it.
    pub(super) fn refuse(&mut self, peer: Peer, why: Obstacle) -> bool {
        let held = self.has(peer);
        self.0.insert(peer, Copy::Unable(why));
        held
    }

    /// This node behind the wanted holders is to hold it in the place of one that
    /// cannot.
    pub(super) fn choose(&mut self, peer: Peer) {
        self.0.insert(peer, Copy::StandIn(self.word(peer)));
    }

    /// Stand-ins that have become wanted holders are ones.
    pub(super) fn promote(&mut self, partners: &[Peer]) {
        for peer in partners.iter().filter(|peer| self.is_stand_in(**peer)).collect::<Vec<_>>() {
            if let Some(Copy::StandIn(Some(word))) = self.0.remove(peer) {
                self.0.insert(*peer, Copy::Wanted(word));
            }
        }
    }

    /// Those that cannot store it and for which `which` holds may be able to again;
    /// whether there are any.
    pub(super) fn forgive(&mut self, which: impl Fn(Peer, Obstacle) -> bool) -> bool {
        let before = self.0.len();
        self.0.retain(|peer, copy| !matches!(copy, Copy::Unable(why) if which(*peer, *why)));
        self.0.len() < before
    }

    /// Forgets everything about a node; whether it was thought to hold it.
    pub(super) fn forget(&mut self, peer: Peer) -> bool {
        let held = self.has(peer);
        self.0.remove(&peer);
        held
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    fn word(&self, peer: Peer) -> Option<Word> {
        match self.0.get(&peer)? {
            Copy::Wanted(word) => Some(*word),
            Copy::StandIn(word) => *word,
            Copy::Unable(_) => None,
        }
    }

    fn set(&mut self, peer: Peer, word: Option<Word>) {
        match (self.0.get_mut(&peer), word) {
            (Some(Copy::StandIn(own)), word) => *own = word,
            (_, Some(word)) => drop(self.0.insert(peer, Copy::Wanted(word))),
            (_, None) => drop(self.0.remove(&peer)),
        }
    }
}
