//! Whole directories: `put DIR` and `get DIR/`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::Output;

use tempfile::TempDir;

use crate::process::{NodeProcess, Ring, describe, eventually, random_file, text};

/// Every file below a directory, by its relative path, with its bytes.
fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    fn gather(dir: &Path, base: &str, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(dir).expect("a directory") {
            let entry = entry.expect("an entry");
            let name = format!("{base}{}", entry.file_name().display());
            if entry.file_type().expect("a kind").is_dir() {
                gather(&entry.path(), &format!("{name}/"), found);
            } else {
                found.insert(name, fs::read(entry.path()).expect("a file"));
            }
        }
    }
    let mut found = BTreeMap::new();
    gather(dir, "", &mut found);
    found
}

/// A directory with files of all sizes in it, hidden and empty ones too.
fn album(home: &Path) {
    let dir = home.join("album");
    fs::create_dir_all(dir.join("2024/june")).expect("a directory");
    fs::create_dir_all(dir.join("nothing")).expect("a directory");
    for (seed, (name, size)) in
        [("a.jpg", 5), (".hidden", 70_000), ("2024/june/b.jpg", 1_300_000), ("2024/empty", 0)]
            .into_iter()
            .enumerate()
    {
        random_file(&dir.join(name), size, seed as u64);
    }
    for number in 0..60 {
        let path = dir.join(format!("2024/{number:02}.txt"));
        fs::write(path, format!("file {number}")).expect("a file");
    }
}

fn get(node: &NodeProcess, name: &str, to: &Path) -> Output {
    node.attempt(&["get", name, "--to", text(to)])
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_directory_comes_back_as_it_was_and_asking_again_moves_nothing() {
    let home = TempDir::new().expect("a directory");
    album(home.path());
    let ring = Ring::of(4);
    let album = home.path().join("album");
    let stored = ring.nodes[1].run(&["put", &format!("{}/", text(&album))]);
    assert!(stored.starts_with("album/ stored: 64 files, 1.4 MB in "), "{stored}");
    let again = ring.nodes[2].run(&["put", text(&album)]);
    assert!(again.contains("64 files (64 already there)"), "{again}");

    let to = home.path().join("fetched");
    let fetched = get(&ring.nodes[3], "album/", &to);
    assert!(
        said(&fetched).starts_with("album/ fetched: 64 files, 1.4 MB"),
        "{}",
        describe(&fetched)
    );
    assert_eq!(contents(&to.join("album")), contents(&album));

    // One is missing and one is another file since: that one is nobody's to replace.
    fs::remove_file(to.join("album/a.jpg")).expect("it is there");
    fs::write(to.join("album/2024/00.txt"), b"mine.!").expect("it is there");
    let again = get(&ring.nodes[0], "album/", &to);
    assert!(said(&again).contains("64 files (62 already there)"), "{}", describe(&again));
    let now = contents(&to.join("album"));
    assert_eq!(now.len(), 65);
    assert_eq!(now["2024/00.txt"], b"mine.!");
    assert_eq!(now["2024/00 (1).txt"], b"file 0");

    // A part of it is a directory as well.
    let part = get(&ring.nodes[0], "album/2024/june/", &home.path().join("part"));
    assert!(part.status.success(), "{}", describe(&part));
    assert_eq!(contents(&home.path().join("part")).len(), 1);
}

#[test]
fn a_directory_has_the_name_that_its_user_or_its_place_gives_it() {
    let home = TempDir::new().expect("a directory");
    fs::create_dir(home.path().join("real")).expect("a directory");
    fs::write(home.path().join("real/x"), b"1").expect("a file");
    let node = NodeProcess::start(&[]);
    let via = node.address.to_string();
    let put = |words: &[&str]| {
        let mut command = crate::process::command(&[&["put"], words, &["--via", &via]].concat());
        let output = command.current_dir(home.path().join("real")).output().expect("it runs");
        assert!(output.status.success(), "{}", describe(&output));
        said(&output)
    };
    assert!(put(&["."]).starts_with("real/ stored: 1 file,"));
    assert!(put(&["../real/", "--as", "other/place/"]).starts_with("other/place/ stored: 1 file,"));
    let listing = node.json(&["ls", "--ring"]).expect("a listing");
    let names: Vec<_> = listing["files"].as_array().expect("files").iter().collect();
    assert_eq!(
        names.iter().map(|file| &file["name"]).collect::<Vec<_>>(),
        ["other/place/x", "real/x"]
    );
}

#[test]
fn what_fails_for_one_file_stops_no_other_and_is_told_at_the_end() {
    let home = TempDir::new().expect("a directory");
    let dir = home.path().join("mixed");
    fs::create_dir(&dir).expect("a directory");
    for name in ["a", "b:c", "d", "taken"] {
        fs::write(dir.join(name), name).expect("a file");
    }
    std::os::unix::fs::symlink("a", dir.join("link")).expect("a link");
    let node = NodeProcess::start(&[]);
    let other = home.path().join("other");
    fs::write(&other, b"something else").expect("a file");
    node.run(&["put", text(&other), "--as", "mixed/taken"]);

    let output = node.attempt(&["put", text(&dir)]);
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    let (out, err) = (said(&output), String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(out.starts_with("mixed/ stored: 2 files, 2 B in "), "{out}");
    assert!(out.contains("left out: ") && out.contains("link: a symbolic link"), "{out}");
    assert!(err.contains("2 files failed:"), "{err}");
    let line = |part: &str| err.lines().find(|line| line.contains(part)).unwrap_or_default();
    assert!(line("b:c").contains("U+003A"), "{err}");
    assert!(line("mixed/taken").contains("--overwrite"), "{err}");

    let output = node.attempt(&["put", text(&dir), "--overwrite"]);
    assert!(said(&output).contains("3 files (2 already there)"), "{}", describe(&output));

    // To be fetched over a directory that stands where a file belongs.
    let to = home.path().join("to");
    fs::create_dir_all(to.join("mixed")).expect("a directory");
    fs::write(to.join("mixed/d"), b"mine").expect("a file");
    let output = get(&node, "mixed/", &to);
    assert!(output.status.success(), "{}", describe(&output));
    assert_eq!(fs::read(to.join("mixed/d (1)")).expect("a second one"), b"d");
}

#[test]
fn files_that_change_or_go_while_a_directory_is_stored_fail_alone_and_are_told() {
    let home = TempDir::new().expect("a directory");
    let dir = home.path().join("busy");
    fs::create_dir_all(dir.join("gone")).expect("a directory");
    random_file(&dir.join("a.bin"), 4_000_000, 1);
    for name in ["b", "c", "d", "e", "f", "gone/x", "z"] {
        fs::write(dir.join(name), name).expect("a file");
    }
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
    let pipe = |name: &str| {
        rustix::fs::mknodat(rustix::fs::CWD, dir.join(name), kind, mode, 0).expect("a pipe");
    };
    pipe("pipe");
    std::os::unix::fs::symlink("nowhere", dir.join("leads-nowhere")).expect("a link");
    let node = NodeProcess::start(&[]);
    let output = std::thread::scope(|scope| {
        // So slowly that all else waits for the first one.
        let put = scope
            .spawn(|| node.attempt(&["put", text(&dir), "--transfers", "1", "--limit-up", "1M"]));
        eventually("the first one is on its way", || {
            let transfers = node.run(&["transfers"]);
            if transfers.contains("busy/a.bin") { Ok(()) } else { Err(transfers) }
        });
        for name in ["b", "c", "d", "e"] {
            fs::remove_file(dir.join(name)).expect("it is there");
        }
        fs::create_dir(dir.join("b")).expect("a directory");
        pipe("c");
        std::os::unix::fs::symlink("nowhere", dir.join("d")).expect("a link");
        fs::write(dir.join("f"), "another one, and longer").expect("a file");
        fs::remove_dir_all(dir.join("gone")).expect("it is there");
        File::options().write(true).open(dir.join("a.bin")).expect("it").set_len(9).expect("cut");
        put.join().expect("it ends")
    });
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    let (out, err) = (said(&output), String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(out.starts_with("busy/ stored: 2 files, 24 B in "), "{out}");
    for (name, what) in [("pipe", "neither a file nor a directory"), ("leads-nowhere", "link")] {
        assert!(out.lines().any(|line| line.contains(name) && line.contains(what)), "{out}");
    }
    assert!(err.contains("6 files failed:"), "{err}");
    for (name, why) in [
        ("busy/a.bin", "changed while it was being stored; put it again"),
        ("busy/b", "is a directory by now"),
        ("busy/c", "neither a file nor a directory"),
        ("busy/d", "No such file"),
        ("busy/e", "No such file"),
        ("busy/gone/x", "No such file"),
    ] {
        let told = |line: &str| line.contains(name) && line.contains(why);
        assert!(err.lines().any(told), "{name}: {err}");
    }
    let listing = node.json(&["ls", "--ring"]).expect("a listing");
    let names: Vec<_> = listing["files"].as_array().expect("files").iter().collect();
    let names: Vec<_> = names.iter().map(|file| &file["name"]).collect();
    assert_eq!(names, ["busy/f", "busy/z"], "and nothing of the others");

    // What is there the next time is stored with the rest.
    fs::remove_dir(dir.join("b")).expect("it is there");
    for name in ["c", "d"] {
        fs::remove_file(dir.join(name)).expect("it is there");
    }
    let again = node.run(&["put", text(&dir)]);
    assert!(again.contains("3 files (2 already there)"), "{again}");
}

#[test]
fn removed_files_are_no_part_of_a_directory_and_a_directory_of_none_is_an_error() {
    let home = TempDir::new().expect("a directory");
    let dir = home.path().join("few");
    fs::create_dir(&dir).expect("a directory");
    for name in ["a", "b"] {
        fs::write(dir.join(name), name).expect("a file");
    }
    let ring = Ring::of(3);
    ring.nodes[0].run(&["put", text(&dir)]);
    ring.nodes[1].run(&["rm", "few/a"]);
    let to = home.path().join("to");
    let output = get(&ring.nodes[2], "few/", &to);
    assert!(said(&output).starts_with("few/ fetched: 1 file,"), "{}", describe(&output));
    assert_eq!(contents(&to.join("few")).into_keys().collect::<Vec<_>>(), ["b"]);

    let output = get(&ring.nodes[2], "none/", &to);
    assert_eq!(output.status.code(), Some(1));
    assert!(describe(&output).contains("begins with none/"), "{}", describe(&output));
    fs::create_dir(home.path().join("empty")).expect("a directory");
    let output = ring.nodes[2].run(&["put", text(&home.path().join("empty"))]);
    assert!(output.contains("no empty directories"), "{output}");
}

#[test]
fn names_that_are_one_on_the_ring_are_neither_sent_nor_saved_beside_each_other() {
    let home = TempDir::new().expect("a directory");
    let dir = home.path().join("menu");
    let (composed, apart) = ("caf\u{e9}", "cafe\u{301}");
    fs::create_dir(&dir).expect("a directory");
    for name in [composed, apart, "tea"] {
        fs::write(dir.join(name), format!("this is {name}")).expect("a file");
    }
    let node = NodeProcess::start(&[]);
    let output = node.attempt(&["put", text(&dir), "--overwrite"]);
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said(&output).starts_with("menu/ stored: 1 file,"), "{}", describe(&output));
    assert!(err.contains("2 files failed:"), "{err}");
    for (own, twin) in [("caf\\u{e9}", "cafe\\u{301}"), ("cafe\\u{301}", "caf\\u{e9}")] {
        let own = err.lines().filter(|line| line.contains(&format!("{own} and is the same")));
        let own: Vec<_> = own.collect();
        assert!(own.len() == 1 && own[0].contains(&format!("{twin}; rename")), "{err}");
    }

    // With one form it is stored; and where the other one lies already it is that file.
    fs::remove_file(dir.join(composed)).expect("it is there");
    let output = node.attempt(&["put", text(&dir)]);
    assert!(said(&output).contains("2 files (1 already there)"), "{}", describe(&output));
    let again = get(&node, "menu/", home.path());
    assert!(said(&again).contains("2 files (2 already there)"), "{}", describe(&again));
    // With other content it is neither replaced nor joined by one that looks alike.
    fs::write(dir.join(apart), "mine").expect("a file");
    for name in ["menu/".to_owned(), format!("menu/{apart}")] {
        let refused = get(&node, &name, home.path());
        assert_eq!(refused.status.code(), Some(1), "{}", describe(&refused));
        let err = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(err.contains("caf\\u{e9} and would lie beside"), "{err}");
        assert!(err.contains("cafe\\u{301}, which is the same name"), "{err}");
    }
    let now = contents(&dir);
    assert_eq!(now.len(), 2, "{:?}", now.keys());
    assert_eq!(now[apart], b"mine");
}

#[test]
fn paths_are_bytes_and_only_names_on_the_ring_are_text() {
    use std::ffi::{OsStr, OsString};
    use std::os::unix::ffi::OsStrExt;

    let home = TempDir::new().expect("a directory");
    let odd = home.path().join(OsStr::from_bytes(b"odd\xFF"));
    fs::create_dir(&odd).expect("a directory");
    let file = odd.join(OsStr::from_bytes(b"data\xFE"));
    fs::write(&file, b"bytes").expect("a file");
    fs::write(odd.join("shared.txt"), b"shared").expect("a file");

    let address = crate::process::free_address().to_string();
    let mut words: Vec<OsString> = [&address, "--headless", "--data-dir"].map(Into::into).into();
    words.extend([odd.join(OsStr::from_bytes(b"store\xFF")).into(), "--share".into()]);
    words.extend([odd.clone().into(), "--download-dir".into(), odd.join("fetched").into()]);
    let mut child = crate::process::command(&words);
    let child = child.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    let mut child = Ended(child.spawn().expect("it runs"));
    crate::process::ready_line(&mut child.0).expect("it starts");
    let run = |words: &[&OsStr]| {
        let via = [OsStr::new("--via"), OsStr::new(&address)];
        crate::process::chordal(&[words, &via].concat())
    };
    let word = OsStr::new;

    let refused = run(&[word("put"), file.as_os_str()]);
    let err = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && err.contains("--as NAME"), "{err}");
    let stored = run(&[word("put"), file.as_os_str(), word("--as"), word("data")]);
    assert!(stored.status.success(), "{}", describe(&stored));
    // In a directory it fails alone.
    let all = run(&[word("put"), odd.as_os_str(), word("--as"), word("all")]);
    let err = String::from_utf8_lossy(&all.stderr).into_owned();
    assert!(all.status.code() == Some(1) && err.contains("put it alone with --as NAME"), "{err}");
    assert!(said(&all).starts_with("all/ stored: "), "{}", describe(&all));

    let to = odd.join(OsStr::from_bytes(b"copy\xFD"));
    let fetched = run(&[word("get"), word("data"), word("--to"), to.as_os_str()]);
    assert!(fetched.status.success(), "{}", describe(&fetched));
    assert_eq!(fs::read(&to).expect("it was saved there"), b"bytes");
    let name = run(&[word("get"), OsStr::from_bytes(b"da\xFFta")]);
    let err = String::from_utf8_lossy(&name.stderr).into_owned();
    assert!(name.status.code() == Some(2) && err.contains("NAME is a text"), "{err}");
    eventually("what lies in such a directory is shared", || {
        let found = run(&[word("find"), word("shared")]);
        if said(&found).contains("shared.txt") { Ok(()) } else { Err(describe(&found)) }
    });
}

/// A process that does not outlive its test.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
