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

use crate::view::{Command, CommandFailed, Level, Outcome, Snapshot, UiEvent};

use super::Feed;

/// Something that arrived.
#[derive(Debug)]
pub(super) enum News {
    /// A node changed.
    Snapshot(usize, Arc<Snapshot>),
    /// A node told an event.
    Event(usize, UiEvent),
    /// A command ended.
    Reply(u64, Result<Outcome, CommandFailed>),
    /// A node has left, or cannot.
    Left,
    /// A job of our own ended: its message.
    Told(Level, String),
    /// The lab has one more node.
    Added(Arc<Snapshot>),
}

type Snapshots = watch::Receiver<Arc<Snapshot>>;
type Commands = mpsc::Sender<(Command, oneshot::Sender<Result<Outcome, CommandFailed>>)>;

/// The receiving ends of all feeds and of the commands under way.
pub(super) struct Inbox {
    commands: Vec<Commands>,
    events: Vec<Option<mpsc::Receiver<UiEvent>>>,
    /// One wait per node whose sender lives; it hands its receiver back.
    changes: FuturesUnordered<BoxFuture<'static, (usize, Option<Snapshots>)>>,
    jobs: FuturesUnordered<BoxFuture<'static, News>>,
    added: Option<mpsc::Receiver<Feed>>,
    /// The node whose events are looked at first: they take turns.
    turn: usize,
}

impl Inbox {
    /// The snapshots that the feeds hold now count as seen.
    pub(super) fn new(feeds: Vec<Feed>, added: Option<mpsc::Receiver<Feed>>) -> Inbox {
        let mut inbox = Inbox {
            commands: Vec::new(),
            events: Vec::new(),
            changes: FuturesUnordered::new(),
            jobs: FuturesUnordered::new(),
            added,
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

    /// Asks a node to leave; its end is a [`News::Left`].
    pub(super) fn leave(&mut self, node: usize) {
        let Some(commands) = self.commands.get(node).cloned() else { return };
        let job = async move {
            if let Err(why) = ask(&commands, Command::Leave).await {
                tracing::info!("leaving: {why}");
            }
            News::Left
        };
        self.jobs.push(job.boxed());
    }

    /// Does blocking work aside; its message is a [`News::Told`].
    pub(super) fn aside(&mut self, work: impl FnOnce() -> (Level, String) + Send + 'static) {
        let work = tokio::task::spawn_blocking(work);
        let job = async move {
            match work.await {
                Ok((level, text)) => News::Told(level, text),
                Err(why) => News::Told(Level::Error, format!("a job broke off: {why}")),
            }
        };
        self.jobs.push(job.boxed());
    }

    fn add(&mut self, mut feed: Feed) -> Arc<Snapshot> {
        let node = self.commands.len();
        let snapshot = feed.snapshots.borrow_and_update().clone();
        self.commands.push(feed.commands);
        self.events.push(Some(feed.events));
        self.changes.push(change(node, feed.snapshots));
        snapshot
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<News> {
        // An empty collection is ready with nothing: it then simply has no news.
        if let Poll::Ready(Some(news)) = self.jobs.poll_next_unpin(context) {
            return Poll::Ready(news);
        }
        while let Poll::Ready(Some((node, snapshots))) = self.changes.poll_next_unpin(context) {
            // `None`: the node is gone for good; its last picture stays.
            if let Some(mut snapshots) = snapshots {
                let snapshot = snapshots.borrow_and_update().clone();
                self.changes.push(change(node, snapshots));
                return Poll::Ready(News::Snapshot(node, snapshot));
            }
        }
        if let Some(added) = &mut self.added {
            match added.poll_recv(context) {
                Poll::Ready(Some(feed)) => return Poll::Ready(News::Added(self.add(feed))),
                Poll::Ready(None) => self.added = None,
                Poll::Pending => {}
            }
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

async fn ask(commands: &Commands, command: Command) -> Result<Outcome, CommandFailed> {
    let ended = || CommandFailed("the node has ended; quit and start it again".to_owned());
    let (reply, result) = oneshot::channel();
    commands.send((command, reply)).await.map_err(|_| ended())?;
    result.await.map_err(|_| ended())?
}
