//! Many that come at the same moment.

use std::time::Duration;

use super::net::{Net, peer};
use chordal_core::chord::{CensusState, Config, Effect, Input, Node, Reply, Timer};
use chordal_core::time::Time;
use chordal_core::wire::{Answer, Ask, Message, Tell};

const SECOND: Duration = Duration::from_secs(1);

/// Before, each round of stabilize went past one of those that had come: as many
/// periods as nodes.
#[test]
fn a_crowd_that_joins_through_one_node_is_one_ring_within_a_period() {
    for (seed, r, count) in [(0, 16, 16), (1, 4, 16), (2, 16, 64), (3, 4, 64)] {
        let mut net = Net::new(seed, r, 32);
        net.start(0, &[]);
        let tickets: Vec<_> = (1..count)
            .map(|number| {
                net.start(number, &[]);
                net.join(number, 0)
            })
            .collect();
        let took = net.until(SECOND * 60, Net::is_ideal).expect("one ring in the end");
        assert!(took <= SECOND, "seed {seed}, {count} nodes: {took:?}");
        let each = net.sent / usize::from(count);
        assert!(each < 300, "seed {seed}, {count} nodes: {each} messages a node");
        for ticket in tickets {
            assert!(matches!(net.reply(ticket), Reply::Joined { .. }), "seed {seed}");
        }
        if count > 16 {
            continue;
        }
        // Until everybody's census has come round.
        net.run(SECOND * 20);
        let before = net.sent;
        net.run(SECOND * 10);
        let rate = (net.sent - before) as f64 / 10.0 / f64::from(count);
        assert!(rate < 12.0, "{rate} messages a second and node at rest");
    }
}

#[test]
fn everybody_knows_what_all_of_a_crowd_know_soon_and_whispers_then() {
    for count in [64, 110] {
        let mut net = Net::new(u64::from(count), 16, 16);
        net.start(0, &[]);
        for number in 1..count {
            net.start(number, &[]);
            net.join(number, 0);
        }
        let known = |net: &Net, count: usize| {
            net.nodes().all(|node| {
                node.members().1 == CensusState::Complete && node.observed().len() == count
            })
        };
        let took = net.until(SECOND * 60, |net| known(net, usize::from(count)));
        let took = took.expect("everyone is asked");
        assert!(took < SECOND * 4, "{count}: {took:?}");
        net.until(SECOND * 5, |net| net.nodes().all(|node| node.is_settled(net.now)))
            .expect("and nothing new is heard");

        // One more is known everywhere soon, and costs each node two rounds of questions
        // and answers.
        net.run(SECOND * 5);
        let before = net.sent;
        net.start(count, &[]);
        net.join(count, 0);
        let took = net.until(SECOND * 120, |net| known(net, usize::from(count) + 1));
        let took = took.expect("the newcomer is found");
        assert!(took < SECOND * 25, "{count}: {took:?}");
        net.run(SECOND * 5);
        let each = (net.sent - before) / usize::from(count);
        let rest = 8.0 * (took + SECOND * 5).as_secs_f64();
        assert!(
            each < 5 * usize::from(count) + rest as usize,
            "{count}: {each} messages, {took:?}"
        );
        let before = net.sent;
        net.run(SECOND * 10);
        let rate = (net.sent - before) as f64 / 10.0 / f64::from(count);
        assert!(rate < 12.0, "{rate} messages a second and node at rest");
    }
}

#[test]
fn a_crowd_on_a_bad_network_is_one_ring_within_some_periods() {
    for seed in 0..5 {
        let mut net = Net::new(seed, 16, 32);
        (net.loss, net.twice) = (20, 20);
        net.start(0, &[]);
        for number in 1..40 {
            net.start(number, &[]);
            net.join(number, 0);
        }
        let took = net.until(SECOND * 60, Net::is_ideal).expect("one ring in the end");
        assert!(took <= SECOND * 30, "seed {seed}: {took:?}");
    }
}

#[test]
fn hints_without_end_start_a_bounded_number_of_rounds() {
    let config: Config = Net::new(0, 16, 10).config;
    let (me, other) = (peer(0), peer(1));
    let mut node = Node::stabilized(config, me, &[other, me]);
    let start = Input::Start { records: Vec::new(), remembered: Vec::new() };
    node.handle(Time::ZERO, start, &mut Vec::new());
    let mut rounds = 0;
    let mut due: Option<Time> = None;
    for millis in 0..20_000 {
        let now = Time::from_micros(millis * 1_000);
        let mut out = Vec::new();
        let hint = Message::Tell(Tell::Changed);
        node.handle(now, Input::Received { from: other, message: hint }, &mut out);
        if due.is_some_and(|due| due <= now) {
            due = None;
            node.handle(now, Input::Fired(Timer::Stabilize), &mut out);
        }
        // Whatever is asked is answered at once.
        while let Some(effect) = out.pop() {
            match effect {
                Effect::Send { message: Message::Ask { nonce, ask: Ask::Neighbours }, .. } => {
                    rounds += 1;
                    let answer = Answer::Neighbours { predecessor: Some(me), successors: vec![me] };
                    let message = Message::Answer { nonce, answer };
                    node.handle(now, Input::Received { from: other, message }, &mut out);
                }
                Effect::Arm { timer: Timer::Stabilize, after } => due = Some(now + after.start),
                _ => {}
            }
        }
    }
    // Twenty seconds, and what may follow each other at once.
    assert!((400..=520).contains(&rounds), "{rounds} rounds");
}
