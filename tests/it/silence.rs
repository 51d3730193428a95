//! Lists of the whole ring while a member does not answer: they say what they
//! lack.

use std::fs;
use std::process::Output;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::{NodeProcess, Ring, describe, eventually, text};

/// What a command listed, and what it said beside that. It succeeded.
fn said(output: &Output) -> (String, String) {
    assert!(output.status.success(), "{}", describe(output));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_list_of_the_whole_ring_names_the_members_that_did_not_answer() {
    let home = TempDir::new().expect("a directory");
    let path = home.path().join("SkyShip.jpg");
    fs::write(&path, b"ship").expect("a file");
    // So slow that nobody has noticed when the last list is asked for.
    let first = NodeProcess::start(&["--stabilize", "5s"]);
    let contact = first.address.to_string();
    let mut ring = Ring { nodes: vec![first] };
    for _ in 0..3 {
        ring.nodes.push(NodeProcess::start(&["--stabilize", "5s", "--join", &contact]));
    }
    ring.settled();
    ring.nodes[0].run(&["put", text(&path)]);
    let (asked, silent) = (&ring.nodes[0], &ring.nodes[2]);
    for list in [&["ls", "--ring"][..], &["ls", "--ring", "--json"], &["ring"]] {
        assert_eq!(said(&asked.attempt(list)).1, "", "{list:?}: everybody answers");
    }

    silent.signal(Signal::STOP);
    let outputs = std::thread::scope(|scope| {
        let ask = |list: &'static [&'static str]| scope.spawn(move || asked.attempt(list));
        let lists = [&["ls", "--ring"][..], &["ls", "--ring", "--json"], &["ring"]].map(ask);
        lists.map(|list| list.join().expect("it ends"))
    });
    silent.signal(Signal::CONT);
    let missing = format!("no answer from {}: ", silent.address);
    for (output, means) in outputs.iter().zip([
        "files that only they hold are not listed",
        "files that only they hold are not listed",
        "the others are listed and checked",
    ]) {
        let (list, beside) = said(output);
        assert_eq!(beside, format!("error: {missing}{means}\n"), "{list}");
        assert!(!list.contains(&silent.address.to_string()), "{list}");
    }
    let (list, _) = said(&outputs[0]);
    assert!(list.contains("SkyShip.jpg"), "{list}");

    eventually("it answers again", || {
        let (list, beside) = said(&asked.attempt(&["ring"]));
        let listed = list.contains(&silent.address.to_string());
        if beside.is_empty() && listed { Ok(()) } else { Err(beside + &list) }
    });
}
