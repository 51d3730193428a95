//! The command line as a script meets it: what goes where, and with which exit
//! code.

use std::io::Read;
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
        (&["quit"], "typed at the prompt of a running node"),
        (&["xyzzy"], "chordal --help"),
        (&["put"], "PATH"),
        (&["ls", "--rign"], "--ring"),
        (&["--bits", "129"], "1..=128"),
        (&["--ring", "our ring"], "no blanks"),
        (&["127.0.0.1", "http"], "is not a port"),
        (&["127.0.0.1:2000", "2001"], "names a port already"),
        (&["127.0.0.1:99999"], "is not a port"),
        (&["10.1:2000"], "four decimal numbers"),
        (&["10.1", "2000"], "four decimal numbers"),
        (&["--join", "010.0.0.1:2000"], "four decimal numbers"),
        (&["--seed", "0x7f.1:5000"], "four decimal numbers"),
        (&["--advertise", "127.1"], "four decimal numbers"),
        (&["--advertise", "::1:2000"], "[::1]:2000 or [::1:2000]"),
        (&["scan", "10.1"], "four decimal numbers"),
        (&["info", "--via", "127.0.0.01:2000"], "four decimal numbers"),
        (&["seed", "127.1:5000", "--headless"], "four decimal numbers"),
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
    let address = process::free_address().to_string();
    let (code, out, err) = run(&["info", "--via", &address]);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains(&address), "{err}");
    assert!(err.contains(';'), "a remedy: {err}");
}

#[test]
fn a_failure_has_a_kind_for_scripts() {
    let node = process::NodeProcess::start(&[]);
    let via = node.address.to_string();
    let home = tempfile::TempDir::new().expect("a directory");
    let [one, two] = ["one", "two"].map(|name| home.path().join(name).display().to_string());
    std::fs::write(&one, b"one").expect("a file");
    std::fs::write(&two, b"two").expect("a file");
    node.run(&["put", &one, "--as", "name"]);
    for (code, kind, words) in [
        (1, "exists", &["put", &two, "--as", "name"][..]),
        (1, "local", &["put", "/no/such/file"]),
        (2, "usage", &["put", &one, "--as", "../up"]),
    ] {
        let output = process::chordal(&[words, &["--json", "--via", &via]].concat());
        let said: serde_json::Value = serde_json::from_slice(&output.stderr).expect("JSON");
        assert_eq!((output.status.code(), &said["kind"]), (Some(code), &kind.into()), "{said}");
        let text = chordal(&[words, &["--via", &via]].concat()).output().expect("it runs").stderr;
        let sentence = said["error"].as_str().expect("a sentence");
        assert_eq!(String::from_utf8(text).expect("text"), format!("error: {sentence}\n"));
    }
    let silent = process::free_address().to_string();
    let output = process::chordal(&["info", "--json", "--via", &silent]);
    let said: serde_json::Value = serde_json::from_slice(&output.stderr).expect("JSON");
    assert_eq!(said["kind"], "peer", "{said}");
}

#[test]
fn what_cannot_be_put_or_saved_is_one_sentence_and_leaves_nothing_behind() {
    let home = tempfile::TempDir::new().expect("a directory");
    let path = |name: &str| home.path().join(name).display().to_string();
    std::fs::write(path("file"), b"a file").expect("a file");
    std::fs::write(path("ab:c"), b"a file").expect("a file");
    std::fs::create_dir(path("dir")).expect("a directory");
    let _socket = std::os::unix::net::UnixListener::bind(path("socket")).expect("a socket");
    let node = process::NodeProcess::start(&[]);
    let via = node.address.to_string();
    node.run(&["put", &path("file"), "--as", "stored"]);
    node.run(&["put", &path("file"), "--as", "below/stored"]);
    let long = "x".repeat(256);
    for (code, words, parts) in [
        (1, &["put", "missing"][..], &["missing", "No such file"][..]),
        (1, &["put", "socket"], &["socket", "neither a file nor a directory"]),
        (2, &["put", "file", "--as", &long], &["256 bytes"]),
        (2, &["put", "file", "--as", "../up"], &["'../up'", "'..'"]),
        (2, &["put", "file", "--as", "/abs"], &["absolute"]),
        (2, &["put", "ab:c"], &["ab:c", "U+003A"]),
        (2, &["put", "dir", "--as", "x\\y"], &["U+005C"]),
        (2, &["put", "/", "--as", ""], &["name"]),
        (2, &["put", "file", "--as", "below/stored/x/"], &["empty part"]),
        (2, &["get", "a//b/"], &["'a//b/'", "empty part"]),
        (1, &["get", "stored", "--to", "file/below"], &["below file, which is a file"]),
        (1, &["get", "below/", "--to", "file"], &["file is a file", "directory"]),
        (1, &["get", "stored", "--to", "/proc/nowhere/x"], &["/proc/nowhere"]),
    ] {
        let output = chordal(&[words, &["--via", &via]].concat())
            .current_dir(home.path())
            .output()
            .expect("the program runs");
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{words:?}: {said}");
        assert!(said.starts_with("error: "), "{words:?}: {said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{words:?}: {said}");
    }
    // For a part of a directory the same holds: all its files fail, one by one.
    let output = chordal(&["get", "below/", "--to", "file/x", "--via", &via])
        .current_dir(home.path())
        .output()
        .expect("the program runs");
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("1 file failed:\n  below/stored: "), "{said}");

    let mut left: Vec<_> = std::fs::read_dir(home.path())
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["ab:c", "dir", "file", "socket"]);
    let listing = node.json(&["ls"]).expect("a listing");
    assert_eq!(listing["files"].as_array().map(Vec::len), Some(2), "{listing}");
}

#[test]
fn a_start_that_fails_says_what_helps_and_leaves_no_directory() {
    let taken = std::net::TcpListener::bind(process::free_address()).expect("a free address");
    let taken = taken.local_addr().map(|address| (taken, address.to_string()));
    let (_held, taken) = taken.expect("an address");
    let home = tempfile::tempdir().expect("a temporary directory");
    let data = home.path().join("state").join("node");
    let data = process::text(&data);
    // Nobody has an address of the documentation's network.
    for (address, advice) in
        [(taken.as_str(), "another address"), ("192.0.2.1:2000", "0.0.0.0:2000")]
    {
        for start in [&[address, "--headless"][..], &["seed", address, "--headless"]] {
            let (code, out, err) = run(&[start, &["--data-dir", data]].concat());
            assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
            assert!(err.contains(advice), "{err}");
            let left = std::fs::read_dir(home.path()).expect("it is there").count();
            assert_eq!(left, 0, "{start:?} left something behind");
        }
    }
}
