//! Transfers listed and steered from outside: `chordal pause 3 --via ADDR`. `leave`
//! is in [`super::leave`].
//!
//! A stranger must not stop what another user's node does, so a node obeys only
//! clients on its own machine.

use chordal_core::error::{CommandError, Reason};
use chordal_core::limits::MAX_PAGE;
use chordal_core::name::first_bytes;
use chordal_core::peer::Peer;
use chordal_core::wire::query::{Steering, TransferRow, TransferState};
use chordal_core::wire::{Request, Response};
use chordal_view::{Command, Outcome};

use crate::data::access::Access;
use crate::net::requests::unexpected;
use crate::transfers::Transfers;

/// The refusal to a client on another machine.
pub(crate) fn refusal_to_remote_clients(me: Peer) -> CommandError {
    Reason::NotAllowed.because(format!(
        "transfers are listed and steered, and a node leaves, only from its own machine, {}",
        me.address()
    ))
}

/// The transfers, as they travel: the newest first, those under way before those
/// that ended.
pub(crate) fn transfers_response(transfers: &Transfers) -> Response {
    let mut rows = transfers.rows();
    rows.sort_by_key(|row| row.ended_ms.is_some());
    rows.truncate(MAX_PAGE);
    Response::Transfers { rows: rows.into_iter().map(shortened).collect() }
}

/// Has a transfer stop, wait or go on.
pub(crate) fn steer(transfers: &Transfers, number: u64, steering: Steering) -> Response {
    steered(transfers, number, steering).map(|name| Response::Steered { name: cut(name) }).into()
}

fn steered(transfers: &Transfers, number: u64, steering: Steering) -> Result<String, CommandError> {
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
) -> Option<Result<Outcome, CommandError>> {
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
                Ok(other) => Err(unexpected(outside.via, other)),
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

async fn list(access: &Access) -> Result<Outcome, CommandError> {
    let outside = match access {
        Access::Inside(data) => return Ok(Outcome::Transfers(data.transfers.rows())),
        Access::Outside(outside) => outside,
    };
    match access.request(outside.via, Request::Transfers).await? {
        Response::Transfers { rows } => Ok(Outcome::Transfers(rows)),
        other => Err(unexpected(outside.via, other)),
    }
}

/// No more of a text than travels.
fn cut(text: String) -> String {
    first_bytes(&text, TransferRow::MAX_TEXT).to_owned()
}

/// A transfer, as much of it as travels.
fn shortened(mut row: TransferRow) -> TransferRow {
    row.peers.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    row.peers.truncate(TransferRow::MAX_PEERS);
    row.name = cut(row.name);
    if let TransferState::Failed(why) = row.state {
        row.state = TransferState::Failed(cut(why));
    }
    row
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use chordal_core::limits::MAX_FRAME_BYTES;
    use chordal_core::wire::query::{FileCount, TransferKind};
    use chordal_core::wire::{Frame, codec};

    #[test]
    fn a_row_is_the_same_at_the_other_end() {
        let transfers = Transfers::new(Instant::now(), 4);
        let whole = transfers.open(TransferKind::Upload, "dir", 10);
        whole.count_files(FileCount { done: 1, failed: 2, total: 3 }, 4, 10);
        let part = transfers.open_part(&whole, "dir/a", 4);
        part.advance_with("127.0.0.1:2001".parse().expect("an address"), 3);
        transfers.open(TransferKind::Serve, "b", 1).end(Err(CommandError::Stopping));
        let mut rows = transfers.rows();
        rows.sort_by_key(|row| row.ended_ms.is_some());
        let steady = |rows: Vec<TransferRow>| -> Vec<TransferRow> {
            rows.into_iter().map(|row| TransferRow { rate: 0, ..row }).collect()
        };
        match transfers_response(&transfers) {
            Response::Transfers { rows: told } => {
                assert_eq!(steady(told), steady(rows));
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
            transfer.end(Err(CommandError::Usage(long.clone())));
        }
        let response = transfers_response(&transfers);
        let Response::Transfers { rows } = &response else { panic!("{response:?}") };
        assert_eq!(rows.len(), MAX_PAGE);
        let frame = codec::encode(&Frame::Response { id: u32::MAX, response }).expect("it fits");
        assert!(frame.len() <= MAX_FRAME_BYTES, "{}", frame.len());
    }
}
