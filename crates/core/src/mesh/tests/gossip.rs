//! Stories of gossip.

use std::time::Duration;

use super::world::{World, address, peer};
use crate::mesh::gossip::{Gossip, Heard, MAX_HOPS, PER_LINK, PER_ORIGIN, TooMuch};
use crate::time::Time;
use crate::wire::mesh::{Gossip as Piece, GossipBody};

const SECOND: Duration = Duration::from_secs(1);

fn say(id: u128, origin: u16, text: &str) -> Piece {
    let body = GossipBody::Say(text.to_owned());
    Piece { id, origin: peer(origin), unix_ms: 0, hops: MAX_HOPS, body }
}

fn is_news(heard: &Heard) -> bool {
    matches!(heard, Heard::News { .. })
}

#[test]
fn every_node_of_a_hundred_hears_a_sentence_exactly_once() {
    let mut world = World::new(11, 100);
    world.run(10 * SECOND);
    world.say(42, "hello");
    world.say(7, "good morning");
    world.run(SECOND);
    for text in ["hello", "good morning"] {
        let mut heard: Vec<u16> =
            world.heard.iter().filter(|(_, said)| said == text).map(|(who, _)| *who).collect();
        heard.sort_unstable();
        let speaker = if text == "hello" { 42 } else { 7 };
        let others: Vec<u16> = (0..100).filter(|number| *number != speaker).collect();
        assert_eq!(heard, others, "{text}");
    }
}

#[test]
fn deaths_while_it_spreads_keep_a_sentence_from_nobody_who_lives() {
    for seed in 0..10 {
        let mut world = World::new(seed, 60);
        world.run(10 * SECOND);
        world.say(0, "fire");
        world.run(Duration::from_millis(3));
        (1..60).filter(|number| number % 4 == 0).for_each(|number| world.kill(number));
        world.run(SECOND);
        for number in world.living().into_iter().filter(|number| *number != 0) {
            let times = world.heard.iter().filter(|(who, _)| *who == number).count();
            assert_eq!(times, 1, "{number} under seed {seed}");
        }
    }
}

#[test]
fn along_a_chain_it_travels_as_far_as_its_hops_allow() {
    let length = u16::from(MAX_HOPS) + 20;
    let mut world = World::new(12, length);
    world.draws = false;
    for number in 1..length {
        world.connect(number - 1, number);
        world.run(Duration::from_millis(20));
    }
    world.say(0, "far");
    world.run(SECOND);
    assert_eq!(world.heard.len(), usize::from(MAX_HOPS));
}

#[test]
fn an_origin_that_says_too_much_is_cut_short_and_named_now_and_then() {
    let mut gossip = Gossip::new(address(0));
    let (mut heard, mut complaints, mut counted) = (0, 0, 0);
    for number in 0..100_u64 {
        let now = Time::from_micros(number * 300_000);
        match gossip.hear(now, address(1), &say(number.into(), 1, "buy this")) {
            Heard::News { .. } => heard += 1,
            Heard::TooMuch { complaint } => {
                if let Some(complaint) = complaint {
                    assert_eq!(complaint.origin, Some(peer(1)));
                    complaints += 1;
                    counted += complaint.dropped;
                }
            }
            other => panic!("{other:?}"),
        }
    }
    // 30 seconds.
    assert!((30..=30 + PER_ORIGIN.burst).contains(&heard), "{heard} were heard");
    assert!((2..=4).contains(&complaints), "{complaints} complaints");
    assert!(counted <= 100 - heard);
    let late = Time::from_micros(60_000_000);
    assert!(is_news(&gossip.hear(late, address(1), &say(1_000, 1, "sorry"))), "it is no ban");
}

#[test]
fn a_link_that_brings_too_much_of_many_origins_is_cut_short() {
    let mut gossip = Gossip::new(address(0));
    let mut heard = 0;
    for number in 0..1_000_u16 {
        let piece = say(number.into(), 100 + number, "buy this");
        match gossip.hear(Time::ZERO, address(1), &piece) {
            Heard::News { .. } => heard += 1,
            Heard::TooMuch { complaint } => {
                assert!(complaint.is_none_or(|complaint| complaint.origin.is_none()));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(heard, PER_LINK.burst);
    // A piece that was dropped on one link may come over another one.
    assert!(is_news(&gossip.hear(Time::ZERO, address(2), &say(999, 1_099, "buy this"))));
}

#[test]
fn whoever_borrows_a_name_does_not_silence_its_owner() {
    let mut gossip = Gossip::new(address(0));
    for id in 0..50 {
        gossip.hear(Time::ZERO, address(1), &say(id, 2, "in another's name"));
    }
    let own = gossip.hear(Time::ZERO, address(2), &say(100, 2, "the owner's own words"));
    assert!(is_news(&own), "{own:?}");
}

#[test]
fn nobody_speaks_for_this_node_and_nobody_says_nothing_or_too_long_a_thing() {
    let mut gossip = Gossip::new(address(0));
    assert_eq!(gossip.hear(Time::ZERO, address(1), &say(1, 0, "I resign")), Heard::Known);
    assert_eq!(gossip.hear(Time::ZERO, address(1), &say(2, 1, " \n ")), Heard::Bad);
    let long = "x".repeat(crate::limits::MAX_SAY_BYTES + 1);
    assert_eq!(gossip.hear(Time::ZERO, address(1), &say(3, 1, &long)), Heard::Bad);
}

#[test]
fn claimed_hops_are_no_more_than_allowed_and_the_last_one_ends_it() {
    let mut gossip = Gossip::new(address(0));
    let mut piece = say(1, 1, "on and on");
    piece.hops = u8::MAX;
    match gossip.hear(Time::ZERO, address(1), &piece) {
        Heard::News { pass_on: Some(next) } => assert_eq!(next.hops, MAX_HOPS - 1),
        other => panic!("{other:?}"),
    }
    for (id, hops) in [(2, 0), (3, 1)] {
        let piece = Piece { hops, ..say(id, 1, "the end") };
        assert_eq!(
            gossip.hear(Time::ZERO, address(1), &piece),
            Heard::News { pass_on: None },
            "{hops} hops left"
        );
    }
}

#[test]
fn memory_is_bounded_and_what_was_seen_lately_is_not_seen_again() {
    let mut gossip = Gossip::new(address(0));
    let at = |number: u64| Time::from_micros(number * 10_000);
    for number in 0..20_000_u64 {
        // A hundred pieces per second, over enough links and of enough origins.
        let link = address(1 + (number % 20) as u16);
        let piece = say(number.into(), 100 + (number % 200) as u16, "hello");
        assert!(is_news(&gossip.hear(at(number), link, &piece)), "{number}");
        if number % 100 == 0 {
            let again = number.saturating_sub(8_000);
            let piece = say(again.into(), 100 + (again % 200) as u16, "hello");
            assert_eq!(gossip.hear(at(number), address(50), &piece), Heard::Known);
        }
    }
    assert!(gossip.remembered() <= 8_192, "{} are remembered", gossip.remembered());
    let late = at(20_000) + 700 * SECOND;
    assert!(is_news(&gossip.hear(late, address(1), &say(50_000, 1, "later"))));
    assert_eq!(gossip.remembered(), 1, "what is old is forgotten");
}

#[test]
fn invented_origins_take_no_more_memory_than_allowed() {
    let mut gossip = Gossip::new(address(0));
    for number in 0..40_000_u16 {
        let link = address(number % 400);
        gossip.hear(Time::ZERO, link, &say(number.into(), 1_000 + number, "who am I"));
    }
    assert!(gossip.meters() <= 2_048, "{} are counted", gossip.meters());
    let piece = gossip.begin(Time::ZERO, 1, peer(0), 0, GossipBody::Leaving);
    assert!(piece.is_ok(), "this node itself may still speak");
}

#[test]
fn this_node_itself_says_no_more_than_others_listen_to() {
    let mut gossip = Gossip::new(address(0));
    let mut begin = |id, now| {
        gossip.begin(now, id, peer(0), 0, GossipBody::Say("again".into())).map(|piece| piece.id)
    };
    let said = (0..100).filter(|id| begin(*id, Time::ZERO).is_ok()).count();
    assert_eq!(said, PER_ORIGIN.burst as usize);
    assert_eq!(begin(200, Time::ZERO), Err(TooMuch));
    assert_eq!(begin(201, Time::ZERO + PER_ORIGIN.every), Ok(201));
}
