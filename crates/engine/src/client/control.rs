//! Transfers listed and steered from outside: `chordal pause 3 --via ADDR`. `leave`
//! is in [`super::leave`].
//!
//! A stranger must not stop what somebody else's node does, so a node obeys only
//! whoever is on its own machine.

use chordal_core::limits::MAX_PAGE;
use chordal_core::name::first_bytes;
use chordal_core::peer::Peer;
use chordal_core::wire::query::{self, Steering, TransferInfo};
use chordal_core::wire::{Request, Response};
use chordal_view::{Command, FileCount, Outcome, TransferKind, TransferRow, TransferState};

use crate::data::access::Access;
use crate::net::requests::unexpected;
use crate::transfers::Transfers;

/// What somebody on another machine hears.
pub(crate) fn elsewhere(me: Peer) -> String {
    format!(
        "transfers are listed and steered, and a node leaves, only from its own machine, {}",
        me.address()
    )
}

/// The transfers, as they travel: the newest first, those under way before those
/// that ended.
pub(crate) fn told(transfers: &Transfers) -> Response {
    let mut rows = transfers.rows();
    rows.sort_by_key(|row| row.ended_ms.is_some());
    rows.truncate(MAX_PAGE);
    Response::Transfers { rows: rows.into_iter().map(info).collect() }
}

/// Has a transfer stop, wait or go on.
pub(crate) fn steer(transfers: &Transfers, number: u64, steering: Steering) -> Response {
    match steered(transfers, number, steering) {
        Ok(name) => Response::Steered { name: cut(name) },
        Err(why) => Response::Failed { why },
    }
}

fn steered(transfers: &Transfers, number: u64, steering: Steering) -> Result<String, String> {
    match steering {
        Steering::Cancel => transfers.cancel(number),
        Steering::Pause => transfers.pause(number),
        Steering::Resume => transfers.resume(number),
    }
}

/// `transfers`, `cancel`, `pause` and `resume`, from inside and from outside;
/// `None`: it is another command.
pub(crate) async fn carry_out(
    access: &Access,
    command: &Command,
) -> Option<Result<Outcome, String>> {
    let (number, steering) = match *command {
        Command::Transfers => return Some(list(access).await),
        Command::Cancel { number } => (number, Steering::Cancel),
        Command::Pause { number } => (number, Steering::Pause),
        Command::Resume { number } => (number, Steering::Resume),
        _ => return None,
    };
    let name = match access {
        Access::Inside(data) => steered(&data.transfers, number, steering),
        Access::Outside(outside) => {
            match access.request(outside.via, Request::Steer { number, steering }).await {
                Ok(Response::Steered { name }) => Ok(name),
                Ok(other) => Err(unexpected(other)),
                Err(why) => Err(why),
            }
        }
    };
    Some(name.map(|name| match steering {
        Steering::Cancel => Outcome::Cancelled { number, name },
        Steering::Pause => Outcome::Paused { number, name },
        Steering::Resume => Outcome::Resumed { number, name },
    }))
}

async fn list(access: &Access) -> Result<Outcome, String> {
    let outside = match access {
        Access::Inside(data) => return Ok(Outcome::Transfers(data.transfers.rows())),
        Access::Outside(outside) => outside,
    };
    match access.request(outside.via, Request::Transfers).await? {
        Response::Transfers { rows } => Ok(Outcome::Transfers(rows.into_iter().map(row).collect())),
        other => Err(unexpected(other)),
    }
}

/// No more of a text than travels.
fn cut(text: String) -> String {
    first_bytes(&text, TransferInfo::MAX_TEXT).to_owned()
}

fn info(row: TransferRow) -> TransferInfo {
    let mut peers = row.peers;
    peers.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    peers.truncate(TransferInfo::MAX_PEERS);
    TransferInfo {
        number: row.number,
        name: cut(row.name),
        kind: match row.kind {
            TransferKind::Download => query::TransferKind::Download,
            TransferKind::Upload => query::TransferKind::Upload,
            TransferKind::Copy => query::TransferKind::Copy,
            TransferKind::Serve => query::TransferKind::Serve,
            TransferKind::Receive => query::TransferKind::Receive,
            TransferKind::Hash => query::TransferKind::Hash,
        },
        state: match row.state {
            TransferState::Queued => query::TransferState::Queued,
            TransferState::Running => query::TransferState::Running,
            TransferState::Paused => query::TransferState::Paused,
            TransferState::Waiting => query::TransferState::Waiting,
            TransferState::Securing { copies, wanted } => {
                query::TransferState::Securing { copies, wanted }
            }
            TransferState::Done => query::TransferState::Done,
            TransferState::Failed(why) => query::TransferState::Failed(cut(why)),
            TransferState::Cancelled => query::TransferState::Cancelled,
        },
        done: row.done,
        total: row.total,
        rate: row.rate,
        peers,
        started_ms: row.started_ms,
        ended_ms: row.ended_ms,
        files: row.files.map(|files| (files.done, files.failed, files.total)),
        part_of: row.part_of,
    }
}

fn row(info: TransferInfo) -> TransferRow {
    TransferRow {
        number: info.number,
        name: info.name,
        kind: match info.kind {
            query::TransferKind::Download => TransferKind::Download,
            query::TransferKind::Upload => TransferKind::Upload,
            query::TransferKind::Copy => TransferKind::Copy,
            query::TransferKind::Serve => TransferKind::Serve,
            query::TransferKind::Receive => TransferKind::Receive,
            query::TransferKind::Hash => TransferKind::Hash,
        },
        state: match info.state {
            query::TransferState::Queued => TransferState::Queued,
            query::TransferState::Running => TransferState::Running,
            query::TransferState::Paused => TransferState::Paused,
            query::TransferState::Waiting => TransferState::Waiting,
            query::TransferState::Securing { copies, wanted } => {
                TransferState::Securing { copies, wanted }
            }
            query::TransferState::Done => TransferState::Done,
            query::TransferState::Failed(why) => TransferState::Failed(why),
            query::TransferState::Cancelled => TransferState::Cancelled,
        },
        done: info.done,
        total: info.total,
        rate: info.rate,
        peers: info.peers,
        started_ms: info.started_ms,
        ended_ms: info.ended_ms,
        files: info.files.map(|(done, failed, total)| FileCount { done, failed, total }),
        part_of: info.part_of,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use chordal_core::limits::MAX_FRAME_BYTES;
    use chordal_core::wire::{Frame, codec};

    #[test]
    fn a_row_is_the_same_at_the_other_end() {
        let transfers = Transfers::new(Instant::now(), 4);
        let whole = transfers.open(TransferKind::Upload, "dir", 10);
        whole.count_files(FileCount { done: 1, failed: 2, total: 3 }, 4, 10);
        let part = transfers.open_part(&whole, "dir/a", 4);
        part.advance_with("127.0.0.1:2001".parse().expect("an address"), 3);
        transfers.open(TransferKind::Serve, "b", 1).end(Err("gone".to_owned()));
        let mut rows = transfers.rows();
        rows.sort_by_key(|row| row.ended_ms.is_some());
        let steady = |rows: Vec<TransferRow>| -> Vec<TransferRow> {
            rows.into_iter().map(|row| TransferRow { rate: 0, ..row }).collect()
        };
        match told(&transfers) {
            Response::Transfers { rows: told } => {
                assert_eq!(steady(told.into_iter().map(row).collect()), steady(rows));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_longest_list_fits_into_a_frame() {
        let transfers = Transfers::new(Instant::now(), 4);
        let long = "ä".repeat(4_000);
        for _ in 0..2 * MAX_PAGE {
            let transfer = transfers.open(TransferKind::Download, &long, u64::MAX);
            for port in 1..=200 {
                transfer.advance_with(([255; 16], port).into(), 1 << 50);
            }
            transfer.end(Err(long.clone()));
        }
        let response = told(&transfers);
        let Response::Transfers { rows } = &response else { panic!("{response:?}") };
        assert_eq!(rows.len(), MAX_PAGE);
        let frame = codec::encode(&Frame::Response { id: u32::MAX, response }).expect("it fits");
        assert!(frame.len() <= MAX_FRAME_BYTES, "{}", frame.len());
    }
}
