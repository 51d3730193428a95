//! The accepting end of data connections: manifests and bytes for whoever
//! asks, and uploads for the names that this node owns.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use chordal_core::error::{CommandError, Reason};
use chordal_core::limits::EAGER_BYTES;
use chordal_core::peer::Party;
use chordal_core::record::ContentHash;
use chordal_core::transfer::manifest::PieceIndex;
use chordal_core::wire::data::{DataRequest, DataResponse};
use chordal_descriptors::{FILE_PATIENCE, wait_out};
use chordal_store::StoreError;
use chordal_view::TransferKind;
use chordal_view::text::{bytes as show_bytes, clean, duration};

use super::Data;
use super::commit::{self, Wanted};
use super::eager;
use super::fetch;
use super::owner::{self, Source};
use super::places::Places;
use super::plane::{DataConnection, DataError};
use super::relay;
use super::relay::Part;
use crate::inputs::demand::Want;
use crate::net::connection::HELLO_LIMIT;
use crate::sharing::shares::file::OpenShare;
use crate::transfers::Transfer;

/// A connection is kept for a further request no longer than this; the first one comes
/// within [`HELLO_LIMIT`] or not at all.
pub(crate) const REQUEST_WAIT: Duration = Duration::from_secs(10);

/// A request that follows another one within this time is answered by the same thread: small
/// files come and go one after the other, and a change of threads takes an eighth of the time
/// of each.
const AT_ONCE: Duration = Duration::from_millis(20);

/// Bytes of a shared file sent at once: between two such steps its progress is counted
/// and cancelling is noticed.
const SHARED_STEP_BYTES: usize = 1024 * 1024;

/// What is larger than this is told when it begins to be served, too: it takes a
/// while.
const LARGE: u64 = 8 * 1024 * 1024;

/// Serves one data connection, made by `host`, until the other side, `party`, closes it.
/// Takes a thread while a request is answered.
pub(crate) async fn serve(
    data: Data,
    places: Arc<Places>,
    stream: TcpStream,
    host: IpAddr,
    party: Party,
) {
    let result = match data.plane().accepted(stream, party) {
        Ok(connection) => {
            Server { data: &data, connection, serving: None, opened: None }.run(&places, host).await
        }
        Err(error) => Err(error.into()),
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a data connection ended");
    }
}

struct Server<'a> {
    data: &'a Data,
    connection: DataConnection,
    /// What this connection is being sent.
    serving: Option<Serving>,
    /// The stored content of which it has the manifest: whoever began to read it
    /// can read it to its end, whatever becomes of its name.
    opened: Option<(ContentHash, File)>,
}

/// A content that goes out.
struct Serving {
    root: ContentHash,
    transfer: Transfer,
    /// For a copy that the ring needs.
    copy: bool,
    /// It stopped in the middle of what was asked for.
    broken: bool,
}

impl Server<'_> {
    async fn run(mut self, places: &Places, host: IpAddr) -> Result<(), DataError> {
        let result = self.requests(places, host).await;
        if let Some(serving) = self.serving.take() {
            self.served(serving, result.as_ref().err());
        }
        result
    }

    /// Ends what goes out, and tells who took how much of it.
    fn served(&self, serving: Serving, error: Option<&DataError>) {
        let Serving { transfer, copy, broken, .. } = serving;
        let (party, sent, total) = (self.connection.party(), transfer.done(), transfer.total());
        let (name, took) = (clean(transfer.name()).into_owned(), duration(transfer.age()));
        let part = if sent < total {
            format!("{} of {name} ({})", show_bytes(sent), show_bytes(total))
        } else {
            format!("{name} ({})", show_bytes(sent))
        };
        let end = match error {
            Some(error) if !error.is_hang_up() => {
                let why = fetch::words(error);
                transfer.end(Err(Reason::TryAgain.because(why.clone())));
                format!(", then it broke off: {why}")
            }
            Some(error) if broken => {
                fetch::broke(transfer, error);
                ", then hung up".to_owned()
            }
            // The other side hangs up when it has what it wants.
            _ => {
                transfer.end(Ok(()));
                String::new()
            }
        };
        let (want, did) =
            if copy { (Want::Copy, "copied for the ring") } else { (Want::Content, "took") };
        let text = || format!("{party} {did} {part} in {took}{end}");
        self.data.notes.wanted(want, party, sent, text);
    }

    async fn requests(&mut self, places: &Places, host: IpAddr) -> Result<(), DataError> {
        let mut at_most = HELLO_LIMIT;
        loop {
            let (request, place) = match places.next(&self.connection, host, at_most).await {
                Ok(Some(next)) => next,
                Ok(None) => return Ok(()),
                // The other side has what it wanted.
                Err(DataError::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            // From here on the thread may block, as most of an answer does.
            let runtime = Handle::current();
            block_in_place(|| runtime.block_on(self.answer_all(request)))?;
            drop(place);
            at_most = REQUEST_WAIT;
        }
    }

    /// Answers a request, and those that follow it at once. Blocks.
    async fn answer_all(&mut self, request: DataRequest) -> Result<(), DataError> {
        let mut next = Some(request);
        while let Some(request) = next {
            self.answer(request).await?;
            next = self.connection.receive_request_within(AT_ONCE)?;
        }
        Ok(())
    }

    /// Answers a request. Blocks.
    async fn answer(&mut self, request: DataRequest) -> Result<(), DataError> {
        match request {
            DataRequest::Manifest { root } => self.manifest(root),
            DataRequest::Bytes { root, offset, length, copy } => {
                self.bytes(root, offset, length, copy)
            }
            DataRequest::Relay { name, root, size, rest, follows } => {
                let part = Part { name, root, size, rest };
                let connection = &mut self.connection;
                if follows {
                    let answer = eager::take_part(self.data, connection, &part).await?;
                    connection.send(&answer)
                } else {
                    relay::take_part(self.data, connection, part).await
                }
            }
            DataRequest::Upload { name, root, size, overwrite, follows } => {
                let wanted = Wanted { name, root, size, overwrite };
                self.upload(&wanted, follows).await
            }
        }
    }

    fn manifest(&mut self, root: ContentHash) -> Result<(), DataError> {
        let stored = match self.data.store.manifest(&root) {
            Ok(stored) => stored,
            Err(error) => return self.failed(root, &error),
        };
        match stored.or_else(|| self.data.shares.manifest(&root)) {
            Some(manifest) => {
                self.opened = match self.data.store.open_blob(&root) {
                    Ok(file) => file.map(|file| (root, file)),
                    Err(error) => return self.failed(root, &error),
                };
                self.connection.send(&DataResponse::Manifest { size: manifest.size() })?;
                self.connection.send_raw(&manifest.to_bytes())
            }
            None => self.connection.send(&DataResponse::NotFound),
        }
    }

    fn bytes(
        &mut self,
        root: ContentHash,
        offset: u64,
        length: u64,
        copy: bool,
    ) -> Result<(), DataError> {
        let opened = self.opened.as_ref().filter(|(opened, _)| *opened == root);
        let stored = match opened {
            Some((_, file)) => Some(wait_out(FILE_PATIENCE, || file.try_clone())?),
            None => match self.data.store.open_blob(&root) {
                Ok(stored) => stored,
                Err(error) => return self.failed(root, &error),
            },
        };
        let Some(mut file) = stored else {
            // What the user shares is served from where it lies.
            return match self.data.shares.open(&root) {
                Some(share) => self.shared_bytes(&share, offset, length, copy),
                None => self.connection.send(&DataResponse::NotFound),
            };
        };
        let size = file.metadata()?.len();
        let beyond = offset.checked_add(length).is_none_or(|end| end > size);
        if beyond || length == 1 && size > 1 {
            // It was longer once, or somebody was sent a damaged piece; or so he
            // says.
            self.data.suspects.reported(root, Instant::now());
        }
        if beyond {
            return self.connection.send(&beyond_its_end(offset, length, size));
        }
        file.seek(SeekFrom::Start(offset))?;
        if length == 1 && size > 1 && self.serving.is_none() {
            // A peer that asks whether it is there takes nothing.
            let within = Transfer::within("");
            return eager::serve(&mut self.connection, &file, length, None, &within).map(drop);
        }
        let serving = self.serving(root, size, copy);
        let transfer = &serving.transfer;
        let sent = if length <= EAGER_BYTES {
            let whole = (length == size).then_some(root);
            match eager::serve(&mut self.connection, &file, length, whole, transfer) {
                Ok(false) => {
                    self.data.suspects.found(root);
                    self.data.transfers.forget(serving.transfer);
                    return self.connection.send(&DataResponse::NotFound);
                }
                sent => sent.map(drop),
            }
        } else {
            let sent = self
                .connection
                .send(&DataResponse::Bytes { length })
                .and_then(|()| self.connection.send_file(&file, length, transfer));
            if sent.as_ref().is_err_and(DataError::is_the_files) {
                self.data.suspects.found(root);
            }
            sent
        };
        self.went(serving, &sent, size);
        sent
    }

    /// Some of what is served went out, or did not.
    fn went(&mut self, mut serving: Serving, sent: &Result<(), DataError>, size: u64) {
        if sent.is_ok() && serving.transfer.done() >= size {
            // All of it; the connection may be kept for another file.
            self.served(serving, None);
        } else {
            serving.broken = sent.is_err();
            self.serving = Some(serving);
        }
    }

    /// Sends bytes of a content that the user shares, each piece only after it was
    /// found to be what it was. What is not is not offered any more; who has got a
    /// part of the answer is hung up on.
    fn shared_bytes(
        &mut self,
        share: &OpenShare,
        offset: u64,
        length: u64,
        copy: bool,
    ) -> Result<(), DataError> {
        let (root, size) = (share.manifest.root(), share.manifest.size());
        let Some(end) = offset.checked_add(length).filter(|end| *end <= size) else {
            return self.connection.send(&beyond_its_end(offset, length, size));
        };
        let asks = length == 1 && size > 1 && self.serving.is_none();
        if asks {
            // A peer that asks whether it is there takes nothing.
            let within = Transfer::within("");
            let connection = &mut self.connection;
            let sent = send_verified(self.data, connection, share, offset..end, &within);
            return if sent? { Ok(()) } else { self.connection.send(&DataResponse::NotFound) };
        }
        let serving = self.serving(root, size, copy);
        let (connection, transfer) = (&mut self.connection, &serving.transfer);
        match send_verified(self.data, connection, share, offset..end, transfer) {
            Ok(false) => {
                self.data.transfers.forget(serving.transfer);
                self.connection.send(&DataResponse::NotFound)
            }
            sent => {
                let sent = sent.map(drop);
                self.went(serving, &sent, size);
                sent
            }
        }
    }

    /// This content as it goes out already, or a new transfer of it.
    fn serving(&mut self, root: ContentHash, size: u64, copy: bool) -> Serving {
        if let Some(serving) = self.serving.take() {
            if serving.root == root {
                return serving;
            }
            self.served(serving, None);
        }
        let stored = self.data.store.name_of(&root);
        let name = stored.or_else(|| self.data.shares.with_content(&root).map(|file| file.name));
        let name = name.map_or_else(|| root.short(), String::from);
        let transfer =
            self.connection.opens(&self.data.transfers, TransferKind::Serve, &name, size);
        if size > LARGE {
            let party = self.connection.party();
            let (want, does) = if copy {
                (Want::Copy, "copies for the ring")
            } else {
                (Want::Content, "begins to take")
            };
            let text = || format!("{party} {does} {} ({})", clean(&name), show_bytes(size));
            self.data.notes.wanted(want, party, 0, text);
        }
        Serving { root, transfer, copy, broken: false }
    }

    /// Stores an upload; `follows`: its bytes come behind its header.
    async fn upload(&mut self, wanted: &Wanted, follows: bool) -> Result<(), DataError> {
        let Server { data, connection, .. } = self;
        let small = if follows {
            Some(eager::receive(connection, wanted.root, wanted.size)?)
        } else {
            fetch::check_size(wanted.size).err().map(Err)
        };
        let small = match small.transpose() {
            Ok(small) => small,
            Err(why) => return connection.send(&DataResponse::Failed { why }),
        };
        let chain = match owner::offer(data, wanted).await {
            Ok(chain) => chain,
            Err(answer) => return connection.send(&answer),
        };
        if small.is_none() {
            connection.send(&DataResponse::Proceed)?;
        }
        let (name, size) = (wanted.name.as_str(), wanted.size);
        let transfer = connection.opens(&data.transfers, TransferKind::Receive, name, size);
        let manifest = match &small {
            Some(small) => Ok(small.manifest.clone()),
            None => relay::receive_manifest(connection, wanted.root, size),
        };
        let stored = match &manifest {
            Ok(manifest) => {
                let source = match &small {
                    Some(small) => Source::Memory(small),
                    None => Source::Connection(connection, manifest),
                };
                let heard = |copies, wanted| {
                    transfer.securing(copies, wanted);
                    connection.send(&DataResponse::Progress { copies, wanted })
                };
                owner::store(data, wanted, chain, source, &transfer, heard).await
            }
            Err(_) => Ok(commit::STOPPING),
        };
        match manifest.and(stored) {
            Ok(answer) => {
                match &answer {
                    // Nothing was received for good: the uploading side hears why.
                    DataResponse::NotOwner { .. } | DataResponse::Stored { already: true, .. } => {
                        data.transfers.forget(transfer);
                    }
                    DataResponse::Failed { why } => transfer.end(Err(why.clone())),
                    DataResponse::Unable { why, .. } => {
                        transfer.end(Err(CommandError::Disk(why.clone())));
                    }
                    _ => transfer.end(Ok(())),
                }
                connection.send(&answer)
            }
            Err(error) => {
                if data.store.holds(&wanted.root) {
                    // All of it is here, and is stored whoever waits for that.
                    transfer.end(Ok(()));
                } else {
                    fetch::broke(transfer, &error);
                }
                Err(error)
            }
        }
    }

    /// A content that should be here cannot be read, so it is looked at.
    fn failed(&mut self, root: ContentHash, error: &StoreError) -> Result<(), DataError> {
        tracing::warn!(%error, "a request for content failed");
        if !error.is_shortage() {
            self.data.suspects.found(root);
        }
        self.connection.send(&DataResponse::Failed { why: CommandError::Disk(error.to_string()) })
    }
}

/// Sends bytes of a shared content with their header; `false`: nothing was sent, for
/// they are not what they were. What is found only later breaks the answer off.
fn send_verified(
    data: &Data,
    connection: &mut DataConnection,
    share: &OpenShare,
    bytes: Range<u64>,
    transfer: &Transfer,
) -> Result<bool, DataError> {
    let manifest = &share.manifest;
    let mut header = Some(DataResponse::Bytes { length: bytes.end - bytes.start });
    let (mut at, mut piece) = (bytes.start, Vec::new());
    while at < bytes.end {
        let index = PieceIndex((at / manifest.piece_size()) as u32);
        let begins = manifest.offset_of(index);
        let ends = (bytes.end - begins).min(manifest.len_of(index));
        if !share.read(index, &mut piece) {
            data.shares.doubt(share);
            return if header.is_some() { Ok(false) } else { Err(DataError::Changed) };
        }
        for step in piece[(at - begins) as usize..ends as usize].chunks(SHARED_STEP_BYTES) {
            if transfer.is_cancelled() {
                return Err(DataError::Cancelled);
            }
            match header.take() {
                Some(header) => connection.send_with(&header, step)?,
                None => connection.send_raw(step)?,
            }
            transfer.advance(step.len() as u64);
        }
        at = begins + ends;
    }
    if let Some(header) = header {
        connection.send(&header)?;
    }
    Ok(true)
}

fn beyond_its_end(offset: u64, length: u64, size: u64) -> DataResponse {
    let why = format!("bytes {offset}+{length} of a content of {size} were asked for");
    DataResponse::Failed { why: CommandError::Usage(why) }
}
