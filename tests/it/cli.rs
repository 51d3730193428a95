//! The command line as a script meets it: what goes where, and with which exit
//! code.

use std::io::Read;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use crate::process;

/// The program, away from the variables and the settings of whoever runs this.
fn chordal(words: &[&str]) -> Command {
    let mut command = process::command(words);
    command.env("CHORDAL_CONFIG", "");
    command
}

/// Runs it to its end: exit code, standard output, standard error.
fn run(words: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = chordal(words).output().expect("the program runs");
    let text = |bytes| String::from_utf8(bytes).expect("output is text");
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn an_id_is_computed_without_a_ring() {
    let (code, out, err) = run(&["id", "SkyShip.jpg", "--json"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let value: serde_json::Value = serde_json::from_str(&out).expect("one JSON value");
    assert_eq!(value, serde_json::json!({ "text": "SkyShip.jpg", "bits": 10, "id": "189" }));

    let (code, out, _) = run(&["id", "127.0.0.1:2000"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("466"), "{out}");
    let (_, wide, _) = run(&["id", "SkyShip.jpg", "--bits", "128", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&wide).expect("one JSON value");
    assert_eq!(value["id"].as_str().map(str::len), Some(32), "hexadecimal, of fixed width");
}

#[test]
fn wrong_words_end_with_two_and_a_way_out_on_standard_error() {
    for (words, advice) in [
        (&["dowload", "SkyShip.jpg"][..], "did you mean 'download'?"),
        (&["jion", "127.0.0.1:2000"], "chordal --join ADDR"),
        (&["leave"], "typed at the prompt of a running node"),
        (&["xyzzy"], "chordal --help"),
        (&["put"], "PATH"),
        (&["ls", "--rign"], "--ring"),
        (&["--bits", "129"], "1..=128"),
        (&["--ring", "our ring"], "no blanks"),
        (&["127.0.0.1", "http"], "is not a port"),
        (&["127.0.0.1:2000", "2001"], "names a port already"),
        (&["127.0.0.1:99999"], "is not a port"),
        (&["--config", "nowhere.toml"], "chordal config"),
        (&["info", "--via", "nowhere"], "HOST:PORT"),
        (&["tmux", "3", "--port", "65534"], "--port"),
    ] {
        let (code, out, err) = run(words);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{words:?}: {err}");
        assert!(err.contains(advice), "{words:?}: {err}");
    }
}

#[test]
fn without_a_terminal_the_dashboard_names_headless() {
    for words in [&["127.0.0.1:0"][..], &["lab", "2"], &["seed", "127.0.0.1:0"]] {
        let (code, _, err) = run(words);
        assert_eq!(code, Some(2), "{err}");
        assert!(err.contains("--headless"), "{err}");
    }
}

#[test]
fn help_version_and_completions_go_to_standard_output() {
    for (words, part) in [
        (&["--help"][..], "Scenes:"),
        (&["help", "put"], "--overwrite"),
        (&["help"], "lookup"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
        (&["config"], "# bits = 10"),
        (&["completions", "bash"], "complete"),
        (&["completions", "zsh"], "#compdef chordal"),
        (&["tmux", "2", "--dry-run"], "--join 127.0.0.1:2000"),
    ] {
        let (code, out, err) = run(words);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{words:?}");
        assert!(out.contains(part), "{words:?}: {out}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = chordal(&["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    drop(child.stdout.take());
    let mut err = String::new();
    let mut stderr = child.stderr.take().expect("it was asked for");
    stderr.read_to_string(&mut err).expect("text");
    assert_eq!((child.wait().expect("it ends").code(), err.as_str()), (Some(0), ""));
}

#[test]
fn where_nobody_listens_the_failure_names_the_address_and_a_remedy() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    drop(listener);
    let (code, out, err) = run(&["info", "--via", &address]);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains(&address), "{err}");
    assert!(err.contains(';'), "a remedy: {err}");
}
