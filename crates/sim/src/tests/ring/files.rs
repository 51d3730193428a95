//! The ring half and the file half together.

use std::time::Duration;

use super::net::{Net, number_of};
use chordal_core::chord::{Command, Reply};
use chordal_core::name::FileName;
use chordal_core::record::{ContentHash, Obstacle};

const SECOND: Duration = Duration::from_secs(1);

/// Stores `count` small files through their owners.
pub(super) fn put(net: &mut Net, count: u8) {
    for number in 0..count {
        let name = FileName::new(&format!("file-{number}")).expect("a plain name");
        let key = name.key(net.config.space());
        let ticket = net.command(0, Command::Lookup { key });
        let Reply::Found(found) = net.reply(ticket) else { panic!("no owner") };
        let owner = number_of(found.owner);
        let root = ContentHash([number; 32]);
        let commit = Command::Commit {
            name,
            root,
            size: 1,
            overwrite: false,
            elsewhere: Vec::new(),
            obstacle: Obstacle::NoRoom,
        };
        let ticket = net.command(owner, commit);
        let reply = net.reply(ticket);
        assert!(matches!(reply, Reply::Stored { .. }), "{reply:?}");
    }
}

/// The fewest copies of any of the files.
fn fewest(net: &Net, count: u8) -> usize {
    (0..count)
        .map(|number| {
            let name = FileName::new(&format!("file-{number}")).expect("a plain name");
            net.nodes().filter(|node| node.record(&name).is_some()).count()
        })
        .min()
        .unwrap_or(0)
}

#[test]
fn copies_follow_the_ring_through_deaths_joins_and_leaves() {
    for seed in 0..10 {
        let mut net = Net::grown(seed, 16, 10, 6);
        put(&mut net, 20);
        assert!(fewest(&net, 20) >= 3);
        net.crash(1 + seed as u16 % 5);
        net.settle(SECOND * 10);
        net.until(SECOND * 60, |net| fewest(net, 20) >= 3).expect("copies are made again");
        net.start(6, &[]);
        net.join(6, 0);
        net.settle(SECOND * 10);
        net.run(SECOND * 20);
        assert!(fewest(&net, 20) >= 3);
        let ticket = net.command(0, Command::Leave);
        let reply = net.reply(ticket);
        assert!(matches!(&reply, Reply::Left { kept, .. } if kept.is_empty()), "{reply:?}");
        net.settle(SECOND * 10);
        net.until(SECOND * 60, |net| fewest(net, 20) >= 3).expect("handed over");
        assert!(net.node(0).files_held().is_empty());
    }
}

#[test]
fn once_a_death_is_noticed_full_copies_take_two_rounds_of_maintenance_at_most() {
    for seed in 0..8 {
        let mut net = Net::grown(seed, 16, 10, 8);
        put(&mut net, 40);
        net.run(SECOND * 10);
        let dead = 1 + seed as u16 % 6;
        let gone = net.node(dead).peer();
        net.crash(dead);
        let noticed = |net: &Net| net.nodes().all(|node| !node.successors().contains(&gone));
        net.until(SECOND * 30, noticed).expect("the death is noticed");
        let round = net.config.stabilize * 5;
        let took = net.until(round * 2, |net| fewest(net, 40) >= 3);
        assert!(took.is_some(), "seed {seed}: {} copies", fewest(&net, 40));
    }
}
