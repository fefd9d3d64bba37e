//! Segments without a thread: made at once, when they are needed, or too late.

use super::mix;
use crate::segments::{Allocate, Made, segment_path};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use storage::{Disk as _, SimDisk};

#[derive(Debug)]
pub(super) struct SimAllocator {
    disk: SimDisk,
    segment_bytes: u64,
    /// Whether the recorder has started: before, it waits as long as it takes.
    started: Arc<AtomicBool>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    dice: u64,
    asked: Option<u64>,
    made: Option<Made>,
}

impl SimAllocator {
    pub(super) fn new(disk: SimDisk, segment_bytes: u64, seed: u64) -> Self {
        let inner = Inner {
            dice: seed,
            asked: None,
            made: None,
        };
        Self {
            disk,
            segment_bytes,
            started: Arc::default(),
            inner: Mutex::new(inner),
        }
    }

    /// To be set once the recorder has started.
    pub(super) fn started(&self) -> Arc<AtomicBool> {
        self.started.clone()
    }

    fn make(&self, inner: &mut Inner) {
        if let Some(number) = inner.asked.take() {
            let made = self
                .disk
                .allocate(&segment_path(number), self.segment_bytes);
            inner.made = Some(made.map(|file| (number, file)));
        }
    }
}

impl Allocate for SimAllocator {
    fn ask(&self, number: u64) {
        let inner = &mut *self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.asked = Some(number);
        if mix(&mut inner.dice).is_multiple_of(2) {
            self.make(inner);
        }
    }

    fn take(&self, patience: Duration) -> Option<Made> {
        let inner = &mut *self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let late = if patience.is_zero() { 2 } else { 50 };
        let late = mix(&mut inner.dice).is_multiple_of(late);
        if !late || !self.started.load(Ordering::Relaxed) {
            self.make(inner);
        }
        inner.made.take()
    }
}
