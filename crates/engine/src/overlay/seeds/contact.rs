//! The connection to one registry: kept as long as the node runs, made again
//! when it breaks, at growing intervals while nothing answers.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use crate::net::connection;
use crate::net::connection::ConnectError;
use crate::net::frames::{Broken, Frames};
use crate::net::pace::Pace;
use crate::net::verify;
use crate::overlay::Overlay;
use chordal_core::registry::MAX_PEERS;
use chordal_core::wire::Frame;
use chordal_core::wire::handshake::{HandshakeError, Hello, Program, Purpose};
use chordal_core::wire::registry::{News, Report};

use super::Heard;

/// The first pause after a failure; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause, to which up to as much again is added by chance: so long
/// a registry that is back may go unnoticed.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// A registry asks for a sign of life every 15 seconds; one of which nothing is
/// heard for so long is gone.
const SILENT: Duration = Duration::from_secs(45);

/// A node that is not listed after this says again where it is.
const AGAIN: Duration = Duration::from_secs(10);

/// News taken from a registry at once, and then one in so long: a full list is
/// 86 pages, and a registry that sends more than this is read more slowly.
const NEWS: (u32, Duration) = (1_024, Duration::from_millis(5));

/// A node that was taken off the list says so after this: it lives.
const BACK: Duration = Duration::from_secs(1);

/// An address at which something else than a registry answered so often in a row, in about
/// six seconds, is not tried any more.
const STRANGERS: u32 = 5;

/// Pages of a list at the most; a list that does not end by then never does.
const MAX_PAGES: usize = 2 * MAX_PEERS;

/// A node's contact with one registry.
pub(super) struct Contact {
    overlay: Overlay,
    registry: SocketAddr,
    /// So long something that says nothing may turn out to be a registry.
    patience: Duration,
    heard: mpsc::Sender<(SocketAddr, Heard)>,
}

/// How a connection ended.
enum End {
    /// The node ends.
    Over,
    /// It broke, or could not be made.
    Lost(String),
    /// Something answers there, but no registry.
    NoRegistry(String),
    /// Something takes connections there and says nothing.
    Silent(String),
}

impl Contact {
    pub(super) fn new(
        overlay: Overlay,
        registry: SocketAddr,
        patience: Duration,
        heard: mpsc::Sender<(SocketAddr, Heard)>,
    ) -> Contact {
        Contact { overlay, registry, patience, heard }
    }

    /// Runs until the node ends. `place` is what the registry is to say of this
    /// node; its end is the node's end in order.
    pub(super) async fn run(
        self,
        mut place: watch::Receiver<Option<Report>>,
        mut reports: mpsc::Receiver<Report>,
    ) {
        let stop = self.overlay.data.net.stop.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = self.keep(&mut place, &mut reports) => {}
        }
    }

    async fn keep(
        &self,
        place: &mut watch::Receiver<Option<Report>>,
        reports: &mut mpsc::Receiver<Report>,
    ) {
        let mut pause = FIRST_PAUSE;
        let (mut known, mut strangers) = (false, 0);
        let mut silent_since: Option<Instant> = None;
        loop {
            let begun = Instant::now();
            let mut was_up = false;
            let why = match self.connection(place, reports, &mut was_up).await {
                End::Over => return,
                End::Lost(why) => {
                    (strangers, silent_since) = (0, None);
                    why
                }
                End::Silent(why) => {
                    let since = *silent_since.get_or_insert(begun);
                    if since.elapsed() >= self.patience && !known {
                        self.tell(Heard::NoRegistry(why)).await;
                        return while place.changed().await.is_ok() {};
                    }
                    why
                }
                End::NoRegistry(why) => {
                    strangers += 1;
                    if strangers >= STRANGERS && !known {
                        self.tell(Heard::NoRegistry(why)).await;
                        return while place.changed().await.is_ok() {};
                    }
                    why
                }
            };
            known |= was_up;
            if was_up && begun.elapsed() > LONGEST_PAUSE {
                pause = FIRST_PAUSE;
            }
            self.tell(Heard::Lost { why, was_up }).await;
            let by_chance = pause.mul_f64(fastrand::f64());
            let ended = async { while place.changed().await.is_ok() {} };
            tokio::select! {
                () = ended => return,
                () = tokio::time::sleep(pause + by_chance) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
            // What died meanwhile is old: the registry checks for itself.
            while reports.try_recv().is_ok() {}
        }
    }

    /// One connection, from its making to its end.
    async fn connection(
        &self,
        place: &mut watch::Receiver<Option<Report>>,
        reports: &mut mpsc::Receiver<Report>,
        was_up: &mut bool,
    ) -> End {
        if place.borrow().is_some()
            && let Some(why) = verify::leads_elsewhere(&self.overlay.data.net).await
        {
            // The registry would take this node for the one that has the address.
            return End::Lost(why);
        }
        let hello = self.overlay.data.net.me().hello(Purpose::Registry);
        let ended = async { while place.changed().await.is_ok() {} };
        let dialled = tokio::select! {
            dialled = connection::dial_anybody(self.registry, &hello) => dialled,
            () = ended => return End::Over,
        };
        let stream = match dialled {
            Ok((_, Hello { program: Program::Node | Program::Client, .. })) => {
                return End::NoRegistry("this is a node, not a registry".to_owned());
            }
            Ok((_, Hello { refusal: Some(why), .. })) => return End::Lost(why),
            Ok((stream, _)) => stream,
            Err(ConnectError::Handshake(HandshakeError::NotChordal)) => {
                return End::NoRegistry("not chordal: it speaks something else".to_owned());
            }
            Err(ConnectError::Io(error)) if error.kind() == ErrorKind::UnexpectedEof => {
                return End::NoRegistry("not chordal: it closes the connection".to_owned());
            }
            Err(error @ ConnectError::Silent) => return End::Silent(error.to_string()),
            Err(error) => return End::Lost(error.to_string()),
        };
        *was_up = true;
        self.tell(Heard::Connected).await;
        self.exchange(&mut Frames::new(stream), place, reports).await
    }

    async fn exchange(
        &self,
        frames: &mut Frames,
        place: &mut watch::Receiver<Option<Report>>,
        reports: &mut mpsc::Receiver<Report>,
    ) -> End {
        let lost = |broken: Broken| End::Lost(broken.to_string());
        let mut pace = Pace::new(NEWS.0, NEWS.1, Instant::now());
        let mut heard = Instant::now();
        let mut pages = 0;
        // Whether the registry lists this node, and when to remind it if not.
        let (mut listed, mut remind) = (false, Instant::now() + AGAIN);
        let mut told_unlisted = false;
        let now = place.borrow_and_update().clone();
        let mut on_it = now.is_some();
        // A node that is not listed needs the list, too.
        if let Err(broken) = frames.send(&Frame::Report(now.unwrap_or(Report::List))).await {
            return lost(broken);
        }
        loop {
            let report = tokio::select! {
                frame = frames.next() => {
                    heard = Instant::now();
                    if let Err(wait) = pace.take(heard) {
                        tokio::time::sleep(wait).await;
                        let _ = pace.take(Instant::now());
                    }
                    let news = match frame {
                        Ok(Frame::News(news)) => news,
                        Ok(_) => return End::Lost("it does not speak as a registry".to_owned()),
                        Err(broken) => return lost(broken),
                    };
                    let me = self.overlay.data.net.me().me;
                    match &news {
                        News::Peers { more, peers } => {
                            listed |= peers.iter().any(|peer| peer.address == me.address());
                            pages = if *more { pages + 1 } else { 0 };
                            if pages > MAX_PAGES {
                                return End::Lost("its list does not end".to_owned());
                            }
                        }
                        News::Came(peer) => listed |= peer.address == me.address(),
                        News::Gone { peer, .. } if peer.address() == me.address() => {
                            listed = false;
                            remind = heard + BACK;
                        }
                        News::Gone { .. } => {}
                        News::Ping => {}
                    }
                    let ping = news == News::Ping;
                    self.tell(Heard::News(news)).await;
                    if !ping {
                        continue;
                    }
                    Report::Pong
                }
                changed = place.changed() => {
                    if changed.is_err() {
                        return self.goodbye(frames, on_it).await;
                    }
                    let now = place.borrow_and_update().clone();
                    remind = Instant::now() + AGAIN;
                    match (now, on_it) {
                        (Some(connect), _) => {
                            on_it = true;
                            connect
                        }
                        (None, true) => {
                            (on_it, listed) = (false, false);
                            Report::Leave
                        }
                        (None, false) => continue,
                    }
                }
                Some(report) = reports.recv() => report,
                () = tokio::time::sleep_until(remind.into()), if on_it && !listed => {
                    remind = Instant::now() + AGAIN;
                    if !std::mem::replace(&mut told_unlisted, true) {
                        self.tell(Heard::Unlisted).await;
                    }
                    match place.borrow().clone() {
                        Some(connect) => connect,
                        None => continue,
                    }
                }
                () = tokio::time::sleep_until((heard + SILENT).into()) => {
                    return End::Lost("nothing is heard of it".to_owned());
                }
            };
            if let Err(broken) = frames.send(&Frame::Report(report)).await {
                return lost(broken);
            }
        }
    }

    /// The node ends in order: it leaves the list, if it is still on it.
    async fn goodbye(&self, frames: &mut Frames, on_it: bool) -> End {
        if on_it {
            let _ = frames.send(&Frame::Report(Report::Leave)).await;
        }
        let _ = frames.send(&Frame::Bye).await;
        End::Over
    }

    async fn tell(&self, what: Heard) {
        let _ = self.heard.send((self.registry, what)).await;
    }
}
