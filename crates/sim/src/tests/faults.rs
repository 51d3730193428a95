use super::*;

#[test]
fn after_a_crash_nobody_lists_the_dead() {
    for refuse in [true, false] {
        let mut world = settled(&Setup { refuse, ..setup(1, 50) });
        for host in [3, 4, 5, 20] {
            world.crash(host);
        }
        assert_eq!(world.host(3).map(Host::state), Some(State::Crashed));
        assert!(!world.is_ideal());
        let took = heal(&mut world);
        assert_eq!(world.size(), 46);
        assert!(took < seconds(20), "{took:?}");
    }
}

#[test]
fn a_host_that_comes_back_finds_its_place_by_itself() {
    let mut world = settled(&setup(2, 30));
    let place = world.host(9).expect("there").nodes().first().map(chordal_core::chord::Node::peer);
    world.crash(9);
    heal(&mut world);
    world.restart(9);
    heal(&mut world);
    assert_eq!(
        world.host(9).expect("there").nodes().first().map(chordal_core::chord::Node::peer),
        place
    );
}

#[test]
fn the_whole_ring_comes_back_after_a_power_cut() {
    let mut world = settled(&setup(3, 12));
    let all: Vec<HostId> = world.hosts().collect();
    all.iter().for_each(|host| world.crash(*host));
    assert_eq!((world.size(), world.living()), (0, 0));
    world.run(seconds(5));
    all.iter().for_each(|host| world.restart(*host));
    heal(&mut world);
    assert_eq!(world.size(), 12);
}

#[test]
fn a_host_that_leaves_is_gone_when_it_has_said_so() {
    let mut world = settled(&setup(4, 20));
    world.leave(7);
    let out = |world: &World| world.host(7).map(Host::state) == Some(State::Left);
    assert!(world.until(seconds(30), Duration::from_millis(10), out).is_some());
    heal(&mut world);
    assert_eq!(world.size(), 19);
    world.restart(7);
    heal(&mut world);
    assert_eq!(world.size(), 20);
}

#[test]
fn a_stopped_host_is_missed_and_taken_back() {
    let mut world = settled(&setup(5, 20));
    let (stopped, key) = (7, Id::new(0));
    world.pause(stopped);
    assert_eq!(world.living(), 20);
    world.run(seconds(30));
    let peer = world.host(stopped).and_then(|host| host.nodes().first()).expect("there").peer();
    let names =
        |world: &World| world.nodes().filter(|node| node.successors().contains(&peer)).count();
    assert_eq!(names(&world), 0, "everybody believes it dead");
    let from = world.hosts().find(|host| *host != stopped).expect("others");
    world.lookup(from, key);
    assert_eq!(finish(&mut world).len(), 1);
    world.resume(stopped);
    heal(&mut world);
    assert_eq!(names(&world), 16);
}

#[test]
fn two_halves_serve_by_themselves_and_become_one_again() {
    let mut world = settled(&setup(6, 24));
    let (left, right): (Vec<HostId>, Vec<HostId>) = world.hosts().partition(|host| host % 2 == 0);
    world.part(&[left.clone(), right.clone()]);
    world.run(seconds(40));
    assert!(!world.ring().at_most_one_ring, "two rings");
    for half in [&left, &right] {
        for from in half {
            let key = some_key(&mut world);
            world.lookup(*from, key);
        }
    }
    for ended in finish(&mut world) {
        let Outcome::Found(owner) = ended.outcome else { panic!("{ended:?}") };
        assert_eq!(Some(owner), ended.truth, "the owner among those within reach");
        assert!(world.is_connected(ended.host, host_at(owner.address()).expect("a host")));
    }
    world.heal();
    heal(&mut world);
}

#[test]
fn a_fast_clock_stabilizes_more_often() {
    let mut world = settled(&setup(7, 2));
    world.skew(0, 4.0);
    world.skew(1, 0.25);
    let start = world.now();
    world.run(seconds(100));
    let shown = |host: HostId| world.host(host).expect("there").clock(world.now());
    assert_eq!(shown(0).as_micros(), 4 * (world.now() - start).as_micros() as u64);
    assert_eq!(shown(1).as_micros(), (world.now() - start).as_micros() as u64 / 4);
    let fired = |host: HostId| world.host(host).expect("there").positions[0].generation;
    assert!(fired(0) > 10 * fired(1), "{} and {}", fired(0), fired(1));
    assert!(world.is_ideal());
}

#[test]
fn a_lossy_network_slows_a_lookup_and_does_not_mislead_it() {
    let mut world = settled(&Setup { loss: 0.05, duplication: 0.05, ..setup(8, 100) });
    for _ in 0..200 {
        let (from, key) = (world.some_host().expect("they live"), some_key(&mut world));
        world.lookup(from, key);
        world.run(Duration::from_millis(20));
    }
    let ended = finish(&mut world);
    assert!(ended.iter().any(|ended| ended.timeouts > 0));
    // A node that is silent once counts as dead for that lookup, and is skipped.
    let wrong = ended.iter().filter(|ended| ended.timeouts == 0 && !ended.is_right()).count();
    assert_eq!(wrong, 0, "of {}", ended.len());
    assert!(ended.iter().filter(|ended| ended.is_right()).count() > 160);
}

#[test]
fn adaptive_limits_follow_the_distance() {
    let latency = Latency::Constant { delay: Duration::from_millis(400) };
    let mut world = settled(&Setup { latency, adaptive: true, ..setup(9, 20) });
    world.run(seconds(60));
    let trips = &world.host(0).expect("there").extra().expect("measured").trips;
    assert!(!trips.is_empty());
    assert!(trips.values().all(|trip| trip.mean() == Some(Duration::from_millis(800))));
    assert!(world.is_ideal(), "nobody was taken for dead");
}
