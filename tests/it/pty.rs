//! A program in a real pseudo-terminal.
//!
//! [`Screen`] runs a program on a terminal of its own, keeps the picture that a
//! terminal would show (vt100), types, resizes and waits for what appears.
//! [`Screen::under_shell`] runs it as a shell does, so that the terminal
//! outlives the program and [`Screen::state`] can tell whether it was left as
//! it was found: the kernel's side (termios) and the terminal's side (every
//! private mode that was switched, which vt100 alone would not all show).

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use rustix::process::{Pid, Signal, kill_process};

use crate::process::{DEADLINE, eventually};

/// Columns and rows.
pub(crate) type Size = (u16, u16);

/// Runs a program in the foreground, as a shell does, and stays when it has
/// ended. The program's number and how it ended stand in brackets.
const SHELL: &str = r#"trap : INT
sh -c 'printf "[pid %s]\n" $$; exec "$@"' sh "$@"
printf '[exit %s]\n' $?
until read -r hold; do :; done"#;

/// The same with job control: a stopped program gives the terminal back, and
/// goes on when Enter is typed.
const SHELL_WITH_JOBS: &str = r#"set -m
sh -c 'printf "[pid %s]\n" $$; exec "$@"' sh "$@"
printf '[stopped %s]\n' $?
read -r hold
fg
printf '[exit %s]\n' $?
until read -r hold; do :; done"#;

/// Keys that are not plain text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Enter,
    Escape,
    Tab,
    Backspace,
    Delete,
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    /// With a letter.
    Ctrl(char),
}

impl Key {
    /// What a terminal sends for it.
    pub(crate) fn bytes(self) -> Vec<u8> {
        match self {
            Key::Enter => b"\r".to_vec(),
            Key::Escape => b"\x1b".to_vec(),
            Key::Tab => b"\t".to_vec(),
            Key::Backspace => b"\x7f".to_vec(),
            Key::Delete => b"\x1b[3~".to_vec(),
            Key::Up => b"\x1b[A".to_vec(),
            Key::Down => b"\x1b[B".to_vec(),
            Key::Right => b"\x1b[C".to_vec(),
            Key::Left => b"\x1b[D".to_vec(),
            Key::PageUp => b"\x1b[5~".to_vec(),
            Key::PageDown => b"\x1b[6~".to_vec(),
            Key::Ctrl(letter) => vec![letter.to_ascii_uppercase() as u8 & 0x1F],
        }
    }
}

/// Everything about a terminal that a program can leave changed behind.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct State {
    /// Private modes (`CSI ? n h`) that are on.
    modes: BTreeSet<u16>,
    /// The driver's flags and special characters.
    termios: String,
    /// The keypad sends application codes.
    keypad: bool,
}

impl State {
    /// Whether the alternate screen is shown.
    pub(crate) fn alternate_screen(&self) -> bool {
        [47, 1047, 1049].iter().any(|mode| self.modes.contains(mode))
    }

    /// Whether the cursor is shown.
    pub(crate) fn cursor(&self) -> bool {
        self.modes.contains(&25)
    }

    /// Without what changes in the middle of drawing a frame: the cursor and
    /// the synchronized update.
    pub(crate) fn between_frames(mut self) -> State {
        self.modes.retain(|mode| ![25, 2026].contains(mode));
        self
    }

    /// Whether what is pasted is marked as such.
    pub(crate) fn bracketed_paste(&self) -> bool {
        self.modes.contains(&2004)
    }

    /// Whether clicks are sent to the program.
    pub(crate) fn mouse(&self) -> bool {
        [9, 1000, 1002, 1003].iter().any(|mode| self.modes.contains(mode))
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "modes {:?}, keypad {}, {}", self.modes, self.keypad, self.termios)
    }
}

/// A terminal with a program in it.
pub(crate) struct Screen {
    /// Ours of the terminal; `None` once it has vanished.
    ends: Option<Ends>,
    child: Box<dyn Child + Send + Sync>,
    shared: Arc<Shared>,
    /// The process under the shell.
    inner: Option<u32>,
}

struct Ends {
    master: Box<dyn MasterPty + Send>,
    writer: Box<dyn Write + Send>,
}

/// How a program is started.
pub(crate) struct Launch<'a> {
    /// Of the terminal.
    pub(crate) size: Size,
    /// Where it runs; also its home, so that no settings of the person who
    /// runs the tests get in.
    pub(crate) dir: &'a Path,
    /// Further variables.
    pub(crate) env: &'a [(&'a str, &'a str)],
}

struct Shared {
    state: Mutex<Picture>,
    changed: Condvar,
}

struct Picture {
    parser: vt100::Parser,
    modes: Modes,
    /// Everything the program wrote and when, if somebody wants to keep it.
    recording: Option<Vec<(Instant, Vec<u8>)>>,
    ended: bool,
    /// The reader shall let go of the terminal.
    vanished: bool,
}

impl Screen {
    /// Runs a program directly on a new terminal, as the leader of its session.
    pub(crate) fn start<S: AsRef<OsStr>>(launch: &Launch, words: &[S]) -> Screen {
        let (cols, rows) = launch.size;
        let pair = native_pty_system()
            .openpty(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 })
            .expect("the system has pseudo-terminals");
        let mut command = CommandBuilder::new(&words[0]);
        command.args(&words[1..]);
        command.cwd(launch.dir);
        for (name, _) in std::env::vars_os() {
            let foreign = name.to_str().is_some_and(|name| {
                ["CHORDAL_", "XDG_", "LC_"].iter().any(|prefix| name.starts_with(prefix))
            });
            if foreign || name == "NO_COLOR" || name == "TMUX" {
                command.env_remove(name);
            }
        }
        command.env("HOME", launch.dir);
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        for (name, value) in launch.env {
            command.env(name, value);
        }
        let child = pair.slave.spawn_command(command).expect("the program starts");
        // The program has the only handle now: its end is the end of reading.
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().expect("a terminal can be read");
        let writer = pair.master.take_writer().expect("the writer is taken once");
        let shared = Arc::new(Shared {
            state: Mutex::new(Picture {
                parser: vt100::Parser::new(dimension(rows), dimension(cols), 0),
                modes: Modes::default(),
                recording: None,
                ended: false,
                vanished: false,
            }),
            changed: Condvar::new(),
        });
        let feed = Arc::clone(&shared);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let count = reader.read(&mut buffer).unwrap_or(0);
                let mut picture = feed.lock();
                picture.take(&buffer[..count]);
                feed.changed.notify_all();
                if count == 0 || picture.vanished {
                    return;
                }
            }
        });
        Screen { ends: Some(Ends { master: pair.master, writer }), child, shared, inner: None }
    }

    /// Runs a program as a shell does, in the foreground. When it ends,
    /// `[exit N]` appears and the terminal stays.
    pub(crate) fn under_shell<S: AsRef<OsStr>>(launch: &Launch, words: &[S]) -> Screen {
        Screen::with_script(launch, SHELL, words)
    }

    /// [`Screen::under_shell`] with job control: when the program stops,
    /// `[stopped N]` appears, and Enter brings it back to the foreground.
    pub(crate) fn under_shell_with_jobs<S: AsRef<OsStr>>(launch: &Launch, words: &[S]) -> Screen {
        Screen::with_script(launch, SHELL_WITH_JOBS, words)
    }

    fn with_script<S: AsRef<OsStr>>(launch: &Launch, script: &str, words: &[S]) -> Screen {
        let mut all: Vec<&OsStr> = ["sh", "-c", script, "sh"].map(OsStr::new).to_vec();
        all.extend(words.iter().map(AsRef::as_ref));
        let mut screen = Screen::start(launch, &all);
        // From the bytes and not from the picture: the program may already
        // have switched to the alternate screen.
        screen.wait_for("the shell starts the program", |picture| picture.first_line().is_some());
        let line = screen.shared.lock().modes.first_line.clone();
        let number = line.trim_start_matches("[pid ").trim_end_matches(']').parse();
        screen.inner = Some(number.unwrap_or_else(|_| panic!("no process's number: {line}")));
        screen
    }

    /// The number of the program's process under the shell.
    pub(crate) fn process(&self) -> u32 {
        self.inner.expect("it was started under a shell")
    }

    /// Sends a signal to the program under the shell.
    pub(crate) fn signal(&self, signal: Signal) {
        crate::process::signal(self.process(), signal);
    }

    /// Types text.
    pub(crate) fn send(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// Types a line and Enter.
    pub(crate) fn line(&mut self, text: &str) {
        self.send(text);
        self.key(Key::Enter);
    }

    /// Presses a key.
    pub(crate) fn key(&mut self, key: Key) {
        self.bytes(&key.bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let writer = &mut self.ends.as_mut().expect("the terminal is there").writer;
        writer.write_all(bytes).and_then(|()| writer.flush()).expect("a terminal");
    }

    /// Changes the terminal's size.
    pub(crate) fn resize(&mut self, (cols, rows): Size) {
        // The picture first: what the program draws for the new size must not
        // be taken into the old one.
        self.shared.lock().parser.set_size(dimension(rows), dimension(cols));
        let ends = self.ends.as_ref().expect("the terminal is there");
        ends.master
            .resize(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 })
            .expect("a terminal can be resized");
    }

    /// Waits until the picture is as wished; the panic at the end shows it.
    pub(crate) fn wait_for(&self, what: &str, mut wish: impl FnMut(&View<'_>) -> bool) {
        if let Err(shown) = self.within(DEADLINE, &mut wish) {
            panic!("not within {DEADLINE:?}: {what}; the screen shows:\n{shown}");
        }
    }

    /// [`Screen::wait_for`] with a deadline of its own; `Err` is the picture.
    pub(crate) fn within(
        &self,
        deadline: Duration,
        mut wish: impl FnMut(&View<'_>) -> bool,
    ) -> Result<(), String> {
        let end = Instant::now() + deadline;
        let mut picture = self.shared.lock();
        loop {
            if wish(&View { picture: &picture }) {
                return Ok(());
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || picture.ended {
                let note = if picture.ended { "\n(the program has ended)" } else { "" };
                return Err(format!("{}{note}", picture.parser.screen().contents()));
            }
            let waited = self.shared.changed.wait_timeout(picture, left);
            picture = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until a text stands somewhere on the screen, in one row.
    pub(crate) fn wait_for_text(&self, text: &str) {
        self.wait_for(&format!("'{text}' appears"), |view| view.shows(text));
    }

    /// Waits until the program under the shell has ended; its exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        let mut code = None;
        self.wait_for("the program ends", |view| {
            code = view.after("[exit ").and_then(|rest| rest.split(']').next()?.parse().ok());
            code.is_some()
        });
        code.expect("just seen")
    }

    /// What the terminal shows.
    pub(crate) fn contents(&self) -> String {
        self.shared.lock().parser.screen().contents()
    }

    /// The picture with its colours.
    pub(crate) fn picture(&self) -> vt100::Screen {
        self.shared.lock().parser.screen().clone()
    }

    /// Takes the terminal away from under the program, as a closed window or a
    /// killed multiplexer does. The program must write something for its reader
    /// to notice: `typed` is what makes it do so.
    pub(crate) fn vanish(&mut self, typed: &str) {
        self.shared.lock().vanished = true;
        self.send(typed);
        eventually("the reader lets go of the terminal", || {
            match Arc::strong_count(&self.shared) {
                1 => Ok(()),
                more => Err(format!("{more} hold it")),
            }
        });
        self.ends = None;
    }

    /// What a program could leave changed.
    pub(crate) fn state(&self) -> State {
        let picture = self.shared.lock();
        State {
            modes: picture.modes.on.clone(),
            termios: format!("{:?}", self.ends.as_ref().map(|ends| ends.master.get_termios())),
            keypad: picture.parser.screen().application_keypad(),
        }
    }

    /// What runs on this terminal besides its first program: also what a
    /// shell put into the background. Where no /proc tells, the program that
    /// the shell started.
    fn session(&self) -> Vec<Pid> {
        let Some(leader) = self.child.process_id() else { return Vec::new() };
        let running = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        running
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|&process| process != leader && session_of(process) == Some(leader))
            .chain(self.inner.filter(|_| !cfg!(target_os = "linux")))
            .filter_map(|process| Pid::from_raw(i32::try_from(process).ok()?))
            .collect()
    }

    /// Keeps what the program writes from now on.
    pub(crate) fn record(&self) {
        self.shared.lock().recording = Some(Vec::new());
    }

    /// What was kept since [`Screen::record`]; ends the keeping.
    pub(crate) fn recorded(&self) -> Vec<(Instant, Vec<u8>)> {
        self.shared.lock().recording.take().unwrap_or_default()
    }
}

/// The session of a process, from the sixth field of its `stat` line; the
/// second is the program's name in parentheses and may hold anything.
fn session_of(process: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(3)?.parse().ok()
}

/// Waits until a process has ended. A zombie has: whoever inherits it collects
/// it later.
#[cfg(target_os = "linux")]
pub(crate) fn gone(process: u32) {
    eventually("the process is gone", || {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let state = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        if state.is_empty() || state.starts_with('Z') { Ok(()) } else { Err(stat) }
    });
}

impl Drop for Screen {
    #[expect(clippy::print_stderr, reason = "a failed test shows its screen")]
    fn drop(&mut self) {
        for process in self.session() {
            // Already gone in most tests.
            let _ = kill_process(process, Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the screen showed:\n{}", self.contents());
        }
    }
}

/// The picture, as conditions look at it.
pub(crate) struct View<'a> {
    picture: &'a Picture,
}

impl View<'_> {
    /// Columns and rows.
    pub(crate) fn size(&self) -> Size {
        let (rows, cols) = self.picture.parser.screen().size();
        (cols.get(), rows.get())
    }

    /// The rows from top to bottom, without trailing blanks.
    pub(crate) fn rows(&self) -> impl Iterator<Item = String> {
        let (cols, _) = self.size();
        self.picture.parser.screen().rows(0, cols).map(|row| row.trim_end().to_owned())
    }

    /// Whether a text stands in one of the rows.
    pub(crate) fn shows(&self, text: &str) -> bool {
        self.rows().any(|row| row.contains(text))
    }

    /// What stands behind a text in the last row that has it.
    pub(crate) fn after(&self, text: &str) -> Option<String> {
        let rows: Vec<String> = self.rows().collect();
        rows.iter().rev().find_map(|row| Some(row.split_once(text)?.1.to_owned()))
    }

    /// Whether the alternate screen is shown.
    pub(crate) fn alternate(&self) -> bool {
        self.picture.parser.screen().alternate_screen()
    }

    /// Row and column of the cursor, when it is shown.
    pub(crate) fn cursor(&self) -> Option<(u16, u16)> {
        let screen = self.picture.parser.screen();
        (!screen.hide_cursor()).then(|| screen.cursor_position())
    }

    fn first_line(&self) -> Option<&str> {
        let modes = &self.picture.modes;
        modes.first_line_ended.then_some(modes.first_line.as_str())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Picture> {
        // A failed wish panics while it holds the lock; the picture is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Picture {
    fn take(&mut self, bytes: &[u8]) {
        self.ended |= bytes.is_empty();
        self.modes.scan(bytes);
        self.parser.process(bytes);
        if let Some(recording) = &mut self.recording {
            recording.push((Instant::now(), bytes.to_vec()));
        }
    }
}

/// The private modes that are on, read from the program's bytes.
struct Modes {
    on: BTreeSet<u16>,
    /// `CSI ?` and what has come of its numbers; split reads are no matter.
    sequence: Option<Vec<u8>>,
    first_line: String,
    first_line_ended: bool,
}

impl Default for Modes {
    fn default() -> Modes {
        Modes {
            // A terminal wraps lines and shows its cursor.
            on: [7, 25].into(),
            sequence: None,
            first_line: String::new(),
            first_line_ended: false,
        }
    }
}

impl Modes {
    fn scan(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' {
                self.first_line_ended = true;
            } else if !self.first_line_ended && byte != b'\r' {
                self.first_line.push(char::from(byte));
            }
            if byte == 0x1B {
                self.sequence = Some(vec![byte]);
                continue;
            }
            let Some(sequence) = &mut self.sequence else { continue };
            sequence.push(byte);
            match (sequence.len(), byte) {
                (2, b'[') | (3, b'?') | (4.., b'0'..=b'9' | b';') => {}
                (4.., b'h' | b'l') => self.switch(byte == b'h'),
                _ => self.sequence = None,
            }
        }
    }

    fn switch(&mut self, on: bool) {
        let sequence = self.sequence.take().unwrap_or_default();
        let numbers = String::from_utf8_lossy(&sequence[3..sequence.len() - 1]).into_owned();
        for mode in numbers.split(';').filter_map(|number| number.parse().ok()) {
            if on {
                self.on.insert(mode);
            } else {
                self.on.remove(&mode);
            }
        }
    }
}

fn dimension(length: u16) -> NonZeroU16 {
    NonZeroU16::new(length).expect("terminals of tests have rows and columns")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(dir: &Path) -> Launch<'_> {
        Launch { size: (40, 10), dir, env: &[] }
    }

    #[test]
    fn what_a_program_writes_is_seen_and_what_is_typed_arrives() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let script = "printf 'name? '; read name; printf 'hello %s\\n' \"$name\"; exit 3";
        let mut screen = Screen::under_shell(&launch(dir.path()), &["sh", "-c", script]);
        screen.wait_for_text("name? ".trim_end());
        screen.line("chord");
        screen.wait_for_text("hello chord");
        assert_eq!(screen.exit_code(), 3);
    }

    #[test]
    fn a_terminal_that_is_left_changed_is_noticed() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let screen = Screen::under_shell(&launch(dir.path()), &["sh", "-c", "sleep 0"]);
        screen.exit_code();
        let clean = screen.state();
        assert!(clean.cursor() && !clean.alternate_screen());

        for (mess, script) in [
            ("alternate screen", r"printf '\033[?1049h'"),
            ("cursor", r"printf '\033[?25l'"),
            ("mouse", r"printf '\033[?1000;1006h'"),
            ("paste", r"printf '\033[?2004h'"),
            ("synchronized update", r"printf '\033[?2026h'"),
            ("keypad", r"printf '\033='"),
            ("raw mode", "stty raw"),
        ] {
            let screen = Screen::under_shell(&launch(dir.path()), &["sh", "-c", script]);
            screen.wait_for("the program ends", |view| view.shows("[exit 0]"));
            assert_ne!(screen.state(), clean, "{mess}");
        }

        let tidy = r"stty raw; printf '\033[?1049h\033[?25l\033[?2004h'
            printf '\033[?2004l\033[?25h\033[?1049l'; stty sane; stty iutf8 2>&-; true";
        let screen = Screen::under_shell(&launch(dir.path()), &["sh", "-c", tidy]);
        screen.exit_code();
        assert_eq!(screen.state().modes, clean.modes);
    }

    #[test]
    fn a_new_size_reaches_the_program() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let script = "trap 'stty size' WINCH; echo on; while :; do read -r line; done";
        let mut screen = Screen::under_shell(&launch(dir.path()), &["sh", "-c", script]);
        screen.wait_for_text("on");
        screen.resize((50, 12));
        // `read` may have to be woken for the trap to run.
        screen.key(Key::Enter);
        screen.wait_for_text("12 50");
        screen.wait_for("the picture has the size too", |view| view.size() == (50, 12));
    }

    #[test]
    fn a_stopped_program_gives_the_terminal_back_and_goes_on() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let script = "kill -STOP $$; printf 'going on\\n'; exit 4";
        let mut screen = Screen::under_shell_with_jobs(&launch(dir.path()), &["sh", "-c", script]);
        screen.wait_for_text("[stopped ");
        screen.key(Key::Enter);
        screen.wait_for_text("going on");
        assert_eq!(screen.exit_code(), 4);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_terminal_that_vanishes_ends_what_runs_on_it() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut screen = Screen::under_shell(&launch(dir.path()), &["cat"]);
        let process = screen.process();
        screen.vanish("x\n");
        gone(process);
    }

    #[test]
    fn modes_are_read_across_split_writes() {
        let mut modes = Modes::default();
        for part in [&b"\x1b[?10"[..], b"49;20", b"04h\x1b[31m\x1b[?2", b"5l"] {
            modes.scan(part);
        }
        assert_eq!(modes.on, [7, 1049, 2004].into());
    }
}
