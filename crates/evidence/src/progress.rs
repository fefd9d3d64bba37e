//! What the writer has made durable, as the threads behind it and the callers see it.

use crate::error::Error;
use crate::reach::Reach;
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// The settler is woken for this much new log; for less it looks when a checkpoint is due. Waking it for every
/// batch would take a processor from the data plane each time.
const SETTLE_BYTES: u64 = 256 << 10;

/// How far the write-ahead log is durable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Durable {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) events: u64,
}

impl Durable {
    fn reaches(self, other: Self) -> bool {
        self.segment != other.segment || self.offset >= other.offset
    }
}

#[derive(Debug, Default)]
struct Inner {
    durable: Durable,
    closed: bool,
    /// Somebody has asked something of the settler since it last looked.
    asked: bool,
    refused: u64,
    reach: Reach,
    checkpoint: u64,
    epoch: u64,
    settled: Durable,
    /// What the settler waits for.
    wanted: Durable,
    /// Where the segments end that the writer has left and the settler has not settled.
    ends: BTreeMap<u64, u64>,
}

/// Shared between the writer, the settler and the handle.
#[derive(Debug)]
pub(crate) struct Progress {
    inner: Mutex<Inner>,
    changed: Condvar,
    failure: watch::Sender<Option<Error>>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            inner: Mutex::default(),
            changed: Condvar::new(),
            failure: watch::Sender::new(None),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn durable(&self, durable: Durable) {
        let mut inner = self.lock();
        inner.durable = durable;
        let reached = durable.reaches(inner.wanted);
        drop(inner);
        if reached {
            self.changed.notify_all();
        }
    }

    /// How far the durable events go.
    pub(crate) fn grew(&self, reach: Reach) {
        self.lock().reach = reach;
    }

    pub(crate) fn reach(&self) -> Reach {
        self.lock().reach
    }

    pub(crate) fn refused(&self, refused: u64) {
        self.lock().refused = refused;
    }

    pub(crate) fn checkpoint(&self, size: u64) {
        self.lock().checkpoint = size;
    }

    /// The number of the epoch in force.
    pub(crate) fn epoch(&self, epoch: u64) {
        self.lock().epoch = epoch;
    }

    /// The writer has left a segment, which ends at `offset`.
    pub(crate) fn left(&self, segment: u64, offset: u64) {
        self.lock().ends.insert(segment, offset);
    }

    /// Where a segment ends that the writer has left.
    pub(crate) fn end_of(&self, segment: u64) -> Option<u64> {
        self.lock().ends.get(&segment).copied()
    }

    pub(crate) fn settled(&self, settled: Durable) {
        let mut inner = self.lock();
        inner.settled = settled;
        inner.ends = inner.ends.split_off(&settled.segment);
        drop(inner);
        self.changed.notify_all();
    }

    /// Waits until everything before `segment` is settled; `false` when `patience` ran out.
    pub(crate) fn wait_settled(&self, segment: u64, patience: Duration) -> bool {
        let inner = self.lock();
        let (inner, _) = self
            .changed
            .wait_timeout_while(inner, patience, |inner| {
                inner.settled.segment < segment && !inner.closed
            })
            .unwrap_or_else(PoisonError::into_inner);
        inner.settled.segment >= segment
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failure.borrow().is_some()
    }

    /// Wakes the settler: there is an order for it.
    pub(crate) fn ask(&self) {
        self.lock().asked = true;
        self.changed.notify_all();
    }

    /// How far the log is durable, and whether the writer has ended.
    pub(crate) fn reached(&self) -> (Durable, bool) {
        let inner = self.lock();
        (inner.durable, inner.closed)
    }

    pub(crate) fn closed(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// The first failure is the one that counts. Whatever it was, to everybody outside it is that the recorder must stop.
    pub(crate) fn failed(&self, error: Error) {
        let error = match error {
            Error::Fatal(_) => error,
            other => Error::Fatal(other.to_string()),
        };
        self.failure.send_if_modified(|slot| {
            let first = slot.is_none();
            if first {
                *slot = Some(error);
            }
            first
        });
        self.closed();
    }

    pub(crate) fn failure(&self) -> watch::Receiver<Option<Error>> {
        self.failure.subscribe()
    }

    /// Waits until there is work for the settler behind `seen`, somebody asks something of it, the writer has ended,
    /// or `patience` is over.
    pub(crate) fn wait(&self, seen: Durable, patience: Duration) -> (Durable, bool) {
        let mut inner = self.lock();
        inner.wanted = Durable {
            offset: seen.offset + SETTLE_BYTES,
            ..seen
        };
        let (mut inner, _) = self
            .changed
            .wait_timeout_while(inner, patience, |inner| {
                !inner.durable.reaches(inner.wanted) && !inner.closed && !inner.asked
            })
            .unwrap_or_else(PoisonError::into_inner);
        inner.asked = false;
        (inner.durable, inner.closed)
    }

    /// Durable and settled positions, checkpoint size, epoch, refused events.
    pub(crate) fn figures(&self) -> (Durable, Durable, u64, u64, u64) {
        let inner = self.lock();
        (
            inner.durable,
            inner.settled,
            inner.checkpoint,
            inner.epoch,
            inner.refused,
        )
    }
}
