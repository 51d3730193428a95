//! Runs as data: a setup, the faults with their times, and what must hold then.
//!
//! A scenario is a TOML file. Faults happen at their times; churn and workload end at
//! `calm`; the run ends at `until`, when `[expect]` is checked. Examples are in
//! tests/scenarios.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use chordal_core::time::Time;

use super::bounds::{Part, Run};
use super::churn::{Churn, Workload};
use super::event::Event;
use super::host::{HostId, State};
use super::operation::{Action, Ended, Outcome, Why};
use super::setup::{Setup, Unfit, span};
use super::world::{Counts, World};
use super::{FileReport, TraceHash};

/// Maximum number of faults of one scenario.
const MAX_FAULTS: usize = 10_000;

/// Period, in simulated time, of the check whether the ring is ideal and all copies are
/// made.
const LOOK: Duration = Duration::from_millis(500);

/// Progress reports of one run.
const STEPS: u32 = 200;

/// A run as data: see the module's documentation.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Its title in one sentence.
    pub title: String,
    pub setup: Setup,
    /// Whether its ring grows host by host; otherwise it begins settled.
    pub grow: bool,
    /// The churn until `calm`.
    pub churn: Option<Churn>,
    /// The workload until `calm`.
    pub workload: Option<Workload>,
    /// The faults, in the order of time.
    pub faults: Vec<Fault>,
    /// When churn and workload end.
    pub calm: Duration,
    pub until: Duration,
    pub expect: Expect,
}

/// A fault with its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    #[serde(with = "span")]
    pub at: Duration,
    #[serde(rename = "do")]
    pub what: FaultKind,
    /// The hosts that it affects; without it, all to which it can apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<FaultHosts>,
    /// For `skew`, the speed of a clock; for `loss` and `duplication`, the share of
    /// messages from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
}

/// What a [`Fault`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Kills processes.
    Crash,
    /// Kills processes and destroys their disks.
    Destroy,
    /// Starts processes that died or left, with the contents of their disks.
    Restart,
    /// Pauses processes.
    Pause,
    /// Resumes paused processes.
    Resume,
    /// Hosts hand over their files and leave.
    Leave,
    /// New hosts join; `hosts` is their number.
    Join,
    /// Clocks run at another speed, `rate`.
    Skew,
    /// Partitions the network between these hosts and the others.
    Part,
    /// Ends all partitions.
    Heal,
    /// Another share of messages is lost.
    Loss,
    /// Another share of messages arrives twice.
    Duplication,
}

/// The hosts that a [`Fault`] affects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected how many (3), which ([0, 4]) or a share (\"40%\")")]
pub enum FaultHosts {
    /// This many random hosts.
    Some(u32),
    /// These hosts.
    These(Vec<HostId>),
    /// A random share of all: `"40%"`.
    Share(Percent),
}

/// A share, written as `"40%"`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Percent(f64);

impl TryFrom<String> for Percent {
    type Error = String;

    fn try_from(text: String) -> Result<Percent, String> {
        let number = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
        match number.filter(|number| (0.0..=100.0).contains(number)) {
            Some(number) => Ok(Percent(number)),
            None => Err(format!("'{text}' is not a share from \"0%\" to \"100%\"")),
        }
    }
}

impl From<Percent> for String {
    fn from(share: Percent) -> String {
        format!("{}%", share.0)
    }
}

/// What must hold at the end of a run. An acknowledged file must never be lost, whatever
/// this says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expect {
    /// The ring is ideal: every living host is a member and all tables are right.
    pub ideal: bool,
    /// Every acknowledged file can be read.
    pub readable: bool,
    /// Every acknowledged file has all its copies, and no more.
    pub copies: bool,
    /// All this must hold this long after `calm` at the latest.
    #[serde(with = "maybe_span", skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
    /// Number of operations that may end with a wrong result: another owner than the true
    /// one, or an older version than acknowledged.
    pub wrong: usize,
    /// The share of operations that may fail, 0 to 1, without those of hosts that died.
    pub failed: f64,
}

impl Default for Expect {
    fn default() -> Expect {
        let (ideal, readable, copies) = (true, true, true);
        Expect { ideal, readable, copies, within: None, wrong: 0, failed: 0.0 }
    }
}

/// Serde functions for an optional duration.
mod maybe_span {
    use std::time::Duration;

    use serde::{Deserializer, Serializer};

    use super::span;

    // Serde passes a reference to the field.
    #[expect(clippy::ref_option)]
    pub(super) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        span::serialize(&value.unwrap_or_default(), to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        span::deserialize(from).map(Some)
    }
}

/// The form of a file. `Spanned` values are checked later and know their position.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    title: String,
    #[serde(default)]
    grow: bool,
    until: Spanned<Span>,
    calm: Option<Spanned<Span>>,
    setup: Option<Spanned<Setup>>,
    churn: Option<Spanned<Churn>>,
    workload: Option<Spanned<Workload>>,
    #[serde(default)]
    faults: Vec<Spanned<Fault>>,
    #[serde(default)]
    expect: Expect,
}

#[derive(Deserialize)]
struct Span(#[serde(with = "span")] Duration);

/// Why a file is not a valid scenario: the line, the key, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadScenario(String);

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// The first mistake, with its line and key.
    pub fn parse(text: &str) -> Result<Scenario, BadScenario> {
        let file: File = toml::from_str(text)
            .map_err(|error| BadScenario(error.to_string().trim().to_owned()))?;
        let wrong = |at: Range<usize>, Unfit { key, why }: Unfit| {
            BadScenario(format!("line {}: {key} {why}", line_of(text, at, key)))
        };
        let until = file.until.get_ref().0;
        let calm = file.calm.as_ref().map_or(until, |calm| calm.get_ref().0);
        if calm > until
            && let Some(at) = &file.calm
        {
            let why = "comes after until, the end".to_owned();
            return Err(wrong(at.span(), Unfit { key: "calm", why }));
        }
        if let Some(setup) = &file.setup {
            setup.get_ref().check().map_err(|unfit| wrong(setup.span(), unfit))?;
        }
        if let Some(churn) = &file.churn {
            churn.get_ref().check().map_err(|unfit| wrong(churn.span(), unfit))?;
        }
        if let Some(workload) = &file.workload {
            workload.get_ref().check().map_err(|unfit| wrong(workload.span(), unfit))?;
        }
        if !(0.0..=1.0).contains(&file.expect.failed) {
            let why = format!("is {}; allowed is 0 to 1", file.expect.failed);
            return Err(wrong(0..text.len(), Unfit { key: "failed", why }));
        }
        let setup_at = file.setup.as_ref().map(Spanned::span);
        let setup = file.setup.map(Spanned::into_inner).unwrap_or_default();
        if file.faults.len() > MAX_FAULTS {
            let why = format!("are {}; at most {MAX_FAULTS} are allowed", file.faults.len());
            return Err(wrong(0..text.len(), Unfit { key: "faults", why }));
        }
        for fault in &file.faults {
            check_fault(fault.get_ref(), until).map_err(|unfit| wrong(fault.span(), unfit))?;
        }
        let run = Run {
            until,
            setup: &setup,
            churn: file.churn.as_ref().map(Spanned::get_ref),
            workload: file.workload.as_ref().map(Spanned::get_ref),
            faults: &file.faults.iter().map(Spanned::get_ref).collect::<Vec<_>>(),
        };
        run.check().map_err(|(part, unfit)| {
            let at = match part {
                Part::Top => Some(file.until.span()),
                Part::Setup => setup_at.clone(),
                Part::Churn => file.churn.as_ref().map(Spanned::span),
                Part::Workload => file.workload.as_ref().map(Spanned::span),
                Part::Fault(number) => file.faults.get(number).map(Spanned::span),
            };
            wrong(at.unwrap_or(0..text.len()), unfit)
        })?;
        let mut faults: Vec<Fault> = file.faults.into_iter().map(Spanned::into_inner).collect();
        faults.sort_by_key(|fault| fault.at);
        Ok(Scenario {
            title: file.title,
            grow: file.grow,
            churn: file.churn.map(Spanned::into_inner),
            workload: file.workload.map(Spanned::into_inner),
            expect: file.expect,
            setup,
            faults,
            calm,
            until,
        })
    }

    /// The world at the beginning, with all its events planned. A caller that drives it to
    /// its end calls [`Scenario::calm_down`] meanwhile.
    pub fn world(&self, progress: &mut dyn FnMut(u64, u64)) -> World {
        let mut world = if self.grow {
            World::growing(&self.setup)
        } else {
            World::settled(&self.setup, progress)
        };
        for (number, fault) in (0..).zip(&self.faults) {
            world.faults.push(fault.clone());
            world.queue.push(Time::ZERO + fault.at, Event::Fault { number });
        }
        world.set_churn(self.churn.clone());
        world.set_workload(self.workload.clone());
        world
    }

    /// Ends churn and workload at `calm`. Returns whether it did.
    pub fn calm_down(&self, world: &mut World) -> bool {
        let busy = world.churn.is_some() || world.workload.is_some();
        let due = busy && world.now() >= Time::ZERO + self.calm;
        if due {
            world.set_churn(None);
            world.set_workload(None);
        }
        due
    }

    /// Runs the scenario to its end and judges it. `progress` is called from time to time
    /// with the world.
    pub fn run(&self, progress: &mut dyn FnMut(&World)) -> Verdict {
        let mut world = self.world(&mut |_, _| {});
        let mut tally = Tally::default();
        let step = (self.calm / STEPS).max(Duration::from_millis(1));
        while world.now() < Time::ZERO + self.calm {
            let next = (world.now() + step).min(Time::ZERO + self.calm);
            world.run_until(next);
            tally.take(&mut world);
            progress(&world);
        }
        self.calm_down(&mut world);
        let mut healed = None;
        while world.now() < Time::ZERO + self.until {
            if healed.is_none() && self.is_well(&world) {
                healed = Some(world.now() - (Time::ZERO + self.calm));
            }
            let next = (world.now() + LOOK).min(Time::ZERO + self.until);
            world.run_until(next);
            tally.take(&mut world);
            progress(&world);
        }
        if healed.is_none() && self.is_well(&world) {
            healed = Some(world.now() - (Time::ZERO + self.calm));
        }
        self.judge(&world, tally, healed)
    }

    /// Whether the ring is in the expected state.
    fn is_well(&self, world: &World) -> bool {
        let Expect { ideal, readable, copies, .. } = self.expect;
        (!ideal || world.is_ideal()) && {
            let files = world.files();
            (!readable || files.readable == files.acknowledged - files.destroyed)
                && (!copies || files.short == 0 && files.surplus == 0)
        }
    }

    fn judge(&self, world: &World, tally: Tally, healed: Option<Duration>) -> Verdict {
        let files = world.files();
        let expect = &self.expect;
        let mut missed = Vec::new();
        if expect.ideal && !world.is_ideal() {
            missed.push("the ring is not ideal at the end".to_owned());
        }
        let kept = files.acknowledged - files.destroyed;
        if expect.readable && files.readable < kept {
            missed.push(format!("{} of {kept} files can be read at the end", files.readable));
        }
        if expect.copies && files.short + files.surplus > 0 {
            let (short, surplus) = (files.short, files.surplus);
            missed
                .push(format!("{short} files have too few copies at the end, {surplus} too many"));
        }
        if !files.lost.is_empty() {
            let names: Vec<&str> = files.lost.iter().take(5).map(|name| name.as_str()).collect();
            let count = files.lost.len();
            missed
                .push(format!("{count} acknowledged files are lost, such as {}", names.join(", ")));
        }
        if let Some(within) = expect.within
            && healed.is_none_or(|healed| healed > within)
        {
            let took = healed.map_or("never".to_owned(), |healed| format!("after {healed:?}"));
            missed.push(format!("all was well {took}, not within {within:?}"));
        }
        let all = tally.all();
        if all.wrong > expect.wrong {
            let allowed = expect.wrong;
            missed.push(format!(
                "{} operations had a wrong result; allowed are {allowed}",
                all.wrong
            ));
        }
        let share = all.failed as f64 / (all.ended - all.died).max(1) as f64;
        if share > expect.failed {
            let allowed = expect.failed * 100.0;
            missed.push(format!(
                "{} of {} operations failed; allowed are {allowed} %",
                all.failed,
                all.ended - all.died
            ));
        }
        Verdict {
            missed,
            healed,
            tally,
            files,
            trace: world.trace(),
            events: world.events(),
            counts: world.counts(),
            hosts: world.living(),
        }
    }
}

/// The result of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The expectations that do not hold, one sentence each.
    pub missed: Vec<String>,
    /// How long after `calm` everything held; `None` if it never did.
    pub healed: Option<Duration>,
    /// How the operations ended.
    pub tally: Tally,
    /// The state of the files.
    pub files: FileReport,
    /// The fingerprint of the run.
    pub trace: TraceHash,
    /// Number of events.
    pub events: u64,
    pub counts: Counts,
    /// Hosts that are alive at the end.
    pub hosts: usize,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.missed.is_empty() {
            f.write_str("all holds")
        } else {
            f.write_str(&self.missed.join("; "))
        }
    }
}

/// How operations ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    kinds: [Ends; 4],
    wrong: Vec<Ended>,
    failed: Vec<Ended>,
}

/// How operations of one kind ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// All of them.
    pub ended: usize,
    /// Those with a right result.
    pub right: usize,
    /// Those with a wrong result.
    pub wrong: usize,
    /// Those without a result.
    pub failed: usize,
    /// Those whose host died.
    pub died: usize,
    /// Nodes that answered on the way.
    pub contacts: u64,
    /// Nodes that did not answer.
    pub timeouts: u64,
}

/// Wrong results, and failures, that are kept so that their cause can be found.
const MAX_KEPT: usize = 20;

impl Tally {
    /// Counts the operations that ended in a world since the last call.
    pub fn take(&mut self, world: &mut World) {
        for (_, ended) in world.ended() {
            self.count(ended);
        }
    }

    /// Counts an operation.
    pub fn count(&mut self, ended: Ended) {
        let Some(ends) = self.kinds.get_mut(number(ended.action)) else { return };
        ends.ended += 1;
        ends.contacts += u64::from(ended.contacts);
        ends.timeouts += u64::from(ended.timeouts);
        match &ended.outcome {
            Outcome::Failed(Why::Died) => ends.died += 1,
            _ if ended.is_right() => ends.right += 1,
            Outcome::Failed(_) => {
                ends.failed += 1;
                if self.failed.len() < MAX_KEPT {
                    self.failed.push(ended);
                }
            }
            _ => {
                ends.wrong += 1;
                if self.wrong.len() < MAX_KEPT {
                    self.wrong.push(ended);
                }
            }
        }
    }

    /// The counts of one kind.
    pub fn of(&self, action: Action) -> Ends {
        self.kinds[number(action)]
    }

    /// The sums of all kinds.
    pub fn all(&self) -> Ends {
        self.kinds.iter().fold(Ends::default(), |sum, ends| Ends {
            ended: sum.ended + ends.ended,
            right: sum.right + ends.right,
            wrong: sum.wrong + ends.wrong,
            failed: sum.failed + ends.failed,
            died: sum.died + ends.died,
            contacts: sum.contacts + ends.contacts,
            timeouts: sum.timeouts + ends.timeouts,
        })
    }

    /// The first operations with a wrong result.
    pub fn wrong(&self) -> &[Ended] {
        &self.wrong
    }

    /// The first operations that failed.
    pub fn failed(&self) -> &[Ended] {
        &self.failed
    }
}

const fn number(action: Action) -> usize {
    match action {
        Action::Lookup => 0,
        Action::Put => 1,
        Action::Get => 2,
        Action::Remove => 3,
    }
}

/// The line of a key within a part of a text, or of the part when the key is not there.
fn line_of(text: &str, part: Range<usize>, key: &str) -> usize {
    let line = |at: usize| 1 + text[..at].matches('\n').count();
    // The part of a table may begin with its keys or with its heading.
    let rest = text.get(part.start..).unwrap_or_default();
    let mut at = part.start;
    for row in rest.split_inclusive('\n') {
        if row.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='))
        {
            return line(at);
        }
        at += row.len();
    }
    line(part.start)
}

fn check_fault(fault: &Fault, until: Duration) -> Result<(), Unfit> {
    let unfit = |key, why: &str| Err(Unfit { key, why: why.to_owned() });
    if fault.at > until {
        return unfit("at", "comes after until, the end");
    }
    match (fault.what, fault.rate) {
        (FaultKind::Skew, None) => return unfit("do", "is \"skew\", which needs a rate"),
        (FaultKind::Loss | FaultKind::Duplication, Some(rate)) if (0.0..=1.0).contains(&rate) => {}
        (FaultKind::Loss | FaultKind::Duplication, _) => {
            return unfit("do", "needs a rate from 0 to 1");
        }
        (FaultKind::Skew, Some(rate)) if (0.001..=1_000.0).contains(&rate) => {}
        (FaultKind::Skew, Some(_)) => {
            return unfit("rate", "is out of range; allowed is 0.001 to 1000");
        }
        (_, Some(_)) => return unfit("rate", "is only for skew, loss and duplication"),
        (_, None) => {}
    }
    match (fault.what, &fault.hosts) {
        (FaultKind::Heal | FaultKind::Loss | FaultKind::Duplication, Some(_)) => {
            unfit("hosts", "is not possible for a fault of the whole network")
        }
        (FaultKind::Join, Some(FaultHosts::Some(_)) | None) => Ok(()),
        (FaultKind::Join, Some(_)) => unfit("hosts", "is how many, for a join"),
        (FaultKind::Crash | FaultKind::Destroy | FaultKind::Leave | FaultKind::Part, None) => {
            unfit("hosts", "is missing: how many, which, or a share")
        }
        _ => Ok(()),
    }
}

impl World {
    /// [`Event::Fault`]
    pub(super) fn fault(&mut self, number: u32) {
        let Some(fault) = self.faults.get(number as usize).cloned() else { return };
        let rate = fault.rate.unwrap_or_default();
        match fault.what {
            FaultKind::Join => {
                let count = match fault.hosts {
                    Some(FaultHosts::Some(count)) => count,
                    _ => 1,
                };
                for _ in 0..count {
                    self.join();
                }
            }
            FaultKind::Heal => self.heal(),
            FaultKind::Loss => self.setup.loss = rate,
            FaultKind::Duplication => self.setup.duplication = rate,
            FaultKind::Part => {
                let hosts = self.chosen(&fault);
                self.part(&[hosts]);
            }
            deed => {
                for host in self.chosen(&fault) {
                    match deed {
                        FaultKind::Crash => self.crash(host),
                        FaultKind::Destroy => self.destroy(host),
                        FaultKind::Restart => self.restart(host),
                        FaultKind::Pause => self.pause(host),
                        FaultKind::Resume => self.resume(host),
                        FaultKind::Leave => self.leave(host),
                        _ => self.skew(host, rate),
                    }
                }
            }
        }
    }

    /// The hosts that a fault affects, of those to which it can apply.
    fn chosen(&mut self, fault: &Fault) -> Vec<HostId> {
        let fits = |state: State| match fault.what {
            FaultKind::Restart => matches!(state, State::Crashed | State::Left),
            FaultKind::Resume => state == State::Paused,
            FaultKind::Pause | FaultKind::Leave => state == State::Up,
            _ => matches!(state, State::Up | State::Paused),
        };
        let all = self.hosts.iter().filter(|host| fits(host.state)).map(|host| host.number);
        let all: Vec<HostId> = all.collect();
        match &fault.hosts {
            None => all,
            Some(FaultHosts::These(these)) => {
                these.iter().filter(|host| all.contains(host)).copied().collect()
            }
            Some(FaultHosts::Some(count)) => self.chance.some_of(&all, *count as usize),
            Some(FaultHosts::Share(Percent(share))) => {
                let count = (all.len() as f64 * share / 100.0).round() as usize;
                self.chance.some_of(&all, count)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"title = "a test"
until = "40s"
calm = "10s"

[setup]
hosts = 12

[workload]
puts = 2.0
names = 10

[[faults]]
at = "5s"
do = "crash"
hosts = 2

[[faults]]
at = "2s"
do = "part"
hosts = "50%"

[[faults]]
at = "4s"
do = "heal"
"#;

    #[test]
    fn a_scenario_is_read_and_played() {
        let scenario = Scenario::parse(GOOD).expect("it is good");
        assert_eq!(scenario.faults.len(), 3);
        assert_eq!(scenario.faults[0].what, FaultKind::Part, "in the order of time");
        let verdict = scenario.run(&mut |_| {});
        assert_eq!(verdict.hosts, 10);
        assert!(verdict.files.lost.is_empty());
        assert!(verdict.tally.of(Action::Put).ended > 5);
        assert_eq!(verdict.trace, scenario.run(&mut |_| {}).trace);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_key() {
        let says = |from: &str, to: &str, line: &str, words: &str| {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD);
            let error = Scenario::parse(&text).expect_err("it is bad").to_string();
            assert!(error.contains(line) && error.contains(words), "{error}");
        };
        says("hosts = 12", "hosts = 0", "line 6", "hosts is 0");
        says("hosts = 12", "hots = 12", "line 6", "hots");
        says("at = \"5s\"", "at = \"5m\"", "line 13", "at comes after until");
        says("do = \"crash\"", "do = \"crush\"", "line 14", "crush");
        says("hosts = 2", "hosts = \"120%\"", "line 15", "how many");
        says("puts = 2.0", "puts = -2.0", "line 9", "puts is -2");
        says("calm = \"10s\"", "calm = \"10h\"", "line 3", "calm comes after");
        says("calm = \"10s\"", "calm = \"soon\"", "line 3", "not a duration");
        says("do = \"heal\"", "do = \"skew\"", "line 24", "needs a rate");
        says("hosts = \"50%\"", "", "hosts is missing", "hosts");
    }

    #[test]
    fn what_cannot_be_finished_is_told_with_its_line_key_and_limit() {
        let says = |from: &str, to: &str, told: &str| {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD);
            let error = Scenario::parse(&text).expect_err("it is too much").to_string();
            assert_eq!(error, told);
        };
        let until = "until = \"40s\"";
        let endless = "line 2: until is 1000years; allowed is 0s to 1year";
        says(until, "until = \"1000years\"", endless);
        says(
            "hosts = 12",
            "hosts = 16777214",
            "line 6: hosts makes 16777214 ring positions in all; at most 4000000 fit into memory",
        );
        says(
            "do = \"crash\"\nhosts = 2",
            "do = \"join\"\nhosts = 4294967295",
            "line 15: hosts makes 4294967307 ring positions in all; at most 4000000 fit into memory",
        );
        says(
            "hosts = 12",
            "hosts = 12\nstabilize = \"1ns\"",
            "line 7: stabilize is 1ns; allowed is 1ms to 1day",
        );
        says(
            "puts = 2.0",
            "size = 9223372036854775807",
            "line 9: size is 9223372036854775807; allowed is 0 to 1099511627776",
        );
        says(
            "[workload]\nputs = 2.0\nnames = 10",
            "[churn]\njoins = 1000000.0",
            "line 9: joins makes 40000012 ring positions in all; at most 4000000 fit into memory",
        );
        says(
            "hosts = 12",
            "hosts = 2000000\nstabilize = \"1ms\"",
            "line 2: until makes about 8e11 events with these hosts and rates, days of work; at \
             most 3e10 are allowed",
        );
    }
}
