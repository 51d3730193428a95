//! Which transfers are listed, and in which order.

use std::collections::{BTreeMap, BTreeSet};

use super::{TransferRow, TransferState};

/// Files of one directory that are listed below it, at most: those at work, then
/// those that failed. What they are part of says how many there are.
pub const PARTS: usize = 4;

/// The transfers as they are listed: as they come, but what the user began and is
/// not over first, however many copies a ring makes meanwhile; and each file of a
/// directory below that, no more of them than tell something.
pub fn listed(rows: &[TransferRow]) -> Vec<&TransferRow> {
    let there: BTreeSet<u64> = rows.iter().map(|row| row.number).collect();
    let whole = |row: &TransferRow| row.part_of.filter(|whole| there.contains(whole));
    let mut parts: BTreeMap<u64, Vec<&TransferRow>> = BTreeMap::new();
    for row in rows {
        if let Some(whole) = whole(row) {
            parts.entry(whole).or_default().push(row);
        }
    }
    let mut listed = Vec::with_capacity(rows.len());
    let mut tops: Vec<&TransferRow> = rows.iter().filter(|row| whole(row).is_none()).collect();
    // Stable: otherwise they stay in their order.
    tops.sort_by_key(|row| !(row.kind.is_the_users() && row.state.is_under_way()));
    for row in tops {
        listed.push(row);
        let parts = parts.remove(&row.number).unwrap_or_default();
        let at_work = parts.iter().filter(|row| row.state.is_under_way());
        let failed = parts.iter().filter(|row| matches!(row.state, TransferState::Failed(_)));
        listed.extend(at_work.chain(failed).take(PARTS));
    }
    listed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TransferKind;

    fn row(number: u64, part_of: Option<u64>, state: TransferState) -> TransferRow {
        TransferRow {
            number,
            name: format!("f{number}"),
            kind: TransferKind::Upload,
            state,
            done: 0,
            total: 1,
            rate: 0,
            peers: Vec::new(),
            started_ms: 0,
            ended_ms: None,
            files: None,
            part_of,
        }
    }

    fn order(rows: &[TransferRow]) -> Vec<u64> {
        listed(rows).into_iter().map(|row| row.number).collect()
    }

    #[test]
    fn the_files_of_a_directory_stand_below_it() {
        use TransferState::{Done, Failed, Paused, Queued, Running};
        let rows = [
            row(9, Some(2), Running),
            row(8, None, Running),
            row(7, Some(2), Done),
            row(6, Some(2), Failed("no".into())),
            row(5, Some(2), Queued),
            row(4, Some(1), Paused),
            row(2, None, Running),
        ];
        assert_eq!(order(&rows), [8, 4, 2, 9, 5, 6], "1 is not there any more");
    }

    #[test]
    fn what_the_user_waits_for_stands_above_the_copies_of_the_ring() {
        use TransferState::{Done, Running};
        let copy =
            |number, state| TransferRow { kind: TransferKind::Copy, ..row(number, None, state) };
        let rows = [
            copy(9, Running),
            row(8, None, Done),
            copy(7, Done),
            row(3, None, Running),
            row(2, None, Running),
        ];
        assert_eq!(order(&rows), [3, 2, 9, 8, 7]);
    }

    #[test]
    fn of_many_files_some_are_listed() {
        let mut rows: Vec<_> = (2..60).map(|n| row(n, Some(1), TransferState::Running)).collect();
        rows.push(row(1, None, TransferState::Running));
        assert_eq!(order(&rows), [1, 2, 3, 4, 5]);
        assert!(order(&[]).is_empty());
    }
}
