//! The orderly end: a node hands over its files and leaves its ring. `leave`
//! inside and from outside, `quit` and the signals of a process are all this one
//! task, and a caller that asks while it runs waits for the same end.
//!
//! The core decides what may be given up, and that a leave without progress ends.
//! What progress is only its driver sees: the copies for which a leaver waits are
//! often made among others, so those are asked how much they have fetched.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use chordal_core::chord::placement::hosts;
use chordal_core::chord::{self, Failure, Reply};
use chordal_core::error::{CommandError, Reason};
use chordal_core::peer::Peer;
use chordal_core::wire::{Request, Response};
use chordal_view::text::handing_over;
use chordal_view::{HandedOver, HandingOver, KeptFiles, Outcome};

use super::user::User;
use crate::data::access::{Access, Outside};
use crate::net::requests::unexpected;
use crate::overlay::mesh;
use crate::sharing::provide;
use crate::transfers::Phases;

/// How often it is looked how far the leave is.
const LOOK: Duration = Duration::from_millis(500);

/// Looks over which the rate is taken: it must not jump with every piece.
const RATE_LOOKS: usize = 8;

/// Nodes that are asked what they have fetched: those that take over a leaver's
/// files are its next successors.
const WATCHED: usize = 16;

/// How long one of them may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

/// Names of files without another copy that are told; the others are counted.
const NAMED: usize = 5;

/// The leave of a node, from its beginning on. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Departure {
    state: Arc<watch::Sender<State>>,
    /// How long it may take; `None`: as long as it makes progress.
    limit: Option<Duration>,
}

#[derive(Clone, Debug, Default)]
struct State {
    running: bool,
    /// The node ends after it.
    last: bool,
    /// It shall end now.
    over: bool,
    row: HandingOver,
    /// How the latest one ended.
    ended: Option<Result<HandedOver, CommandError>>,
}

impl Departure {
    pub(crate) fn new(limit: Option<Duration>) -> Departure {
        Departure { state: Arc::new(watch::Sender::new(State::default())), limit }
    }

    /// Whether the node ends after its leave: it will be back on its ring.
    pub(crate) fn is_last(&self) -> bool {
        self.state.borrow().last
    }

    /// Has a leave end now, whatever is handed over.
    pub(crate) fn hurry(&self) {
        self.state.send_modify(|state| state.over = true);
    }
}

/// Begins to leave, unless a leave is under way. `last`: the node ends after it.
pub(crate) fn begin(user: &User, last: bool) {
    let starts = user.departure.state.send_if_modified(|state| {
        let starts = !state.running;
        state.last |= last;
        state.running = true;
        starts
    });
    if starts {
        user.net.tasks.spawn(drain(user.clone()));
    }
}

/// Leaves, or waits for the leave that is under way: what became of the files.
///
/// # Errors
/// A sentence: the node is on no ring, or it stops.
pub(crate) async fn leave(user: &User, last: bool) -> Result<HandedOver, CommandError> {
    begin(user, last);
    let mut state = user.departure.state.subscribe();
    let ended = tokio::select! {
        () = user.net.stop.cancelled() => None,
        ended = state.wait_for(|state| !state.running) => ended.ok().and_then(|s| s.ended.clone()),
    };
    ended.unwrap_or(Err(CommandError::Stopping))
}

/// `leave` through a node that is on this machine: has it leave, and waits.
///
/// # Errors
/// A sentence: it cannot.
pub(crate) async fn leave_outside(
    access: &Access,
    outside: &Outside,
    phases: &dyn Phases,
) -> Result<Outcome, CommandError> {
    let mut request = Request::Leave;
    loop {
        match access.request(outside.via, request).await? {
            Response::HandingOver(row) => {
                phases.phase(&format!("handing over {}", handing_over(&row)));
            }
            Response::HandedOver(end) => return Ok(Outcome::Left(end)),
            other => return Err(unexpected(outside.via, other)),
        }
        tokio::time::sleep(LOOK).await;
        request = Request::LeaveState;
    }
}

/// How the leave stands, as it travels.
pub(crate) fn told(user: &User) -> Response {
    let state = user.departure.state.borrow();
    match &state.ended {
        _ if state.running => Response::HandingOver(state.row),
        Some(Ok(end)) => Response::HandedOver(end.clone()),
        Some(Err(why)) => Response::Failed { why: why.clone() },
        None => {
            let why = CommandError::refused(Reason::State, "this node is not leaving");
            Response::Failed { why }
        }
    }
}

/// The task: one leave from its beginning to its end.
async fn drain(user: User) {
    let result = hand_over(&user).await;
    user.notes.show(|rows| rows.handing_over = None);
    user.departure.state.send_modify(|state| {
        let before = state.ended.take();
        state.ended = Some(match (result, before) {
            // It has left before, and ends now: what stayed then stays.
            (Err(why), Some(Ok(before))) if state.last && why == Failure::NoRing.into() => {
                Ok(before)
            }
            (result, _) => result,
        });
        (state.running, state.over) = (false, false);
        state.row = HandingOver::default();
    });
}

async fn hand_over(user: &User) -> Result<HandedOver, CommandError> {
    let Departure { state, limit } = &user.departure;
    let mut over = state.subscribe();
    let alone = user.core.look(chord::Host::is_alone).await.ok_or(CommandError::Stopping)?;
    tokio::select! {
        () = provide::withdraw(&user.sharing, provide::WITHDRAW_LIMIT) => {}
        () = hurried(&mut over) => {}
    }
    let began = Instant::now();
    let reply =
        user.core.begin(chord::Command::Leave, None, None).await.ok_or(CommandError::Stopping)?;
    let mut reply = std::pin::pin!(reply);
    let moved = Arc::new(AtomicU64::new(0));
    let mut watching = JoinSet::new();
    watching.spawn(watch_copies(user.clone(), Arc::clone(&moved)));
    let mut progress = Progress::default();
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let reply = loop {
        tokio::select! {
            reply = &mut reply => break reply.map_err(|_| CommandError::Stopping)?,
            () = hurried(&mut over) => {
                user.core.leave(true).await;
                break reply.await.map_err(|_| CommandError::Stopping)?;
            }
            _ = look.tick() => {}
        }
        let here = user.core.look(chord::Host::volume).await.ok_or(CommandError::Stopping)?;
        let moved = moved.load(Ordering::Relaxed);
        let goes_on = progress.see(here, moved, user.net.me().params.replicas);
        let over = limit.is_some_and(|limit| began.elapsed() >= limit);
        if over || goes_on || limit.is_some() {
            user.core.leave(over).await;
        }
        let row = progress.row;
        state.send_modify(|state| state.row = row);
        user.notes.show(|rows| rows.handing_over = Some(row));
    };
    match reply {
        Reply::Left { handed, kept, together } => {
            mesh::leave(&user.overlay.mesh).await;
            let kept = stayed(&kept, &user.sharing.dir);
            Ok(HandedOver { handed, kept: KeptFiles { alone, together, ..kept } })
        }
        Reply::Failed(failure) => {
            if user.departure.state.borrow().last {
                // Links are not of the ring: they end with the node.
                mesh::leave(&user.overlay.mesh).await;
            }
            provide::moved(&user.sharing);
            Err(failure.into())
        }
        other => Err(CommandError::Bug(format!("an unexpected reply: {other:?}"))),
    }
}

async fn hurried(state: &mut watch::Receiver<State>) {
    let _ = state.wait_for(|state| state.over).await.map(drop);
}

/// What is still on the disk.
fn stayed(kept: &[chord::Kept], directory: &Path) -> KeptFiles {
    let sole = kept.iter().filter(|file| !file.elsewhere);
    KeptFiles {
        files: kept.len(),
        bytes: kept.iter().map(|file| file.size).sum(),
        sole: sole.clone().count(),
        named: sole.take(NAMED).map(|file| file.name.to_string()).collect(),
        directory: directory.display().to_string(),
        ..KeptFiles::default()
    }
}

/// How far a leave is, look by look.
#[derive(Default)]
struct Progress {
    row: HandingOver,
    /// Bytes moved at the last looks, and when.
    looks: VecDeque<(Instant, u64)>,
    /// Bytes on this disk at the last look.
    here: u64,
    /// Bytes moved since they became less.
    since: u64,
    moved: u64,
}

impl Progress {
    /// Takes in what is still here and what has moved in all; whether it moved on.
    ///
    /// On a ring in use bytes always move. Once as many have moved as all copies of what
    /// is here could need, and nothing could be given up for them, they are those of others.
    fn see(&mut self, (files, here): (usize, u64), moved: u64, replicas: u8) -> bool {
        let more = moved.saturating_sub(self.moved);
        self.since = if here == self.here { self.since + more } else { 0 };
        let goes_on = more > 0 && self.since <= here.saturating_mul(u64::from(replicas));
        (self.here, self.moved) = (here, moved);
        let now = Instant::now();
        self.looks.push_back((now, moved));
        if self.looks.len() > RATE_LOOKS {
            self.looks.pop_front();
        }
        let (first, before) = self.looks.front().copied().unwrap_or((now, moved));
        let span = now.saturating_duration_since(first).as_secs_f64();
        let rate = if span > 0.0 { ((moved - before) as f64 / span) as u64 } else { 0 };
        // What moved towards a copy that is not whole yet is not to be moved again.
        let bytes = here.saturating_sub(self.since);
        let seconds = bytes.checked_div(rate);
        self.row = HandingOver { files, bytes, rate, seconds };
        goes_on
    }
}

/// Adds up what those fetch that take this node's files over.
async fn watch_copies(user: User, moved: Arc<AtomicU64>) {
    let mut known: BTreeMap<SocketAddr, u64> = BTreeMap::new();
    let mut heirs: BTreeSet<Peer> = BTreeSet::new();
    loop {
        let me = user.net.me().me.address();
        let now = user.core.look(|core| core.first().successors().to_vec()).await;
        heirs.extend(now.into_iter().flatten().filter(|peer| peer.address() != me));
        let heirs: Vec<Peer> = heirs.iter().copied().collect();
        let mut asked = JoinSet::new();
        for heir in hosts(&heirs).into_iter().take(WATCHED) {
            let access = Access::Inside(user.data.clone());
            asked.spawn(async move {
                let answer = access.request(heir.address(), Request::Copied);
                match timeout(ANSWER, answer).await {
                    Ok(Ok(Response::Copied { bytes })) => Some((heir.address(), bytes)),
                    _ => None,
                }
            });
        }
        for (address, bytes) in asked.join_all().await.into_iter().flatten() {
            let before = known.insert(address, bytes).unwrap_or(bytes);
            moved.fetch_add(bytes.saturating_sub(before), Ordering::Relaxed);
        }
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_others_move_do_not_keep_a_leave_from_ending() {
        let mut progress = Progress::default();
        assert!(!progress.see((2, 100), 0, 3), "nothing has moved");
        assert!(progress.see((2, 100), 90, 3), "copies of what is here are made");
        assert!(progress.see((1, 60), 200, 3), "one was given up");
        assert!(progress.see((1, 60), 380, 3));
        for moved in 1..50 {
            assert!(!progress.see((1, 60), 380 + moved * 1_000, 3), "they are not for this node");
        }
        assert!(!progress.see((1, 60), 49_380, 3), "nothing moves");
        assert!(progress.see((1, 50), 49_390, 3), "it goes on after all");
    }
}
