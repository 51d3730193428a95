//! Single commands through a member of a ring: `--via`.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio_util::sync::CancellationToken;

use crate::engine::client::{self, Progress};
use crate::view::{Outcome, text};

use super::args::RemoteArgs;
use super::signals::EndSignals;
use super::{Failure, runtime, say_error, show};

/// Carries out one command and prints how it ended.
pub(super) fn run(args: RemoteArgs) -> Result<(), Failure> {
    let options = client::Options {
        via: args.via,
        download_dir: args.download_dir.unwrap_or_else(|| PathBuf::from(".")),
        transfers: args.transfers,
        interrupted: CancellationToken::new(),
    };
    let bar = bar();
    let progress = |progress: Progress| follow(&bar, &progress);
    let interrupted = options.interrupted.clone();
    let end = runtime()?.block_on(async {
        let mut signals = EndSignals::listen()?;
        tokio::spawn(async move {
            signals.next().await;
            interrupted.cancel();
        });
        Ok(client::run(&options, args.command, progress).await)
    })?;
    bar.finish_and_clear();
    let outcome = end.map_err(|failed| Failure::Failed(failed.to_string()))?;
    // The text says so itself; the JSON has no place for it, and what is
    // missing must not go unnoticed.
    if let (true, Outcome::RingFiles { silent, .. }) = (args.json, &outcome)
        && !silent.is_empty()
    {
        let silent: Vec<_> = silent.iter().map(ToString::to_string).collect();
        say_error(&format!(
            "no answer from {}: files that only they hold are not listed",
            silent.join(", ")
        ));
    }
    finish(&outcome, args.json)
}

/// Prints how a command ended. A question back to the user is a failure: what
/// was asked for has not been done.
fn finish(outcome: &Outcome, json: bool) -> Result<(), Failure> {
    match outcome {
        Outcome::Ambiguous { .. } => Err(Failure::Failed(text::lines(outcome).join("\n"))),
        _ => show(outcome, json),
    }
}

/// A bar on standard error, invisible unless that is a terminal.
fn bar() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
}

/// How a phase is drawn: with its bytes, where any are counted.
const fn template(counts: bool) -> &'static str {
    if counts {
        "{msg:24} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}"
    } else {
        "{spinner} {msg}"
    }
}

fn follow(bar: &ProgressBar, progress: &Progress) {
    if bar.message() != progress.phase {
        // Rates and estimates of one phase say nothing about the next.
        bar.reset();
        if let Ok(style) = ProgressStyle::with_template(template(progress.total > 0)) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(progress.phase.clone());
        bar.enable_steady_tick(Duration::from_millis(200));
    }
    bar.set_length(progress.total);
    bar.set_position(progress.done);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::FileName;

    #[test]
    fn a_get_that_leaves_a_choice_is_a_failure() {
        let name = FileName::new("SkyShip.jpg").expect("a name");
        let outcome = Outcome::Ambiguous { name, contents: Vec::new() };
        match finish(&outcome, false) {
            Err(Failure::Failed(text)) => assert!(text.starts_with("SkyShip.jpg stands for")),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_bar_starts_anew_with_each_phase() {
        let bar = ProgressBar::hidden();
        follow(&bar, &Progress { phase: "hashing".into(), done: 7, total: 9 });
        assert_eq!((bar.position(), bar.length()), (7, Some(9)));
        follow(&bar, &Progress { phase: "sending".into(), done: 1, total: 5 });
        assert_eq!((bar.position(), bar.length()), (1, Some(5)));
        assert_eq!(bar.message(), "sending");
        let searching = "searching: 12 nodes, 3 files";
        follow(&bar, &Progress { phase: searching.into(), done: 0, total: 0 });
        assert_eq!(bar.message(), searching);
        assert!(!template(false).contains("bytes"), "a search counts none");
    }
}
