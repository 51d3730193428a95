//! Small files, of which there are many: the shortest way in and out.
//!
//! A content of at most one piece needs no manifest (its hash is the piece's)
//! and no plan of who sends what: whoever wants it asks one source for the
//! bytes, over a connection that is kept for the next file. Whatever goes wrong
//! is left to the long way ([`super::fetch`]), which asks the others.
//!
//! One of at most [`EAGER_BYTES`] is put by a single message: header and bytes
//! at once, without asking first. The owner sends the same on to the next holder
//! before it writes its own copy, that one to the next, so that all disks work
//! at the same time; the acknowledgements come back along the chain. They say
//! that the bytes are there, not that they are durable: that is the work of the
//! commit, which every holder makes of its own record, and only whoever did so
//! counts as a copy. As with every chain, a holder that was left out fetches its
//! copy after the commit. An owner that cannot store it commits what those behind it
//! have, or sends it on until one of them takes it ([`super::full_owner`]).

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use chordal_core::client::{Instead, holders_of};
use chordal_core::error::{CommandError, Reason};
use chordal_core::limits::{EAGER_BYTES, MAX_REPLICAS};
use chordal_core::name::FileName;
use chordal_core::peer::Peer;
use chordal_core::record::{ContentHash, Obstacle};
use chordal_core::transfer::manifest::{Manifest, ManifestBuilder, PieceIndex, piece_count};
use chordal_core::wire::data::{DataRequest, DataResponse};
use chordal_store::{Download, IncomingError, StoreError, open_regular};
use chordal_view::TransferKind;

use super::Data;
use super::commit::Wanted;
use super::fetch;
use super::fetch::{FetchError, Fetcher};
use super::plane::{DataConnection, DataError, DataPlane, STALL_LIMIT, has_ended};
use super::relay;
use super::relay::{Part, Unwritten};
use crate::data::access::Access;
use crate::data::reputation::Conduct;
use crate::transfers::Transfer;

/// How long the one source may be silent before the others are asked as well:
/// long for a LAN, short for a person.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long the next node of a chain may take nothing, and how long it and each
/// one behind it may take to write the content. A paused process must not
/// hold up a put: whoever is left out gets its copy after the commit.
const BEHIND_LIMIT: Duration = Duration::from_secs(3);

/// The manifest of a content of at most one piece; `None` when it has more, or
/// when it is said to be empty and its hash is another one.
pub(crate) fn manifest(root: ContentHash, size: u64) -> Option<Manifest> {
    let pieces = piece_count(size) as usize;
    (pieces <= 1).then(|| Manifest::from_parts(root, size, vec![root.0; pieces]).ok()).flatten()
}

/// Fetches a content of at most one piece into the download that `begin` makes once
/// its bytes are here: from this node's own disk, or from the source that is trusted
/// most. Who delivered it (nobody needs to, when it is empty). `None`: it was not to be
/// had in this way. Blocks.
///
/// # Errors
/// The disk's.
pub(crate) fn fetch(
    access: &Access,
    fetcher: &Fetcher,
    sources: &[Peer],
    manifest: &Manifest,
    transfer: &Transfer,
    begin: impl FnOnce() -> Result<Download, StoreError>,
) -> Result<Option<(Download, Option<Peer>)>, FetchError> {
    let (root, size) = (manifest.root(), manifest.size());
    if size == 0 {
        return Ok(Some((begin()?, None)));
    }
    let (source, bytes) = match access {
        Access::Inside(data) if let Some(bytes) = here(data, &root, size) => {
            (data.net.me().me, bytes)
        }
        _ => {
            let Some(source) = fetcher.first(sources) else { return Ok(None) };
            transfer.with_peer(source.address());
            match ask(&fetcher.plane, source, root, size) {
                Ok(bytes) => (source, bytes),
                Err(error) => {
                    tracing::debug!(%source, %error, "a small file is looked for elsewhere");
                    // Silence for so short a time says nothing about it.
                    if let DataError::Lied(_) = error {
                        fetcher.blame(source, &error);
                    }
                    return Ok(None);
                }
            }
        }
    };
    // Only now: a task that holds a file while it waits for a connection may wait for one
    // that holds a connection while it waits for a file.
    let download = begin()?;
    match download.write(PieceIndex(0), &bytes) {
        Ok(()) => {}
        Err(IncomingError::WrongPiece(index)) => {
            match access {
                Access::Inside(data) if source == data.net.me().me => data.suspects.found(root),
                _ if fetcher.still_has(source, manifest) => {
                    fetcher.blame_piece(source, index);
                }
                _ => {}
            }
            return Ok(None);
        }
        Err(IncomingError::Disk(error)) => return Err(error.into()),
    }
    fetcher.reputations.saw(source.address(), &Conduct::Delivered(size));
    transfer.advance_with(source.address(), size);
    Ok(Some((download, Some(source))))
}

/// The bytes of a content that lies on this node's own disk.
fn here(data: &Data, root: &ContentHash, size: u64) -> Option<Vec<u8>> {
    if let Some(file) = data.store.open_blob(root).ok().flatten() {
        return whole(file, size).ok();
    }
    let share = data.shares.open(root).filter(|share| share.manifest.size() == size)?;
    let mut bytes = Vec::new();
    if !share.read(PieceIndex(0), &mut bytes) {
        data.shares.doubt(&share);
        return None;
    }
    Some(bytes)
}

/// All bytes of a file that has this many; an error when it has others.
fn whole(file: File, size: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(size as usize + 1);
    file.take(size + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == size { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn ask(
    plane: &DataPlane,
    source: Peer,
    root: ContentHash,
    size: u64,
) -> Result<Vec<u8>, DataError> {
    plane.over(source.address(), PATIENCE, |connection| {
        connection.send(&DataRequest::Bytes { root, offset: 0, length: size, copy: false })?;
        match connection.receive()? {
            DataResponse::Bytes { length } if length == size => {}
            other => return Err(fetch::unexpected(other)),
        }
        // At most one piece.
        let mut bytes = vec![0; size as usize];
        connection.receive_raw(&mut bytes)?;
        Ok(bytes)
    })
}

/// Sends bytes of a file that are few, with their header at once; where they are
/// the `whole` of a content, only if they are right. `false`: they are not, or the
/// file has not so many, and nothing was sent.
pub(crate) fn serve(
    connection: &mut DataConnection,
    file: &File,
    length: u64,
    whole: Option<ContentHash>,
    transfer: &Transfer,
) -> Result<bool, DataError> {
    let mut bytes = Vec::with_capacity(length as usize);
    if file.take(length).read_to_end(&mut bytes).is_err() || bytes.len() as u64 != length {
        return Ok(false);
    }
    let right = |root| manifest(root, length).is_some_and(|it| is_it(&it, &bytes));
    if !whole.is_none_or(right) {
        return Ok(false);
    }
    connection.send_with(&DataResponse::Bytes { length }, &bytes)?;
    transfer.advance(length);
    Ok(true)
}

/// A local file that is sent as one message.
#[derive(Debug)]
pub(crate) struct Small {
    /// What it is.
    pub(crate) manifest: Manifest,
    /// All of it.
    pub(crate) bytes: Vec<u8>,
}

impl Small {
    /// Reads a file that had `size` bytes a moment ago. Blocks.
    ///
    /// # Errors
    /// The disk's; `UnexpectedEof` when it has another size by now.
    pub(crate) fn read(path: &Path, size: u64) -> io::Result<Small> {
        let bytes = whole(open_regular(path)?, size)?;
        let mut builder = ManifestBuilder::new(size);
        builder.update(&bytes);
        Ok(Small { manifest: builder.finish().map_err(io::Error::other)?, bytes })
    }

    /// Puts it to the owner of its name, and waits for the copies. `heard` is
    /// told of them. Blocks.
    pub(crate) fn upload(
        &self,
        plane: &DataPlane,
        owner: Peer,
        wanted: &Wanted,
        transfer: &Transfer,
        mut heard: impl FnMut(u8, u8),
    ) -> Result<DataResponse, DataError> {
        transfer.with_peer(owner.address());
        let Wanted { name, root, size, overwrite } = wanted.clone();
        let request = DataRequest::Upload { name, root, size, overwrite, follows: true };
        plane.over(owner.address(), STALL_LIMIT, |connection| {
            connection.serves(transfer);
            connection.send_with(&request, &self.bytes)?;
            transfer.restart(size);
            transfer.advance(size);
            loop {
                match connection.receive()? {
                    DataResponse::Progress { copies, wanted } => heard(copies, wanted),
                    answer => return Ok(answer),
                }
            }
        })
    }

    /// Sends it to the first of the nodes behind this one that takes it; who has
    /// it then.
    pub(crate) fn pass_over(
        &self,
        data: &Data,
        name: &FileName,
        mut instead: Instead,
    ) -> Result<Result<Vec<Peer>, CommandError>, DataError> {
        let plane = data.plane();
        loop {
            let (next, rest) = match instead.next() {
                Ok(next) => next,
                Err(nobody) => return Ok(Err(nobody)),
            };
            let chain: Vec<Peer> = std::iter::once(next).chain(rest).collect();
            let relayed = match Behind::reach(&plane, &chain, name, self)
                .and_then(|mut behind| behind.answer())
            {
                Ok(answer) => holders_of(answer),
                Err(error) if data.net.stop.is_cancelled() => return Err(error),
                Err(error) => Err(error.to_string()),
            };
            match relayed {
                Ok(holders) => return Ok(Ok(holders)),
                Err(why) => {
                    tracing::info!(peer = %next, %why, "does not take what the owner cannot store");
                    instead.refuse(why);
                }
            }
        }
    }

    /// Sends it to the first of `chain` that takes it, writes it here, not durably
    /// yet, and waits for those behind: whether it is here, and who they are.
    pub(crate) fn pass(
        &self,
        data: &Data,
        name: &FileName,
        chain: &[Peer],
    ) -> (Result<(), Unwritten>, Vec<Peer>) {
        let plane = data.plane();
        let behind = Behind::send(&plane, chain, name, self);
        let kept = match data.disk.why() {
            Some(why) => {
                let me = data.net.me().me.address();
                let why = format!("{me} cannot store {name}: {why}");
                Err((Some(Obstacle::SickDisk), CommandError::Disk(why)))
            }
            None => self.keep(data).map_err(|error| relay::unwritten(data, name, error)),
        };
        (kept, behind.map_or_else(Vec::new, Behind::finish))
    }

    /// Makes it durable here.
    fn keep(&self, data: &Data) -> Result<(), IncomingError> {
        // What is here under another name already is not written again.
        if !data.store.holds(&self.manifest.root()) {
            let incoming = data.store.begin(self.manifest.clone())?;
            if !self.bytes.is_empty() {
                incoming.write(PieceIndex(0), &self.bytes)?;
            }
            incoming.finish()?;
        }
        Ok(())
    }
}

/// Takes in a content from the node before in a chain whose bytes follow its
/// header, and answers. Blocks.
///
/// # Errors
/// The connection is of no use any more.
pub(crate) async fn take_part(
    data: &Data,
    connection: &mut DataConnection,
    part: &Part,
) -> Result<DataResponse, DataError> {
    let small = match receive(connection, part.root, part.size)? {
        Ok(small) => small,
        Err(why) => return Ok(DataResponse::Failed { why }),
    };
    let Some(rest) = relay::along_the_ring(data, part.rest.clone()).await else {
        return Ok(DataResponse::Failed { why: relay::not_member() });
    };
    let (kind, name) = (TransferKind::Copy, part.name.as_str());
    let transfer = connection.opens(&data.transfers, kind, name, part.size).copying(part.root);
    match small.pass(data, &part.name, &rest) {
        (Ok(()), behind) => {
            transfer.advance(part.size);
            transfer.end(Ok(()));
            data.uncommitted.add(&data.store, part.root, Instant::now());
            let holders = std::iter::once(data.net.me().me).chain(behind).collect();
            Ok(DataResponse::Relayed { holders })
        }
        (Err((_, why)), behind) => {
            transfer.end(Err(why.clone()));
            Ok(if behind.is_empty() {
                DataResponse::Failed { why }
            } else {
                DataResponse::Relayed { holders: behind }
            })
        }
    }
}

/// Receives the bytes that follow a header, and verifies them; `Ok(Err)` says
/// what is wrong with them.
///
/// # Errors
/// They are more than may come in this way: whoever sent them broke the rules,
/// hears so, and is not listened to any further. Or the connection failed.
pub(crate) fn receive(
    connection: &mut DataConnection,
    root: ContentHash,
    size: u64,
) -> Result<Result<Small, CommandError>, DataError> {
    if size > EAGER_BYTES {
        let why =
            format!("{size} bytes are too many to be sent unasked; at most {EAGER_BYTES} are");
        let refused = Reason::Limit.because(why.clone());
        connection.send(&DataResponse::Failed { why: refused })?;
        return Err(DataError::Lied(why));
    }
    let mut bytes = vec![0; size as usize];
    connection.receive_raw(&mut bytes)?;
    Ok(match manifest(root, size).filter(|manifest| is_it(manifest, &bytes)) {
        Some(manifest) => Ok(Small { manifest, bytes }),
        None => {
            let why = "it arrived damaged: the file changed while it was sent, or the network is \
                       faulty; put it again";
            Err(Reason::TryAgain.because(why))
        }
    })
}

/// Whether these are the bytes of a content of at most one piece.
fn is_it(manifest: &Manifest, bytes: &[u8]) -> bool {
    manifest.size() == bytes.len() as u64
        && (bytes.is_empty() || manifest.verify(PieceIndex(0), bytes))
}

/// The next node of a chain, which was sent a small content.
struct Behind<'a> {
    plane: &'a DataPlane,
    peer: Peer,
    request: DataRequest,
    bytes: &'a [u8],
    connection: DataConnection,
    /// It served before, and may have ended without our knowledge.
    kept: bool,
    patience: Duration,
}

impl<'a> Behind<'a> {
    /// Sends a content to the first of `chain` that can be reached, as far as is
    /// known; those before it get their copy later.
    fn send(
        plane: &'a DataPlane,
        chain: &[Peer],
        name: &FileName,
        small: &'a Small,
    ) -> Option<Behind<'a>> {
        for (at, peer) in chain.iter().enumerate() {
            if plane.reach.doubts(peer.address()) {
                continue;
            }
            match Behind::reach(plane, &chain[at..], name, small) {
                Ok(behind) => return Some(behind),
                Err(error) => tracing::debug!(%peer, %error, "not part of the chain"),
            }
        }
        None
    }

    /// Sends a content to the first of `chain`.
    fn reach(
        plane: &'a DataPlane,
        chain: &[Peer],
        name: &FileName,
        small: &'a Small,
    ) -> Result<Behind<'a>, DataError> {
        let Some((peer, rest)) = chain.split_first() else {
            return Err(DataError::Peer("no node comes next".to_owned()));
        };
        let (root, size) = (small.manifest.root(), small.manifest.size());
        let (peer, name, rest) = (*peer, name.clone(), rest.to_vec());
        let behind = 1 + rest.len().min(usize::from(MAX_REPLICAS)) as u32;
        let patience = (BEHIND_LIMIT * behind).min(STALL_LIMIT / 2);
        let request = DataRequest::Relay { name, root, size, rest, follows: true };
        let bytes = small.bytes.as_slice();
        let (connection, kept) = reach(plane, peer, &request, bytes)?;
        Ok(Behind { plane, peer, request, bytes, connection, kept, patience })
    }

    /// Waits until those behind have written the content; who they are.
    fn finish(mut self) -> Vec<Peer> {
        match self.answer() {
            Ok(DataResponse::Relayed { mut holders }) => {
                self.plane.idle.keep(self.peer.address(), self.connection);
                holders.truncate(usize::from(MAX_REPLICAS));
                holders
            }
            Ok(other) => {
                tracing::debug!(?other, "the chain of an upload ended without its content");
                Vec::new()
            }
            Err(error) => {
                tracing::debug!(%error, "the chain of an upload broke");
                Vec::new()
            }
        }
    }

    /// Its answer; over another connection if the kept one had ended.
    fn answer(&mut self) -> Result<DataResponse, DataError> {
        match self.hear() {
            Err(DataError::Io(error)) if self.kept && has_ended(&error) => {
                let mut connection = self.plane.dial(self.peer.address())?;
                push(&mut connection, &self.request, self.bytes)?;
                (self.connection, self.kept) = (connection, false);
                self.hear()
            }
            answer => answer,
        }
    }

    fn hear(&mut self) -> Result<DataResponse, DataError> {
        self.connection.wait_at_most(self.patience)?;
        self.connection.receive()
    }
}

/// Sends a header with its bytes over a kept connection or a new one; whether
/// it was a kept one.
fn reach(
    plane: &DataPlane,
    peer: Peer,
    request: &DataRequest,
    bytes: &[u8],
) -> Result<(DataConnection, bool), DataError> {
    if let Some(mut kept) = plane.idle.take(peer.address()) {
        match push(&mut kept, request, bytes) {
            Err(DataError::Io(error)) if has_ended(&error) => {}
            result => return result.map(|()| (kept, true)),
        }
    }
    let mut connection = plane.dial(peer.address())?;
    push(&mut connection, request, bytes)?;
    Ok((connection, false))
}

fn push(
    connection: &mut DataConnection,
    request: &DataRequest,
    bytes: &[u8],
) -> Result<(), DataError> {
    connection.push_at_most(BEHIND_LIMIT)?;
    connection.send_with(request, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_of_one_piece_follows_from_its_hash() {
        for bytes in [&b""[..], b"x", &[7; 4096], &vec![1; 1 << 20]] {
            let mut builder = ManifestBuilder::new(bytes.len() as u64);
            builder.update(bytes);
            let made = builder.finish().expect("all bytes came");
            assert_eq!(manifest(made.root(), made.size()), Some(made));
        }
        assert_eq!(manifest(ContentHash([7; 32]), 0), None, "no bytes have one hash only");
        assert_eq!(manifest(ContentHash([7; 32]), (1 << 20) + 1), None, "that is two pieces");
    }
}
