//! Entering the ring of a node at an address.

use std::net::SocketAddr;

use chordal_core::chord::{self, Reply};
use chordal_core::error::{CommandError, Reason};
use chordal_core::peer::Peer;
use chordal_core::wire::handshake::Purpose;

use crate::inputs::core::{Core, unexpected};
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
            Ok(_) => {}
            Err(CommandError::Stopping) => return Err(CommandError::Stopping),
            Err(failure) => {
                // So that users of the other node are told too: its answer
                // to this greeting is known already.
                let _ = connection::dial(address, &me.hello(Purpose::Member)).await;
                return Err(Reason::State
                    .because(format!("{address} is on another ring, {theirs}: {failure}")));
            }
        }
    }
    match core.command(chord::Command::Join { contact }).await {
        Ok(Reply::Joined { me, successor }) => Ok((me, successor, adopted)),
        Ok(other) => Err(unexpected(other)),
        // A member of that ring already.
        Err(error) if error.reason() == Some(Reason::State) && !adopted => {
            let text = format!("this node and {address} are on the same ring already");
            Err(Reason::State.because(text))
        }
        Err(error) => Err(error),
    }
}
