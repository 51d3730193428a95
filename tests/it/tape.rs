//! Plays demo.tape: what the README's moving picture shows is what the program
//! does, or this test fails.
//!
//! The tape is a VHS tape. [`read`] understands the commands that the tape
//! uses and refuses others; [`Player`] carries them out on a pseudo-terminal.
//! The tape has fixed ports, as a person would type them; the player puts a
//! loopback host of its own in the place of 127.0.0.1, so that it never meets
//! another node. Typing and sleeping take no time here.
//!
//! With `CHORDAL_CAST=FILE` the tape is played as it stands, addresses and
//! speed, and kept as an asciicast, from which `agg` makes the GIF:
//!
//! `CHORDAL_CAST=demo.cast cargo test --test it the_demo`
//! `agg --font-size 12 --speed 1.2 --idle-time-limit 2.5 --fps-cap 10 demo.cast assets/demo.gif`

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use regex::Regex;

use crate::process::{DEADLINE, PROGRAM, SKY_SHIP, host_of_its_own};
use crate::pty::{Key, Launch, Screen};

const TAPE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/demo.tape");

/// The settings that VHS has.
const SETTINGS: &[&str] = &[
    "Shell",
    "FontSize",
    "FontFamily",
    "Height",
    "Width",
    "LetterSpacing",
    "LineHeight",
    "TypingSpeed",
    "Theme",
    "Padding",
    "Framerate",
    "PlaybackSpeed",
    "LoopOffset",
    "Margin",
    "MarginFill",
    "BorderRadius",
    "WindowBar",
    "WindowBarSize",
    "CursorBlink",
    "WaitTimeout",
    "WaitPattern",
];

/// Pixels around the terminal when the tape does not say, as in VHS.
const DEFAULT_PADDING: f64 = 60.0;

/// Between two keys when the tape does not say, as in VHS.
const DEFAULT_TYPING: Duration = Duration::from_millis(50);

/// A command of a tape.
#[derive(Clone, Debug)]
enum Step {
    Output(String),
    Require(String),
    Set(String, String),
    Env(String, String),
    Type(String),
    Press(Key, usize),
    Sleep(Duration),
    /// Whether the whole screen counts or the cursor's line; the pattern; the
    /// time limit.
    Wait(bool, String, Option<Duration>),
    Hide,
    Show,
}

/// Reads a tape; `Err` names the line and what is wrong with it.
fn read(tape: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    for (number, line) in tape.lines().enumerate() {
        let located = |problem: String| format!("line {}: {problem}", number + 1);
        let mut words = split(line).map_err(located)?.into_iter().peekable();
        while let Some(word) = words.next() {
            let mut argument = |what: &str| {
                let found = words.next_if(|word| what != "COUNT" || word.parse::<usize>().is_ok());
                found.ok_or_else(|| format!("{word} needs a {what}"))
            };
            let step = step(&word, &mut argument).map_err(located)?;
            let setup = |step: &Step| {
                use Step::{Env, Output, Require, Set};
                matches!(step, Output(_) | Require(_) | Env(..) | Set(..))
            };
            if matches!(&step, Step::Set(name, _) if name != "TypingSpeed")
                && !steps.iter().all(setup)
            {
                return Err(located("VHS takes settings only before everything else".to_owned()));
            }
            steps.push(step);
        }
    }
    Ok(steps)
}

fn step(
    word: &str,
    argument: &mut impl FnMut(&str) -> Result<String, String>,
) -> Result<Step, String> {
    let (word, at) = match word.split_once('@') {
        Some((word, time)) => (word, Some(duration(time)?)),
        None => (word, None),
    };
    Ok(match word {
        "Output" => Step::Output(argument("PATH")?),
        "Require" => Step::Require(argument("PROGRAM")?),
        "Env" => Step::Env(argument("NAME")?, argument("VALUE")?),
        "Set" => {
            let (name, value) = (argument("SETTING")?, argument("VALUE")?);
            if !SETTINGS.contains(&name.as_str()) {
                return Err(format!("VHS has no setting '{name}'"));
            }
            Step::Set(name, value)
        }
        "Type" => Step::Type(argument("TEXT")?),
        "Sleep" => Step::Sleep(duration(&argument("TIME")?)?),
        "Wait" | "Wait+Line" | "Wait+Screen" => {
            let pattern = argument("/PATTERN/")?;
            let inner = pattern.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
            let inner = inner.ok_or_else(|| format!("'{pattern}' is no /PATTERN/"))?;
            Regex::new(inner).map_err(|error| error.to_string())?;
            Step::Wait(word == "Wait+Screen", inner.to_owned(), at)
        }
        "Hide" => Step::Hide,
        "Show" => Step::Show,
        word => {
            let key = key(word).ok_or_else(|| format!("unknown command '{word}'"))?;
            let count = argument("COUNT").ok().and_then(|count| count.parse().ok());
            Step::Press(key, count.unwrap_or(1))
        }
    })
}

fn key(word: &str) -> Option<Key> {
    Some(match word {
        "Enter" => Key::Enter,
        "Escape" => Key::Escape,
        "Tab" => Key::Tab,
        "Backspace" => Key::Backspace,
        "Delete" => Key::Delete,
        "Up" => Key::Up,
        "Down" => Key::Down,
        "Left" => Key::Left,
        "Right" => Key::Right,
        "PageUp" => Key::PageUp,
        "PageDown" => Key::PageDown,
        word => {
            let mut letters = word.strip_prefix("Ctrl+")?.chars();
            let letter = letters.next().filter(char::is_ascii_alphabetic)?;
            return letters.next().is_none().then_some(Key::Ctrl(letter));
        }
    })
}

/// `500ms`, `2s`; VHS reads a bare number as seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 0.001),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    let number: f64 = number.parse().map_err(|_| format!("'{text}' is no time"))?;
    Duration::try_from_secs_f64(number * unit).map_err(|_| format!("'{text}' is no time"))
}

/// Splits a line into words; `"…"`, `'…'`, `` `…` `` and `/…/` keep together, a
/// `#` between words begins a comment.
fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        if first == '#' {
            break;
        }
        let end = if "\"'`/".contains(first) {
            closing(rest, first).ok_or_else(|| format!("{first} is not closed"))?
        } else {
            rest.find(char::is_whitespace).unwrap_or(rest.len())
        };
        let (word, after) = rest.split_at(end);
        let quoted = "\"'`".contains(first);
        words.push(if quoted { word[1..word.len() - 1].to_owned() } else { word.to_owned() });
        rest = after.trim_start();
    }
    Ok(words)
}

/// Where the part that this character opens ends: in a pattern, `\/` does not
/// close; VHS knows no escapes in texts.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (index, c) in text.char_indices().skip(1) {
        if c == quote && !escaped {
            return Some(index + 1);
        }
        escaped = quote == '/' && c == '\\' && !escaped;
    }
    None
}

/// Carries out a tape.
struct Player {
    screen: Screen,
    /// What stands for 127.0.0.1.
    host: String,
    /// Between two keys; `None`: typing and sleeping take no time.
    typing: Option<Duration>,
    cast: Option<Cast>,
    /// Where programs are looked for.
    path: String,
}

impl Player {
    fn play(&mut self, step: &Step) {
        match step {
            Step::Type(text) => {
                for letter in text.replace("127.0.0.1", &self.host).chars() {
                    self.screen.send(letter.encode_utf8(&mut [0; 4]));
                    pause(self.typing);
                }
            }
            Step::Press(key, count) => {
                for _ in 0..*count {
                    self.screen.key(*key);
                    pause(self.typing);
                }
            }
            Step::Sleep(time) => pause(self.typing.and(Some(*time))),
            Step::Wait(whole, pattern, limit) => self.wait(*whole, pattern, *limit),
            Step::Hide => {
                if let Some(cast) = &mut self.cast {
                    cast.stop(&self.screen);
                }
            }
            Step::Show => {
                if let Some(cast) = &mut self.cast {
                    cast.go_on(&self.screen);
                }
            }
            Step::Set(name, value) if name == "TypingSpeed" && self.typing.is_some() => {
                self.typing = duration(value).ok();
            }
            Step::Require(program) => assert!(exists(program, &self.path), "no {program} in PATH"),
            Step::Output(_) | Step::Env(..) | Step::Set(..) => {}
        }
    }

    fn wait(&self, whole: bool, pattern: &str, limit: Option<Duration>) {
        let pattern = pattern
            .replace("127.0.0.1", &self.host)
            .replace(r"127\.0\.0\.1", &regex::escape(&self.host));
        let pattern = Regex::new(&pattern).expect("checked when it was read");
        let limit = limit.unwrap_or_default().max(DEADLINE);
        let reached = self.screen.within(limit, |view| {
            let rows: Vec<String> = view.rows().collect();
            if whole {
                pattern.is_match(&rows.join("\n"))
            } else {
                let row = view.cursor().and_then(|(row, _)| rows.get(usize::from(row)));
                row.is_some_and(|row| pattern.is_match(row))
            }
        });
        if let Err(shown) = reached {
            panic!("the tape waits in vain for /{pattern}/; the screen shows:\n{shown}");
        }
    }
}

fn pause(time: Option<Duration>) {
    if let Some(time) = time {
        std::thread::sleep(time);
    }
}

/// An asciicast (version 2) being made.
struct Cast {
    path: PathBuf,
    text: String,
    /// Seconds that are shown so far.
    clock: f64,
    since: Option<Instant>,
}

impl Cast {
    fn new(path: PathBuf, (cols, rows): (u16, u16)) -> Cast {
        let header = serde_json::json!({ "version": 2, "width": cols, "height": rows });
        Cast { path, text: format!("{header}\n"), clock: 0.0, since: None }
    }

    fn go_on(&mut self, screen: &Screen) {
        screen.record();
        self.since = Some(Instant::now());
        self.event(self.clock, &format!("\x1b[2J\x1b[H{}", screen.picture().contents_formatted()));
    }

    fn stop(&mut self, screen: &Screen) {
        let Some(since) = self.since.take() else { return };
        let mut pending = Vec::new();
        for (when, bytes) in screen.recorded() {
            pending.extend(bytes);
            // A read may end inside a character; the rest comes with the next.
            let whole = match std::str::from_utf8(&pending) {
                Ok(text) => text.len(),
                Err(error) => error.valid_up_to(),
            };
            let text = String::from_utf8_lossy(&pending[..whole]).into_owned();
            self.event(self.clock + when.duration_since(since).as_secs_f64(), &text);
            pending.drain(..whole);
        }
        self.clock += since.elapsed().as_secs_f64();
    }

    fn event(&mut self, seconds: f64, text: &str) {
        let _ = writeln!(self.text, "{}", serde_json::json!([seconds, "o", text]));
    }

    fn write(mut self, screen: &Screen) {
        self.stop(screen);
        std::fs::write(&self.path, &self.text).expect("CHORDAL_CAST names a file to write");
    }
}

/// The terminal's size that VHS would choose for the tape's settings.
fn size(steps: &[Step]) -> (u16, u16) {
    let setting = |wanted: &str, default: f64| {
        let value = |step: &Step| match step {
            Step::Set(name, value) if name == wanted => value.parse().ok(),
            _ => None,
        };
        steps.iter().find_map(value).unwrap_or(default)
    };
    let font = setting("FontSize", 22.0);
    let padding = 2.0 * setting("Padding", DEFAULT_PADDING);
    let cols = (setting("Width", 1200.0) - padding) / (font * 0.6);
    let rows = (setting("Height", 600.0) - padding) / (font * 1.2);
    (cols as u16, rows as u16)
}

/// The tape's shell where it exists, as VHS starts it; any other system has a
/// shell too, and the tape types nothing that only one of them knows.
fn shell() -> Vec<&'static str> {
    let path = std::env::var("PATH").unwrap_or_default();
    if exists("bash", &path) {
        vec!["bash", "--noprofile", "--norc", "-i"]
    } else {
        vec!["sh", "-i"]
    }
}

fn exists(program: &str, path: &str) -> bool {
    std::env::split_paths(path).any(|dir| dir.join(program).is_file())
}

#[test]
fn the_demo_shows_what_the_program_does() {
    let steps = read(&std::fs::read_to_string(TAPE).expect("demo.tape")).expect("a valid tape");
    let recording = std::env::var_os("CHORDAL_CAST");
    let host = recording
        .as_ref()
        .map_or_else(|| host_of_its_own().to_string(), |_| "127.0.0.1".to_owned());
    let home = tempfile::tempdir().expect("a temporary directory");
    std::fs::create_dir(home.path().join("assets")).expect("a directory");
    std::fs::copy(SKY_SHIP, home.path().join("assets/SkyShip.jpg")).expect("the picture");

    let programs = Path::new(PROGRAM).parent().expect("a program lies in a directory");
    let rest = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(
        std::iter::once(programs.to_owned()).chain(std::env::split_paths(&rest)),
    );
    let path = path.expect("directories can be joined").into_string().expect("PATH is text");
    let mut env = vec![("PATH", path.as_str()), ("PS1", "> "), ("HISTFILE", "/dev/null")];
    for step in &steps {
        if let Step::Env(name, value) = step {
            env.push((name, value));
        }
    }
    let size = size(&steps);
    let cast = recording.map(|path| Cast::new(path.into(), size));
    let typing = cast.as_ref().map(|_| DEFAULT_TYPING);
    let launch = Launch { size, dir: home.path(), env: &env };
    let screen = Screen::start(&launch, &shell());
    let mut player = Player { screen, host, typing, cast, path: path.clone() };
    player.wait(false, "> ?$", None);
    if let Some(cast) = &mut player.cast {
        cast.go_on(&player.screen);
    }
    for step in &steps {
        player.play(step);
    }
    if let Some(cast) = player.cast.take() {
        cast.write(&player.screen);
    }
}

#[test]
fn the_tape_makes_the_readmes_picture_and_tells_the_whole_story() {
    let tape = std::fs::read_to_string(TAPE).expect("demo.tape");
    let steps = read(&tape).expect("a valid tape");
    let outputs: Vec<_> = steps
        .iter()
        .filter_map(|step| if let Step::Output(path) = step { Some(path.as_str()) } else { None })
        .collect();
    assert_eq!(outputs, ["assets/demo.gif"]);
    for scene in ["join 127.0.0.1:2000", "put assets/SkyShip.jpg", "get SkyShip.jpg", "kill -9"] {
        let typed = |step: &Step| matches!(step, Step::Type(text) if text.contains(scene));
        assert!(steps.iter().any(typed), "nobody types '{scene}'");
    }
}

#[test]
fn the_player_types_presses_waits_and_keeps_what_is_shown() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let launch = Launch { size: (60, 10), dir: home.path(), env: &[("PS1", "> ")] };
    let tape = r#"
        Type "echo $((40 + 2)) 127.0.0.1"
        Enter
        Wait+Screen /\n42 127.0.0.1\n/
        Hide
        Type "echo sec''ret" Enter
        Wait+Screen /secret/
        Type "sh -c 'echo re''ady; exec cat'" Enter
        Wait+Screen /ready/
        Ctrl+C
        Wait+Line /> ?$/
    "#;
    let mut player = Player {
        screen: Screen::start(&launch, &shell()),
        host: "127.9.8.7".to_owned(),
        typing: None,
        cast: Some(Cast::new(home.path().join("cast"), launch.size)),
        path: String::new(),
    };
    player.wait(false, "> ?$", None);
    player.play(&Step::Show);
    for step in read(tape).expect("a valid tape") {
        player.play(&step);
    }
    assert!(player.screen.contents().contains("42 127.9.8.7"));
    let cast = player.cast.expect("still there").text;
    let mut lines = cast.lines();
    assert_eq!(lines.next(), Some(r#"{"height":10,"version":2,"width":60}"#));
    let events: Vec<(f64, String, String)> =
        lines.map(|line| serde_json::from_str(line).expect("an event")).collect();
    let shown: String = events.iter().map(|event| event.2.as_str()).collect();
    assert!(shown.contains("42 127.9.8.7") && !shown.contains("secret"), "{shown}");
    assert!(events.is_sorted_by(|a, b| a.0 <= b.0));
}

#[test]
fn a_tape_that_vhs_would_refuse_is_refused() {
    for (tape, problem) in [
        ("Tpye \"x\"", "line 1: unknown command 'Tpye'"),
        ("Sleep soon", "'soon' is no time"),
        ("Enter\nSet FontSize 12", "line 2: VHS takes settings only before"),
        ("Set FontSice 12", "no setting 'FontSice'"),
        ("Type \"x", "\" is not closed"),
        ("Wait+Screen /(/", "unclosed group"),
        ("Wait+Screen now", "'now' is no /PATTERN/"),
        ("Ctrl+Enter", "unknown command 'Ctrl+Enter'"),
    ] {
        let error = read(tape).expect_err(tape);
        assert!(error.contains(problem), "{tape}: {error}");
    }
    let fine = r#"Type@10ms "a # b" Enter 2 Sleep .5 Wait+Screen@2s /a\/b "x"/ # and a comment"#;
    let fine = read(fine).expect("a valid tape");
    let [Step::Type(text), Step::Press(Key::Enter, 2), Step::Sleep(half), Step::Wait(true, p, t)] =
        &fine[..]
    else {
        panic!("{fine:?}");
    };
    assert_eq!((text.as_str(), p.as_str()), ("a # b", r#"a\/b "x""#));
    assert_eq!((*half, *t), (Duration::from_millis(500), Some(Duration::from_secs(2))));
}
