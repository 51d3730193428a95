//! Leaving in order: nobody waits for whoever left, and the leaver is a ring of
//! its own.

use std::time::Duration;

use super::files::put;
use super::net::{Net, peer};
use chordal_core::chord::{
    Command, Effect, Effects, Failure, Input, Kept, Membership, Node, Notice, Reply, Timer,
};
use chordal_core::name::FileName;
use chordal_core::record::{Content, ContentHash, Obstacle, Record, Version};
use chordal_core::time::Time;

const SECOND: Duration = Duration::from_secs(1);

fn leave(net: &mut Net, number: u16) {
    let ticket = net.command(number, Command::Leave);
    assert!(matches!(net.reply(ticket), Reply::Left { .. }));
}

fn join(net: &mut Net, number: u16, contact: u16) {
    let ticket = net.join(number, contact);
    let reply = net.reply(ticket);
    assert!(matches!(reply, Reply::Joined { .. }), "{number} joins {contact}: {reply:?}");
}

/// How many others a node has on its ring.
fn others(net: &Net, number: u16) -> usize {
    net.node(number).successors().len()
}

#[test]
fn everybody_hears_once_that_a_node_left_and_nobody_calls_it_dead() {
    for seed in 0..20 {
        for count in [2u16, 3, 8] {
            let mut net = Net::grown(seed, 4, 16, count);
            let before = net.notices.len();
            leave(&mut net, 1);
            net.settle(SECOND * 20);
            net.run(SECOND * 20);
            let told = &net.notices[before..];
            for number in (0..count).filter(|number| *number != 1) {
                let told = told.iter().filter(|(who, _)| *who == net.node(number).peer());
                let told: Vec<&Notice> = told.map(|(_, notice)| notice).collect();
                let departed = |notice: &&&Notice| matches!(notice, Notice::Departed(gone) if *gone == peer(1));
                assert_eq!(told.iter().filter(departed).count(), 1, "{count} nodes: {told:?}");
                assert!(
                    !told.iter().any(|notice| matches!(notice, Notice::Dropped(_))),
                    "{told:?}"
                );
                assert!(!net.node(number).remembered().contains(&peer(1)), "nobody waits for it");
            }
        }
    }
}

#[test]
fn a_node_that_left_is_a_ring_of_its_own_and_stays_out() {
    let mut net = Net::grown(3, 16, 16, 4);
    leave(&mut net, 3);
    net.settle(SECOND * 20);
    // It may put, and finds what it has put.
    let name = FileName::new("a").expect("a name");
    let root = ContentHash([7; 32]);
    let commit = Command::Commit {
        name: name.clone(),
        root,
        size: 1,
        overwrite: false,
        elsewhere: Vec::new(),
        obstacle: Obstacle::NoRoom,
    };
    let ticket = net.command(3, commit);
    let reply = net.reply(ticket);
    assert!(matches!(&reply, Reply::Stored { wanted: 1, .. }), "{reply:?}");
    let key = name.key(net.config.space());
    let ticket = net.command(3, Command::Lookup { key });
    assert!(matches!(net.reply(ticket), Reply::Found(found) if found.owner == net.node(3).peer()));
    // Leaving again is refused in words that promise no end.
    let ticket = net.command(3, Command::Leave);
    assert_eq!(net.reply(ticket), Reply::Failed(Failure::NoRing));
    net.run(SECOND * 300);
    assert_eq!(net.node(3).membership(), Membership::Left, "the others do not draw it back");
    assert_eq!(others(&net, 0), 2);
}

#[test]
fn nodes_that_left_meet_again_apart_from_the_others() {
    for seed in 0..10 {
        let mut net = Net::grown(seed, 16, 16, 6);
        for number in [1, 2] {
            leave(&mut net, number);
            net.settle(SECOND * 20);
        }
        join(&mut net, 1, 2);
        net.start(6, &[]);
        join(&mut net, 6, 2);
        net.run(SECOND * 300);
        for number in [1, 2, 6] {
            assert_eq!((number, others(&net, number)), (number, 2), "seed {seed}");
        }
        assert_eq!(others(&net, 0), 3, "seed {seed}: those that stayed are among themselves");
        // A person may take both rings together again.
        join(&mut net, 0, 1);
        net.settle(SECOND * 120);
        assert_eq!(others(&net, 0), 6);
    }
}

#[test]
fn a_member_takes_a_node_back_that_left() {
    for seed in 0..10 {
        let mut net = Net::grown(seed, 16, 16, 3);
        leave(&mut net, 1);
        net.settle(SECOND * 20);
        join(&mut net, 0, 1);
        net.settle(SECOND * 60);
        assert_eq!(others(&net, 0), 2, "seed {seed}");
    }
}

#[test]
fn a_node_that_joins_in_the_range_of_a_leaver_takes_its_part() {
    for seed in 0..6 {
        let mut net = Net::grown(seed, 16, 16, 5);
        put(&mut net, 30);
        // Leaving takes several answers, and another node joins meanwhile.
        net.delay = 40_000..80_000;
        let leaver = 1 + seed as u16 % 4;
        let id = |number| peer(number).id(net.config.space());
        let before = net.node(leaver).predecessor().expect("a ring").id(net.config.space());
        let newcomer = (5..1_000).find(|number| id(*number).between(before, id(leaver)));
        let newcomer = newcomer.expect("some place in the range");
        net.start(newcomer, &[]);
        let began = net.now;
        let ticket = net.command(leaver, Command::Leave);
        net.join(newcomer, 0);
        let reply = net.reply(ticket);
        assert!(matches!(&reply, Reply::Left { kept, .. } if kept.is_empty()), "{reply:?}");
        let took = net.now.since(began);
        assert!(took < SECOND * 15, "seed {seed}: leaving took {took:?}");
    }
}

#[test]
fn a_leave_lasts_as_long_as_it_goes_on_and_ends_when_told_to() {
    // Of a ring of two: the other one never answers.
    let net = Net::new(0, 16, 16);
    let (me, other) = (peer(0), peer(1));
    let mut ring = vec![me, other];
    ring.sort_by_key(|peer| peer.id(net.config.space()));
    let mut node = Node::stabilized(net.config.clone(), me, &ring);
    let root = ContentHash([7; 32]);
    let name = FileName::new("a").expect("a name");
    let content = Content::File { size: 9 };
    let record = Record { name: name.clone(), version: Version { counter: 1, root }, content };
    let mut give = |input| {
        let mut out = Effects::new();
        node.handle(Time::ZERO, input, &mut out);
        out
    };
    let waits = |out: &Effects| {
        out.iter().any(|effect| {
            matches!(effect, Effect::Arm { timer: Timer::Leave, after } if after.start >= SECOND * 30)
        })
    };
    give(Input::Start { records: vec![record], remembered: Vec::new() });
    assert!(waits(&give(Input::Command { ticket: 4, command: Command::Leave })));
    assert!(waits(&give(Input::LeaveOn)), "it waits anew from here");
    let left = give(Input::LeaveOver).into_iter().find_map(|effect| match effect {
        Effect::Reply { ticket: 4, reply: Reply::Left { handed: 0, kept, .. } } => Some(kept),
        _ => None,
    });
    assert_eq!(left, Some(vec![Kept { name, size: 9, elsewhere: false }]));
    assert!(!waits(&give(Input::LeaveOn)), "it is over");
}
