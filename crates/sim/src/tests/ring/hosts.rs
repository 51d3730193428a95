//! Hosts with several positions: copies on different hosts, whatever becomes of
//! a host, which takes all its positions with it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::net::{Net, address, number_of};
use chordal_core::chord::placement::placement;
use chordal_core::chord::{Command, Host, Membership, Node, Reply};
use chordal_core::id::Space;
use chordal_core::name::FileName;
use chordal_core::peer::Peer;
use chordal_core::record::{Content, ContentHash, Obstacle, Record, Version};

const SECOND: Duration = Duration::from_secs(1);

/// Places enough that no two positions meet.
const BITS: u8 = 32;

/// A settled ring of so many hosts with so many positions each.
fn hosts(seed: u64, count: u16, positions: u16) -> Net {
    let mut net = Net::of_hosts(seed, 16, BITS, count, positions);
    all_follow(&mut net, usize::from(count * positions));
    net
}

/// Waits until so many positions form the ideal ring.
fn all_follow(net: &mut Net, positions: usize) {
    let there = |net: &Net| {
        net.nodes().filter(|node| node.membership() == Membership::Member).count() == positions
    };
    let limit = SECOND * 60;
    assert!(net.until(limit, there).is_some(), "not {positions} positions:\n{}", net.show());
    net.settle(limit);
}

fn file(number: u16) -> FileName {
    FileName::new(&format!("file-{number}")).expect("a plain name")
}

/// Stores a small file through its owner, as anybody who asks `by` does.
fn put(net: &mut Net, by: u16, number: u16, byte: u8, overwrite: bool) -> Record {
    let name = file(number);
    let ticket = net.command(by, Command::Lookup { key: name.key(net.config.space()) });
    let reply = net.reply(ticket);
    let Reply::Found(found) = reply else { panic!("no owner: {reply:?}") };
    let root = ContentHash([byte; 32]);
    let commit = Command::Commit {
        name: name.clone(),
        root,
        size: 1,
        overwrite,
        elsewhere: Vec::new(),
        obstacle: Obstacle::NoRoom,
    };
    let ticket = net.command(number_of(found.owner), commit);
    match net.reply(ticket) {
        Reply::Stored { version, holders, wanted, .. } => {
            assert_eq!(holders.len(), usize::from(wanted), "{holders:?}");
            assert_eq!(addresses(&holders).len(), holders.len(), "{holders:?}");
            assert_eq!(holders.len(), net.hosts().count().min(3));
            Record { name, version, content: Content::File { size: 1 } }
        }
        reply => panic!("not stored: {reply:?}"),
    }
}

fn addresses(peers: &[Peer]) -> BTreeSet<SocketAddr> {
    peers.iter().map(Peer::address).collect()
}

/// Whether each of these is exactly where it belongs: at one position of each of
/// the hosts that are to hold it.
fn in_place(net: &Net, records: &[Record]) -> bool {
    let space = net.config.space();
    let member = |node: &&Node| node.membership() == Membership::Member;
    let mut ring: Vec<Peer> = net.nodes().filter(member).map(Node::peer).collect();
    ring.sort_by_key(|peer| peer.id(space));
    records.iter().all(|record| {
        let holds = |node: &&Node| node.record(&record.name) == Some(record);
        let held: BTreeSet<Peer> = net.nodes().filter(holds).map(Node::peer).collect();
        let placed = placement(space, record.name.key(space), &ring, 3);
        held == placed.iter().copied().collect() && net.disks_with(record) == placed.len()
    })
}

fn await_place(net: &mut Net, records: &[Record]) {
    let took = net.until(SECOND * 180, |net| in_place(net, records));
    assert!(took.is_some(), "not in place:\n{}\n{}", net.show(), misplaced(net, records));
    assert!(net.disks_agree());
}

fn misplaced(net: &Net, records: &[Record]) -> String {
    let at = |record: &Record| -> Vec<Peer> {
        net.nodes().filter(|n| n.record(&record.name).is_some()).map(Node::peer).collect()
    };
    let line = |record: &Record| {
        format!("{} at {:?}, on {} disks", record.name, at(record), net.disks_with(record))
    };
    let wrong = records.iter().filter(|record| !in_place(net, std::slice::from_ref(record)));
    wrong.map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_positions_of_a_host_follow_its_first_one_when_it_meets_another_host() {
    let mut net = Net::new(1, 16, BITS);
    net.positions = 5;
    net.start(0, &[]);
    net.run(SECOND * 5);
    assert_eq!(net.host(0).positions().len(), 1, "nobody to share the load with");
    net.start(1, &[]);
    let ticket = net.join(1, 0);
    assert!(matches!(net.reply(ticket), Reply::Joined { .. }));
    all_follow(&mut net, 10);
    let indices = |n| net.host(n).positions().iter().map(Peer::index).collect::<Vec<_>>();
    assert_eq!((indices(0), indices(1)), ((0..5).collect(), (0..5).collect()));
    assert!(net.hosts().all(|host| host.members().0.len() == 10));
}

#[test]
fn a_position_whose_place_is_taken_goes_by_an_index_that_no_other_of_its_host_uses() {
    for seed in 0..6 {
        // 20 positions on 64 places: many meet.
        let mut net = Net::new(seed, 16, 6);
        net.positions = 5;
        net.start(0, &[]);
        for number in 1..4 {
            net.start(number, &[]);
            let ticket = net.join(number, 0);
            assert!(matches!(net.reply(ticket), Reply::Joined { .. }));
        }
        let all = |net: &Net| {
            net.nodes().filter(|node| node.membership() == Membership::Member).count() == 20
                && net.is_ideal()
        };
        assert!(net.until(SECOND * 120, all).is_some(), "seed {seed}:\n{}", net.show());
        let mut renamed = 0;
        for host in net.hosts() {
            for (slot, peer) in host.positions().into_iter().enumerate() {
                assert_eq!(usize::from(peer.index()) % 5, slot, "{peer}");
                assert_eq!(host.slot_of(peer.index()), Some(slot as u16));
                renamed += u16::from(peer.index() >= 5);
            }
        }
        assert!(renamed > 0, "none met");
    }
}

#[test]
fn every_file_has_its_copies_on_three_hosts_through_crashes_restarts_joins_and_leaves() {
    for (seed, positions) in [(0, 3), (1, 5), (2, 3), (3, 5)] {
        let mut net = hosts(seed, 5, positions);
        let mut records: Vec<Record> =
            (0..30).map(|n| put(&mut net, n % 5, n, n as u8, false)).collect();
        await_place(&mut net, &records);
        // A host dies with all its positions.
        let dead = 1 + (seed % 4) as u16;
        net.crash(dead);
        net.settle(SECOND * 20);
        await_place(&mut net, &records);
        // Meanwhile names get other content.
        let old = records[0].clone();
        for record in &mut records[..4] {
            let number = record.name.as_str()[5..].parse().expect("a number");
            *record = put(&mut net, 0, number, 200, true);
        }
        assert!(records[0].version > old.version);
        // It comes back with its disk, and with what it remembers.
        let bytes_before = net.notices.len();
        net.restart(dead, &[0]);
        all_follow(&mut net, usize::from(5 * positions));
        await_place(&mut net, &records);
        assert!(net.notices.len() > bytes_before);
        // A new host, and one that leaves in order.
        net.start(5, &[]);
        let ticket = net.join(5, 0);
        assert!(matches!(net.reply(ticket), Reply::Joined { .. }));
        all_follow(&mut net, usize::from(6 * positions));
        await_place(&mut net, &records);
        let ticket = net.command(0, Command::Leave);
        let reply = net.reply(ticket);
        assert!(matches!(&reply, Reply::Left { kept, .. } if kept.is_empty()), "{reply:?}");
        assert!(net.host(0).nodes().iter().all(|node| node.membership() == Membership::Left));
        assert_eq!(net.host(0).record(&records[0].name), None);
        net.crash(0);
        net.settle(SECOND * 20);
        await_place(&mut net, &records);
    }
}

#[test]
fn two_hosts_that_die_at_once_take_no_file_with_them() {
    for seed in 0..6 {
        let mut net = hosts(seed, 6, 4);
        let records: Vec<Record> =
            (0..40).map(|n| put(&mut net, n % 6, n, n as u8, false)).collect();
        let (one, other) = (1 + seed as u16 % 5, seed as u16 % 5);
        assert_ne!(one, other);
        net.crash(one);
        net.crash(other);
        for record in &records {
            assert!(net.disks_with(record) >= 1, "{} is lost", record.name);
        }
        net.settle(SECOND * 30);
        await_place(&mut net, &records);
    }
}

#[test]
fn hosts_with_one_position_and_with_many_share_a_ring() {
    for seed in 0..4 {
        let mut net = Net::new(seed, 4, BITS);
        net.start(0, &[]);
        let mut all = 1;
        // One host has many more than the list has entries.
        for (number, positions) in [(1, 20), (2, 1), (3, 4), (4, 1)] {
            net.positions = positions;
            net.start(number, &[]);
            let ticket = net.join(number, 0);
            assert!(matches!(net.reply(ticket), Reply::Joined { .. }));
            all += usize::from(positions);
            all_follow(&mut net, all);
        }
        let records: Vec<Record> =
            (0..30).map(|n| put(&mut net, n % 5, n, n as u8, false)).collect();
        await_place(&mut net, &records);
        net.crash(1);
        for record in &records {
            assert!(net.disks_with(record) >= 2, "{}", record.name);
        }
        net.settle(SECOND * 30);
        await_place(&mut net, &records);
        net.crash(3);
        net.settle(SECOND * 30);
        await_place(&mut net, &records);
    }
}

#[test]
fn two_hosts_hold_two_copies_and_the_last_one_goes_on_alone() {
    let mut net = hosts(7, 2, 4);
    let records: Vec<Record> = (0..12).map(|n| put(&mut net, n % 2, n, n as u8, false)).collect();
    await_place(&mut net, &records);
    net.crash(1);
    net.settle(SECOND * 30);
    await_place(&mut net, &records);
    for record in &records {
        assert_eq!(addresses(&net.host(0).holders(&record.name)), BTreeSet::from([address(0)]));
    }
    // What it stores now has one copy, and two when the other is back.
    let more = put(&mut net, 0, 50, 50, false);
    net.restart(1, &[0]);
    all_follow(&mut net, 8);
    let all: Vec<Record> = records.into_iter().chain([more]).collect();
    await_place(&mut net, &all);
}

#[test]
fn a_whole_ring_of_hosts_that_restarts_has_every_file_again() {
    let mut net = hosts(11, 4, 5);
    let records: Vec<Record> = (0..30).map(|n| put(&mut net, n % 4, n, n as u8, false)).collect();
    await_place(&mut net, &records);
    for number in 0..4 {
        net.crash(number);
    }
    net.run(SECOND * 5);
    for number in 0..4 {
        net.restart(number, &[0, 1, 2, 3]);
        net.run(SECOND / 4);
    }
    all_follow(&mut net, 20);
    await_place(&mut net, &records);
}

#[test]
fn a_name_removed_is_removed_at_every_position() {
    let mut net = hosts(5, 4, 4);
    let record = put(&mut net, 0, 1, 1, false);
    await_place(&mut net, std::slice::from_ref(&record));
    let key = record.name.key(net.config.space());
    let ticket = net.command(2, Command::Lookup { key });
    let Reply::Found(found) = net.reply(ticket) else { panic!("no owner") };
    let remove = Command::Remove { name: record.name.clone() };
    let ticket = net.command(number_of(found.owner), remove);
    let reply = net.reply(ticket);
    let Reply::Stored { version, wanted: 3, .. } = reply else { panic!("{reply:?}") };
    assert!(version > record.version);
    net.run(SECOND * 30);
    assert!(net.hosts().all(|host| host.files_held().is_empty()));
    let known = net.hosts().filter_map(|host| host.record(&record.name));
    let known: Vec<Version> = known.map(|there| there.version).collect();
    assert_eq!(known, [version; 3]);
}

#[test]
fn all_positions_come_to_the_ring_although_messages_are_lost() {
    for seed in 0..4 {
        let mut net = Net::new(seed, 16, BITS);
        (net.positions, net.loss, net.twice) = (4, 100, 100);
        net.start(0, &[]);
        for number in 1..4 {
            net.start(number, &[]);
            // Half of all first words are lost at this rate, as a person sees it.
            let joined = |reply| matches!(reply, Reply::Joined { .. });
            while {
                let ticket = net.join(number, 0);
                !joined(net.reply(ticket))
            } {}
        }
        net.run(SECOND * 60);
        (net.loss, net.twice) = (0, 0);
        all_follow(&mut net, 16);
        let records: Vec<Record> =
            (0..10).map(|n| put(&mut net, n % 4, n, n as u8, false)).collect();
        await_place(&mut net, &records);
    }
}

#[test]
fn a_host_takes_the_parameters_of_a_ring_over_at_all_its_positions() {
    let mut net = hosts(9, 2, 4);
    let params = net.config.params.clone();
    // It comes from a ring of another size, on which it was alone.
    net.config.params.space = Space::new(16).expect("in range");
    net.start(2, &[]);
    net.run(SECOND);
    net.config.params = params.clone();
    let ticket = net.command(2, Command::Adopt { params: params.clone() });
    assert_eq!(net.reply(ticket), Reply::Adopted);
    let ticket = net.join(2, 0);
    assert!(matches!(net.reply(ticket), Reply::Joined { .. }));
    all_follow(&mut net, 12);
    assert!(net.host(2).nodes().iter().all(|node| *node.params() == params));
}

#[test]
fn a_ring_of_hosts_that_was_built_settled_stays_as_it_is() {
    let mut net = Net::new(4, 16, BITS);
    let mut ring: Vec<Peer> =
        (0..6u16).flat_map(|n| (0..3).map(move |i| Peer::new(address(n), i))).collect();
    ring.sort_by_key(|peer| peer.id(net.config.space()));
    for number in 0..6 {
        let node = |index| {
            let me = Peer::new(address(number), index);
            Node::stabilized(net.config.clone(), me, &ring)
        };
        let host = Host::of((0..3).map(node).collect());
        net.insert_host(host);
        net.wake(number);
    }
    assert!(net.is_ideal());
    net.run(SECOND * 30);
    assert!(net.is_ideal(), "{}", net.show());
    assert!(net.hosts().all(|host| host.positions().len() == 3 && host.members().0.len() >= 16));
}

#[test]
fn a_host_that_left_comes_to_another_ring_with_all_its_positions() {
    let mut net = hosts(3, 3, 3);
    let ticket = net.command(2, Command::Leave);
    assert!(matches!(net.reply(ticket), Reply::Left { .. }));
    net.settle(SECOND * 20);
    let left = |net: &Net| net.host(2).nodes().iter().all(|n| n.membership() == Membership::Left);
    assert!(left(&net));
    net.run(SECOND * 5);
    assert!(left(&net), "nobody follows whoever has left");
    let ticket = net.join(2, 1);
    assert!(matches!(net.reply(ticket), Reply::Joined { .. }));
    all_follow(&mut net, 9);
}
