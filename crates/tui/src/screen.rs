//! The real terminal as a session sees it.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use rustix::process::{Signal, getpgrp, getpid, getsid, kill_current_process_group, kill_process};

use super::draw;
use super::state::App;
use super::terminal::{self, Mode, RestoreOnDrop, TerminalGuard, Tty};

/// Bytes of a frame: a full one at 250×80 with colours is written at once.
const FRAME_BYTES: usize = 128 * 1024;

/// What a session needs of a terminal.
pub(super) trait Screen {
    /// Draws one frame, all of it at once.
    fn draw(&mut self, app: &mut App) -> io::Result<()>;
    /// Makes the next frame draw every cell.
    fn repaint(&mut self) -> io::Result<()>;
    /// Writes an escape sequence that moves nothing: a title, the clipboard.
    fn write(&mut self, text: &str) -> io::Result<()>;
    /// Switches the mouse on or off.
    fn mouse(&mut self, on: bool) -> io::Result<()>;
    /// Gives the terminal back for good.
    fn give_back(&mut self) -> io::Result<()>;
    /// Whether a shell would continue the process if it stopped.
    fn can_stop(&self) -> bool;
    /// Gives the terminal back and stops the process (with its `group`: as
    /// the terminal itself would).
    fn stop(&mut self, group: bool) -> io::Result<()>;
    /// Takes the terminal again.
    fn resume(&mut self) -> io::Result<()>;
    /// Whether the terminal has gone away.
    fn is_gone(&self) -> bool;
    /// Writes nothing from now on.
    fn abandon(&mut self);
}

/// The terminal of the process. Dropping it restores every mode.
pub(super) struct TerminalScreen {
    terminal: Terminal<CrosstermBackend<BufWriter<FrameWriter>>>,
    gone: Arc<AtomicBool>,
    /// The modes to switch on after a stop.
    modes: Vec<Mode>,
    // Dropped last: ratatui's terminal shows the cursor when it is dropped.
    guard: RestoreOnDrop<Tty>,
}

impl TerminalScreen {
    /// Switches the modes on.
    pub(super) fn open() -> io::Result<TerminalScreen> {
        let guard = RestoreOnDrop(TerminalGuard::new(Tty::stdout()?));
        let gone = Arc::new(AtomicBool::new(false));
        let pen = FrameWriter { tty: Tty::stdout()?, gone: Arc::clone(&gone) };
        let writer = BufWriter::with_capacity(FRAME_BYTES, pen);
        guard.0.switch_on(&Mode::AT_START)?;
        let terminal = Terminal::new(CrosstermBackend::new(writer))?;
        Ok(TerminalScreen { terminal, gone, modes: Vec::new(), guard })
    }

    /// The guard of its modes.
    pub(super) fn guard(&self) -> TerminalGuard<Tty> {
        self.guard.0.clone()
    }
}

impl Screen for TerminalScreen {
    fn draw(&mut self, app: &mut App) -> io::Result<()> {
        // Synchronized update: the terminal shows the frame when it is whole.
        self.terminal.backend_mut().write_all(b"\x1b[?2026h")?;
        self.terminal.draw(|frame| draw::draw(frame, app))?;
        self.terminal.backend_mut().write_all(b"\x1b[?2026l")?;
        Write::flush(self.terminal.backend_mut())
    }

    fn repaint(&mut self) -> io::Result<()> {
        // Not `clear`: it asks for the cursor's place, and the answer goes to
        // the reader of keys.
        let size = self.terminal.size()?;
        self.terminal.resize(Rect::from((ratatui::layout::Position::ORIGIN, size)))
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.guard.0.write(text)
    }

    fn mouse(&mut self, on: bool) -> io::Result<()> {
        if on {
            self.guard.0.switch_on(&[Mode::Mouse])
        } else {
            self.guard.0.switch_off(Mode::Mouse)
        }
    }

    fn give_back(&mut self) -> io::Result<()> {
        self.guard.0.restore()
    }

    fn can_stop(&self) -> bool {
        // In the group of the session's leader no process would continue this one:
        // no shell with job control started it (a bare tmux pane).
        getsid(None).is_ok_and(|session| session != getpgrp())
    }

    fn stop(&mut self, group: bool) -> io::Result<()> {
        self.modes = self.guard.0.modes();
        self.guard.0.restore()?;
        // Not TSTP, which we catch.
        if group {
            kill_current_process_group(Signal::STOP)?;
        } else {
            kill_process(getpid(), Signal::STOP)?;
        }
        Ok(())
    }

    fn resume(&mut self) -> io::Result<()> {
        let modes = std::mem::take(&mut self.modes);
        if modes.is_empty() {
            // Stopped and continued by signals that cannot be caught: what ran
            // meanwhile may have changed the modes.
            let modes = self.guard.0.modes();
            self.guard.0.restore()?;
            self.guard.0.switch_on(&modes)?;
        } else {
            self.guard.0.switch_on(&modes)?;
        }
        self.repaint()
    }

    fn is_gone(&self) -> bool {
        terminal::is_gone()
    }

    fn abandon(&mut self) {
        self.gone.store(true, Ordering::Relaxed);
        self.guard.0.abandon();
    }
}

/// Writes frames; when the terminal is gone it discards them, so that no destructor
/// fails on a late write.
#[derive(Debug)]
struct FrameWriter {
    tty: Tty,
    gone: Arc<AtomicBool>,
}

impl Write for FrameWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.gone.load(Ordering::Relaxed) { Ok(bytes.len()) } else { self.tty.write(bytes) }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gone.load(Ordering::Relaxed) { Ok(()) } else { self.tty.flush() }
    }
}
