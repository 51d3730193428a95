//! Files on simulated rings: stored under the names `file-0` and so on, found on disks, and
//! read.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{HostId, OpId, Outcome, World};

use super::lookups::some_member;

use chordal_core::chord::Membership;
use chordal_core::chord::invariant::{Members, NodeState};
use chordal_core::name::FileName;
use chordal_core::record::Version;

/// Bytes of a file; the results do not depend on them.
const SIZE: u64 = 10_000;

/// Operations that run at once.
const AT_ONCE: usize = 50;

/// How often to check whether operations have ended.
const LOOK: Duration = Duration::from_millis(100);

/// Time limit of an operation: six attempts, each with its own limits.
const PATIENCE: Duration = Duration::from_secs(600);

/// A number of names.
pub(super) fn names(prefix: &str, count: u64) -> Vec<FileName> {
    (0..count).filter_map(|number| FileName::new(&format!("{prefix}-{number}")).ok()).collect()
}

/// Stores every name from a random one of these hosts (of all if there are none). Returns
/// the acknowledged versions.
pub(super) fn put(
    world: &mut World,
    names: &[FileName],
    from: &[HostId],
) -> BTreeMap<FileName, Version> {
    let ended = each(world, names, from, |world, host, name| world.put(host, name, SIZE));
    let stored = ended.into_iter().filter_map(|(name, outcome)| match outcome {
        Outcome::Stored { version, .. } => Some((name, version)),
        _ => None,
    });
    stored.collect()
}

/// Reads every name from a random one of these hosts (of all if there are none). Returns
/// the versions that were read, without names that could not be read.
pub(super) fn get(
    world: &mut World,
    names: &[FileName],
    from: &[HostId],
) -> BTreeMap<FileName, Version> {
    let ended = each(world, names, from, |world, host, name| world.get(host, name));
    let got = ended.into_iter().filter_map(|(name, outcome)| match outcome {
        Outcome::Got { version, .. } => Some((name, version)),
        _ => None,
    });
    got.collect()
}

/// Runs an operation for each name, a few at a time, until all have ended.
fn each(
    world: &mut World,
    names: &[FileName],
    from: &[HostId],
    begin: impl Fn(&mut World, HostId, &FileName) -> OpId,
) -> Vec<(FileName, Outcome)> {
    let mut ends = Vec::new();
    for batch in names.chunks(AT_ONCE) {
        let mut open = BTreeMap::new();
        for name in batch {
            let host = match from {
                [] => some_member(world),
                from => world.chance().index(from.len()).map(|at| from[at]),
            };
            if let Some(host) = host {
                open.insert(begin(world, host, name), name.clone());
            }
        }
        let limit = world.now() + PATIENCE;
        while !open.is_empty() && world.now() < limit {
            world.run(LOOK);
            for (id, ended) in world.ended() {
                if let Some(name) = open.remove(&id) {
                    ends.push((name, ended.outcome));
                }
            }
        }
    }
    ends
}

/// The living hosts whose disks hold this version of a name or a newer one.
pub(super) fn holders(world: &World, name: &FileName, version: Version) -> Vec<HostId> {
    let holds = |host: &HostId| {
        let disk = world.host(*host).and_then(|host| host.disk());
        let record = disk.and_then(|disk| disk.record(name));
        record.is_some_and(|record| record.version >= version && !record.is_deleted())
    };
    world.hosts().filter(holds).collect()
}

/// Whether these hosts are one ideal ring: every node is a member, and every list and
/// predecessor is right.
pub(super) fn is_whole(world: &World, hosts: impl IntoIterator<Item = HostId>) -> bool {
    let nodes = hosts.into_iter().filter_map(|host| world.host(host)).flat_map(|host| host.nodes());
    let mut states: Vec<NodeState> = Vec::new();
    for node in nodes {
        if node.membership() != Membership::Member {
            return false;
        }
        states.push(node.ring_state());
    }
    Members::new(world.space(), &states).ideal(world.setup().successors)
}
