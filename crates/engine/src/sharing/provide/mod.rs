//! Tells the ring which files this node shares, and when it shares them no
//! longer: one task between the index ([`super::shares`]) and the owners of the
//! names, which keep the records ([`chordal_core::chord`]).
//!
//! A statement goes out when the index changes, and all of them when the node
//! has come to a ring, since the owners are others then, and every
//! [`REFRESH`], since records end. Owners are found by the order of the keys:
//! one lookup serves all names between its key and the owner that it finds.
//! What an owner did not take is sent again, at growing intervals. The answers tell
//! how many share the same; they are asked for again when others say that they
//! share something else.
//!
//! Before the node leaves, it takes everything back ([`withdraw`]).

use std::pin::Pin;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use chordal_core::chord::{Membership, Notice};
use chordal_core::error::CommandError;
use chordal_core::id::Space;
use chordal_core::limits::MAX_PAGE;
use chordal_core::peer::Peer;
use chordal_core::record::Provider;
use chordal_core::wire::mesh::GossipBody;
use chordal_core::wire::{Request, Response};

use crate::inputs::core::Core;
use crate::net::requests::{settled, unexpected};
use crate::sharing::Sharing;
use ledger::Ledger;

mod ledger;

/// Everything is said again after this, give or take a tenth: a third of a
/// record's life, so that two sayings may be lost.
const REFRESH: Duration = Duration::from_secs(10 * 60);

/// A change of the index waits this long for further ones.
const GATHER: Duration = Duration::from_millis(150);

/// The wait before everything is said on a ring that this node has come to:
/// its tables settle, and nodes that came together do not speak together.
const ARRIVAL: std::ops::Range<u64> = 100..800;

/// Waits before what no owner took is said again.
const RETRIES: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
];

/// Lookups and questions under way at once.
const AT_ONCE: usize = 8;

/// Failures after which a part of the work is left for later: the ring is in
/// disorder, and each failure may take seconds.
const FAILURES: u32 = 3;

/// Time for taking everything back: a person waits behind it, and whoever is
/// not reached forgets the records by itself.
pub(crate) const WITHDRAW_LIMIT: Duration = Duration::from_secs(2);

/// The others hear of what is shared at most this often.
const NEWS_EVERY: Duration = Duration::from_secs(5);

/// After others said that they share other files, the wait before this node
/// asks how many share its own: the ring knows by then.
const COUNT_AFTER: std::ops::Range<u64> = 1_500..3_000;

/// It asks at most this often, whatever the others say,
const COUNT_EVERY: Duration = Duration::from_secs(15);

/// and only as long as it shares no more files than this: ten messages.
const COUNT_AT_MOST: usize = 10 * MAX_PAGE;

/// Orders waiting for the task.
pub(crate) const QUEUE: usize = 16;

/// Orders to the task.
#[derive(Debug)]
pub(crate) enum Order {
    /// The owners may be others than before.
    Moved,
    /// Others share other files than before.
    Count,
    /// Take everything back and be silent until the node has come to a ring.
    Withdraw(oneshot::Sender<()>),
}

/// Whether an event of the core means that the owners of this node's names may
/// know nothing of them.
pub(crate) const fn moves(notice: &Notice) -> bool {
    matches!(
        notice,
        Notice::Joined { .. }
            | Notice::Merged(_)
            | Notice::Adopted(_)
            | Notice::Renamed { .. }
            | Notice::Alone
    )
}

/// The owners may be others than before. Never waits.
pub(crate) fn moved(sharing: &Sharing) {
    if sharing.provide.try_send(Order::Moved).is_err() {
        tracing::debug!("the announcer of shared files is busy; the next refresh comes anyhow");
    }
}

/// Others share other files than before: the owners are asked how many share
/// what this node does. Never waits.
pub(crate) fn others_changed(sharing: &Sharing) {
    // The next one comes, or the next refresh.
    let _ = sharing.provide.try_send(Order::Count);
}

/// Takes back everything that this node shares, within `limit`; called before
/// it leaves. The files stay shared, and are announced on the next ring.
pub(crate) async fn withdraw(sharing: &Sharing, limit: Duration) {
    let withdrawing = async {
        let (done, end) = oneshot::channel();
        if sharing.provide.send(Order::Withdraw(done)).await.is_ok() {
            let _ = end.await;
        }
    };
    if timeout(limit, withdrawing).await.is_err() {
        tracing::info!("not everybody has heard yet that the files here are shared no longer");
    }
}

/// Runs until the node stops.
/// `gossip` takes what the peers are told.
pub(crate) async fn run<I: From<GossipBody>>(
    sharing: Sharing,
    gossip: mpsc::Sender<I>,
    mut orders: mpsc::Receiver<Order>,
) {
    let mut task = Task::new(sharing, gossip);
    loop {
        let due = task.due();
        tokio::select! {
            () = task.sharing.net.stop.cancelled() => return,
            order = orders.recv() => match order {
                Some(order) => task.take(order),
                None => return,
            },
            () = task.sharing.shares.changed() => task.changed(),
            ended = progress(&mut task.work) => task.ended(ended),
            () = sleep_until(due) => task.act().await,
        }
    }
}

/// A statement, and how many share that content now; `None`: no owner took it.
type Said = (Provider, Option<u16>);

/// Statements on their way to their owners.
type Work = Pin<Box<dyn Future<Output = Vec<Said>> + Send>>;

struct Task<I> {
    sharing: Sharing,
    gossip: mpsc::Sender<I>,
    ledger: Ledger,
    work: Option<Work>,
    /// When there is something to be said. Waits for the end of `work`.
    next: Option<Instant>,
    /// Then everything is to be said, not only what differs.
    all: bool,
    /// When everything is said again.
    refresh: Instant,
    /// When the owners are asked which other nodes share.
    count_at: Option<Instant>,
    /// Not before this.
    count_from: Instant,
    /// Rounds in a row after which something was left.
    retries: usize,
    /// Everything is or was taken back: nothing is said until the node has come
    /// to a ring.
    silent: bool,
    /// Told when that is done.
    waiting: Option<oneshot::Sender<()>>,
    /// What the others were told last: files and bytes.
    news: (u32, u64),
    /// When they are told next, if that differs then.
    news_at: Option<Instant>,
    /// Not before this.
    news_from: Instant,
}

impl<I: From<GossipBody>> Task<I> {
    fn new(sharing: Sharing, gossip: mpsc::Sender<I>) -> Task<I> {
        let now = Instant::now();
        Task {
            sharing,
            gossip,
            ledger: Ledger::default(),
            work: None,
            next: None,
            all: false,
            refresh: now + jittered(REFRESH),
            count_at: None,
            count_from: now,
            retries: 0,
            silent: false,
            waiting: None,
            news: (0, 0),
            news_at: None,
            news_from: now,
        }
    }

    /// When the task has to do something by itself.
    fn due(&self) -> Option<Instant> {
        let say = self.next.into_iter().chain(self.count_at).chain([self.refresh]).min();
        let say = say.filter(|_| self.work.is_none() && !self.silent);
        say.into_iter().chain(self.news_at).min()
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Moved => {
                self.silent = false;
                self.all = true;
                let wait = Duration::from_millis(fastrand::u64(ARRIVAL));
                self.next = Some(Instant::now() + wait);
                self.news = (0, 0);
                self.news_at = self.next;
            }
            Order::Count => {
                let soon = Instant::now() + Duration::from_millis(fastrand::u64(COUNT_AFTER));
                self.count_at.get_or_insert(soon.max(self.count_from));
            }
            Order::Withdraw(done) => {
                // Whatever was on its way is taken back with the rest.
                let statements = self
                    .ledger
                    .withdraw(self.sharing.net.me().me, self.sharing.notes.clock.unix_ms());
                (self.silent, self.waiting) = (true, Some(done));
                self.next = None;
                self.start(statements);
            }
        }
    }

    fn changed(&mut self) {
        let now = Instant::now();
        let soon = now + GATHER;
        self.next = Some(self.next.map_or(soon, |next| next.min(soon)));
        self.news_at.get_or_insert(self.news_from.max(now + GATHER));
    }

    async fn act(&mut self) {
        let now = Instant::now();
        if self.news_at.is_some_and(|at| at <= now) {
            self.tell_news(now);
        }
        if self.work.is_some() || self.silent {
            return;
        }
        if self.refresh <= now {
            self.all = true;
        } else if self.next.is_none_or(|next| next > now) {
            if self.count_at.is_some_and(|at| at <= now) {
                self.count_at = None;
                self.count_from = now + COUNT_EVERY;
                let statements = self.ledger.again(COUNT_AT_MOST);
                self.start(statements);
            }
            return;
        }
        self.next = None;
        if self.all {
            self.refresh = now + jittered(REFRESH);
        }
        if self.sharing.core.look(|core| core.membership()).await != Some(Membership::Member) {
            // Coming to a ring is an order of its own.
            return;
        }
        let all = std::mem::take(&mut self.all);
        let files = self.sharing.shares.all();
        let statements = self.ledger.news(
            self.sharing.net.me().me,
            files,
            all,
            self.sharing.notes.clock.unix_ms(),
        );
        self.start(statements);
    }

    fn start(&mut self, statements: Vec<Provider>) {
        let space = self.sharing.net.me().params.space;
        self.work = (!statements.is_empty())
            .then(|| Box::pin(announce(self.sharing.core.clone(), space, statements)) as Work);
        if self.work.is_none() {
            self.ended(Vec::new());
        }
    }

    fn ended(&mut self, ended: Vec<Said>) {
        self.work = None;
        let unheld = |(said, sources): &&Said| said.lifetime_s > 0 && *sources == Some(0);
        let unheld = ended.iter().filter(unheld).count();
        if unheld > 0 {
            tracing::warn!(
                unheld,
                "shared files are found by searches only: their owners on the \
                ring have no room for more records"
            );
        }
        for (statement, sources) in ended {
            self.ledger.ended(&statement, sources.is_some());
            if let Some(sources) = sources.filter(|_| statement.lifetime_s > 0) {
                // Without this node, the owner had no room for its record.
                self.sharing.shares.known_sources(&statement.name, sources.max(1));
            }
        }
        if let Some(done) = self.waiting.take() {
            let _ = done.send(());
        }
        if self.silent {
            return;
        }
        match self.ledger.untaken() {
            0 => self.retries = 0,
            left => {
                let wait = RETRIES[self.retries.min(RETRIES.len() - 1)];
                tracing::info!(left, ?wait, "shared files are not known to the ring yet");
                self.retries += 1;
                let again = Instant::now() + jittered(wait);
                self.next = Some(self.next.map_or(again, |next| next.min(again)));
            }
        }
    }

    /// Tells the peers how much is shared here, if they do not know.
    fn tell_news(&mut self, now: Instant) {
        self.news_at = None;
        let (files, bytes) = self.sharing.shares.totals();
        if (files, bytes) == self.news {
            return;
        }
        self.news_from = now + NEWS_EVERY;
        let body = GossipBody::Shares { files, bytes };
        if self.gossip.try_send(body.into()).is_ok() {
            self.news = (files, bytes);
        } else {
            self.news_at = Some(self.news_from);
        }
    }
}

/// Says these to the owners of their names.
async fn announce(core: Core, space: Space, mut statements: Vec<Provider>) -> Vec<Said> {
    statements.sort_by_cached_key(|one| one.name.key(space));
    let part = statements.len().div_ceil(AT_ONCE).max(1);
    let parts = statements.chunks(part).map(|part| announce_part(&core, space, part));
    join_all(parts).await.concat()
}

/// The same for some of them, in the order of their keys.
async fn announce_part(core: &Core, space: Space, part: &[Provider]) -> Vec<Said> {
    let key = |one: &Provider| one.name.key(space);
    let mut said: Vec<Said> = Vec::with_capacity(part.len());
    let mut failures = 0;
    while let Some(first) = part.get(said.len()).filter(|_| failures < FAILURES) {
        let rest = &part[said.len()..];
        let (from, looked_up) = (key(first), core.lookup(key(first), None).await);
        let owner = match looked_up {
            Ok(trace) => trace.owner,
            Err(why) => {
                tracing::debug!(%why, name = %first.name, "no owner found");
                failures += 1;
                said.push((first.clone(), None));
                continue;
            }
        };
        let reach = space.distance(from, owner.id(space));
        let owned = rest.iter().take_while(|one| space.distance(from, key(one)) <= reach).count();
        for page in rest[..owned.max(1)].chunks(MAX_PAGE) {
            match tell(core, owner, page).await {
                Ok(sources) => {
                    said.extend(page.iter().cloned().zip(sources.into_iter().map(Some)));
                }
                Err(why) => {
                    tracing::debug!(%why, %owner, "the owner does not take what is shared");
                    failures += 1;
                    said.extend(page.iter().map(|one| (one.clone(), None)));
                    // The next names have another owner, if this one is wrong.
                    break;
                }
            }
        }
    }
    let untried = part.get(said.len()..).unwrap_or_default();
    said.extend(untried.iter().map(|one| (one.clone(), None)));
    said
}

/// One page to one owner: how many share each.
async fn tell(core: &Core, owner: Peer, page: &[Provider]) -> Result<Vec<u16>, CommandError> {
    let request = Request::Provide { providers: page.to_vec() };
    match settled(core.request(owner.address(), request).await?)? {
        Response::Provided { sources } if sources.len() == page.len() => Ok(sources),
        other => Err(unexpected(owner.address(), other)),
    }
}

/// The end of the work under way; never, while there is none.
async fn progress(work: &mut Option<Work>) -> Vec<Said> {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// A tenth less to a tenth more.
fn jittered(span: Duration) -> Duration {
    span.mul_f64(0.9 + 0.2 * fastrand::f64())
}
