//! A node in the program of the tests: the whole of `chordal`, on a disk that can
//! be made to fail and with a clock that can be wrong.
//!
//! The test program starts itself again ([`command`]) and runs the one "test"
//! [`node`], which hands the words on to the command line. So such a node is a
//! process of its own, which is killed, stopped and ended like any other.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

use chordal::engine::Config;
use rustix::io::Errno;

use crate::disk::{Call, RefusingDisk};
use crate::process::program;

/// While a file of this name stands in the node's home, no sync of its disk works.
pub(crate) const DISK_FAILS: &str = "disk-fails";

/// The words of the command line, each but the last with a [`SEPARATOR`] behind it.
const WORDS: &str = "CHORDAL_TEST_NODE_WORDS";
const SEPARATOR: char = '\u{1f}';

/// The home of the node.
const HOME: &str = "CHORDAL_TEST_NODE_HOME";

/// Seconds that its clock is fast.
const CLOCK: &str = "CHORDAL_TEST_NODE_CLOCK";

/// The program of the tests as a node with these words.
pub(crate) fn command(words: &[String], home: &Path, clock_s: i64) -> Command {
    let path = std::env::current_exe().expect("this program has a path");
    let mut command = program(path);
    command
        .args(["host::node", "--exact", "--ignored", "--nocapture"])
        .env(WORDS, words.join(&SEPARATOR.to_string()))
        .env(HOME, home)
        .env(CLOCK, clock_s.to_string())
        .stdin(Stdio::null());
    command
}

#[test]
#[ignore = "a node that other tests start"]
fn node() {
    let Ok(words) = std::env::var(WORDS) else { return };
    let words = std::iter::once("chordal").chain(words.split(SEPARATOR)).map(Into::into);
    let ended = chordal::cli::main_with(words.collect(), adjust);
    std::process::exit(i32::from(ended != ExitCode::SUCCESS));
}

fn adjust(config: &mut Config) {
    let home = std::env::var_os(HOME).expect("a hosted node has a home");
    let mark = Path::new(&home).join(DISK_FAILS);
    config.disk = Arc::new(RefusingDisk::new(move |call| {
        (call == Call::Sync && mark.exists()).then_some(Errno::IO)
    }));
    let ahead = std::env::var(CLOCK).ok().and_then(|ahead| ahead.parse().ok());
    config.clock_ahead_s = ahead.expect("a hosted node has a clock");
}

#[test]
fn the_disk_of_a_hosted_node_fails_while_it_is_told_to() {
    use crate::process::{NodeProcess, Program, describe, free_address, with_sky_ship};

    let hosted = Program::Hosted { clock_s: 0 };
    let mut node = NodeProcess::start_as(hosted, free_address(), &[]);
    let (_dir, picture) = with_sky_ship();
    let put = ["put", crate::process::text(&picture)];
    node.set_disk_fails(true);
    let refused = node.attempt(&put);
    assert!(!refused.status.success(), "{}", describe(&refused));
    node.set_disk_fails(false);
    node.kill();
    node.restart(&[]);
    node.run(&put);
    node.terminate();
    assert!(node.ended().success());
}
