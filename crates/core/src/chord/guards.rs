//! What keeps a ring whole, and what a node does without it.
//!
//! A rule whose absence has never broken anything may be superstition. So the
//! model checker (tests/model) switches off one guard at a time and must find a
//! ring that breaks. Nothing else ever does: no option and no message reaches
//! these switches. What a node does without a guard stands here, beside the
//! protocol and not within it.

/// The guards of a node; all of them stand unless a model takes one away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Guards {
    /// A successor is adopted only from its own answer. Without: as soon as the
    /// first successor names it (the original paper's stabilize).
    pub own_answer: bool,
    /// A list is assigned whole. Without: a new first successor comes alone,
    /// and the rest of its list follows in the next round (the original paper
    /// sets the pointer first and repairs the list later).
    pub atomic_list: bool,
    /// Self is never a live successor. Without: a list that runs round the ring
    /// ends in its owner, and one that would be empty is its owner.
    pub self_excluded: bool,
    /// Word of a death is a reason to look, and counts only as the end of an
    /// open question. Without: it is believed, however late it comes.
    pub late_deaths_ignored: bool,
}

impl Guards {
    /// What every real node has.
    pub const ALL: Guards = Guards {
        own_answer: true,
        atomic_list: true,
        self_excluded: true,
        late_deaths_ignored: true,
    };
}

impl Default for Guards {
    fn default() -> Guards {
        Guards::ALL
    }
}
