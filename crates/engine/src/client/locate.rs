//! Who has a name: drives [`Locate`] over an [`Access`].

use std::time::Instant;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep_until;

use chordal_core::client::{Answer, Known, Locate, LocateEvent, LocateStep, NamedContent};
use chordal_core::error::CommandError;
use chordal_core::name::FileName;
use chordal_core::peer::Peer;
use chordal_core::time::Time;
use chordal_core::wire::{Request, Response};
use chordal_view::FoundContent;

use crate::data::access::Access;

/// A content of a name as it is listed for people.
pub(crate) fn row(name: &FileName, content: &NamedContent) -> FoundContent {
    let mut sources = content.sources.clone();
    sources.sort_by_key(|peer| (peer.address(), peer.index()));
    let (root, size, stored) = (content.root, content.size, content.stored);
    FoundContent { names: vec![name.clone()], root, size, sources, stored, outside: false }
}

/// The time of a machine that began then.
pub(crate) fn time_since(began: Instant) -> Time {
    Time::ZERO + began.elapsed()
}

/// Finds what is known of a name: see [`Locate::new`].
pub(crate) async fn locate(access: &Access, name: &FileName) -> Result<Known, CommandError> {
    let params = access.params();
    let machine = Locate::new(name.clone(), params.space, params.replicas);
    drive(access, name, machine, Some(name.to_string())).await
}

/// Finds what is known of a name now: see [`Locate::once`].
pub(crate) async fn look_for(access: &Access, name: &FileName) -> Result<Known, CommandError> {
    let params = access.params();
    let machine = Locate::once(name.clone(), params.space, params.replicas);
    drive(access, name, machine, None).await
}

/// Whether a name was removed from the ring, and nobody shares a file under it.
pub(crate) async fn is_removed(access: &Access, name: &FileName) -> bool {
    let known = look_for(access, name).await;
    known.is_ok_and(|known| known.record.is_some() && known.is_empty())
}

/// With `shown`, the dashboard draws the hops.
async fn drive(
    access: &Access,
    name: &FileName,
    mut machine: Locate,
    shown: Option<String>,
) -> Result<Known, CommandError> {
    let key = name.key(access.space());
    let began = Instant::now();
    let mut answers = FuturesUnordered::new();
    let mut wake = None;
    let mut event = LocateEvent::Begun;
    loop {
        let mut found = None;
        for step in machine.handle(time_since(began), event) {
            match step {
                LocateStep::Lookup => {
                    let trace = access.lookup(key, shown.clone()).await;
                    found = Some(trace.map(|trace| (trace.owner, trace.successors)));
                }
                LocateStep::Ask(node) => answers.push(ask(access, node, name)),
                LocateStep::Wait(span) => wake = Some(tokio::time::Instant::now() + span),
                LocateStep::Done(known) => return known,
            }
        }
        event = match found {
            Some(found) => LocateEvent::Found(found),
            None => tokio::select! {
                Some((node, answer)) = answers.next() => LocateEvent::Answered(node, answer),
                () = async { sleep_until(wake.unwrap_or_else(tokio::time::Instant::now)).await },
                    if wake.is_some() =>
                {
                    wake = None;
                    LocateEvent::Woke
                }
                else => return Err(CommandError::Stopping),
            },
        };
    }
}

/// What a node knows of a name; `None`: it does not say.
async fn ask(access: &Access, node: Peer, name: &FileName) -> (Peer, Option<Answer>) {
    let locate = Request::Locate { name: name.clone() };
    let providers = Request::Providers { name: name.clone() };
    let [record, providers] = access.request_both(node.address(), [locate, providers]).await;
    if record.is_err() && providers.is_err() {
        return (node, None);
    }
    let record = match record {
        Ok(Response::Locate { record: Some(record), holders }) if record.name == *name => {
            Some((record, holders))
        }
        _ => None,
    };
    let providers = match providers {
        Ok(Response::Providers { providers }) => providers,
        _ => Vec::new(),
    };
    (node, Some(Answer { record, providers }))
}
