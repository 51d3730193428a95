//! The table by itself.

use std::time::Duration;

use super::table::{MAX_OF_NAME, MAX_OF_PEER, MAX_RECORDS, Table};
use crate::id::Space;
use crate::limits::{MAX_PAGE, PROVIDER_LIFETIME_S};
use crate::name::FileName;
use crate::peer::Peer;
use crate::record::{ContentHash, Provider};
use crate::time::Time;

fn peer(number: u32) -> Peer {
    let [_, a, b, c] = number.to_be_bytes();
    Peer::new(([127, a, b, c], 2000).into(), 0)
}

fn name(number: usize) -> FileName {
    FileName::new(&format!("file-{number}")).expect("a plain name")
}

fn said(file: usize, sharer: u32, serial: u64) -> Provider {
    Provider {
        name: name(file),
        peer: peer(sharer),
        root: ContentHash([7; 32]),
        size: 1,
        downloaded: false,
        serial,
        lifetime_s: PROVIDER_LIFETIME_S,
    }
}

fn withdrawn(file: usize, sharer: u32, serial: u64) -> Provider {
    Provider { lifetime_s: 0, ..said(file, sharer, serial) }
}

fn at(seconds: u32) -> Time {
    Time::ZERO + Duration::from_secs(seconds.into())
}

#[test]
fn the_larger_serial_wins_in_whatever_order_they_come() {
    let mut table = Table::default();
    assert!(table.take(&said(1, 1, 5), at(0)));
    assert!(!table.take(&said(1, 1, 5), at(1)), "said before");
    assert!(!table.take(&withdrawn(1, 1, 4), at(1)), "older");
    assert_eq!(table.of(&name(1), at(1)).len(), 1);
    assert!(table.take(&withdrawn(1, 1, 6), at(2)));
    assert!(!table.take(&said(1, 1, 5), at(3)), "an old word brings nothing back");
    assert!(table.of(&name(1), at(3)).is_empty());
    assert!(table.take(&said(1, 1, 7), at(4)));
    assert_eq!(table.sources(&name(1), &ContentHash([7; 32]), at(4)), 1);
    assert_eq!(table.sources(&name(1), &ContentHash([8; 32]), at(4)), 0);
}

#[test]
fn what_is_left_of_a_life_is_told_and_never_grows() {
    let mut table = Table::default();
    let long = Provider { lifetime_s: u32::MAX, ..said(1, 1, 1) };
    table.take(&long, at(0));
    let told = table.told(&name(1), peer(1), at(100)).expect("it lives");
    assert_eq!(told.lifetime_s, PROVIDER_LIFETIME_S - 100);
    let mut other = Table::default();
    other.take(&told, at(100));
    let half = at(100) + Duration::from_millis(500);
    let told = other.told(&name(1), peer(1), half).expect("it lives");
    assert_eq!(told.lifetime_s, PROVIDER_LIFETIME_S - 101, "rounded down");
    assert!(other.of(&name(1), at(PROVIDER_LIFETIME_S)).is_empty());
}

#[test]
fn what_has_ended_makes_room() {
    let mut table = Table::default();
    for file in 0..10 {
        table.take(&said(file, 1, 1), at(file as u32));
    }
    table.prune(at(PROVIDER_LIFETIME_S + 4));
    assert_eq!(table.len(), 5);
    table.prune(at(PROVIDER_LIFETIME_S + 10));
    assert_eq!(table, Table::default(), "nothing remains, not even the counts");
}

#[test]
fn a_marker_outlives_all_that_was_said_before_it_and_then_ends() {
    let mut table = Table::default();
    table.take(&said(1, 1, 1), at(0));
    table.take(&withdrawn(1, 1, 3), at(1000));
    // A word from just before the withdrawal, from somebody who missed it.
    let late = Provider { lifetime_s: 5, ..said(1, 1, 2) };
    assert!(!table.take(&late, at(1000 + PROVIDER_LIFETIME_S - 6)));
    assert!(table.told(&name(1), peer(1), at(1001)).is_some_and(|told| told.lifetime_s == 0));
    assert_eq!(table.told(&name(1), peer(1), at(1000 + PROVIDER_LIFETIME_S / 2)), None);
    table.prune(at(1000 + PROVIDER_LIFETIME_S));
    assert_eq!(table, Table::default());
}

#[test]
fn nobody_fills_the_table_alone_and_all_together_fill_it_to_its_limit() {
    let mut table = Table::default();
    for sharer in 0..6 {
        for file in 0..=MAX_OF_PEER {
            let taken = table.take(&said(file, sharer, 1), at(0));
            assert_eq!(taken, file < MAX_OF_PEER && sharer < 4, "{sharer} {file}");
        }
    }
    assert_eq!(table.len(), MAX_RECORDS);
    assert!(table.take(&said(3, 3, 2), at(1)), "what is known can still be said again");
    assert!(table.take(&withdrawn(3, 3, 3), at(1)));
    assert_eq!(table.len(), MAX_RECORDS);
}

#[test]
fn a_crowd_under_one_name_hides_nobody_who_was_there_before() {
    let mut table = Table::default();
    table.take(&said(1, 0, 1), at(0));
    table.take(&said(1, 1, 1), at(0));
    for sharer in 2..3 * MAX_OF_NAME as u32 {
        table.take(&said(1, sharer, 1), at(1));
    }
    let known = table.of(&name(1), at(1));
    assert_eq!(known.len(), MAX_OF_NAME);
    assert!(known.iter().any(|one| one.peer == peer(0)));
    // Whoever withdraws makes room for another one.
    table.take(&withdrawn(1, 1, 2), at(2));
    assert!(table.take(&said(1, 10_000, 1), at(2)));
    assert!(!table.take(&said(1, 10_001, 1), at(2)));
    assert_eq!(table.of(&name(1), at(2)).len(), MAX_OF_NAME);
    assert_eq!(table.len(), MAX_OF_NAME);
}

#[test]
fn pages_go_through_everything_once_also_where_one_name_has_many_sharers() {
    let mut table = Table::default();
    for file in 0..5 {
        for sharer in 0..100 {
            table.take(&said(file, sharer, 1), at(0));
        }
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = table.page(Space::default(), |_| true, after.as_ref(), at(0));
        let Some(last) = page.last() else { break };
        assert!(page.len() <= MAX_PAGE);
        after = Some((last.name.clone(), last.peer));
        seen.extend(page);
    }
    assert_eq!(seen.len(), 500);
    assert!(seen.is_sorted_by(|a, b| (&a.name, a.peer) < (&b.name, b.peer)));
}
