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
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use chordal_core::chord::placement::hosts;
use chordal_core::chord::{self, Failure, Reply};
use chordal_core::error::{CommandError, Reason};
use chordal_core::peer::Peer;
use chordal_core::record::ContentHash;
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
        user.data.net.tasks.spawn(drain(user.clone()));
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
        () = user.data.net.stop.cancelled() => None,
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
pub(crate) fn leave_response(user: &User) -> Response {
    let state = user.departure.state.borrow();
    match &state.ended {
        _ if state.running => Response::HandingOver(state.row),
        Some(Ok(end)) => Response::HandedOver(end.clone()),
        Some(Err(why)) => Err(why.clone()).into(),
        None => Err(Reason::State.because("this node is not leaving")).into(),
    }
}

/// The task: one leave from its beginning to its end.
async fn drain(user: User) {
    let result = hand_over(&user).await;
    user.data.notes.show(|rows| rows.handing_over = None);
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
    let alone = user.data.core.look(chord::Host::is_alone).await.ok_or(CommandError::Stopping)?;
    tokio::select! {
        () = provide::withdraw(&user.sharing, provide::WITHDRAW_LIMIT) => {}
        () = until_hurried(&mut over) => {}
    }
    let began = Instant::now();
    let reply =
        user.data.core.begin(chord::Command::Leave, None).await.ok_or(CommandError::Stopping)?;
    let mut reply = std::pin::pin!(reply);
    let (told, copies) = watch::channel(Vec::new());
    let mut watching = JoinSet::new();
    watching.spawn(watch_copies(user.clone(), told));
    let mut progress = Progress::default();
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let reply = loop {
        tokio::select! {
            reply = &mut reply => break reply.map_err(|_| CommandError::Stopping)?,
            () = until_hurried(&mut over) => {
                user.data.core.leave(true).await;
                break reply.await.map_err(|_| CommandError::Stopping)?;
            }
            _ = look.tick() => {}
        }
        let copies = copies.borrow().clone();
        let seen = user.data.core.look(move |host| {
            let roots = host.contents();
            let goes_on = progress.see(host.volume(), |root| roots.contains(root), &copies);
            (progress, goes_on)
        });
        let goes_on;
        (progress, goes_on) = seen.await.ok_or(CommandError::Stopping)?;
        let over = limit.is_some_and(|limit| began.elapsed() >= limit);
        if over || goes_on || limit.is_some() {
            user.data.core.leave(over).await;
        }
        let row = progress.row;
        state.send_modify(|state| state.row = row);
        user.data.notes.show(|rows| rows.handing_over = Some(row));
    };
    match reply {
        Reply::Left { handed, kept, together } => {
            mesh::leave(&user.overlay.mesh).await;
            let kept = kept_files(&kept, &user.sharing.dir);
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

async fn until_hurried(state: &mut watch::Receiver<State>) {
    let _ = state.wait_for(|state| state.over).await.map(drop);
}

/// What is still on the disk.
fn kept_files(kept: &[chord::Kept], directory: &Path) -> KeptFiles {
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

/// A copy that another node makes: at this address, of this content, so many bytes.
type Copied = (SocketAddr, ContentHash, u64);

/// How far a leave is, look by look.
#[derive(Default)]
struct Progress {
    row: HandingOver,
    /// When it was looked, and the bytes that were left then.
    looks: VecDeque<(Instant, u64)>,
    /// The bytes of each copy, the most that there ever were: what is fetched again
    /// after it failed is no progress.
    came: BTreeMap<(SocketAddr, ContentHash), u64>,
}

impl Progress {
    /// Takes in what is here and what others copy; returns whether the copies of what
    /// is here have grown. Others copy more than that on a ring in use.
    fn see(
        &mut self,
        (files, bytes): (usize, u64),
        is_here: impl Fn(&ContentHash) -> bool,
        copies: &[Copied],
    ) -> bool {
        self.came.retain(|(_, root), _| is_here(root));
        let mut goes_on = false;
        for (heir, root, came) in copies.iter().filter(|(_, root, _)| is_here(root)) {
            let most = self.came.entry((*heir, *root)).or_default();
            goes_on |= came > most;
            *most = (*most).max(*came);
        }
        let mut most: BTreeMap<&ContentHash, u64> = BTreeMap::new();
        for ((_, root), bytes) in &self.came {
            let one = most.entry(root).or_default();
            *one = (*one).max(*bytes);
        }
        let left = bytes.saturating_sub(most.into_values().sum());
        let now = Instant::now();
        self.looks.push_back((now, left));
        if self.looks.len() > RATE_LOOKS {
            self.looks.pop_front();
        }
        let (first, before) = self.looks.front().copied().unwrap_or((now, left));
        let span = now.saturating_duration_since(first).as_secs_f64();
        let rate = if span > 0.0 { (before.saturating_sub(left) as f64 / span) as u64 } else { 0 };
        self.row = HandingOver { files, bytes: left, rate, seconds: left.checked_div(rate) };
        goes_on
    }
}

/// Asks those that take this node's files over how far they are, look by look.
async fn watch_copies(user: User, told: watch::Sender<Vec<Copied>>) {
    let mut heirs: BTreeSet<Peer> = BTreeSet::new();
    loop {
        let me = user.data.net.me().me.address();
        let now = user.data.core.look(|core| core.first().successors().to_vec()).await;
        heirs.extend(now.into_iter().flatten().filter(|peer| peer.address() != me));
        let heirs: Vec<Peer> = heirs.iter().copied().collect();
        let mut asked = JoinSet::new();
        for heir in hosts(&heirs).into_iter().take(WATCHED) {
            let access = Access::Inside(user.data.clone());
            asked.spawn(async move {
                let answer = access.request(heir.address(), Request::Copied);
                match timeout(ANSWER, answer).await {
                    Ok(Ok(Response::Copied { contents })) => (heir.address(), contents),
                    _ => (heir.address(), Vec::new()),
                }
            });
        }
        let answers = asked.join_all().await.into_iter();
        let copies = answers
            .flat_map(|(heir, all)| all.into_iter().map(move |(root, came)| (heir, root, came)));
        told.send_replace(copies.collect());
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_growing_copies_of_what_is_here_keep_a_leave_from_ending() {
        let heir = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let copy = |port, file, came| (heir(port), ContentHash([file; 32]), came);
        let mut progress = Progress::default();
        let mut see = |files: &[(u8, u64)], copies: &[Copied]| {
            let volume = (files.len(), files.iter().map(|(_, size)| size).sum());
            let is_here = |root: &ContentHash| files.iter().any(|(file, _)| *file == root.0[0]);
            (progress.see(volume, is_here, copies), progress.row.bytes)
        };
        let both = [(b'a', 60), (b'b', 40)];
        assert_eq!(see(&both, &[]), (false, 100), "nothing has moved");
        assert_eq!(see(&both, &[copy(1, b'b', 30)]), (true, 70), "a copy is made");
        assert_eq!(see(&both, &[copy(2, b'b', 20)]), (true, 70), "and another");
        assert_eq!(see(&both, &[copy(1, b'b', 30), copy(1, b'c', 900)]), (false, 70), "not for it");
        assert_eq!(see(&both, &[copy(1, b'b', 10)]), (false, 70), "fetched again from the start");
        assert_eq!(see(&both, &[copy(1, b'b', 40)]), (true, 60), "it went on after all");
        assert_eq!(see(&both[..1], &[copy(1, b'b', 40)]), (false, 60), "it was given up");
    }
}
