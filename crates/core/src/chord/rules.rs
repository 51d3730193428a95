//! The rules of the ring, and the traps, each of which has a test with its story.
//!
//! The published Chord protocol can break its ring for good. chordal follows Zave's
//! corrections (*How to make Chord correct*, 2015–2017). With `between(a, x, b)` for "x
//! lies strictly inside the clockwise interval from a to b", and lists cut to r entries:
//!
//! - **join**: find the member m before this node's place; take its *whole* list; m is the
//!   predecessor.
//! - **stabilize**, one round at a time: ask the first successor s for its predecessor
//!   and list. If it does not answer, drop s and continue with the next at once. If it
//!   does, the list becomes s and its list, in one assignment. If s's predecessor p lies
//!   between, ask p too: its answer proves that it is alive, and the list becomes p and
//!   p's; and so on along the predecessors, as far as they lie between. Notify the first
//!   successor, and stabilize again at once if this node was not its predecessor before.
//! - **rectify**, on a notification: take the notifier as predecessor if it lies
//!   between, or if the old one does not answer.
//!
//! The traps, each with a test in `tests/ring` of `chordal-sim` or beside the code:
//!
//! 1. A node must not be its own successor while it knows others: such lists make rings of
//!    one that nothing can repair. An empty list means that the node is alone.
//! 2. The proof begins at r + 1 members. Below that all members know each other, because a
//!    list then reaches round the ring. Remembered peers heal the other cases.
//! 3. Between a question and its answer the asker's list may have changed. `adopt`
//!    cancels the running round, so that no answer is applied to a list for which it was
//!    not asked.
//! 4. An old report of a death would kill a live node: a death is a local finding and
//!    never gossip.
//! 5. Two neighbours that die together, the last node, a node that comes back with the
//!    same id, two rings that were started apart, a whole ring that restarts.
//! 6. There is one placement function; with two, copies are made where no node looks.
//!
//! The model checker found one that is not in the literature: the answers to a lookup may
//! name the same dead node again and again. So the node that answered ends the list that is
//! taken from it, and questions are paced.
//!
//! Beside the ring:
//!
//! 7. A search must not wait in a circle. Questions only go clockwise and never past the
//!    origin, and nodes wait for each other in the same order.
//! 8. A node may get a second parent in a search when its first one died. It answers
//!    both, and its rows count once.
//! 9. Both ends of a link open it at the same moment, or both beat at the same moment.
//!    They take turns because each waits longer after its own beat.
//! 10. The origin of a piece of gossip cannot be proved. Pieces that an origin sends over
//!     its own link are counted apart, so that a peer that forges the origin cannot
//!     silence it.
//! 11. A file changes while it is hashed or served. It is offered while its stamp (size,
//!     times, inode) is the one with which it was hashed, and each piece is verified before
//!     it is sent: a file that has changed is hashed and offered again.
//! 12. A chain only saves time. No node in it waits forever for the next one: a silent node
//!     is skipped, and gets its copy after the commit.
//! 13. A bit in the map of a partial file proves nothing. The piece is read and verified
//!     before it counts.
//! 14. Nodes delete a tombstone at different moments. A node that has deleted it ignores
//!     those that have not, and gives new versions above it; otherwise the old tombstone
//!     would remove a new put.
//! 15. For a stand-in, its copy is out of place. The owner only agrees to the deletion when
//!     each wanted holder has the version, or is full and replaced; an offer that arrives
//!     before the agreement cancels it.
//! 16. A process that was stopped must not blame peers that closed their connections
//!     meanwhile, or whose answers it has not read yet.
