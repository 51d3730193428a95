//! The loop over a registry.

use super::*;
use crate::tests::registry::{event, listed, snapshot};

/// Runs a session over a registry while `story` acts from outside.
fn watch_registry<F: Future<Output = ()>>(
    story: impl FnOnce(Outside) -> F,
) -> Result<Ended, UiError> {
    play_over(snapshot(5000, Vec::new()), |_| (), story)
}

async fn drawn(seen: &Seen, wish: impl Fn(&Record) -> bool) {
    while !seen.with(|record| wish(record)) {
        tokio::task::yield_now().await;
    }
}

#[test]
fn what_a_registry_reports_is_drawn_and_q_ends_it() {
    let ended = watch_registry(|outside| async move {
        let listed = Arc::new(snapshot(5000, vec![listed(2000)]));
        outside.snapshots.send(listed).expect("it listens");
        outside.events.send(event(1)).await.expect("it listens");
        let shown = |record: &Record| record.frames.last().is_some_and(|frame| frame.1 == 1);
        drawn(&outside.seen, shown).await;
        drawn(&outside.seen, |record| record.written.contains("chordal registry :5000 ●1")).await;
        outside.press(KeyCode::Char('q'), KeyModifiers::NONE);
        outside.keys.closed().await;
    });
    assert!(matches!(ended, Ok(Ended::Quit)), "{ended:?}");
}

#[test]
fn a_registry_that_ends_stays_on_the_screen() {
    let ended = watch_registry(|outside| async move {
        let listed = Arc::new(snapshot(5000, vec![listed(2000)]));
        outside.snapshots.send(listed).expect("it listens");
        let Outside { seen, snapshots, events, commands, keys, signals } = outside;
        drop((snapshots, events));
        drawn(&seen, |record| record.written.contains("chordal registry :5000 ●1")).await;
        signals.send(Signalled::End).expect("it listens");
        signals.closed().await;
        drop((commands, keys));
    });
    assert!(matches!(ended, Ok(Ended::Quit)), "{ended:?}");
}

#[test]
fn a_stop_gives_the_terminal_back_and_a_continue_takes_it_again() {
    let ended = watch_registry(|outside| async move {
        let Outside { seen, .. } = &outside;
        outside.control('z');
        drawn(seen, |record| record.calls == ["stop group"]).await;
        outside.signals.send(Signalled::Continue).expect("it listens");
        drawn(seen, |record| record.calls == ["stop group", "resume"]).await;
        seen.with(|record| record.cannot_stop = true);
        outside.control('z');
        outside.control('l');
        drawn(seen, |record| record.calls.contains(&"repaint")).await;
        outside.control('c');
        outside.keys.closed().await;
        assert_eq!(seen.with(|record| record.calls.len()), 3, "no second stop");
    });
    assert!(matches!(ended, Ok(Ended::Quit)), "{ended:?}");
}

#[test]
fn when_the_terminal_goes_away_nothing_is_written_any_more() {
    for (gone, calls) in [(false, &["give back", "abandon"][..]), (true, &["abandon"])] {
        let ended = watch_registry(|outside| async move {
            outside.seen.with(|record| record.gone = gone);
            outside.signals.send(Signalled::Hangup).expect("it listens");
            outside.keys.closed().await;
            outside.until("abandon").await;
            assert_eq!(outside.seen.with(|record| record.calls.clone()), calls);
        });
        assert!(matches!(ended, Ok(Ended::Hangup)), "{ended:?}");
    }
}

#[test]
fn at_rest_it_draws_once_a_second() {
    let ended = watch_registry(|outside| async move {
        let Outside { seen, signals, .. } = &outside;
        drawn(seen, |record| record.frames.len() == 1).await;
        let first = Instant::now();
        drawn(seen, |record| record.frames.len() == 2).await;
        assert!(first.elapsed() > Duration::from_millis(900), "{:?}", first.elapsed());
        signals.send(Signalled::End).expect("it listens");
        signals.closed().await;
    });
    assert!(matches!(ended, Ok(Ended::Quit)), "{ended:?}");
}
