//! The loop: waits, takes in everything that is ready, draws once. Order of
//! attention: signals, keys, panics, registries, the clock.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossterm::event::Event;
use futures_util::future::FutureExt;
use futures_util::stream::{BoxStream, SelectAll, select_all, unfold};
use futures_util::{Stream, StreamExt};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use super::Feed;
use super::draw::window_title;
use super::state::{App, Do};
use crate::screen::Screen;
use crate::session::{BATCH, CLOCK, FRAMES, LOOK, Signalled, ready};
use crate::{Ended, UiError, terminal};
use chordal_view::UiEvent;
use chordal_view::registry::RegistrySnapshot;

/// Something that a registry, told by its number, reported.
enum News {
    Snapshot(usize, Arc<RegistrySnapshot>),
    Event(usize, UiEvent),
    Ended(usize),
}

/// Why the loop ends.
enum End {
    Ended(Ended),
    Failed(io::Error),
}

/// One dashboard from its first frame to its end.
pub(super) struct Session<S> {
    app: App,
    screen: S,
    news: SelectAll<BoxStream<'static, News>>,
    start: Instant,
    title: String,
    /// Something changed since the last frame.
    dirty: bool,
    /// A key changed it: no waiting.
    urgent: bool,
    drawn: Option<Instant>,
    /// A stop that is to be carried out; `true`: with the whole group, as by
    /// the terminal.
    stopping: Option<bool>,
}

impl<S: Screen<App>> Session<S> {
    /// A session over these registries; `app` shows their snapshots already.
    pub(super) fn new(app: App, screen: S, feeds: Vec<Feed>) -> Session<S> {
        Session {
            app,
            screen,
            news: select_all(
                feeds.into_iter().enumerate().flat_map(|(at, feed)| reports(at, feed)),
            ),
            start: Instant::now(),
            title: String::new(),
            dirty: true,
            urgent: true,
            drawn: None,
            stopping: None,
        }
    }

    /// Runs until the end. `panics` waits for a panic of a background task.
    pub(super) async fn run(
        mut self,
        keys: impl Stream<Item = io::Result<Event>> + Unpin,
        signals: impl Stream<Item = Signalled> + Unpin,
        panics: impl Future<Output = String>,
    ) -> Result<Ended, UiError> {
        let end = self.until_end(keys, signals, panics).await;
        let gone = self.screen.is_gone();
        match end {
            Err(End::Failed(why)) if !gone => return Err(UiError::Terminal(why)),
            Err(End::Ended(ended)) if ended != Ended::Hangup => return Ok(ended),
            Ok(()) | Err(_) => {}
        }
        if !gone {
            // Only a signal: the terminal is still there for others.
            if let Err(why) = self.screen.give_back() {
                tracing::warn!("the terminal could not be restored: {why}");
            }
        }
        self.screen.abandon();
        Ok(Ended::Hangup)
    }

    async fn until_end(
        &mut self,
        mut keys: impl Stream<Item = io::Result<Event>> + Unpin,
        mut signals: impl Stream<Item = Signalled> + Unpin,
        panics: impl Future<Output = String>,
    ) -> Result<(), End> {
        let mut panics = pin!(panics.fuse());
        let mut panicked = false;
        let mut look = interval_at(Instant::now() + LOOK, LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.paint()?;
            let wake = self.next_wake();
            tokio::select! {
                biased;
                signal = signals.next() => self.signal(signal.unwrap_or(Signalled::Hangup))?,
                key = keys.next() => self.input(key)?,
                what = &mut panics, if !panicked => {
                    panicked = true;
                    self.app.background_panic(&what);
                    self.dirty = true;
                }
                Some(news) = self.news.next() => self.take(news),
                _ = look.tick() => if self.screen.is_gone() {
                    return Err(End::Ended(Ended::Hangup));
                },
                () = sleep_until(wake) => self.dirty = true,
            }
            while let Some(Some(signal)) = ready(&mut signals).await {
                self.signal(signal)?;
            }
            for _ in 0..BATCH {
                let Some(key) = ready(&mut keys).await else { break };
                self.input(key)?;
            }
            for _ in 0..BATCH {
                let Some(Some(news)) = ready(&mut self.news).await else { break };
                self.take(news);
            }
            if let Some(group) = self.stopping.take() {
                self.stop(group, &mut signals).await?;
            }
        }
    }

    fn paint(&mut self) -> Result<(), End> {
        let now = Instant::now();
        let due = self.drawn.is_none_or(|drawn| now >= drawn + FRAMES);
        if !(self.dirty && (self.urgent || due)) {
            return Ok(());
        }
        self.tell_time();
        self.screen.draw(&mut self.app).map_err(End::Failed)?;
        let title = window_title(&self.app);
        if title != self.title {
            self.screen.write(&terminal::title(&title)).map_err(End::Failed)?;
            self.title = title;
        }
        self.drawn = Some(now);
        (self.dirty, self.urgent) = (false, false);
        Ok(())
    }

    fn tell_time(&mut self) {
        self.app.now = self.start.elapsed();
        let unix = SystemTime::now().duration_since(UNIX_EPOCH);
        self.app.unix_s = unix.as_ref().map_or(0, Duration::as_secs);
    }

    /// When to draw although nothing arrives: ages count seconds.
    fn next_wake(&self) -> Instant {
        let drawn = self.drawn.unwrap_or(self.start);
        drawn + if self.dirty { FRAMES } else { CLOCK }
    }

    fn signal(&mut self, signal: Signalled) -> Result<(), End> {
        (self.dirty, self.urgent) = (true, true);
        match signal {
            Signalled::Hangup => return Err(End::Ended(Ended::Hangup)),
            Signalled::End => return Err(End::Ended(Ended::Quit)),
            Signalled::Stop => self.stopping = Some(false),
            Signalled::Continue => {
                // Of a stop and a go in one batch the go counts: stopping now
                // would be for ever.
                self.stopping = None;
                self.resume()?;
            }
        }
        Ok(())
    }

    fn input(&mut self, input: Option<io::Result<Event>>) -> Result<(), End> {
        let event = match input {
            None => return Err(End::Ended(Ended::Hangup)),
            Some(Err(why)) if why.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Some(Err(why)) => return Err(End::Failed(why)),
            Some(Ok(event)) => event,
        };
        self.tell_time();
        (self.dirty, self.urgent) = (true, true);
        let Event::Key(key) = event else { return Ok(()) };
        match self.app.key(key) {
            None => {}
            Some(Do::End) => return Err(End::Ended(Ended::Quit)),
            Some(Do::Suspend) => self.stopping = Some(true),
            Some(Do::Repaint) => self.screen.repaint().map_err(End::Failed)?,
            Some(Do::Copy(text)) => {
                let text = terminal::clipboard(&text);
                self.screen.write(&text).map_err(End::Failed)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, news: News) {
        self.tell_time();
        self.dirty |= match news {
            News::Snapshot(at, snapshot) => self.app.snapshot_changed(at, snapshot),
            News::Event(at, event) => self.app.event(at, event),
            News::Ended(at) => {
                self.app.ended(at);
                true
            }
        };
    }

    /// Gives the terminal back, stops, and goes on when continued.
    async fn stop(
        &mut self,
        group: bool,
        signals: &mut (impl Stream<Item = Signalled> + Unpin),
    ) -> Result<(), End> {
        (self.dirty, self.urgent) = (true, true);
        if group && !self.screen.can_stop() {
            let text = "no shell would bring the program back from a stop; use another terminal";
            self.app.message = Some(text.to_owned());
            return Ok(());
        }
        self.screen.stop(group).map_err(End::Failed)?;
        // We stop some instants after asking for it, and other signals may
        // come first when we go on.
        let mut kept = None;
        while kept.is_none() {
            match signals.next().await.unwrap_or(Signalled::Hangup) {
                Signalled::Continue => break,
                Signalled::Stop => {}
                other => kept = Some(other),
            }
        }
        self.resume()?;
        self.app.message =
            Some("stopped for a while: nobody was checked, and nodes may have gone".to_owned());
        kept.map_or(Ok(()), |signal| self.signal(signal))
    }

    fn resume(&mut self) -> Result<(), End> {
        self.title.clear();
        self.screen.resume().map_err(End::Failed)
    }
}

/// What a registry reports, as two streams, so that neither waits for the
/// other. Of its snapshots only the latest is seen.
fn reports(at: usize, feed: Feed) -> [BoxStream<'static, News>; 2] {
    let snapshots = unfold(Some(feed.snapshots), move |snapshots| async move {
        let mut snapshots = snapshots?;
        match snapshots.changed().await {
            Ok(()) => {
                let snapshot = snapshots.borrow_and_update().clone();
                Some((News::Snapshot(at, snapshot), Some(snapshots)))
            }
            Err(_) => Some((News::Ended(at), None)),
        }
    });
    let events = unfold(feed.events, move |mut events| async move {
        let event = events.recv().await?;
        Some((News::Event(at, event), events))
    });
    [snapshots.boxed(), events.boxed()]
}
