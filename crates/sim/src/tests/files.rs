use super::*;

fn put_some(world: &mut World, files: u32) {
    for number in 0..files {
        let from = world.some_host().expect("they live");
        world.put(from, &name(number), 10_000);
    }
    for ended in finish(world) {
        let Outcome::Stored { holders, .. } = &ended.outcome else { panic!("{ended:?}") };
        assert_eq!(holders.len(), 3);
    }
}

fn get_all(world: &mut World, files: u32) {
    for number in 0..files {
        let from = world.some_host().expect("they live");
        world.get(from, &name(number));
    }
    for ended in finish(world) {
        assert!(matches!(ended.outcome, Outcome::Got { .. }), "{ended:?}");
        assert!(ended.is_right());
    }
}

#[test]
fn what_is_put_can_be_read_and_removed() {
    let mut world = settled(&setup(1, 20));
    put_some(&mut world, 30);
    let files = world.files();
    assert_eq!((files.acknowledged, files.readable, files.short), (30, 30, 0));
    assert_eq!(files.copies, [0, 0, 0, 30]);
    get_all(&mut world, 30);
    world.remove(0, &name(3));
    world.remove(0, &name(99));
    let ended = finish(&mut world);
    assert!(ended.iter().any(|e| matches!(e.outcome, Outcome::Removed { .. })), "{ended:?}");
    assert!(ended.iter().any(|e| e.outcome == Outcome::Missing), "{ended:?}");
    world.get(1, &name(3));
    assert_eq!(finish(&mut world)[0].outcome, Outcome::Missing);
    assert_eq!(world.files().acknowledged, 29);
}

#[test]
fn a_full_owner_is_passed_and_its_files_come_home_when_there_is_room() {
    let mut world = settled(&setup(9, 20));
    for host in [3, 4] {
        world.set_full(host, true);
    }
    put_some(&mut world, 60);
    let bytes = |world: &World, host| world.host(host).and_then(Host::disk).map_or(0, Disk::bytes);
    assert_eq!((bytes(&world, 3), bytes(&world, 4)), (0, 0));
    get_all(&mut world, 60);
    world.set_full(3, false);
    world.run(seconds(600));
    heal(&mut world);
    mend(&mut world);
    assert!(bytes(&world, 3) > 0 && bytes(&world, 4) == 0);
    get_all(&mut world, 60);
}

#[test]
fn two_of_three_copies_may_die_at_once() {
    let mut world = settled(&setup(2, 20));
    put_some(&mut world, 40);
    world.crash(4);
    world.crash(11);
    assert_eq!(world.files().readable, 40);
    heal(&mut world);
    mend(&mut world);
    get_all(&mut world, 40);
    assert!(world.counts().copies > 0);
}

#[test]
fn what_comes_back_with_its_disk_is_not_copied_again() {
    // No other node has noticed yet that it was away.
    let mut world = settled(&Setup { refuse: false, ..setup(3, 10) });
    put_some(&mut world, 40);
    let before = world.counts().copied_bytes;
    world.crash(4);
    world.run(Duration::from_millis(200));
    world.restart(4);
    heal(&mut world);
    mend(&mut world);
    let copied = world.counts().copied_bytes - before;
    assert!(copied <= 40 * 10_000 / 10, "{copied} bytes");
}

#[test]
fn a_destroyed_disk_excuses_only_what_was_nowhere_else() {
    let mut world = settled(&Setup { replicas: 1, ..setup(4, 10) });
    put_files_alone(&mut world, 40);
    let held = |host: &Host| host.disk().map_or(0, |disk| disk.records().count());
    let fullest = world.all_hosts().iter().max_by_key(|host| held(host)).map(Host::number);
    let fullest = fullest.expect("there are hosts");
    world.crash(fullest);
    let files = world.files();
    assert!(files.away > 0 && files.lost.is_empty(), "{files:?}");
    world.restart(fullest);
    heal(&mut world);
    mend(&mut world);
    world.destroy(fullest);
    let files = world.files();
    assert!(files.destroyed > 0 && files.lost.is_empty() && files.away == 0, "{files:?}");
    assert_eq!(files.readable + files.destroyed, 40);
}

fn put_files_alone(world: &mut World, files: u32) {
    for number in 0..files {
        world.put(0, &name(number), 100);
    }
    assert!(finish(world).iter().all(|e| matches!(e.outcome, Outcome::Stored { .. })));
}

#[test]
fn a_leaver_hands_its_files_over() {
    let mut world = settled(&Setup { replicas: 1, ..setup(5, 10) });
    put_files_alone(&mut world, 40);
    for host in 0..8 {
        world.leave(host);
        world.run(seconds(10));
    }
    mend(&mut world);
    assert_eq!(world.living(), 2);
    assert_eq!(world.files().readable, 40);
}

#[test]
fn a_large_file_takes_as_long_as_the_link_does() {
    let mut world = settled(&Setup { bandwidth: 1_000_000, ..setup(6, 5) });
    world.put(0, &name(1), 10_000_000);
    let ended = finish(&mut world).remove(0);
    // Once to the owner and once to the other holders, in parallel.
    assert!(ended.took > seconds(10) && ended.took < seconds(25), "{ended:?}");
}

#[test]
fn nothing_acknowledged_is_lost_under_churn() {
    let mut world = settled(&setup(7, 40));
    put_some(&mut world, 50);
    world.set_churn(Some(Churn { joins: 0.05, leaves: 0.05, ..Churn::default() }));
    world.set_workload(Some(Workload {
        puts: 1.0,
        gets: 2.0,
        removes: 0.1,
        names: 50,
        ..Workload::default()
    }));
    world.run(seconds(300));
    world.set_churn(None);
    world.set_workload(None);
    let ended = finish(&mut world);
    let wrong: Vec<&Ended> = ended
        .iter()
        .filter(|e| !e.is_right() && !matches!(e.outcome, Outcome::Failed(_)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    heal(&mut world);
    mend(&mut world);
    let files = world.files();
    assert!(files.lost.is_empty() && files.away == 0, "{files:?}");
    assert!(ended.len() > 500);
}

#[test]
fn two_halves_that_wrote_agree_after_they_met() {
    let mut world = settled(&setup(8, 16));
    put_some(&mut world, 20);
    let (left, right): (Vec<HostId>, Vec<HostId>) = world.hosts().partition(|host| host % 2 == 0);
    world.part(&[left.clone(), right.clone()]);
    world.run(seconds(30));
    for number in 0..20 {
        world.put(left[number as usize % left.len()], &name(number), 5_000);
        world.put(right[number as usize % right.len()], &name(number), 6_000);
    }
    finish(&mut world);
    world.heal();
    heal(&mut world);
    mend(&mut world);
    get_all(&mut world, 20);
}
