//! The names below a directory on the ring: every member says what it stores
//! and shares there.
//!
//! A name that is stored has copies on several members, so that it is heard of
//! although some do not answer; those are named nevertheless.

use std::collections::BTreeMap;

use chordal_core::error::{CommandError, Fault, Reason};
use chordal_core::limits::MAX_PATTERN_BYTES;
use chordal_core::name::{FileName, first_bytes};
use chordal_core::peer::Peer;
use chordal_core::record::ContentHash;
use chordal_core::wire::mesh::FoundRow;
use chordal_core::wire::{Request, Response};

use super::super::ring_walk::{Each, Said, ask_all, neighbours_of, twice};
use crate::data::access::Access;
use crate::net::requests::unexpected;

/// Files that one `get` of a directory fetches at the most: their names are in
/// memory, a few hundred bytes each.
pub(super) const MAX_FILES: usize = 100_000;

/// Contents of one name that are told apart here; that there is more than one
/// is all that counts.
const MAX_CONTENTS: usize = 2;

/// A file below the directory: its different contents as the members have
/// them, at most [`MAX_CONTENTS`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listed(Vec<Content>);

/// One content, and the nodes that have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    /// Its hash.
    pub(super) root: ContentHash,
    /// Its bytes.
    pub(super) size: u64,
    /// Nodes that store it for the ring.
    pub(super) holders: Vec<Peer>,
    /// Nodes that share it.
    pub(super) sharers: Vec<Peer>,
}

impl Listed {
    fn hear(&mut self, row: &FoundRow) {
        let same = |known: &Content| (known.root, known.size) == (row.root, row.size);
        let at = self.0.iter().position(same).unwrap_or_else(|| {
            let (root, size) = (row.root, row.size);
            if self.0.len() < MAX_CONTENTS {
                self.0.push(Content { root, size, holders: Vec::new(), sharers: Vec::new() });
            }
            self.0.len() - 1
        });
        let content = &mut self.0[at];
        if !same(content) {
            return;
        }
        let nodes = if row.stored { &mut content.holders } else { &mut content.sharers };
        if !nodes.contains(&row.node) {
            nodes.push(row.node);
        }
    }

    /// The content, when there is only one.
    pub(super) fn only(&self) -> Option<&Content> {
        match self.0.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// Its bytes, by the first node that has it.
    pub(super) fn size(&self) -> u64 {
        self.0.first().map_or(0, |content| content.size)
    }
}

/// What the ring has below a directory.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// By name.
    pub(super) files: BTreeMap<FileName, Listed>,
    /// Members that answered.
    pub(super) members: usize,
    /// Members that did not.
    pub(super) silent: Vec<Peer>,
}

/// Asks every member for its files below a directory, following them from
/// member to member. `heard` is told how many files and members there are so
/// far.
///
/// # Errors
/// A sentence: the ring cannot be asked, or there are too many files.
pub(super) async fn below(
    access: &Access,
    directory: &FileName,
    heard: &(dyn Fn(usize, usize) + Sync),
) -> Result<Listing, CommandError> {
    let (mut files, mut members) = (BTreeMap::<FileName, Listed>::new(), 0);
    let asked = |access: Access, member| {
        let directory = directory.clone();
        async move { twice(|| ask(&access, member, &directory)).await }
    };
    // A host answers for all its positions.
    let silent = ask_all(access, Each::Host, asked, |_, said: Names| {
        members += 1;
        for (name, rows) in said {
            let listed = files.entry(name).or_default();
            rows.iter().for_each(|row| listed.hear(row));
        }
        if files.len() > MAX_FILES {
            let why = format!(
                "there are more than {MAX_FILES} files below {directory}/; get the directories \
                 in it one by one"
            );
            return Err(Reason::Limit.because(why));
        }
        heard(files.len(), members);
        Ok(())
    });
    let silent = silent.await?;
    Ok(Listing { files, members, silent })
}

/// What one member has below a directory.
type Names = BTreeMap<FileName, Vec<FoundRow>>;

async fn ask(
    access: &Access,
    member: Peer,
    directory: &FileName,
) -> Result<Said<Names>, CommandError> {
    let Some(neighbours) = neighbours_of(access, member).await? else { return Ok(None) };
    let mut files = Names::new();
    // All names below it come behind its own.
    let mut after = directory.clone();
    loop {
        let request = Request::Search { pattern: pattern(directory), after: Some(after.clone()) };
        let (rows, more) = match access.request(member.address(), request).await? {
            Response::Found { rows, more } => (rows, more),
            other => return Err(unexpected(member.address(), other)),
        };
        let last = rows.last().map(|row| row.name.clone());
        for row in rows {
            // It speaks for itself only.
            if row.node.address() == member.address() && is_below(&row.name, directory) {
                let rows = files.entry(row.name.clone()).or_default();
                if rows.len() < MAX_CONTENTS {
                    rows.push(row);
                }
            }
        }
        if files.len() > MAX_FILES {
            break;
        }
        match last.filter(|last| more && *last > after) {
            Some(last) => after = last,
            None if more => {
                return Err(CommandError::peer(member.address(), Fault::Endless));
            }
            None => break,
        }
    }
    Ok(Some((neighbours, files)))
}

/// Whether a name lies below a directory.
pub(super) fn is_below(name: &FileName, directory: &FileName) -> bool {
    let rest = name.as_str().strip_prefix(directory.as_str());
    rest.is_some_and(|rest| rest.starts_with('/'))
}

/// A pattern that matches all names below a directory; of a long one those
/// that begin like it as well.
fn pattern(directory: &FileName) -> String {
    let whole = format!("{directory}/*");
    if whole.len() <= MAX_PATTERN_BYTES {
        return whole;
    }
    format!("{}*", first_bytes(&whole, MAX_PATTERN_BYTES - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chordal_core::mesh::pattern::Pattern;

    fn name(text: &str) -> FileName {
        FileName::new(text).expect("a name")
    }

    fn row(node: u16, root: u8, stored: bool) -> FoundRow {
        let node = Peer::new(([127, 0, 0, 1], node).into(), 0);
        FoundRow { node, name: name("a/b"), root: ContentHash([root; 32]), size: 5, stored }
    }

    #[test]
    fn a_name_lies_below_a_directory_only_behind_a_slash() {
        assert!(is_below(&name("a/b"), &name("a")));
        assert!(is_below(&name("a/b/c"), &name("a/b")));
        for other in ["a", "ab", "ab/c", "A/b", "x/a/b"] {
            assert!(!is_below(&name(other), &name("a")), "{other}");
        }
    }

    #[test]
    fn the_pattern_of_a_directory_matches_all_below_it_however_long_its_name() {
        for directory in ["a".to_owned(), vec!["é".repeat(100); 3].join("/")] {
            let pattern = pattern(&name(&directory));
            assert!(pattern.len() <= MAX_PATTERN_BYTES);
            assert!(Pattern::new(&pattern).matches(&format!("{directory}/x")), "{pattern}");
        }
    }

    #[test]
    fn holders_and_sharers_of_one_content_are_told_apart_and_contents_as_well() {
        let listed = |rows: &[FoundRow]| {
            let mut listed = Listed::default();
            rows.iter().for_each(|row| listed.hear(row));
            let only = listed.only();
            only.map(|only| (only.root.0[0], only.holders.len(), only.sharers.len()))
        };
        let rows = [row(1, 7, true), row(2, 7, true), row(2, 7, true), row(2, 7, false)];
        assert_eq!(listed(&rows), Some((7, 2, 1)));
        assert_eq!(listed(&[row(1, 7, true), row(2, 8, true)]), None, "one is of old");
        assert_eq!(listed(&[row(1, 7, true), row(2, 8, false), row(3, 9, true)]), None);
        assert_eq!(listed(&[]), None);
    }
}
