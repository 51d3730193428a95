//! The terminal: what is switched on, and how it is always switched off again.
//!
//! A [`TerminalGuard`] lists every mode that it has switched on and undoes
//! exactly those, in reverse order, once: when it is dropped, when the dashboard
//! panics ([`PanicWatch`]), before the program stops for the shell, and at the
//! end. A terminal that has gone away is abandoned: nothing is written to it.
//!
//! `ratatui::init` is not used: its panic hook would leave the alternate screen
//! under a live dashboard when any task panics, and its `restore` forgets the
//! mouse, the paste mode and the cursor.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::panic::{self, PanicHookInfo};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// What can be switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Keys arrive one by one, without an echo.
    Raw,
    /// The window's title is ours; the old one is on the terminal's stack.
    Title,
    /// The second screen, which has no history.
    Alternate,
    /// Pasted text arrives marked as such.
    Paste,
    /// The cursor is hidden until a frame shows it.
    HiddenCursor,
    /// Clicks and the wheel arrive (modes 1000 and 1006 only).
    Mouse,
}

impl Mode {
    /// What a dashboard switches on at its start, in this order.
    pub const AT_START: [Mode; 5] =
        [Mode::Raw, Mode::Title, Mode::Alternate, Mode::Paste, Mode::HiddenCursor];

    const fn on(self) -> &'static str {
        match self {
            Mode::Raw => "",
            Mode::Title => "\x1b[22;2t",
            // Where a killed program has left the terminal on this screen, its picture is
            // still there: not every terminal clears what was switched on already.
            Mode::Alternate => "\x1b[?1049h\x1b[0m\x1b[2J",
            Mode::Paste => "\x1b[?2004h",
            Mode::HiddenCursor => "\x1b[?25l",
            Mode::Mouse => "\x1b[?1000h\x1b[?1006h",
        }
    }

    const fn off(self) -> &'static str {
        match self {
            Mode::Raw => "",
            Mode::Title => "\x1b[23;2t",
            Mode::Alternate => "\x1b[?1049l",
            Mode::Paste => "\x1b[?2004l",
            Mode::HiddenCursor => "\x1b[?25h",
            Mode::Mouse => "\x1b[?1006l\x1b[?1000l",
        }
    }
}

/// Where the modes go: the real terminal, or a record of bytes in a test.
pub trait Device: Write + Send {
    /// Switches the line discipline's raw mode.
    fn raw(&mut self, on: bool) -> io::Result<()>;
}

/// The terminal on standard output, without a lock or a buffer: a panic hook
/// can write to it whatever the panicking code was doing.
#[derive(Debug)]
pub struct Tty(File);

impl Tty {
    /// The process's standard output.
    pub fn stdout() -> io::Result<Tty> {
        Ok(Tty(File::from(io::stdout().as_fd().try_clone_to_owned()?)))
    }
}

impl Write for Tty {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Device for Tty {
    fn raw(&mut self, on: bool) -> io::Result<()> {
        if on {
            crossterm::terminal::enable_raw_mode()
        } else {
            crossterm::terminal::disable_raw_mode()
        }
    }
}

/// Whether a dashboard can be shown: keys and pictures go to a terminal that
/// knows cursor movements.
pub fn is_usable() -> bool {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb" || term.is_empty());
    io::stdin().is_terminal() && io::stdout().is_terminal() && !dumb
}

/// Whether the terminal has gone away (EIO: its other side was closed).
pub fn is_gone() -> bool {
    match rustix::termios::tcgetattr(io::stdin()) {
        Ok(_) => false,
        Err(why) => why == rustix::io::Errno::IO,
    }
}

/// Undoes every mode that was switched on through it; clones share the list.
#[derive(Debug)]
pub struct TerminalGuard<D: Device>(Arc<Mutex<Modes<D>>>);

#[derive(Debug)]
struct Modes<D> {
    device: D,
    on: Vec<Mode>,
    gone: bool,
}

impl<D: Device> Clone for TerminalGuard<D> {
    fn clone(&self) -> TerminalGuard<D> {
        TerminalGuard(Arc::clone(&self.0))
    }
}

impl<D: Device> TerminalGuard<D> {
    /// A guard that has switched nothing on yet.
    pub fn new(device: D) -> TerminalGuard<D> {
        TerminalGuard(Arc::new(Mutex::new(Modes { device, on: Vec::new(), gone: false })))
    }

    /// Switches modes on; those that are on already stay so.
    pub fn switch_on(&self, modes: &[Mode]) -> io::Result<()> {
        self.0.lock().switch_on(modes)
    }

    /// Switches one mode off.
    pub fn switch_off(&self, mode: Mode) -> io::Result<()> {
        let mut modes = self.0.lock();
        if let Some(at) = modes.on.iter().position(|on| *on == mode) {
            modes.on.remove(at);
            modes.undo(&[mode])?;
        }
        Ok(())
    }

    /// The modes that are on, in the order in which they were switched on.
    pub fn modes(&self) -> Vec<Mode> {
        self.0.lock().on.clone()
    }

    /// Writes something that needs no undoing: a title, a clipboard's content.
    pub fn write(&self, text: &str) -> io::Result<()> {
        let mut modes = self.0.lock();
        if modes.gone {
            return Ok(());
        }
        modes.device.write_all(text.as_bytes())?;
        modes.device.flush()
    }

    /// Undoes everything. Doing it again does nothing.
    pub fn restore(&self) -> io::Result<()> {
        self.0.lock().restore()
    }

    /// The terminal is gone: nothing is written to it from now on.
    pub fn abandon(&self) {
        self.0.lock().gone = true;
    }

    /// Likewise [`TerminalGuard::restore`], for a panic hook: when the guard
    /// itself was at work it is left alone, because waiting would be for ever.
    fn restore_in_panic(&self) {
        if let Some(mut modes) = self.0.try_lock() {
            // A failure cannot be reported any more.
            let _ = modes.restore();
        }
    }
}

impl<D: Device> Modes<D> {
    fn switch_on(&mut self, modes: &[Mode]) -> io::Result<()> {
        for &mode in modes {
            if self.gone || self.on.contains(&mode) {
                continue;
            }
            // Listed first: what half happened is undone too.
            self.on.push(mode);
            if mode == Mode::Raw {
                self.device.raw(true)?;
            }
            self.device.write_all(mode.on().as_bytes())?;
        }
        self.device.flush()
    }

    fn restore(&mut self) -> io::Result<()> {
        let on = std::mem::take(&mut self.on);
        if on.is_empty() {
            return Ok(());
        }
        // A frame may have been cut short: end its synchronized update and its
        // colours first.
        let reset = if self.gone { Ok(()) } else { self.device.write_all(b"\x1b[?2026l\x1b[0m") };
        let undone = self.undo(&on);
        reset.and(undone)
    }

    /// Undoes these modes, the last first, as far as the terminal lets us.
    fn undo(&mut self, modes: &[Mode]) -> io::Result<()> {
        let mut result = Ok(());
        for mode in modes.iter().rev() {
            let mut undo = || {
                if !self.gone {
                    self.device.write_all(mode.off().as_bytes())?;
                    self.device.flush()?;
                }
                // Also on a terminal that is gone: it fails and costs nothing.
                if *mode == Mode::Raw { self.device.raw(false) } else { Ok(()) }
            };
            result = result.and(undo());
        }
        result
    }
}

/// Restores when the last guard of the terminal goes.
#[derive(Debug)]
pub struct RestoreOnDrop<D: Device>(pub TerminalGuard<D>);

impl<D: Device> Drop for RestoreOnDrop<D> {
    fn drop(&mut self) {
        // At the end a failure cannot be reported any more.
        let _ = self.0.restore();
    }
}

/// The text that names the window: OSC 2.
pub fn title(text: &str) -> String {
    format!("\x1b]2;{text}\x07")
}

/// The text that puts something onto the clipboard: OSC 52.
pub fn clipboard(text: &str) -> String {
    format!("\x1b]52;c;{}\x07", base64(text.as_bytes()))
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let at = (bits >> (18 - 6 * digit)) & 0x3F;
            let shown = digit <= chunk.len();
            text.push(if shown { char::from(DIGITS[at as usize]) } else { '=' });
        }
    }
    text
}

thread_local! {
    /// This thread is polling the dashboard right now.
    static IN_DASHBOARD: Cell<bool> = const { Cell::new(false) };
}

/// Runs a future such that a panic inside it counts as the dashboard's own,
/// on whichever thread a runtime polls it; other tasks of the same thread do
/// not count.
pub async fn as_dashboard<F: Future>(future: F) -> F::Output {
    struct Scope(bool);
    impl Drop for Scope {
        fn drop(&mut self) {
            IN_DASHBOARD.set(self.0);
        }
    }
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        let _scope = Scope(IN_DASHBOARD.replace(true));
        future.as_mut().poll(context)
    })
    .await
}

type Hook = dyn Fn(&PanicHookInfo<'_>) + Send + Sync;

/// A panic hook for the time of a dashboard: the dashboard's own panic restores
/// the terminal and is shown there; a panic elsewhere goes to the log and is
/// kept for the banner. Dropping it brings the former hook back.
pub struct PanicWatch {
    board: Arc<Board>,
    former: Arc<Hook>,
}

#[derive(Default)]
struct Board {
    panicked: Mutex<Option<String>>,
    news: Notify,
}

impl PanicWatch {
    /// Sets the hook. `log_dir` is named in the message after a crash.
    pub fn new<D: Device + 'static>(
        guard: TerminalGuard<D>,
        log_dir: Option<PathBuf>,
    ) -> PanicWatch {
        let board = Arc::new(Board::default());
        let former: Arc<Hook> = Arc::from(panic::take_hook());
        let (kept, shown) = (Arc::clone(&board), Arc::clone(&former));
        panic::set_hook(Box::new(move |info| {
            if IN_DASHBOARD.get() {
                guard.restore_in_panic();
                shown(info);
                // Standard error may be closed; the panic goes on regardless.
                let _ = writeln!(io::stderr(), "{}", farewell(log_dir.as_ref()));
            } else {
                tracing::error!("a background task panicked: {info}");
                let mut panicked = kept.panicked.lock();
                *panicked = Some(summary(info));
                kept.news.notify_one();
            }
        }));
        PanicWatch { board, former }
    }

    /// Waits for a panic outside of the dashboard: one line about it.
    pub async fn background(&self) -> String {
        loop {
            let panicked = self.board.panicked.lock().take();
            if let Some(text) = panicked {
                return text;
            }
            self.board.news.notified().await;
        }
    }
}

impl Drop for PanicWatch {
    fn drop(&mut self) {
        // Hooks cannot be changed by a thread that panics; ours then stays.
        if !std::thread::panicking() {
            let former = Arc::clone(&self.former);
            panic::set_hook(Box::new(move |info| former(info)));
        }
    }
}

fn summary(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let what = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no reason given");
    match info.location() {
        Some(place) => format!("a background task failed at {place}: {what}"),
        None => format!("a background task failed: {what}"),
    }
}

fn farewell(log_dir: Option<&PathBuf>) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let log = match log_dir {
        Some(path) => format!(" The log is in {}.", path.display()),
        None => String::new(),
    };
    format!("chordal {version} has crashed; the terminal is as it was.{log}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Tape(Arc<Mutex<Vec<u8>>>);

    impl Tape {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().clone()).expect("text")
        }
    }

    impl Write for Tape {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Device for Tape {
        fn raw(&mut self, on: bool) -> io::Result<()> {
            self.write_all(if on { b"<raw>" } else { b"</raw>" })
        }
    }

    const ENTER: &str = "<raw>\x1b[22;2t\x1b[?1049h\x1b[0m\x1b[2J\x1b[?2004h\x1b[?25l";
    const RESTORE: &str = "\x1b[?2026l\x1b[0m\x1b[?25h\x1b[?2004l\x1b[?1049l\x1b[23;2t</raw>";

    fn started() -> (TerminalGuard<Tape>, Tape) {
        let tape = Tape::default();
        let guard = TerminalGuard::new(tape.clone());
        guard.switch_on(&Mode::AT_START).expect("written");
        (guard, tape)
    }

    #[test]
    fn what_was_switched_on_is_undone_backwards_and_once() {
        let (guard, tape) = started();
        guard.restore().expect("written");
        guard.restore().expect("nothing to write");
        drop(RestoreOnDrop(guard));
        assert_eq!(tape.text(), format!("{ENTER}{RESTORE}"));
    }

    #[test]
    fn dropping_restores_whatever_happened_before() {
        let (guard, tape) = started();
        drop(RestoreOnDrop(guard));
        assert_eq!(tape.text(), format!("{ENTER}{RESTORE}"));
    }

    #[test]
    fn the_mouse_is_undone_only_while_it_is_on() {
        let (guard, tape) = started();
        guard.switch_on(&[Mode::Mouse]).expect("written");
        guard.switch_on(&[Mode::Mouse]).expect("on already");
        guard.switch_off(Mode::Mouse).expect("written");
        guard.switch_off(Mode::Mouse).expect("off already");
        guard.switch_on(&[Mode::Mouse]).expect("written");
        guard.restore().expect("written");
        let (on, off) = ("\x1b[?1000h\x1b[?1006h", "\x1b[?1006l\x1b[?1000l");
        let reset = "\x1b[?2026l\x1b[0m";
        let rest = RESTORE.strip_prefix(reset).expect("starts so");
        assert_eq!(tape.text(), format!("{ENTER}{on}{off}{on}{reset}{off}{rest}"));
    }

    #[test]
    fn after_a_stop_the_same_modes_come_back() {
        let (guard, tape) = started();
        let modes = guard.modes();
        guard.restore().expect("written");
        guard.switch_on(&modes).expect("written");
        guard.restore().expect("written");
        assert_eq!(tape.text(), format!("{ENTER}{RESTORE}{ENTER}{RESTORE}"));
    }

    #[test]
    fn a_terminal_that_is_gone_gets_no_more_bytes() {
        let (guard, tape) = started();
        guard.abandon();
        guard.write("title").expect("ignored");
        guard.restore().expect("nothing written");
        assert_eq!(tape.text(), format!("{ENTER}</raw>"));
    }

    #[test]
    fn the_clipboard_gets_base64() {
        for (text, code) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(clipboard(text), format!("\x1b]52;c;{code}\x07"));
        }
    }

    /// One test, because the panic hook belongs to the whole process.
    #[test]
    fn only_the_dashboards_own_panic_restores_the_terminal() {
        let (guard, tape) = started();
        let watch = PanicWatch::new(guard.clone(), None);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");

        // A task on the very thread of the dashboard is still not the dashboard.
        let told = runtime.block_on(as_dashboard(async {
            let task = tokio::spawn(async { panic!("an engine's bug") });
            assert!(task.await.is_err());
            watch.background().await
        }));
        assert!(told.contains("an engine's bug"), "{told}");
        assert_eq!(tape.text(), ENTER);

        let own = panic::catch_unwind(panic::AssertUnwindSafe(|| {
            runtime.block_on(as_dashboard(async { panic!("the test's own panic in a dashboard") }))
        }));
        assert!(own.is_err());
        assert_eq!(tape.text(), format!("{ENTER}{RESTORE}"));
        assert!(!IN_DASHBOARD.get());
        assert!(guard.modes().is_empty());
    }
}
