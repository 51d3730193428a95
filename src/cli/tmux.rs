//! `chordal tmux N`: N panes, each this program with a node of its own, all
//! joined to the first, or with a pane of registries through which they find
//! each other. Nothing here is a node; tmux does the work.

use std::io::{self, ErrorKind, IsTerminal};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};

use super::args::TmuxArgs;
use super::failure::Failure;
use super::output::print;
use super::{address, seed};

use chordal_view::command::quote;

/// Stands for the window's id, which tmux tells once the window exists.
const WINDOW: &str = "$window";

/// Starts the panes, or prints how.
pub(super) fn run(args: &TmuxArgs) -> Result<(), Failure> {
    let program = std::env::current_exe().map_err(|error| {
        Failure::Failed(format!(
            "cannot find this program's own file: {error}; start it by its path"
        ))
    })?;
    let inside = std::env::var_os("TMUX").is_some();
    let script = script(args, &program, inside)?;
    if args.dry_run {
        return print(script.lines().as_bytes());
    }
    all_free(&script.registries, &script.nodes)?;
    let window = tmux(&script.open)?;
    for words in &script.rest {
        let words: Vec<_> = words.iter().map(|word| word.replace(WINDOW, &window)).collect();
        tmux(&words)?;
    }
    if inside {
        return Ok(());
    }
    if io::stdout().is_terminal() && io::stdin().is_terminal() {
        return attach(&script.attach);
    }
    print(format!("attach with: tmux {}\n", shell(&script.attach)).as_bytes())
}

/// The tmux commands, each as its words behind `tmux`.
#[derive(Debug, PartialEq, Eq)]
struct Script {
    /// Opens the window with the first node and prints the window's id.
    open: Vec<String>,
    /// Splits it for the others, then shows it.
    rest: Vec<Vec<String>>,
    /// Shows the session to a terminal outside tmux.
    attach: Vec<String>,
    /// Where the registries will listen.
    registries: Vec<SocketAddr>,
    /// Where the nodes will listen.
    nodes: Vec<SocketAddr>,
}

impl Script {
    /// As a shell would run it.
    fn lines(&self) -> String {
        let first = format!("window=$(tmux {})\n", shell(&self.open));
        let attach = Some(&self.attach).filter(|words| !words.is_empty());
        let others = self.rest.iter().chain(attach).map(|words| format!("tmux {}\n", shell(words)));
        std::iter::once(first).chain(others).collect()
    }
}

fn script(args: &TmuxArgs, program: &Path, inside: bool) -> Result<Script, Failure> {
    let last = u32::from(args.port) + u32::from(args.panes) - 1;
    if args.port == 0 || last > u32::from(u16::MAX) {
        return Err(Failure::Usage(format!(
            "ports {} to {last} do not all exist; choose a --port from 1 to {}",
            args.port,
            u32::from(u16::MAX) + 1 - u32::from(args.panes)
        )));
    }
    let registry = SocketAddr::new(address::DEFAULT.ip(), seed::DEFAULT_PORT);
    let seeds = seed::consecutive(registry, args.seeds)?;
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let node = |port: u16| {
        let mut node = vec![program.display().to_string(), format!("127.0.0.1:{port}")];
        for seed in &seeds {
            node.extend(["--seed".to_owned(), seed.to_string()]);
        }
        if seeds.is_empty() && port != args.port {
            node.extend(["--join".to_owned(), format!("127.0.0.1:{}", args.port)]);
        }
        node.extend(args.rest.iter().cloned());
        node
    };
    let print_id = ["-P", "-F", "#{window_id}"];
    let mut open = if inside {
        words(&["new-window", "-n", &args.session])
    } else {
        words(&["new-session", "-d", "-s", &args.session, "-n", "ring", "-x", "200", "-y", "50"])
    };
    open.extend(words(&print_id));
    let mut panes: Vec<Vec<String>> = (0..args.panes).map(|i| node(args.port + i)).collect();
    if !seeds.is_empty() {
        let count = seeds.len().to_string();
        let program = program.display().to_string();
        panes.insert(0, words(&[&program, "seed", &registry.to_string(), "--count", &count]));
    }
    let mut panes = panes.into_iter();
    open.extend(panes.next().unwrap_or_default());

    let mut rest = Vec::new();
    for pane in panes {
        let mut split = words(&["split-window", "-d", "-t", WINDOW]);
        split.extend(pane);
        rest.push(split);
        // After every split: tmux refuses to split what has become too small.
        rest.push(words(&["select-layout", "-t", WINDOW, "tiled"]));
    }
    let attach = if inside { Vec::new() } else { words(&["attach-session", "-t", &args.session]) };
    let nodes = (0..args.panes).map(|i| SocketAddr::new(registry.ip(), args.port + i)).collect();
    Ok(Script { open, rest, attach, registries: seeds, nodes })
}

/// Refuses addresses on which somebody listens: the pane of a program that
/// cannot listen is gone before anybody has read why.
fn all_free(registries: &[SocketAddr], nodes: &[SocketAddr]) -> Result<(), Failure> {
    let taken = |address: &&SocketAddr| {
        TcpListener::bind(address).is_err_and(|error| error.kind() == ErrorKind::AddrInUse)
    };
    if let Some(node) = nodes.iter().find(taken) {
        return Err(Failure::Failed(format!(
            "somebody listens on {node} already; attach to an earlier session with tmux attach, or \
             choose another --port and --session"
        )));
    }
    if let Some(registry) = registries.iter().find(taken) {
        return Err(Failure::Failed(format!(
            "somebody listens on {registry} already; if it is a registry, leave --seeds out and \
             end the command with: -- --seed {registry}"
        )));
    }
    Ok(())
}

/// Runs one tmux command and gives back what it printed.
fn tmux(words: &[String]) -> Result<String, Failure> {
    let output = Command::new("tmux").args(words).stdin(Stdio::null()).output().map_err(missing)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let remedy = if why.contains("duplicate session") {
        "; attach to it with tmux attach, or choose another --session and --port"
    } else {
        "; see the commands with --dry-run"
    };
    Err(Failure::Failed(format!("tmux {} failed: {why}{remedy}", words[0])))
}

fn attach(words: &[String]) -> Result<(), Failure> {
    let status = Command::new("tmux").args(words).status().map_err(missing)?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::Failed(format!("tmux could not attach; try: tmux {}", shell(words))))
}

fn missing(error: io::Error) -> Failure {
    if error.kind() == ErrorKind::NotFound {
        return Failure::Failed(
            "tmux is not installed; install it (apt install tmux, dnf install tmux, brew install \
             tmux), or run all nodes in one process: chordal lab"
                .to_owned(),
        );
    }
    Failure::Failed(format!("cannot run tmux: {error}; check that it works by itself"))
}

fn shell(words: &[String]) -> String {
    let word = |word: &String| match word.as_str() {
        WINDOW => format!("\"{WINDOW}\""),
        // A shell would take the rest of the line for a comment.
        word if word.starts_with('#') => format!("'{word}'"),
        word => quote(word),
    };
    words.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(panes: u16, port: u16) -> TmuxArgs {
        let session = "chordal".to_owned();
        let rest = vec!["--ascii".to_owned()];
        TmuxArgs { panes, port, seeds: 0, session, dry_run: true, rest }
    }

    fn lines(panes: u16, inside: bool) -> Vec<String> {
        let script = script(&args(panes, 2000), Path::new("/bin/chordal"), inside);
        script.expect("ports that exist").lines().lines().map(str::to_owned).collect()
    }

    #[test]
    fn every_pane_joins_the_first() {
        assert_eq!(
            lines(3, false),
            [
                "window=$(tmux new-session -d -s chordal -n ring -x 200 -y 50 -P -F \
                 '#{window_id}' /bin/chordal 127.0.0.1:2000 --ascii)",
                "tmux split-window -d -t \"$window\" /bin/chordal 127.0.0.1:2001 --join \
                 127.0.0.1:2000 --ascii",
                "tmux select-layout -t \"$window\" tiled",
                "tmux split-window -d -t \"$window\" /bin/chordal 127.0.0.1:2002 --join \
                 127.0.0.1:2000 --ascii",
                "tmux select-layout -t \"$window\" tiled",
                "tmux attach-session -t chordal",
            ]
        );
    }

    #[test]
    fn with_registries_the_nodes_find_each_other_through_them() {
        let args = TmuxArgs { seeds: 2, ..args(2, 2000) };
        let script = script(&args, Path::new("/bin/chordal"), false).expect("ports that exist");
        let lines: Vec<String> = script.lines().lines().map(str::to_owned).collect();
        assert!(lines[0].ends_with("/bin/chordal seed 127.0.0.1:5000 --count 2)"), "{}", lines[0]);
        for (line, port) in [(&lines[1], 2000), (&lines[3], 2001)] {
            let node = format!(
                "/bin/chordal 127.0.0.1:{port} --seed 127.0.0.1:5000 --seed 127.0.0.1:5001 --ascii"
            );
            assert!(line.ends_with(&node), "{line}");
        }
    }

    #[test]
    fn inside_tmux_a_new_window_is_split() {
        let lines = lines(2, true);
        assert!(lines[0].contains("new-window -n chordal"), "{}", lines[0]);
        assert!(lines.iter().all(|line| !line.contains("attach")));
    }

    #[test]
    fn a_port_on_which_somebody_listens_is_told_before_any_pane_opens() {
        let somebody = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let taken = [somebody.local_addr().expect("its address")];
        let why = |registries, nodes| match all_free(registries, nodes) {
            Err(Failure::Failed(why)) => why,
            other => panic!("{other:?}"),
        };
        assert!(why(&[], &taken).contains("choose another --port"));
        assert!(why(&taken, &[]).contains(&format!("-- --seed {}", taken[0])));
        drop(somebody);
        assert!(all_free(&taken, &taken).is_ok());
    }

    #[test]
    fn ports_beyond_the_last_are_wrong_usage() {
        for port in [0, 65_535] {
            let refused = script(&args(2, port), Path::new("/bin/chordal"), false);
            assert!(matches!(refused, Err(Failure::Usage(_))), "{port}");
        }
    }
}
