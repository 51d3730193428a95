//! Deaths, returns, bad networks, leaving.

use crate::chance::Chance;
use std::time::Duration;

use super::net::{Net, number_of, peer};
use chordal_core::chord::{Command, Membership, Node, Reply};
use chordal_core::peer::Peer;

const SECOND: Duration = Duration::from_secs(1);

/// The numbers of the nodes in ring order, starting anywhere.
fn order(net: &Net) -> Vec<u16> {
    let mut members: Vec<_> = net.nodes().map(|node| node.peer()).collect();
    members.sort_by_key(|peer| peer.id(net.config.space()));
    members.into_iter().map(number_of).collect()
}

/// The first hosts, of which none is started, in ring order.
fn clockwise(net: &Net, count: u16) -> Vec<Peer> {
    let mut ring: Vec<Peer> = (0..count).map(peer).collect();
    ring.sort_by_key(|peer| peer.id(net.config.space()));
    ring
}

#[test]
fn a_death_among_eight_is_repaired_within_a_second() {
    for seed in 0..40 {
        let mut net = Net::grown(seed, 16, 10, 8);
        net.crash((seed % 8) as u16);
        let took = net.settle(SECOND * 5);
        assert!(took <= SECOND, "seed {seed}: {took:?}");
    }
}

#[test]
fn a_silent_death_is_noticed_too() {
    for seed in 0..20 {
        let mut net = Net::grown(seed, 16, 10, 8);
        net.refuse = false;
        net.crash((seed % 8) as u16);
        let took = net.settle(SECOND * 15);
        assert!(took <= SECOND * 4, "seed {seed}: {took:?}");
    }
}

#[test]
fn two_neighbours_die_together() {
    for seed in 0..30 {
        for (r, count) in [(16, 3), (16, 8), (3, 8), (3, 12)] {
            let mut net = Net::grown(seed, r, 10, count);
            let order = order(&net);
            let at = seed as usize % usize::from(count);
            net.refuse = seed % 2 == 0;
            net.crash(order[at]);
            net.crash(order[(at + 1) % order.len()]);
            net.settle(SECOND * 20);
        }
    }
}

#[test]
fn the_last_node_stands_and_welcomes_whoever_returns() {
    for seed in 0..30 {
        let mut net = Net::grown(seed, 16, 10, 4);
        net.refuse = seed % 2 == 0;
        for number in 1..4 {
            net.crash(number);
        }
        net.settle(SECOND * 20);
        assert!(net.node(0).successors().is_empty());
        net.start(2, &[3, 1, 0]);
        net.settle(SECOND * 20);
        assert_eq!(net.node(0).successors(), [peer(2)]);
    }
}

#[test]
fn a_node_killed_and_started_again_at_once_is_itself() {
    for seed in 0..40 {
        for count in [2, 3, 8] {
            let mut net = Net::grown(seed, 16, 10, count);
            let number = seed as u16 % count;
            let other = (number + 1) % count;
            net.crash(number);
            net.run(Duration::from_micros(seed * 300));
            if seed % 2 == 0 {
                net.start(number, &[other]);
            } else {
                net.start(number, &[]);
                net.join(number, other);
            }
            net.settle(SECOND * 20);
            assert_eq!(net.node(number).peer(), peer(number), "seed {seed}: same place");
        }
    }
}

#[test]
fn a_node_that_returns_as_a_stranger_is_let_go_and_found_again() {
    // It restarts without any memory and does not join: the others probe it.
    for seed in 0..20 {
        let mut net = Net::grown(seed, 16, 10, 5);
        net.crash(2);
        net.start(2, &[]);
        net.settle(SECOND * 120);
        assert_eq!(net.node(0).successors().len(), 4);
    }
}

#[test]
fn the_whole_ring_restarts() {
    for seed in 0..20 {
        for count in [2, 3, 8] {
            let mut net = Net::grown(seed, 16, 10, count);
            for number in 0..count {
                net.crash(number);
            }
            for number in 0..count {
                let others: Vec<u16> = (0..count).filter(|n| *n != number).collect();
                net.start(number, &others);
            }
            let took = net.settle(SECOND * 60);
            assert!(took <= SECOND * 30, "seed {seed}, {count} nodes: {took:?}");
        }
    }
}

#[test]
fn loss_disorder_and_duplicates_delay_but_break_nothing() {
    for seed in 0..15 {
        let mut net = Net::new(seed, 16, 10);
        net.loss = 100;
        net.twice = 100;
        net.delay = 200..60_000;
        net.start(0, &[]);
        for number in 1..10 {
            net.start(number, &[]);
            net.join(number, 0);
            net.run(SECOND * 2);
        }
        net.crash(4);
        net.run(SECOND * 10);
        net.loss = 0;
        // Whose join was lost altogether comes in by its memory of the contact.
        net.settle(SECOND * 120);
    }
}

#[test]
fn a_leaver_is_missed_by_nobody() {
    for seed in 0..30 {
        for count in [1, 2, 3, 8] {
            let mut net = Net::grown(seed, 16, 10, count);
            let ticket = net.command(seed as u16 % count, Command::Leave);
            let reply = net.reply(ticket);
            assert!(
                matches!(&reply, Reply::Left { handed: 0, kept, .. } if kept.is_empty()),
                "{reply:?}"
            );
            let took = net.settle(SECOND * 20);
            assert!(took <= SECOND, "seed {seed}: {took:?}");
        }
    }
}

#[test]
fn a_node_that_left_may_come_back() {
    let mut net = Net::grown(1, 16, 10, 4);
    let ticket = net.command(2, Command::Leave);
    net.reply(ticket);
    assert_eq!(net.node(2).membership(), Membership::Left);
    net.settle(SECOND * 5);
    let ticket = net.join(2, 0);
    assert!(matches!(net.reply(ticket), Reply::Joined { .. }));
    net.settle(SECOND * 5);
    assert_eq!(net.node(0).successors().len(), 3);
}

#[test]
fn a_ring_shrinks_to_one_in_order_and_by_deaths() {
    for seed in 0..10 {
        let mut net = Net::grown(seed, 4, 10, 12);
        for number in 1..12 {
            if number % 2 == 0 {
                net.crash(number);
            } else {
                net.command(number, Command::Leave);
            }
            net.settle(SECOND * 20);
        }
        assert!(net.node(0).successors().is_empty());
    }
}

#[test]
fn coming_and_going_under_load_settles() {
    for seed in 0..10 {
        let mut net = Net::grown(seed, 6, 12, 20);
        net.refuse = seed % 2 == 0;
        net.loss = 20;
        let mut rng = Chance::new(seed);
        let mut down: Vec<u16> = Vec::new();
        for _ in 0..30 {
            if down.len() > 6 || (!down.is_empty() && rng.happens(0.5)) {
                let number = down.swap_remove(rng.index(down.len()).expect("some"));
                net.start(number, &[0, 1, 5, 9, 13]);
            } else {
                let number = rng.within(1..=19) as u16;
                if !down.contains(&number) {
                    net.crash(number);
                    down.push(number);
                }
            }
            net.run(Duration::from_millis(rng.within(100..=3000)));
        }
        net.loss = 0;
        net.settle(SECOND * 180);
    }
}

#[test]
fn word_of_a_death_that_comes_late_kills_nobody() {
    for seed in 0..10 {
        let mut net = Net::grown(seed, 16, 10, 5);
        net.run(SECOND * 5);
        for number in 0..5 {
            for other in 0..5 {
                net.rumour(number, other);
            }
        }
        net.run(SECOND);
        assert!(net.is_ideal(), "seed {seed}:\n{}", net.show());
    }
}

/// Found by the model checker (tests/model): of three, one dies while another
/// joins. The two that are left name the dead one to each other: the one has it
/// behind the other in its list, and the other, which has nobody else, asks the
/// one for a way and hears of the dead again.
#[test]
fn two_survivors_do_not_hand_each_other_a_dead_node() {
    for seed in 0..20 {
        let mut net = Net::new(seed, 2, 10);
        net.refuse = seed % 2 == 0;
        // Clockwise: b, a, and c, which is dead.
        let ring = clockwise(&net, 3);
        let [b, a, c] = ring[..] else { panic!("three") };
        for (me, before, list) in [(b, None, vec![a, c]), (a, Some(b), vec![c])] {
            let node = Node::stabilized(net.config.clone(), me, &ring);
            net.insert(node.with_neighbours(before, list));
            net.wake(number_of(me));
        }
        net.settle(SECOND * 20);
        assert_eq!(net.node(number_of(a)).successors(), [b], "seed {seed}");
        assert!(net.sent < 400, "seed {seed}: {} messages", net.sent);
    }
}

/// Found by the model checker: as long as the predecessor has not found out
/// itself, each question for a way brings the same list again, of a stranger and
/// a dead node. That must not go round as fast as messages travel.
#[test]
fn a_node_without_a_successor_does_not_ask_for_a_way_without_a_pause() {
    for seed in 0..20 {
        let mut net = Net::new(seed, 2, 10);
        // Clockwise: b, a, c and d. d is dead; c has lost everybody; b goes on naming the
        // two, since it does not stabilize.
        let ring = clockwise(&net, 4);
        let [b, a, c, d] = ring[..] else { panic!("four") };
        for (me, before, list) in
            [(b, Some(d), vec![c, d]), (a, Some(b), vec![d]), (c, None, vec![])]
        {
            let node = Node::stabilized(net.config.clone(), me, &ring);
            net.insert(node.with_neighbours(before, list));
        }
        net.wake(number_of(a));
        net.run(SECOND * 10);
        // Twenty times a second, some twenty messages each.
        assert!(net.sent < 10 * 20 * 30, "seed {seed}: {} messages", net.sent);
    }
}

/// From how many hosts each of those that are left thinks that it is cut off.
fn cut_off(net: &Net, left: &[u16]) -> Vec<Option<usize>> {
    left.iter().map(|number| net.host(*number).cut_off(net.now)).collect()
}

#[test]
fn who_misses_most_of_those_that_it_knew_is_cut_off_from_them_for_ten_minutes() {
    // Lists that reach round the ring, and lists that do not.
    for (r, count) in [(16, 8), (4, 12)] {
        let mut net = Net::grown(3, r, 16, count);
        net.run(SECOND * 30);
        assert_eq!(cut_off(&net, &[0, 1]), [None, None]);
        let left = [0, 1, 2];
        // One that dies is missed, but they are most that are left.
        net.crash(count - 1);
        net.run(SECOND * 30);
        assert_eq!(cut_off(&net, &left), [None; 3]);
        assert_eq!(net.host(0).missed(net.now), 1);
        for number in 3..count - 1 {
            net.crash(number);
            net.run(SECOND * 10);
        }
        net.run(SECOND * 60);
        assert_eq!(cut_off(&net, &left), [Some(usize::from(count) - 3); 3], "r {r}");
        // Some come back.
        for number in 3..count - 2 {
            net.restart(number, &left);
        }
        net.run(SECOND * 60);
        assert_eq!(cut_off(&net, &left), [None; 3], "r {r}");
        assert_eq!(net.host(0).missed(net.now), 2);
        net.run(SECOND * 600);
        assert_eq!(net.host(0).missed(net.now), 0, "that was long ago");
    }
}

#[test]
fn a_neighbour_that_leaves_in_order_is_not_missed() {
    let mut net = Net::grown(5, 16, 10, 3);
    net.run(SECOND * 10);
    for number in [2, 1] {
        let ticket = net.command(number, Command::Leave);
        assert!(matches!(net.reply(ticket), Reply::Left { .. }));
        net.run(SECOND * 5);
    }
    assert!(net.node(0).successors().is_empty());
    assert_eq!((net.host(0).missed(net.now), net.host(0).cut_off(net.now)), (0, None));
}
