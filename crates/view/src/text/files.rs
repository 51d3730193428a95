//! Files and transfers.

use crate::outcome::RingFile;
use crate::transfers::listed;
use crate::{FileRow, Role, TransferKind, TransferRow, TransferState};
use chordal_core::id::Space;
use chordal_core::peer::Peer;

use crate::format::{bytes, clean, count, peers, quoted, table};

/// The pattern of a list, and how many files there are whether or not they match.
type Of = Option<(String, usize)>;

pub(super) fn file_lines(rows: &[FileRow], of: &Of, space: Space) -> Vec<String> {
    if rows.is_empty() {
        return vec![match of {
            Some((pattern, all @ 1..)) => nothing_matches(pattern, *all, "here"),
            _ => "no files here; ls --ring lists those of the whole ring".to_owned(),
        }];
    }
    let cells = rows.iter().map(|file| {
        vec![
            file.name.to_string(),
            space.show(file.key),
            bytes(file.size),
            role(file.role).to_owned(),
            copies(file),
            version(file),
        ]
    });
    table(&["NAME", "KEY", "SIZE", "ROLE", "COPIES", "VERSION"], &[1, 2], cells.collect())
}

pub(super) fn ring_file_lines(
    rows: &[RingFile],
    of: &Of,
    silent: &[Peer],
    space: Space,
) -> Vec<String> {
    let mut lines = if rows.is_empty() {
        vec![match of {
            Some((pattern, all @ 1..)) => nothing_matches(pattern, *all, "on the ring"),
            _ => "no files on the ring; put PATH stores one".to_owned(),
        }]
    } else {
        let cells = rows.iter().map(|row| {
            let file = &row.file;
            let holders: Vec<_> =
                row.holders.iter().map(|peer| space.show(peer.id(space))).collect();
            vec![
                file.name.to_string(),
                space.show(file.key),
                bytes(file.size),
                copies(file),
                holders.join(" "),
            ]
        });
        table(&["NAME", "KEY", "SIZE", "COPIES", "HOLDERS"], &[1, 2], cells.collect())
    };
    if !silent.is_empty() {
        lines.push(format!(
            "{} did not answer, so files may be missing above: {}",
            count(silent.len(), "member", "members"),
            peers(space, silent)
        ));
    }
    lines
}

fn nothing_matches(pattern: &str, all: usize, place: &str) -> String {
    let pattern = quoted(pattern);
    match all {
        1 => format!("nothing matches {pattern}; there is 1 file {place}"),
        all => format!("nothing matches {pattern}; there are {all} files {place}"),
    }
}

/// The copies of those wanted, and what that means; who shares a file wants
/// none.
fn copies(file: &FileRow) -> String {
    match file.health() {
        None => count(usize::from(file.copies), "source", "sources"),
        Some(health) => format!("{}/{} {}", file.copies, file.wanted, health.word()),
    }
}

/// The version with its hash; the ring counts no versions of what is shared.
fn version(file: &FileRow) -> String {
    match file.role {
        Role::Shared => file.version.root.short(),
        Role::Owner | Role::Replica => file.version.to_string(),
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Owner => "owner",
        Role::Replica => "replica",
        Role::Shared => "shared",
    }
}

pub(super) fn transfer_lines(rows: &[TransferRow]) -> Vec<String> {
    if rows.is_empty() {
        return vec!["no transfers".to_owned()];
    }
    let cells = listed(rows).into_iter().map(|row| {
        let state = match &row.state {
            TransferState::Queued => "waiting for its turn".to_owned(),
            TransferState::Paused => "paused".to_owned(),
            TransferState::Waiting => "waiting for a source".to_owned(),
            TransferState::Running => {
                let share = (row.done.saturating_mul(100)).checked_div(row.total).unwrap_or(0);
                let left = match row.total.saturating_sub(row.done).checked_div(row.rate) {
                    Some(left) if left > 0 => {
                        let left = std::time::Duration::from_secs(left);
                        format!(", {} left", humantime::format_duration(left))
                    }
                    _ => String::new(),
                };
                let files = row.files.map_or_else(String::new, |files| {
                    format!(", {}/{} files, {} failed", files.done, files.total, files.failed)
                });
                format!("{share} %, {}/s{left}{files}", bytes(row.rate))
            }
            TransferState::Securing { copies, wanted } => {
                format!("securing {copies}/{wanted} copies")
            }
            TransferState::Done => "done".to_owned(),
            TransferState::Failed(why) => format!("failed: {}", clean(why)),
            TransferState::Cancelled => "cancelled".to_owned(),
        };
        let with: Vec<_> = row
            .peers
            .iter()
            .map(|(party, part)| match row.peers.len() {
                // Who was served may have wanted a part.
                1 if row.kind != TransferKind::Serve || *part == row.total => party.to_string(),
                _ => format!("{party} ({})", bytes(*part)),
            })
            .collect();
        vec![
            row.number.to_string(),
            transfer_kind(row.kind).to_owned(),
            format!("{}{}", if row.part_of.is_some() { "  " } else { "" }, clean(&row.name)),
            bytes(row.total),
            with.join(" "),
            state,
        ]
    });
    table(&["N", "KIND", "NAME", "SIZE", "WITH", "STATE"], &[0, 3], cells.collect())
}

/// The word for why bytes move.
pub fn transfer_kind(kind: TransferKind) -> &'static str {
    match kind {
        TransferKind::Download => "get",
        TransferKind::Upload => "put",
        TransferKind::Copy => "copy",
        TransferKind::Serve => "serve",
        TransferKind::Receive => "receive",
        TransferKind::Hash => "hash",
    }
}
