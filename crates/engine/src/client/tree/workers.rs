//! The files of a directory on their way, several at a time: which are at work,
//! how many are done, and what went wrong.

use std::sync::Arc;

use tokio::task::JoinSet;

use chordal_core::error::CommandError;
use chordal_core::limits::EAGER_BYTES;
use chordal_view::FileCount;

use crate::transfers::{Transfer, Transfers};

/// Small files that take the room of one large file: what they take time for is
/// waiting for answers and disks, not bytes.
const SMALL_FOR_ONE: usize = 4;

/// Files that fail before the rest is not tried any more: by then it is not the
/// files.
const MAX_FAILED: usize = 1_000;

/// How a file ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// This many bytes went or came.
    Moved(u64),
    /// Nothing had to be done: it was there.
    Already(u64),
    /// It turned out that there is no such file any more.
    Gone,
}

/// A file's place in the order, what it is called when it fails, and its bytes.
#[derive(Debug)]
struct Task {
    number: usize,
    label: String,
    size: u64,
    room: usize,
}

/// The files of one directory.
#[derive(Debug)]
pub(super) struct Workers {
    transfers: Transfers,
    whole: Arc<Transfer>,
    tasks: JoinSet<(Task, Result<Ended, CommandError>)>,
    room: usize,
    begun: usize,
    counts: Counts,
    failed: Vec<(usize, String, String)>,
}

/// What is done so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// Files that moved.
    pub(super) moved: u32,
    /// Files that were there.
    pub(super) already: u32,
    /// Bytes of both.
    pub(super) bytes: u64,
    failed: u32,
    total: u32,
    total_bytes: u64,
}

impl Workers {
    /// Large files run as many at a time as transfers may, of small ones a few
    /// more.
    pub(super) fn new(transfers: &Transfers, whole: &Arc<Transfer>) -> Workers {
        Workers {
            transfers: transfers.clone(),
            whole: Arc::clone(whole),
            tasks: JoinSet::new(),
            room: transfers.at_once() * SMALL_FOR_ONE,
            begun: 0,
            counts: Counts::default(),
            failed: Vec::new(),
        }
    }

    /// There are so many files, of so many bytes, as far as is known.
    pub(super) fn expect(&mut self, files: u32, bytes: u64) {
        self.counts.total = files;
        self.counts.total_bytes = bytes;
        self.show();
    }

    /// Whether a file of this size may begin now.
    pub(super) fn has_room(&self, size: u64) -> bool {
        self.room >= room(size).min(self.room_of_all())
    }

    /// Whether none is at work.
    pub(super) fn is_idle(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Whether it is worth to begin anything more.
    pub(super) fn goes_on(&self) -> bool {
        self.failed.len() < MAX_FAILED && !self.whole.is_cancelled()
    }

    /// Begins with a file: `label` stands for it in the list of failures, `name`
    /// is the name of its transfer.
    pub(super) fn begin<F>(
        &mut self,
        label: String,
        name: &str,
        size: u64,
        work: impl FnOnce(Arc<Transfer>) -> F,
    ) where
        F: Future<Output = Result<Ended, CommandError>> + Send + 'static,
    {
        let room = room(size).min(self.room);
        self.room -= room;
        let part = Arc::new(self.transfers.open_part(&self.whole, name, size));
        let task = Task { number: self.begun, label, size, room };
        self.begun += 1;
        let (transfers, work) = (self.transfers.clone(), work(Arc::clone(&part)));
        self.tasks.spawn(async move {
            let work = async {
                // Small ones go between the large ones, whichever have a turn.
                let large = size > EAGER_BYTES;
                let turn = if large { part.turn().await } else { part.released().await };
                turn.map_err(|_| CommandError::CANCELLED)?;
                work.await
            };
            let result = tokio::select! {
                result = work => result,
                // Where it blocks, its connection is cut instead.
                () = part.cancelled() => Err(CommandError::CANCELLED),
            };
            if let Some(part) = Arc::into_inner(part) {
                match &result {
                    // Thousands that went well need not be listed.
                    Ok(_) => transfers.forget(part),
                    Err(why) => part.end(Err(why.clone())),
                }
            }
            (task, result)
        });
    }

    /// Takes note of something that failed before it began.
    pub(super) fn failed(&mut self, label: String, why: String) {
        self.failed.push((self.begun, label, why));
        self.begun += 1;
        self.counts.failed += 1;
        self.show();
    }

    /// Waits for the next file that ends; `None`: none is at work.
    pub(super) async fn next(&mut self) -> Option<()> {
        match self.tasks.join_next().await? {
            Ok((task, result)) => {
                self.room += task.room;
                self.settle(task, result);
            }
            Err(error) => {
                // A bug; the room that it had is lost, which `has_room` stands.
                self.failed("a file".to_owned(), format!("the program failed: {error}"));
            }
        }
        self.show();
        Some(())
    }

    fn settle(&mut self, task: Task, result: Result<Ended, CommandError>) {
        let counts = &mut self.counts;
        match result {
            Ok(Ended::Moved(bytes)) => {
                counts.moved += 1;
                counts.bytes = counts.bytes.saturating_add(bytes);
            }
            Ok(Ended::Already(bytes)) => {
                counts.already += 1;
                counts.bytes = counts.bytes.saturating_add(bytes);
            }
            Ok(Ended::Gone) => {
                counts.total = counts.total.saturating_sub(1);
                counts.total_bytes = counts.total_bytes.saturating_sub(task.size);
            }
            Err(why) => {
                // What was broken off with all the rest has not failed.
                counts.failed += u32::from(!self.whole.is_cancelled());
                self.failed.push((task.number, task.label, why.to_string()));
            }
        }
    }

    fn show(&self) {
        let Counts { moved, already, bytes, failed, total, total_bytes } = self.counts;
        let done = moved + already;
        let files = FileCount { done, failed, total: total.max(done + failed) };
        self.whole.count_files(files, bytes, total_bytes.max(bytes));
    }

    /// What was done, and what failed in the order of the beginning. Those that
    /// are still at work are waited for; `rest`: there is more that was not
    /// begun.
    pub(super) async fn finish(mut self, rest: bool) -> (Counts, Vec<(String, String)>) {
        while self.next().await.is_some() {}
        self.failed.sort_by_key(|(number, ..)| *number);
        let mut failed: Vec<(String, String)> =
            self.failed.into_iter().map(|(_, label, why)| (label, why)).collect();
        if rest && !self.whole.is_cancelled() {
            let why = format!("it was not tried after {} failures", failed.len());
            failed.push(("the rest".to_owned(), why));
        }
        (self.counts, failed)
    }

    /// The room that there is when none is at work; less what a bug lost.
    fn room_of_all(&self) -> usize {
        if self.tasks.is_empty() { self.room } else { usize::MAX }
    }
}

impl Counts {
    /// What is said of a directory that was stopped: how many of its files are
    /// `done`, and that the same `word` goes on.
    pub(super) fn halted(&self, done: &str, word: &str) -> String {
        let Counts { moved, already, failed, total, .. } = *self;
        let ended = moved + already;
        let failures = if failed > 0 { format!(", {failed} failed") } else { String::new() };
        let total = total.max(ended + failed);
        format!(
            "{ended} of {total} files are {done}{failures}; the same {word} goes on \
             where it was"
        )
    }
}

/// The room that a file takes.
const fn room(size: u64) -> usize {
    if size <= EAGER_BYTES { 1 } else { SMALL_FOR_ONE }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chordal_view::{TransferKind, TransferState};
    use std::time::Instant;

    const LARGE: u64 = EAGER_BYTES + 1;

    fn workers(at_once: usize) -> (Transfers, Arc<Transfer>, Workers) {
        let transfers = Transfers::new(Instant::now(), at_once);
        let whole = Arc::new(transfers.open(TransferKind::Upload, "all", 0));
        let workers = Workers::new(&transfers, &whole);
        (transfers, whole, workers)
    }

    #[tokio::test]
    async fn large_files_run_as_many_as_may_and_small_ones_a_few_more() {
        let (_transfers, _whole, mut workers) = workers(2);
        let forever = |_| std::future::pending::<Result<Ended, CommandError>>();
        let mut begun = 0;
        while workers.has_room(LARGE) {
            workers.begin("large".into(), "large", LARGE, forever);
            begun += 1;
        }
        assert_eq!(begun, 2);
        assert!(!workers.has_room(1));
        let (_transfers, _whole, mut workers) = self::workers(2);
        begun = 0;
        while workers.has_room(1) {
            workers.begin("small".into(), "small", 1, forever);
            begun += 1;
        }
        assert_eq!(begun, 2 * SMALL_FOR_ONE);
    }

    #[tokio::test]
    async fn what_fails_stops_nothing_and_is_told_in_the_order_of_the_beginning() {
        let (transfers, _whole, mut workers) = workers(4);
        workers.expect(4, 40);
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        workers.begin("slow".into(), "slow", 10, |_| async move {
            let _ = gone.await;
            Err(CommandError::Usage("it is slow".to_owned()))
        });
        workers.failed("bad".into(), "it is bad".into());
        workers.begin("fine".into(), "fine", 10, |_| async { Ok(Ended::Moved(10)) });
        workers.begin("there".into(), "there", 10, |_| async { Ok(Ended::Already(10)) });
        while workers.counts.moved + workers.counts.already < 2 {
            workers.next().await;
        }
        let row = |number| transfers.rows().into_iter().find(|row| row.number == number);
        let files = row(1).and_then(|row| row.files);
        assert_eq!(files, Some(FileCount { done: 2, failed: 1, total: 4 }));
        go.send(()).expect("it waits");
        let (counts, failed) = workers.finish(false).await;
        assert_eq!((counts.moved, counts.already, counts.bytes), (1, 1, 20));
        let failed: Vec<_> = failed.iter().map(|(label, _)| label.as_str()).collect();
        assert_eq!(failed, ["slow", "bad"]);
        // Those that went well are not listed one by one.
        assert_eq!(transfers.rows().len(), 2);
        assert!(matches!(row(2).map(|row| row.state), Some(TransferState::Failed(_))));
    }

    #[test]
    fn a_directory_that_is_stopped_says_how_far_it_was() {
        let counts = Counts { moved: 3, already: 4, failed: 1, total: 40, ..Counts::default() };
        assert_eq!(
            counts.halted("stored", "put"),
            "7 of 40 files are stored, 1 failed; the same put goes on where it was"
        );
        let counted = Counts { moved: 3, ..Counts::default() };
        assert!(counted.halted("here", "get").starts_with("3 of 3 files are here;"));
    }

    #[tokio::test]
    async fn cancelling_a_directory_cancels_its_files() {
        let (transfers, whole, mut workers) = workers(4);
        workers.begin("one".into(), "one", 10, |_| std::future::pending());
        transfers.cancel(1).expect("it is under way");
        assert!(!workers.goes_on());
        workers.expect(3, 30);
        let (counts, failed) = workers.finish(true).await;
        assert_eq!(failed, [("one".to_owned(), "cancelled".to_owned())]);
        let said = whole.stopped(Some(counts.halted("here", "get"))).to_string();
        assert!(said.starts_with("cancelled: 0 of 3 files are here; the same"), "{said}");
        assert_eq!(transfers.rows()[0].state, TransferState::Cancelled);
        drop(whole);
    }
}
