//! The commands of a running node: each word of [`chordal_view::command`],
//! carried out by a task of its own so that none waits for another.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use chordal_core::chord::invariant::{Members, NodeState};
use chordal_core::error::CommandError;
use chordal_core::mesh::pattern::Pattern;
use chordal_core::peer::Peer;
use chordal_core::wire::query::{Fares, LookupTrace, NodeInfo, Stands};
use chordal_core::wire::{Request, Response};
use chordal_view as view;
use chordal_view::state::{Facts, State};
use chordal_view::{Command, FileRow, Health, Level, Outcome, target};

use super::files;
use super::moving::Moving;
use super::ring_walk;
use super::ring_walk::{Each, Said, members_of};
use super::scan;
use super::user::User;
use crate::client::control;
use crate::client::leave;
use crate::data::access::Access;
use crate::net::address;
use crate::net::requests::unexpected;
use crate::overlay::join::join_through;
use crate::overlay::mesh::link_commands;
use crate::overlay::search;
use crate::sharing::shares::handle as shares;
use crate::transfers::Phases;

/// A command and where its end goes. Its progress shows in the snapshots.
pub type Submission = (Command, oneshot::Sender<Result<Outcome, CommandError>>);

/// Takes commands until their senders are gone, or the node stops.
pub(crate) async fn run(user: User, mut commands: mpsc::Receiver<Submission>) {
    loop {
        let next = tokio::select! {
            () = user.data.net.stop.cancelled() => return,
            next = commands.recv() => next,
        };
        let Some((command, done)) = next else { return };
        let working = user.clone();
        user.data.net.tasks.spawn(async move {
            let result = carry_out(&working, command).await;
            if let Err(why) = &result {
                tracing::info!(%why, "a command failed");
            }
            let _ = done.send(result);
        });
    }
}

async fn carry_out(user: &User, command: Command) -> Result<Outcome, CommandError> {
    let access = Access::Inside(user.data.clone());
    let moving = Moving {
        access: &access,
        transfers: &user.data.transfers,
        download_dir: &user.download_dir,
        min_copies: user.data.min_copies,
        reshare: user.sharing.reshare,
        interrupted: None,
    };
    let command = match Box::pin(moving.carry_out(command)).await {
        Ok(ended) => return changed(user, ended).await,
        Err(command) => command,
    };
    match command {
        Command::Join { contact } => join(user, &contact).await,
        Command::Leave => leave::leave(user, false).await.map(Outcome::Left),
        Command::Quit => leave::leave(user, true).await.map(Outcome::Left),
        Command::QuitNow => {
            user.departure.hurry();
            leave::leave(user, true).await.map(Outcome::Left)
        }
        Command::Rm { name } => files::remove(&access, &files::file_name(&name)?).await,
        Command::Share { paths } => shares::share(&user.data.shares, paths).await,
        Command::Unshare { name } => shares::unshare(&user.data.shares, name).await,
        Command::Find { pattern } => {
            search::command::find(&access, Some(&user.overlay), &pattern, &NoPhases).await
        }
        Command::Connect { peer } => link_commands::connect(&user.overlay, &peer).await,
        Command::Disconnect { peer } => link_commands::disconnect(&user.overlay, &peer).await,
        Command::Say { text } => {
            let links = link_commands::say_here(&user.overlay, text).await?;
            Ok(Outcome::Said { links })
        }
        Command::Scan { host, ports } => {
            scan::run(user, host.as_deref(), ports.as_deref()).await.map(Outcome::Scanned)
        }
        Command::Help { command } => Ok(Outcome::Help(command)),
        reading => read(&access, reading).await,
    }
}

/// The commands that only read or steer transfers, from inside and from outside
/// alike.
pub(crate) async fn read(access: &Access, command: Command) -> Result<Outcome, CommandError> {
    let space = access.space();
    if let Some(outcome) = control::carry_out(access, &command).await {
        return outcome;
    }
    match command {
        Command::Ls { pattern, ring: false } => {
            let held = files::files_of(access, access.member()).await?;
            let mut files: Vec<FileRow> =
                held.iter().map(|held| FileRow::held(held, space)).collect();
            files.extend(files::shared_by(access).await?);
            files.sort_by(|a, b| (&a.name, a.role).cmp(&(&b.name, b.role)));
            let all = files.len();
            if let Some(pattern) = pattern.as_deref().map(Pattern::new) {
                files.retain(|file| pattern.matches(file.name.as_str()));
            }
            Ok(Outcome::Files { files, of: pattern.map(|pattern| (pattern, all)), space })
        }
        Command::Ls { pattern, ring: true } => files::ring_files(access, pattern.as_deref()).await,
        Command::Info => info(access).await,
        Command::Fingers => fingers(access).await,
        Command::Ring => ring(access).await,
        Command::Lookup { target } => {
            let key = target::key(&target, space);
            let trace = access.lookup(key, Some(target.clone())).await?;
            let LookupTrace { owner, hops, .. } = trace;
            Ok(Outcome::Lookup { text: target, key, owner, hops, space })
        }
        Command::Peers => link_commands::peers(access).await,
        Command::Ping { peer } => ping(access, &peer).await,
        Command::Id { text } => Ok(Outcome::IdOf { id: space.hash(&text), text, space }),
        other => Err(CommandError::Bug(format!("{other:?} is not a reading command"))),
    }
}

async fn join(user: &User, contact: &str) -> Result<Outcome, CommandError> {
    let me = user.data.net.me();
    let members = members_of(&Access::Inside(user.data.clone())).await?;
    let peer = address::resolve(contact, me.me.address(), me.params.space, &members).await?;
    let (me, successor, adopted) =
        join_through(&user.data.net, &user.data.core, peer.address()).await?;
    let params = user.data.net.me().params;
    Ok(Outcome::Joined { me, successor, ring: params.ring, space: params.space, adopted })
}

async fn info(access: &Access) -> Result<Outcome, CommandError> {
    match access.request(access.member().address(), Request::Info).await? {
        Response::Info(node) => Ok(Outcome::Info(Box::new(node))),
        other => Err(unexpected(access.member().address(), other)),
    }
}

async fn fingers(access: &Access) -> Result<Outcome, CommandError> {
    let (member, space) = (access.member(), access.space());
    match access.request(member.address(), Request::Fingers).await? {
        Response::Fingers(nodes) => {
            let id = member.id(space);
            let fingers = (0..space.bits())
                .zip(nodes)
                .map(|(index, node)| chordal_view::Finger {
                    index,
                    start: space.finger_start(id, index),
                    node,
                })
                .collect();
            Ok(Outcome::Fingers { fingers, space })
        }
        other => Err(unexpected(access.member().address(), other)),
    }
}

async fn ping(access: &Access, text: &str) -> Result<Outcome, CommandError> {
    let members = members_of(access).await?;
    let member = access.member();
    let peer = address::resolve(text, member.address(), access.space(), &members).await?;
    if peer.address() == member.address() {
        let began = Instant::now();
        access.request(member.address(), Request::Info).await?;
        return Ok(Outcome::Pong { peer, micros: began.elapsed().as_micros() as u64 });
    }
    match access.request(member.address(), Request::Ping { peer: Some(peer) }).await? {
        Response::Pong { micros } => Ok(Outcome::Pong { peer, micros }),
        other => Err(unexpected(access.member().address(), other)),
    }
}

/// Asks every member for its neighbours and how it fares: the members that answered,
/// in ring order, those that did not, and what follows from it.
async fn ring(access: &Access) -> Result<Outcome, CommandError> {
    let (space, member) = (access.space(), access.member());
    let (_, own) = fares(access, member).await?;
    let (mut states, mut settled) = (Vec::new(), own.settled);
    let (mut files, mut shrinking) = (0, own.missed > 0);
    let mut troubles = Troubles::default();
    let hear = |peer: Peer, (state, fares, sick_disk, deaf): Place| {
        states.push(state);
        settled &= fares.settled;
        files += u64::from(fares.files_below);
        shrinking |= fares.missed > 0;
        troubles.hear(peer, sick_disk, deaf);
        Ok(())
    };
    let silent = ring_walk::ask_all(access, Each::Position, position, hear).await?;
    states.sort_by_key(|state| (state.peer.id(space), state.peer));
    let health = Health::of(&Members::new(space, &states).report());
    let state = State::of(&Facts {
        membership: match own.stands {
            Stands::Joining => view::Membership::Joining,
            Stands::Member if states.len() <= 1 => view::Membership::Alone,
            Stands::Member => view::Membership::Member,
            Stands::Leaving => view::Membership::Leaving,
            Stands::Left => view::Membership::Left,
        },
        sick_disk: !troubles.sick.is_empty(),
        missing: own.cut_off.then_some(u64::from(own.missed)),
        seen: states.len() as u64,
        unheard: 0,
        silent: silent.len() as u64,
        settled,
        shrinking,
        health,
        // How long a list should be each node knows by itself.
        successors_max: 0,
        files,
    });
    let members: Vec<Peer> = states.into_iter().map(|state| state.peer).collect();
    let troubled = troubles.of(&members);
    Ok(Outcome::Ring { members, silent, troubled, health, state, space })
}

/// What members say of their own disks, and of others to which no bytes pass.
#[derive(Debug, Default)]
struct Troubles {
    sick: BTreeMap<SocketAddr, String>,
    /// Between which two no bytes pass, as one of them says.
    deaf: BTreeSet<(SocketAddr, SocketAddr)>,
}

impl Troubles {
    fn hear(&mut self, peer: Peer, sick_disk: Option<String>, deaf: Vec<SocketAddr>) {
        let me = peer.address();
        self.sick.extend(sick_disk.map(|why| (me, why)));
        let deaf = deaf.into_iter().take(NodeInfo::MAX_DEAF).filter(|other| *other != me);
        self.deaf.extend(deaf.map(|other| (me.min(other), me.max(other))));
    }

    /// Which of the members have which trouble. Of two between which no bytes pass,
    /// it is the one that has it with others too.
    fn of(&self, members: &[Peer]) -> Vec<(Peer, String)> {
        let mut pairs: BTreeMap<SocketAddr, usize> = BTreeMap::new();
        for address in self.deaf.iter().flat_map(|(one, other)| [one, other]) {
            *pairs.entry(*address).or_default() += 1;
        }
        let most = |address: &SocketAddr| {
            let mine = self.deaf.iter().filter(|(one, other)| one == address || other == address);
            let others = mine.map(|(one, other)| if one == address { other } else { one });
            others.clone().count() > 0 && others.clone().any(|other| pairs[other] <= pairs[address])
        };
        let trouble = |peer: &Peer| {
            let address = peer.address();
            let sick = self.sick.get(&address).map(|why| format!("its disk fails: {why}"));
            let deaf = || most(&address).then(|| "answers messages, and no bytes pass".to_owned());
            Some((*peer, sick.or_else(deaf)?))
        };
        let first = members.iter().filter(|peer| {
            members.iter().find(|one| one.address() == peer.address()) == Some(peer)
        });
        first.filter_map(trouble).collect()
    }
}

/// A place's neighbours, how it fares, and what its host says of its disk and of others.
type Place = (NodeState, Fares, Option<String>, Vec<SocketAddr>);

async fn position(access: Access, peer: Peer) -> Result<Said<Place>, CommandError> {
    let (node, fares) = fares(&access, peer).await?;
    if !ring_walk::is_member(&access, &node) || node.peer != peer {
        return Ok(None);
    }
    let (predecessor, successors) = (node.predecessor, node.successors);
    let neighbours = successors.iter().chain(&predecessor).copied().collect();
    let state = NodeState { peer, predecessor, successors };
    Ok(Some((neighbours, (state, fares, node.sick_disk, node.deaf))))
}

/// What a place on the ring says of itself.
async fn fares(access: &Access, peer: Peer) -> Result<(NodeInfo, Fares), CommandError> {
    let request = Request::Position { index: peer.index() };
    match access.request(peer.address(), request).await? {
        Response::Position(node, fares) => Ok((node, fares)),
        other => Err(unexpected(access.member().address(), other)),
    }
}

/// Tells what a command that moves files has done.
async fn changed(
    user: &User,
    result: Result<Outcome, CommandError>,
) -> Result<Outcome, CommandError> {
    match &result {
        Ok(Outcome::Fetched { name, path, .. }) => {
            user.data
                .notes
                .event(Level::Info, format!("{name} was saved as {}", path.display()))
                .await;
        }
        Ok(Outcome::FetchedAll { name, path, fetched, .. }) => {
            let text = format!("{fetched} files of {name}/ were saved in {}", path.display());
            user.data.notes.event(Level::Info, text).await;
        }
        _ => {}
    }
    user.data.notes.changed().await;
    result
}

/// A node's own transfers are seen in its snapshot.
struct NoPhases;

impl Phases for NoPhases {
    fn phase(&self, _: &str) {}
}
