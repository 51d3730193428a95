//! A network of real nodes that can be cut, slowed and silenced.
//!
//! Every node of a [`Network`] listens at an address that nobody is told, and
//! advertises another one: a door of the network, which forwards what comes
//! byte for byte. The greeting with which every connection begins says who
//! dials, so the network knows both ends of each connection, and each ordered
//! pair of nodes has a [`Link`] of its own: what becomes of the bytes from the
//! one to the other. What changes, changes for connections that are open too.
//!
//! Who dials and is no node (a command with `--via`, a registry) is *outside*
//! and reaches everybody, unless it runs within [`Network::at`]: then it sits at
//! that node, on its side of every cut.
//!
//! A door takes connections in before it knows who dials, as a cable cannot:
//! what would be "connection refused" elsewhere is here a connection that is
//! reset after its greeting, and what would be no answer at all is one whose
//! greeting stays unanswered.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as BlockingListener};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chordal::wire::codec;
use chordal::wire::handshake::{Hello, PREAMBLE_BYTES, Purpose, check_preamble};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::process::{NodeProcess, Program, free_address, has_a_place_of_its_own, loopback};

/// Bytes carried at once.
const STEP_BYTES: usize = 64 * 1024;

/// Steps on their way in one direction of a connection: 1 MiB, as much as the
/// buffers of a network of some length hold.
const STEPS: usize = 16;

/// A slow link carries its bytes in so many parts a second, so that they come
/// evenly and a change is noticed soon.
const PARTS_PER_SECOND: u64 = 50;

/// Time for a greeting; whoever says nothing is no node.
const GREETING_LIMIT: Duration = Duration::from_secs(10);

/// What becomes of the bytes from one node to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    /// Whether they arrive at all.
    pub(crate) fate: Fate,
    /// How long they are on their way.
    pub(crate) delay: Duration,
    /// How many a second at the most, over all connections together.
    pub(crate) rate: Option<u64>,
    /// What becomes of connections for files' bytes alone, as behind a firewall
    /// that lets only messages pass. [`Fate::Silent`] is about new ones.
    pub(crate) data: Fate,
    /// What becomes of messages alone.
    pub(crate) messages: Fate,
}

/// Whether bytes arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fate {
    /// They do.
    #[default]
    Passes,
    /// They wait, and so does the end of the connection: neither side is told
    /// anything. New connections are not made. With [`Fate::Passes`] the bytes
    /// go on, as a network repeats what it has lost.
    Silent,
    /// Connections of the two, whoever dialled, are reset, and new ones too.
    Refused,
}

impl Link {
    /// Whether the bytes of an open connection pass, for files' bytes or for messages.
    fn carries(self, data: bool) -> bool {
        self.fate == Fate::Passes && (data || self.messages == Fate::Passes)
    }

    /// Nothing goes through, and nobody is told.
    pub(crate) const SILENT: Link = Link { fate: Fate::Silent, ..Link::PASSES };
    /// Nothing goes through, and everybody is told.
    pub(crate) const REFUSED: Link = Link { fate: Fate::Refused, ..Link::PASSES };
    /// Messages go through, and connections for bytes are refused.
    pub(crate) const NO_DATA: Link = Link { data: Fate::Refused, ..Link::PASSES };
    /// Messages go through, and connections for bytes are not answered.
    pub(crate) const SILENT_DATA: Link = Link { data: Fate::Silent, ..Link::PASSES };

    /// Connections for bytes go on, and messages wait.
    pub(crate) const SILENT_MESSAGES: Link = Link { messages: Fate::Silent, ..Link::PASSES };

    const PASSES: Link = Link {
        fate: Fate::Passes,
        delay: Duration::ZERO,
        rate: None,
        data: Fate::Passes,
        messages: Fate::Passes,
    };
}

/// Nodes with doors, and the links between them. The doors close when it is
/// dropped, and every connection with them.
#[derive(Debug)]
pub(crate) struct Network {
    state: watch::Sender<State>,
    /// Held while a command sits at a node: one at a time.
    console: Mutex<()>,
    runtime: Option<Runtime>,
}

/// From whom to whom.
type Pair = (SocketAddr, SocketAddr);

#[derive(Debug, Default)]
struct State {
    /// What is not as usual.
    links: BTreeMap<Pair, Link>,
    /// When a slow link has carried what it was given.
    busy: BTreeMap<Pair, Instant>,
    /// Bytes carried so far.
    carried: BTreeMap<Pair, u64>,
    /// Open connections.
    open: BTreeMap<u64, Open>,
    /// The number of the next connection.
    next: u64,
    /// Where those sit who are no nodes.
    seat: Option<SocketAddr>,
}

/// An open connection of two nodes.
#[derive(Debug)]
struct Open {
    /// Who dialled whom.
    pair: Pair,
    /// Whether it is for files' bytes.
    data: bool,
    /// Resets it.
    reset: CancellationToken,
}

impl State {
    fn link(&self, from: Option<SocketAddr>, to: Option<SocketAddr>) -> Link {
        from.zip(to).and_then(|pair| self.links.get(&pair)).copied().unwrap_or_default()
    }

    /// What a connection may expect that the first has made to the second.
    fn fate(&self, dialler: &Dialler, to: SocketAddr) -> Fate {
        let (from, to) = (dialler.address, Some(to));
        let of = |link: Link| [link.fate, if dialler.data { link.data } else { link.messages }];
        let fates = [of(self.link(from, to)), of(self.link(to, from))].concat();
        let worst = [Fate::Refused, Fate::Silent].into_iter().find(|fate| fates.contains(fate));
        worst.unwrap_or_default()
    }

    fn reset(&self, which: impl Fn(&Open) -> bool) {
        self.open.values().filter(|open| which(open)).for_each(|open| open.reset.cancel());
    }
}

impl Network {
    /// A network without nodes, in which everything passes.
    pub(crate) fn new() -> Network {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("threads can be started");
        let state = watch::Sender::new(State::default());
        Network { state, console: Mutex::new(()), runtime: Some(runtime) }
    }

    /// Starts a node behind a door of its own. Its `address` is the door's, and
    /// stays so over restarts.
    pub(crate) fn node(&self, arguments: &[&str]) -> NodeProcess {
        self.node_as(Program::Chordal, arguments)
    }

    /// [`Network::node`] as one of these programs.
    pub(crate) fn node_as(&self, program: Program, arguments: &[&str]) -> NodeProcess {
        let listen = free_address();
        NodeProcess::start_behind_as(program, listen, self.door(listen), arguments)
    }

    /// Opens a door in front of an address and says where it is.
    pub(crate) fn door(&self, behind: SocketAddr) -> SocketAddr {
        let (listener, door) = loop {
            let listener = BlockingListener::bind((loopback(), 0))
                .or_else(|_| BlockingListener::bind((Ipv4Addr::LOCALHOST, 0)))
                .expect("the loopback network has free ports");
            let door = listener.local_addr().expect("a bound listener has an address");
            if has_a_place_of_its_own(door) {
                break (listener, door);
            }
        };
        listener.set_nonblocking(true).expect("a listener may be polled");
        let runtime = self.runtime.as_ref().expect("there until it is dropped");
        let _entered = runtime.enter();
        let listener = TcpListener::from_std(listener).expect("a listener may be polled");
        let state = self.state.clone();
        runtime.spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => {
                        tokio::spawn(forward(state.clone(), stream, door, behind));
                    }
                    // Out of file handles: others may be closed soon.
                    Err(_) => sleep(Duration::from_millis(50)).await,
                }
            }
        });
        door
    }

    /// Sets what becomes of the bytes from one node to another.
    pub(crate) fn set_one_way(&self, from: SocketAddr, to: SocketAddr, link: Link) {
        self.set_all([(from, to)], link);
    }

    /// Sets both ways between two nodes.
    pub(crate) fn set(&self, one: SocketAddr, other: SocketAddr, link: Link) {
        self.set_all([(one, other), (other, one)], link);
    }

    /// Sets every way between nodes of different groups, at one moment; what
    /// is within a group stays as it is.
    pub(crate) fn part(&self, groups: &[&[SocketAddr]], link: Link) {
        let mut pairs = Vec::new();
        for (at, group) in groups.iter().enumerate() {
            let others = groups.iter().enumerate().filter(|(other, _)| *other != at);
            for to in others.flat_map(|(_, other)| other.iter()) {
                pairs.extend(group.iter().map(|from| (*from, *to)));
            }
        }
        self.set_all(pairs, link);
    }

    /// Everything passes again, at one moment.
    pub(crate) fn heal(&self) {
        self.state.send_modify(|state| {
            state.links.clear();
            state.busy.clear();
        });
    }

    /// Resets the open connections of two nodes once; new ones are made.
    pub(crate) fn cut(&self, one: SocketAddr, other: SocketAddr) {
        self.state.send_modify(|state| state.reset(|open| is_between(open.pair, one, other)));
    }

    /// Bytes that went from one node to another so far.
    pub(crate) fn carried(&self, from: SocketAddr, to: SocketAddr) -> u64 {
        self.state.borrow().carried.get(&(from, to)).copied().unwrap_or_default()
    }

    /// Open connections between two nodes.
    pub(crate) fn open(&self, one: SocketAddr, other: SocketAddr) -> usize {
        let state = self.state.borrow();
        state.open.values().filter(|open| is_between(open.pair, one, other)).count()
    }

    /// Runs commands that sit at a node: whoever is no node and dials meanwhile
    /// has that node's links. One at a time; a second waits.
    pub(crate) fn at<T>(&self, node: SocketAddr, act: impl FnOnce() -> T) -> T {
        let _console = self.console.lock().unwrap_or_else(PoisonError::into_inner);
        self.state.send_modify(|state| state.seat = Some(node));
        // Also when a command's failure ends the test.
        let _up = GetUp(&self.state);
        act()
    }

    fn set_all(&self, pairs: impl IntoIterator<Item = Pair>, link: Link) {
        self.state.send_modify(|state| {
            for (from, to) in pairs {
                if link == Link::default() {
                    state.links.remove(&(from, to));
                } else {
                    state.links.insert((from, to), link);
                }
                state.busy.remove(&(from, to));
                let refused = link.fate == Fate::Refused;
                let data = link.data == Fate::Refused;
                state.reset(|open| {
                    is_between(open.pair, from, to) && (refused || data && open.data)
                });
            }
        });
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Also from within another runtime, which must not block.
            runtime.shutdown_background();
        }
    }
}

fn is_between(pair: Pair, one: SocketAddr, other: SocketAddr) -> bool {
    pair == (one, other) || pair == (other, one)
}

struct GetUp<'a>(&'a watch::Sender<State>);

impl Drop for GetUp<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|state| state.seat = None);
    }
}

/// A connection in the state's list, until it is dropped.
struct Listed {
    state: watch::Sender<State>,
    number: u64,
    reset: CancellationToken,
}

impl Listed {
    /// Lists a connection, unless its two ends are refused to each other: they
    /// cannot come to be so between the look and the listing.
    fn new(state: &watch::Sender<State>, dialler: &Dialler, to: SocketAddr) -> Option<Self> {
        let mut listed = None;
        state.send_if_modified(|now| {
            if now.fate(dialler, to) != Fate::Refused {
                let (number, reset) = (now.next, CancellationToken::new());
                now.next += 1;
                // Nothing resets what comes from outside.
                if let Some(from) = dialler.address {
                    let (pair, data, reset) = ((from, to), dialler.data, reset.clone());
                    now.open.insert(number, Open { pair, data, reset });
                }
                listed = Some(Listed { state: state.clone(), number, reset });
            }
            false
        });
        listed
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.state.send_if_modified(|state| {
            state.open.remove(&self.number);
            false
        });
    }
}

/// One connection, from its greeting to its end.
async fn forward(
    state: watch::Sender<State>,
    mut near: TcpStream,
    to: SocketAddr,
    behind: SocketAddr,
) {
    let seat = state.borrow().seat;
    let (first, named) = greeting(&mut near).await;
    let from = named.address.or(seat);
    let dialler = Dialler { address: from, ..named };
    let Some(listed) = Listed::new(&state, &dialler, to) else { return reset(&near) };
    let _ = near.set_nodelay(true);
    tokio::select! {
        () = listed.reset.cancelled() => return reset(&near),
        // It gave up before there was a connection: the other side never hears
        // of it.
        () = gone(&near) => return,
        () = reachable(&state, &dialler, to) => {}
    }
    let Ok(mut far) = TcpStream::connect(behind).await else { return reset(&near) };
    let _ = far.set_nodelay(true);
    let whole = async {
        let (near_in, near_out) = near.split();
        let (far_in, far_out) = far.split();
        tokio::try_join!(
            carry(&state, (from, Some(to), dialler.data), first, near_in, far_out),
            carry(&state, (Some(to), from, dialler.data), Vec::new(), far_in, near_out),
        )
    };
    let ended = tokio::select! {
        () = listed.reset.cancelled() => Err(io::ErrorKind::ConnectionReset.into()),
        ended = whole => ended,
    };
    if ended.is_err() {
        reset(&near);
        reset(&far);
    }
}

/// Who made a connection, as its greeting says.
#[derive(Clone, Copy, Debug, Default)]
struct Dialler {
    /// Which node; `None`: somebody outside.
    address: Option<SocketAddr>,
    /// Whether for files' bytes.
    data: bool,
}

/// The first bytes of a connection, and who they say has dialled. Whatever is no
/// greeting is bytes like others.
async fn greeting(stream: &mut TcpStream) -> (Vec<u8>, Dialler) {
    let mut bytes = Vec::new();
    let reading = async {
        let preamble = more(stream, &mut bytes, PREAMBLE_BYTES).await?;
        check_preamble(preamble.try_into().ok()?).ok()?;
        let prefix = more(stream, &mut bytes, codec::PREFIX_BYTES).await?;
        let length = codec::frame_length(prefix.try_into().ok()?).ok()?;
        let body = more(stream, &mut bytes, length).await?;
        let hello = codec::decode::<Hello>(body).ok()?;
        Some(Dialler { address: hello.address, data: hello.purpose == Purpose::Data })
    };
    let named = timeout(GREETING_LIMIT, reading).await.ok().flatten();
    (bytes, named.unwrap_or_default())
}

/// Reads so many bytes more; what came stays even when not all of them do.
async fn more<'a>(
    stream: &mut TcpStream,
    bytes: &'a mut Vec<u8>,
    count: usize,
) -> Option<&'a [u8]> {
    let start = bytes.len();
    while bytes.len() < start + count {
        let left = (start + count - bytes.len()) as u64;
        if (&mut *stream).take(left).read_buf(bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(&bytes[start..])
}

/// Waits until bytes pass in both directions: before, no connection is made.
async fn reachable(state: &watch::Sender<State>, dialler: &Dialler, to: SocketAddr) {
    let passes = |state: &State| state.fate(dialler, to) == Fate::Passes;
    // The sender is this task's own: it is not gone.
    let _ = state.subscribe().wait_for(passes).await;
}

/// Waits until the other side has closed. One that has said more than its
/// greeting is believed to be there.
async fn gone(stream: &TcpStream) {
    if matches!(stream.peek(&mut [0]).await, Ok(1..)) {
        std::future::pending::<()>().await;
    }
}

/// What one direction of a connection has on its way.
enum Step {
    Bytes(Vec<u8>),
    /// In order.
    End,
    /// The sender's side broke.
    Broken,
}

/// From whom to whom, and whether files' bytes.
type Way = (Option<SocketAddr>, Option<SocketAddr>, bool);

/// Carries one direction to its end. An error is a break that has arrived at
/// the receiver.
async fn carry(
    state: &watch::Sender<State>,
    way: Way,
    first: Vec<u8>,
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
) -> io::Result<()> {
    let (steps, mut arriving) = mpsc::channel(STEPS);
    let taking = async move {
        let mut step = Step::Bytes(first);
        loop {
            let last = !matches!(step, Step::Bytes(_));
            if steps.send((Instant::now(), step)).await.is_err() || last {
                return Ok(());
            }
            let mut bytes = vec![0; STEP_BYTES];
            step = match from.read(&mut bytes).await {
                Ok(0) => Step::End,
                Ok(read) => {
                    bytes.truncate(read);
                    Step::Bytes(bytes)
                }
                Err(_) => Step::Broken,
            };
        }
    };
    let giving = async move {
        let mut links = state.subscribe();
        let mut taken = true;
        while let Some((sent, step)) = arriving.recv().await {
            travelled(&mut links, way, Some(sent)).await;
            match step {
                // Whoever does not take them will say so in the other
                // direction, where it may be kept silent.
                Step::Bytes(bytes) if taken => {
                    taken = give(state, &mut links, way, &bytes, &mut to).await.is_ok();
                }
                Step::Bytes(_) => {}
                Step::End => {
                    let _ = to.shutdown().await;
                    return Ok(());
                }
                Step::Broken => break,
            }
        }
        Err(io::ErrorKind::ConnectionReset.into())
    };
    tokio::try_join!(taking, giving).map(|_: ((), ())| ())
}

/// Waits until bytes pass, and until those that were sent then have arrived.
async fn travelled(links: &mut watch::Receiver<State>, way: Way, sent: Option<Instant>) {
    loop {
        let link = links.borrow_and_update().link(way.0, way.1);
        let arrives = sent.map_or_else(Instant::now, |sent| sent + link.delay);
        tokio::select! {
            _ = links.changed() => {}
            () = sleep_until(arrives), if link.carries(way.2) => return,
        }
    }
}

/// Writes bytes at the speed of the link.
async fn give(
    state: &watch::Sender<State>,
    links: &mut watch::Receiver<State>,
    way: Way,
    mut bytes: &[u8],
    to: &mut WriteHalf<'_>,
) -> io::Result<()> {
    let pair = way.0.zip(way.1);
    while !bytes.is_empty() {
        let rate = links.borrow_and_update().link(way.0, way.1).rate;
        let part = rate.map_or(STEP_BYTES as u64, |rate| (rate / PARTS_PER_SECOND).max(1));
        let (part, rest) = bytes.split_at(bytes.len().min(part as usize));
        let mut free = Instant::now();
        state.send_if_modified(|state| {
            if let Some((pair, rate)) = pair.zip(rate) {
                // Each part waits for those before it, of all connections.
                let needs = Duration::from_secs_f64(part.len() as f64 / rate as f64);
                let busy = state.busy.entry(pair).or_insert(free);
                free = free.max(*busy) + needs;
                *busy = free;
            }
            false
        });
        sleep_until(free).await;
        travelled(links, way, None).await;
        to.write_all(part).await?;
        state.send_if_modified(|state| {
            if let Some(pair) = pair {
                *state.carried.entry(pair).or_default() += part.len() as u64;
            }
            false
        });
        bytes = rest;
    }
    Ok(())
}

/// Has the connection end with a reset when it is dropped, not in order.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::thread;

    use crate::attack::stranger;
    use crate::process::{DEADLINE, eventually};

    use super::*;

    /// Something behind a door that sends back what it gets.
    fn echo(network: &Network) -> SocketAddr {
        let listener = BlockingListener::bind((loopback(), 0)).expect("a free port");
        let door = network.door(listener.local_addr().expect("bound"));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                thread::spawn(move || {
                    let mut from = stream.try_clone().expect("a second handle");
                    let _ = io::copy(&mut from, &mut &stream);
                });
            }
        });
        door
    }

    /// A greeting's bytes, as a node says them that is reached at an address.
    fn hello(from: SocketAddr) -> Vec<u8> {
        hello_for(Purpose::Member, from)
    }

    fn hello_for(purpose: Purpose, from: SocketAddr) -> Vec<u8> {
        let hello = Hello { address: Some(from), ..stranger(purpose) };
        hello.to_bytes().expect("it fits")
    }

    /// A connection that has said a greeting and heard it back.
    fn dial(door: SocketAddr, from: SocketAddr) -> io::Result<TcpStream> {
        dial_for(Purpose::Member, door, from)
    }

    fn dial_for(purpose: Purpose, door: SocketAddr, from: SocketAddr) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(door)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        let hello = hello_for(purpose, from);
        assert_eq!(said(&mut stream, &hello)?, hello);
        Ok(stream)
    }

    /// What comes back for some bytes.
    fn said(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<Vec<u8>> {
        stream.write_all(bytes)?;
        let mut back = vec![0; bytes.len()];
        stream.read_exact(&mut back)?;
        Ok(back)
    }

    fn ended(result: io::Result<usize>) -> bool {
        match result {
            Ok(read) => read == 0,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    #[test]
    fn every_byte_passes_also_of_those_who_do_not_greet() {
        let network = Network::new();
        let (door, from) = (echo(&network), free_address());
        let mut random = fastrand::Rng::with_seed(1);
        let bytes: Vec<u8> = (0..3 * STEP_BYTES + 7).map(|_| random.u8(..)).collect();
        let mut known = dial(door, from).expect("a connection");
        assert_eq!(said(&mut known, &bytes).expect("an echo"), bytes);
        eventually("both ways are counted", || {
            let counted = [network.carried(from, door), network.carried(door, from)];
            let all = (hello(from).len() + bytes.len()) as u64;
            if counted == [all; 2] { Ok(()) } else { Err(format!("{counted:?}")) }
        });
        let mut unknown = TcpStream::connect(door).expect("a connection");
        assert_eq!(said(&mut unknown, b"GET / HTTP/1.1\r\n\r\n").expect("an echo").len(), 18);
        // The end comes through as well.
        known.shutdown(std::net::Shutdown::Write).expect("open");
        assert_eq!(known.read(&mut [0]).expect("in order"), 0);
        eventually("the connection is forgotten", || match network.open(from, door) {
            0 => Ok(()),
            open => Err(format!("{open} open")),
        });
    }

    #[test]
    fn two_who_are_refused_to_each_other_are_cut_and_others_are_not() {
        let network = Network::new();
        let (door, one, other) = (echo(&network), free_address(), free_address());
        let mut cut = dial(door, one).expect("a connection");
        let mut kept = dial(door, other).expect("a connection");
        assert_eq!(network.open(door, one), 1);
        network.part(&[&[one], &[door, other]], Link::REFUSED);
        assert!(ended(cut.read(&mut [0])));
        let mut again = TcpStream::connect(door).expect("a door is open");
        again.write_all(&hello(one)).expect("a door is open");
        assert!(ended(again.read(&mut [0])));
        assert_eq!(said(&mut kept, b"still there").expect("an echo"), b"still there");
        network.heal();
        let mut new = dial(door, one).expect("a connection");
        // Once, without a rule.
        network.cut(one, door);
        assert!(ended(new.read(&mut [0])));
        dial(door, one).expect("a connection");
    }

    #[test]
    fn messages_pass_where_connections_for_bytes_are_refused() {
        let network = Network::new();
        let (door, one) = (echo(&network), free_address());
        let mut messages = dial(door, one).expect("a connection");
        let mut data = dial_for(Purpose::Data, door, one).expect("a connection");
        network.set(one, door, Link::NO_DATA);
        assert!(ended(data.read(&mut [0])));
        assert!(dial_for(Purpose::Data, door, one).is_err());
        assert_eq!(said(&mut messages, b"still there").expect("an echo"), b"still there");
        dial(door, one).expect("a connection");
        network.set(one, door, Link::SILENT_DATA);
        let mut silent = TcpStream::connect(door).expect("a door is open");
        silent.write_all(&hello_for(Purpose::Data, one)).expect("nothing says that it is not");
        silent.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
        assert!(silent.read(&mut [0]).is_err());
        network.heal();
        dial_for(Purpose::Data, door, one).expect("a connection");
    }

    #[test]
    fn silence_tells_nobody_anything_and_what_was_said_comes_later() {
        let network = Network::new();
        let (door, one) = (echo(&network), free_address());
        let mut open = dial(door, one).expect("a connection");
        // Bytes are counted a moment after they have arrived.
        let before = hello(one).len() as u64;
        eventually("the greeting is counted", || {
            let carried = (network.carried(one, door), network.carried(door, one));
            if carried == (before, before) { Ok(()) } else { Err(format!("{carried:?}")) }
        });
        network.set_one_way(door, one, Link::SILENT);
        open.write_all(b"are you there?").expect("nothing says that it is not");
        eventually("it hears the question", || {
            let heard = network.carried(one, door);
            if heard == before + 14 {
                Ok(())
            } else {
                Err(format!("{heard} of {before} + 14 bytes"))
            }
        });
        let mut new = TcpStream::connect(door).expect("a door is open");
        new.write_all(&hello(one)).expect("nothing says that it is not");
        for silent in [&mut open, &mut new] {
            silent.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
            let error = silent.read(&mut [0]).expect_err("silence");
            assert!(matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut));
            silent.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        }
        assert_eq!(network.carried(door, one), before);
        network.heal();
        let mut answer = [0; 14];
        open.read_exact(&mut answer).expect("the answer comes");
        assert_eq!(&answer, b"are you there?");
        let mut greeting = vec![0; hello(one).len()];
        new.read_exact(&mut greeting).expect("the connection is made");
        assert_eq!(greeting, hello(one));
    }

    #[test]
    fn a_long_and_narrow_way_takes_its_time() {
        let network = Network::new();
        let (door, one) = (echo(&network), free_address());
        let mut stream = dial(door, one).expect("a connection");
        let delay = Duration::from_millis(60);
        network.set(one, door, Link { delay, ..Link::default() });
        let began = std::time::Instant::now();
        said(&mut stream, b"there and back").expect("an echo");
        assert!(began.elapsed() >= 2 * delay);
        // A tenth of a second for one way; two connections share it.
        network.set(one, door, Link::default());
        network.set_one_way(one, door, Link { rate: Some(1 << 20), ..Link::default() });
        let mut second = dial(door, one).expect("a connection");
        let began = std::time::Instant::now();
        let bytes = vec![7; (1 << 20) / 20];
        thread::scope(|scope| {
            for stream in [&mut stream, &mut second] {
                scope.spawn(|| assert_eq!(said(stream, &bytes).expect("an echo"), bytes));
            }
        });
        assert!(began.elapsed() >= Duration::from_millis(95));
    }

    #[test]
    fn a_command_sits_where_it_is_told_to_and_else_reaches_everybody() {
        let network = Network::new();
        let (door, far) = (echo(&network), free_address());
        network.set(far, door, Link::REFUSED);
        let ask = || {
            let mut stream = TcpStream::connect(door).expect("a door is open");
            stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
            let hello = stranger(Purpose::Client).to_bytes().expect("it fits");
            said(&mut stream, &hello).is_ok()
        };
        assert!(ask());
        assert!(!network.at(far, ask));
        assert!(network.at(door, ask));
        assert!(ask());
    }
}
