//! The threads of the program and its limit of open files.

use super::failure::Failure;
use super::signals;

/// The runtime on which everything asynchronous of the program runs.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .map_err(|error| {
            Failure::Failed(format!(
                "cannot start worker threads: {error}; close other programs or raise the limits"
            ))
        })?;
    runtime.block_on(async { signals::outlive_file_limit() })?;
    Ok(runtime)
}

/// Threads that move bytes, made as needed. All nodes of a lab share them, and
/// a copy that waits for a thread at its source must get one: 64 nodes fetch
/// at most 512 files at once.
const BLOCKING_THREADS: usize = 2_048;

/// Lets the process open as many files as the system allows it to: each
/// connection is one, and many systems begin with 1 024.
fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Refused, what there is must do.
    let _ = setrlimit(Resource::Nofile, limit);
}
