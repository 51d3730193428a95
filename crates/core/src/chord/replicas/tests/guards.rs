//! Single calls at the moments when belief and truth differ: what is late,
//! out of order, from the wrong node, or too much.

use crate::chord::replicas::disk::Disk;
use crate::chord::replicas::*;
use crate::chord::{Effect, Failure, Found, Reply, StoreOp};
use crate::id::Id;
use crate::record::{Content, Version};
use crate::wire::message::Verdict;

use super::cluster::{Cluster, content, name};
use super::stored;

#[test]
fn what_arrives_late_or_makes_no_sense_changes_nothing() {
    let mut cluster = Cluster::new(5, 3);
    let (version, holders, _) = stored(cluster.put("a", 1, false));
    let before = cluster.node(holders[0]).replicas.clone();
    let stranger = cluster.members().into_iter().find(|p| !holders.contains(p)).expect("a fifth");
    cluster.with(holders[0], |files| {
        files.stored(999, Ok(()));
        files.copies_late(999);
        files.held(stranger, name("a"), version);
        files.held(stranger, name("b"), version);
        files.located(Id::new(5), None);
        let records = vec![(name("a"), version)];
        let span = Span { from: Id::new(0), to: Id::new(0) };
        let asked = FileAsk::Offer {
            why: OfferReason::Put,
            peer: holders[1],
            span,
            branch: Branch::ALL,
            records: records.clone(),
        };
        let short = Answer::Offer { verdicts: Vec::new(), clock_s: 0 };
        files.answer(holders[1], asked, Some(short));
        let asked = FileAsk::MayDrop { span, after: name("a"), records };
        files.answer(holders[1], asked, Some(Answer::Pong));
        assert!(files.out.is_empty(), "{:?}", files.out);
    });
    assert_eq!(cluster.node(holders[0]).replicas, before);
}

/// What a node answers to the question whether this may go.
fn may_drop(cluster: &mut Cluster, at: Peer, from: Peer, version: Version) -> bool {
    let ask = Ask::MayDrop { records: vec![(name("a"), version)] };
    let answer = cluster.with(at, |files| files.ask(from, &ask).expect("about files"));
    answer == Answer::MayDrop { may: vec![true] }
}

#[test]
fn only_the_owner_consents_and_only_for_what_it_has() {
    let mut cluster = Cluster::new(6, 3);
    let (version, holders, _) = stored(cluster.put("a", 1, false));
    let stranger = cluster.members().into_iter().find(|p| !holders.contains(p)).expect("a sixth");
    assert!(may_drop(&mut cluster, holders[0], stranger, version));
    assert!(!may_drop(&mut cluster, holders[0], holders[2], version), "it is one of the wanted");
    assert!(!may_drop(&mut cluster, holders[1], stranger, version), "not the owner");
    let newer = Version { counter: 2, ..version };
    assert!(!may_drop(&mut cluster, holders[0], stranger, newer), "a version unknown here");
    // A new neighbour has not been asked yet.
    cluster.kill(holders[2]);
    cluster.notice();
    assert!(!may_drop(&mut cluster, holders[0], stranger, version));
}

#[test]
fn a_leaver_acknowledges_nothing() {
    let mut cluster = Cluster::new(4, 3);
    stored(cluster.put("a", 1, false));
    let holders = cluster.placed("a");
    cluster.begin_leave(holders[1]);
    let record = cluster.node(holders[1]).replicas.record(&name("a")).cloned().expect("held");
    let offer = Ask::Offer { records: vec![record], clock_s: 0, put: true };
    let answers = cluster.with(holders[1], |files| {
        let span = Span { from: Id::new(0), to: Id::new(0) };
        let Sum { digest, records } =
            files.state.disk.sum(files.ring.space, span, Branch::ALL, None);
        let (from, to, branch) = (span.from, span.to, Branch::ALL);
        let inventory = Ask::Inventory { from, to, branch, digest, records, counted: None };
        let first = files.ask(holders[0], &offer).expect("about files");
        (first, files.ask(holders[0], &inventory).expect("about files"))
    });
    assert_eq!(answers.0, Answer::Offer { verdicts: vec![Verdict::Later], clock_s: 0 });
    assert_eq!(answers.1, Answer::Inventory { same: false, records: 0, branches: Vec::new() });
}

#[test]
fn a_statement_that_overtakes_its_answer_counts() {
    let mut cluster = Cluster::new(3, 3);
    let (version, holders, _) = stored(cluster.put("a", 1, false));
    let offered = FileAsk::Offer {
        why: OfferReason::Put,
        peer: holders[1],
        span: Span { from: Id::new(0), to: Id::new(0) },
        branch: Branch::ALL,
        records: vec![(name("a"), version)],
    };
    let late = Answer::Offer { verdicts: vec![Verdict::Wanted], clock_s: 0 };
    cluster.with(holders[0], |files| {
        files.answer(holders[1], offered, Some(late));
    });
    assert_eq!(cluster.row(holders[0], "a").copies, 3);
}

#[test]
fn a_copy_that_vanished_unnoticed_is_no_longer_counted() {
    let mut cluster = Cluster::new(3, 3);
    let (.., holders, _) = stored(cluster.put("a", 1, false));
    cluster.kill(holders[1]);
    cluster.wipe(holders[1]);
    cluster.node(holders[1]).full = true;
    cluster.revive(holders[1]);
    cluster.rounds(1);
    assert_eq!(cluster.row(holders[0], "a").copies, 2);
}

#[test]
fn an_answer_from_before_a_holder_went_and_came_back_is_not_believed() {
    let mut cluster = Cluster::new(4, 3);
    let (.., holders, _) = stored(cluster.put("a", 1, false));
    cluster.with(holders[0], |files| {
        files.repair();
        let nonce = files.asks.iter().find(|(_, to, _)| *to == holders[1]).map(|(nonce, ..)| nonce);
        let nonce = nonce.expect("asked in every round");
        let without: Vec<Peer> =
            files.ring.successors.iter().copied().filter(|peer| *peer != holders[1]).collect();
        let ring = RingView { successors: &without, ..files.ring };
        Files { state: files.state, ring, asks: files.asks, out: files.out }.ring_changed();
        files.ring_changed();
        assert_eq!(files.asks.close(nonce, holders[1]), None);
        assert_eq!(files.state.holders(&files.ring, &name("a")), [holders[0], holders[2]]);
        files.out.clear();
    });
}

#[test]
fn consent_that_comes_too_late_deletes_nothing() {
    let mut cluster = Cluster::new(5, 3);
    let (version, holders, _) = stored(cluster.put("a", 1, false));
    let span = Span { from: Id::new(0), to: Id::new(0) };
    for holder in holders {
        let records = vec![(name("a"), version)];
        let asked = FileAsk::MayDrop { span, after: name("a"), records };
        let consent = Answer::MayDrop { may: vec![true] };
        cluster.with(holder, |files| {
            files.answer(files.ring.successors[0], asked, Some(consent));
            assert!(
                !files.out.iter().any(|effect| matches!(effect, Effect::Store { .. })),
                "{:?}",
                files.out
            );
        });
    }
}

#[test]
fn a_holder_that_its_owner_does_not_know_yet_keeps_its_copy() {
    let mut cluster = Cluster::new(5, 3);
    let members = cluster.members();
    let new = members[1];
    let root = content(1);
    let file = (0..999).map(|i| format!("file {i}"));
    let mut mine =
        file.filter(|n| cluster.placed(n)[1] == new && cluster.placed(n)[0] == members[0]);
    let file = name(&mine.next().expect("some name"));
    let version = Version { counter: 1, root };
    cluster.with(new, |files| {
        let content = Content::File { size: 1 };
        files.state.start(vec![Record { name: file.clone(), version, content }]);
        files.state.covers.clear();
        files.hand_over();
        let key = files.state.wants_lookup().expect("it is out of place");
        let found = Found {
            key,
            owner: members[0],
            predecessor: Some(members[4]),
            successors: members[2..].to_vec(),
            hops: Vec::new(),
        };
        files.located(key, Some(&found));
        assert!(files.out.is_empty(), "{:?}", files.out);
        files.state.disk = Disk::default();
    });
}

#[test]
fn a_put_whose_node_left_meanwhile_is_not_acknowledged() {
    let mut cluster = Cluster::new(2, 1);
    let owner = cluster.placed("a")[0];
    let ticket = cluster.begin_put(owner, "a", 1, false);
    let before = cluster.node(owner).replicas.clone();
    let (&store, _) = before.jobs.iter().next().expect("the disk works");
    cluster.with(owner, |files| {
        files.ring.membership = Membership::Leaving;
        files.leave();
        assert!(!files.state.handed_over(), "a put is under way");
        files.state.left();
        files.ring.membership = Membership::Left;
        files.stored(store, Ok(()));
        let reply = Reply::Failed(Failure::NotOwner);
        assert!(files.out.contains(&Effect::Reply { ticket, reply }), "{:?}", files.out);
        files.out.retain(|effect| !matches!(effect, Effect::Store { .. }));
    });
}

#[test]
fn what_does_not_fit_into_the_queue_is_offered_again() {
    let mut cluster = Cluster::new(2, 2);
    let members = cluster.members();
    let record = |i: u32| Record {
        name: name(&format!("file {i}")),
        version: Version { counter: 1, root: content(1) },
        content: Content::File { size: 1 },
    };
    cluster.with(members[0], |files| {
        for i in 0..4096 + 8 {
            let offer = Ask::Offer { records: vec![record(i), record(i)], clock_s: 0, put: true };
            let answer = files.ask(members[1], &offer).expect("about files");
            assert_eq!(answer, Answer::Offer { verdicts: vec![Verdict::Wanted; 2], clock_s: 0 });
        }
        let offer = Ask::Offer { records: vec![record(9999)], clock_s: 0, put: true };
        let answer = files.ask(members[1], &offer).expect("about files");
        assert_eq!(answer, Answer::Offer { verdicts: vec![Verdict::Later], clock_s: 0 });
        let fetches = files.out.iter().filter(|effect| {
            matches!(effect, Effect::Store { op: StoreOp::Keep { sources, .. }, .. }
                if *sources == [members[1]])
        });
        assert_eq!(fetches.count(), 8);
        files.out.clear();
    });
}
