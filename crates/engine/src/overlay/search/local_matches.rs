//! Which files here match a pattern: those that the ring stores on this node,
//! and those that its user shares.

use std::time::{Duration, Instant};

use chordal_core::error::{CommandError, Reason};
use chordal_core::limits::MAX_PATTERN_BYTES;
use chordal_core::mesh::pattern::Pattern;
use chordal_core::name::FileName;
use chordal_core::peer::Peer;
use chordal_core::wire::mesh::FoundRow;

use crate::data::Data;

/// Stored files that are looked at in one turn of the hub: about a millisecond.
const PAGE: usize = 256;

/// Time for the files of one node. Long patterns against very many long names
/// take more; a search goes on with what was found until then.
const LIMIT: Duration = Duration::from_secs(3);

/// Refuses a pattern that is longer than what a node answers.
pub(crate) fn check(pattern: &str) -> Result<(), CommandError> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(Reason::Limit.because(format!(
            "the pattern has {} bytes; search with at most {MAX_PATTERN_BYTES}",
            pattern.len()
        )));
    }
    Ok(())
}

/// The first files in the order of names, from behind `after`, that match; at
/// most `most`. Whether there may be more. The two files of a name that is
/// both stored and shared are never parted. `at`: only those of this position of
/// the host; the first one has what is shared.
pub(crate) async fn matching(
    data: &Data,
    at: Option<Peer>,
    pattern: &Pattern,
    after: Option<&FileName>,
    most: usize,
) -> (Vec<FoundRow>, bool) {
    let first = data.net.me().me;
    let node = at.unwrap_or(first);
    let offered = if node == first {
        data.shares.page(|name| pattern.matches(name), after, most + 1)
    } else {
        Vec::new()
    };
    let mut rows: Vec<FoundRow> = offered
        .into_iter()
        .map(|file| FoundRow {
            node,
            name: file.name,
            root: file.root,
            size: file.size,
            stored: false,
        })
        .collect();
    let more = stored(data, at, pattern, after, most, &mut rows).await;
    let cut = cut(&mut rows, most);
    (rows, more || cut)
}

/// Adds the stored files that match; whether time ended before they did.
async fn stored(
    data: &Data,
    at: Option<Peer>,
    pattern: &Pattern,
    after: Option<&FileName>,
    most: usize,
    rows: &mut Vec<FoundRow>,
) -> bool {
    let node = at.unwrap_or_else(|| data.net.me().me);
    let began = Instant::now();
    let mut last = after.cloned();
    let mut found = 0;
    loop {
        let behind = last.clone();
        let page = data
            .core
            .look(move |core| match at {
                None => core.files_page(behind.as_ref(), PAGE),
                Some(at) => {
                    let position = core.slot_of(at.index()).and_then(|slot| core.node(slot));
                    position.map_or_else(Vec::new, |node| node.files_page(behind.as_ref(), PAGE))
                }
            })
            .await;
        let page = page.unwrap_or_default();
        let Some(end) = page.last() else { return false };
        last = Some(end.record.name.clone());
        let whole = page.len() == PAGE;
        for held in page {
            let record = held.record;
            if pattern.matches(record.name.as_str()) {
                found += 1;
                let (root, size) = (record.version.root, record.size());
                rows.push(FoundRow { node, name: record.name, root, size, stored: true });
            }
        }
        if !whole || found > most {
            return false;
        }
        if began.elapsed() > LIMIT {
            // What is behind is for the next page, the shared files as well.
            rows.retain(|row| Some(&row.name) <= last.as_ref());
            return true;
        }
    }
}

/// Sorts rows by name and keeps at most `most`, never one of two of a name.
/// Whether any had to go.
fn cut(rows: &mut Vec<FoundRow>, most: usize) -> bool {
    rows.sort_by(|a, b| (&a.name, b.stored).cmp(&(&b.name, a.stored)));
    if rows.len() <= most {
        return false;
    }
    let next = rows[most].name.clone();
    rows.truncate(most);
    if rows.len() > 1 && rows[most - 1].name == next {
        rows.pop();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use chordal_core::peer::Peer;
    use chordal_core::record::ContentHash;

    fn row(name: &str, stored: bool) -> FoundRow {
        FoundRow {
            node: Peer::new(([127, 0, 0, 1], 2000).into(), 0),
            name: FileName::new(name).expect("a name"),
            root: ContentHash([1; 32]),
            size: 1,
            stored,
        }
    }

    #[test]
    fn a_page_never_ends_between_a_stored_and_a_shared_file_of_one_name() {
        let all = [row("b", false), row("c", true), row("b", true), row("a", true)];
        for (most, expected) in [
            (4, vec![("a", true), ("b", true), ("b", false), ("c", true)]),
            (3, vec![("a", true), ("b", true), ("b", false)]),
            (2, vec![("a", true)]),
        ] {
            let mut rows = all.to_vec();
            assert_eq!(cut(&mut rows, most), most < all.len());
            let names: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.stored)).collect();
            assert_eq!(names, expected, "at most {most}");
        }
    }

    #[test]
    fn a_pattern_is_as_long_as_what_a_person_types() {
        assert_eq!(check(&"x".repeat(MAX_PATTERN_BYTES)), Ok(()));
        assert!(check(&"x".repeat(MAX_PATTERN_BYTES + 1)).is_err());
    }
}
