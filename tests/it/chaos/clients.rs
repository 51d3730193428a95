//! Those who use the ring while it is shaken: each on its own, with names of its
//! own and some that all of them use, through whichever member is known to be
//! in. They use the code of `--via`, a new client for every command.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chordal::engine::TransferLimits;
use chordal::engine::client::{Client, Options};
use chordal::record::ContentHash;
use chordal::view::{Command, CommandError, Outcome, Reason};
use tokio::sync::RwLock;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::history::{Begun, History, Value};

/// Longest time for one command: more than a ring needs to close over dead
/// nodes; what is not answered by then is given up, as by a user.
const COMMAND: Duration = Duration::from_secs(15);

/// How long a reader tries again: longer than any repair of the ring.
const READ_PATIENCE: Duration = Duration::from_secs(12);

/// Pause before a reader tries again.
const AGAIN: Duration = Duration::from_millis(100);

/// Names of each client, names that all share, directories of each.
const OWN_NAMES: usize = 4;
const COMMON_NAMES: usize = 3;
const DIRECTORIES: usize = 2;

/// Files of a directory.
const IN_A_DIRECTORY: [&str; 3] = ["a", "b", "below/c"];

/// What the clients of a run share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) history: History,
    /// Members that are in and neither dead nor stopped.
    pub(crate) members: Mutex<Vec<SocketAddr>>,
    /// Held by whoever works; the conductor takes all of it when nobody is to.
    pub(crate) gate: RwLock<()>,
    /// What is shared from where it lies, by name.
    pub(crate) shared: Mutex<BTreeMap<String, (SocketAddr, ContentHash)>>,
    /// Cancelled at the end.
    pub(crate) over: CancellationToken,
}

/// One user.
pub(crate) struct User {
    world: Arc<World>,
    number: usize,
    random: fastrand::Rng,
    dir: PathBuf,
    /// Contents so far.
    made: usize,
}

/// How a look at a name ended.
enum Look {
    Saw(Value),
    Failed(String),
}

impl User {
    /// The user of this number, whose wishes follow from the seed and whose files
    /// are below `dir`.
    pub(crate) fn new(world: Arc<World>, number: usize, seed: u64, dir: PathBuf) -> User {
        let random = fastrand::Rng::with_seed(seed.wrapping_mul(1_000_003) ^ number as u64);
        std::fs::create_dir_all(&dir).expect("a directory below a temporary one");
        User { world, number, random, dir, made: 0 }
    }

    /// Works until the run is over.
    pub(crate) async fn work(mut self) {
        while !self.world.over.is_cancelled() {
            let world = Arc::clone(&self.world);
            {
                let _turn = world.gate.read().await;
                if world.over.is_cancelled() {
                    return;
                }
                self.something().await;
            }
            sleep(Duration::from_millis(self.random.u64(1..40))).await;
        }
    }

    async fn something(&mut self) {
        let name = if self.random.u32(0..4) == 0 {
            format!("common/{}", self.random.usize(0..COMMON_NAMES))
        } else {
            format!("user {}/{}", self.number, self.random.usize(0..OWN_NAMES))
        };
        if self.made < OWN_NAMES {
            // First there must be something.
            return self.put(&name).await;
        }
        match self.random.u32(0..100) {
            0..40 => self.put(&name).await,
            40..50 => self.remove(&name).await,
            50..54 => self.put_directory().await,
            54..58 => self.get_directory().await,
            58..63 => self.get_shared().await,
            63..94 => {
                let names = self.world.history.names();
                let name = self.random.choice(names).unwrap_or(name);
                self.get(&name).await;
            }
            _ => self.get(&name).await,
        }
    }

    /// A member to go through; one that is in.
    fn via(&mut self) -> Option<SocketAddr> {
        let members = self.world.members.lock().unwrap_or_else(PoisonError::into_inner);
        self.random.choice(members.iter().copied())
    }

    /// Runs a command to its end or until time is up.
    async fn run(&mut self, command: Command) -> Result<Outcome, CommandError> {
        let none = || Reason::TryAgain.because("no member is in");
        let via = self.via().ok_or_else(none)?;
        run(via, &self.dir, command).await
    }

    /// New content, mostly small.
    fn content(&mut self) -> Vec<u8> {
        let bytes = match self.random.u32(0..40) {
            0 => 0,
            1 => 1,
            2 => 1 << 20,
            3..6 => self.random.usize(64 << 10..600 << 10),
            6 => self.random.usize(1 << 20..5 << 19),
            _ => self.random.usize(2..40_000),
        };
        let mut content = vec![0; bytes];
        self.random.fill(&mut content);
        // Never twice the same, unless it has no bytes.
        let mark = format!("{} {} ", self.number, self.made);
        for (byte, mark) in content.iter_mut().zip(mark.bytes()) {
            *byte = mark;
        }
        self.made += 1;
        content
    }

    async fn put(&mut self, name: &str) {
        let content = self.content();
        let path = self.dir.join("put");
        std::fs::write(&path, &content).expect("room on the disk");
        let begun = self.world.history.begin(name, value(&content));
        let overwrite = self.random.u32(0..5) > 0;
        let put = Command::Put { path, name: Some(name.to_owned()), overwrite, min_copies: 1 };
        match self.run(put).await {
            Ok(Outcome::Stored { version, .. }) => {
                self.world.history.acknowledged(&begun, Some(version));
            }
            Ok(other) => self.world.history.wrong(format!("put ended as {other:?}")),
            Err(why) => self.world.history.failed(&begun, &why.to_string()),
        }
    }

    async fn remove(&mut self, name: &str) {
        let begun = self.world.history.begin(name, Value::Nothing);
        match self.run(Command::Rm { name: name.to_owned() }).await {
            Ok(Outcome::Removed { .. }) => self.world.history.acknowledged(&begun, None),
            Ok(other) => self.world.history.wrong(format!("rm ended as {other:?}")),
            Err(why) => self.world.history.failed(&begun, &why.to_string()),
        }
    }

    async fn get(&mut self, name: &str) {
        let start = Instant::now();
        let begun = self.world.history.now();
        loop {
            // Each look is judged by when it began itself.
            let look = self.world.history.now();
            match self.look(name).await {
                Look::Saw(seen) => {
                    let by = format!("user {}", self.number);
                    return self.world.history.read(name, look, seen, &by);
                }
                Look::Failed(why) if start.elapsed() >= READ_PATIENCE => {
                    return self.world.history.unread(name, begun, &why);
                }
                Look::Failed(why) => {
                    self.world.history.note(format_args!("{name} was not read: {why}"));
                    sleep(AGAIN).await;
                }
            }
        }
    }

    async fn look(&mut self, name: &str) -> Look {
        let to = self.dir.join("got");
        let _ = std::fs::remove_dir_all(&to);
        std::fs::create_dir_all(&to).expect("a directory below a temporary one");
        let path = to.join("file");
        let get = Command::Get { name: name.to_owned(), to: Some(path.clone()), no_reshare: true };
        match self.run(get).await {
            Ok(Outcome::Fetched { path, .. }) => {
                let left = std::fs::read_dir(&to).map_or(0, Iterator::count);
                if left != 1 {
                    self.world
                        .history
                        .wrong(format!("get {name} left {left} files in {}", to.display()));
                }
                Look::Saw(read(&path))
            }
            Ok(other) => Look::Failed(format!("get ended as {other:?}")),
            Err(why) if path.exists() => {
                self.world.history.wrong(format!("get {name} failed and left a file: {why}"));
                Look::Failed(why.to_string())
            }
            Err(why) if is_nothing(&why) => Look::Saw(Value::Nothing),
            Err(why) => Look::Failed(why.to_string()),
        }
    }

    async fn put_directory(&mut self) {
        let path = self.dir.join("directory");
        let _ = std::fs::remove_dir_all(&path);
        let name = format!("user {}/directory {}", self.number, self.random.usize(0..DIRECTORIES));
        let mut begun: Vec<Begun> = Vec::new();
        for file in IN_A_DIRECTORY {
            let content = self.content();
            let at = path.join(file);
            std::fs::create_dir_all(at.parent().expect("below")).expect("a directory");
            std::fs::write(at, &content).expect("room on the disk");
            let name = format!("{name}/{file}");
            begun.push(self.world.history.begin(&name, value(&content)));
        }
        let ended =
            self.run(Command::Put { path, name: Some(name), overwrite: true, min_copies: 1 }).await;
        for begun in &begun {
            let history = &self.world.history;
            match &ended {
                // Which file a line of a person's is about need not be guessed.
                Ok(Outcome::StoredAll { failed, .. }) if failed.is_empty() => {
                    history.acknowledged(begun, None);
                }
                Ok(Outcome::StoredAll { failed, .. }) => {
                    history.failed(begun, &format!("{failed:?}"));
                }
                Ok(other) => history.wrong(format!("put ended as {other:?}")),
                Err(why) => history.failed(begun, &why.to_string()),
            }
        }
    }

    /// What arrives of a directory must be right; what is missing is told.
    async fn get_directory(&mut self) {
        let name = format!("user {}/directory {}", self.number, self.random.usize(0..DIRECTORIES));
        let to = self.dir.join("got");
        let _ = std::fs::remove_dir_all(&to);
        std::fs::create_dir_all(&to).expect("a directory below a temporary one");
        let start = self.world.history.now();
        let get = Command::Get { name: format!("{name}/"), to: Some(to.clone()), no_reshare: true };
        match self.run(get).await {
            Ok(Outcome::FetchedAll { path, .. }) => {
                for file in IN_A_DIRECTORY {
                    let path = path.join(file);
                    if path.exists() {
                        let by = format!("user {} in its directory", self.number);
                        let name = format!("{name}/{file}");
                        self.world.history.read(&name, start, read(&path), &by);
                    }
                }
            }
            Ok(other) => self.world.history.wrong(format!("get ended as {other:?}")),
            Err(why) => self.world.history.note(format_args!("{name}/ was not fetched: {why}")),
        }
    }

    /// A shared file may not be found, but never has other bytes.
    async fn get_shared(&mut self) {
        let shared = self.world.shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some((name, (_, root))) = self.random.choice(shared) else { return };
        if let Look::Saw(seen @ Value::Content(other)) = self.look(&name).await
            && other != root
        {
            self.world.history.wrong(format!("the shared {name} was read as {seen:?}"));
        }
    }
}

/// Runs one command through a member.
pub(crate) async fn run(
    via: SocketAddr,
    dir: &Path,
    command: Command,
) -> Result<Outcome, CommandError> {
    let options = Options {
        via,
        download_dir: dir.to_owned(),
        transfers: TransferLimits::default(),
        wait: Duration::from_secs(30),
        interrupted: CancellationToken::new(),
    };
    let interrupted = options.interrupted.clone();
    let mut work = std::pin::pin!(async {
        let client = Client::connect(&options).await?;
        client.run(command).await
    });
    match timeout(COMMAND, &mut work).await {
        Ok(ended) => ended,
        Err(_) => {
            interrupted.cancel();
            work.await
        }
    }
}

/// The value of a content.
fn value(content: &[u8]) -> Value {
    Value::Content(ContentHash(*blake3::hash(content).as_bytes()))
}

/// The value of a file that was fetched.
pub(crate) fn read(path: &Path) -> Value {
    value(&std::fs::read(path).expect("a fetched file is there"))
}

/// Whether a `get` failed by saying that there is nothing under the name.
pub(crate) fn is_nothing(why: &CommandError) -> bool {
    why.reason() == Some(Reason::NotFound)
}
