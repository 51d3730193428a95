//! The accepting end of data connections: manifests and bytes for whoever
//! asks, and uploads for the names that this node owns.

use std::io::{self, Seek, SeekFrom};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::chord::{Command, Reply, Upload};
use crate::limits::EAGER_BYTES;
use crate::name::FileName;
use crate::peer::Peer;
use crate::record::ContentHash;
use crate::store::StoreError;
use crate::transfer::manifest::Manifest;
use crate::view::TransferKind;
use crate::wire::data::{DataRequest, DataResponse};

use super::connection::HELLO_LIMIT;
use super::data::{DataConnection, DataError, STALL_LIMIT};
use super::fetch;
use super::relay::{self, Part, PassError, Passage};
use super::shared::Shared;
use super::small;
use super::transfers::Transfer;

/// Data connections at once: each has a thread. Whoever comes beyond waits in
/// the listener's queue or tries another holder.
pub(super) const MAX_DATA_CONNECTIONS: usize = 128;

/// While copies are made, the uploading side hears at least this often.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Between two requests a connection holds its thread no longer than this; the
/// first one comes within [`HELLO_LIMIT`] or not at all.
pub(super) const REQUEST_WAIT: Duration = Duration::from_secs(10);

/// How soon a connection on which nothing is asked gives its thread up when
/// others need it.
const CROWDED_LOOK: Duration = Duration::from_millis(250);

/// Serves one data connection until the other side closes it. While `crowded`
/// says that threads are short, one on which nothing is asked is closed. Blocks.
pub(super) fn serve(
    shared: &Shared,
    runtime: &Handle,
    stream: TcpStream,
    crowded: &dyn Fn() -> bool,
) {
    let result =
        shared.data_plane().accepted(stream).map_err(DataError::from).and_then(|connection| {
            Server { shared, runtime, connection, serving: None, crowded }.run()
        });
    if let Err(error) = result {
        tracing::debug!(%error, "a data connection ended");
    }
}

struct Server<'a> {
    shared: &'a Shared,
    runtime: &'a Handle,
    connection: DataConnection,
    /// What this connection is being sent.
    serving: Option<(ContentHash, Transfer)>,
    /// Whether threads are short.
    crowded: &'a dyn Fn() -> bool,
}

impl Server<'_> {
    fn run(mut self) -> Result<(), DataError> {
        let result = self.requests();
        if let Some((_, transfer)) = self.serving.take() {
            transfer.end(result.as_ref().map(|&()| ()).map_err(ToString::to_string));
        }
        result
    }

    fn requests(&mut self) -> Result<(), DataError> {
        self.connection.wait_at_most(HELLO_LIMIT)?;
        loop {
            let request = match self.connection.receive() {
                Ok(request) => request,
                // The other side has what it wanted.
                Err(DataError::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            self.connection.wait_at_most(STALL_LIMIT)?;
            match request {
                DataRequest::Manifest { root } => self.manifest(root)?,
                DataRequest::Bytes { root, offset, length } => self.bytes(root, offset, length)?,
                DataRequest::Relay { name, root, size, rest, follows } => {
                    let part = Part { name, root, size, rest };
                    if follows {
                        let connection = &mut self.connection;
                        let answer =
                            small::take_part(self.shared, self.runtime, connection, &part)?;
                        connection.send(&answer)?;
                    } else {
                        relay::take_part(self.shared, self.runtime, &mut self.connection, part)?;
                    }
                }
                DataRequest::Upload { name, root, size, overwrite, follows } => {
                    let wanted = Wanted { name, root, size, overwrite };
                    if follows {
                        let connection = &mut self.connection;
                        let answer =
                            small::take_upload(self.shared, self.runtime, connection, &wanted)?;
                        connection.send(&answer)?;
                    } else {
                        self.upload(&wanted)?;
                    }
                }
            }
            if !self.await_request()? {
                return Ok(());
            }
        }
    }

    /// Waits for a further request; `false`: none came.
    fn await_request(&self) -> Result<bool, DataError> {
        let since = Instant::now();
        while !self.connection.await_more(CROWDED_LOOK)? {
            if since.elapsed() > REQUEST_WAIT || (self.crowded)() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn manifest(&mut self, root: ContentHash) -> Result<(), DataError> {
        let stored = match self.shared.store.manifest(&root) {
            Ok(stored) => stored,
            Err(error) => return self.failed(&error),
        };
        match stored.or_else(|| self.shared.shares.manifest(&root)) {
            Some(manifest) => {
                self.connection.send(&DataResponse::Manifest { size: manifest.size() })?;
                self.connection.send_raw(&manifest.to_bytes())
            }
            None => self.connection.send(&DataResponse::NotFound),
        }
    }

    fn bytes(&mut self, root: ContentHash, offset: u64, length: u64) -> Result<(), DataError> {
        let stored = match self.shared.store.open_blob(&root) {
            Ok(stored) => stored,
            Err(error) => return self.failed(&error),
        };
        // What the user shares is served from where it lies.
        let Some(mut file) = stored.or_else(|| self.shared.shares.open(&root)) else {
            return self.connection.send(&DataResponse::NotFound);
        };
        let size = file.metadata()?.len();
        if offset.checked_add(length).is_none_or(|end| end > size) {
            let why = format!("bytes {offset}+{length} of a content of {size} were asked for");
            return self.connection.send(&DataResponse::Failed { why });
        }
        file.seek(SeekFrom::Start(offset))?;
        let transfer = self.transfer(root, size);
        if length <= EAGER_BYTES {
            let sent = small::serve(&mut self.connection, &file, length, &transfer)?;
            if !sent {
                return self.connection.send(&DataResponse::NotFound);
            }
            if length == size {
                // The connection may be kept for another file.
                transfer.end(Ok(()));
            } else {
                self.serving = Some((root, transfer));
            }
            return Ok(());
        }
        self.connection.send(&DataResponse::Bytes { length })?;
        self.connection.send_file(&file, length, &transfer)?;
        self.serving = Some((root, transfer));
        Ok(())
    }

    /// The running transfer of this content, or a new one.
    fn transfer(&mut self, root: ContentHash, size: u64) -> Transfer {
        if let Some((served, transfer)) = self.serving.take() {
            if served == root {
                return transfer;
            }
            transfer.end(Ok(()));
        }
        let stored = self.shared.store.name_of(&root);
        let name = stored.or_else(|| self.shared.shares.with_content(&root).map(|file| file.name));
        let name = name.map_or_else(|| root.short(), String::from);
        self.connection.opens(self.shared, TransferKind::Serve, &name, size)
    }

    fn upload(&mut self, wanted: &Wanted) -> Result<(), DataError> {
        if let Err(error) = fetch::check_size(wanted.size) {
            return self.connection.send(&DataResponse::Failed { why: error.to_string() });
        }
        match self.runtime.block_on(offer(self.shared, wanted)) {
            Some(Upload::Proceed) => self.connection.send(&DataResponse::Proceed)?,
            Some(other) => return self.connection.send(&refusal(wanted, other)),
            None => return self.connection.send(&DataResponse::Failed { why: stopping() }),
        }
        let (name, size) = (wanted.name.as_str(), wanted.size);
        let transfer = self.connection.opens(self.shared, TransferKind::Receive, name, size);
        let received = receive(self.shared, self.runtime, &mut self.connection, wanted, &transfer);
        let last = match received {
            Ok(()) => {
                let connection = &mut self.connection;
                commit(self.shared, self.runtime, wanted, |copies, wanted| {
                    transfer.securing(copies, wanted);
                    connection.send(&DataResponse::Progress { copies, wanted })
                })?
            }
            Err(PassError::Data(error)) => {
                transfer.end(Err(error.to_string()));
                return Err(error);
            }
            Err(PassError::Failed(why)) => DataResponse::Failed { why },
        };
        transfer.end(match &last {
            DataResponse::Failed { why } => Err(why.clone()),
            _ => Ok(()),
        });
        self.connection.send(&last)
    }

    fn failed(&mut self, error: &StoreError) -> Result<(), DataError> {
        tracing::warn!(%error, "a request for content failed");
        self.connection.send(&DataResponse::Failed { why: error.to_string() })
    }
}

/// A file that somebody wants to store.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Under this name.
    pub(super) name: FileName,
    /// The content.
    pub(super) root: ContentHash,
    /// Its bytes.
    pub(super) size: u64,
    /// Whether other content may be replaced.
    pub(super) overwrite: bool,
}

/// Asks the core whether this upload may begin; `None`: the node is stopping.
pub(super) async fn offer(shared: &Shared, wanted: &Wanted) -> Option<Upload> {
    let Wanted { name, root, overwrite, .. } = wanted.clone();
    match shared.core(Command::Offer { name, root, overwrite }).await? {
        Reply::Upload(upload) => Some(upload),
        _ => None,
    }
}

/// What the uploading side hears when the answer is not to proceed.
pub(super) fn refusal(wanted: &Wanted, upload: Upload) -> DataResponse {
    match upload {
        Upload::Proceed => DataResponse::Proceed,
        Upload::Already { version, holders, wanted } => {
            DataResponse::Stored { version, holders, wanted, already: true }
        }
        Upload::Exists { version, size } => DataResponse::Failed {
            why: format!(
                "{} exists with other content ({size} bytes, version {version}); --overwrite replaces it",
                wanted.name
            ),
        },
        Upload::NotOwner { owner } => DataResponse::NotOwner { owner },
    }
}

/// Receives manifest and bytes of an upload, makes them durable, and sends them
/// along the chain of those who are to hold copies.
fn receive(
    shared: &Shared,
    runtime: &Handle,
    connection: &mut DataConnection,
    wanted: &Wanted,
    transfer: &Transfer,
) -> Result<(), PassError> {
    let manifest = relay::receive_manifest(connection, wanted.root, wanted.size)?;
    let chain = runtime.block_on(chain(shared, &wanted.name));
    let (name, manifest) = (&wanted.name, &manifest);
    Passage { shared, runtime, name, manifest, chain }.receive(connection, transfer)?;
    Ok(())
}

/// Who is to hold copies of a name of this node.
pub(super) async fn chain(shared: &Shared, name: &FileName) -> Vec<Peer> {
    let name = name.clone();
    let looked = shared.look(move |core| {
        let params = core.params();
        let node = core.responsible_node(name.key(params.space));
        relay::chain(params.space, &name, node.peer(), node.successors(), params.replicas)
    });
    looked.await.unwrap_or_default()
}

/// Stores a local file whose name this node owns: as an upload, without the
/// wire. Blocks.
pub(super) fn take_in(
    shared: &Shared,
    runtime: &Handle,
    path: &Path,
    manifest: &Manifest,
    wanted: &Wanted,
    transfer: &Transfer,
) -> Result<DataResponse, DataError> {
    match runtime.block_on(offer(shared, wanted)) {
        Some(Upload::Proceed) => {}
        Some(other) => return Ok(refusal(wanted, other)),
        None => return Ok(DataResponse::Failed { why: stopping() }),
    }
    let chain = runtime.block_on(chain(shared, &wanted.name));
    let passage = Passage { shared, runtime, name: &wanted.name, manifest, chain };
    if let Err(error) = passage.copy(path, transfer) {
        return match error {
            PassError::Data(error) => Err(error),
            PassError::Failed(why) => Ok(DataResponse::Failed { why }),
        };
    }
    commit(shared, runtime, wanted, |copies, wanted| {
        transfer.securing(copies, wanted);
        Ok(())
    })
}

/// Has the core commit an upload whose bytes are durable here, and waits for
/// the copies; `progress` hears of each.
pub(super) fn commit(
    shared: &Shared,
    runtime: &Handle,
    wanted: &Wanted,
    mut progress: impl FnMut(u8, u8) -> Result<(), DataError>,
) -> Result<DataResponse, DataError> {
    let Wanted { name, root, size, overwrite } = wanted.clone();
    let elsewhere = Vec::new();
    let command = Command::Commit { name, root, size, overwrite, elsewhere };
    let (tell, mut heard) = mpsc::unbounded_channel();
    let shared = shared.clone();
    let reply = runtime.spawn(async move { shared.core_watched(command, Some(tell), None).await });
    let mut last = (0, 0);
    loop {
        let next = runtime.block_on(async { tokio::time::timeout(HEARTBEAT, heard.recv()).await });
        match next {
            Ok(Some(now)) => last = now,
            Ok(None) => break,
            // Copies of a large file take their time: say that they are being made.
            Err(_) => {}
        }
        progress(last.0, last.1)?;
    }
    let reply = runtime.block_on(reply).ok().flatten();
    Ok(match reply {
        Some(Reply::Stored { version, holders, wanted, .. }) => {
            DataResponse::Stored { version, holders, wanted, already: false }
        }
        Some(Reply::Upload(upload)) => refusal(wanted, upload),
        Some(Reply::Failed(crate::chord::Failure::NotOwner)) => {
            DataResponse::NotOwner { owner: None }
        }
        Some(Reply::Failed(failure)) => DataResponse::Failed { why: failure.to_string() },
        Some(other) => DataResponse::Failed { why: format!("an unexpected reply: {other:?}") },
        None => DataResponse::Failed { why: stopping() },
    })
}

pub(super) fn stopping() -> String {
    "the node is stopping; try another member".to_owned()
}
