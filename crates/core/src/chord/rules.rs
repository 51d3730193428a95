//! The rules of the ring, and the traps that each have a story in the tests.
//!
//! The published Chord protocol can break its ring for good. chordal follows Zave's
//! corrections (*How to make Chord correct*, 2015–2017). With `between(a, x, b)` for "x
//! lies strictly inside the clockwise way from a to b", and lists cut to r entries:
//!
//! - **join**: find the member m before one's place; take its *whole* list; m is the
//!   predecessor.
//! - **stabilize**, one round at a time: ask the first successor s for its predecessor
//!   and list. No answer: drop s, go on with the next at once. An answer: the list
//!   becomes s and its list, in one assignment. If s's predecessor p lies between, ask
//!   p too: its answer proves that it lives, and the list becomes p and p's; so on along
//!   the predecessors, as far as they lie between. Notify the first successor, and stabilize
//!   again at once if that one did not have this node before it.
//! - **rectify**, on a notification: take the notifier as predecessor if it lies
//!   between, or if the old one does not answer.
//!
//! And these are the traps, each with a story in `chord/tests` or beside it:
//!
//! 1. Self must not stand in for a successor while others are known: such lists make
//!    rings of one that nothing can repair. An empty list means alone.
//! 2. The proof begins at r + 1 members. Below that everybody knows everybody; a list
//!    that reaches round the ring does that by itself. Remembered peers heal the rest.
//! 3. Between a question and its answer the asker's list may have moved. `adopt`
//!    voids the round under way, so no answer is applied to a list that it was not
//!    asked for.
//! 4. Old word of a death kills the living: death is local, and never gossip.
//! 5. Two neighbours that die together, the last node standing, a node back with the
//!    same id, two rings started apart, a whole ring restarted.
//! 6. One placement function, or copies are made where nobody looks.
//!
//! And one that nobody had told us, found by the model checker: whoever asks for a way may
//! hear of the same dead node again and again. The node that answered ends the list that is
//! taken from it, and asking is paced.
//!
//! Beside the ring there are more:
//!
//! 7. A search must not wait in a circle. Questions only go clockwise and never past the
//!    origin, and the waiting follows the same order.
//! 8. A node may get a second parent in a search when its first one died. It answers
//!    both, and its rows count once.
//! 9. Both ends of a link open it at the same moment, or both beat at the same moment.
//!    Taking turns comes from each waiting longer after its own beat.
//! 10. Nobody can prove who began a piece of gossip. What an origin says over its own
//!     link is counted apart, so that whoever borrows its name cannot silence it.
//! 11. A file changes while it is hashed or served. It is offered while its marks
//!     (size, times, inode) are those that it was hashed with, and each piece is verified
//!     before it is sent: what is not right any more is read again and offered anew.
//! 12. A chain only saves time. Nobody in it waits for ever for the next one: who is silent
//!     is passed by, and gets its copy after the commit.
//! 13. A bit in the map of a partial file proves nothing. What it claims is read and
//!     verified before it counts.
//! 14. Nodes let a tombstone go at different moments. Whoever has let go takes no notice of
//!     those who have not, and gives new versions above it, or the old marker would
//!     swallow a new put.
//! 15. A stand-in's copy is out of place to the stand-in. The owner consents to its end only
//!     when each wanted holder has the version, or is full and replaced; an offer that
//!     comes before the consent makes it void.
//! 16. A process that stood still must not blame those who hung up meanwhile, or whose answers
//!     it has not read yet.
