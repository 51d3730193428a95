//! The words `connect`, `disconnect`, `peers` and `say`, from inside and for
//! clients.

use std::net::SocketAddr;

use tokio::sync::oneshot;

use chordal_core::error::{CommandError, Reason};
use chordal_core::peer::Peer;
use chordal_core::wire::{Request, Response};
use chordal_view::{Outcome, PeerRow};

use super::input::Input;
use super::rows;
use crate::data::access::Access;
use crate::inputs::ask;
use crate::net::address;
use crate::net::greeting;
use crate::net::requests::unexpected;
use crate::net::verify;
use crate::overlay::Overlay;

/// `connect PEER`: answers when there is a link.
pub(crate) async fn connect(overlay: &Overlay, text: &str) -> Result<Outcome, CommandError> {
    let me = overlay.data.net.me();
    let linked = linked(overlay);
    let mut known = linked.clone();
    let members =
        overlay.data.core.look(|core| core.members().0).await.ok_or(CommandError::Stopping)?;
    known.extend(members.into_iter().filter(|member| !linked.contains(member)));
    let wanted = address::resolve(text, me.me.address(), me.params.space, &known).await?;
    let peer = if linked.contains(&wanted) {
        wanted
    } else {
        introduced(overlay, wanted.address()).await?
    };
    let (done, connected) = oneshot::channel();
    overlay.mesh.send(Input::Connect { peer, done }).await.map_err(|_| CommandError::Stopping)?;
    match connected.await {
        Ok(result) => result.map(|already| Outcome::Connected { peer, already }),
        Err(_) => {
            Err(Reason::State.because(format!("the link with {peer} was ended before it began")))
        }
    }
}

/// `disconnect PEER`.
pub(crate) async fn disconnect(overlay: &Overlay, text: &str) -> Result<Outcome, CommandError> {
    let me = overlay.data.net.me();
    let linked = linked(overlay);
    let peer = address::resolve(text, me.me.address(), me.params.space, &linked).await?;
    let address = peer.address();
    match ask(&overlay.mesh, |done| Input::Disconnect { address, done }).await? {
        Some(peer) => Ok(Outcome::Disconnected { peer }),
        None => {
            Err(Reason::NotFound.because(format!("{peer} is not connected; peers lists who is")))
        }
    }
}

/// `peers`.
pub(crate) async fn peers(access: &Access) -> Result<Outcome, CommandError> {
    let (me, space) = (access.member(), access.space());
    if let Access::Inside(data) = access {
        let rows = data.notes.ui_rows.rows();
        return Ok(Outcome::Peers {
            me,
            peers: rows.peers.to_vec(),
            registries: rows.registries.into_values().collect(),
            uptime_ms: data.net.uptime().as_millis() as u64,
            space,
        });
    }
    match access.request(me.address(), Request::Peers).await? {
        Response::Peers { peers, registries } => {
            let (peers, registries, uptime_ms) = rows::from_wire(&peers, registries);
            Ok(Outcome::Peers { me, peers, registries, uptime_ms, space })
        }
        other => Err(unexpected(me.address(), other)),
    }
}

/// The answer to [`Request::Peers`].
pub(crate) fn answer_peers(overlay: &Overlay) -> Response {
    let (shown, uptime) = (overlay.data.notes.ui_rows.rows(), overlay.data.net.uptime());
    Response::Peers {
        peers: rows::to_wire(&shown.peers, uptime),
        registries: rows::registries_to_wire(shown.registries.values(), uptime),
    }
}

/// `say TEXT` through another node.
pub(crate) async fn say(access: &Access, text: String) -> Result<Outcome, CommandError> {
    match access.request(access.member().address(), Request::Say { text }).await? {
        Response::Said { links } => Ok(Outcome::Said { links }),
        other => Err(unexpected(access.member().address(), other)),
    }
}

/// Says something through this node; over how many links it went.
pub(crate) async fn say_here(overlay: &Overlay, text: String) -> Result<u32, CommandError> {
    ask(&overlay.mesh, |done| Input::Say { text, done }).await?
}

/// The peer at an address, if this node can be linked with it.
async fn introduced(overlay: &Overlay, address: SocketAddr) -> Result<Peer, CommandError> {
    let (peer, params) = greeting::introduce(address).await?;
    let ours = overlay.data.net.me().params;
    if params != ours {
        let why = format!(
            "{address} is on another ring, {}, and this node on {}; join {address} to go there, \
             or start both with the same --ring, --bits and --replicas",
            params.describe(),
            ours.describe()
        );
        return Err(Reason::State.because(why));
    }
    verify::through(&overlay.data.net, address, &params)
        .await
        .map_err(|why| why.told_of(address))?;
    if peer.address() == overlay.data.net.me().me.address() {
        return Err(
            Reason::State.because(format!("{address} is this node itself; connect another one"))
        );
    }
    Ok(peer)
}

fn linked(overlay: &Overlay) -> Vec<Peer> {
    let row = |row: &PeerRow| row.link.map(|_| row.peer);
    overlay.data.notes.ui_rows.rows().peers.iter().filter_map(row).collect()
}
