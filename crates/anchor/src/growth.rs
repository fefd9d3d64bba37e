//! What of the log's growth is our own doing.
//!
//! Every anchor is an event, and every event makes the log grow: anchoring whatever is new would anchor for ever.

use event::Draft;
use evidence::Recorder;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Own events remembered; beyond it the oldest are forgotten and count as somebody's.
const REMEMBERED: usize = 100_000;

/// Records events about anchors, and remembers which they are.
#[derive(Debug)]
pub(crate) struct Growth {
    recorder: Recorder,
    own: Mutex<Own>,
}

#[derive(Debug, Default)]
struct Own {
    seqs: BTreeSet<u64>,
    /// On their way into the log.
    pending: u64,
}

impl Growth {
    pub(crate) fn new(recorder: Recorder) -> Self {
        Self {
            recorder,
            own: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records an event about an anchor.
    ///
    /// # Errors
    /// As [`Recorder::append`].
    pub(crate) async fn record(&self, draft: &Draft) -> Result<(), evidence::Error> {
        self.lock().pending += 1;
        // From here on it is counted until it is known by its number, also where nobody waits any more.
        let pending = Pending(self);
        let appended = self.recorder.append(draft).await;
        if let Ok(appended) = &appended {
            let mut own = self.lock();
            own.seqs.insert(appended.seq);
            if own.seqs.len() > REMEMBERED {
                own.seqs.pop_first();
            }
        }
        drop(pending);
        appended.map(drop)
    }

    /// Whether anybody else's event is certainly durable behind the first `size`.
    pub(crate) fn is_new_behind(&self, size: u64) -> bool {
        let own = self.lock();
        let durable = self.recorder.status().durable;
        let ours = own.seqs.range(size..).count() as u64 + own.pending;
        durable.saturating_sub(size) > ours
    }
}

struct Pending<'a>(&'a Growth);

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let mut own = self.0.lock();
        own.pending = own.pending.saturating_sub(1);
    }
}
