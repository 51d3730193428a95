//! `chordal lab N`: real nodes in one process, over loopback TCP, under one
//! dashboard that can kill, restart and add nodes.
//!
//! Each node is tended by a task of its own, which owns the engine's `Node`
//! and passes what it publishes into channels that outlive it. A killed node
//! ends as in a crash; its address and its directory are kept for its return.
//! At the end all nodes are killed: a ring that ends as a whole has nobody to
//! hand files to, and every copy stays on its disk.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::args::{LabArgs, MAX_LAB};
use super::dashboard::{self, Submission, Tab};
use super::failure::Failure;
use super::output::print;
use super::runtime::runtime;
use super::signals::EndSignals;
use super::{log, node, seed};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use chordal_engine::registry::{DEFAULT_CHECK, Registry};
use chordal_engine::{Config, Node};
use chordal_tui as ui;
use chordal_view::{CommandError, Level, Membership, Reason, Snapshot, State, UiEvent};

/// Commands that wait for one node: a person types them.
const COMMANDS: usize = 16;

/// Runs a lab until it is told to end.
pub(super) fn run(args: LabArgs) -> Result<(), Failure> {
    if !args.screen.headless {
        dashboard::needs_terminal()?;
    }
    args.ring.check().map_err(Failure::Usage)?;
    let directory = Directory::new(args.data_dir)?;
    let stderr = args.screen.headless.then_some(args.screen.log_format);
    let log = log::start(directory.path.join("log"), stderr)?;
    let pattern = Config {
        params: node::params(&args.ring),
        successors: usize::from(args.ring.successors),
        vnodes: args.ring.vnodes,
        stabilize: args.ring.stabilize,
        data_dir: Some(directory.path.clone()),
        download_dir: args.download_dir,
        transfers: args.transfers.limits(),
        ..Config::at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    };
    let mut running = false;
    let end = runtime()?.block_on(async {
        let mut registries = registries(args.port, args.seeds, &directory.path).await?;
        let pattern = Config { seeds: registries.iter().map(|r| r.address).collect(), ..pattern };
        for registry in &mut registries {
            tokio::spawn(report(registry.address, seed::events_of(registry)));
        }
        let mut lab = Lab { pattern, port: args.port, members: Vec::new() };
        let mut feeds = Vec::new();
        for _ in 0..args.nodes {
            feeds.push(lab.add().await?);
        }
        running = true;
        let end = if args.screen.headless {
            lab.headless(feeds).await
        } else {
            let (requests, asked) = mpsc::channel(COMMANDS);
            tokio::select! {
                end = dashboard::run(feeds, args.screen, Some(requests)) => end.map(drop),
                () = lab.serve(asked) => Ok(()),
            }
        };
        lab.stop().await;
        for registry in registries {
            registry.kill().await;
        }
        end
    });
    if !running {
        log.discard();
    }
    end
}

/// The registries of a lab: from their usual port up when the nodes' ports are
/// chosen, otherwise on free ports.
async fn registries(
    port: Option<u16>,
    count: u16,
    around: &Path,
) -> Result<Vec<Registry>, Failure> {
    let port = if port.is_some() { seed::DEFAULT_PORT } else { 0 };
    let first = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let addresses = seed::consecutive(first, count)?;
    seed::start(&addresses, DEFAULT_CHECK, Some(around.join("seeds"))).await
}

/// Logs what happens to a registry, as long as it runs.
async fn report(address: SocketAddr, mut events: mpsc::Receiver<UiEvent>) {
    while let Some(mut event) = events.recv().await {
        event.text = format!("registry {address}: {}", event.text);
        log::event(&event);
    }
}

/// The nodes of a lab.
#[derive(Debug)]
struct Lab {
    /// What all nodes have in common; `data_dir` is the directory around theirs.
    pattern: Config,
    /// The first node's port, if it was chosen.
    port: Option<u16>,
    members: Vec<Member>,
}

/// One node of a lab, as the supervisor sees it.
#[derive(Debug)]
struct Member {
    address: SocketAddr,
    orders: mpsc::Sender<Order>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    task: JoinHandle<()>,
}

impl Member {
    fn is_up(&self) -> bool {
        self.snapshots.borrow().membership != Membership::Down
    }
}

/// What a node's task is told.
#[derive(Debug)]
enum Order {
    Kill,
    Restart { join: Vec<SocketAddr> },
}

impl Lab {
    /// Starts one more node, which joins a living one.
    async fn add(&mut self) -> Result<ui::Feed, Failure> {
        if self.members.len() >= MAX_LAB {
            return Err(Failure::Failed(format!("a lab has at most {MAX_LAB} nodes")));
        }
        let number = self.members.len();
        let mut config = self.pattern.clone();
        if let Some(first) = self.port {
            let port = u16::try_from(number).ok().and_then(|number| first.checked_add(number));
            config.listen.set_port(port.ok_or_else(|| {
                Failure::Usage(format!(
                    "no port is left after 65535; choose a --port below {first}"
                ))
            })?);
        }
        config.data_dir = config.data_dir.map(|around| around.join(format!("node-{}", number + 1)));
        config.join = self.living(None);
        let node = Node::start(config.clone()).await.map_err(node::refused)?;
        config.listen.set_port(node.address.port());

        let (commands, submitted) = mpsc::channel(COMMANDS);
        let (tab, feed) = Tab::new(node.snapshots.borrow().clone(), commands);
        let (orders, told) = mpsc::channel(COMMANDS);
        self.members.push(Member {
            address: node.address,
            orders,
            snapshots: feed.snapshots.clone(),
            task: tokio::spawn(Tended { config, tab, submitted, told }.live(node)),
        });
        Ok(feed)
    }

    /// Addresses of the nodes that live, without the one at `except`; none
    /// where registries know them.
    fn living(&self, except: Option<usize>) -> Vec<SocketAddr> {
        if !self.pattern.seeds.is_empty() {
            return Vec::new();
        }
        let others = self.members.iter().enumerate().filter(|(i, _)| Some(*i) != except);
        others.filter(|(_, member)| member.is_up()).map(|(_, member)| member.address).collect()
    }

    /// Does what the dashboard asks for, until the dashboard ends.
    async fn serve(&mut self, mut asked: mpsc::Receiver<ui::LabRequest>) {
        while let Some(request) = asked.recv().await {
            let (at, order) = match request {
                ui::LabRequest::Kill(at) => (at, Order::Kill),
                ui::LabRequest::Restart(at) => (at, Order::Restart { join: self.living(Some(at)) }),
                ui::LabRequest::Add(reply) => {
                    let _ = reply.send(self.add().await.map_err(|failure| match failure {
                        Failure::Usage(why) => CommandError::Usage(why),
                        Failure::Failed(why) => Reason::State.because(why),
                        Failure::Command { error, .. } => error,
                    }));
                    continue;
                }
            };
            if let Some(member) = self.members.get(at) {
                // Only a task that has ended does not listen.
                let _ = member.orders.send(order).await;
            }
        }
        // The dashboard closes its end just before it is done itself.
        std::future::pending::<()>().await;
    }

    /// Prints a line for each node and lives until a signal comes.
    async fn headless(&mut self, feeds: Vec<ui::Feed>) -> Result<(), Failure> {
        let mut signals = EndSignals::listen()?;
        for feed in feeds {
            print(node::ready(&feed.snapshots.borrow()).as_bytes())?;
            // Events are logged on their way; nobody else reads them here.
            let mut events = feed.events;
            tokio::spawn(async move { while events.recv().await.is_some() {} });
        }
        let signal = signals.next().await;
        tracing::info!(signal, "ending all nodes");
        Ok(())
    }

    /// Ends all nodes.
    async fn stop(self) {
        let tasks: Vec<_> = self.members.into_iter().map(|member| member.task).collect();
        for task in tasks {
            // A task that panicked has ended as well.
            let _ = task.await;
        }
    }
}

/// One node of a lab, as its own task sees it.
#[derive(Debug)]
struct Tended {
    config: Config,
    tab: Tab,
    submitted: mpsc::Receiver<Submission>,
    told: mpsc::Receiver<Order>,
}

impl Tended {
    /// Lives through deaths and returns, until the supervisor goes away.
    async fn live(mut self, node: Node) {
        let mut node = node;
        loop {
            if !self.up(node).await {
                return;
            }
            match self.down().await {
                Some(returned) => node = returned,
                None => return,
            }
        }
    }

    /// Lives until the node is killed (`true`) or the lab ends (`false`).
    async fn up(&mut self, mut node: Node) -> bool {
        let goes_on = loop {
            tokio::select! {
                order = self.told.recv() => match order {
                    Some(Order::Kill) => break true,
                    Some(Order::Restart { .. }) => self.say(Level::Warn, "this node runs already"),
                    None => break false,
                },
                relayed = self.tab.relay(&mut node.snapshots, &mut node.events) => {
                    if relayed.is_none() {
                        break true;
                    }
                }
                Some((command, reply)) = self.submitted.recv() => {
                    if let Err(refused) = node.commands.try_send((command, reply)) {
                        let (_, reply) = refused.into_inner();
                        let _ = reply.send(Err(Reason::TryAgain.because("this node is busy with other commands; try again")));
                    }
                }
            }
        };
        node.kill().await;
        if goes_on {
            let mut last = Snapshot::clone(&self.tab.shown());
            (last.membership, last.state) = (Membership::Down, State::Down);
            self.tab.show(Arc::new(last));
            self.say(Level::Warn, "this node is down");
        }
        goes_on
    }

    /// Waits, dead, for the order to return; `None` when the lab ends.
    async fn down(&mut self) -> Option<Node> {
        loop {
            tokio::select! {
                order = self.told.recv() => match order? {
                    Order::Kill => self.say(Level::Warn, "this node is down already"),
                    Order::Restart { join } => {
                        let config = Config { join, ..self.config.clone() };
                        match Node::start(config).await {
                            Ok(node) => {
                                self.tab.show(node.snapshots.borrow().clone());
                                self.say(Level::Info, "this node is back");
                                return Some(node);
                            }
                            Err(error) => self.say(Level::Error, &error.to_string()),
                        }
                    }
                },
                Some((_, reply)) = self.submitted.recv() => {
                    let _ = reply.send(Err(Reason::TryAgain.because("this node is down; restart it first")));
                }
            }
        }
    }

    fn say(&self, level: Level, text: &str) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        self.tab.say(UiEvent { unix_ms, level, step: None, text: text.to_owned() });
    }
}

/// Where the nodes of a lab keep their files: given, or temporary.
#[derive(Debug)]
struct Directory {
    path: PathBuf,
    temporary: bool,
}

impl Directory {
    fn new(given: Option<PathBuf>) -> Result<Directory, Failure> {
        if let Some(path) = given {
            return Ok(Directory { path, temporary: false });
        }
        let name = format!("chordal-lab-{}-{:08x}", std::process::id(), fastrand::u32(..));
        let path = std::env::temp_dir().join(name);
        private(&path).map_err(|error| {
            Failure::Failed(format!(
                "cannot create {}: {error}; choose another place with --data-dir",
                path.display()
            ))
        })?;
        Ok(Directory { path, temporary: true })
    }
}

/// Creates a directory that only this user may enter, and only when nobody
/// created it before.
fn private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(path)
}

impl Drop for Directory {
    fn drop(&mut self) {
        // After a crash the log in it is what explains it.
        if self.temporary && !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_directory_ends_with_its_lab_and_a_given_one_stays() {
        let temporary = Directory::new(None).expect("a temporary directory");
        let path = temporary.path.clone();
        fs::write(path.join("file"), "x").expect("a file in it");
        drop(temporary);
        assert!(!path.exists());

        let given = tempfile::tempdir().expect("a directory");
        drop(Directory::new(Some(given.path().to_owned())));
        assert!(given.path().exists());
    }
}
