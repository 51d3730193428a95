//! All files of a ring, collected from what each of its members holds.

use std::collections::{BTreeMap, BTreeSet};

use chordal_core::id::Space;
use chordal_core::mesh::pattern::Pattern;
use chordal_core::name::FileName;
use chordal_core::peer::Peer;
use chordal_core::wire::query::HeldFile;

use super::outcome::{Outcome, RingFile};
use super::{FileRow, Role};

/// The newest version of each file with its holders.
#[derive(Debug)]
pub struct RingFiles {
    space: Space,
    /// What was asked for.
    pattern: Option<String>,
    chosen: Pattern,
    newest: BTreeMap<FileName, RingFile>,
    /// Names that the pattern does not choose.
    others: BTreeSet<FileName>,
}

impl RingFiles {
    /// Files that one list may have: a bound on memory (about 300 MiB with ordinary names),
    /// and on the patience with a node that lists without end.
    pub const MAX: usize = 1 << 20;

    /// No files yet. Only those are listed that the pattern matches, if there is one.
    pub fn new(space: Space, pattern: Option<&str>) -> RingFiles {
        RingFiles {
            space,
            pattern: pattern.map(str::to_owned),
            chosen: Pattern::new(pattern.unwrap_or_default()),
            newest: BTreeMap::new(),
            others: BTreeSet::new(),
        }
    }

    /// Adds what a member holds. Returns false if there are more files than
    /// [`RingFiles::MAX`].
    pub fn add(&mut self, member: Peer, held: &[HeldFile]) -> bool {
        for held in held {
            if !self.chosen.matches(held.record.name.as_str()) {
                if self.others.len() < RingFiles::MAX {
                    self.others.insert(held.record.name.clone());
                }
                continue;
            }
            let file = FileRow::held(held, self.space);
            match self.newest.get_mut(&file.name) {
                Some(known) if known.file.version == file.version => {
                    known.holders.push(member);
                    if file.role == Role::Owner {
                        known.file = file;
                    }
                }
                Some(known) if known.file.version > file.version => {}
                _ => {
                    let row = RingFile { file, holders: vec![member] };
                    self.newest.insert(row.file.name.clone(), row);
                }
            }
        }
        self.newest.len() <= RingFiles::MAX
    }

    /// The files with fewer holders than `wanted`.
    pub fn below(&self, wanted: usize) -> impl Iterator<Item = &FileRow> {
        let below = self.newest.values().filter(move |row| row.holders.len() < wanted);
        below.map(|row| &row.file)
    }

    /// The list without the files that were `removed`. `silent` members did not answer.
    pub fn finish(self, removed: &BTreeSet<FileName>, silent: Vec<Peer>) -> Outcome {
        let space = self.space;
        let count = |mut row: RingFile| {
            // What was counted now is newer than what the owner has heard.
            row.file.copies = u8::try_from(row.holders.len()).unwrap_or(u8::MAX);
            row.holders.sort_by_key(|peer| (peer.id(space), *peer));
            row
        };
        let rows = self.newest.into_values().filter(|row| !removed.contains(&row.file.name));
        let files: Vec<RingFile> = rows.map(count).collect();
        let of = self.pattern.map(|pattern| (pattern, files.len() + self.others.len()));
        Outcome::RingFiles { files, of, silent, space }
    }
}
