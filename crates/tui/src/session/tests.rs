//! The loop against a screen that only counts, with keys and signals from
//! channels.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Waker};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use futures_util::stream;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::super::fixture;
use super::*;
use chordal_view::HandedOver;
use chordal_view::{Command, CommandError, Outcome, Snapshot, UiEvent};

mod registry;

/// What a screen was asked for, shared with the test.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Record>>);

#[derive(Default)]
struct Record {
    /// The prompt's line and the number of events of each frame.
    frames: Vec<(String, usize)>,
    written: String,
    calls: Vec<&'static str>,
    cannot_stop: bool,
    gone: bool,
    broken: bool,
}

impl Seen {
    fn with<T>(&self, look: impl FnOnce(&mut Record) -> T) -> T {
        look(&mut self.0.lock())
    }
}

impl Screen for Seen {
    fn draw(&mut self, app: &mut App) -> io::Result<()> {
        let frame = (app.prompt.input.value().to_owned(), app.nodes[0].events.len());
        self.with(|record| {
            record.frames.push(frame);
            if record.broken { Err(io::Error::other("broken")) } else { Ok(()) }
        })
    }

    fn repaint(&mut self) -> io::Result<()> {
        self.with(|record| record.calls.push("repaint"));
        Ok(())
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.with(|record| record.written.push_str(text));
        Ok(())
    }

    fn mouse(&mut self, on: bool) -> io::Result<()> {
        self.with(|record| record.calls.push(if on { "mouse on" } else { "mouse off" }));
        Ok(())
    }

    fn give_back(&mut self) -> io::Result<()> {
        self.with(|record| record.calls.push("give back"));
        Ok(())
    }

    fn can_stop(&self) -> bool {
        self.with(|record| !record.cannot_stop)
    }

    fn stop(&mut self, group: bool) -> io::Result<()> {
        self.with(|record| record.calls.push(if group { "stop group" } else { "stop" }));
        Ok(())
    }

    fn resume(&mut self) -> io::Result<()> {
        self.with(|record| record.calls.push("resume"));
        Ok(())
    }

    fn is_gone(&self) -> bool {
        self.with(|record| record.gone)
    }

    fn abandon(&mut self) {
        self.with(|record| record.calls.push("abandon"));
    }
}

type Submission = (Command, tokio::sync::oneshot::Sender<Result<Outcome, CommandError>>);

/// The far ends of a session's channels.
struct Outside {
    seen: Seen,
    snapshots: watch::Sender<Arc<Snapshot>>,
    events: mpsc::Sender<UiEvent>,
    commands: mpsc::Receiver<Submission>,
    keys: mpsc::UnboundedSender<io::Result<Event>>,
    signals: mpsc::UnboundedSender<Signalled>,
}

impl Outside {
    fn press(&self, code: KeyCode, modifiers: KeyModifiers) {
        self.keys
            .send(Ok(Event::Key(KeyEvent::new(code, modifiers))))
            .expect("the session listens");
    }

    fn control(&self, c: char) {
        self.press(KeyCode::Char(c), KeyModifiers::CONTROL);
    }

    /// Ctrl-C once more, as late as a second wish has to come.
    async fn control_again(&self) {
        tokio::time::sleep(crate::SAME_WISH + Duration::from_millis(50)).await;
        self.control('c');
    }

    /// Until the screen was asked for this.
    async fn until(&self, call: &str) {
        while !self.seen.with(|record| record.calls.contains(&call)) {
            tokio::task::yield_now().await;
        }
    }

    fn run(&self, line: &str) {
        line.chars().for_each(|c| self.press(KeyCode::Char(c), KeyModifiers::NONE));
        self.press(KeyCode::Enter, KeyModifiers::NONE);
    }
}

/// A terminal's keys as crossterm hands them over: between two keys it keeps
/// the first waker that it is given, and no other.
#[derive(Clone, Default)]
struct Terminal(Arc<Mutex<(VecDeque<char>, Option<Waker>)>>);

impl Terminal {
    fn press(&self, c: char) {
        let mut inside = self.0.lock();
        inside.0.push_back(c);
        if let Some(waker) = inside.1.take() {
            waker.wake();
        }
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Option<io::Result<Event>>> {
        let mut inside = self.0.lock();
        if let Some(c) = inside.0.pop_front() {
            let key = KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE);
            return Poll::Ready(Some(Ok(Event::Key(key))));
        }
        inside.1.get_or_insert_with(|| context.waker().clone());
        Poll::Pending
    }
}

type Keys = mpsc::UnboundedReceiver<io::Result<Event>>;
type Caught = mpsc::UnboundedReceiver<Signalled>;

fn session() -> (Session<Seen>, Keys, Caught, Outside) {
    session_over(fixture::member())
}

fn session_over(snapshot: Snapshot) -> (Session<Seen>, Keys, Caught, Outside) {
    let seen = Seen::default();
    let (snapshots, latest) = watch::channel(Arc::new(snapshot.clone()));
    let (events, shown) = mpsc::channel(8_192);
    let (submit, commands) = mpsc::channel(8);
    let (keys, pressed) = mpsc::unbounded_channel();
    let (signals, caught) = mpsc::unbounded_channel();
    let app = fixture::started(vec![snapshot]);
    let feed = Feed { snapshots: latest, events: shown, commands: submit };
    let session = Session::new(app, seen.clone(), vec![feed], None);
    let outside = Outside { seen, snapshots, events, commands, keys, signals };
    (session, pressed, caught, outside)
}

/// Runs a session on a runtime of its own while `story` acts from outside.
fn play<F: Future<Output = ()>>(
    prepare: impl FnOnce(&mut Session<Seen>),
    story: impl FnOnce(Outside) -> F,
) -> Result<Ended, UiError> {
    play_over(fixture::member(), prepare, story)
}

fn play_over<F: Future<Output = ()>>(
    snapshot: Snapshot,
    prepare: impl FnOnce(&mut Session<Seen>),
    story: impl FnOnce(Outside) -> F,
) -> Result<Ended, UiError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let (mut session, mut keys, mut signals, outside) = session_over(snapshot);
        prepare(&mut session);
        let keys = stream::poll_fn(move |context| keys.poll_recv(context));
        let signals = stream::poll_fn(move |context| signals.poll_recv(context));
        let run = session.run(keys, signals, std::future::pending());
        let (ended, ()) = tokio::join!(run, story(outside));
        ended
    })
}

fn event(text: &str) -> UiEvent {
    UiEvent { unix_ms: 0, level: Level::Info, step: None, text: text.to_owned() }
}

#[test]
fn a_key_is_painted_before_a_flood_of_events_is_taken_in() {
    let flood = 8_000;
    let ended = play(
        |_| (),
        |outside| async move {
            for number in 0..flood {
                outside.events.try_send(event(&number.to_string())).expect("room");
            }
            outside.press(KeyCode::Char('x'), KeyModifiers::NONE);
            let typed = |record: &mut Record| {
                record.frames.iter().find(|(line, _)| line == "x").map(|(_, events)| *events)
            };
            let mut painted = None;
            while painted.is_none() {
                tokio::task::yield_now().await;
                painted = outside.seen.with(typed);
            }
            assert!(painted < Some(1_000), "{painted:?}");
            outside.control('c');
            outside.control_again().await;
            outside.keys.closed().await;
        },
    );
    assert!(matches!(ended, Ok(Ended::Interrupted)), "{ended:?}");
}

#[test]
fn at_rest_nothing_is_painted_and_nothing_wakes_it() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(async {
        let (mut session, _keys, _signals, outside) = session();
        let quiet = Snapshot { transfers: Vec::new(), ..fixture::member() };
        session.app.snapshot_changed(0, Arc::new(quiet));
        assert!(session.paint().is_ok());
        assert!(session.paint().is_ok());
        assert_eq!(outside.seen.with(|record| record.frames.len()), 1);
        assert_eq!(session.next_wake(), None);
    });
}

#[test]
fn news_wait_for_their_frame_but_a_key_does_not() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(async {
        let (mut session, _keys, _signals, outside) = session();
        let frames = || outside.seen.with(|record| record.frames.len());
        assert!(session.paint().is_ok());
        // As if the first frame were painted in the future, so that the test's
        // own pace does not matter.
        let drawn = Instant::now() + Duration::from_secs(60);
        session.drawn = Some(drawn);
        session.news(News::Event(0, event("one")));
        session.news(News::Event(0, event("two")));
        assert!(session.paint().is_ok());
        assert_eq!((frames(), session.next_wake()), (1, Some(drawn + FRAMES)));
        let key = KeyEvent::new(KeyCode::Char('x'), KeyModifiers::NONE);
        assert!(session.input(Some(Ok(Event::Key(key)))).is_ok());
        assert!(session.paint().is_ok());
        assert_eq!(frames(), 2);
    });
}

#[test]
fn only_the_latest_snapshot_counts() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(async {
        let (mut session, _keys, _signals, outside) = session();
        assert!(session.inbox.ready().is_none());
        for uptime_ms in 1..=100 {
            let snapshot = Snapshot { uptime_ms, ..fixture::member() };
            outside.snapshots.send_replace(Arc::new(snapshot));
        }
        let Some(News::Snapshot(0, snapshot)) = session.inbox.ready() else {
            panic!("no snapshot");
        };
        assert_eq!(snapshot.uptime_ms, 100);
        assert!(session.inbox.ready().is_none());
    });
}

#[test]
fn a_command_goes_to_its_node_and_its_end_comes_back() {
    let ended = play(
        |_| (),
        |mut outside| async move {
            outside.run("ping :2001");
            let (command, reply) = outside.commands.recv().await.expect("submitted");
            assert_eq!(command, Command::Ping { peer: ":2001".into() });
            let pong = Outcome::Pong { peer: fixture::peer(2001), micros: 1 };
            assert!(reply.send(Ok(pong)).is_ok());
            outside.signals.send(Signalled::End).expect("heard");
            let (command, reply) = outside.commands.recv().await.expect("submitted");
            assert_eq!(command, Command::Quit);
            assert!(reply.send(Ok(Outcome::Left(HandedOver::default()))).is_ok());
            outside.keys.closed().await;
        },
    );
    assert!(matches!(ended, Ok(Ended::Quit)), "{ended:?}");
}

#[test]
fn a_second_ctrl_c_ends_at_once() {
    let ended = play(
        |_| (),
        |mut outside| async move {
            outside.control('c');
            let _unanswered = outside.commands.recv().await.expect("submitted");
            outside.control_again().await;
            outside.keys.closed().await;
        },
    );
    assert!(matches!(ended, Ok(Ended::Interrupted)), "{ended:?}");
}

#[test]
fn a_node_that_has_ended_does_not_hold_the_end_up() {
    let ended = play(
        |_| (),
        |outside| async move {
            drop(outside.commands);
            outside.signals.send(Signalled::End).expect("heard");
            outside.keys.closed().await;
        },
    );
    assert!(matches!(ended, Ok(Ended::Quit)), "{ended:?}");
}

#[test]
fn when_the_terminal_goes_away_the_node_leaves_and_nothing_is_written() {
    type Loss = fn(&Outside);
    // A signal alone does not mean that the terminal is gone: it is restored.
    let losses: [(Loss, &[&str]); 2] = [
        (
            |outside| outside.signals.send(Signalled::Hangup).expect("heard"),
            &["give back", "abandon"],
        ),
        (
            |outside| {
                outside.seen.with(|record| (record.gone, record.broken) = (true, true));
                outside.press(KeyCode::Char('x'), KeyModifiers::NONE);
            },
            &["abandon"],
        ),
    ];
    for (lose, expected) in losses {
        let seen = Seen::default();
        let record = seen.clone();
        let ended = play(
            |_| (),
            |mut outside| async move {
                lose(&outside);
                // The program that runs the node has it leave.
                assert!(outside.commands.recv().await.is_none());
                let calls = outside.seen.with(|record| record.calls.clone());
                record.with(|record| record.calls = calls);
            },
        );
        assert!(matches!(ended, Ok(Ended::Hangup)), "{ended:?}");
        assert_eq!(seen.with(|record| record.calls.clone()), expected);
    }
}

#[test]
fn the_end_of_the_keys_is_the_end_of_the_terminal() {
    let ended = play(
        |_| (),
        |outside| async move {
            let Outside { keys, commands, signals, .. } = outside;
            drop(keys);
            signals.closed().await;
            drop(commands);
        },
    );
    assert!(matches!(ended, Ok(Ended::Hangup)), "{ended:?}");
}

#[test]
fn a_stop_gives_the_terminal_back_until_the_shell_continues() {
    let ended = play(
        |_| (),
        |mut outside| async move {
            outside.control('z');
            outside.until("stop group").await;
            outside.press(KeyCode::Char('x'), KeyModifiers::NONE);
            outside.signals.send(Signalled::Continue).expect("heard");
            outside.until("resume").await;
            outside.signals.send(Signalled::Stop).expect("heard");
            outside.until("stop").await;
            // A signal that came while we stood still is heard afterwards.
            outside.signals.send(Signalled::End).expect("heard");
            let (command, _unanswered) = outside.commands.recv().await.expect("submitted");
            assert_eq!(command, Command::Quit);
            let calls = outside.seen.with(|record| record.calls.clone());
            assert_eq!(calls, ["stop group", "resume", "stop", "resume"]);
            outside.control_again().await;
            outside.keys.closed().await;
        },
    );
    assert!(matches!(ended, Ok(Ended::Interrupted)), "{ended:?}");
}

#[test]
fn a_stop_and_a_go_in_one_batch_do_not_stop_it() {
    let ended = play(
        |_| (),
        |outside| async move {
            outside.signals.send(Signalled::Stop).expect("heard");
            outside.signals.send(Signalled::Continue).expect("heard");
            outside.until("resume").await;
            assert_eq!(outside.seen.with(|record| record.calls.clone()), ["resume"]);
            drop(outside.commands);
            outside.signals.send(Signalled::End).expect("heard");
            outside.keys.closed().await;
        },
    );
    assert!(matches!(ended, Ok(Ended::Quit)), "{ended:?}");
}

#[test]
fn ctrl_z_is_refused_where_nobody_would_continue_us() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(async {
        let (mut session, _keys, mut signals, outside) = session();
        outside.seen.with(|record| record.cannot_stop = true);
        let mut signals = stream::poll_fn(move |context| signals.poll_recv(context));
        assert!(session.stop(Stop::Key, &mut signals).await.is_ok());
        assert!(outside.seen.with(|record| record.calls.is_empty()));
        let message = session.app.prompt.message.as_ref().expect("a message");
        assert!(message.text.contains("no shell"));
    });
}

#[test]
fn the_title_names_the_node_and_is_written_only_when_it_changes() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(async {
        let (mut session, _keys, _signals, outside) = session();
        for _ in 0..2 {
            (session.dirty, session.urgent) = (true, true);
            assert!(session.paint().is_ok());
        }
        let written = outside.seen.with(|record| record.written.clone());
        assert_eq!(written, "\u{1b}]2;chordal 466 :2000 ●3\u{7}");
    });
}

#[test]
fn a_snapshot_is_never_written_over_another_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("chordal-466.json");
    let name = path.to_str().expect("plain");
    for number in 0..3 {
        let (level, text) = export(name, &number.to_string());
        assert_eq!(level, Level::Info, "{text}");
    }
    let read = |name| std::fs::read_to_string(directory.path().join(name)).expect("written");
    assert_eq!(read("chordal-466.json"), "0");
    assert_eq!(read("chordal-466 (2).json"), "2");
    let (level, text) = export("/nowhere/at/all.json", "x");
    assert_eq!(level, Level::Error, "{text}");
}

#[test]
fn every_key_is_painted_at_once_on_a_terminal_that_keeps_one_waker() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let (mut session, _keys, mut signals, outside) = session();
        let quiet = Snapshot { transfers: Vec::new(), ..fixture::member() };
        session.app.snapshot_changed(0, Arc::new(quiet));
        let terminal = Terminal::default();
        let typist = {
            let (terminal, seen) = (terminal.clone(), outside.seen.clone());
            let signals = outside.signals.clone();
            // Somebody outside: a task of this runtime would wake the session.
            std::thread::spawn(move || {
                let start = Instant::now();
                let mut line = String::new();
                for c in "abcdefghij".chars() {
                    line.push(c);
                    terminal.press(c);
                    let painted =
                        |record: &mut Record| record.frames.last().is_some_and(|f| f.0 == line);
                    while !seen.with(painted) && start.elapsed() < LOOK * 10 {
                        std::thread::yield_now();
                    }
                }
                let took = start.elapsed();
                let _ = signals.send(Signalled::End);
                // A second wish has to come late enough to be one.
                std::thread::sleep(crate::SAME_WISH + Duration::from_millis(50));
                let _ = signals.send(Signalled::End);
                took
            })
        };
        let keys = stream::poll_fn(move |context| terminal.poll(context));
        let signals = stream::poll_fn(move |context| signals.poll_recv(context));
        let ended = session.run(keys, signals, std::future::pending()).await;
        assert!(matches!(ended, Ok(Ended::Interrupted)), "{ended:?}");
        let took = typist.join().expect("the typist");
        // Painted only at every look they would take ten times as long as one.
        assert!(took < LOOK * 5, "ten keys took {took:?}");
    });
}

#[test]
fn what_a_labs_other_nodes_report_is_no_reason_to_paint() {
    let (mut session, _keys, _signals, _outside) = session();
    assert!(session.paint().is_ok());
    session.news(News::Snapshot(1, Arc::new(fixture::member())));
    session.news(News::Event(1, event("elsewhere")));
    session.news(News::Event(0, UiEvent { level: Level::Detail, ..event("hidden") }));
    assert!(!session.dirty);
    session.news(News::Event(0, event("here")));
    assert!(session.dirty);
}
