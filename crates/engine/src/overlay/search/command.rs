//! `find`: begins a search, here or at the member that a client acts through,
//! and follows it to its end.

use std::time::Duration;

use tokio::time::timeout;

use chordal_core::error::{CommandError, Reason};
use chordal_core::limits::MAX_PAGE;
use chordal_core::wire::mesh::FoundRow;
use chordal_core::wire::query::SearchState;
use chordal_core::wire::{Request, Response};
use chordal_view::{Outcome, SearchRow};

use super::find;
use super::input::{Found, Input};
use super::local_matches;
use crate::data::access::Access;
use crate::inputs::ask;
use crate::net::requests::unexpected;
use crate::overlay::Overlay;
use crate::transfers::Phases;

/// How long an answer about a search waits for something new.
const MOMENT: Duration = Duration::from_secs(1);

/// Carries out `find`; `phases` is told the progress. `inside`: for this node's user.
pub(crate) async fn find(
    access: &Access,
    inside: Option<&Overlay>,
    pattern: &str,
    phases: &dyn Phases,
) -> Result<Outcome, CommandError> {
    local_matches::check(pattern)?;
    phases.phase("searching");
    let number = match inside {
        Some(overlay) => begin(overlay, pattern.to_owned(), true).await?,
        None => {
            let request = Request::Find { pattern: pattern.to_owned() };
            match access.request(access.member().address(), request).await? {
                Response::Finding { number } => number,
                other => return Err(unexpected(access.member().address(), other)),
            }
        }
    };
    let mut found = Found::default();
    loop {
        let after = u32::try_from(found.rows.len()).unwrap_or(u32::MAX);
        let request = Request::FoundSince { number, after };
        match access.request(access.member().address(), request).await? {
            Response::FoundSince { rows, state } => {
                let last = state.ended && rows.len() < MAX_PAGE;
                found.rows.extend(rows);
                found.state = state;
                let row = find::row(number, pattern, &found);
                phases.phase(&phase(&row));
                if last {
                    return Ok(Outcome::Found(row));
                }
            }
            other => return Err(unexpected(access.member().address(), other)),
        }
    }
}

fn phase(row: &SearchRow) -> String {
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let (nodes, files) = (row.answered as usize, row.contents.len());
    format!("searching: {nodes} node{}, {files} file{}", plural(nodes), plural(files))
}

/// Begins a search of this node: its number.
pub(crate) async fn begin(
    overlay: &Overlay,
    pattern: String,
    shown: bool,
) -> Result<u32, CommandError> {
    ask(&overlay.search, |begun| Input::Find { pattern, shown, begun }).await?
}

/// What a search has found behind the first `after` rows; waits a moment when
/// that is nothing new.
pub(crate) async fn since(
    overlay: &Overlay,
    number: u32,
    after: u32,
) -> Result<(Vec<FoundRow>, SearchState), CommandError> {
    let gone = || {
        Reason::NotFound
            .because(format!("search {number} is over or was never begun; find it again"))
    };
    let following = ask(&overlay.search, |found| Input::Follow { number, found }).await?;
    let mut watched = following.ok_or_else(gone)?;
    let after = usize::try_from(after).unwrap_or(usize::MAX);
    let news = |found: &Found| found.state.ended || found.rows.len() > after;
    let current = watched.borrow_and_update().clone();
    if !news(&current) {
        let _ = timeout(MOMENT, watched.changed()).await;
    }
    let found = watched.borrow().clone();
    let rows = found.rows.iter().skip(after).take(MAX_PAGE).cloned().collect();
    Ok((rows, found.state.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_counts_nodes_and_files() {
        let mut found = Found::default();
        found.state.answered = 1;
        let row = |found: &Found| find::row(1, "x", found);
        assert_eq!(phase(&row(&found)), "searching: 1 node, 0 files");
        found.state.answered = 12;
        assert_eq!(phase(&row(&found)), "searching: 12 nodes, 0 files");
    }
}
