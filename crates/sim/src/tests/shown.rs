//! What a dashboard shows of a world, and the commands that are typed there.

use std::path::Path;

use super::*;
use crate::{End, Show, Words};
use chordal_view as view;
use chordal_view::command::parse_line;
use chordal_view::{Level, Liveness, Membership, Snapshot};

/// A world with a viewer.
struct Seat {
    world: World,
    show: Show,
    words: Words,
    number: u64,
}

impl Seat {
    fn new(setup: &Setup) -> Seat {
        let mut world = settled(setup);
        let show = Show::new(&mut world);
        Seat { world, show, words: Words::default(), number: 0 }
    }

    fn look(&mut self) -> Snapshot {
        self.show.snapshot(&self.world, view::SimulationRow::default())
    }

    /// Types a line and waits for its end.
    fn run(&mut self, line: &str) -> End {
        self.number += 1;
        let command = parse_line(line).expect("a command");
        let size_of = |path: &Path| (path == Path::new("ten")).then_some(10);
        let (world, show) = (&mut self.world, &mut self.show);
        if let Some(end) = self.words.say(self.number, command, world, show, size_of) {
            return end;
        }
        let limit = self.world.now() + seconds(90);
        while self.world.now() < limit {
            self.world.run(Duration::from_millis(20));
            for (operation, ended) in self.world.ended() {
                self.show.ended(operation, &ended);
                if let Some((number, end)) = self.words.ended(&self.world, operation, &ended) {
                    assert_eq!(number, self.number);
                    return end;
                }
            }
            if let Some((number, end)) = self.words.look(&self.world).pop() {
                assert_eq!(number, self.number);
                return end;
            }
        }
        panic!("'{line}' did not end");
    }

    fn says(&mut self, line: &str) -> String {
        match self.run(line) {
            Ok(outcome) => view::text::lines(&outcome).join("\n"),
            Err(why) => why.to_string(),
        }
    }
}

#[test]
fn a_simulated_node_shows_itself_as_a_real_one_does_among_those_who_really_live() {
    let mut seat = Seat::new(&setup(1, 30));
    let seen = seat.look();
    let node = seat.show.node(&seat.world).expect("it runs");
    assert_eq!((seen.me, seen.membership), (node.peer(), Membership::Member));
    assert_eq!(seen.fingers, node.fingers());
    assert_eq!(seen.members.len(), 30);
    assert!(seen.members.iter().all(|member| member.liveness == Liveness::Up));
    assert!(seen.health.is_good());
    let row = seen.simulation.expect("a simulation");
    assert_eq!((row.hosts, row.down, row.parts, row.seed), (30, 0, 1, 1));
}

#[test]
fn whoever_dies_is_seen_to_be_dead_before_its_neighbours_know() {
    let mut seat = Seat::new(&Setup { refuse: false, ..setup(2, 30) });
    let successor = seat.look().successors[0].peer;
    let host = host_at(successor.address()).expect("a host");
    seat.world.crash(host);
    let seen = seat.look();
    assert_eq!(seen.successors[0].peer, successor, "its own list still has it");
    assert_eq!(seen.successors[0].liveness, Liveness::Dead);
    assert_eq!((seen.living(), seen.gone()), (29, 1));
    assert_eq!(seen.simulation.map(|row| (row.hosts, row.down)), Some((29, 1)));
    heal(&mut seat.world);
    assert_ne!(seat.look().successors[0].peer, successor);
    // A host that is gone disappears from the display after a while, and may come back.
    let pictures = (0..1_000).take_while(|_| seat.look().gone() > 0).count();
    assert!((1..1_000).contains(&pictures));
    seat.world.restart(host);
    heal(&mut seat.world);
    assert_eq!((seat.look().living(), seat.look().gone()), (30, 0));
}

#[test]
fn a_dead_node_shows_what_it_knew_and_comes_back() {
    let mut seat = Seat::new(&setup(3, 12));
    let before = seat.look();
    let host = seat.show.host();
    seat.world.crash(host);
    let dead = seat.look();
    assert_eq!((dead.membership, dead.me), (Membership::Down, before.me));
    assert_eq!(dead.fingers, before.fingers);
    assert!(seat.says("info").contains("does not run"));
    seat.world.restart(host);
    heal(&mut seat.world);
    let back = seat.look();
    assert_eq!((back.membership, back.me), (Membership::Member, before.me));
    // A host that was dead when it was visited shows at least its name.
    let other = back.successors[3].peer;
    seat.world.crash(host_at(other.address()).expect("a host"));
    assert!(seat.show.visit(&mut seat.world, other));
    let seen = seat.look();
    assert_eq!((seen.me, seen.membership), (other, Membership::Down));
    let nobody = Peer::new(([10, 9, 9, 9], 2000).into(), 0);
    assert!(!seat.show.visit(&mut seat.world, nobody));
}

#[test]
fn one_goes_round_the_ring_both_ways() {
    let mut seat = Seat::new(&Setup { vnodes: 2, ..setup(4, 5) });
    let mut seen = Vec::new();
    for _ in 0..10 {
        seen.push(seat.look().me);
        seat.show.step(&mut seat.world, false);
    }
    assert_eq!(seat.look().me, seen[0], "once round");
    let ring: Vec<Peer> = seat.world.nodes().map(chordal_core::chord::Node::peer).collect();
    assert_eq!(seen, ring);
    seat.show.step(&mut seat.world, true);
    assert_eq!(seat.look().me, ring[9]);
}

#[test]
fn each_half_of_a_cut_ring_is_suspect_to_the_other() {
    let mut seat = Seat::new(&setup(5, 21));
    let halves = seat.show.halves(&seat.world);
    assert_eq!([halves[0].len(), halves[1].len()], [11, 10]);
    assert!(halves[0].contains(&seat.show.host()));
    seat.world.part(&halves[1..]);
    let seen = seat.look();
    let suspects = seen.members.iter().filter(|m| m.liveness == Liveness::Suspect).count();
    assert_eq!((suspects, seen.simulation.map(|row| row.parts)), (10, Some(2)));
    let newcomer = seat.world.join();
    let joined = |world: &World| {
        let mut nodes = world.nodes();
        nodes.any(|node| {
            host_at(node.peer().address()) == Some(newcomer) && !node.successors().is_empty()
        })
    };
    let took = seat.world.until(seconds(60), Duration::from_millis(100), joined);
    assert!(took.is_some(), "whoever comes joins the half that is in no group");
    assert_eq!(seat.look().simulation.map(|row| row.parts), Some(2));
    seat.world.heal();
    assert_eq!(seat.look().simulation.map(|row| row.parts), Some(1));
}

#[test]
fn what_is_typed_acts_on_the_simulated_node() {
    let mut seat = Seat::new(&setup(6, 20));
    let stored = seat.says("put ten");
    assert!(stored.starts_with("ten stored: 10 B") && stored.contains("3/3"), "{stored}");
    let again = seat.says("put else/ten");
    assert!(again.contains("--overwrite"), "{again}");
    assert!(seat.says("put else/ten --overwrite").contains("1.0 MB"), "made up");
    let got = seat.says("get ten");
    assert!(got.contains("1.0 MB") && got.contains("simulated disk"), "{got}");
    assert!(seat.says("get eleven").contains("no file 'eleven'"));
    assert!(seat.says("ls --ring").contains("3/3"));
    let found = seat.says("lookup ten");
    assert!(found.starts_with("ten has key"), "{found}");
    let seen = seat.look();
    let lookup = seen.lookup.expect("it is on the ring");
    assert!(lookup.owner.is_some() && lookup.hops.iter().all(|hop| hop.micros.is_some()));
    assert!(seat.says("rm ten").contains("removed on 3 nodes"));
    assert!(seat.says("get ten").contains("no file"));
    let ring = seat.says("ring");
    assert!(ring.lines().count() > 20, "{ring}");
    assert!(seat.says("fingers").lines().count() > 60);
    let space = seat.world.space();
    assert!(seat.says("id x").contains(&space.show(space.hash("x"))));
}

#[test]
fn a_node_leaves_by_word_and_comes_back_by_word() {
    let mut seat = Seat::new(&setup(7, 8));
    seat.says("put ten");
    let member = seat.look().successors[0].peer;
    assert!(seat.says(&format!("join {member}")).contains("on the ring already"));
    let left = seat.says("leave");
    assert!(left.starts_with("left the ring"), "{left}");
    let seen = seat.look();
    assert_eq!(
        (seen.membership, seen.successors.len(), seen.files.len()),
        (Membership::Left, 0, 0)
    );
    assert!(seat.says("join 10.9.9.9:2000").contains("not a member"));
    let joined = seat.says(&format!("join {member}"));
    assert!(joined.starts_with("joined"), "{joined}");
    heal(&mut seat.world);
    assert_eq!(seat.look().membership, Membership::Member);
}

#[test]
fn what_means_nothing_in_a_simulation_is_refused_in_one_sentence() {
    let mut seat = Seat::new(&setup(8, 4));
    for line in [
        "share x",
        "unshare x",
        "find x",
        "request x 1",
        "scan",
        "ping 1",
        "connect 1",
        "disconnect 1",
        "peers",
        "say x",
        "transfers",
        "cancel 1",
        "pause 1",
        "resume 1",
    ] {
        let Err(why) = seat.run(line) else { panic!("{line} was obeyed") };
        let why = why.to_string();
        assert!(!why.contains(". ") && why.len() > 20, "{line}: {why}");
    }
}

#[test]
fn what_a_node_notices_becomes_lines_and_a_flood_is_counted() {
    let mut seat = Seat::new(&setup(9, 20));
    let near = seat.look().successors.clone();
    seat.world.crash(host_at(near[0].peer.address()).expect("a host"));
    heal(&mut seat.world);
    let lines = seat.show.events(&mut seat.world);
    let now = seat.world.now().as_micros() / 1_000;
    assert!(lines.iter().any(|line| line.text.contains("the successor is")), "{lines:?}");
    assert!(lines.iter().all(|line| line.unix_ms <= now));
    for number in 0..200 {
        seat.world.put(seat.show.host(), &name(number), 10);
    }
    finish(&mut seat.world);
    let lines = seat.show.events(&mut seat.world);
    assert!(lines.len() <= 65, "{}", lines.len());
    let last = lines.last().expect("there are some");
    assert!(last.text.contains("more") && last.level == Level::Detail, "{last:?}");
}

#[test]
fn the_light_of_a_ring_that_is_cut_in_two_is_not_green_and_is_again_when_it_is_one() {
    let mut seat = Seat::new(&setup(9, 20));
    let light = |seat: &mut Seat| seat.look().state;
    seat.world.run(seconds(5));
    assert!(light(&mut seat).is_healthy(), "{}", light(&mut seat));
    let halves = seat.show.halves(&seat.world);
    seat.world.part(&halves);
    // At once, before any of them has noticed, and when both halves are rings.
    for _ in 0..20 {
        assert_eq!(light(&mut seat), view::State::CutOff { missing: 10 });
        seat.world.run(seconds(2));
    }
    assert!(seat.says("ring").contains("cut off (from 10 members)"));
    seat.world.heal();
    assert!(!light(&mut seat).is_healthy(), "two rings in one network");
    heal(&mut seat.world);
    seat.world.run(seconds(5));
    assert!(light(&mut seat).is_healthy(), "{}", light(&mut seat));
}

#[test]
fn while_hosts_join_the_light_is_not_green() {
    let mut seat = Seat::new(&setup(10, 20));
    seat.world.run(seconds(5));
    for _ in 0..30 {
        seat.world.join();
    }
    loop {
        let seen = seat.look();
        if seen.state.is_healthy() {
            break assert_eq!(seen.members.len(), 50);
        }
        let word = seen.state.to_string();
        assert!(word.starts_with("converging ("), "{word}");
        assert!(seat.world.now() < chordal_core::time::Time::ZERO + seconds(600), "{word}");
        seat.world.run(Duration::from_millis(200));
    }
}
