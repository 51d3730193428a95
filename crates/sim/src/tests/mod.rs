//! Stories of small worlds.

use std::time::Duration;

use chordal_core::id::Id;
use chordal_core::name::FileName;
use chordal_core::peer::Peer;

use super::*;

mod faults;
mod files;
mod ring;
mod shown;
mod worlds;

fn setup(seed: u64, hosts: u32) -> Setup {
    Setup { seed, hosts, ..Setup::default() }
}

fn settled(setup: &Setup) -> World {
    World::settled(setup, &mut |_, _| {})
}

fn name(number: u32) -> FileName {
    FileName::new(&format!("file-{number}")).expect("a good name")
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Runs until all operations have ended; returns their results.
fn finish(world: &mut World) -> Vec<Ended> {
    let took = world.until(seconds(300), Duration::from_millis(50), |w| w.under_way() == 0);
    assert!(took.is_some(), "operations that never end");
    world.ended().into_iter().map(|(_, ended)| ended).collect()
}

/// Runs until the ring is ideal.
fn heal(world: &mut World) -> Duration {
    let took = world.until(seconds(300), Duration::from_millis(100), World::is_ideal);
    took.unwrap_or_else(|| panic!("not ideal: {:?}", world.ring()))
}

/// Runs until every file has all its copies, and no more.
fn mend(world: &mut World) -> Duration {
    let full = |world: &World| {
        let files = world.files();
        files.readable == files.acknowledged && files.short == 0 && files.surplus == 0
    };
    let took = world.until(seconds(600), seconds(1), full);
    took.unwrap_or_else(|| panic!("copies are missing: {:?}", world.files()))
}

fn some_key(world: &mut World) -> Id {
    let key = world.chance().wide();
    world.space().id(key)
}
