//! Why a `get` finds nothing: names that are like it, that it was removed, or
//! nodes that would have it and do not answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::timeout;

use chordal_core::chord::placement::{hosts, placement};
use chordal_core::error::{CommandError, Reason};
use chordal_core::limits::MAX_PATTERN_BYTES;
use chordal_core::name::FileName;
use chordal_core::peer::Peer;
use chordal_core::record::Version;
use chordal_core::wire::{Request, Response};
use chordal_view::Outcome;
use chordal_view::command::distance;
use chordal_view::outcome::Outvoted;
use chordal_view::text::quoted;

use super::locate;
use super::ring_walk::members_of;
use crate::data::access::Access;

/// How long names are looked for that are like a missing one: a person waits.
const LOOK: Duration = Duration::from_millis(800);

/// Members that are asked for their names: their neighbours have copies of
/// most.
const ASKED: usize = 16;

/// Names that are compared, at the most.
const MAX_NAMES: usize = 20_000;

/// Names that are offered instead.
const OFFERED: usize = 3;

/// Nodes that are gone and may have had a file, as many as are named.
const NAMED_GONE: usize = 5;

/// How long a node may take to show that it lives.
const ALIVE: Duration = Duration::from_secs(1);

/// Why there is nothing under a name: one sentence.
pub(crate) async fn why(access: &Access, text: &str) -> CommandError {
    let Ok(name) = FileName::new(text) else {
        return Reason::NotFound.because(format!("no file named {} is on the ring", quoted(text)));
    };
    if locate::is_removed(access, &name).await {
        return removed_error(&name);
    }
    let members = members_of(access).await.unwrap_or_default();
    let hosts = hosts(&members);
    let (names, absent) =
        tokio::join!(names(access, &hosts, &name), vanished_members(access, &members));
    let below = format!("{name}/");
    if names.iter().any(|other| other.as_str().starts_with(&below)) {
        let why = format!(
            "no file named {name} is on the ring, but there are files below {below}; get {below} \
             fetches them"
        );
        return Reason::NotFound.because(why);
    }
    let gone = vanished_holders(access, &name, &members, &absent);
    Reason::NotFound.because(unknown_name(&name, &gone, &similar_names(&name, &names)))
}

fn removed_error(name: &FileName) -> CommandError {
    Reason::NotFound
        .because(format!("{name} was removed from the ring; whoever still has it can put it again"))
}

/// No node knows a name: names that are like it first, since most names are missed
/// because they are mistyped, then members that it would be at and that vanished.
fn unknown_name(name: &FileName, gone: &[Peer], like: &[&str]) -> String {
    let mut why = format!("no file named {name} is on the ring");
    if !like.is_empty() {
        let like: Vec<_> = like.iter().map(|name| quoted(name)).collect();
        let _ = write!(why, "; did you mean {}?", like.join(" or "));
    }
    if !gone.is_empty() {
        let (gone, do_not) = (listed(gone), if gone.len() == 1 { "does not" } else { "do not" });
        let but = if like.is_empty() { ", but" } else { " If not," };
        let _ = write!(
            why,
            "{but} {gone}, where it would be, {do_not} answer: start {gone} again, then get {name} \
             again"
        );
    } else if like.is_empty() {
        why.push_str("; find PATTERN looks for names like it");
    }
    why
}

/// Why a file that the ring has a record of could not be fetched;
/// `why`: the reason of each source.
pub(crate) async fn undelivered(
    access: &Access,
    name: &FileName,
    sources: &[Peer],
    why: &str,
) -> CommandError {
    if locate::is_removed(access, name).await {
        return removed_error(name);
    }
    let mut asked = JoinSet::new();
    for source in sources.iter().copied() {
        let access = access.clone();
        asked.spawn(async move {
            let answer = timeout(ALIVE, access.request(source.address(), Request::Info)).await;
            (source, matches!(answer, Ok(Ok(_))))
        });
    }
    let answers: Vec<(Peer, bool)> = asked.join_all().await;
    let mut silent: Vec<Peer> =
        answers.iter().filter(|(_, lives)| !lives).map(|(peer, _)| *peer).collect();
    if silent.is_empty() {
        // A node that had it may be gone for so long that none names it.
        let members = members_of(access).await.unwrap_or_default();
        silent = vanished_members(access, &members).await;
        silent.retain(|peer| !sources.contains(peer));
        silent.truncate(NAMED_GONE);
    }
    silent.sort_by_key(|peer| (peer.address(), peer.index()));
    let why = match silent.len() {
        0 => format!("{name} is recorded on the ring but nobody could deliver it: {why}"),
        some if some == sources.len() && sources.iter().all(|peer| silent.contains(peer)) => {
            format!(
                "{name} is recorded on the ring, but no node that has it answers; start {} again, \
             then get {name} again",
                listed(&silent)
            )
        }
        _ => format!(
            "{name} is recorded on the ring but nobody could deliver it: {why}; start {} again, \
             which may have it",
            listed(&silent)
        ),
    };
    Reason::NoSource.because(why)
}

fn listed(peers: &[Peer]) -> String {
    let all: Vec<_> = peers.iter().map(|peer| peer.address().to_string()).collect();
    match all.as_slice() {
        [rest @ .., last] if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        all => all.join(""),
    }
}

/// Those that were members a while ago, as far as the node at hand knows, and
/// vanished without a word.
async fn vanished_members(access: &Access, members: &[Peer]) -> Vec<Peer> {
    let answer = access.request(access.member().address(), Request::Absent).await;
    let Ok(Response::Absent { peers }) = answer else { return Vec::new() };
    peers.into_iter().filter(|peer| !members.contains(peer)).collect()
}

/// Which of those that are gone a file of this name would be at.
fn vanished_holders(
    access: &Access,
    name: &FileName,
    members: &[Peer],
    absent: &[Peer],
) -> Vec<Peer> {
    let space = access.space();
    let mut all: Vec<Peer> = members.iter().chain(absent).copied().collect();
    all.sort_by_key(|peer| (peer.id(space), *peer));
    all.dedup();
    let mut at = placement(space, name.key(space), &all, access.params().replicas);
    at.retain(|peer| absent.contains(peer));
    at.sort_by_key(|peer| (peer.address(), peer.index()));
    at
}

/// Adds to a put what may beat it: of a name that was new to its owner most of the
/// nodes that may hold an older version do not answer. One of them that does would have
/// brought it to the owner's notice.
pub(crate) async fn doubted(access: &Access, mut stored: Outcome) -> Outcome {
    if let Outcome::Stored { name, version, already, silent, likely, .. } = &mut stored
        && let Some(doubt) = Doubts::new(access).of(name, *version, *already).await
    {
        (*silent, *likely) = (doubt.silent, doubt.likely);
    }
    stored
}

/// What may beat the files of one put. Of many files, the members are looked up once in
/// a while and not for each.
#[derive(Debug)]
pub(crate) struct Doubts {
    access: Access,
    seen: Mutex<Option<Seen>>,
}

/// The members, and those that vanished, as they were at a moment.
#[derive(Clone, Debug)]
struct Seen {
    at: Instant,
    members: Arc<[Peer]>,
    absent: Arc<[Peer]>,
    /// Whether those of them that were asked are silent.
    asked: Arc<Mutex<BTreeMap<Peer, bool>>>,
}

/// For so long what was seen of the members serves the files of a put.
const SEEN: Duration = Duration::from_secs(2);

impl Doubts {
    pub(crate) fn new(access: &Access) -> Doubts {
        Doubts { access: access.clone(), seen: Mutex::default() }
    }

    /// The nodes that may hold an older version of what was stored and do not answer, if these
    /// are most of those that may.
    pub(crate) async fn of(
        &self,
        name: &FileName,
        version: Version,
        already: bool,
    ) -> Option<Outvoted> {
        if already || version.counter != 1 {
            return None;
        }
        let Seen { members, absent, asked, .. } = self.seen().await;
        if absent.is_empty() {
            return None;
        }
        let gone = vanished_holders(&self.access, name, &members, &absent);
        let all = members.len() + absent.len();
        let at = all.min(usize::from(self.access.params().replicas));
        if gone.len() * 2 <= at {
            return None;
        }
        let locked = || asked.lock();
        let new: Vec<Peer> = {
            let known = locked();
            gone.iter().copied().filter(|peer| !known.contains_key(peer)).collect()
        };
        let silent = silent_of(&self.access, new.clone()).await;
        let mut known = locked();
        known.extend(new.into_iter().map(|peer| (peer, silent.contains(&peer))));
        let silent: Vec<Peer> = gone.into_iter().filter(|peer| known[peer]).collect();
        let likely = u8::try_from(at).unwrap_or(u8::MAX);
        (silent.len() * 2 > at).then(|| Outvoted { name: name.clone(), silent, likely })
    }

    async fn seen(&self) -> Seen {
        let known = self.seen.lock().clone();
        if let Some(seen) = known.filter(|seen| seen.at.elapsed() < SEEN) {
            return seen;
        }
        let members = members_of(&self.access).await.unwrap_or_default();
        let absent = vanished_members(&self.access, &members).await.into();
        let (at, asked) = (Instant::now(), Arc::default());
        let seen = Seen { at, members: members.into(), absent, asked };
        *self.seen.lock() = Some(seen.clone());
        seen
    }
}

/// Those that do not answer.
async fn silent_of(access: &Access, peers: Vec<Peer>) -> Vec<Peer> {
    let mut asked = JoinSet::new();
    for peer in peers {
        let access = access.clone();
        asked.spawn(async move {
            let answer = timeout(ALIVE, access.request(peer.address(), Request::Info)).await;
            (!matches!(answer, Ok(Ok(_)))).then_some(peer)
        });
    }
    asked.join_all().await.into_iter().flatten().collect()
}

/// Names on the ring, as many as are heard of in time: those that hold the
/// missing one first.
async fn names(access: &Access, members: &[Peer], name: &FileName) -> BTreeSet<FileName> {
    let heard = Arc::new(Mutex::new(BTreeSet::new()));
    let mut asked = JoinSet::new();
    for member in members.iter().copied().take(ASKED) {
        let (access, name, heard) = (access.clone(), name.clone(), Arc::clone(&heard));
        asked.spawn(async move {
            let word: String = name.last().chars().take(MAX_PATTERN_BYTES / 4).collect();
            for pattern in [word, String::new()] {
                listen(&access, member, &pattern, &heard).await;
            }
        });
    }
    let all = async { while asked.join_next().await.is_some() {} };
    // What was heard until then is compared.
    let _ = timeout(LOOK, all).await;
    let mut heard = heard.lock();
    std::mem::take(&mut *heard)
}

/// Hears all names of one member that match.
async fn listen(access: &Access, member: Peer, pattern: &str, heard: &Mutex<BTreeSet<FileName>>) {
    let mut after: Option<FileName> = None;
    loop {
        let request = Request::Search { pattern: pattern.to_owned(), after: after.clone() };
        let answer = access.request(member.address(), request).await;
        let Ok(Response::Found { rows, more }) = answer else { return };
        let last = rows.last().map(|row| row.name.clone());
        {
            let mut heard = heard.lock();
            heard.extend(rows.into_iter().map(|row| row.name));
            if heard.len() > MAX_NAMES {
                return;
            }
        }
        if !more || last <= after {
            return;
        }
        after = last;
    }
}

/// The names that the user may have meant, the likeliest first.
fn similar_names<'a>(wanted: &FileName, names: &'a BTreeSet<FileName>) -> Vec<&'a str> {
    let mut ranked: Vec<(usize, &str)> = names
        .iter()
        .filter_map(|name| Some((rank(wanted.as_str(), name.as_str())?, name.as_str())))
        .collect();
    ranked.sort_unstable();
    ranked.into_iter().take(OFFERED).map(|(_, name)| name).collect()
}

/// How far a name is from the one that was asked for; `None`: too far.
fn rank(wanted: &str, name: &str) -> Option<usize> {
    let (wanted, name) = (wanted.to_lowercase(), name.to_lowercase());
    if wanted == name {
        return Some(0);
    }
    fn last(text: &str) -> &str {
        text.rsplit('/').next().unwrap_or(text)
    }
    if last(&wanted) == last(&name) {
        return Some(1);
    }
    if let Some(steps) = steps(&wanted, &name) {
        return Some(1 + steps);
    }
    if let Some(steps) = steps(last(&wanted), last(&name)) {
        return Some(3 + steps);
    }
    let stem = |text: &str| {
        let (stem, _) = text.rsplit_once('.').unwrap_or((text, ""));
        stem.to_owned()
    };
    if stem(&wanted).len() >= LEAST_ALIKE && stem(&wanted) == stem(&name) {
        return Some(6);
    }
    let (short, long) = if wanted.len() < name.len() { (&wanted, &name) } else { (&name, &wanted) };
    (short.len() >= LEAST_ALIKE && long.contains(short.as_str())).then_some(7)
}

/// Characters that two names have in common at the least to be alike.
const LEAST_ALIKE: usize = 3;

/// Mistakes of typing between two texts; `None`: more than two, or than a third
/// of what was typed.
fn steps(wanted: &str, name: &str) -> Option<usize> {
    let most = (wanted.chars().count() / 3).min(2);
    let (a, b): (Vec<char>, Vec<char>) = (wanted.chars().collect(), name.chars().collect());
    if a.len().abs_diff(b.len()) > most {
        return None;
    }
    // What is the same at both ends changes nothing, and most is.
    let start = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[start..], &b[start..]);
    let end = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[..a.len() - end], &b[..b.len() - end]);
    if a.len().max(b.len()) > DIFFERENT_AT_MOST {
        return None;
    }
    let (a, b): (String, String) = (a.iter().collect(), b.iter().collect());
    Some(distance(&a, &b)).filter(|steps| *steps <= most)
}

/// Characters between the first and the last difference that are compared.
const DIFFERENT_AT_MOST: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(wanted: &str, names: &[&str]) -> Vec<String> {
        let name = |text: &str| FileName::new(text).expect("a name");
        let names = names.iter().map(|text| name(text)).collect();
        similar_names(&name(wanted), &names).into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn a_mistyped_name_is_known_again() {
        let names = ["SkyShip.jpg", "skyline.jpg", "holiday/SkyShop.jpg", "readme.txt"];
        assert_eq!(offered("SkySihp.jpg", &names)[0], "SkyShip.jpg");
        assert_eq!(offered("skyship.jpg", &names)[0], "SkyShip.jpg");
        assert_eq!(offered("SkyShip.png", &names), ["SkyShip.jpg"]);
        assert_eq!(offered("SkyShop.jpg", &names), ["holiday/SkyShop.jpg", "SkyShip.jpg"]);
        assert_eq!(offered("readme", &names), ["readme.txt"]);
        assert_eq!(offered("xyzzy", &names), [""; 0]);
        assert_eq!(offered("a", &["b"]), [""; 0], "short names are not all alike");
    }

    #[test]
    fn long_names_are_compared_where_they_differ() {
        let long = |middle: &str| format!("{}{middle}{}", "a/".repeat(20), "b".repeat(200));
        assert_eq!(offered(&long("xy"), &[&long("yx")]), [long("yx")]);
        assert_eq!(offered(&"a".repeat(250), &[&"b".repeat(250)]), [""; 0]);
    }

    fn peer(port: u16) -> Peer {
        Peer::new(([127, 0, 0, 1], port).into(), 0)
    }

    #[test]
    fn names_that_are_alike_are_offered_before_members_that_vanished_are_named() {
        let name = FileName::new("film.mkv").expect("a name");
        assert_eq!(
            unknown_name(&name, &[peer(1)], &["film.mp4"]),
            "no file named film.mkv is on the ring; did you mean 'film.mp4'? If not, 127.0.0.1:1, \
             where it would be, does not answer: start 127.0.0.1:1 again, then get film.mkv again"
        );
        assert_eq!(
            unknown_name(&name, &[], &["film.mp4", "a.mkv"]),
            "no file named film.mkv is on the ring; did you mean 'film.mp4' or 'a.mkv'?"
        );
        let two = unknown_name(&name, &[peer(1), peer(2)], &[]);
        assert!(two.contains("127.0.0.1:1 and 127.0.0.1:2, where it would be, do not"), "{two}");
        assert!(unknown_name(&name, &[], &[]).ends_with("; find PATTERN looks for names like it"));
    }

    #[test]
    fn nodes_are_listed_as_a_sentence_does() {
        assert_eq!(listed(&[peer(1)]), "127.0.0.1:1");
        assert_eq!(
            listed(&[peer(1), peer(2), peer(3)]),
            "127.0.0.1:1, 127.0.0.1:2 and 127.0.0.1:3"
        );
    }
}
