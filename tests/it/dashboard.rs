//! The dashboard on a real terminal: a session, all layouts, every way of
//! ending, and what it costs at rest.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use chordal::id::Space;
use regex::Regex;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{
    NodeProcess, PROGRAM, Ring, chordal, describe, eventually, free_address, members, text,
    with_sky_ship,
};
use crate::pty::{self, Key, Launch, Screen, Size};

const NORMAL: Size = (120, 35);

/// A node with its dashboard on a terminal of its own.
pub(crate) struct Dash {
    pub(crate) screen: Screen,
    pub(crate) address: SocketAddr,
    id: String,
    pub(crate) home: TempDir,
}

impl Dash {
    /// Starts it and waits until it shows its id.
    pub(crate) fn start(size: Size, more: &[&str]) -> Dash {
        Dash::start_with(size, more, Screen::under_shell)
    }

    /// [`Dash::start`] at an address of the test's choice.
    pub(crate) fn start_at(address: SocketAddr, size: Size, more: &[&str]) -> Dash {
        Dash::launch(address, size, more, Screen::under_shell)
    }

    fn start_with(
        size: Size,
        more: &[&str],
        launch: impl FnOnce(&Launch, &[String]) -> Screen,
    ) -> Dash {
        Dash::launch(free_address(), size, more, launch)
    }

    fn launch(
        address: SocketAddr,
        size: Size,
        more: &[&str],
        launch: impl FnOnce(&Launch, &[String]) -> Screen,
    ) -> Dash {
        let home = TempDir::new().expect("a temporary directory");
        let mut words = vec![PROGRAM.to_owned(), address.to_string()];
        for (option, value) in [("--data-dir", "data"), ("--download-dir", "downloads")] {
            words.extend([option.to_owned(), text(&home.path().join(value)).to_owned()]);
        }
        words.extend(more.iter().map(|&word| word.to_owned()));
        if !more.contains(&"--stabilize") {
            words.extend(["--stabilize", "200ms"].map(str::to_owned));
        }
        let screen = launch(&Launch { size, dir: home.path(), env: &[] }, &words);
        let space = Space::default();
        let id = space.show(space.hash(&address.to_string()));
        let dash = Dash { screen, address, id, home };
        dash.is_shown();
        dash
    }

    /// Waits until the dashboard is on the screen.
    fn is_shown(&self) {
        self.screen.wait_for("the dashboard shows its node", |view| {
            view.alternate() && view.shows(&self.id) && view.shows(&self.port())
        });
    }

    fn port(&self) -> String {
        format!(":{}", self.address.port())
    }

    pub(crate) fn quit(&mut self) {
        quit(&mut self.screen);
    }

    pub(crate) fn download(&self, name: &str) -> PathBuf {
        self.home.path().join("downloads").join(name)
    }
}

/// Moves the focus from the prompt to the panels. What follows Escape at once
/// would be read as one key with Alt.
fn to_panels(screen: &mut Screen) {
    screen.key(Key::Escape);
    screen.wait_for_text(": to type a command");
}

/// Types `quit` and confirms when asked.
fn quit(screen: &mut Screen) {
    screen.line("quit");
    let mut asks = false;
    screen.wait_for("it ends or asks", |view| {
        asks = view.alternate() && (view.shows("leave:") || view.shows("quit:"));
        asks || view.shows("[exit ")
    });
    if asks {
        screen.send("y");
    }
}

/// A reading command's JSON, asked through this node from outside.
fn json(via: &str, words: &[&str]) -> Result<Value, String> {
    let mut all = words.to_vec();
    all.extend(["--json", "--via", via]);
    let output = chordal(&all);
    if !output.status.success() {
        return Err(describe(&output));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}

#[test]
fn a_session_from_start_to_quit() {
    let other = NodeProcess::start(&[]);
    let (_dir, picture) = with_sky_ship();
    let mut dash = Dash::start(NORMAL, &[]);

    // What is typed goes to the prompt at once.
    dash.screen.send("id SkyShip.jpg");
    dash.screen.wait_for("the prompt has the focus", |view| {
        let (row, _) = view.cursor().unwrap_or_default();
        view.rows().nth(usize::from(row)).is_some_and(|row| row.contains("id SkyShip.jpg"))
    });
    dash.screen.key(Key::Enter);
    dash.screen.wait_for_text("189");

    dash.screen.line("jion 127.0.0.1:1");
    dash.screen.wait_for_text("did you mean 'join'?");
    // The line stays to be corrected.
    dash.screen.key(Key::Ctrl('u'));
    dash.screen.line("join");
    dash.screen.wait_for_text("Usage: join ADDR");
    dash.screen.key(Key::Ctrl('u'));

    dash.screen.line(&format!("join {}", other.address));
    dash.screen.wait_for_text("2 nodes");
    dash.screen.wait_for_text(&other.id);
    eventually("the other has it as its successor", || {
        let info = other.json(&["info"])?;
        let found = info["successors"][0]["address"] == dash.address.to_string();
        if found { Ok(()) } else { Err(info.to_string()) }
    });

    dash.screen.line(&format!("put {}", text(&picture)));
    dash.screen.wait_for_text("2/2 copies");
    dash.screen.line("get SkyShip.jpg");
    dash.screen.wait_for_text("fetched");
    let got = std::fs::read(dash.download("SkyShip.jpg")).expect("in the download directory");
    assert!(got == std::fs::read(&picture).expect("the picture"));

    dash.screen.line("lookup SkyShip.jpg");
    dash.screen.wait_for_text("its owner is");

    // `?` on an empty prompt: the list of keys and commands, to be searched.
    dash.screen.send("?");
    dash.screen.wait_for_text("put PATH");
    dash.screen.send("finger table");
    dash.screen
        .wait_for("the help is searched", |view| view.shows("fingers") && !view.shows("put PATH"));
    dash.screen.key(Key::Escape);
    dash.screen.wait_for("the help is closed", |view| !view.shows("finger table"));
    dash.screen.line("id 127.0.0.1:2000");
    dash.screen.wait_for_text("466");

    dash.quit();
    assert_eq!(dash.screen.exit_code(), 0);
    eventually("it has left the ring", || {
        let ring = other.json(&["ring"])?;
        if members(&ring)?.len() == 1 { Ok(()) } else { Err(ring.to_string()) }
    });
    assert!(other.fetch("SkyShip.jpg").is_ok(), "the file was handed over");
}

#[test]
fn what_is_typed_is_painted_at_once() {
    // Typed one by one: each key finds the dashboard asleep. When a key failed
    // to wake it, each was painted only at its next look at the terminal, two
    // seconds apart: these would take forty.
    let mut dash = Dash::start(NORMAL, &[]);
    dash.screen.wait_for_text("alone");
    let start = Instant::now();
    let mut typed = String::new();
    for letter in "abcdefghijklmnopqrst".chars() {
        typed.push(letter);
        dash.screen.send(letter.encode_utf8(&mut [0; 4]));
        dash.screen.wait_for_text(&typed);
    }
    assert!(start.elapsed() < Duration::from_secs(20), "20 keys took {:?}", start.elapsed());
}

#[test]
fn every_layout_shows_the_node_and_keeps_what_was_typed() {
    let mut dash = Dash::start((200, 50), &[]);
    dash.screen.send("lookup half-typed");
    for size in [(200, 50), (120, 35), (80, 24), (50, 12), (20, 4), (80, 24), (200, 50)] {
        dash.screen.resize(size);
        let (cols, rows) = size;
        dash.screen.wait_for(&format!("the layout for {cols}×{rows}"), |view| {
            let dots =
                view.rows().any(|row| row.contains(|c| ('\u{2801}'..='\u{28FF}').contains(&c)));
            let last = view.rows().last().unwrap_or_default();
            let titles = ["Fingers", "Neighbours", "Files", "Transfers", "Events"];
            let shown = titles.iter().filter(|title| view.shows(title)).count();
            view.size() == size
                && view.shows(&dash.id)
                && last.contains("half-typed")
                // The drawn ring, and all panels at once: what the layouts differ in.
                && dots == (cols >= 60)
                && (cols < 160 || shown == titles.len())
        });
    }
}

#[test]
fn after_quit_the_terminal_is_as_it_was() {
    ends_tidily("quit", |dash| dash.quit(), Some(0));
}

#[test]
fn after_ctrl_d_the_terminal_is_as_it_was() {
    ends_tidily("Ctrl-D", |dash| dash.screen.key(Key::Ctrl('d')), Some(0));
}

#[test]
fn after_ctrl_c_twice_the_terminal_is_as_it_was() {
    // In one write: a Ctrl-C that comes when the terminal is out of raw mode
    // already makes the kernel throw away what the terminal has not read yet.
    ends_tidily("Ctrl-C twice", |dash| dash.screen.send("\u{3}\u{3}"), None);
}

#[test]
fn after_the_mouse_was_on_the_terminal_is_as_it_was() {
    let with_mouse = |dash: &mut Dash| {
        to_panels(&mut dash.screen);
        dash.screen.send("m");
        eventually("the mouse is on", || {
            let state = dash.screen.state();
            if state.mouse() { Ok(()) } else { Err(format!("{state:?}")) }
        });
        dash.screen.send(":");
        dash.quit();
    };
    ends_tidily("the mouse was on", with_mouse, Some(0));
}

#[test]
fn after_signals_the_terminal_is_as_it_was() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        ends_tidily(&format!("{signal:?}"), |dash| dash.screen.signal(signal), None);
    }
}

/// Ends a dashboard and compares its terminal with one that never had any.
fn ends_tidily(how: &str, end: impl FnOnce(&mut Dash), code: Option<u8>) {
    let home = TempDir::new().expect("a temporary directory");
    let launch = Launch { size: NORMAL, dir: home.path(), env: &[] };
    let fresh = Screen::under_shell(&launch, &["true"]);
    fresh.exit_code();

    let mut dash = Dash::start(NORMAL, &[]);
    let during = dash.screen.state();
    assert!(during.alternate_screen() && during.bracketed_paste(), "{during:?}");
    end(&mut dash);
    let ended = dash.screen.exit_code();
    assert!(code.is_none_or(|code| ended == code), "{how}: exit code {ended}");
    assert_eq!(dash.screen.state(), fresh.state(), "{how}");
    assert!(fresh.state().cursor());
    // What stood there before is there again, and only the shell wrote since.
    let shown = dash.screen.contents();
    assert!(shown.starts_with(&format!("[pid {}]", dash.screen.process())), "{how}: {shown}");
    assert!(!shown.contains('─') && !shown.contains('│'), "{how}: {shown}");
}

#[test]
fn ctrl_z_gives_the_terminal_back_and_the_foreground_brings_the_dashboard_back() {
    let mut dash = Dash::start_with(NORMAL, &[], Screen::under_shell_with_jobs);
    let running = dash.screen.state().between_frames();
    dash.screen.key(Key::Ctrl('z'));
    dash.screen.wait_for("the shell is back", |view| !view.alternate() && view.shows("[stopped "));
    let stopped = dash.screen.state();
    assert!(stopped.cursor() && !stopped.alternate_screen() && !stopped.bracketed_paste());
    dash.screen.key(Key::Enter);
    dash.is_shown();
    eventually("the dashboard has its modes again", || {
        let state = dash.screen.state().between_frames();
        if state == running { Ok(()) } else { Err(format!("{state:?} instead of {running:?}")) }
    });
    dash.screen.line("id SkyShip.jpg");
    dash.screen.wait_for_text("189");
    dash.quit();
    assert_eq!(dash.screen.exit_code(), 0);
    assert_eq!(dash.screen.state(), stopped);
}

#[test]
fn a_dumb_terminal_is_refused_untouched() {
    let home = TempDir::new().expect("a temporary directory");
    let launch = Launch { size: NORMAL, dir: home.path(), env: &[("TERM", "dumb")] };
    let screen = Screen::under_shell(&launch, &[PROGRAM, &free_address().to_string()]);
    assert_eq!(screen.exit_code(), 2);
    screen.wait_for_text("--headless");
    assert!(!screen.contents().contains('\u{1b}'));
}

#[test]
#[cfg(target_os = "linux")]
fn a_program_whose_terminal_vanished_ends() {
    let mut dash = Dash::start(NORMAL, &[]);
    let process = dash.screen.process();
    dash.screen.vanish("x");
    pty::gone(process);
}

#[test]
fn what_a_killed_program_left_on_the_alternate_screen_is_cleared_at_the_start() {
    let home = TempDir::new().expect("a temporary directory");
    let launch = Launch { size: NORMAL, dir: home.path(), env: &[] };
    let address = free_address().to_string();
    let data = home.path().join("data");
    let run = r#"read -r go; exec "$@""#;
    let words = ["sh", "-c", run, "sh", PROGRAM, &address, "--data-dir", text(&data)];
    let mut screen = Screen::start(&launch, &words);
    screen.record();
    screen.line("");
    screen.wait_for_text("alone");
    let written: Vec<u8> = screen.recorded().into_iter().flat_map(|(_, bytes)| bytes).collect();
    // A terminal that is on that screen already, and for which, as in tmux, being
    // switched to it changes nothing.
    let (cols, rows) = NORMAL;
    let size = |length| std::num::NonZeroU16::new(length).expect("it has a size");
    let mut terminal = vt100::Parser::new(size(rows), size(cols), 0);
    terminal.process(b"\x1b[?1049h\x1b[41m");
    for row in 1..=rows {
        let left = "leftover".repeat(usize::from(cols) / 8);
        terminal.process(format!("\x1b[{row};1H{left}").as_bytes());
    }
    let switch = b"\x1b[?1049h";
    let at = written.windows(switch.len()).position(|bytes| bytes == switch);
    let at = at.expect("the dashboard switches to it");
    terminal.process(&written[..at]);
    terminal.process(&written[at + switch.len()..]);
    let shown = terminal.screen().contents();
    assert!(shown.contains("alone") && !shown.contains("leftover"), "{shown}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_dashboard_at_rest_costs_next_to_nothing() {
    // Not a benchmark: a loop that always draws, or a reader that spins, costs
    // ten times as much even on a slow machine.
    const SHARE: f64 = 0.05;
    const RESIDENT: u64 = 64 << 20;
    const WINDOW: Duration = Duration::from_secs(2);

    let other = NodeProcess::start(&[]);
    let address = other.address.to_string();
    let dash = Dash::start((160, 45), &["--stabilize", "1s", "--join", &address]);
    dash.screen.wait_for_text("2 nodes");
    let process = dash.screen.process();
    eventually("it comes to rest", || {
        let before = processor_time(process);
        // The window of the measurement, not a wait for something to happen.
        std::thread::sleep(WINDOW);
        let share =
            processor_time(process).saturating_sub(before).as_secs_f64() / WINDOW.as_secs_f64();
        if share < SHARE { Ok(()) } else { Err(format!("{:.1} % of a core", share * 100.0)) }
    });
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let resident =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
    let resident: u64 = resident.and_then(|kilobytes| kilobytes.parse().ok()).expect("a number");
    assert!(resident * 1024 < RESIDENT, "{resident} KiB resident");
}

/// What a process has used of the processor so far.
#[cfg(target_os = "linux")]
fn processor_time(process: u32) -> Duration {
    // What Linux calls USER_HZ: a hundred on every machine.
    const TICK: u64 = 10;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let fields: Vec<&str> =
        stat.rsplit_once(')').expect("a name in parentheses").1.split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().map(|&i| fields[i].parse::<u64>().expect("ticks")).sum();
    Duration::from_millis(ticks * TICK)
}

#[test]
fn a_lab_shows_its_ring_and_repairs_it_when_a_node_is_killed() {
    let home = TempDir::new().expect("a temporary directory");
    let (_dir, path) = with_sky_ship();
    let launch = Launch { size: (160, 45), dir: home.path(), env: &[] };
    let words = [PROGRAM, "lab", "8", "--stabilize", "200ms"];
    let mut screen = Screen::under_shell(&launch, &words);
    screen.wait_for("eight nodes, healthy", |view| view.shows("8 nodes") && view.shows("healthy"));

    let mut shown = String::new();
    screen.wait_for("an address is shown", |view| {
        let address = Regex::new(r"127\.0\.0\.1:\d+").expect("a pattern");
        let row = view.rows().next().unwrap_or_default();
        shown = address.find(&row).map(|found| found.as_str().to_owned()).unwrap_or_default();
        !shown.is_empty()
    });
    let ring = healthy(&[shown.clone()], 8);

    screen.line(&format!("put {}", text(&path)));
    screen.wait_for_text("3/3 copies");
    screen.line("lookup SkyShip.jpg");
    screen.wait_for_text("its owner is");

    to_panels(&mut screen);
    screen.send("K");
    screen.wait_for("it asks, or does it", |view| view.shows("kill") || view.shows("down"));
    screen.send("y");
    screen.wait_for_text("R restarts it");
    // The next one sees it go, and the ring closing without it.
    screen.send("n");
    screen.wait_for_text("7 nodes · 1 gone");
    screen.send("N");
    screen.wait_for_text("R restarts it");
    let rest: Vec<String> = ring.into_iter().filter(|address| *address != shown).collect();
    assert_eq!(healthy(&rest, 7).len(), 7);
    eventually("the file has three copies again", || {
        let listing = json(&rest[0], &["ls", "--ring"])?;
        let file = &listing["files"][0];
        if file["copies"] == 3 { Ok(()) } else { Err(listing.to_string()) }
    });

    screen.send("R");
    assert_eq!(healthy(&rest, 8).len(), 8);
    screen.send(":");
    quit(&mut screen);
    assert_eq!(screen.exit_code(), 0);
}

/// Waits until one of these nodes sees a healthy ring of this size; the
/// addresses of its members.
fn healthy(nodes: &[String], size: usize) -> Vec<String> {
    eventually("the ring is healthy", || {
        let ring = json(&nodes[0], &["ring"])?;
        let members = members(&ring)?;
        if ring["healthy"] == true && members.len() == size {
            Ok(members.into_iter().map(|(_, address)| address).collect())
        } else {
            Err(ring.to_string())
        }
    })
}

#[test]
fn a_ring_with_members_is_refused_to_a_node_with_files_of_other_bits() {
    let (_dir, path) = with_sky_ship();
    let ring = Ring::of(2);
    let home = TempDir::new().expect("a temporary directory");
    let launch = Launch { size: NORMAL, dir: home.path(), env: &[] };
    let address = free_address().to_string();
    let mut screen = Screen::under_shell(
        &launch,
        &[PROGRAM, &address, "--bits", "8", "--data-dir", text(home.path())],
    );
    screen.wait_for_text(&address);
    screen.line(&format!("put {}", text(&path)));
    screen.wait_for_text("1/1 copies");
    screen.line(&format!("join {}", ring.nodes[0].address));
    screen.wait_for("it says why not", |view| view.shows("bits") || view.shows("2^8"));
    ring.settled();
}
