//! What it costs to find out in what two nodes differ.

use crate::record::{Content, Version};
use crate::wire::message::BRANCHES;

use super::*;

fn records(numbers: impl Iterator<Item = u32>) -> Vec<Record> {
    let one = |number| Record {
        name: name(&format!("folder {}/file {number}", number % 97)),
        version: Version { counter: 1, root: content(number as u8) },
        content: Content::File { size: 4096 },
    };
    numbers.map(one).collect()
}

/// A ring of two, each of which holds the copies of the other.
fn two(first: &[Record], second: &[Record]) -> (Cluster, Peer, Peer) {
    let mut cluster = Cluster::new(2, 2);
    let members = cluster.members();
    cluster.load(members[0], first);
    cluster.load(members[1], second);
    (cluster, members[0], members[1])
}

#[test]
fn a_hundred_thousand_files_in_sync_are_checked_with_less_than_a_kilobyte() {
    let all = records(0..100_000);
    let (mut cluster, first, _) = two(&all, &all);
    cluster.sent_bytes = 0;
    cluster.with(first, |files| files.inspect(|_| true));
    cluster.run();
    assert!(cluster.sent_bytes > 0 && cluster.sent_bytes <= 1_024, "{}", cluster.sent_bytes);
    let owned = |row: &HeldFile| row.owner;
    let mut rows = cluster.rows(first).into_iter().filter(owned).peekable();
    assert!(rows.peek().is_some());
    assert!(rows.all(|row| row.copies == 2), "every copy is counted");
}

#[test]
fn few_differences_among_many_files_cost_little_and_are_all_found() {
    // What a lone difference costs: a question with its answer for each level of
    // the tree, and a page of records each way.
    const LEVEL: usize = 2 * 64 + BRANCHES * 17;
    const PAGE: usize = 2 * MAX_PAGE * 96;
    let all = records(0..20_000);
    let levels = 4;
    for missing in [1, 8, 40] {
        // Some are unknown to the one, some to the other.
        let lost = |number: u32, parity: u32| {
            number % (20_000 / missing) == 7 && (number / (20_000 / missing)) % 2 == parity
        };
        let first = records((0..20_000).filter(|number| !lost(*number, 0)));
        let second = records((0..20_000).filter(|number| !lost(*number, 1)));
        let (mut cluster, a, b) = two(&first, &second);
        cluster.sent_bytes = 0;
        for at in [a, b] {
            cluster.with(at, |files| {
                files.inspect(|_| true);
            });
        }
        cluster.run();
        let most = 2 * LEVEL + missing as usize * (levels * LEVEL + PAGE);
        assert!(cluster.sent_bytes <= most, "{missing}: {} of {most}", cluster.sent_bytes);
        assert_eq!(cluster.fetched, missing as usize);
        for at in [a, b] {
            assert_eq!(cluster.rows(at).len(), all.len());
        }
    }
}

#[test]
fn who_has_nothing_is_told_everything_without_a_search() {
    let all = records(0..2_000);
    let (mut cluster, a, b) = two(&all, &[]);
    cluster.sent = 0;
    cluster.rounds(3);
    assert_eq!(cluster.rows(b).len(), all.len());
    let pages = all.len().div_ceil(MAX_PAGE);
    // Offers and answers, word of each copy, and what the rounds ask.
    assert!(cluster.sent < 2 * 2 * pages + 2 * all.len() + 200, "{}", cluster.sent);
    assert!(cluster.rows(a).iter().filter(|row| row.owner).all(|row| row.copies == 2));
}

#[test]
fn the_parts_of_a_part_cover_it_without_gap_or_overlap_down_to_the_deepest() {
    let mut branch = Branch::ALL;
    assert_eq!((branch.first(), branch.last()), (0, u64::MAX));
    let mut depth = 0;
    while !branch.is_deepest() {
        let parts: Vec<Branch> = branch.children().collect();
        assert_eq!(parts.len(), BRANCHES);
        assert_eq!(parts[0].first(), branch.first());
        assert_eq!(parts[BRANCHES - 1].last(), branch.last());
        for (at, pair) in parts.windows(2).enumerate() {
            assert_eq!(pair[0].last().wrapping_add(1), pair[1].first());
            assert_eq!(branch.child_of(pair[0].last()), at);
            assert_eq!(branch.child_of(pair[1].first()), at + 1);
        }
        branch = parts[depth % BRANCHES];
        depth += 1;
    }
    assert_eq!((depth, branch.children().count()), (16, 0));
    assert_eq!(branch.first(), branch.last());
}
