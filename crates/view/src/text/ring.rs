//! Identity, neighbours, members, lookups.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use crate::{Finger, Health, Hop, State};
use chordal_core::id::Space;
use chordal_core::peer::Peer;
use chordal_core::wire::handshake::Params;
use chordal_core::wire::query::NodeInfo;

use crate::format::{clean, count, duration, peers, show, table};

pub(super) fn info_lines(info: &NodeInfo) -> Vec<String> {
    let Params { ring, space, replicas } = &info.params;
    let space = *space;
    let predecessor = info.predecessor.as_ref().map_or("none".to_owned(), |peer| show(space, peer));
    let mut lines = vec![
        format!("node         {}", show(space, &info.peer)),
        format!("ring         {}, {space} places, {}", clean(ring), copies(*replicas)),
        format!("predecessor  {predecessor}"),
    ];
    let mut title = "places";
    for peer in info.places().filter(|_| info.positions.len() > 1) {
        lines.push(format!("{title:<11}  {}", show(space, &peer)));
        title = "";
    }
    let mut title = "successors";
    for peer in &info.successors {
        lines.push(format!("{title:<11}  {}", show(space, peer)));
        title = "";
    }
    if info.successors.is_empty() {
        lines.push("successors   none: alone on the ring".to_owned());
    }
    lines.push(format!("version      {}", clean(&info.version)));
    if let Some(why) = &info.sick_disk {
        lines.push(format!("disk         fails, so other nodes hold its files: {}", clean(why)));
    }
    let mut title = "no bytes to";
    for address in &info.deaf {
        lines.push(format!("{title:<11}  {address}: it answers messages alone"));
        title = "";
    }
    lines
}

fn copies(replicas: u8) -> String {
    count(usize::from(replicas), "copy of each file", "copies of each file")
}

pub(super) fn finger_lines(fingers: &[Finger], space: Space) -> Vec<String> {
    let cells = fingers.iter().map(|finger| {
        let (id, address) = match &finger.node {
            Some(peer) => (space.show(peer.id(space)), peer.to_string()),
            None => ("?".to_owned(), "not known yet".to_owned()),
        };
        vec![finger.index.to_string(), space.show(finger.start), id, address]
    });
    table(&["FINGER", "START", "NODE", "ADDRESS"], &[0, 1, 2], cells.collect())
}

pub(super) fn ring_lines(
    members: &[Peer],
    silent: &[Peer],
    troubled: &[(Peer, String)],
    health: Health,
    state: State,
    space: Space,
) -> Vec<String> {
    let rows = members.iter().map(|peer| vec![space.show(peer.id(space)), peer.to_string()]);
    let mut lines = table(&["ID", "ADDRESS"], &[0], rows.collect());
    let yes = |holds: bool| if holds { "yes" } else { "NO" };
    let margin = match health.margin {
        Some(margin) => format!(", at least {margin} live in every list"),
        None => String::new(),
    };
    let hosts: BTreeSet<SocketAddr> = members.iter().map(Peer::address).collect();
    let who = if hosts.len() == members.len() {
        count(members.len(), "member", "members")
    } else {
        let places = count(members.len(), "place", "places");
        format!("{places} of {}", count(hosts.len(), "host", "hosts"))
    };
    lines.push(format!(
        "{who}, {state}; one ring: {}, ordered: {}, lists valid: {}, all in place: {}{margin}",
        yes(health.one_ring),
        yes(health.ordered),
        yes(health.lists_valid),
        yes(health.in_place),
    ));
    for (peer, why) in troubled {
        lines.push(format!("{}: {}", show(space, peer), clean(why)));
    }
    if !silent.is_empty() {
        lines.push(format!("{} more did not answer: {}", silent.len(), peers(space, silent)));
    }
    lines
}

pub(super) fn hop_lines(hops: &[Hop], space: Space) -> Vec<String> {
    if hops.is_empty() {
        return Vec::new();
    }
    let rows = hops.iter().enumerate().map(|(at, hop)| {
        let time = match hop.micros {
            Some(micros) => duration(Duration::from_micros(micros)),
            None => "no answer".to_owned(),
        };
        let id = space.show(hop.peer.id(space));
        vec![(at + 1).to_string(), id, hop.peer.to_string(), time]
    });
    table(&["HOP", "ID", "ADDRESS", "TIME"], &[0, 1], rows.collect())
}
