//! Tests of one part of a search: false and duplicate messages, a second parent, a flood.
//! Tests of whole rings are in `engine::overlay::search`, which may use the core.

use proptest::prelude::*;

use super::*;
use crate::name::FileName;
use crate::record::ContentHash;

const SPACE: fn() -> Space = || Space::new(64).expect("in range");

/// This many nodes in ring order, beginning with the origin.
fn ring(nodes: u16) -> Vec<Peer> {
    let mut ring: Vec<Peer> =
        (0..nodes).map(|n| Peer::new(([127, 0, 0, 1], 2000 + n).into(), 0)).collect();
    ring.sort_by_key(|peer| peer.id(SPACE()));
    ring
}

fn row(node: Peer, file: usize) -> FoundRow {
    FoundRow {
        node,
        name: FileName::new(&format!("file-{file}")).expect("a name"),
        root: ContentHash([1; 32]),
        size: 1,
        stored: true,
    }
}

fn id(ring: &[Peer]) -> SearchId {
    SearchId { origin: ring[0], number: 1 }
}

fn question(ring: &[Peer], until: usize, depth: u8) -> Question {
    let until = ring[until % ring.len()].id(SPACE());
    Question { search: id(ring), pattern: "file".into(), until, depth }
}

fn found(ring: &[Peer], rows: Vec<FoundRow>) -> SearchMessage {
    SearchMessage::Found { search: id(ring), rows }
}

fn done(ring: &[Peer], answered: u32, depth: u8) -> SearchMessage {
    let (silent, truncated) = (Vec::new(), false);
    SearchMessage::Done { search: id(ring), answered, depth, silent, truncated }
}

/// The origin's part, after its own files were searched, and the questions that it asked.
fn origin(ring: &[Peer], known: &[Peer]) -> (Broadcast, Vec<Effect>) {
    let mut out = Vec::new();
    let mut part = Broadcast::begin(SPACE(), id(ring), "file", known, &mut out);
    part.own(Vec::new(), false, &mut out);
    (part, out)
}

/// The receivers of these questions, and the end of each interval as a node's number.
fn asks(ring: &[Peer], effects: &[Effect]) -> Vec<(Peer, Peer)> {
    let at = |id: Id| *ring.iter().find(|peer| peer.id(SPACE()) == id).expect("a node's place");
    let ask = |effect: &Effect| match effect {
        Effect::Send { to, message: SearchMessage::Ask { until, .. } } => Some((*to, at(*until))),
        _ => None,
    };
    effects.iter().filter_map(ask).collect()
}

/// The rows that these effects send to a node.
fn rows_for(peer: Peer, effects: &[Effect]) -> Vec<FoundRow> {
    let rows = |effect: &Effect| match effect {
        Effect::Send { to, message: SearchMessage::Found { rows, .. } } if *to == peer => {
            Some(rows.clone())
        }
        _ => None,
    };
    let mut rows: Vec<FoundRow> = effects.iter().filter_map(rows).flatten().collect();
    rows.sort_by_key(|row| row.name.clone());
    rows
}

fn offences(effects: &[Effect]) -> Vec<(Peer, Offence)> {
    let offence = |effect: &Effect| match effect {
        Effect::Offence { child, what } => Some((*child, *what)),
        _ => None,
    };
    effects.iter().filter_map(offence).collect()
}

#[test]
fn each_child_gets_the_part_from_itself_to_the_next_and_the_last_one_the_rest() {
    let ring = ring(8);
    let (_, out) = origin(&ring, &[ring[5], ring[1], ring[7], ring[2], ring[5]]);
    let expected = [(ring[1], ring[2]), (ring[2], ring[5]), (ring[5], ring[7]), (ring[7], ring[0])];
    assert_eq!(asks(&ring, &out), expected);
    let mut out = Vec::new();
    Broadcast::join(SPACE(), ring[2], ring[0], &question(&ring, 5, 1), &ring, &mut out);
    assert_eq!(asks(&ring, &out), [(ring[3], ring[4]), (ring[4], ring[5])]);
}

#[test]
fn a_node_alone_has_searched_the_ring_when_it_has_searched_itself() {
    let ring = ring(1);
    let mut out = Vec::new();
    let mut part = Broadcast::begin(SPACE(), id(&ring), "file", &[], &mut out);
    assert_eq!(out, [Effect::SearchHere]);
    part.own(vec![row(ring[0], 1)], false, &mut out);
    assert_eq!(out[1..], [Effect::Found(vec![row(ring[0], 1)]), Effect::Ended]);
    assert_eq!(part.progress(), Progress { answered: 1, ..Progress::default() });
}

#[test]
fn questions_that_could_run_in_circles_are_not_fair() {
    let ring = ring(8);
    let ask = |from: usize, me: usize, until: usize, depth: u8| {
        is_fair(SPACE(), ring[me], ring[from], &question(&ring, until, depth))
    };
    for (from, me, until, depth, fair) in [
        (0, 3, 5, 1, true),
        (0, 3, 0, 1, true),
        (2, 3, 4, 2, true),
        (2, 7, 0, 9, true),
        // Backwards, past the origin, to the origin, to oneself.
        (4, 3, 5, 2, false),
        (2, 6, 1, 2, false),
        (2, 6, 6, 2, false),
        (5, 0, 4, 2, false),
        (3, 3, 5, 2, false),
        // Only the origin asks the first question.
        (2, 3, 5, 1, false),
        (0, 3, 5, 2, false),
        (0, 3, 5, 0, false),
        (2, 3, 5, MAX_DEPTH, true),
        (2, 3, 5, MAX_DEPTH + 1, false),
    ] {
        assert_eq!(ask(from, me, until, depth), fair, "{from} asks {me} up to {until}, {depth}");
    }
    let mut long = question(&ring, 5, 1);
    long.pattern = "x".repeat(crate::limits::MAX_PATTERN_BYTES + 1);
    assert!(!is_fair(SPACE(), ring[3], ring[0], &long));
}

#[test]
fn the_rest_of_a_dead_nodes_interval_goes_to_the_first_behind_it() {
    let ring = ring(8);
    let (mut part, _) = origin(&ring, &[ring[1], ring[5]]);
    let mut out = Vec::new();
    part.lost(ring[1], &mut out);
    let [Effect::LookUp { key }] = out[..] else { panic!("{out:?}") };
    assert_eq!(key.value(), ring[1].id(SPACE()).value() + 1);
    out.clear();
    part.looked_up(key, Some(ring[3]), &mut out);
    assert_eq!(asks(&ring, &out), [(ring[3], ring[5])]);
    assert_eq!(part.progress().silent, [ring[1]]);
    // No node lives there any more, and the node behind it has an interval already.
    out.clear();
    part.lost(ring[3], &mut out);
    let [Effect::LookUp { key }] = out[..] else { panic!("{out:?}") };
    out.clear();
    part.looked_up(key, Some(ring[5]), &mut out);
    assert_eq!(out, []);
    part.heard(ring[5], done(&ring, 4, 2), &mut out);
    assert_eq!(out, [Effect::Ended]);
    let Progress { answered, depth, silent, .. } = part.progress();
    assert_eq!((answered, depth, silent), (5, 2, vec![ring[1], ring[3]]));
}

#[test]
fn what_a_child_says_after_it_was_given_up_still_counts() {
    let ring = ring(8);
    let (mut part, _) = origin(&ring, &[ring[1], ring[5]]);
    let mut out = Vec::new();
    part.lost(ring[1], &mut out);
    let Some(Effect::LookUp { key }) = out.pop() else { panic!("{out:?}") };
    part.looked_up(key, Some(ring[2]), &mut out);
    out.clear();
    part.heard(ring[1], found(&ring, vec![row(ring[1], 1), row(ring[3], 2)]), &mut out);
    part.heard(ring[2], found(&ring, vec![row(ring[3], 2), row(ring[2], 3)]), &mut out);
    let new: Vec<_> = out
        .iter()
        .filter_map(|effect| match effect {
            Effect::Found(rows) => Some(rows.clone()),
            _ => None,
        })
        .flatten()
        .collect();
    assert_eq!(new, [row(ring[1], 1), row(ring[3], 2), row(ring[2], 3)], "each once");
    // It counts as one answer; another node answers for its interval.
    part.heard(ring[1], done(&ring, 4, 2), &mut out);
    part.heard(ring[2], done(&ring, 3, 2), &mut out);
    part.heard(ring[5], done(&ring, 3, 2), &mut out);
    assert_eq!(out.last(), Some(&Effect::Ended));
    let Progress { answered, silent, .. } = part.progress();
    assert_eq!((answered, silent), (8, Vec::new()));
}

#[test]
fn a_second_parent_gets_everything_and_only_new_nodes_are_asked() {
    let ring = ring(8);
    let mut out = Vec::new();
    // Node 1 asks node 3 up to 5; it dies, and the origin asks it up to 7.
    let first = question(&ring, 5, 2);
    let mut part = Broadcast::join(SPACE(), ring[3], ring[1], &first, &[ring[4]], &mut out);
    assert_eq!(asks(&ring, &out), [(ring[4], ring[5])]);
    part.own(vec![row(ring[3], 1)], false, &mut out);
    part.heard(ring[4], found(&ring, vec![row(ring[4], 2)]), &mut out);
    out.clear();
    part.asked(ring[0], &question(&ring, 7, 1), &[ring[4], ring[6]], &mut out);
    assert_eq!(rows_for(ring[0], &out), [row(ring[3], 1), row(ring[4], 2)]);
    // Node 5 is not known here, so its place is looked up.
    assert_eq!(asks(&ring, &out), [(ring[6], ring[7])]);
    let key = ring[5].id(SPACE());
    assert!(out.contains(&Effect::LookUp { key }), "{out:?}");
    out.clear();
    part.looked_up(key, Some(ring[5]), &mut out);
    assert_eq!(asks(&ring, &out), [(ring[5], ring[6])]);
    out.clear();
    part.heard(ring[5], found(&ring, vec![row(ring[5], 3)]), &mut out);
    assert_eq!(rows_for(ring[0], &out), [row(ring[5], 3)]);
    assert_eq!(rows_for(ring[1], &out), [], "that is not in the interval of the first");
    // A repeated question changes nothing.
    out.clear();
    part.asked(ring[0], &question(&ring, 7, 1), &ring, &mut out);
    let taken = SearchMessage::Taken { search: id(&ring) };
    assert_eq!(out, [Effect::Send { to: ring[0], message: taken }]);
}

/// What the parts of these effects' `Done` count, by the parent.
fn counts(effects: &[Effect]) -> Vec<(Peer, u32)> {
    let count = |effect: &Effect| match effect {
        Effect::Send { to, message: SearchMessage::Done { answered, .. } } => {
            Some((*to, *answered))
        }
        _ => None,
    };
    effects.iter().filter_map(count).collect()
}

#[test]
fn each_parent_is_told_how_many_answered_of_the_interval_that_it_asked_for() {
    let ring = ring(10);
    let mut out = Vec::new();
    // Node 1 is slow: it asked node 3 up to 9, and node 2, which has its interval by now and
    // knows more nodes, up to 7.
    let wide = question(&ring, 9, 2);
    let known = [ring[4], ring[6], ring[8]];
    let mut part = Broadcast::join(SPACE(), ring[3], ring[1], &wide, &known, &mut out);
    part.asked(ring[2], &question(&ring, 7, 2), &known, &mut out);
    part.own(vec![row(ring[3], 1)], false, &mut out);
    part.heard(ring[4], done(&ring, 2, 3), &mut out);
    part.heard(ring[8], done(&ring, 1, 3), &mut out);
    // Node 6 answers for node 7 as well, which somebody else counts for node 2.
    part.heard(ring[6], found(&ring, vec![row(ring[6], 2), row(ring[7], 3)]), &mut out);
    part.heard(ring[6], done(&ring, 2, 3), &mut out);
    assert_eq!(counts(&out), [(ring[1], 6), (ring[2], 4)]);
}

#[test]
fn one_that_was_given_up_and_is_only_searching_has_not_answered() {
    let ring = ring(8);
    let (mut part, _) = origin(&ring, &[ring[1], ring[5]]);
    let mut out = Vec::new();
    part.lost(ring[1], &mut out);
    part.heard(ring[1], SearchMessage::Taken { search: id(&ring) }, &mut out);
    part.heard(ring[1], found(&ring, vec![row(ring[3], 2)]), &mut out);
    assert_eq!((part.progress().answered, part.progress().silent), (1, vec![ring[1]]));
    part.heard(ring[1], found(&ring, vec![row(ring[1], 1)]), &mut out);
    assert_eq!((part.progress().answered, part.progress().silent), (2, Vec::new()));
}

#[test]
fn a_node_that_became_known_meanwhile_is_asked_by_whoever_has_its_interval() {
    let ring = ring(8);
    let mut out = Vec::new();
    let first = question(&ring, 6, 2);
    let mut part = Broadcast::join(SPACE(), ring[3], ring[1], &first, &[ring[4]], &mut out);
    assert_eq!(asks(&ring, &out), [(ring[4], ring[6])]);
    out.clear();
    let known = [ring[4], ring[5], ring[6], ring[7]];
    part.asked(ring[0], &question(&ring, 7, 1), &known, &mut out);
    assert_eq!(asks(&ring, &out), [(ring[6], ring[7])]);
}

#[test]
fn without_a_parent_a_part_waits_for_the_next_one() {
    let ring = ring(4);
    let mut out = Vec::new();
    let mut part =
        Broadcast::join(SPACE(), ring[2], ring[1], &question(&ring, 3, 2), &[], &mut out);
    part.gone(ring[1].address(), &mut out);
    out.clear();
    part.own(vec![row(ring[2], 1)], false, &mut out);
    assert_eq!(out, []);
    part.asked(ring[0], &question(&ring, 3, 1), &[], &mut out);
    assert_eq!(rows_for(ring[0], &out), [row(ring[2], 1)]);
    assert_eq!(out.last(), Some(&Effect::Ended));
}

#[test]
fn when_time_is_over_a_search_ends_with_what_there_is() {
    let ring = ring(6);
    let (mut part, mut out) = origin(&ring, &[ring[1], ring[3]]);
    part.heard(ring[1], found(&ring, vec![row(ring[1], 1)]), &mut out);
    out.clear();
    part.expire(&mut out);
    assert_eq!(out, [Effect::Ended]);
    let mut silent = part.progress().silent;
    silent.sort_by_key(|peer| peer.id(SPACE()));
    assert_eq!(silent, [ring[1], ring[3]]);
}

#[test]
fn one_that_floods_is_named_and_leaves_room_for_the_others() {
    let ring = ring(8);
    let (mut part, mut out) = origin(&ring, &[ring[1], ring[2], ring[3]]);
    out.clear();
    // It has a hundred thousand files.
    let mut file = 0;
    let liar = ring[1];
    for _ in 0..100_000 / MAX_PAGE {
        let page = (0..MAX_PAGE).map(|_| row(liar, 0)).map(|mut row| {
            file += 1;
            row.name = FileName::new(&format!("file-{file}")).expect("a name");
            row
        });
        let page = page.collect();
        part.heard(liar, found(&ring, page), &mut out);
    }
    assert_eq!(offences(&out), [(liar, Offence::TooMany)]);
    assert!(part.rows.len() <= MAX_RESULTS_PER_NODE);
    assert!(part.progress().truncated);
    out.clear();
    // The last child answers for the rest of the ring, with many nodes.
    for n in 0..20 {
        let node = ring[4 + n % 4];
        let page = (0..40).map(|file| row(node, n * 40 + file)).collect();
        part.heard(ring[3], found(&ring, page), &mut out);
    }
    part.heard(ring[2], found(&ring, vec![row(ring[2], 1)]), &mut out);
    assert!(part.rows.contains(&row(ring[2], 1)), "the honest one is heard");
    assert!(part.rows.len() <= MAX_RESULTS);
    assert_eq!(offences(&out), []);
}

#[test]
fn half_of_the_room_is_kept_for_those_who_have_not_spoken() {
    let nodes = ring(64);
    let (mut part, mut out) = origin(&nodes, &[nodes[1], nodes[60]]);
    // The first child answers for 59 nodes and would fill everything.
    for n in 0..MAX_RESULTS / 20 {
        let page = (0..20).map(|file| row(nodes[1 + n % 59], n * 20 + file)).collect();
        part.heard(nodes[1], found(&nodes, page), &mut out);
    }
    let share = MAX_RESULTS / 2 / 3;
    assert_eq!(part.rows.len(), MAX_RESULTS - share);
    for n in 0..4 {
        let page = (0..40).map(|file| row(nodes[60 + n], n * 40 + file)).collect();
        part.heard(nodes[60], found(&nodes, page), &mut out);
    }
    assert_eq!(part.rows.len(), MAX_RESULTS - share + 160);
    assert_eq!(offences(&out), []);
}

#[test]
fn results_of_others_and_results_that_do_not_match_are_dropped() {
    let ring = ring(8);
    let (mut part, mut out) = origin(&ring, &[ring[1], ring[4]]);
    part.heard(ring[1], found(&ring, vec![row(ring[4], 1), row(ring[2], 1)]), &mut out);
    assert_eq!(offences(&out), [(ring[1], Offence::NotItsOwn)]);
    assert_eq!(part.rows.iter().collect::<Vec<_>>(), [&row(ring[2], 1)]);
    out.clear();
    let mut other = row(ring[4], 1);
    other.name = FileName::new("other").expect("a name");
    part.heard(ring[4], found(&ring, vec![other]), &mut out);
    assert_eq!(offences(&out), [(ring[4], Offence::NoMatch)]);
    assert_eq!(part.rows.len(), 1);
}

#[test]
fn a_child_cannot_name_others_as_silent_nor_a_depth_that_is_none() {
    let ring = ring(8);
    let (mut part, mut out) = origin(&ring, &[ring[1], ring[4]]);
    let silent = vec![ring[2], ring[4], ring[0], ring[1]];
    let message =
        SearchMessage::Done { search: id(&ring), answered: 0, depth: 255, silent, truncated: true };
    part.heard(ring[1], message, &mut out);
    let Progress { answered, depth, silent, truncated } = part.progress();
    assert_eq!((answered, depth, silent, truncated), (2, MAX_DEPTH, vec![ring[2]], true));
}

#[test]
fn what_nobody_asked_for_is_ignored() {
    let ring = ring(8);
    let (mut part, mut out) = origin(&ring, &[ring[1], ring[4]]);
    out.clear();
    let before = part.clone();
    assert!(!part.heard(ring[2], found(&ring, vec![row(ring[2], 1)]), &mut out));
    assert!(!part.heard(ring[2], done(&ring, 5, 1), &mut out));
    part.looked_up(ring[2].id(SPACE()), Some(ring[2]), &mut out);
    part.lost(ring[2], &mut out);
    part.asked(ring[7], &question(&ring, 0, 3), &ring, &mut out);
    assert_eq!((part, out), (before, Vec::new()));
}

proptest! {
    /// For messages in any order: no panic, no result beyond the limits, and no interval
    /// that two nodes get.
    #[test]
    fn no_order_of_messages_breaks_a_part(
        steps in prop::collection::vec((0u8..7, 0usize..12, 0usize..12, 0usize..60), 0..60),
        known in prop::collection::vec(0usize..12, 0..12),
        begins: bool,
    ) {
        let ring = ring(12);
        let known: Vec<Peer> = known.into_iter().map(|n| ring[n]).collect();
        let me = if begins { ring[0] } else { ring[4] };
        let known: Vec<Peer> = known.into_iter().filter(|peer| *peer != me).collect();
        let mut out = Vec::new();
        let mut part = if begins {
            Broadcast::begin(SPACE(), id(&ring), "file", &known, &mut out)
        } else {
            Broadcast::join(SPACE(), me, ring[1], &question(&ring, 9, 2), &known, &mut out)
        };
        for (what, a, b, n) in steps {
            let (peer, other) = (ring[a], ring[b]);
            match what {
                0 => {
                    let rows = (0..n).map(|file| row(other, file)).collect();
                    part.heard(peer, found(&ring, rows), &mut out);
                }
                1 => { part.heard(peer, done(&ring, n as u32, b as u8), &mut out); }
                2 => part.lost(peer, &mut out),
                3 => {
                    let next = SPACE().id(peer.id(SPACE()).value() + 1);
                    part.looked_up(next, Some(other), &mut out);
                }
                4 => part.own(vec![row(me, n)], n % 2 == 0, &mut out),
                5 => {
                    let question = question(&ring, b, n as u8);
                    if is_fair(SPACE(), me, peer, &question) {
                        part.asked(peer, &question, &known, &mut out);
                    }
                }
                _ => part.gone(peer.address(), &mut out),
            }
            prop_assert!(part.rows.len() <= MAX_RESULTS && part.silent.len() <= MAX_SILENT);
        }
        let asks = asks(&ring, &out);
        let mut asked: Vec<Peer> = asks.iter().map(|(child, _)| *child).collect();
        asked.sort_unstable();
        asked.dedup();
        prop_assert_eq!(asked.len(), asks.len(), "a node was asked twice");
        for (child, until) in asks {
            let fair = Question {
                search: id(&ring),
                pattern: "file".into(),
                until: until.id(SPACE()),
                depth: if begins { 1 } else { 3 },
            };
            prop_assert!(is_fair(SPACE(), child, me, &fair), "{child} up to {until}");
        }
        part.expire(&mut out);
        prop_assert!(out.contains(&Effect::Ended));
    }
}
