//! The command line as people type it.

use super::*;
use chordal_view::command::TABLE;

fn invoke(line: &str) -> Result<Invocation, BadArgs> {
    let words = std::iter::once("chordal").chain(line.split_whitespace());
    read(words.map(Into::into).collect(), |command, _| Ok(command))
}

fn node(line: &str) -> NodeArgs {
    match invoke(line) {
        Ok(Invocation::Node(node)) => *node,
        other => panic!("{line}: {other:?}"),
    }
}

fn through(line: &str) -> RemoteArgs {
    match invoke(line) {
        Ok(Invocation::Remote(remote)) => remote,
        other => panic!("{line}: {other:?}"),
    }
}

fn wrong(line: &str) -> String {
    match invoke(line) {
        Err(error) => error.to_string(),
        Ok(other) => panic!("{line}: {other:?}"),
    }
}

#[test]
fn the_definition_is_sound() {
    command().debug_assert();
}

#[test]
fn every_remote_word_of_the_table_is_a_subcommand_with_its_usage() {
    let root = command();
    for spec in TABLE {
        for word in spec.words().filter(|word| *word != "help") {
            assert_eq!(root.find_subcommand(word).is_some(), spec.remote, "{word}");
        }
        let Some(sub) = root.find_subcommand(spec.name).filter(|_| spec.remote) else {
            continue;
        };
        let about = sub.get_about().map(ToString::to_string);
        assert_eq!(about.as_deref(), Some(spec.summary), "{}", spec.name);
        for flag in spec.flags {
            assert!(sub.get_arguments().any(|arg| arg.get_id() == flag.name), "{}", flag.name);
        }
    }
}

#[test]
fn a_node_is_named_by_one_word_or_two() {
    for (line, address) in [
        ("", "127.0.0.1:2000"),
        ("127.0.0.1 2001", "127.0.0.1:2001"),
        (":2001", "127.0.0.1:2001"),
        ("2001 --headless", "127.0.0.1:2001"),
        ("--ascii [::1]:2000", "[::1]:2000"),
        ("localhost 2002", "127.0.0.1:2002"),
    ] {
        let listen = node(line).listen().expect("an address");
        assert_eq!(listen.to_string(), address, "{line}");
    }
}

#[test]
fn a_node_takes_the_settings_of_its_ring() {
    let args = node(
        ":2001 --join 127.0.0.1:2000 --join :2002 --bits 16 --replicas 2 --successors 4 \
         --stabilize 250ms --ring blue",
    );
    let join: Vec<_> = args.join.iter().map(ToString::to_string).collect();
    assert_eq!(join, ["127.0.0.1:2000", "127.0.0.1:2002"]);
    assert_eq!(args.ring.space().bits(), 16);
    assert_eq!((args.ring.replicas, args.ring.successors), (2, 4));
    assert_eq!(args.ring.stabilize, Duration::from_millis(250));
    assert_eq!(args.ring.name, "blue");
}

#[test]
fn several_places_must_fit_together_with_the_rest_of_the_settings() {
    assert_eq!(node("").ring.vnodes, 1);
    assert_eq!(node("--vnodes 20 --replicas 3 --successors 3").ring.check(), Ok(()));
    let few = node("--vnodes 4 --replicas 5 --successors 4").ring.check();
    assert!(few.expect_err("too few").ends_with("give --successors 5 or more"));
    assert_eq!(node("--replicas 5 --successors 4").ring.check(), Ok(()), "one place needs none");
    let crowded = node("--vnodes 64 --bits 8").ring.check();
    assert!(crowded.expect_err("too many").contains("256 places"));
    assert_eq!(node("--vnodes 64 --bits 128").ring.check(), Ok(()));
}

#[test]
fn settings_out_of_range_are_refused() {
    for line in [
        "--bits 0",
        "--bits 129",
        "--replicas 0",
        "--replicas 17",
        "--successors 65",
        "--vnodes 0",
        "--vnodes 65",
        "--stabilize 1ms",
        "--stabilize soon",
        "--advertise nowhere",
        "--theme plaid",
        "lab 65",
        "lab 0",
        "tmux 17",
        "tmux --seeds 17",
        "lab --seeds many",
        "seed --count 0",
        "seed --count 17",
        "seed --check 1ms",
        "seed --check 2m",
        "--limit-up fast",
        "--limit-down 10",
        "--transfers 0",
        "--sources 17",
        "get x --limit-down 1.2.3M",
        "ls --limit-down 1M",
    ] {
        assert!(invoke(line).is_err(), "{line}");
    }
}

#[test]
fn a_remote_command_is_what_the_prompt_would_make_of_it() {
    for (line, prompt) in [
        ("put a.jpg --as b.jpg --overwrite", "put a.jpg --as b.jpg --overwrite"),
        ("upload --as=-x -- --odd", "put --as=-x -- --odd"),
        ("download SkyShip.jpg --to /tmp", "get SkyShip.jpg --to /tmp"),
        ("ls --ring --via :2001", "ls --ring"),
        ("ls *.jpg --json", "ls *.jpg"),
        ("trace 189", "lookup 189"),
        ("ping :2001", "ping :2001"),
        ("ring", "ring"),
    ] {
        let expected = command::parse_line(prompt).expect(prompt);
        assert_eq!(through(line).command, expected, "{line}");
    }
    assert_eq!(through("info").via, address::DEFAULT);
    assert_eq!(through("info --via 2005").via.port(), 2005);
    assert!(through("ls --json").json);
    assert_eq!(through("get a --download-dir d").download_dir, Some("d".into()));
    assert_eq!(through("get a").wait, Duration::from_secs(30));
    assert_eq!(through("request a :2001 --wait 2m").wait, Duration::from_secs(120));
    assert!(invoke("put a --wait 1s").is_err() && invoke("get a --wait soon").is_err());
}

#[test]
fn limits_are_those_of_a_node_of_a_lab_and_of_a_single_get() {
    let words = "--limit-up 500k --limit-down 1.5MiB/s --transfers 2 --sources 16";
    let limits = TransferLimits { up: Some(500_000), down: Some(3 << 19), at_once: 2, sources: 16 };
    assert_eq!(node(words).transfers.limits(), limits);
    assert_eq!(through(&format!("get x {words}")).transfers, limits);
    match invoke(&format!("lab 3 {words}")) {
        Ok(Invocation::Lab(lab)) => assert_eq!(lab.transfers.limits(), limits),
        other => panic!("{other:?}"),
    }
    assert_eq!(node("").transfers.limits(), TransferLimits::default());
    assert_eq!(through("put x --limit-up 0").transfers, TransferLimits::default());
    assert_eq!(through("ls").transfers, TransferLimits::default());
}

#[test]
fn an_id_is_computed_here() {
    match invoke("id SkyShip.jpg --bits 40") {
        Ok(Invocation::Id { text, space, json: false }) => {
            assert_eq!((text.as_str(), space.bits()), ("SkyShip.jpg", 40));
        }
        other => panic!("{other:?}"),
    }
    assert!(invoke("id x --via :2000").is_err());
}

#[test]
fn a_scan_needs_no_member() {
    let scan = |line| match invoke(line) {
        Ok(Invocation::Scan(ScanArgs { host, ports, json })) => (host, ports, json),
        other => panic!("{other:?}"),
    };
    let word = |text: &str| Some(text.to_owned());
    assert_eq!(scan("scan"), (None, None, false));
    assert_eq!(scan("scan 5000-5009 --json"), (None, word("5000-5009"), true));
    assert_eq!(scan("scan ::1 5000"), (word("::1"), word("5000"), false));
    assert!(wrong("scan 5009-5000").contains("Usage: scan [HOST] [FROM-TO]"));
    assert!(invoke("scan --via :2000").is_err());
}

#[test]
fn a_stray_word_gets_advice() {
    for (line, part) in [
        ("dowload SkyShip.jpg --to x", "did you mean 'download'?"),
        ("lba", "did you mean 'lab'?"),
        ("jion 127.0.0.1:2000", "chordal --join ADDR"),
        ("join 127.0.0.1:2000", "chordal --join ADDR"),
        ("share /tmp", "chordal --share PATH"),
        ("unshare x", "typed at the prompt of a running node"),
        ("xyzzy", "see 'chordal --help'"),
    ] {
        let problem = wrong(line);
        assert!(problem.contains(part), "{line}: {problem}");
    }
}

#[test]
fn help_shows_the_scenes() {
    let Err(BadArgs::Clap(error)) = invoke("--help") else { panic!("help is an early end") };
    let text = error.to_string();
    for part in ["Scenes:", "chordal lab", "--via", "lookup", "Exit codes"] {
        assert!(text.contains(part), "{part}");
    }
}

#[test]
fn what_has_one_other_side_takes_no_number_of_sources() {
    for line in ["put a --sources 3", "request a :2001 --sources 3"] {
        assert!(wrong(line).contains("--sources"), "{line}: {}", wrong(line));
    }
    let limits = TransferLimits { up: Some(500_000), at_once: 2, ..TransferLimits::default() };
    assert_eq!(through("put a --limit-up 500k --transfers 2").transfers, limits);
}

#[test]
fn a_word_without_its_argument_says_which_and_how_it_is_used() {
    for word in ["cancel", "pause", "resume"] {
        let said = wrong(word);
        assert!(said.starts_with(&format!("{word} needs N: the number of a ")), "{said}");
        assert!(said.ends_with(&format!("Usage: {word} N")), "{said}");
    }
    assert!(wrong("get --to x").starts_with("get needs NAME: "));
}
