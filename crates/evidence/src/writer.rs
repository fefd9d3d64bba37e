//! Who runs the sequencer: a thread of its own, or the source that needs it while it is idle.
//!
//! Waking a thread and being woken by it costs more than a small write. A source that is about to wait anyway
//! therefore runs one batch itself when nobody else does, its own event and whatever else is queued. Under load
//! the thread has the sequencer most of the time, and sources only push.

use crate::error::Error;
use crate::queue::Queue;
use crate::sequencer::Sequencer;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::{Duration, Instant};

/// A disk that took longer than this for the last batch is waited for by the writer's own thread only.
const SLOW: Duration = Duration::from_millis(4);

#[derive(Debug)]
pub(crate) struct Writer {
    queue: Arc<Queue>,
    sequencer: Mutex<Sequencer>,
    slow: AtomicBool,
}

impl Writer {
    pub(crate) fn new(queue: Arc<Queue>, sequencer: Sequencer) -> Self {
        Self {
            queue,
            sequencer: Mutex::new(sequencer),
            slow: AtomicBool::new(false),
        }
    }

    /// The thread: runs until the sequencer has ended.
    pub(crate) fn run(&self) {
        let mut open = true;
        loop {
            match self.sequencer.lock() {
                Ok(mut sequencer) => {
                    while !sequencer.has_ended() && self.queue.is_due() {
                        self.round(&mut sequencer);
                    }
                    if !open {
                        sequencer.end();
                    }
                    if sequencer.has_ended() {
                        return;
                    }
                }
                // A source died in the middle of a batch: what was written is for recovery to judge.
                Err(poisoned) => {
                    let error = Error::Fatal("the writer ended in a panic".into());
                    return poisoned.into_inner().fail(error);
                }
            }
            open = self.queue.wait();
            if !open {
                // Nobody is left to push; what is queued is written all the same.
                self.queue.still_due();
            }
        }
    }

    /// Called by a source that has pushed something due and is about to wait for it.
    pub(crate) fn lead_or_wake(&self) {
        if self.slow.load(Relaxed) || !may_block() {
            return self.queue.wake();
        }
        match self.sequencer.try_lock() {
            Ok(mut sequencer) => self.round(&mut sequencer),
            // Whoever has it looks into the queue once more after letting go.
            Err(TryLockError::WouldBlock) => return,
            Err(TryLockError::Poisoned(_)) => {}
        }
        if self.queue.is_due() {
            self.queue.wake();
        }
    }

    fn round(&self, sequencer: &mut Sequencer) {
        let began = Instant::now();
        sequencer.round();
        self.slow.store(began.elapsed() > SLOW, Relaxed);
    }
}

/// Whether this thread may be held up for the time of a write: on a runtime of one worker, everything else
/// would be held up with it.
fn may_block() -> bool {
    tokio::runtime::Handle::try_current().is_ok_and(|runtime| runtime.metrics().num_workers() > 1)
}
