//! What a client does on a ring, as pure machines: [`Put`], [`Get`], [`Locate`], [`Remove`].
//!
//! A machine owns the decisions of one operation: whom to ask next, when to try again, how
//! long to go on, what the end is. It is given the time and what happened, and returns what
//! its driver is to do: `handle(now, event)`. A driver does one thing after another (only
//! [`Locate`] asks several nodes at a time) and reports how each ended. There are two
//! drivers, the engine and the simulator, so the retries and limits that are simulated are
//! those that are shipped.
//!
//! A machine never moves bytes, opens files or reports progress, and knows no user: pausing,
//! cancelling and waiting for file descriptors are its driver's.

mod get;
mod instead;
mod known;
mod locate;
mod put;
mod remove;

pub use get::{FIRST_LOOK, Get, GetEnd, GetEvent, GetStep, LOOK_SOON, NO_SOURCE_LIMIT, Sought};
pub use instead::{Instead, MAX_INSTEAD, holders_of};
pub use known::{Known, Liar, NamedContent};
pub use locate::{Answer, Locate, LocateEvent, LocateStep};
pub use put::{Put, PutEvent, PutStep};
pub use remove::{Remove, RemoveEvent, RemoveStep};

use std::time::Duration;

/// Pause between two attempts of a put or a removal: about one stabilization of a busy ring.
const PAUSE: Duration = Duration::from_millis(500);

/// Attempts of a removal, and of a put that has moved no bytes, to find an owner that takes
/// it while the ring changes.
const ATTEMPTS: u32 = 6;
