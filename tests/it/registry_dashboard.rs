//! The dashboard of `chordal seed` on a real terminal: who comes and goes, its
//! keys, and every way of ending.

use std::net::{SocketAddr, TcpListener};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::{
    NodeProcess, PROGRAM, chordal, eventually, free_address, has_own_hosts, text,
};
use crate::pty::{Key, Launch, Screen, Size};

const NORMAL: Size = (110, 32);

/// Two registries under one dashboard.
struct Desk {
    screen: Screen,
    first: SocketAddr,
    second: SocketAddr,
    _home: TempDir,
}

impl Desk {
    fn start() -> Desk {
        let home = TempDir::new().expect("a temporary directory");
        let first = eventually("two free ports in a row", || {
            let first = free_address();
            let next = first.port().checked_add(1).ok_or("the last port")?;
            if has_own_hosts() || TcpListener::bind((first.ip(), next)).is_ok() {
                Ok(first)
            } else {
                Err(format!("{next} is taken"))
            }
        });
        let data = home.path().join("data");
        let words = [
            PROGRAM.to_owned(),
            "seed".to_owned(),
            first.to_string(),
            "--count=2".to_owned(),
            "--check=200ms".to_owned(),
            format!("--data-dir={}", text(&data)),
        ];
        let launch = Launch { size: NORMAL, dir: home.path(), env: &[] };
        let screen = Screen::under_shell(&launch, &words);
        let second = SocketAddr::new(first.ip(), first.port() + 1);
        let desk = Desk { screen, first, second, _home: home };
        let empty = format!("chordal --seed {first}");
        desk.screen.wait_for("an empty list says what to do", |view| {
            view.alternate() && view.shows(&first.to_string()) && view.shows(&empty)
        });
        desk
    }

    /// Waits until the program has ended well and the terminal is as it was.
    fn ended(&self) {
        self.screen.wait_for("it ends", |view| !view.alternate() && view.shows("[exit 0]"));
    }
}

#[test]
fn registries_show_who_comes_and_goes_and_end_with_q() {
    let mut desk = Desk::start();
    let mut node = NodeProcess::start(&[
        "--seed",
        &desk.first.to_string(),
        "--seed",
        &desk.second.to_string(),
    ]);
    let address = node.address.to_string();
    desk.screen.wait_for("the node is on the list", |view| {
        view.shows("1 peer ") && view.rows().any(|row| row.contains(&address) && row.contains("up"))
    });

    desk.screen.key(Key::Tab);
    let second = format!("registry {}", desk.second);
    desk.screen.wait_for("the second registry knows it too", |view| {
        view.shows(&second) && view.rows().any(|row| row.contains(&address) && row.contains("up"))
    });
    // A scan takes them for what they are.
    let ports = format!("{}-{}", desk.first.port(), desk.second.port());
    let output = chordal(&["scan", &desk.first.ip().to_string(), &ports]);
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(said.contains("tried: no nodes, 2 registries"), "{said}");

    desk.screen.resize((50, 12));
    desk.screen.wait_for("it fits into a small pane", |view| view.shows(&address));
    desk.screen.send("?");
    desk.screen.wait_for("the keys are listed", |view| view.shows("freeze the picture"));
    desk.screen.send("q");
    desk.screen.wait_for("q closes the list of keys", |view| !view.shows("freeze the picture"));

    node.kill();
    desk.screen.wait_for("a dead node leaves the list", |view| view.shows("Nobody is on the list"));
    desk.screen.send("q");
    desk.ended();
}

#[test]
fn a_signal_ends_the_registries_and_gives_the_terminal_back() {
    for signal in [Signal::TERM, Signal::INT] {
        let desk = Desk::start();
        desk.screen.signal(signal);
        desk.ended();
    }
    let mut desk = Desk::start();
    desk.screen.send("\u{3}");
    desk.ended();
}
