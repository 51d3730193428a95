//! The files of a node as the panels show them, and what is said of all of them
//! together: counted once when they change, not for every frame.

use std::ops::Deref;

use serde::{Deserialize, Serialize};

use super::{CopyHealth, FileRow, Role};

/// The files that a node holds for the ring and those shared from it, in the
/// order of their rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<FileRow>", into = "Vec<FileRow>")]
pub struct Files {
    rows: Vec<FileRow>,
    bytes: u64,
    kept: usize,
    unwell: Unwell,
}

/// Files with too few copies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unwell {
    /// Copies are being made.
    pub repairing: usize,
    /// Copies are missing, and no node has room for them.
    pub needs_room: usize,
    /// There is one copy, and more are wanted.
    pub at_risk: usize,
}

impl Unwell {
    /// All of them.
    pub const fn total(&self) -> usize {
        self.repairing + self.needs_room + self.at_risk
    }
}

impl Files {
    /// The bytes of all of them.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Those that are held here for the ring; shared ones are their user's.
    pub const fn kept(&self) -> usize {
        self.kept
    }

    /// The number of files held here with too few copies, by how safe they are. Files
    /// whose copies are still being counted are left out.
    pub const fn unwell(&self) -> Unwell {
        self.unwell
    }
}

impl From<Vec<FileRow>> for Files {
    fn from(rows: Vec<FileRow>) -> Files {
        let (mut bytes, mut kept, mut unwell) = (0u64, 0, Unwell::default());
        for row in &rows {
            bytes = bytes.saturating_add(row.size);
            kept += usize::from(row.role != Role::Shared);
            match row.health() {
                Some(CopyHealth::Repairing) => unwell.repairing += 1,
                Some(CopyHealth::NeedsRoom) => unwell.needs_room += 1,
                Some(CopyHealth::AtRisk) => unwell.at_risk += 1,
                Some(CopyHealth::Ok | CopyHealth::Counting) | None => {}
            }
        }
        Files { rows, bytes, kept, unwell }
    }
}

impl From<Files> for Vec<FileRow> {
    fn from(files: Files) -> Vec<FileRow> {
        files.rows
    }
}

impl Deref for Files {
    type Target = [FileRow];

    fn deref(&self) -> &[FileRow] {
        &self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chordal_core::id::Space;
    use chordal_core::name::FileName;
    use chordal_core::record::{ContentHash, CopyCount, Version};

    fn row(role: Role, copies: u8, count: CopyCount) -> FileRow {
        let name = FileName::new("a").expect("a name");
        let key = name.key(Space::default());
        let version = Version { counter: 1, root: ContentHash([1; 32]) };
        FileRow { name, key, size: 10, version, role, copies, wanted: 3, count }
    }

    #[test]
    fn files_are_counted_when_they_are_listed_and_again_when_they_are_read_back() {
        use CopyCount::{Counting, Known, NoRoom};
        let files = Files::from(vec![
            row(Role::Owner, 3, Known),
            row(Role::Owner, 2, Known),
            row(Role::Replica, 2, NoRoom),
            row(Role::Replica, 1, Known),
            row(Role::Owner, 1, NoRoom),
            row(Role::Owner, 2, Counting),
            row(Role::Shared, 1, Known),
        ]);
        assert_eq!((files.len(), files.kept(), files.bytes()), (7, 6, 70));
        assert_eq!(files.unwell(), Unwell { repairing: 1, needs_room: 1, at_risk: 2 });
        let json = serde_json::to_string(&files).expect("they can be written");
        assert!(json.starts_with("[{"), "as a plain list: {json}");
        assert_eq!(serde_json::from_str::<Files>(&json).expect("and read"), files);
        let huge = FileRow { size: u64::MAX, ..row(Role::Shared, 1, Known) };
        assert_eq!(Files::from(vec![huge.clone(), huge]).bytes(), u64::MAX);
        assert_eq!(Files::default(), Files::from(Vec::new()));
    }
}
