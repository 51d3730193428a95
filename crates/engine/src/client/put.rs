//! `put` of a file: drives [`Put`] over an [`Access`]; whole directories are in
//! [`super::tree`].

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use tokio::task::block_in_place;

use chordal_core::client::{Put, PutEvent, PutStep};
use chordal_core::error::{CommandError, PathFault};
use chordal_core::limits::EAGER_BYTES;
use chordal_core::name::FileName;
use chordal_core::peer::Peer;
use chordal_core::record::Obstacle;
use chordal_core::transfer::manifest::Manifest;
use chordal_core::transfer::pieces::PieceSet;
use chordal_core::wire::data::{DataRequest, DataResponse};
use chordal_descriptors::Turn;
use chordal_store::hash_file;
use chordal_view::Outcome;

use super::locate::time_since;
use crate::data::access::Access;
use crate::data::commit;
use crate::data::commit::Wanted;
use crate::data::eager::Small;
use crate::data::fetch;
use crate::data::full_owner;
use crate::data::owner;
use crate::data::owner::Source;
use crate::data::plane::{DataConnection, DataError};
use crate::data::relay::{Handed, hand_manifest, open_again};
use crate::transfers::{Phases, Transfer};

/// Bytes sent at once: between two such steps it is looked whether the owner
/// has said that it takes no more.
const SEND_BYTES: u64 = 8 * 1024 * 1024;

/// Stores a local file under a name.
pub(crate) async fn put(
    access: &Access,
    path: &Path,
    name: FileName,
    overwrite: bool,
    transfer: &Transfer,
    phases: &dyn Phases,
) -> Result<Outcome, CommandError> {
    let size = plain_file_size(path)?;
    phases.phase("hashing");
    transfer.restart(size);
    let small = read_small(path, size)?;
    let manifest = match &small {
        Some(small) => small.manifest.clone(),
        None => hash(path, transfer)?,
    };
    let wanted = Wanted { name, root: manifest.root(), size: manifest.size(), overwrite };
    let sender = Sender { access, path, manifest, wanted, small, transfer, phases };
    sender.run().await
}

/// A local file that is put.
struct Sender<'a> {
    access: &'a Access,
    path: &'a Path,
    manifest: Manifest,
    wanted: Wanted,
    /// All of it, when it is sent at once.
    small: Option<Small>,
    transfer: &'a Transfer,
    phases: &'a dyn Phases,
}

impl Sender<'_> {
    async fn run(&self) -> Result<Outcome, CommandError> {
        let began = Instant::now();
        let mut put = Put::new(self.wanted.name.clone());
        let mut turn = Turn::new(began);
        let mut event = PutEvent::Begun;
        loop {
            if self.transfer.is_cancelled() {
                return Err(CommandError::CANCELLED);
            }
            event = match put.handle(time_since(began), event) {
                PutStep::Lookup => self.look_up().await?,
                PutStep::AskInstead(owner) => {
                    let (access, transfer) = (self.access, self.transfer);
                    let asking = full_owner::instead_of(access, owner, &self.wanted, transfer);
                    let mut answer = asking.await;
                    self.reached_first(&mut answer);
                    PutEvent::Instead { answer, deaf: self.is_deaf(owner) }
                }
                PutStep::Wait(span) => {
                    tokio::select! {
                        () = self.transfer.cancelled() => {}
                        () = tokio::time::sleep(span) => {}
                    }
                    PutEvent::Woke
                }
                PutStep::Done(Ok(answer)) => return self.stored(answer),
                PutStep::Done(Err(why)) => return Err(why),
                moving => {
                    let ended = self.move_bytes(moving).await;
                    if self.transfer.has_moved() {
                        put.bytes_moved(time_since(began));
                    }
                    match ended {
                        Err(error) if error.is_shortage() => {
                            let why = CommandError::Disk(error.to_string());
                            if !turn.wait().await {
                                return Err(put.given_up(&why));
                            }
                            PutEvent::Resumed
                        }
                        ended => self.ended(ended).await?,
                    }
                }
            };
        }
    }

    /// Once it is not paused.
    async fn look_up(&self) -> Result<PutEvent, CommandError> {
        self.transfer.released().await.map_err(|_| CommandError::CANCELLED)?;
        let name = &self.wanted.name;
        let key = name.key(self.access.space());
        Ok(match self.access.lookup(key, Some(name.to_string())).await {
            Ok(trace) => {
                self.transfer.restart(self.wanted.size);
                PutEvent::Found { owner: trace.owner, deaf: self.is_deaf(trace.owner) }
            }
            Err(why) => PutEvent::LookupFailed(why),
        })
    }

    fn is_deaf(&self, peer: Peer) -> bool {
        self.access.plane().reach.is_deaf(peer.address())
    }

    /// Carries out a step that moves bytes, or that waits for copies.
    async fn move_bytes(&self, step: PutStep) -> Result<DataResponse, DataError> {
        match step {
            PutStep::Hand(owner) => Box::pin(self.hand_to(owner)).await,
            PutStep::Relay { to, rest } => {
                let Wanted { name, root, size, .. } = self.wanted.clone();
                self.transfer.restart(size);
                let relay = DataRequest::Relay { name, root, size, rest, follows: false };
                let answer = block_in_place(|| self.upload(to, &relay));
                if !matches!(answer, Ok(DataResponse::Relayed { .. })) {
                    tracing::info!(peer = %to, ?answer, "does not take what the owner cannot store");
                }
                answer
            }
            PutStep::Commit { owner, holders, obstacle } => {
                self.phases.phase("securing copies");
                self.commit(owner, (holders, obstacle)).await
            }
            other => Err(DataError::Peer(format!("{other:?} moves no bytes"))),
        }
    }

    /// What a step that moved bytes means.
    async fn ended(
        &self,
        ended: Result<DataResponse, DataError>,
    ) -> Result<PutEvent, CommandError> {
        match ended {
            Ok(answer) => {
                let mut answer = Some(answer);
                self.reached_first(&mut answer);
                Ok(answer.map_or(PutEvent::Woke, PutEvent::Answered))
            }
            Err(DataError::Changed) => Err(CommandError::local(self.path, PathFault::Changed)),
            Err(DataError::Cancelled) => Err(CommandError::CANCELLED),
            Err(_) if self.transfer.is_held() => {
                // Its user has it wait, which cut the connection.
                self.transfer.released().await.map_err(|_| CommandError::CANCELLED)?;
                Ok(PutEvent::Resumed)
            }
            Err(DataError::Io(error)) => Ok(PutEvent::Broken(error.to_string())),
            Err(error) => Ok(PutEvent::Failed(error.to_string())),
        }
    }

    /// Of the nodes that may take the file in its owner's place those are tried first that
    /// bytes reach.
    fn reached_first(&self, answer: &mut Option<DataResponse>) {
        if let Some(DataResponse::Unable { instead, .. }) = answer {
            let reach = self.access.plane().reach;
            instead.sort_by_key(|peer| reach.doubts(peer.address()));
        }
    }

    fn stored(&self, answer: DataResponse) -> Result<Outcome, CommandError> {
        let DataResponse::Stored { version, holders, wanted, already, passed, cut_off } = answer
        else {
            return Err(CommandError::Bug(format!("a put ended with {answer:?}")));
        };
        let (space, name) = (self.access.space(), self.wanted.name.clone());
        Ok(Outcome::Stored {
            key: name.key(space),
            name,
            size: self.wanted.size,
            version,
            holders,
            wanted,
            already,
            passed,
            cut_off,
            silent: Vec::new(),
            likely: 0,
            space,
        })
    }

    /// Hands the file to the owner of its name, which may be this node.
    async fn hand_to(&self, owner: Peer) -> Result<DataResponse, DataError> {
        let Sender { path, manifest, wanted, small, transfer, .. } = self;
        if let Access::Inside(data) = self.access
            && owner.address() == data.net.me().me.address()
        {
            self.phases.phase("storing");
            let chain = match owner::offer(data, wanted).await {
                Ok(chain) => chain,
                Err(answer) => return Ok(answer),
            };
            let source = match small {
                Some(small) => Source::Memory(small),
                None => Source::File(path, manifest),
            };
            let heard = |copies, wanted| {
                transfer.securing(copies, wanted);
                Ok(())
            };
            return owner::store(data, wanted, chain, source, transfer, heard).await;
        }
        block_in_place(|| match small {
            Some(small) => {
                self.phases.phase("sending");
                let plane = self.access.plane();
                small.upload(&plane, owner, wanted, transfer, |copies, wanted| {
                    self.secured(copies, wanted);
                })
            }
            None => {
                let Wanted { name, root, size, overwrite } = wanted.clone();
                let follows = false;
                let upload = DataRequest::Upload { name, root, size, overwrite, follows };
                self.upload(owner, &upload)
            }
        })
    }

    /// Tells the owner who has the content, and waits for the copies.
    async fn commit(
        &self,
        owner: Peer,
        elsewhere: (Vec<Peer>, Obstacle),
    ) -> Result<DataResponse, DataError> {
        match self.access {
            Access::Inside(data) if owner == data.net.me().me => {
                let heard = |copies, wanted| {
                    self.secured(copies, wanted);
                    Ok(())
                };
                commit::commit(data, &self.wanted, Some(elsewhere), heard).await
            }
            access => {
                let heard = |copies, wanted| self.secured(copies, wanted);
                tokio::select! {
                    () = self.transfer.cancelled() => Err(DataError::Cancelled),
                    answer = full_owner::commit(access, owner, &self.wanted, elsewhere, heard) => answer,
                }
            }
        }
    }

    /// Sends a node what it lacks of the file, as `request` says for what, and
    /// waits for its last word.
    fn upload(&self, to: Peer, request: &DataRequest) -> Result<DataResponse, DataError> {
        let mut connection = self.access.plane().dial(to.address())?;
        let mut file = open_again(self.path)?;
        connection.send(request)?;
        match connection.receive()? {
            DataResponse::Proceed => {}
            answer => return Ok(answer),
        }
        self.transfer.with_peer(to.address());
        connection.serves(self.transfer);
        self.phases.phase("sending");
        let there = match hand_manifest(&mut connection, &self.manifest)? {
            Handed::Has(there) => there,
            Handed::Answered(answer) => return Ok(answer),
        };
        let already = there.iter().map(|index| self.manifest.len_of(index)).sum();
        self.transfer.goes_on(self.wanted.size, already);
        if let Err(error) = self.send_missing(&mut file, &mut connection, &there) {
            if matches!(error, DataError::Cancelled | DataError::Changed) {
                return Err(error);
            }
            // Whoever refuses the rest says why before he closes.
            return match connection.receive() {
                Ok(answer @ (DataResponse::Failed { .. } | DataResponse::Unable { .. })) => {
                    Ok(answer)
                }
                _ => Err(error),
            };
        }
        self.phases.phase("securing copies");
        loop {
            match connection.receive()? {
                DataResponse::Progress { copies, wanted } => self.secured(copies, wanted),
                answer => return Ok(answer),
            }
        }
    }

    /// Sends the pieces that are not there, in their order.
    fn send_missing(
        &self,
        file: &mut File,
        connection: &mut DataConnection,
        there: &PieceSet,
    ) -> Result<(), DataError> {
        for run in there.lacking_runs() {
            let bytes = self.manifest.bytes_of(run);
            let mut at = bytes.start;
            file.seek(SeekFrom::Start(at))?;
            while at < bytes.end {
                if connection.has_answer() {
                    return Err(DataError::Peer("it wants no more".to_owned()));
                }
                let length = (bytes.end - at).min(SEND_BYTES);
                connection.send_file(file, length, self.transfer)?;
                at += length;
            }
        }
        Ok(())
    }

    /// Tells of copies; none are wanted while the owner waits for its disk or
    /// for the chain.
    fn secured(&self, copies: u8, wanted: u8) {
        if wanted > 0 {
            self.transfer.securing(copies, wanted);
            self.phases.phase(&format!("securing copies {copies}/{wanted}"));
        }
    }
}

/// The end of a put, if it has at least so many copies.
///
/// # Errors
/// A sentence: it has fewer. Those stay.
pub(crate) fn with_at_least(
    least: u8,
    stored: Result<Outcome, CommandError>,
) -> Result<Outcome, CommandError> {
    match stored? {
        Outcome::Stored { holders, cut_off, .. } if holders.len() < usize::from(least) => {
            Err(commit::too_few(holders.len(), least, cut_off))
        }
        enough => Ok(enough),
    }
}

fn plain_file_size(path: &Path) -> Result<u64, CommandError> {
    let fault = match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => match fetch::check_size(metadata.len()) {
            Ok(()) => return Ok(metadata.len()),
            Err(error) => PathFault::Other(format!("cannot be stored: {error}")),
        },
        // It was none when it was found.
        Ok(metadata) if metadata.is_dir() => {
            PathFault::Other("is a directory by now; put it again".to_owned())
        }
        Ok(_) => PathFault::Other("is neither a file nor a directory; put takes those".to_owned()),
        Err(error) => PathFault::Unreadable(error.to_string()),
    };
    Err(CommandError::local(path, fault))
}

/// Reads a file that is small enough to be sent at once; `None`: it is not.
fn read_small(path: &Path, size: u64) -> Result<Option<Small>, CommandError> {
    if size > EAGER_BYTES {
        return Ok(None);
    }
    let read = block_in_place(|| Small::read(path, size));
    read.map(Some).map_err(|error| unreadable(path, &error))
}

/// Why a file is not put that was to be read.
fn unreadable(path: &Path, error: &io::Error) -> CommandError {
    let fault = match error.kind() {
        io::ErrorKind::UnexpectedEof => PathFault::Changed,
        _ => PathFault::Unreadable(error.to_string()),
    };
    CommandError::local(path, fault)
}

fn hash(path: &Path, transfer: &Transfer) -> Result<Manifest, CommandError> {
    let progress = |bytes| {
        transfer.advance(bytes);
        match transfer.wait_while_held() {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    };
    block_in_place(|| hash_file(path, progress)).map_err(|error| {
        if transfer.is_cancelled() { CommandError::CANCELLED } else { unreadable(path, &error) }
    })
}
