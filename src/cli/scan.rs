//! `chordal scan`: which ports of a host have nodes behind them, seen from
//! here. Needs no ring and no node.

use std::io::{self, IsTerminal};

use super::address;
use super::args::ScanArgs;
use super::failure::Failure;
use super::output::show;
use super::runtime::runtime;
use super::signals::EndSignals;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio_util::sync::CancellationToken;

use chordal_engine::client;
use chordal_view::ScanRow;

/// Tries the ports and prints what is behind them. To have found nothing is no
/// failure.
pub(super) fn run(args: &ScanArgs) -> Result<(), Failure> {
    let (host, ports) = (args.host.as_deref(), args.ports.as_deref());
    let bar = bar();
    let end = runtime()?.block_on(async {
        let mut signals = EndSignals::listen()?;
        let interrupted = CancellationToken::new();
        let token = interrupted.clone();
        tokio::spawn(async move {
            signals.next().await;
            token.cancel();
        });
        let progress = |row: &ScanRow| follow(&bar, row);
        Ok(client::scan(address::DEFAULT, host, ports, &interrupted, progress).await)
    })?;
    bar.finish_and_clear();
    let outcome = end.map_err(|error| Failure::Command { error, json: args.json })?;
    show(&outcome, args.json)
}

/// A bar on standard error, invisible unless that is a terminal.
fn bar() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("scanning {pos}/{len} [{bar:30}] {msg}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

fn follow(bar: &ProgressBar, row: &ScanRow) {
    bar.set_length(u64::from(row.total));
    bar.set_message(row.host.clone());
    bar.set_position(u64::from(row.done));
}

#[cfg(test)]
mod tests {
    use super::*;
    use chordal_core::id::Space;

    #[test]
    fn the_bar_counts_ports() {
        let bar = ProgressBar::hidden();
        let row = ScanRow {
            number: 0,
            host: "127.0.0.1".into(),
            total: 10,
            done: 7,
            ports: Vec::new(),
            space: Space::default(),
        };
        follow(&bar, &row);
        assert_eq!((bar.position(), bar.length()), (7, Some(10)));
    }
}
