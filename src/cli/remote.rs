//! Single commands through a member of a ring: `--via`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::args::RemoteArgs;
use super::failure::Failure;
use super::output::{say_error, show};
use super::progress::Bars;
use super::runtime::runtime;
use super::signals::EndSignals;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use chordal_descriptors as descriptors;
use chordal_engine::client::{self, Progress};
use chordal_view::{Outcome, Reason, text};

/// Carries out one command and prints how it ended.
pub(super) fn run(args: RemoteArgs) -> Result<(), Failure> {
    let options = client::Options {
        via: args.via,
        download_dir: args.download_dir.unwrap_or_else(|| PathBuf::from(".")),
        transfers: args.transfers,
        wait: args.wait,
        interrupted: CancellationToken::new(),
    };
    let bars = Arc::new(Mutex::new(Bars::new()));
    let lines = || bars.lock();
    let told = Arc::clone(&bars);
    descriptors::tell(move |text| {
        told.lock().say(text);
        true
    });
    let progress = |progress: Progress| lines().follow(&progress, Instant::now());
    let interrupted = options.interrupted.clone();
    let end = runtime()?.block_on(async {
        let mut signals = EndSignals::listen()?;
        tokio::spawn(async move {
            signals.next().await;
            interrupted.cancel();
        });
        Ok(client::run(&options, args.command, progress).await)
    })?;
    lines().clear();
    let mut outcome = end.map_err(|error| Failure::Command { error, json: args.json })?;
    if let Some(missing) = missing(&mut outcome) {
        say_error(&missing);
    }
    finish(outcome, args.json)
}

/// What a list of the whole ring lacks, as one sentence; the list says so no more.
/// Beside it, whoever passes the list on does not overlook it.
fn missing(outcome: &mut Outcome) -> Option<String> {
    let (silent, means) = match outcome {
        Outcome::RingFiles { silent, .. } => (silent, "files that only they hold are not listed"),
        Outcome::Ring { silent, .. } => (silent, "the others are listed and checked"),
        _ => return None,
    };
    let silent: Vec<_> = std::mem::take(silent).iter().map(ToString::to_string).collect();
    (!silent.is_empty()).then(|| format!("no answer from {}: {means}", silent.join(", ")))
}

/// Prints how a command ended. A question back to the user is a failure: what
/// was asked for has not been done. So is a directory of which files failed.
fn finish(mut outcome: Outcome, json: bool) -> Result<(), Failure> {
    let failure =
        |reason: Reason, why: String| Failure::Command { error: reason.because(why), json };
    let failed = match &mut outcome {
        Outcome::Ambiguous { .. } => {
            return Err(failure(Reason::Ambiguous, text::lines(&outcome).join("\n")));
        }
        Outcome::Left(end) if end.kept.is_failure() => {
            let why = text::left_behind(&end.kept, false);
            return Err(failure(Reason::Partial, why.unwrap_or_default()));
        }
        Outcome::StoredAll { failed, .. } | Outcome::FetchedAll { failed, .. } => {
            std::mem::take(failed)
        }
        _ => Vec::new(),
    };
    let none = matches!(
        outcome,
        Outcome::StoredAll { stored: 0, already: 0, .. }
            | Outcome::FetchedAll { fetched: 0, already: 0, .. }
    );
    if failed.is_empty() || !none {
        show(&outcome, json)?;
    }
    match failed.as_slice() {
        [] => Ok(()),
        failed => Err(failure(Reason::Partial, text::failures(failed).join("\n"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chordal_core::name::FileName;

    #[test]
    fn a_get_that_leaves_a_choice_is_a_failure() {
        let name = FileName::new("SkyShip.jpg").expect("a name");
        let outcome = Outcome::Ambiguous { name, contents: Vec::new() };
        match finish(outcome, false) {
            Err(Failure::Command { error, .. }) => {
                assert_eq!(error.kind(), "ambiguous");
                assert!(error.to_string().starts_with("SkyShip.jpg stands for"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_directory_of_which_a_file_failed_is_a_failure_that_names_it() {
        let outcome = |failed| Outcome::StoredAll {
            name: FileName::new("holiday").expect("a name"),
            stored: 1,
            already: 0,
            bytes: 5,
            millis: 1,
            failed,
            skipped: Vec::new(),
            cut_off: 0,
            outvoted: 0,
            example: None,
        };
        assert!(finish(outcome(Vec::new()), false).is_ok());
        match finish(outcome(vec![("holiday/x".into(), "it is gone".into())]), false) {
            Err(Failure::Command { error, .. }) => {
                assert_eq!(error.to_string(), "1 file failed:\n  holiday/x: it is gone");
            }
            other => panic!("{other:?}"),
        }
    }
}
