//! The programs that the benchmark runs: nodes of ours, and what people use
//! instead.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::measure::Running;

/// The program under test, built with this benchmark.
const PROGRAM: &str = env!("CARGO_BIN_EXE_chordal");

/// The swarm's program.
const SWARM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/transfer/swarm.py");

/// Time for a program to be ready.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A program, away from the settings and the nodes of whoever runs this.
pub(crate) fn command(program: &str, home: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CHORDAL_")) {
            command.env_remove(name);
        }
    }
    for name in ["XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
        command.env(name, home);
    }
    command.current_dir(home);
    command
}

/// One word of ours, carried out through a node.
pub(crate) fn chordal(home: &Path, words: &[&str], via: &str) -> Command {
    let mut command = command(PROGRAM, home);
    command.args(words).args(["--via", via]);
    command
}

/// Whether a program can be started.
pub(crate) fn has(program: &str) -> bool {
    let version = Command::new(program)
        .arg(if program == "nginx" { "-v" } else { "--version" })
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    version.is_ok_and(|status| status.success())
}

/// One node.
#[derive(Debug)]
pub(crate) struct Node {
    /// Where it listens.
    pub(crate) address: String,
    /// Its process.
    pub(crate) running: Running,
    /// Its memory when it had nothing to do, in bytes.
    pub(crate) rest: u64,
}

/// Three nodes that have found each other and are at rest.
pub(crate) fn ring(home: &Path) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for number in 0..3 {
        let mut node = command(PROGRAM, home);
        node.args(["127.0.0.1:0", "--headless", "--data-dir"])
            .arg(home.join(format!("data-{number}")))
            .stderr(Stdio::null());
        if let Some(first) = nodes.first() {
            node.args(["--join", &first.address]);
        }
        let (running, line) = ready(node);
        let address = line.split_whitespace().nth(2).expect("ready, id, address").to_owned();
        nodes.push(Node { address, running, rest: 0 });
    }
    let deadline = Instant::now() + START_LIMIT;
    let whole = || {
        let output = chordal(home, &["ring", "--json"], &nodes[0].address).output().ok()?;
        let ring: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        Some(ring["healthy"] == true && ring["members"].as_array()?.len() == 3)
    };
    while whole() != Some(true) {
        assert!(Instant::now() < deadline, "three nodes do not become a ring");
        thread::sleep(Duration::from_millis(100));
    }
    for node in &mut nodes {
        node.rest = node.running.resident();
    }
    nodes
}

/// Starts a program that says when it is ready, and what in the same line.
fn ready(mut command: Command) -> (Running, String) {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child: Child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut output = BufReader::new(child.stdout.take().expect("it was piped"));
    let mut line = String::new();
    let read = output.read_line(&mut line);
    let running = Running(child);
    assert!(read.is_ok() && line.starts_with("ready"), "{command:?} says {line:?}");
    // Its output stays open, or it would end with an error.
    thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
    (running, line)
}

/// nginx with sendfile in front of a directory.
#[derive(Debug)]
pub(crate) struct Nginx {
    /// Where its files are, without a name.
    pub(crate) url: String,
    running: Running,
}

impl Nginx {
    /// Starts it on a free port, which it cannot choose itself.
    pub(crate) fn start(home: &Path, root: &Path) -> Nginx {
        let own = home.join("nginx");
        std::fs::create_dir_all(&own).expect("a new directory");
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            let port = listener.local_addr().expect("bound").port();
            drop(listener);
            std::fs::write(own.join("conf"), configuration(&own, root, port)).expect("room");
            let mut nginx = command("nginx", home);
            nginx.arg("-p").arg(&own).arg("-c").arg(own.join("conf"));
            let child = nginx.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
            let mut running = Running(child.expect("nginx starts"));
            // Somebody else may have taken the port meanwhile: then it ends.
            while running.0.try_wait().is_ok_and(|ended| ended.is_none()) {
                if std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                    return Nginx { url: format!("http://127.0.0.1:{port}"), running };
                }
                assert!(Instant::now() < deadline, "nginx does not listen");
                thread::sleep(Duration::from_millis(20));
            }
            assert!(Instant::now() < deadline, "nginx does not start; see {}", own.display());
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // In order, so that its workers end with it.
        let pid = self.running.0.id().to_string();
        if Command::new("kill").args(["-TERM", &pid]).status().is_ok() {
            let _ = self.running.0.wait();
        }
    }
}

fn configuration(own: &Path, root: &Path, port: u16) -> String {
    let own = own.display();
    // Workers of a master that is root would be nobody, who may not read here.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    format!(
        "daemon off;
         {user}
         worker_processes 2;
         pid {own}/pid;
         error_log {own}/error.log;
         events {{ }}
         http {{
             access_log off;
             sendfile on;
             tcp_nopush on;
             client_body_temp_path {own}/body;
             proxy_temp_path {own}/proxy;
             fastcgi_temp_path {own}/fastcgi;
             uwsgi_temp_path {own}/uwsgi;
             scgi_temp_path {own}/scgi;
             server {{ listen 127.0.0.1:{port}; root {root}; }}
         }}
        ",
        root = root.display()
    )
}

/// A libtorrent swarm: three that have the file.
#[derive(Debug)]
pub(crate) struct Swarm {
    home: PathBuf,
    python: String,
    torrent: PathBuf,
    seeds: Vec<(Running, String)>,
}

impl Swarm {
    /// Whether Python knows libtorrent.
    pub(crate) fn is_there(python: &str) -> bool {
        let import = Command::new(python).args(["-c", "import libtorrent"]).output();
        import.is_ok_and(|output| output.status.success())
    }

    /// Starts the seeds of a file.
    pub(crate) fn start(home: &Path, python: &str, source: &Path) -> Swarm {
        let torrent = home.join("torrent");
        let mut swarm =
            Swarm { home: home.to_owned(), python: python.to_owned(), torrent, seeds: Vec::new() };
        let mut make = swarm.python("make");
        make.arg(source).arg(&swarm.torrent).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(make.status().is_ok_and(|status| status.success()), "no torrent can be made");
        for _ in 0..3 {
            let mut seed = swarm.python("seed");
            seed.arg(source.parent().expect("a file has a directory")).arg(&swarm.torrent);
            let (running, line) = ready(seed);
            let address = line.trim_start_matches("ready").trim().to_owned();
            swarm.seeds.push((running, address));
        }
        swarm
    }

    /// A program that fetches the file into a directory and says how many
    /// seconds it took.
    pub(crate) fn get(&self, directory: &Path) -> Command {
        let mut get = self.python("get");
        get.arg(directory).arg(&self.torrent);
        get.args(self.seeds.iter().map(|(_, address)| address));
        get
    }

    fn python(&self, word: &str) -> Command {
        let mut python = command(&self.python, &self.home);
        python.args(["-W", "ignore", SWARM, word]);
        python
    }
}
