//! What a text means, `NAME` or `NAME@HASHPREFIX`: the contents of a name, on the ring or
//! at one peer.

use chordal_core::client::{Known, NamedContent};
use chordal_core::error::{CommandError, Reason};
use chordal_core::limits::MAX_PATTERN_BYTES;
use chordal_core::name::{FileName, first_bytes};
use chordal_core::peer::Peer;
use chordal_core::record::ContentHash;
use chordal_core::wire::{Request, Response};
use chordal_view::text::bytes as show_bytes;

use super::files::file_name;
use super::locate;
use super::missing;
use super::ring_walk::{Each, ask_all, neighbours_of};
use crate::data::access::Access;
use crate::data::reputation::Conduct;
use crate::net::client_connections;
use crate::net::requests::unexpected;

/// Pages of a peer's answer that are read in search of a name: a peer that has
/// so many names alike would be asked forever.
const MAX_PAGES: usize = 64;

/// Contents that an error names.
const NAMED_AT_MOST: usize = 8;

/// Contents that a name lost and that are told apart.
const MAX_LOST: usize = 48;

/// What a text chose.
pub(crate) enum Chosen {
    /// This one; and all contents that the name has.
    One(FileName, NamedContent, Vec<ContentHash>),
    Several(FileName, Vec<NamedContent>),
}

/// The name and the beginning of a hash in `NAME@HASHPREFIX`. A name may have
/// an `@` of its own, so the caller looks for the whole text, too.
fn parts(text: &str) -> Option<(FileName, String)> {
    let (name, prefix) = text.rsplit_once('@')?;
    let is_prefix =
        (1..=64).contains(&prefix.len()) && prefix.chars().all(|c| c.is_ascii_hexdigit());
    let name = FileName::new(name).ok().filter(|_| is_prefix)?;
    Some((name, prefix.to_ascii_lowercase()))
}

/// The contents whose hash begins so.
fn beginning(contents: &[NamedContent], prefix: &str) -> Vec<NamedContent> {
    let begins = |content: &&NamedContent| content.root.to_string().starts_with(prefix);
    contents.iter().filter(begins).cloned().collect()
}

/// What those of the contents of a name mean that begin with a hash.
fn choose(name: FileName, found: &[NamedContent], prefix: &str) -> Option<Chosen> {
    let mut contents = beginning(found, prefix);
    match contents.len() {
        0 => None,
        1 => contents.pop().map(|content| {
            Chosen::One(name, content, found.iter().map(|known| known.root).collect())
        }),
        _ => Some(Chosen::Several(name, contents)),
    }
}

/// What a text means among the contents that `contents` finds for a name.
async fn meant<F, M>(
    text: &str,
    contents: impl Fn(FileName) -> F,
    missing: impl FnOnce(String) -> M,
) -> Result<Chosen, CommandError>
where
    F: Future<Output = Result<Vec<NamedContent>, CommandError>>,
    M: Future<Output = CommandError>,
{
    let mut others = None;
    if let Some((name, prefix)) = parts(text) {
        let found = contents(name.clone()).await?;
        if let Some(chosen) = choose(name.clone(), &found, &prefix) {
            return Ok(chosen);
        }
        others = Some((name, prefix, found)).filter(|(.., found)| !found.is_empty());
    }
    let whole = match file_name(text) {
        Ok(name) => choose(name.clone(), &contents(name).await?, ""),
        // Too long for a name, perhaps, with the hash.
        Err(_) if others.is_some() => None,
        Err(why) => return Err(why),
    };
    match (whole, others) {
        (Some(chosen), _) => Ok(chosen),
        (None, None) => Err(missing(text.to_owned()).await),
        (None, Some((name, prefix, found))) => {
            let row = |content: &NamedContent| {
                format!("{} ({})", content.root.short(), show_bytes(content.size))
            };
            let rows: Vec<_> = found.iter().take(NAMED_AT_MOST).map(row).collect();
            Err(Reason::NotFound.because(format!(
                "no content of {name} has a hash that begins with {prefix}; there is {}",
                rows.join(", ")
            )))
        }
    }
}

/// Finds what a text means on the ring.
pub(crate) async fn find(access: &Access, text: &str) -> Result<Chosen, CommandError> {
    let contents = async |name: FileName| contents(access, &name).await;
    match meant(text, contents, async |name| missing::why(access, &name).await).await {
        Err(why) => {
            let Some((name, prefix)) = parts(text) else { return Err(why) };
            let lost = trashed(access, &name).await;
            choose(name, &lost, &prefix).ok_or(why)
        }
        chosen => chosen,
    }
}

/// The contents that lost to a newer version of a name and that some node still has.
async fn trashed(access: &Access, name: &FileName) -> Vec<NamedContent> {
    let mut lost: Vec<NamedContent> = Vec::new();
    let asked = |access: Access, member: Peer| {
        let request = Request::Trashed { name: name.clone() };
        async move {
            let Some(neighbours) = neighbours_of(&access, member).await? else { return Ok(None) };
            match access.request(member.address(), request).await? {
                Response::Trashed { contents } => Ok(Some((neighbours, contents))),
                other => Err(unexpected(member.address(), other)),
            }
        }
    };
    let heard = |member, contents: Vec<_>| {
        for (root, size) in contents {
            match lost.iter().position(|known| (known.root, known.size) == (root, size)) {
                Some(at) => lost[at].sources.push(member),
                None if lost.len() < MAX_LOST => {
                    let sources = vec![member];
                    lost.push(NamedContent { root, size, stored: false, version: None, sources });
                }
                None => {}
            }
        }
        Ok(())
    };
    // A node that does not answer may have one; nothing is promised of these.
    let _ = ask_all(access, Each::Host, asked, heard).await;
    lost
}

/// The contents of a name. Who lies about them is noted.
async fn contents(access: &Access, name: &FileName) -> Result<Vec<NamedContent>, CommandError> {
    let known = locate::locate(access, name).await?;
    Ok(contents_of(access, name, &known))
}

pub(crate) fn contents_of(access: &Access, name: &FileName, known: &Known) -> Vec<NamedContent> {
    let (mut contents, liars) = known.contents();
    if let Access::Inside(data) = access {
        // While it becomes a holder this node is named and has not got the bytes.
        let me = data.net.me().me;
        for content in &mut contents {
            let root = &content.root;
            let has_it = data.store.holds(root) || data.shares.manifest(root).is_some();
            content.sources.retain(|peer| has_it || *peer != me);
        }
    }
    let fetcher = access.fetcher(name.as_str());
    for (liar, why) in liars {
        fetcher.reputations.saw(liar.address(), &Conduct::Lied(why));
    }
    contents
}

/// Finds what a text means among the files of one peer.
pub(crate) async fn ask_one(peer: Peer, text: &str) -> Result<Chosen, CommandError> {
    let contents = async |name: FileName| contents_at(peer, &name).await;
    let missing =
        async |name| Reason::NotFound.because(format!("{name} not found on {}", peer.address()));
    meant(text, contents, missing).await
}

/// The contents that one peer has under a name.
pub(crate) async fn contents_at(
    peer: Peer,
    name: &FileName,
) -> Result<Vec<NamedContent>, CommandError> {
    let mut contents: Vec<NamedContent> = Vec::new();
    let mut after: Option<FileName> = None;
    for _ in 0..MAX_PAGES {
        let request = Request::Search { pattern: pattern_for(name), after: after.clone() };
        let (rows, more) = match client_connections::ask(peer.address(), request).await? {
            Response::Found { rows, more } => (rows, more),
            other => return Err(unexpected(peer.address(), other)),
        };
        let last = rows.last().map(|row| row.name.clone());
        for row in rows.into_iter().filter(|row| row.name == *name) {
            let (root, size, stored) = (row.root, row.size, row.stored);
            if !contents.iter().any(|known| known.root == root) {
                let (version, sources) = (None, vec![peer]);
                contents.push(NamedContent { root, size, stored, version, sources });
            }
        }
        // The rows come in the order of their names.
        let past = last.as_ref().is_none_or(|last| last > name);
        if !more || past || last <= after {
            break;
        }
        after = last;
    }
    Ok(contents)
}

/// A pattern that matches a name, and not many others: as much of it as a
/// pattern may be long. No name has a `*` or a `?`.
fn pattern_for(name: &FileName) -> String {
    first_bytes(name.as_str(), MAX_PATTERN_BYTES).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(byte: u8) -> NamedContent {
        let root = ContentHash([byte; 32]);
        NamedContent { root, size: 5, stored: false, version: None, sources: Vec::new() }
    }

    /// What a text means where `names` exist, each with these contents: the
    /// name and the first bytes of the hashes, or the error.
    async fn meaning(
        text: &str,
        names: &[(&str, &[u8])],
    ) -> Result<(String, Vec<u8>), CommandError> {
        let contents = async |name: FileName| {
            let known = names.iter().find(|(known, _)| *known == name.as_str());
            Ok(known
                .map_or_else(Vec::new, |(_, bytes)| bytes.iter().map(|b| content(*b)).collect()))
        };
        let first = |contents: &[NamedContent]| contents.iter().map(|c| c.root.0[0]).collect();
        match meant(text, contents, async |name| CommandError::Usage(format!("no {name}"))).await? {
            Chosen::One(name, content, _) => Ok((name.to_string(), first(&[content]))),
            Chosen::Several(name, contents) => Ok((name.to_string(), first(&contents))),
        }
    }

    #[tokio::test]
    async fn a_hash_prefix_chooses_and_a_name_may_have_an_at_sign_of_its_own() {
        let names: &[(&str, &[u8])] =
            &[("one", &[0xAB]), ("two", &[0xAB, 0xAC]), ("me@cafe", &[1]), ("two@ab", &[9])];
        for (text, name, contents) in [
            ("one", "one", vec![0xAB]),
            ("two", "two", vec![0xAB, 0xAC]),
            ("two@AC", "two", vec![0xAC]),
            ("two@a", "two", vec![0xAB, 0xAC]),
            ("me@cafe", "me@cafe", vec![1]),
            ("me@cafe@01", "me@cafe", vec![1]),
            // Both are there: the content of the part before wins.
            ("two@ab", "two", vec![0xAB]),
        ] {
            assert_eq!(meaning(text, names).await, Ok((name.to_owned(), contents)), "{text}");
        }
        for (text, why) in [
            ("three", "no three"),
            ("three@ab", "no three@ab"),
            ("one@xyz", "no one@xyz"),
            ("one@", "no one@"),
        ] {
            assert_eq!(
                meaning(text, names).await,
                Err(CommandError::Usage(why.to_owned())),
                "{text}"
            );
        }
        let why = meaning("one@cd", names).await.expect_err("it begins otherwise");
        assert_eq!(
            why.to_string(),
            "no content of one has a hash that begins with cd; there is abababab (5 B)"
        );
        assert!(meaning("../x", names).await.is_err());
    }

    #[test]
    fn a_pattern_for_a_name_matches_it_and_fits() {
        let long = "ä".repeat(127);
        for name in ["SkyShip.jpg", &format!("x{long}/{long}/{long}")] {
            let name = FileName::new(name).expect("a name");
            let pattern = pattern_for(&name);
            assert!(pattern.len() <= MAX_PATTERN_BYTES, "{name}");
            assert!(
                chordal_core::mesh::pattern::Pattern::new(&pattern).matches(name.as_str()),
                "{name}"
            );
        }
        assert!(FileName::new("a*b").is_err() && FileName::new("a?b").is_err());
    }
}
