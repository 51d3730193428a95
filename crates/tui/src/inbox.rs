//! Everything that arrives from the nodes, as one source of [`News`].
//!
//! Of a node's snapshots only the latest is seen; its events come one by one;
//! commands under way are kept here until they end.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot, watch};

use chordal_view::{Command, CommandError, Level, Outcome, Reason, Snapshot, UiEvent};

use super::Feed;

/// What is said when a lab does not answer.
pub(super) const LAB_SILENT: &str = "the lab does not answer; try again, or quit";

/// Something that arrived.
#[derive(Debug)]
pub(super) enum News {
    /// A node changed.
    Snapshot(usize, Arc<Snapshot>),
    /// A node told an event.
    Event(usize, UiEvent),
    /// A node is gone for good.
    Ended(usize),
    /// A command ended.
    Reply(u64, Result<Outcome, CommandError>),
    /// A node has left, or cannot.
    Left,
    /// A job of our own ended: its message.
    Told(Level, String),
    /// The lab has one more node.
    Added(Box<Feed>),
}

type Snapshots = watch::Receiver<Arc<Snapshot>>;
type Commands = mpsc::Sender<(Command, oneshot::Sender<Result<Outcome, CommandError>>)>;

/// The receiving ends of all feeds and of the commands under way.
pub(super) struct Inbox {
    commands: Vec<Commands>,
    events: Vec<Option<mpsc::Receiver<UiEvent>>>,
    /// One wait per node whose sender lives; it hands its receiver back.
    changes: FuturesUnordered<BoxFuture<'static, (usize, Option<Snapshots>)>>,
    jobs: FuturesUnordered<BoxFuture<'static, News>>,
    /// The node whose events are looked at first: they take turns.
    turn: usize,
}

impl Inbox {
    /// Snapshots that came since the feeds were made are reported, also those that came
    /// before this call: the first frame may not show them.
    pub(super) fn new(feeds: Vec<Feed>) -> Inbox {
        let mut inbox = Inbox {
            commands: Vec::new(),
            events: Vec::new(),
            changes: FuturesUnordered::new(),
            jobs: FuturesUnordered::new(),
            turn: 0,
        };
        for feed in feeds {
            inbox.add(feed);
        }
        inbox
    }

    /// Waits for the next news. Dropping the wait loses nothing.
    pub(super) async fn next(&mut self) -> News {
        poll_fn(|context| self.poll(context)).await
    }

    /// The next news, if it is here already.
    pub(super) fn ready(&mut self) -> Option<News> {
        match self.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(news) => Some(news),
            Poll::Pending => None,
        }
    }

    /// Hands a command to a node; its end is a [`News::Reply`].
    pub(super) fn submit(&mut self, node: usize, ticket: u64, command: Command) {
        let Some(commands) = self.commands.get(node).cloned() else { return };
        let job = async move { News::Reply(ticket, ask(&commands, command).await) };
        self.jobs.push(job.boxed());
    }

    /// Asks a node to leave for its end; that is a [`News::Left`].
    pub(super) fn leave(&mut self, node: usize) {
        let Some(commands) = self.commands.get(node).cloned() else { return };
        let job = async move {
            if let Err(why) = ask(&commands, Command::Quit).await {
                tracing::info!("leaving: {why}");
            }
            News::Left
        };
        self.jobs.push(job.boxed());
    }

    /// Does blocking work on another thread; its message is a [`News::Told`].
    pub(super) fn run_blocking(&mut self, work: impl FnOnce() -> (Level, String) + Send + 'static) {
        let work = tokio::task::spawn_blocking(work);
        let job = async move {
            match work.await {
                Ok((level, text)) => News::Told(level, text),
                Err(why) => News::Told(Level::Error, format!("a job broke off: {why}")),
            }
        };
        self.jobs.push(job.boxed());
    }

    /// Waits for a lab's new node, a [`News::Added`].
    pub(super) fn expect(&mut self, added: oneshot::Receiver<Result<Feed, CommandError>>) {
        let job = async move {
            match added.await {
                Ok(Ok(feed)) => News::Added(Box::new(feed)),
                Ok(Err(error)) => News::Told(Level::Error, error.to_string()),
                Err(_) => News::Told(Level::Error, LAB_SILENT.to_owned()),
            }
        };
        self.jobs.push(job.boxed());
    }

    /// Takes in one more node; its number is the next one.
    pub(super) fn add(&mut self, feed: Feed) -> Arc<Snapshot> {
        let node = self.commands.len();
        let snapshot = feed.snapshots.borrow().clone();
        self.commands.push(feed.commands);
        self.events.push(Some(feed.events));
        self.changes.push(change(node, feed.snapshots));
        snapshot
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<News> {
        // An empty collection is ready with `None`.
        if let Poll::Ready(Some(news)) = self.jobs.poll_next_unpin(context) {
            return Poll::Ready(news);
        }
        if let Poll::Ready(Some((node, snapshots))) = self.changes.poll_next_unpin(context) {
            let Some(mut snapshots) = snapshots else { return Poll::Ready(News::Ended(node)) };
            let snapshot = snapshots.borrow_and_update().clone();
            self.changes.push(change(node, snapshots));
            return Poll::Ready(News::Snapshot(node, snapshot));
        }
        let nodes = self.events.len();
        for step in 0..nodes {
            let node = (self.turn + step) % nodes;
            let Some(events) = &mut self.events[node] else { continue };
            match events.poll_recv(context) {
                Poll::Ready(Some(event)) => {
                    self.turn = node + 1;
                    return Poll::Ready(News::Event(node, event));
                }
                Poll::Ready(None) => self.events[node] = None,
                Poll::Pending => {}
            }
        }
        Poll::Pending
    }
}

fn change(node: usize, mut snapshots: Snapshots) -> BoxFuture<'static, (usize, Option<Snapshots>)> {
    async move {
        let alive = snapshots.changed().await.is_ok();
        (node, alive.then_some(snapshots))
    }
    .boxed()
}

async fn ask(commands: &Commands, command: Command) -> Result<Outcome, CommandError> {
    let ended = || Reason::State.because("the node has ended; quit and start it again");
    let (reply, result) = oneshot::channel();
    commands.send((command, reply)).await.map_err(|_| ended())?;
    result.await.map_err(|_| ended())?
}
