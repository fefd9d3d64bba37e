//! The write-ahead log's segments: made ahead of need, removed once settled.

use crate::error::Error;
use crate::stored;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use storage::{Disk, DiskFile};

pub(crate) fn segment_path(number: u64) -> String {
    format!("wal/{number:016}.wal")
}

/// Numbers of the segments on disk, ascending.
pub(crate) fn list(disk: &dyn Disk) -> Result<Vec<u64>, Error> {
    Ok(stored::list(disk, "wal")?
        .iter()
        .filter_map(|name| {
            let number = name.strip_suffix(".wal")?.parse().ok()?;
            // There is one way to write a number.
            (segment_path(number).strip_prefix("wal/") == Some(name)).then_some(number)
        })
        .collect())
}

/// A segment's number and file, or why it could not be made.
pub(crate) type Made = Result<(u64, Box<dyn DiskFile>), std::io::Error>;

/// Makes segments ahead of need.
pub(crate) trait Allocate: std::fmt::Debug + Send {
    /// Asks for a segment; at most one may be outstanding.
    fn ask(&self, number: u64);

    /// The segment asked for, waiting at most `patience` for it. `None`: not ready yet.
    fn take(&self, patience: Duration) -> Option<Made>;
}

/// Makes segments on a thread of its own, because writing their zeros takes longer than a commit may.
#[derive(Debug)]
pub(crate) struct Allocator {
    ready: Receiver<Made>,
    want: Option<SyncSender<u64>>,
    thread: Option<JoinHandle<()>>,
}

impl Allocator {
    /// Starts the thread.
    pub(crate) fn start(disk: Arc<dyn Disk>, segment_bytes: u64) -> Result<Self, Error> {
        let (want, wanted) = sync_channel::<u64>(1);
        let (done, ready) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("wal-allocator".into())
            .spawn(move || {
                while let Ok(number) = wanted.recv() {
                    let made = disk.allocate(&segment_path(number), segment_bytes);
                    if done.send(made.map(|file| (number, file))).is_err() {
                        break;
                    }
                }
            })
            .map_err(|error| Error::io("starting a thread", &error))?;
        Ok(Self {
            ready,
            want: Some(want),
            thread: Some(thread),
        })
    }
}

/// No segment is made any more once its writer has ended.
impl Drop for Allocator {
    fn drop(&mut self) {
        self.want = None;
        // If it panicked there is nothing left to be done for it.
        self.thread.take().map(JoinHandle::join);
    }
}

impl Allocate for Allocator {
    fn ask(&self, number: u64) {
        // The thread lives as long as the allocator; if it died, `take` reports it.
        if let Some(want) = &self.want {
            want.try_send(number).ok();
        }
    }

    fn take(&self, patience: Duration) -> Option<Made> {
        match self.ready.recv_timeout(patience) {
            Ok(made) => Some(made),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Err(std::io::Error::other(
                "the allocating thread has ended",
            ))),
        }
    }
}
