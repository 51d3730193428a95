//! Shortage of file descriptors: the number of open files and connections of a process
//! (`ulimit -n`) and of the whole system is limited.
//!
//! A shortage is not a failure of a disk, a peer or a file. An operation that needs a
//! descriptor waits ([`Wait`], [`wait_out`]) until another one is closed. Meanwhile the
//! process gives up descriptors that it only keeps to save time ([`Spare`]), and accepts no
//! new connection while its own work waits ([`is_wanted`]). The user is told once, and
//! again at most once a minute ([`tell`]).
//!
//! Two operations that each hold a descriptor and need a second one could wait for each
//! other. So every wait ends: the waiting side releases all its descriptors, takes a
//! [`Turn`], and begins again. So only one of the operations that failed runs at a time,
//! and the others hold nothing.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use tokio::sync::{Semaphore, SemaphorePermit};

/// How long opening a file waits: the descriptors are mostly held by transfers, and most of
/// these end within this time.
pub const FILE_PATIENCE: Duration = Duration::from_secs(30);

/// How long making a connection waits: the side that asked for it may hold another one
/// meanwhile, and a holder that has no descriptor must be skipped within 3 s.
pub const DIAL_PATIENCE: Duration = Duration::from_millis(1_500);

/// How long a task waits that holds a descriptor already and can release it ([`holding`]).
const HOLDING_PATIENCE: Duration = Duration::from_secs(1);

/// How long a command continues that has released everything and still gets no descriptor:
/// a machine is only short for longer if something is wrong with it.
pub const COMMAND_PATIENCE: Duration = Duration::from_secs(60);

/// Held by the one operation that begins again after it got no descriptor.
static TURN: Semaphore = Semaphore::const_new(1);

/// Pauses between two attempts, from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// Minimum time between two messages to the user.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// How long after a failed attempt the process counts as short of descriptors.
const SHORT_FOR: Duration = Duration::from_secs(1);

/// Number of waiting attempts of this process's own work.
static WAITING: AtomicUsize = AtomicUsize::new(0);

static STATE: Mutex<State> =
    Mutex::new(State { last: None, told: None, listeners: Vec::new(), spares: Vec::new() });

struct State {
    /// When an attempt last failed.
    last: Option<Instant>,
    /// When the user was last told.
    told: Option<Instant>,
    listeners: Vec<Arc<Listener>>,
    spares: Vec<Weak<dyn Spare>>,
}

/// Gets the messages for the user; returns `false` if it needs no more of them.
type Listener = dyn Fn(&str) -> bool + Send + Sync;

/// An owner of descriptors that only make its work faster.
pub trait Spare: Send + Sync {
    /// Closes one or several; returns `false` if it has none.
    fn give_up(&self) -> bool;
}

/// Whether a call failed because this process or the system has no descriptor left, or no
/// memory for one.
pub fn is_shortage(error: &io::Error) -> bool {
    let kinds = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|error| kinds.contains(&error))
}

/// The turn of an operation that got no descriptor, after it has released all others: of
/// those one at a time goes on.
#[derive(Debug)]
pub struct Turn {
    began: Instant,
    held: Option<SemaphorePermit<'static>>,
}

impl Turn {
    /// For an operation that began then.
    pub const fn new(began: Instant) -> Turn {
        Turn { began, held: None }
    }

    /// Waits for the turn, and holds it. Returns false if the operation began too long ago.
    pub async fn wait(&mut self) -> bool {
        let left = COMMAND_PATIENCE.checked_sub(self.began.elapsed());
        self.held = match (self.held.take(), left) {
            (None, Some(left)) => {
                tokio::time::timeout(left, TURN.acquire()).await.ok().and_then(Result::ok)
            }
            (held, left) => held.filter(|_| left.is_some()),
        };
        self.held.is_some()
    }
}

/// Whether this process's own work waits for a descriptor.
pub fn is_wanted() -> bool {
    WAITING.load(Ordering::Relaxed) > 0
}

/// Whether an attempt failed a moment ago.
pub fn are_short() -> bool {
    state().last.is_some_and(|last| last.elapsed() < SHORT_FOR)
}

/// The maximum number of descriptors of this process, if there is one.
pub fn limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Registers a listener for the messages about shortages.
pub fn tell(listener: impl Fn(&str) -> bool + Send + Sync + 'static) {
    state().listeners.push(Arc::new(listener));
}

/// Registers an owner of spare descriptors, for as long as it lives.
pub fn spare<T: Spare + 'static>(spare: &Arc<T>) {
    let spare: Weak<T> = Arc::downgrade(spare);
    let mut state = state();
    state.spares.retain(|spare| spare.strong_count() > 0);
    state.spares.push(spare);
}

/// Repeats an attempt while there is no descriptor for it. Blocks.
///
/// # Errors
/// Those of the attempt; a shortage only if it lasts longer than `patience`.
pub fn wait_out<T>(
    patience: Duration,
    mut attempt: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    let holds = HOLDS.get();
    let mut wait = Wait::at_most(if holds { patience.min(HOLDING_PATIENCE) } else { patience });
    loop {
        match attempt() {
            Err(error) => match wait.after(&error) {
                Some(pause) => std::thread::sleep(pause),
                None => return Err(error),
            },
            done => return done,
        }
    }
}

thread_local! {
    static HOLDS: Cell<bool> = const { Cell::new(false) };
}

/// Runs work that holds a descriptor and may need another one: it only waits a short time
/// for that, since its caller then releases everything, takes a [`Turn`] and repeats it.
pub fn holding<T>(work: impl FnOnce() -> T) -> T {
    let before = HOLDS.replace(true);
    let done = work();
    HOLDS.set(before);
    done
}

/// The wait of one operation for a descriptor.
#[derive(Debug)]
pub struct Wait {
    /// `None` if it waits without limit, and lets all others go first.
    until: Option<Instant>,
    pause: Duration,
    counted: bool,
}

impl Wait {
    /// For work of this process, with a time limit.
    pub fn at_most(patience: Duration) -> Wait {
        Wait { until: Some(Instant::now() + patience), pause: FIRST_PAUSE, counted: false }
    }

    /// For work for other processes, without a limit.
    pub const fn for_ever() -> Wait {
        Wait { until: None, pause: FIRST_PAUSE, counted: false }
    }

    /// What to do after a failed attempt: repeat it after this pause, or give up (`None`)
    /// because it failed for another reason or has waited long enough.
    pub fn after(&mut self, error: &io::Error) -> Option<Duration> {
        if !is_shortage(error) {
            return None;
        }
        notice(error);
        match self.until {
            Some(until) if Instant::now() >= until => return None,
            Some(_) if !self.counted => {
                self.counted = true;
                WAITING.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
        relieve();
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        Some(pause)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if self.counted {
            WAITING.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Records a shortage, and tells the user unless that was done a short time ago.
fn notice(error: &io::Error) {
    let now = Instant::now();
    let listeners = {
        let mut state = state();
        state.last = Some(now);
        if state.told.is_some_and(|told| now.duration_since(told) < TOLD_EVERY) {
            return;
        }
        state.told = Some(now);
        state.listeners.clone()
    };
    let text = sentence(error);
    let done: Vec<_> = listeners.into_iter().filter(|listener| !listener(&text)).collect();
    state().listeners.retain(|listener| !done.iter().any(|done| Arc::ptr_eq(done, listener)));
}

fn sentence(error: &io::Error) -> String {
    match (Errno::from_io_error(error), limit()) {
        (Some(Errno::MFILE), Some(limit)) => format!(
            "out of file descriptors: this process may have {limit} files and connections open; \
             what needs one more waits (ulimit -n sets the limit)"
        ),
        _ => format!("no file or connection can be opened, and what needs one waits: {error}"),
    }
}

/// Makes the first owner that has spare descriptors give some up.
fn relieve() {
    // Without the lock of the list: closing may take a while.
    let spares: Vec<_> = state().spares.iter().filter_map(Weak::upgrade).collect();
    let _ = spares.iter().any(|spare| spare.give_up());
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    /// Held by the test that counts the messages: the state belongs to the process.
    static TELLING: Mutex<()> = Mutex::new(());

    fn shortage() -> io::Error {
        Errno::MFILE.into()
    }

    #[test]
    fn an_attempt_is_made_again_until_there_is_a_descriptor() {
        let _telling = TELLING.lock();
        let mut left = 3;
        let opened = wait_out(FILE_PATIENCE, || {
            left -= 1;
            if left == 0 { Ok("open") } else { Err(shortage()) }
        });
        assert_eq!(opened.ok(), Some("open"));
        let mut attempts = 0;
        let refused: io::Result<()> = wait_out(FILE_PATIENCE, || {
            attempts += 1;
            Err(io::ErrorKind::NotFound.into())
        });
        assert_eq!((refused.is_err(), attempts), (true, 1), "only a shortage is waited out");
        let never: io::Result<()> = wait_out(Duration::from_millis(30), || Err(shortage()));
        assert!(is_shortage(&never.expect_err("there never was one")));
    }

    #[test]
    fn what_can_be_spared_is_given_up_and_people_are_told_once() {
        let _telling = TELLING.lock();
        struct Kept(AtomicBool);
        impl Spare for Kept {
            fn give_up(&self) -> bool {
                self.0.swap(false, Ordering::Relaxed)
            }
        }
        let kept = Arc::new(Kept(AtomicBool::new(true)));
        spare(&kept);
        let told = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&told);
        tell(move |text| {
            assert!(text.contains("ulimit -n"), "{text}");
            counter.fetch_add(1, Ordering::Relaxed);
            true
        });
        // Other tests of this process may have caused messages.
        state().told = None;
        let mut wait = Wait::at_most(FILE_PATIENCE);
        let pauses: Vec<_> = (0..6).filter_map(|_| wait.after(&shortage())).collect();
        assert_eq!(pauses[..2], [FIRST_PAUSE, 2 * FIRST_PAUSE]);
        assert_eq!(pauses[5], LONGEST_PAUSE);
        assert!(!kept.0.load(Ordering::Relaxed), "it was kept");
        assert_eq!(told.load(Ordering::Relaxed), 1);
        assert!(is_wanted() && are_short());
    }
}
