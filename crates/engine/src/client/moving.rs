//! `put`, `get` and `request`, of files and of directories: the same from inside, for a
//! node's own user, and from outside, for a client.

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use chordal_core::error::CommandError;
use chordal_view::{Command, Outcome, TransferKind};

use super::get::{self, Got};
use super::tree::{self, Source, Tree};
use super::{files, missing, put};
use crate::data::access::Access;
use crate::transfers::{Transfer, Transfers};

/// What commands that move files work with.
pub(crate) struct Moving<'a> {
    /// The way into the ring.
    pub(crate) access: &'a Access,
    /// Where transfers are listed.
    pub(crate) transfers: &'a Transfers,
    /// Where downloads go.
    pub(crate) download_dir: &'a Path,
    /// Copies without which a put fails.
    pub(crate) min_copies: u8,
    /// Whether finished downloads may be offered to others.
    pub(crate) reshare: bool,
    /// Of a client: cancelled when the command must end. Its transfers are not listed
    /// any more when they end, and wait for no turn.
    pub(crate) interrupted: Option<&'a CancellationToken>,
}

impl Moving<'_> {
    /// Carries a command out; gives back one that moves no files.
    pub(crate) async fn carry_out(
        &self,
        command: Command,
    ) -> Result<Result<Outcome, CommandError>, Command> {
        Ok(match command {
            Command::Put { path, name, overwrite, min_copies } => {
                let least = min_copies.max(self.min_copies);
                self.put(&path, name.as_deref(), overwrite, least).await
            }
            Command::Get { name, to, no_reshare } => {
                self.get(&name, None, to.as_ref(), !no_reshare).await
            }
            Command::Request { name, peer, to, no_reshare } => {
                self.get(&name, Some(&peer), to.as_ref(), !no_reshare).await
            }
            other => return Err(other),
        })
    }

    fn tree(&self) -> Tree<'_> {
        Tree { access: self.access, transfers: self.transfers }
    }

    async fn put(
        &self,
        path: &Path,
        name: Option<&str>,
        overwrite: bool,
        least: u8,
    ) -> Result<Outcome, CommandError> {
        if let Some(source) = Source::of(path, name)? {
            return self.tree().put(source, overwrite, least).await;
        }
        let name = files::name_for(path, name)?;
        let transfer = self.transfers.open(TransferKind::Upload, name.as_str(), 0);
        let put = put::put(self.access, path, name, overwrite, &transfer, &transfer);
        let put = put::with_at_least(least, self.run(&transfer, Box::pin(put)).await);
        self.end(transfer, put.as_ref().map(|_| ()));
        Ok(missing::doubted(self.access, put?).await)
    }

    /// Fetches from all that have it, or from exactly one `peer`.
    async fn get(
        &self,
        name: &str,
        peer: Option<&str>,
        to: Option<&PathBuf>,
        offer: bool,
    ) -> Result<Outcome, CommandError> {
        let offer = offer && self.reshare;
        if peer.is_none()
            && let Some(directory) = tree::directory(name)?
        {
            return self.tree().get(directory, to, self.download_dir, offer).await;
        }
        let place = files::place_for(to, self.download_dir)?;
        let transfer = self.transfers.open(TransferKind::Download, name, 0);
        let (moved, access) = (&transfer, self.access);
        let got = match peer {
            None => self.run(moved, Box::pin(get::get(access, name, &place, moved, moved))).await,
            Some(peer) => {
                let get = get::request(access, name, peer, &place, moved, moved);
                self.run(moved, Box::pin(get)).await
            }
        };
        match &got {
            // The user is asked which content; nothing has failed.
            Ok(Got { manifest: None, .. }) => self.transfers.forget(transfer),
            _ => self.end(transfer, got.as_ref().map(|_| ())),
        }
        let Got { outcome, manifest } = got?;
        if let (Access::Inside(data), Outcome::Fetched { name, path, .. }, Some(manifest)) =
            (access, &outcome, &manifest)
            && offer
        {
            data.shares.offer(path, name, manifest);
        }
        Ok(outcome)
    }

    /// Some work, once it is the turn of its transfer; of a client until it is
    /// interrupted. (The files of a directory are waited for instead: several threads
    /// move their bytes.)
    async fn run<T>(
        &self,
        transfer: &Transfer,
        work: impl Future<Output = Result<T, CommandError>>,
    ) -> Result<T, CommandError> {
        match self.interrupted {
            None => {
                transfer.turn().await.map_err(|_| CommandError::CANCELLED)?;
                work.await
            }
            Some(interrupted) => unless(interrupted, work).await,
        }
    }

    fn end(&self, transfer: Transfer, result: Result<(), &CommandError>) {
        match self.interrupted {
            None => transfer.end(result.map_err(Clone::clone)),
            Some(_) => self.transfers.forget(transfer),
        }
    }
}

/// Some work, given up when the user interrupts it.
pub(crate) async fn unless<T>(
    interrupted: &CancellationToken,
    work: impl Future<Output = Result<T, CommandError>>,
) -> Result<T, CommandError> {
    tokio::select! {
        result = work => result,
        () = interrupted.cancelled() => Err(CommandError::INTERRUPTED),
    }
}
