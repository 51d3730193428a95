//! Entering the ring of a node at an address.

use std::net::SocketAddr;

use chordal_core::chord::{self, Failure, Reply};
use chordal_core::error::{CommandError, Reason};
use chordal_core::peer::Peer;
use chordal_core::wire::handshake::Purpose;

use crate::inputs::core::Core;
use crate::net::handle::Net;
use crate::net::{connection, greeting, verify};

/// Enters the ring of the node at an address, taking over its parameters
/// first where they differ: the identity of this node then, its successor, and whether
/// parameters were taken over.
pub(crate) async fn join_through(
    net: &Net,
    core: &Core,
    address: SocketAddr,
) -> Result<(Peer, Peer, bool), CommandError> {
    let me = net.me();
    let (contact, params) = greeting::introduce(address).await?;
    // What seems to be this node itself may be another one with its address.
    verify::through(net, address, &params).await.map_err(|why| why.told_of(address))?;
    if contact.address() == me.me.address() {
        return Err(
            Reason::State.because(format!("{address} is this node itself; join another one"))
        );
    }
    let adopted = params != me.params;
    if adopted {
        let theirs = params.describe();
        match core.command(chord::Command::Adopt { params }).await {
            Some(Reply::Adopted) => {}
            Some(Reply::Failed(failure)) => {
                // So that people at the other side hear of it too: its answer
                // to this greeting is known already.
                let _ = connection::dial(address, &me.hello(Purpose::Member)).await;
                return Err(Reason::State
                    .because(format!("{address} is on another ring, {theirs}: {failure}")));
            }
            _ => return Err(CommandError::Stopping),
        }
    }
    match core.command(chord::Command::Join { contact }).await {
        Some(Reply::Joined { me, successor }) => Ok((me, successor, adopted)),
        Some(Reply::Failed(Failure::AlreadyMember(_))) if !adopted => {
            Err(Reason::State
                .because(format!("this node and {address} are on the same ring already")))
        }
        Some(Reply::Failed(failure)) => Err(failure.into()),
        _ => Err(CommandError::Stopping),
    }
}
