//! Stories of links.

use std::time::Duration;

use proptest::prelude::*;

use super::world::{World, address, peer};
use crate::mesh::links::{
    Change, DEAD, Effect, Full, Links, MAX_CHOSEN, MAX_INCOMING, OPEN_LIMIT, PERIOD, RANDOM,
    SUSPECT,
};
use crate::peer::Peer;
use crate::time::Time;
use crate::wire::mesh::LinkMessage;
use crate::wire::query::LinkKind;

const SECOND: Duration = Duration::from_secs(1);

/// Two nodes with one link, chosen by the first, after its first beats.
fn pair() -> World {
    let mut world = World::new(1, 2);
    world.draws = false;
    assert!(!world.connect(0, 1), "it is not there at once");
    world.run(SECOND);
    assert_eq!(world.kind(0, 1), Some(LinkKind::Chosen));
    assert_eq!(world.kind(1, 0), Some(LinkKind::Incoming));
    world
}

fn sent(out: &[Effect], to: Peer) -> Vec<LinkMessage> {
    let message = |effect: &Effect| match effect {
        Effect::Send { to: whom, message } if *whom == to => Some(*message),
        _ => None,
    };
    out.iter().filter_map(message).collect()
}

#[test]
fn everyone_draws_four_and_all_are_connected_even_when_a_third_dies() {
    for seed in 0..5 {
        let mut world = World::new(seed, 100);
        world.run(10 * SECOND);
        for number in world.living() {
            let random = |link: &&crate::mesh::links::Link| link.kind() == LinkKind::Random;
            assert_eq!(world.links(number).open().filter(random).count(), RANDOM);
        }
        world.agree().expect("links have two ends");
        for dead in (0..100).filter(|number| number % 3 == 1) {
            world.kill(dead);
        }
        assert_eq!(world.reached(0), 67, "seed {seed}");
        world.run(10 * SECOND);
        world.agree().expect("links have two ends");
        for number in world.living() {
            assert_eq!(world.links(number).lacking(), 0, "{number} did not replace its dead");
        }
    }
}

#[test]
fn drawing_prefers_nobody() {
    // The degrees of a random graph: 8 on average, and no node far from it.
    let mut world = World::new(7, 200);
    world.run(10 * SECOND);
    let degrees: Vec<usize> = (0..200).map(|number| world.open(number).len()).collect();
    let most = degrees.iter().max().copied().unwrap_or_default();
    assert!((7.5..8.5).contains(&(degrees.iter().sum::<usize>() as f64 / 200.0)));
    assert!(most <= 20, "one node has {most} links");
}

#[test]
fn a_killed_peer_is_noticed_at_once_and_reported() {
    let mut world = pair();
    let killed = world.now;
    world.kill(1);
    world.run(SECOND);
    let noticed = world.first(killed, 0, 1, Change::Lost).expect("noticed");
    assert!(noticed.since(killed) < Duration::from_millis(50));
    assert_eq!(world.dead, [(0, 1)]);
    assert!(world.open(0).is_empty());
}

#[test]
fn a_silent_peer_is_suspected_after_two_beats_and_dead_after_four() {
    for (silent, other) in [(0, 1), (1, 0)] {
        let mut world = pair();
        let stopped = world.now;
        world.stop(silent);
        world.run(20 * SECOND);
        let suspected = world.first(stopped, other, silent, Change::Suspected).expect("suspected");
        let dead = world.first(stopped, other, silent, Change::Silent).expect("dead");
        assert_eq!(dead.since(suspected), PERIOD * u32::from(DEAD - SUSPECT));
        let limit = PERIOD * u32::from(DEAD + 1) + SECOND;
        assert!(dead.since(stopped) <= limit, "{silent}: after {:?}", dead.since(stopped));
        assert_eq!(world.dead, [(other, silent)]);
        // When it resumes, it learns that the link is gone, and the node that chose the
        // link asks for it again.
        world.resume(silent);
        world.run(70 * SECOND);
        assert_eq!((world.open(silent), world.open(other)), (vec![other], vec![silent]));
    }
}

#[test]
fn a_peer_that_was_silent_for_a_while_recovers() {
    let mut world = pair();
    let stopped = world.now;
    world.stop(1);
    world.run(7 * SECOND);
    assert!(world.first(stopped, 0, 1, Change::Suspected).is_some());
    world.resume(1);
    world.run(SECOND);
    assert!(world.first(stopped, 0, 1, Change::Recovered).is_some());
    world.run(60 * SECOND);
    assert_eq!((world.open(0), world.dead.len()), (vec![1], 0));
}

#[test]
fn a_node_that_slept_does_not_take_its_peers_for_dead() {
    let mut world = pair();
    // Both sleep, as when the lid of a laptop with a lab is closed.
    world.stop(0);
    world.stop(1);
    world.run(600 * SECOND);
    world.resume(0);
    world.resume(1);
    world.run(60 * SECOND);
    assert_eq!((world.open(0), world.open(1)), (vec![1], vec![0]));
    assert!(world.dead.is_empty());
}

#[test]
fn a_connection_that_broke_is_made_again() {
    let mut world = pair();
    for _ in 0..10 {
        world.disconnect_wire(0, 1);
        world.run(5 * SECOND);
        assert_eq!((world.open(0), world.open(1)), (vec![1], vec![0]));
    }
    assert!(world.dead.is_empty());
}

#[test]
fn the_two_sides_beat_in_turns_and_both_measure() {
    for simultaneous in [false, true] {
        let mut world = World::new(3, 2);
        world.draws = false;
        world.connect(0, 1);
        if simultaneous {
            world.connect(1, 0);
        }
        world.run(10 * SECOND);
        let before = world.beats;
        world.run(100 * SECOND);
        let beats = world.beats - before;
        assert!((45..=55).contains(&beats), "{beats} beats in 100 s, {simultaneous}");
        for number in 0..2 {
            let link = world.links(number).open().next().expect("a link");
            let trip = link.round_trip().expect("measured");
            assert!((Duration::ZERO..Duration::from_millis(11)).contains(&trip), "{trip:?}");
        }
    }
}

#[test]
fn a_disconnected_peer_is_not_linked_again_by_chance_but_when_asked_for() {
    let mut world = World::new(5, 2);
    world.run(5 * SECOND);
    assert!(world.disconnect(0, 1));
    assert!(!world.disconnect(0, 1), "there is none any more");
    world.run(300 * SECOND);
    assert_eq!((world.open(0), world.open(1)), (vec![], vec![]));
    // The other side's user may want it.
    world.connect(1, 0);
    world.run(SECOND);
    assert_eq!((world.open(0), world.open(1)), (vec![1], vec![0]));
    assert!(world.disconnect(0, 1));
    world.run(1_000 * SECOND);
    assert_eq!(world.open(0), [1], "chance may have it again later");
}

#[test]
fn a_drawn_link_becomes_a_chosen_one_when_it_is_asked_for() {
    let mut world = World::new(6, 6);
    world.run(5 * SECOND);
    let drawn = (1..6).find(|other| world.kind(0, *other) == Some(LinkKind::Random));
    let drawn = drawn.expect("one was drawn");
    assert!(world.connect(0, drawn), "there is a link already");
    assert_eq!(world.kind(0, drawn), Some(LinkKind::Chosen));
    world.run(10 * SECOND);
    world.agree().expect("links have two ends");
}

#[test]
fn whoever_leaves_is_gone_at_once_and_is_no_death() {
    let mut world = World::new(8, 10);
    world.run(5 * SECOND);
    let linked = world.open(4);
    world.draws = false;
    world.leave(4);
    world.run(Duration::from_millis(50));
    assert!(linked.iter().all(|other| !world.open(*other).contains(&4)));
    assert!(world.dead.is_empty());
}

#[test]
fn a_peer_that_restarted_unnoticed_is_asked_again() {
    let mut world = pair();
    let restarted = world.now;
    world.start(1);
    world.disconnect_wire(0, 1);
    world.run(10 * SECOND);
    assert_eq!((world.kind(0, 1), world.open(1)), (Some(LinkKind::Chosen), vec![0]));
    assert!(world.first(restarted, 0, 1, Change::Closed).is_none());
}

#[test]
fn a_chosen_peer_that_died_is_linked_again_when_it_is_back() {
    let mut world = pair();
    world.kill(1);
    world.run(600 * SECOND);
    assert_eq!(world.dead, [(0, 1)], "it is told once, however often it is tried");
    let back = world.now;
    world.start(1);
    world.run(61 * SECOND);
    assert_eq!(world.kind(0, 1), Some(LinkKind::Chosen));
    assert!(world.first(back, 0, 1, Change::Opened).is_some());
    // Also when this side comes back, with the contents of its disk.
    world.start(0);
    assert!(world.open(0).is_empty());
    world.wish_again(0, 1);
    world.run(SECOND);
    assert_eq!(world.kind(0, 1), Some(LinkKind::Chosen));
}

#[test]
fn a_chosen_link_that_either_user_ends_is_not_made_again() {
    for ended_by in [0, 1] {
        let mut world = pair();
        assert!(world.disconnect(ended_by, 1 - ended_by));
        world.run(SECOND);
        assert_eq!(world.links(0).wishes().count(), 0, "ended by {ended_by}");
        world.run(300 * SECOND);
        assert_eq!((world.open(0), world.open(1)), (vec![], vec![]));
    }
    // If the peer is not there now, the wish ends.
    let mut world = pair();
    world.kill(1);
    world.run(10 * SECOND);
    assert!(world.disconnect(0, 1));
    world.start(1);
    world.run(300 * SECOND);
    assert!(world.open(0).is_empty());
}

#[test]
fn a_peer_with_another_index_is_the_same_process() {
    let mut links = Links::new(address(0));
    let mut out = Vec::new();
    let now = Time::ZERO;
    links.received(now, peer(1), LinkMessage::Open { chosen: false }, 0, &mut out);
    let renamed = Peer::new(address(1), 3);
    links.received(now, renamed, LinkMessage::Beat { number: 1, shared: 7 }, 5, &mut out);
    assert_eq!(sent(&out, renamed), [LinkMessage::Echo { number: 1, shared: 5 }]);
    let link = links.open().next().expect("one link");
    assert_eq!((link.peer(), link.shared()), (renamed, Some(7)));
}

#[test]
fn places_for_others_are_few_and_some_are_kept_for_those_who_want_this_node() {
    let mut links = Links::new(address(0));
    let mut out = Vec::new();
    let mut open = |links: &mut Links, number: u16, chosen| {
        out.clear();
        let now = Time::from_micros(u64::from(number) * 1_000_000);
        links.received(now, peer(number), LinkMessage::Open { chosen }, 0, &mut out);
        sent(&out, peer(number)) == [LinkMessage::Accept]
    };
    let drawn = (1..100).filter(|number| open(&mut links, *number, false)).count();
    let chosen = (100..200).filter(|number| open(&mut links, *number, true)).count();
    assert!(drawn >= MAX_INCOMING / 2 && chosen >= 4, "{drawn} drawn, {chosen} chosen");
    assert_eq!(drawn + chosen, MAX_INCOMING);
    assert!(open(&mut links, 1, false), "whoever has a link is told so");
}

#[test]
fn a_user_may_choose_many_links_but_not_any_number() {
    let mut links = Links::new(address(0));
    let mut out = Vec::new();
    let most = u16::try_from(MAX_CHOSEN).expect("few");
    for number in 1..=most {
        assert_eq!(links.connect(Time::ZERO, peer(number), &mut out), Ok(false));
    }
    assert_eq!(links.connect(Time::ZERO, peer(most + 1), &mut out), Err(Full));
    assert_eq!(links.connect(Time::ZERO, peer(1), &mut out), Ok(false), "asked for already");
}

#[test]
fn a_peer_that_never_answers_the_wish_is_given_up() {
    let mut links = Links::new(address(0));
    let mut out = Vec::new();
    links.draw(Time::ZERO, &[peer(0), peer(1)], &mut out);
    assert_eq!(sent(&out, peer(1)), [LinkMessage::Open { chosen: false }]);
    assert!(sent(&out, peer(0)).is_empty(), "nobody draws itself");
    assert_eq!(links.due(), Some(Time::ZERO + OPEN_LIMIT));
    out.clear();
    links.tick(Time::ZERO + OPEN_LIMIT, 0, &mut out);
    assert!(out.contains(&Effect::Dead(peer(1))));
    out.clear();
    links.draw(Time::ZERO + OPEN_LIMIT, &[peer(1)], &mut out);
    assert!(out.is_empty(), "it is not drawn again for a while: {out:?}");
}

#[test]
fn a_flood_of_messages_is_not_answered_with_a_flood() {
    let mut links = Links::new(address(0));
    let mut out = Vec::new();
    links.received(Time::ZERO, peer(1), LinkMessage::Open { chosen: false }, 0, &mut out);
    for number in 0..10_000 {
        let beat = LinkMessage::Beat { number, shared: 0 };
        links.received(Time::ZERO, peer(1), beat, 0, &mut out);
        links.received(Time::ZERO, peer(2), beat, 0, &mut out);
    }
    assert!(sent(&out, peer(1)).len() < 100);
    assert!(sent(&out, peer(2)).len() < 100);
}

#[test]
fn lives_of_random_meshes_keep_the_promises() {
    for seed in 0..24 {
        let mut world = World::new(seed, 12);
        world.loss = [0, 0, 20][seed as usize % 3];
        for _ in 0..60 {
            let (a, b) = (world.rng.u16(..12), world.rng.u16(..12));
            let runs = world.living().contains(&a);
            match world.rng.u8(..9) {
                0 if runs => world.kill(a),
                1 => world.start(a),
                2 if runs => world.stop(a),
                3 if !world.living().is_empty() => world.resume(b),
                4 if runs && a != b => drop(world.connect(a, b)),
                5 if runs => drop(world.disconnect(a, b)),
                6 if a != b => world.disconnect_wire(a, b),
                7 if runs => world.leave(a),
                _ => {}
            }
            let span = world.rng.u64(0..3_000);
            world.run(Duration::from_millis(span));
        }
        world.loss = 0;
        world.run(60 * SECOND);
        world.agree().unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    }
}

proptest! {
    #[test]
    fn whatever_peers_say_the_limits_hold(
        script in prop::collection::vec((0u16..90, 0u8..12, 0u32..4, 0u64..3_000), 1..400)
    ) {
        let mut links = Links::new(address(0));
        let (mut now, mut out) = (Time::ZERO, Vec::new());
        for (number, what, beat, millis) in script {
            now = now + Duration::from_millis(millis);
            let from = Peer::new(address(number), u16::from(what % 2));
            out.clear();
            let message = match what {
                0 | 1 => LinkMessage::Open { chosen: beat == 0 },
                2 => LinkMessage::Accept,
                3 => LinkMessage::Refuse,
                4 => LinkMessage::Close,
                5 | 6 => LinkMessage::Beat { number: beat, shared: beat },
                7 => LinkMessage::Echo { number: beat, shared: beat },
                8 => {
                    links.gone(now, from.address(), 0, &mut out);
                    continue;
                }
                9 => {
                    let candidates: Vec<Peer> = (0..6).map(|more| peer(number + more)).collect();
                    links.draw(now, &candidates, &mut out);
                    continue;
                }
                10 => {
                    links.tick(now, 0, &mut out);
                    continue;
                }
                _ => {
                    let _ = links.connect(now, from, &mut out);
                    continue;
                }
            };
            links.received(now, from, message, 0, &mut out);
            prop_assert!(sent(&out, from).len() <= 2, "{:?}", out);
            let count = |kind| links.open().filter(|link| link.kind() == kind).count();
            prop_assert!(count(LinkKind::Random) <= RANDOM);
            prop_assert!(count(LinkKind::Chosen) <= MAX_CHOSEN);
            prop_assert!(count(LinkKind::Incoming) <= MAX_INCOMING);
            prop_assert!(links.open().all(|link| link.missed() < DEAD));
        }
    }
}
