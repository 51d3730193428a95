//! The parts of docs/reference.md that are made from the program's own tables: its
//! options, commands, keys and limits. The JSON shapes come from `samples`.

use std::time::Duration;

use chordal::engine::SCRUB;
use chordal::mesh::{links, reputation};
use chordal::sim::{Expect, Scenario, Setup};
use chordal::ui::action::{
    Action, BINDINGS, Key, PROMPT_KEYS, REGISTRY_DIGITS, Scope, registry_help,
};
use chordal::ui::state;
use chordal::view::command::{Spec, TABLE};
use chordal::{cli, limits, name, registry, transfer};
use clap::builder::StyledStr;
use clap::{Arg, Command};

use super::{code, differs, document, row};

/// The document that holds the parts.
const REFERENCE: &str = "docs/reference.md";

/// Ends a part.
const END: &str = "<!-- end -->";

#[test]
fn the_reference_is_what_the_program_says() {
    let text = document(REFERENCE);
    let marks = text.lines().filter_map(|line| line.strip_prefix("<!-- made: "));
    let marks: Vec<_> = marks.filter_map(|rest| rest.strip_suffix(" -->")).collect();
    let parts = parts();
    assert_eq!(marks, parts.iter().map(|part| part.0).collect::<Vec<_>>(), "the parts in order");
    for (name, made) in parts {
        let begin = format!("<!-- made: {name} -->\n");
        let (_, rest) = text.split_once(&begin).expect("the mark was found");
        let (old, _) = rest.split_once(END).unwrap_or_else(|| panic!("'{name}' has no end"));
        let new = format!("\n{}\n\n", made.trim());
        if old != new {
            differs(
                REFERENCE,
                "docs::",
                &format!("{begin}{old}{END}"),
                &format!("{begin}{new}{END}"),
            );
        }
    }
}

#[test]
fn the_scenario_of_the_reference_is_one_with_the_values_that_it_has_without() {
    let text = document(REFERENCE);
    let (_, rest) = text.split_once("```toml\n").expect("there is a scenario");
    let (scenario, _) = rest.split_once("```").expect("it ends");
    let read = Scenario::parse(scenario).expect("it is one");
    assert_eq!(read.setup, Setup::default());
    assert_eq!(Expect { within: None, ..read.expect }, Expect::default());
}

/// Each part with its text, in the order of the document.
fn parts() -> Vec<(&'static str, String)> {
    let program = cli::definition();
    let of = |name: &str| {
        let found = program.find_subcommand(name);
        found.unwrap_or_else(|| panic!("the program has no {name}")).clone()
    };
    vec![
        ("options of a node", node_options(&program)),
        ("lab", beside_a_node(&program, &of("lab"))),
        ("tmux", beside_a_node(&program, &of("tmux"))),
        ("seed", beside_a_node(&program, &of("seed"))),
        ("commands", command_table()),
        ("options of commands", command_options(&program)),
        ("each command", command_details()),
        ("keys", keys()),
        ("experiments", experiments(&of("sim"))),
        ("options of sim", simulation_options(&program, &of("sim"))),
        ("limits", limit_table()),
    ]
}

/// A table, without the columns in which no row has anything.
fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let columns: Vec<usize> =
        (0..N).filter(|&column| rows.iter().any(|cells| !cells[column].is_empty())).collect();
    let line = |cells: &[&str; N]| row(&columns.iter().map(|&at| cells[at]).collect::<Vec<_>>());
    let rows = rows.iter().map(|cells| line(&cells.each_ref().map(String::as_str)));
    [line(&head), line(&["---"; N])].into_iter().chain(rows).collect::<Vec<_>>().join("\n")
}

/// Plain text in a cell of a table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn plain(text: Option<&StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default()
}

/// `--join ADDR`, `[N]`.
fn shown(arg: &Arg) -> String {
    let value = arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
    let value = value.filter(|_| arg.get_action().takes_values());
    match (arg.get_long(), value) {
        (Some(long), Some(value)) => format!("--{long} {value}"),
        (Some(long), None) => format!("--{long}"),
        (None, value) => {
            let name = value.unwrap_or_else(|| arg.get_id().to_string());
            if arg.is_required_set() { name } else { format!("[{name}]") }
        }
    }
}

fn variable(arg: &Arg) -> String {
    arg.get_env().map(|name| code(&name.to_string_lossy())).unwrap_or_default()
}

fn default(arg: &Arg) -> String {
    let values = arg.get_default_values().first().filter(|_| arg.get_action().takes_values());
    values.map(|value| code(&value.to_string_lossy())).unwrap_or_default()
}

/// What an option sets, and the words that it takes.
fn help(arg: &Arg) -> String {
    let text = cell(&plain(arg.get_help()));
    let words: Vec<_> =
        arg.get_possible_values().iter().map(|word| code(word.get_name())).collect();
    if words.is_empty() || !arg.get_action().takes_values() || arg.get_id() == "SHELL" {
        return text;
    }
    format!("{text}: {}", words.join(", "))
}

/// As many commands without an option are named in the place of those that have it.
const FEW: usize = 3;

const OPTION: [&str; 4] = ["option", "variable", "default", "what it sets"];

fn option(arg: &Arg) -> [String; 4] {
    [code(&shown(arg)), variable(arg), default(arg), help(arg)]
}

/// All that a node takes, under the headings of its help.
fn node_options(program: &Command) -> String {
    let mut paragraphs = Vec::new();
    let mut headings: Vec<Option<&str>> = Vec::new();
    for arg in program.get_arguments() {
        if !headings.contains(&arg.get_help_heading()) {
            headings.push(arg.get_help_heading());
        }
    }
    for heading in headings {
        let args = program.get_arguments().filter(|arg| arg.get_help_heading() == heading);
        let rows: Vec<_> = args.map(option).collect();
        paragraphs.extend(heading.map(|heading| format!("**{heading}**")));
        paragraphs.push(table(OPTION, &rows));
    }
    paragraphs.join("\n\n")
}

/// What makes an option the same as that of another command.
fn same(one: &Arg, other: &Arg) -> bool {
    shown(one) == shown(other) && help(one) == help(other) && default(one) == default(other)
}

/// What a program beside a node takes, and which options it has in common with one.
fn beside_a_node(program: &Command, command: &Command) -> String {
    let node_has = |arg: &&Arg| program.get_arguments().any(|other| same(arg, other));
    let (common, own): (Vec<&Arg>, Vec<&Arg>) = command.get_arguments().partition(node_has);
    let rows: Vec<_> = own.into_iter().map(option).collect();
    let mut paragraphs = vec![table(OPTION, &rows)];
    let common: Vec<_> = common.into_iter().map(|arg| code(&shown(arg))).collect();
    if !common.is_empty() {
        paragraphs.push(format!("As for a node: {}.", common.join(", ")));
    }
    let after = plain(command.get_after_help());
    if let Some(example) = after.lines().find_map(|line| line.strip_prefix("Example: ")) {
        paragraphs.push(format!("Example: {}", code(example)));
    }
    paragraphs.join("\n\n")
}

/// The options of several commands: each once, with the commands that have it.
fn grouped(commands: &[(&str, &Command)], has: impl Fn(&str, &Arg) -> bool) -> String {
    let mut found: Vec<(&Arg, Vec<&str>)> = Vec::new();
    for (name, command) in commands {
        for arg in command.get_arguments().filter(|arg| arg.get_long().is_some()) {
            if !has(name, arg) {
                continue;
            }
            match found.iter_mut().find(|(other, _)| same(arg, other)) {
                Some((_, names)) => names.push(name),
                // Beside those of the same name.
                None => {
                    let namesake = |(other, _): &(&Arg, _)| other.get_long() == arg.get_long();
                    let at = found.iter().rposition(namesake).map_or(found.len(), |at| at + 1);
                    found.insert(at, (arg, vec![name]));
                }
            }
        }
    }
    let of = |names: &[&str]| {
        let list = |names: Vec<&str>| names.into_iter().map(code).collect::<Vec<_>>().join(", ");
        let others = commands.iter().map(|(name, _)| *name).filter(|name| !names.contains(name));
        let others: Vec<_> = others.collect();
        match others.len() {
            0 => "all".to_owned(),
            1..=FEW => format!("all but {}", list(others)),
            _ => list(names.to_vec()),
        }
    };
    let row = |(arg, names): (&Arg, Vec<&str>)| {
        [code(&shown(arg)), of(&names), variable(arg), default(arg), help(arg)]
    };
    let rows: Vec<_> = found.into_iter().map(row).collect();
    table(["option", "of", "variable", "default", "what it sets"], &rows)
}

fn command_table() -> String {
    let rows: Vec<_> = TABLE
        .iter()
        .map(|spec| {
            let aliases: Vec<_> = spec.aliases.iter().map(|alias| code(alias)).collect();
            let place = if spec.remote { "" } else { "prompt" };
            [code(&spec.usage()), aliases.join(" "), spec.summary.to_owned(), place.to_owned()]
        })
        .collect();
    table(["command", "also", "what it does", "only at the"], &rows)
}

/// What the subcommands take besides what the table of commands has.
fn command_options(program: &Command) -> String {
    let remote = TABLE.iter().filter(|spec| spec.remote);
    let commands: Vec<_> =
        remote.filter_map(|spec| Some((spec.name, program.find_subcommand(spec.name)?))).collect();
    grouped(&commands, |name, arg| {
        let spec = chordal::view::command::spec(name).expect("it came from the table");
        !spec.flags.iter().any(|flag| Some(flag.name.trim_start_matches("--")) == arg.get_long())
    })
}

fn command_details() -> String {
    TABLE.iter().map(details).collect::<Vec<_>>().join("\n\n")
}

fn details(spec: &Spec) -> String {
    let (said, examples) = examples(spec.details);
    let mut text = format!("### `{}`\n\n{}", spec.name, cell(&said));
    if !examples.is_empty() {
        let title = if examples.len() == 1 { "Example" } else { "Examples" };
        let examples: Vec<_> = examples.into_iter().map(code).collect();
        text = format!("{} {title}: {}", text, examples.join(", "));
    }
    let mut rows: Vec<(String, &str)> = Vec::new();
    rows.extend(spec.arguments.iter().map(|argument| (argument.name.to_owned(), argument.help)));
    rows.extend(spec.flags.iter().map(|flag| match flag.value {
        Some((value, _)) => (format!("{} {value}", flag.name), flag.help),
        None => (flag.name.to_owned(), flag.help),
    }));
    let rows: Vec<_> = rows.iter().map(|(name, help)| format!("- `{name}`: {help}")).collect();
    if rows.is_empty() { text } else { format!("{text}\n\n{}", rows.join("\n")) }
}

/// A text without the examples at its end, and these.
fn examples(details: &str) -> (String, Vec<&str>) {
    let parts = details.split_once("Example: ").or_else(|| details.split_once("Examples: "));
    match parts {
        Some((said, examples)) => (said.to_owned(), examples.split("; ").collect()),
        None => (details.to_owned(), Vec::new()),
    }
}

fn experiments(sim: &Command) -> String {
    let rows: Vec<_> = sim
        .get_subcommands()
        .map(|command| {
            let file = command.get_arguments().find(|arg| arg.get_long().is_none()).map(shown);
            let words = [Some("sim".to_owned()), Some(command.get_name().to_owned()), file];
            let words: Vec<_> = words.into_iter().flatten().collect();
            [code(&words.join(" ")), cell(&plain(command.get_about()))]
        })
        .collect();
    table(["experiment", "what it is"], &rows)
}

fn simulation_options(program: &Command, sim: &Command) -> String {
    let commands: Vec<_> =
        sim.get_subcommands().map(|command| (command.get_name(), command)).collect();
    let of_a_node = |arg: &Arg| program.get_arguments().any(|other| same(arg, other));
    grouped(&commands, |_, arg| !of_a_node(arg))
}

fn keys() -> String {
    let key_table = |rows: Vec<(String, &str)>| {
        let rows: Vec<_> =
            rows.into_iter().map(|(keys, help)| [code(&keys), help.to_owned()]).collect();
        table(["key", "what it does"], &rows)
    };
    let names = |keys: &[Key]| keys.iter().map(|key| key.show()).collect::<Vec<_>>().join(", ");
    let bound = |scopes: &[Scope]| -> Vec<(String, &str)> {
        let bindings = BINDINGS.iter().filter(|binding| scopes.contains(&binding.scope));
        let single = bindings.filter(|binding| !matches!(binding.action, Action::Panel(_)));
        single.map(|binding| (names(binding.keys), binding.help)).collect()
    };
    let panels = BINDINGS.iter().filter(|binding| matches!(binding.action, Action::Panel(_)));
    let panels: Vec<_> =
        panels.map(|binding| format!("`{}` {}", names(binding.keys), binding.help)).collect();
    let prompt = PROMPT_KEYS.iter().map(|&(keys, help)| (keys.to_owned(), help)).collect();
    let mut everyday = vec![("1-7".to_owned(), "go to a panel")];
    everyday.extend(bound(&[Scope::Panels, Scope::Node, Scope::RealPanels]));
    let seed = [Scope::Registry, Scope::Panels, Scope::RealPanels, Scope::Everywhere];
    let seed = BINDINGS.iter().filter(|binding| seed.contains(&binding.scope));
    let seed = seed.map(|binding| (names(binding.keys), registry_help(binding)));
    let digits = (REGISTRY_DIGITS.0.to_owned(), REGISTRY_DIGITS.1);
    let sections = [
        ("At the command line, which has the keys when the dashboard starts:", prompt),
        ("In the panels:", everyday),
        (
            "In the panels of a lab, for its nodes, and of a simulation, for its hosts:",
            bound(&[Scope::Lab]),
        ),
        (
            "In a simulation, also while nothing is typed at the command line:",
            bound(&[Scope::Clock]),
        ),
        ("In the panels of a simulation:", bound(&[Scope::Simulation])),
        ("Anywhere:", bound(&[Scope::Everywhere])),
        ("In the dashboard of `chordal seed`:", std::iter::once(digits).chain(seed).collect()),
    ];
    let sections = sections.map(|(title, rows)| format!("{title}\n\n{}\n\n", key_table(rows)));
    format!("{}The panels are {}.", sections.concat(), panels.join(", "))
}

fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(3_600, "hour"), (60, "minute"), (1, "second")];
    let (unit, name) = units
        .into_iter()
        .find(|(unit, _)| seconds.is_multiple_of(*unit))
        .expect("seconds always fit");
    let many = if seconds == unit { "" } else { "s" };
    format!("{} {name}{many}", grouped_digits(seconds / unit))
}

/// `4 096`.
fn grouped_digits(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

fn count(number: usize) -> String {
    grouped_digits(number as u64)
}

/// A power of 1 024 bytes.
fn bytes(number: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB"), (0, "bytes")];
    let fits = |&&(bits, _): &&(u32, _)| number.is_multiple_of(1 << bits);
    let (bits, unit) = units.iter().find(fits).expect("bytes always fit");
    format!("{} {unit}", grouped_digits(number >> bits))
}

/// The limits that are constants of the program's public modules.
fn limit_table() -> String {
    let rows: Vec<(&str, String)> = vec![
        (
            "a file",
            format!(
                "{}, in pieces of {} or more",
                bytes(limits::MAX_FILE_BYTES),
                bytes(transfer::manifest::MIN_PIECE_BYTES)
            ),
        ),
        (
            "a name",
            format!(
                "{} bytes in UTF-8, {} parts of {} bytes",
                count(name::MAX_NAME_BYTES),
                count(name::MAX_COMPONENTS),
                count(name::MAX_COMPONENT_BYTES)
            ),
        ),
        ("copies of a file", limits::MAX_REPLICAS.to_string()),
        ("entries that a successor list may be asked to have", count(limits::MAX_SUCCESSORS)),
        ("places of a host on the ring", limits::MAX_VNODES.to_string()),
        ("a ring's name", format!("{} ASCII characters", limits::MAX_RING_NAME)),
        (
            "a removed name",
            format!(
                "its marker ends after {}; a node that was away for longer may bring the file back",
                time(Duration::from_secs(limits::TOMBSTONE_S))
            ),
        ),
        (
            "members that a dashboard lists",
            format!("{}; of a larger ring it estimates their number", limits::MAX_CENSUS),
        ),
        ("events that a dashboard keeps", count(state::MAX_EVENTS)),
        (
            "reading stored files again",
            format!("every {}, unless `--scrub-every` says otherwise", time(SCRUB)),
        ),
        (
            "links",
            format!(
                "{} that the node draws at random, {} by `connect`, {} that others ask for",
                links::RANDOM,
                links::MAX_CHOSEN,
                links::MAX_INCOMING
            ),
        ),
        (
            "a linked peer",
            format!(
                "is asked every {}; {} questions without an answer make it suspect, {} dead",
                time(links::PERIOD),
                links::SUSPECT,
                links::DEAD
            ),
        ),
        (
            "a peer that sent damaged pieces",
            format!(
                "is not used for {}, longer each time, {} at the most",
                time(reputation::SHUN),
                time(reputation::MAX_SHUN)
            ),
        ),
        (
            "a peer that was silent",
            format!(
                "{} times within {} is used last",
                reputation::TIMEOUTS_LAST,
                time(reputation::TIMEOUT_WINDOW)
            ),
        ),
        ("a sentence of `say`", format!("{} bytes", limits::MAX_SAY_BYTES)),
        ("a pattern", format!("{} bytes", limits::MAX_PATTERN_BYTES)),
        (
            "results of `find`",
            format!(
                "{}, {} of them from one node; an answer that was cut says so",
                count(limits::MAX_RESULTS),
                limits::MAX_RESULTS_PER_NODE
            ),
        ),
        (
            "shared files",
            format!(
                "the ring forgets one {} after it last heard from the node that shares it",
                time(Duration::from_secs(limits::PROVIDER_LIFETIME_S.into()))
            ),
        ),
        ("ports of a `scan`", count(limits::MAX_SCAN_PORTS)),
        (
            "peers of a registry",
            format!(
                "{}, {} of them of one host",
                count(registry::MAX_PEERS),
                registry::MAX_PEERS_PER_HOST
            ),
        ),
    ];
    let rows: Vec<_> = rows.into_iter().map(|(what, limit)| [what.to_owned(), limit]).collect();
    table(["what", "limit"], &rows)
}
