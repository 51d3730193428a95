//! What is going to happen to a ring: a schedule that follows from its seed
//! alone, whatever the ring makes of it.
//!
//! The promise of three copies is about two deaths between repairs, so the
//! schedule counts: what takes a node's copy away costs one of [`BUDGET`], a
//! partition costs all of it, and a [`Step::Repaired`] gives it back. An orderly
//! end costs nothing, also when the disk goes with it: whoever leaves stays until
//! every copy is elsewhere. Only [`Step::Overkill`] goes beyond, and what it may cost
//! is known exactly.
//!
//! In every second schedule nobody is cut off, so that all of it is checked for
//! linearizability.

use std::fmt;

/// Nodes that may be taken away between two repairs, k − 1.
const BUDGET: usize = 2;

/// Live nodes that stay at the least: as many as there are copies, and one.
const FEWEST: usize = 4;

/// One thing that is done to the ring. Numbers are those of nodes, in the order
/// of their first start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Milliseconds in which nothing is done to it.
    Rest(u64),
    /// SIGKILL; its disk stays.
    Kill(usize),
    /// SIGKILL, and its disk is gone.
    Wipe(usize),
    /// A dead node or one that left starts again, `told` of a member or only
    /// with whom it remembers.
    Restart { node: usize, told: bool },
    /// SIGTERM: it hands over its files and ends.
    Leave(usize),
    /// The same; then its disk is gone.
    Retire(usize),
    /// A new node joins.
    Join,
    /// SIGSTOP.
    Stop(usize),
    /// SIGCONT.
    Continue(usize),
    /// The way between two nodes takes so many milliseconds longer.
    Slow(usize, usize, u64),
    /// Between two nodes so many bytes a second pass at the most.
    Narrow(usize, usize, u64),
    /// Open connections of two nodes are reset.
    Cut(usize, usize),
    /// What the first says does not arrive at the second, and neither is told.
    Deaf(usize, usize),
    /// Two nodes are refused to each other.
    Refuse(usize, usize),
    /// Messages pass between two nodes and connections for bytes do not: they are
    /// refused, or not answered.
    NoBytes { one: usize, other: usize, refused: bool },
    /// Nothing that this node writes is durable any more: each sync fails.
    Sicken(usize),
    /// Its disk works again.
    Cure(usize),
    /// These and the others hear nothing of each other.
    Part { side: Vec<usize>, refused: bool },
    /// Everything passes again.
    Heal,
    /// Waits until the ring is in order and every name has its copies.
    Repaired,
    /// After a repair: SIGKILL of three, and their disks are gone.
    Overkill([usize; 3]),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Rest(ms) => write!(f, "rest {ms} ms"),
            Step::Kill(node) => write!(f, "kill {node}"),
            Step::Wipe(node) => write!(f, "kill {node} and take its disk"),
            Step::Restart { node, told: true } => write!(f, "restart {node} with --join"),
            Step::Restart { node, told: false } => write!(f, "restart {node}"),
            Step::Leave(node) => write!(f, "have {node} leave"),
            Step::Retire(node) => write!(f, "have {node} leave and take its disk"),
            Step::Join => write!(f, "start a new node"),
            Step::Stop(node) => write!(f, "stop {node}"),
            Step::Continue(node) => write!(f, "let {node} go on"),
            Step::Slow(one, other, ms) => write!(f, "slow down {one}-{other} by {ms} ms"),
            Step::Narrow(one, other, rate) => write!(f, "narrow {one}-{other} to {rate} bytes/s"),
            Step::Cut(one, other) => write!(f, "reset {one}-{other}"),
            Step::Deaf(from, to) => write!(f, "lose what {from} says to {to}"),
            Step::Refuse(one, other) => write!(f, "refuse {one}-{other}"),
            Step::NoBytes { one, other, refused } => {
                let how = if *refused { "refuse" } else { "silence" };
                write!(f, "{how} connections for bytes of {one}-{other}")
            }
            Step::Sicken(node) => write!(f, "have the disk of {node} fail"),
            Step::Cure(node) => write!(f, "have the disk of {node} work again"),
            Step::Part { side, refused: true } => write!(f, "part {side:?} from the rest, refused"),
            Step::Part { side, refused: false } => write!(f, "part {side:?} from the rest, silent"),
            Step::Heal => write!(f, "heal the network"),
            Step::Repaired => write!(f, "wait until all is repaired"),
            Step::Overkill(nodes) => write!(f, "kill {nodes:?} at once and take their disks"),
        }
    }
}

impl Step {
    /// The word under which it is counted.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Step::Rest(_) => "rest",
            Step::Kill(_) => "kill",
            Step::Wipe(_) => "wipe",
            Step::Restart { .. } => "restart",
            Step::Leave(_) => "leave",
            Step::Retire(_) => "retire",
            Step::Join => "join",
            Step::Stop(_) => "stop",
            Step::Continue(_) => "continue",
            Step::Slow(..) => "slow",
            Step::Narrow(..) => "narrow",
            Step::Cut(..) => "reset",
            Step::Deaf(..) => "half-open",
            Step::Refuse(..) => "refuse",
            Step::NoBytes { .. } => "no bytes",
            Step::Sicken(_) => "sick disk",
            Step::Cure(_) => "cured disk",
            Step::Part { .. } => "partition",
            Step::Heal => "heal",
            Step::Repaired => "repair",
            Step::Overkill(_) => "overkill",
        }
    }
}

/// How much happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    /// Five nodes for some seconds.
    Small,
    /// Five to nine nodes, about half a minute.
    Large,
}

/// A schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Where it came from.
    pub(crate) seed: u64,
    /// Nodes at the start.
    pub(crate) nodes: usize,
    /// A node with little room, and how many bytes.
    pub(crate) small: Option<(usize, u64)>,
    /// Whether nobody is ever cut off.
    pub(crate) whole: bool,
    /// Clients that work at the same time.
    pub(crate) clients: usize,
    /// What happens.
    pub(crate) steps: Vec<Step>,
}

/// What a node is, as far as the schedule knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Up,
    Stopped,
    /// Ended, with its disk.
    Down,
    Gone,
}

/// The schedule while it is drawn.
struct Draft {
    random: fastrand::Rng,
    steps: Vec<Step>,
    nodes: Vec<State>,
    most: usize,
    /// Taken away since the last repair.
    away: usize,
    parted: bool,
    /// Nobody is to be cut off.
    whole: bool,
    /// Links that are not as usual.
    bent: bool,
    /// The node whose disk fails; one at a time.
    sick: Option<usize>,
}

impl Plan {
    /// The schedule of a seed. Every eighth is a large one.
    pub(crate) fn of(seed: u64) -> Plan {
        let size = if seed % 8 == 7 { Size::Large } else { Size::Small };
        let mut random = fastrand::Rng::with_seed(seed);
        let (nodes, clients, disasters) = match size {
            Size::Small => (5, 3, random.usize(5..11)),
            Size::Large => (random.usize(5..10), 4, random.usize(14..22)),
        };
        let small = random.bool() && random.bool();
        let small = small.then(|| (random.usize(1..nodes), random.u64(60_000..600_000)));
        let most = if size == Size::Small { 6 } else { 9 };
        let whole = random.bool();
        let mut draft = Draft {
            random,
            steps: vec![Step::Repaired],
            nodes: vec![State::Up; nodes],
            most,
            away: 0,
            parted: false,
            whole,
            bent: false,
            sick: None,
        };
        for _ in 0..disasters {
            let rest = draft.random.u64(10..250);
            draft.steps.push(Step::Rest(rest));
            draft.disaster();
        }
        draft.end();
        Plan { seed, nodes, small, whole, clients, steps: draft.steps }
    }

    /// Seconds that the clock of this node is fast, if it is one of those that the
    /// tests host: their disks can fail, and no two of them agree on the time.
    pub(crate) fn hosted(&self, node: usize) -> Option<i64> {
        const DAY_S: i64 = 24 * 60 * 60;
        let mut random = fastrand::Rng::with_seed(self.seed ^ (node as u64 + 1) << 48);
        is_hosted(node).then(|| random.i64(-2 * DAY_S..2 * DAY_S))
    }

    /// Bytes a second that this node sends at the most, if it is on a slow line: so
    /// many that it leaves within seconds.
    pub(crate) fn line(&self, node: usize) -> Option<u64> {
        let mut random = fastrand::Rng::with_seed(self.seed ^ (node as u64 + 1) << 32);
        (random.u8(0..3) == 0).then(|| random.u64(1 << 20..8 << 20))
    }
}

/// Whether the tests host this node: every third.
const fn is_hosted(node: usize) -> bool {
    node % 3 == 1
}

impl Draft {
    fn which(&self, state: State) -> Vec<usize> {
        (0..self.nodes.len()).filter(|at| self.nodes[*at] == state).collect()
    }

    /// One in this state; not the one with the sick disk, which could not start again.
    fn one(&mut self, state: State) -> Option<usize> {
        let mut all = self.which(state);
        all.retain(|node| self.sick != Some(*node));
        self.random.choice(all)
    }

    fn two(&mut self) -> Option<(usize, usize)> {
        let up = self.which(State::Up);
        let two = self.random.choose_multiple(up, 2);
        two.first().copied().zip(two.get(1).copied())
    }

    /// Draws until something is possible.
    fn disaster(&mut self) {
        while !self.try_one() {}
    }

    fn try_one(&mut self) -> bool {
        let living = self.which(State::Up).len();
        let may_take = self.away < BUDGET && living > FEWEST && !self.parted;
        match self.random.u32(0..100) {
            0..16 if may_take => self.take(Step::Kill, State::Down),
            16..24 if may_take => self.take(Step::Wipe, State::Gone),
            24..34 if living > FEWEST && !self.parted => {
                let Some(node) = self.one(State::Up) else { return false };
                let (step, becomes) = if self.random.bool() {
                    (Step::Leave(node), State::Down)
                } else {
                    (Step::Retire(node), State::Gone)
                };
                self.nodes[node] = becomes;
                self.steps.push(step);
                true
            }
            34..41 if may_take && !self.whole => self.take(Step::Stop, State::Stopped),
            41..54 if !self.parted => {
                let Some(node) = self.one(State::Down) else { return false };
                let told = self.random.bool();
                self.nodes[node] = State::Up;
                self.steps.push(Step::Restart { node, told });
                true
            }
            54..62 if !self.parted => {
                if living + self.which(State::Stopped).len() >= self.most {
                    return false;
                }
                self.nodes.push(State::Up);
                self.steps.push(Step::Join);
                true
            }
            62..70 => {
                let Some(node) = self.one(State::Stopped) else { return false };
                self.nodes[node] = State::Up;
                self.steps.push(Step::Continue(node));
                true
            }
            70..82 if !self.parted => self.bend(),
            82..86 if self.sick.is_none() && !self.parted => {
                let mut up = self.which(State::Up);
                up.retain(|node| is_hosted(*node));
                let Some(node) = self.random.choice(up) else { return false };
                self.sick = Some(node);
                self.steps.push(Step::Sicken(node));
                true
            }
            86..90 if self.away == 0 && living > FEWEST && !self.whole => self.part(),
            90..92 if self.parted || self.bent => {
                self.heal();
                true
            }
            92..98 if self.away > 0 || self.bent || self.parted || self.sick.is_some() => {
                self.repaired();
                true
            }
            98..100 if living > FEWEST + 1 && !self.parted => {
                self.repaired();
                self.overkill()
            }
            _ => false,
        }
    }

    fn take(&mut self, step: fn(usize) -> Step, becomes: State) -> bool {
        let Some(node) = self.one(State::Up) else { return false };
        self.nodes[node] = becomes;
        self.away += 1;
        self.steps.push(step(node));
        true
    }

    /// Something happens to the ways between two nodes.
    fn bend(&mut self) -> bool {
        let Some((one, other)) = self.two() else { return false };
        let kind = if self.whole { self.random.u32(0..2) } else { self.random.u32(1..7) };
        let step = match kind {
            0 => Step::Cut(one, other),
            1 => Step::NoBytes { one, other, refused: self.random.bool() },
            2 => Step::Slow(one, other, self.random.u64(5..400)),
            3 => Step::Narrow(one, other, self.random.u64(20_000..2_000_000)),
            4 | 5 => Step::Deaf(one, other),
            _ => Step::Refuse(one, other),
        };
        self.bent |= !matches!(step, Step::Cut(..));
        self.steps.push(step);
        true
    }

    fn part(&mut self) -> bool {
        let up = self.which(State::Up);
        let count = self.random.usize(1..=up.len() / 2);
        let mut side = self.random.choose_multiple(up, count);
        side.sort_unstable();
        let refused = self.random.bool();
        self.steps.push(Step::Part { side, refused });
        (self.parted, self.away) = (true, BUDGET);
        true
    }

    fn heal(&mut self) {
        self.steps.push(Step::Heal);
        (self.parted, self.bent) = (false, false);
    }

    fn repaired(&mut self) {
        let stopped = self.which(State::Stopped);
        if !stopped.is_empty() || self.parted || self.bent {
            // Long enough for others to take notice, or not.
            let rest = self.random.u64(50..2500);
            self.steps.push(Step::Rest(rest));
        }
        for node in stopped {
            self.nodes[node] = State::Up;
            self.steps.push(Step::Continue(node));
        }
        if self.parted || self.bent {
            self.heal();
        }
        self.steps.extend(self.sick.take().map(Step::Cure));
        self.steps.push(Step::Repaired);
        self.away = 0;
    }

    fn overkill(&mut self) -> bool {
        let up = self.which(State::Up);
        let victims = self.random.choose_multiple(up, 3);
        let Ok(victims) = <[usize; 3]>::try_from(victims) else { return true };
        for victim in victims {
            self.nodes[victim] = State::Gone;
        }
        self.steps.push(Step::Overkill(victims));
        self.away = BUDGET;
        true
    }

    /// Everybody who can comes back, most of the time.
    fn end(&mut self) {
        for node in self.which(State::Down) {
            if self.random.u32(0..4) > 0 && !self.parted {
                let told = self.random.bool();
                self.nodes[node] = State::Up;
                self.steps.push(Step::Restart { node, told });
            }
        }
        self.repaired();
    }
}

#[test]
fn a_schedule_follows_from_its_seed_and_never_takes_more_than_it_may() {
    let mut kinds = std::collections::BTreeSet::new();
    for seed in 0..300 {
        let plan = Plan::of(seed);
        assert_eq!(plan, Plan::of(seed));
        let mut away = 0;
        for (at, step) in plan.steps.iter().enumerate() {
            kinds.insert(step.kind());
            match step {
                Step::Kill(_) | Step::Wipe(_) | Step::Stop(_) => away += 1,
                Step::Part { .. } => {
                    assert!(!plan.whole, "seed {seed}");
                    assert_eq!(away, 0, "seed {seed}");
                    away = BUDGET;
                }
                Step::Overkill(_) => {
                    assert_eq!(plan.steps[at - 1], Step::Repaired, "seed {seed}");
                    away = BUDGET;
                }
                Step::Repaired => away = 0,
                _ => {}
            }
            assert!(away <= BUDGET, "seed {seed}: {plan:?}");
        }
        assert_eq!(plan.steps.last(), Some(&Step::Repaired), "seed {seed}");
    }
    assert_eq!(kinds.len(), 21, "everything happens somewhere: {kinds:?}");
}
