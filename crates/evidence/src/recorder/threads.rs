//! The threads of a recorder, from their start to their end.

use crate::error::Error;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use storage::DirLock;

/// How long a recorder that nobody closed is waited for: its disk may have stalled.
const GRACE: Duration = Duration::from_secs(2);

/// Dropping them waits for their end. A thread that still seals a volume while its process ends draws random numbers
/// from a library that has been cleared, which then ends the process by a signal of its own.
#[derive(Debug)]
pub(crate) struct Threads {
    running: Vec<JoinHandle<()>>,
    // Each thread holds the other end of the channel while it runs; nothing is sent.
    alive: Option<SyncSender<()>>,
    ended: Receiver<()>,
    // Released when the last of them has ended.
    lock: Option<Arc<DirLock>>,
}

impl Default for Threads {
    fn default() -> Self {
        let (alive, ended) = sync_channel(0);
        Self {
            running: Vec::new(),
            alive: Some(alive),
            ended,
            lock: None,
        }
    }
}

impl Threads {
    /// Threads that write where `lock` is held.
    pub(crate) fn under(lock: Option<DirLock>) -> Self {
        let mut threads = Self::default();
        threads.lock = lock.map(Arc::new);
        threads
    }

    pub(crate) fn start(
        &mut self,
        name: &str,
        run: impl FnOnce() + Send + 'static,
    ) -> Result<(), Error> {
        let (alive, lock) = (self.alive.clone(), self.lock.clone());
        let thread = std::thread::Builder::new()
            .name(name.into())
            .spawn(move || {
                run();
                drop(lock);
                drop(alive);
            })
            .map_err(|error| Error::io("starting a thread", &error))?;
        self.running.push(thread);
        Ok(())
    }

    /// Waits for their ends. `false`: one of them ended in a panic.
    pub(crate) fn join(mut self) -> bool {
        self.reap()
    }

    fn reap(&mut self) -> bool {
        let mut in_order = true;
        for thread in self.running.drain(..) {
            in_order &= thread.join().is_ok();
        }
        in_order
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.alive = None;
        // The last handle may be one of their own, which then does not end.
        if self.ended.recv_timeout(GRACE) == Err(RecvTimeoutError::Disconnected) {
            self.reap();
        }
    }
}
