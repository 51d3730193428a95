//! The ring's parameters, kept beside the files that depend on them.

use chordal_core::wire::handshake::Params;
use chordal_store::{Recovery, Store};

/// The ring's parameters: those of the files on disk, if there are any;
/// otherwise those asked for. Kept for the next start.
pub(crate) fn remembered(store: &Store, recovery: &Recovery, asked: &Params) -> Params {
    let saved = store.meta(PARAMS_KEY).ok().flatten();
    let saved = saved.and_then(|bytes| serde_json::from_slice::<Params>(&bytes).ok());
    let params = match saved {
        Some(saved) if !recovery.records.is_empty() && saved.is_sane() => saved,
        _ => asked.clone(),
    };
    remember(store, &params);
    params
}

/// Writes the ring's parameters beside the files that depend on them.
pub(crate) fn remember(store: &Store, params: &Params) {
    let written = serde_json::to_vec(params)
        .map_err(|error| error.to_string())
        .and_then(|bytes| store.set_meta(PARAMS_KEY, &bytes).map_err(|error| error.to_string()));
    if let Err(why) = written {
        tracing::warn!(%why, "the ring's parameters could not be saved");
    }
}

const PARAMS_KEY: &str = "params";
