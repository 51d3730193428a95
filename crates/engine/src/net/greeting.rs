//! Greets what listens at an address, to find out what it is: a node, a registry,
//! another program, or nothing.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use chordal_core::error::{Absence, CommandError, Fault};
use chordal_core::peer::Peer;
use chordal_core::wire::handshake::{HandshakeError, Hello, Params, Program, Purpose};
use chordal_view::text::clean;

use super::connection;
use super::connection::ConnectError;

/// How an attempt to greet ended.
#[derive(Debug)]
pub(crate) enum Greeted {
    /// There is no connection.
    Nobody(Absence),
    /// Something answers that is not chordal, or another version of it: what it does.
    Stranger(String),
    /// A greeting came back. A refusal in it is not looked at.
    Hello(Box<Hello>),
}

/// Connects, within [`connection::CONNECT_LIMIT`], and exchanges greetings. Fails when this
/// machine cannot find out.
pub(crate) async fn greet(
    address: SocketAddr,
    hello: &Hello,
    until: Instant,
) -> io::Result<Greeted> {
    let connect_until = until.min(Instant::now() + connection::CONNECT_LIMIT);
    let mut stream = match timeout_at(connect_until, TcpStream::connect(address)).await {
        Err(_) => return Ok(Greeted::Nobody(Absence::Silent)),
        Ok(Err(error)) => return absence(&error).map(Greeted::Nobody).ok_or(error),
        Ok(Ok(stream)) => stream,
    };
    // A connection to a free port of this machine may draw that very port for
    // its own end, and then speaks with itself.
    if stream.local_addr().is_ok_and(|own| own == address) {
        return Ok(Greeted::Nobody(Absence::Refused));
    }
    let answer = timeout_at(until, connection::greet(&mut stream, hello)).await;
    let answer = answer.unwrap_or(Err(ConnectError::TimedOut));
    Ok(match answer {
        Ok(theirs) => Greeted::Hello(Box::new(theirs)),
        Err(error) => Greeted::Stranger(stranger(&error)),
    })
}

/// What something does that takes a connection but is no node and no registry of this
/// version.
fn stranger(error: &ConnectError) -> String {
    match error {
        ConnectError::TimedOut | ConnectError::Silent => "says nothing".to_owned(),
        ConnectError::Io(_) => "closes the connection".to_owned(),
        ConnectError::Handshake(HandshakeError::Version { theirs, ours }) => {
            format!("speaks another version of chordal's protocol: {theirs}, this one {ours}")
        }
        ConnectError::Handshake(HandshakeError::NotChordal) => "speaks something else".to_owned(),
        ConnectError::Handshake(_) | ConnectError::Misplaced(_) => {
            "its greeting cannot be understood".to_owned()
        }
    }
}

/// What an error of a connection says of the other side. `None`: it is this machine
/// that cannot connect.
fn absence(error: &io::Error) -> Option<Absence> {
    match error.kind() {
        ErrorKind::ConnectionRefused
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted => Some(Absence::Refused),
        ErrorKind::TimedOut => Some(Absence::Silent),
        ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::PermissionDenied => Some(Absence::NoRoute),
        _ => None,
    }
}

/// The greeting of a client: it takes the ring as it is.
pub(crate) fn client_hello(purpose: Purpose) -> Hello {
    Hello {
        purpose,
        program: Program::Client,
        params: None,
        address: None,
        index: 0,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        refusal: None,
    }
}

/// Asks a node for its identity and the parameters of its ring.
pub(crate) async fn introduce(address: SocketAddr) -> Result<(Peer, Params), CommandError> {
    let until = Instant::now() + connection::CONNECT_LIMIT + connection::HELLO_LIMIT;
    let hello = match greet(address, &client_hello(Purpose::Client), until).await {
        Ok(Greeted::Hello(hello)) => hello,
        Ok(Greeted::Stranger(what)) => {
            return Err(CommandError::peer(address, Fault::NotChordal(what)));
        }
        Ok(Greeted::Nobody(absence)) => {
            return Err(CommandError::peer(address, Fault::Absent(absence)));
        }
        Err(error) => {
            return Err(CommandError::peer(address, Fault::Unreachable(error.to_string())));
        }
    };
    if let Some(why) = hello.refusal {
        return Err(CommandError::peer(address, Fault::Refuses(clean(&why).into_owned())));
    }
    match (hello.peer(), hello.params) {
        (Some(peer), Some(params)) if params.is_sane() => Ok((peer, params)),
        _ => {
            Err(CommandError::peer(address, Fault::NotChordal("does not say who it is".to_owned())))
        }
    }
}
