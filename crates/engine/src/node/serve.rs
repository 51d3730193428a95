//! Answers to the requests of other nodes and of clients.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use chordal_core::chord::{CensusState, Command, Failure, Host, Membership, Node, Reply};
use chordal_core::error::{CommandError, Fault, Reason};
use chordal_core::limits::MAX_PAGE;
use chordal_core::mesh::pattern::Pattern;
use chordal_core::peer::{Party, Peer};
use chordal_core::record::Provider;
use chordal_core::time::Time;
use chordal_core::wire::query::{Fares, NodeInfo, Stands};
use chordal_core::wire::{Request, Response};
use chordal_view::text::clean;

use super::hub::Hub;
use crate::client::user::User;
use crate::client::{control, leave};
use crate::data::commit::Wanted;
use crate::data::full_owner;
use crate::inputs::core::unexpected;
use crate::inputs::demand::{Want, Way};
use crate::overlay::mesh::link_commands;
use crate::overlay::search;
use crate::overlay::search::local_matches;

/// The program that asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    /// The advertised address of a member; `None`: a client.
    pub(crate) member: Option<SocketAddr>,
    /// Where it is; `None`: it has gone.
    pub(crate) host: Option<IpAddr>,
    /// Whether it is on this machine.
    pub(crate) here: bool,
}

impl Asker {
    fn party(self) -> Option<Party> {
        self.member.map(Party::Node).or_else(|| self.host.map(Party::Client))
    }
}

/// Answers a request: at once when the core's state holds the answer,
/// otherwise from a task.
pub(crate) fn answer(
    hub: &mut Hub,
    asker: Asker,
    request: Request,
    respond: impl FnOnce(Response) + Send + 'static,
) {
    let core = hub.core();
    match request {
        Request::Info => respond(Response::Info(info(hub.user(), core, core.first()))),
        Request::Position { index } => {
            let node = core.slot_of(index).and_then(|slot| core.node(slot));
            respond(match node {
                Some(node) => {
                    let fares = fares(core, node, hub.now());
                    Response::Position(info(hub.user(), core, node), fares)
                }
                None => {
                    Err(Reason::NotFound.because(format!("there is no place {index} here"))).into()
                }
            });
        }
        Request::Fingers => {
            respond(Response::Fingers(core.fingers().into_iter().map(|row| row.node).collect()));
        }
        Request::Members => {
            let (members, complete) = core.members();
            respond(Response::Members { members, complete: complete == CensusState::Complete });
        }
        Request::Files { after } => {
            let mut rows = core.files_page(after.as_ref(), MAX_PAGE + 1);
            let more = rows.len() > MAX_PAGE;
            rows.truncate(MAX_PAGE);
            respond(Response::Files { rows, more });
        }
        Request::Locate { name } => respond(Response::Locate {
            record: core.known_record(&name).cloned(),
            holders: core.holders(&name),
        }),
        Request::Providers { name } => {
            let known = core.providers(&name, hub.now());
            // Of a crowd some, and not always the same.
            let providers = fastrand::choose_multiple(known, MAX_PAGE);
            respond(Response::Providers { providers });
        }
        Request::Provide { providers } => later(hub, respond, move |user| async move {
            may_provide(asker.member, &providers).map_err(|why| Reason::NotAllowed.because(why))?;
            match user.data.core.command(Command::Provide { providers }).await? {
                Reply::Provided { sources } => Ok(Response::Provided { sources }),
                other => Err(unexpected(other)),
            }
        }),
        Request::Search { pattern, after } => later(hub, respond, move |user| async move {
            local_matches::check(&pattern)?;
            let text = pattern;
            let pattern = Pattern::new(&text);
            let (rows, more) =
                local_matches::matching(&user.data, None, &pattern, after.as_ref(), MAX_PAGE).await;
            // Further pages belong to the same question.
            if let (None, Some(party)) = (&after, asker.party()) {
                user.data.notes.searched(Way::Direct, party, &text, rows.len(), more);
            }
            Ok(Response::Found { rows, more })
        }),
        Request::Shares { after } => {
            let shares = &hub.user().data.shares;
            let mut rows = shares.told(after.as_ref(), MAX_PAGE + 1);
            let more = rows.len() > MAX_PAGE;
            rows.truncate(MAX_PAGE);
            respond(Response::Shares { rows, more });
        }
        Request::Find { pattern } => later(hub, respond, move |user| async move {
            if let Some(party) = asker.party() {
                let text = || format!("{party} searches the ring for {}", clean(&pattern));
                user.data.notes.wanted(Want::Search, party, 0, text);
            }
            let number = search::command::begin(&user.overlay, pattern, false).await?;
            Ok(Response::Finding { number })
        }),
        Request::FoundSince { number, after } => later(hub, respond, move |user| async move {
            let (rows, state) = search::command::since(&user.overlay, number, after).await?;
            Ok(Response::FoundSince { rows, state })
        }),
        Request::Peers => respond(link_commands::answer_peers(&hub.user().overlay)),
        Request::Say { text } => later(hub, respond, |user| async move {
            let links = link_commands::say_here(&user.overlay, text).await?;
            Ok(Response::Said { links })
        }),
        Request::Transfers | Request::Steer { .. } | Request::Leave | Request::LeaveState
            if !asker.here =>
        {
            respond(Response::Failed { why: control::refusal_to_remote_clients(core.peer()) });
        }
        Request::Trashed { name } => {
            let all = hub.user().data.store.trashed(&name).into_iter().take(MAX_PAGE);
            let contents = all.map(|one| (one.root, one.size)).collect();
            respond(Response::Trashed { contents });
        }
        Request::Absent => respond(Response::Absent { peers: hub.vanished() }),
        Request::Leave => {
            leave::begin(hub.user(), false);
            respond(leave::leave_response(hub.user()));
        }
        Request::LeaveState => respond(leave::leave_response(hub.user())),
        Request::Copied => {
            respond(Response::Copied { contents: hub.user().data.transfers.copies() });
        }
        Request::Transfers => respond(control::transfers_response(&hub.user().data.transfers)),
        Request::Steer { number, steering } => {
            respond(control::steer(&hub.user().data.transfers, number, steering));
        }
        Request::Lookup { key } => later(hub, respond, move |user| async move {
            user.data.core.lookup(key, None).await.map(Response::Lookup)
        }),
        Request::Remove { name } => later(hub, respond, move |user| async move {
            match user.data.core.command(Command::Remove { name }).await {
                Ok(Reply::Stored { holders, .. }) => {
                    let (copies, cut_off) = (holders.len() as u8, user.data.core.cut_off().await);
                    Ok(Response::Removed { copies, cut_off })
                }
                Ok(other) => Err(unexpected(other)),
                // On its way in or out: the caller looks for the next owner.
                Err(error) if error.reason() == Some(Reason::NotMember) => {
                    Err(Failure::NotOwner.into())
                }
                Err(error) => Err(error),
            }
        }),
        Request::Commit { name, root, size, overwrite, holders, obstacle } => {
            let wanted = Wanted { name, root, size, overwrite };
            let forwards = asker.member.is_none();
            later(hub, respond, move |user| {
                full_owner::answer_commit(user.data, wanted, (holders, obstacle), forwards)
            });
        }
        Request::Ping { peer: None } => respond(Response::Pong { micros: 0 }),
        Request::Ping { peer: Some(peer) } if peer.address() == core.peer().address() => {
            respond(Response::Pong { micros: 0 });
        }
        Request::Ping { peer: Some(peer) } => later(hub, respond, move |user| async move {
            let asked = Instant::now();
            match user.data.core.command(Command::Ping { peer }).await {
                Ok(Reply::Pong) => {
                    Ok(Response::Pong { micros: asked.elapsed().as_micros() as u64 })
                }
                Ok(other) => Err(unexpected(other)),
                Err(error) if error.reason() == Some(Reason::TryAgain) => {
                    Err(CommandError::peer(peer.address(), Fault::NoAnswer))
                }
                Err(error) => Err(error),
            }
        }),
    }
}

/// What a host says of one of its places on the ring.
fn info(user: &User, core: &Host, node: &Node) -> NodeInfo {
    NodeInfo {
        peer: node.peer(),
        params: node.params().clone(),
        member: node.membership() == Membership::Member,
        predecessor: node.predecessor(),
        successors: node.successors().to_vec(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        positions: core.positions().iter().map(Peer::index).collect(),
        sick_disk: user.data.disk.shown(),
        deaf: deaf(user, core),
    }
}

/// Members that answer and to which no bytes passed of late.
fn deaf(user: &User, core: &Host) -> Vec<SocketAddr> {
    let (members, _) = core.members();
    let mut deaf = user.data.reach.deaf();
    deaf.retain(|address| members.iter().any(|member| member.address() == *address));
    deaf.truncate(NodeInfo::MAX_DEAF);
    deaf
}

/// How one of the places of a host fares. What only the host knows is said for each.
fn fares(core: &Host, node: &Node, now: Time) -> Fares {
    Fares {
        stands: match node.membership() {
            Membership::New | Membership::Joining => Stands::Joining,
            Membership::Member => Stands::Member,
            Membership::Leaving => Stands::Leaving,
            Membership::Left => Stands::Left,
        },
        settled: node.is_steady(now),
        files_below: u32::try_from(node.files_below()).unwrap_or(u32::MAX),
        missed: u32::try_from(core.missed(now)).unwrap_or(u32::MAX),
        cut_off: core.cut_off(now).is_some(),
    }
}

/// Whether these statements may come from this asker: each member
/// speaks for itself only.
fn may_provide(asker: Option<SocketAddr>, providers: &[Provider]) -> Result<(), &'static str> {
    if providers.len() > MAX_PAGE {
        return Err("too many files in one message; send fewer");
    }
    let Some(asker) = asker else {
        return Err("only a member of the ring can share files; join it first");
    };
    if providers.iter().any(|one| one.peer.address() != asker) {
        return Err("a node can say only of itself what it shares");
    }
    Ok(())
}

fn later<F, W>(hub: &Hub, respond: impl FnOnce(Response) + Send + 'static, work: F)
where
    F: FnOnce(User) -> W + Send + 'static,
    W: Future<Output = Result<Response, CommandError>> + Send,
{
    let Ok(place) = hub.place_to_answer() else {
        let why = "the node has too many questions to answer at the moment; try again";
        return respond(Err(Reason::TryAgain.because(why)).into());
    };
    let user = hub.user().clone();
    let tasks = user.data.net.tasks.clone();
    tasks.spawn(async move {
        respond(work(user).await.into());
        drop(place);
    });
}
