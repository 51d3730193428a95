//! The signals of a dashboard, and which signals a process leaves alone.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Stream;
use rustix::process::Signal as Number;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::session::Signalled;

/// The signals that a dashboard answers.
pub(super) struct Signals(Vec<(Signal, Signalled)>);

impl Signals {
    pub(super) fn new() -> io::Result<Signals> {
        // tokio has no names for these two.
        let stop = SignalKind::from_raw(Number::TSTP.as_raw());
        let go_on = SignalKind::from_raw(Number::CONT.as_raw());
        let all = [
            (SignalKind::hangup(), Signalled::Hangup),
            (SignalKind::interrupt(), Signalled::End),
            (SignalKind::terminate(), Signalled::End),
            (SignalKind::quit(), Signalled::End),
            (stop, Signalled::Stop),
            (go_on, Signalled::Continue),
        ];
        let heard = all.into_iter().filter(|(kind, _)| !stays_ignored(*kind));
        heard
            .map(|(kind, means)| Ok((signal(kind)?, means)))
            .collect::<io::Result<_>>()
            .map(Signals)
    }
}

impl Stream for Signals {
    type Item = Signalled;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Signalled>> {
        for (signal, means) in &mut self.0 {
            if signal.poll_recv(context).is_ready() {
                return Poll::Ready(Some(*means));
            }
        }
        Poll::Pending
    }
}

/// Whether the process that started this one had it ignore a signal of the terminal
/// (`nohup`; a shell without job control does so for what it runs in the
/// background): it is not listened for then, and so stays ignored.
///
/// Known from `/proc`; where there is none, no signal counts as ignored.
pub fn stays_ignored(kind: SignalKind) -> bool {
    let terminals = [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::quit()];
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    terminals.contains(&kind) && is_in(&status, kind.as_raw_value())
}

/// Whether the ignored signals of a process's status have this number among them.
fn is_in(status: &str, number: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    (1..=64).contains(&number) && mask >> (number - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_off_the_status() {
        // As nohup leaves it, with Rust's own ignored SIGPIPE.
        let status = "Name:\tchordal\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n";
        assert!(is_in(status, SignalKind::hangup().as_raw_value()));
        assert!(!is_in(status, SignalKind::interrupt().as_raw_value()));
        assert!(!is_in("", SignalKind::hangup().as_raw_value()));
        assert!(!is_in("SigIgn:\tnonsense", 1));
    }
}
