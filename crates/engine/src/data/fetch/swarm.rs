//! A download from several sources at once: which are asked, which are left, which
//! comes in their place.
//!
//! Each source has a thread ([`super::source`]); the one that calls [`run`]
//! watches them. It connects to as many sources as the rest is worth, cuts off
//! one that is far slower than the others, one whose remaining pieces came from
//! elsewhere, and all when the download is complete or cancelled. Another
//! thread looks for new sources all the while.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, Scope};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use chordal_core::client::{FIRST_LOOK, LOOK_SOON, NO_SOURCE_LIMIT, Sought};
use chordal_core::peer::Peer;
use chordal_core::time::Time;
use chordal_core::transfer::manifest::Manifest;
use chordal_core::transfer::speed::FIRST_RUN_BYTES;
use chordal_view::Trust;

use super::super::plane::{DataConnection, DataError};
use super::source::{Ending, Work};
use super::{BUFFER_BYTES, FetchError, Fetcher, Finder, Opened, PieceSink, TICK, dial, words};
use crate::data::reputation::Conduct;
use crate::transfers::Transfer;

/// Pieces that a source has in memory at least: one that is received, one that
/// waits, one that is written.
const LEAST_PIECES: u64 = 3;

/// Sources that are remembered of one content, at the most.
const MAX_CANDIDATES: usize = 64;

/// How often new sources are looked for while some deliver.
const LOOK_AGAIN: Duration = Duration::from_secs(3);

/// A download that has waited for a source for so long looks less often.
const WAITED_LONG: Duration = Duration::from_secs(30);

/// A loop that goes round ten times a second and takes this long once was stopped
/// with its process.
const STANDSTILL: Duration = Duration::from_secs(3);

/// When nothing is left to ask for and a source needs longer than this for what
/// he owes, one more source is asked to relieve him.
const STALLED_BEYOND: Duration = Duration::from_secs(1);

/// What happens to a download.
enum Event {
    /// Connecting to a source ended.
    Dialled(Peer, Result<DataConnection, DataError>),
    /// A source's thread ended.
    Ended(Peer, Ending),
    /// A look for sources ended.
    Found(Sought),
}

/// A source that could be used.
struct Candidate {
    source: Peer,
    status: Status,
    /// It was far slower than the others.
    aside: bool,
    /// It sent a damaged piece, or says that it has not got the content: no source
    /// waits for it to come back.
    useless: bool,
    /// When it last began to work.
    began: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// May be asked.
    Ready,
    /// Is being connected to, or works.
    Active,
    /// Was cut off, and why; its thread has not ended yet.
    Cut(Why),
    /// Failed: may be asked again when a node says that it has the content.
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// What it owed came from others.
    Relieved,
    /// Far slower than the others.
    Slow,
    /// So slow that nothing came at all.
    Silent,
    /// The download is paused.
    Paused,
}

/// See [`Fetcher::pieces`].
pub(super) fn run(
    fetcher: &Fetcher,
    opened: Opened,
    sources: &[Peer],
    sink: &dyn PieceSink,
    transfer: &Transfer,
    find: Option<&mut Finder<'_>>,
) -> Result<Vec<(Peer, u64)>, FetchError> {
    let Opened { manifest, source, connection } = opened;
    let work = Work::new(fetcher, &manifest, sink, transfer);
    let over = CancellationToken::new();
    let (events, happened) = channel();
    let result = thread::scope(|scope| {
        let mut swarm = Swarm {
            work: &work,
            scope,
            events: events.clone(),
            candidates: Vec::new(),
            failed: Vec::new(),
            finds: find.is_some(),
            starved: false,
            replaced: false,
            alone: None,
            waits: false,
            hopeless: None,
            turned: work.now(),
            woke: None,
            at_once: at_once(&manifest, fetcher.plane.limits.sources),
        };
        if let Some(find) = find {
            let (work, over) = (&work, &over);
            scope.spawn(move || look_out(work, find, over, &events));
        }
        swarm.found(&[source]);
        swarm.found(sources);
        swarm.begin(source, connection);
        let result = swarm.watch(&happened);
        swarm.end();
        over.cancel();
        result
    });
    result?;
    let mut delivered: Vec<(Peer, u64)> = work.state.lock().delivered.clone().into_iter().collect();
    delivered.sort_by_key(|(source, bytes)| (std::cmp::Reverse(*bytes), *source));
    Ok(delivered)
}

/// Sources at once for a content, of so many that may be: fewer when its pieces
/// are large.
fn at_once(manifest: &Manifest, most: usize) -> usize {
    let fit = BUFFER_BYTES / (LEAST_PIECES * manifest.piece_size());
    usize::try_from(fit).unwrap_or(most).clamp(1, most)
}

/// Looks for sources until all is over.
fn look_out(
    work: &Work<'_>,
    find: &mut Finder<'_>,
    over: &CancellationToken,
    events: &Sender<Event>,
) {
    let mut last = work.now();
    let mut soon = FIRST_LOOK;
    loop {
        let mut state = work.state.lock();
        loop {
            if state.over {
                return;
            }
            let long = work.now().since(state.progress) > WAITED_LONG;
            let pause = if state.hungry && !long { soon } else { LOOK_AGAIN };
            let mut left = pause.saturating_sub(work.now().since(last));
            if left.is_zero() {
                if !work.transfer.is_held() {
                    break;
                }
                left = LOOK_SOON;
            }
            work.changed.wait_for(&mut state, left);
        }
        soon = if state.hungry { LOOK_SOON.min(2 * soon) } else { FIRST_LOOK };
        drop(state);
        let found = find(over);
        last = work.now();
        let _ = events.send(Event::Found(found));
    }
}

struct Swarm<'scope, 'env, 'work> {
    work: &'work Work<'work>,
    scope: &'scope Scope<'scope, 'env>,
    events: Sender<Event>,
    candidates: Vec<Candidate>,
    /// The last reason of each that failed.
    failed: Vec<(Peer, String)>,
    /// A look for more sources is under way.
    finds: bool,
    /// The last look found no source that may be asked.
    starved: bool,
    /// The last look found that the name stands for something else.
    replaced: bool,
    /// Since when no source is left to ask.
    alone: Option<Time>,
    /// There was a look since, and it was told that the download waits.
    waits: bool,
    /// Since when none of the known sources may come back with the content.
    hopeless: Option<Time>,
    /// When the loop last went round.
    turned: Time,
    /// When the download last went on after a pause, or after its process stood
    /// still.
    woke: Option<Time>,
    at_once: usize,
}

impl<'scope, 'work: 'scope> Swarm<'scope, '_, 'work> {
    /// Runs the download to its end.
    fn watch(&mut self, happened: &Receiver<Event>) -> Result<(), FetchError> {
        loop {
            if self.work.state.lock().plan.is_done() {
                return Ok(());
            }
            if self.work.transfer.is_cancelled() {
                return Err(FetchError::Cancelled);
            }
            self.notice_a_standstill();
            let held = self.work.transfer.is_held();
            if held {
                self.pause_sources();
            } else {
                self.compare();
                self.start_more();
                self.give_up_if_exhausted()?;
            }
            match happened.recv_timeout(TICK) {
                Ok(Event::Dialled(source, Ok(_))) if held => self.set(source, Status::Ready),
                Ok(Event::Dialled(source, Ok(connection))) => self.begin(source, connection),
                Ok(Event::Dialled(source, Err(error))) => self.lost(source, &error),
                Ok(Event::Ended(source, ending)) => self.ended(source, ending)?,
                Ok(Event::Found(found)) => self.looked(found),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
    }

    /// Ends the work of all sources.
    fn end(&self) {
        let mut state = self.work.state.lock();
        state.over = true;
        state.workers.values().for_each(|worker| worker.cutter.cut());
        self.work.changed.notify_all();
    }

    /// Takes in sources of which it is said that they have the content.
    fn found(&mut self, sources: &[Peer]) {
        for source in sources {
            let cheated = self.work.state.lock().plan.is_bad(*source);
            let room = self.candidates.len() < MAX_CANDIDATES;
            match self.candidates.iter_mut().find(|known| known.source == *source) {
                Some(known) if known.status == Status::Failed && !cheated => {
                    known.status = Status::Ready;
                }
                Some(_) => {}
                None if room => self.candidates.push(Candidate {
                    source: *source,
                    status: Status::Ready,
                    aside: false,
                    useless: false,
                    began: Time::ZERO,
                }),
                None => {}
            }
        }
    }

    /// Has a source work that is connected.
    fn begin(&mut self, source: Peer, connection: DataConnection) {
        if !self.work.enrol(source, &connection) {
            return self.set(source, Status::Failed);
        }
        let (work, events) = (self.work, self.events.clone());
        let thread = thread::Builder::new().spawn_scoped(self.scope, move || {
            let _ = events.send(Event::Ended(source, work.fetch_from(source, connection)));
        });
        match thread {
            Ok(_) => {
                let now = self.work.now();
                self.set(source, Status::Active);
                if let Some(known) = self.known(source) {
                    known.began = now;
                }
            }
            Err(error) => self.lost(source, &error.into()),
        }
    }

    /// A source's thread has ended.
    fn ended(&mut self, source: Peer, ending: Ending) -> Result<(), FetchError> {
        let status = self.status(source);
        match ending {
            Ending::Local(error) => return Err(error.into()),
            Ending::Bad(index) => {
                self.work.fetcher.blame_piece(source, index);
                self.set_useless(source, true);
                self.dismiss(source, Status::Failed);
                self.work.state.lock().plan.bad(source);
                self.fail(source, format!("sent a damaged piece ({index})"));
            }
            Ending::Changed => {
                // Not trusted the less for once; but a source that says so again and
                // again is as good as one that does not answer.
                let address = source.address();
                self.work.fetcher.reputations.saw(address, &Conduct::TimedOut);
                self.set_useless(source, true);
                self.dismiss(source, Status::Failed);
                self.work.state.lock().plan.bad(source);
                self.fail(source, "its file changed while it was read".to_owned());
            }
            Ending::Failed(error) => match status {
                Some(Status::Cut(why)) => self.was_cut(source, why),
                // A connection that was cut is no fault of the source.
                _ if self.work.transfer.is_cancelled() => {}
                _ if self.slept_since(source) => self.dismiss(source, Status::Ready),
                _ => self.lost(source, &error),
            },
            Ending::Idle | Ending::Complete => match status {
                Some(Status::Cut(why)) => self.was_cut(source, why),
                _ => self.dismiss(source, Status::Ready),
            },
        }
        Ok(())
    }

    /// Whether the download stood still since a source began to work.
    fn slept_since(&mut self, source: Peer) -> bool {
        let woke = self.woke;
        self.known(source).is_some_and(|known| woke.is_some_and(|woke| woke > known.began))
    }

    fn was_cut(&mut self, source: Peer, why: Why) {
        if why == Why::Silent {
            self.work.fetcher.reputations.saw(source.address(), &Conduct::TimedOut);
        }
        if !matches!(why, Why::Relieved | Why::Paused)
            && let Some(known) = self.candidates.iter_mut().find(|known| known.source == source)
        {
            known.aside = true;
        }
        self.dismiss(source, Status::Ready);
    }

    /// A source failed by itself.
    fn lost(&mut self, source: Peer, error: &DataError) {
        // A source that is asked again and again until it is back is not blamed for that.
        if !(self.alone.is_some() && matches!(error, DataError::Io(_))) {
            self.work.fetcher.blame(source, error);
        }
        self.set_useless(source, !matches!(error, DataError::Io(_)));
        self.dismiss(source, Status::Failed);
        self.fail(source, words(error));
    }

    /// A source works no longer: what it owes goes back.
    fn dismiss(&mut self, source: Peer, status: Status) {
        let mut state = self.work.state.lock();
        state.plan.lost(source);
        state.speeds.forget(source);
        state.workers.remove(&source);
        self.work.changed.notify_all();
        drop(state);
        self.set(source, status);
    }

    fn fail(&mut self, source: Peer, why: String) {
        tracing::debug!(%source, why, "a source failed");
        self.failed.retain(|(other, _)| *other != source);
        self.failed.push((source, why));
    }

    /// Measures the sources; cuts off those for which it is not worth waiting.
    fn compare(&mut self) {
        let now = self.work.now();
        let mut guard = self.work.state.lock();
        let state = &mut *guard;
        let mut cut = Vec::new();
        for (source, worker) in state.workers.iter().filter(|(_, worker)| worker.busy) {
            state.speeds.look(now, *source, worker.arrived.load(Ordering::Relaxed));
            if state.plan.outstanding(*source) == 0 {
                cut.push((*source, Why::Relieved));
            }
        }
        for source in state.speeds.slow(now) {
            let silent = state.speeds.rate(source) == Some(0);
            cut.push((source, if silent { Why::Silent } else { Why::Slow }));
        }
        drop(guard);
        for (source, why) in cut {
            self.cut(source, why);
        }
    }

    /// ShutdownHandles a source off: what it owes goes back.
    fn cut(&mut self, source: Peer, why: Why) {
        let mut state = self.work.state.lock();
        state.plan.lost(source);
        state.speeds.forget(source);
        if let Some(worker) = state.workers.get_mut(&source) {
            worker.busy = false;
            worker.cutter.cut();
        }
        drop(state);
        let known = self.candidates.iter_mut().find(|known| known.source == source);
        if let Some(known) = known.filter(|known| known.status == Status::Active) {
            tracing::debug!(%source, ?why, "a source is cut off");
            known.status = Status::Cut(why);
        }
        self.work.changed.notify_all();
    }

    /// The download is paused: no source sends any more, and none is to blame.
    fn pause_sources(&mut self) {
        let working: Vec<Peer> = self.work.state.lock().workers.keys().copied().collect();
        for source in working {
            self.cut(source, Why::Paused);
        }
        self.work.state.lock().hungry = false;
        self.goes_on();
    }

    /// What is past says nothing of what is to come: it was stopped.
    fn goes_on(&mut self) {
        let now = self.work.now();
        self.work.state.lock().progress = now;
        self.woke = Some(now);
        self.starved = false;
        self.is_alone_no_more();
    }

    /// Notices that the process stood still: its user stopped it, or the machine
    /// slept. A source that has hung up meanwhile is not to blame.
    fn notice_a_standstill(&mut self) {
        let now = self.work.now();
        if now.since(self.turned) > STANDSTILL {
            tracing::debug!("the process stood still");
            self.goes_on();
        }
        self.turned = now;
    }

    /// Connects to further sources while the rest is worth it.
    fn start_more(&mut self) {
        while self.worth_another() {
            let Some(source) = self.choose() else { break };
            self.set(source, Status::Active);
            let (plane, events) = (self.work.fetcher.plane.clone(), self.events.clone());
            // On a thread that is not waited for: connecting to a host that is
            // gone cannot be cut short.
            let dialling = thread::Builder::new().spawn(move || {
                let _ = events.send(Event::Dialled(source, dial(&plane, source)));
            });
            if let Err(error) = dialling {
                self.lost(source, &error.into());
            }
        }
        let active = self.active();
        let mut state = self.work.state.lock();
        state.expected = active;
        let hungry = active == 0;
        if hungry && !state.hungry {
            self.work.changed.notify_all();
        }
        state.hungry = hungry;
    }

    /// Whether one source more would have something to do.
    fn worth_another(&self) -> bool {
        let active = self.active();
        if active == 0 || active >= self.at_once {
            return active == 0;
        }
        let state = self.work.state.lock();
        let piece = self.work.manifest.piece_size();
        let open = state.plan.open() as u64;
        if open > 0 {
            return (open * piece).div_ceil(FIRST_RUN_BYTES.max(piece)) > active as u64;
        }
        let stalled = |eta: Option<Duration>| eta.is_none_or(|eta| eta > STALLED_BEYOND);
        let all_busy = state.workers.len() == active && state.workers.values().all(|w| w.busy);
        all_busy && state.owing(self.work.now(), piece).iter().any(|(_, eta)| stalled(*eta))
    }

    /// The source to ask next. One that is doubted or was far too slow is asked
    /// only when no other is left.
    fn choose(&self) -> Option<Peer> {
        let rank = |known: &&Candidate| {
            let trust = self.work.fetcher.trust(known.source).ok()?;
            let aside = known.aside || self.work.fetcher.doubts(known.source);
            Some((aside, trust, known.source))
        };
        let ready = self.candidates.iter().filter(|known| known.status == Status::Ready);
        // The first of those that rank alike: `min_by_key` keeps the order.
        let best = ready.filter_map(|known| rank(&known)).min_by_key(|best| (best.0, best.1))?;
        let (aside, trust, source) = best;
        let doubted = aside || trust != Trust::Good;
        (!doubted || self.active() == 0).then_some(source)
    }

    /// Waits when no source is left to ask; gives up when none will come, or not in
    /// time.
    fn give_up_if_exhausted(&mut self) -> Result<(), FetchError> {
        let progress = self.work.state.lock().progress;
        if self.alone.is_some_and(|since| progress > since) {
            self.is_alone_no_more();
        }
        if self.active() > 0 {
            self.starved = false;
            return Ok(());
        }
        if self.replaced {
            return Err(FetchError::Replaced);
        }
        let now = self.work.now();
        let waited = |since: Time| now.since(since) > NO_SOURCE_LIMIT;
        // A process that has just woken up needs time to find any.
        let waking = self.woke.is_some_and(|woke| !waited(woke));
        let since = *self.alone.get_or_insert(now);
        if self.may_return() {
            self.hopeless = None;
        }
        let hopeless = *self.hopeless.get_or_insert(now);
        let hope = self.may_return() || (!self.starved || waking) && !waited(hopeless);
        let patience = self.work.transfer.patience();
        if self.finds && hope && patience.is_none_or(|patience| now.since(since) < patience) {
            return Ok(());
        }
        let mut failed = std::mem::take(&mut self.failed);
        for known in &self.candidates {
            if let Err(why) = self.work.fetcher.trust(known.source)
                && !failed.iter().any(|(other, _)| *other == known.source)
            {
                failed.push((known.source, why));
            }
        }
        Err(FetchError::NoSource(failed))
    }

    /// A look for sources ended. Where none was left to ask, it waits from
    /// now on: before, another one might have been there.
    fn looked(&mut self, found: Sought) {
        match found {
            Sought::Sources(sources) | Sought::Older(sources) => {
                self.found(&sources);
                self.starved = !self.any_usable();
                self.replaced = false;
            }
            Sought::Replaced => self.replaced = true,
        }
        if self.alone.is_some() && !self.replaced && !self.waits && self.may_return() {
            self.waits = true;
            self.work.transfer.lacks_a_source();
            self.work.fetcher.tell_of_waiting();
        }
    }

    /// It has a source again, or looks for another one.
    fn is_alone_no_more(&mut self) {
        (self.alone, self.hopeless) = (None, None);
        if std::mem::take(&mut self.waits) {
            self.work.transfer.has_a_source();
        }
    }

    /// Whether one that does not answer may have the content when it is back.
    fn may_return(&self) -> bool {
        let trusted = |known: &Candidate| self.work.fetcher.trust(known.source).is_ok();
        self.candidates.iter().any(|known| !known.useless && trusted(known))
    }

    /// Whether any source may be asked, now or when it is named again.
    fn any_usable(&self) -> bool {
        self.active() > 0
            || self.candidates.iter().any(|known| {
                known.status == Status::Ready && self.work.fetcher.trust(known.source).is_ok()
            })
    }

    fn active(&self) -> usize {
        let active = |known: &&Candidate| matches!(known.status, Status::Active | Status::Cut(_));
        self.candidates.iter().filter(active).count()
    }

    fn status(&self, source: Peer) -> Option<Status> {
        self.candidates.iter().find(|known| known.source == source).map(|known| known.status)
    }

    fn set(&mut self, source: Peer, status: Status) {
        if let Some(known) = self.known(source) {
            known.status = status;
        }
    }

    fn set_useless(&mut self, source: Peer, useless: bool) {
        if let Some(known) = self.known(source) {
            known.useless = useless;
        }
    }

    fn known(&mut self, source: Peer) -> Option<&mut Candidate> {
        self.candidates.iter_mut().find(|known| known.source == source)
    }
}
