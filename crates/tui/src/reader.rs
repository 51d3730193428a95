//! The keys of the real terminal, read on a thread of their own.
//!
//! crossterm's reader does not return any more once its terminal has gone away:
//! it reads the end of the file, or an error, again and again. On a thread that is never
//! joined it can neither hide that from the dashboard nor keep the program from ending.

use std::io;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, channel};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use crossterm::event::{Event, EventStream};
use futures_util::{Stream, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

/// Keys waiting for the dashboard: more than anybody types between two frames;
/// a large paste waits in the terminal meanwhile.
const QUEUE: usize = 256;

/// How long the end waits for the reader to let go of the terminal, so that what
/// is typed next is the shell's. One that has lost its terminal never does.
const LET_GO: Duration = Duration::from_millis(100);

/// What is typed, clicked and resized, in order.
pub(super) struct Keys {
    events: mpsc::Receiver<io::Result<Event>>,
    /// Dropped, it stops the reader.
    stop: Option<oneshot::Sender<()>>,
    /// Its other end goes with the reader.
    ended: Receiver<()>,
}

impl Keys {
    /// Starts to read. Needs a tokio runtime.
    pub(super) fn read() -> io::Result<Keys> {
        let (tell, events) = mpsc::channel(QUEUE);
        let (stop, mut stopped) = oneshot::channel::<()>();
        let (alive, ended) = channel::<()>();
        let runtime = Handle::current();
        thread::Builder::new().name("keys".to_owned()).spawn(move || {
            let _alive = alive;
            runtime.block_on(async move {
                let mut stream = EventStream::new();
                loop {
                    let event = tokio::select! {
                        biased;
                        _ = &mut stopped => return,
                        event = stream.next() => event,
                    };
                    let Some(event) = event else { return };
                    if tell.send(event).await.is_err() {
                        return;
                    }
                }
            });
        })?;
        Ok(Keys { events, stop: Some(stop), ended })
    }
}

impl Stream for Keys {
    type Item = io::Result<Event>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_recv(context)
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.events.close();
        self.stop = None;
        let _ = self.ended.recv_timeout(LET_GO);
    }
}
