use super::*;

fn busy_run(seed: u64) -> (TraceHash, u64, Counts) {
    let setup = Setup { loss: 0.02, duplication: 0.02, ..setup(seed, 30) };
    let mut world = settled(&setup);
    world.set_churn(Some(Churn { joins: 0.2, leaves: 0.2, ..Churn::default() }));
    world.set_workload(Some(Workload {
        lookups: 5.0,
        puts: 2.0,
        gets: 2.0,
        removes: 0.2,
        names: 20,
        ..Workload::default()
    }));
    world.run(seconds(30));
    (world.trace(), world.events(), world.counts())
}

#[test]
fn a_seed_is_a_run() {
    assert_eq!(busy_run(1), busy_run(1));
    assert_ne!(busy_run(1).0, busy_run(2).0);
}

#[test]
fn a_ring_built_settled_is_ideal_and_stays_so() {
    let mut world = settled(&setup(3, 64));
    assert!(world.is_ideal());
    assert!(world.ring().healthy());
    world.run(seconds(20));
    assert!(world.is_ideal());
    assert_eq!(world.size(), 64);
}

#[test]
fn a_ring_grows_from_one_host() {
    let mut world = World::growing(&setup(4, 20));
    assert!(world.until(seconds(60), seconds(1), |world| world.size() == 20).is_some());
    heal(&mut world);
    assert_eq!(world.counts().joined, 20);
}

/// The bound is ten periods; it takes less than one.
#[test]
fn as_many_as_there_are_come_in_at_once() {
    for (seed, count) in [(10, 50), (11, 50), (12, 500)] {
        let mut world = settled(&setup(seed, count));
        let before = world.counts().messages;
        for _ in 0..count {
            world.join();
        }
        let all = 2 * count as usize;
        let ideal = |world: &World| world.size() == all && world.is_ideal();
        let took = world.until(seconds(60), Duration::from_millis(10), ideal);
        let each = (world.counts().messages - before) / u64::from(count);
        let took = took.expect("one ring in the end");
        assert!(took <= seconds(1), "{count} into {count}: {took:?}");
        assert!(each < 200, "{count} into {count}: {each} messages for each that came");
    }
}

#[test]
fn a_static_ring_is_quiet_but_for_what_is_asked() {
    let mut world = settled(&setup(5, 200));
    world.quiet();
    world.run(seconds(10));
    let before = world.events();
    world.run(seconds(100));
    assert_eq!(world.events(), before);
    for _ in 0..100 {
        let (from, key) = (world.some_host().expect("they live"), some_key(&mut world));
        world.lookup(from, key);
    }
    let ended = finish(&mut world);
    assert_eq!(ended.len(), 100);
    for ended in ended {
        assert!(ended.is_right() && ended.truth.is_some(), "{ended:?}");
        assert_eq!(ended.timeouts, 0);
        assert!(ended.contacts <= 8, "{ended:?}");
    }
}

#[test]
fn hosts_hold_several_places() {
    let mut world = settled(&Setup { vnodes: 4, ..setup(6, 25) });
    assert!(world.is_ideal());
    assert_eq!((world.size(), world.living()), (100, 25));
    world.crash(3);
    assert_eq!(world.size(), 96);
    heal(&mut world);
    let mut places: Vec<u16> =
        world.host(7).expect("there").nodes().iter().map(|n| n.peer().index()).collect();
    places.sort_unstable();
    assert_eq!(places, [0, 1, 2, 3]);
    let newcomer = world.join();
    let all_in = |world: &World| {
        world.host(newcomer).is_some_and(|h| h.nodes().len() == 4) && world.size() == 100
    };
    assert!(world.until(seconds(60), seconds(1), all_in).is_some());
    heal(&mut world);
}

#[test]
fn a_place_that_is_taken_makes_way() {
    // 2^9 places for 100 hosts: some hashes are equal.
    let mut world = settled(&Setup { bits: 9, ..setup(7, 100) });
    let moved = world.nodes().filter(|node| node.peer().index() > 0).count();
    assert!(moved > 0);
    assert!(world.is_ideal());
    world.run(seconds(5));
    assert!(world.is_ideal());
}

#[test]
fn the_way_through_space_is_as_long_as_it_is_far() {
    let latency = Latency::Space3d { edge: Duration::from_millis(100), least: Duration::ZERO };
    let mut world = settled(&Setup { latency, ..setup(8, 2_000) });
    let delays: Vec<Duration> = (0..1_000).map(|at| world.delay(at, 1_999 - at)).collect();
    let mean = delays.iter().sum::<Duration>() / 1_000;
    // Two random points of a unit cube are 0.6617 apart.
    assert!(mean.abs_diff(Duration::from_micros(66_170)) < Duration::from_millis(2), "{mean:?}");
    assert!(delays.iter().all(|delay| *delay <= latency.most()));
    assert_eq!(world.delay(0, 1_999), delays[0], "the same both times");
    assert_eq!(world.delay(1_999, 0), delays[0], "and both ways");
}

#[test]
fn churn_of_both_kinds_keeps_the_ring_together() {
    for sessions in [None, Some(Sessions { shape: 0.6, median: seconds(60) })] {
        let rate = if sessions.is_some() { 0.0 } else { 0.3 };
        let mut world = settled(&setup(9, 60));
        world.set_churn(Some(Churn { joins: rate, leaves: rate, sessions, ..Churn::default() }));
        world.run(seconds(120));
        assert!(world.counts().gone > 20, "{:?}", world.counts());
        assert!(world.ring().healthy(), "{:?}", world.ring());
        world.set_churn(None);
        heal(&mut world);
        assert_eq!(world.size(), world.living());
    }
}
