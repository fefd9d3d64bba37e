//! When a volume is complete, and who is told.
//!
//! A volume is complete when it is full or old enough; it ends with a segment of the write-ahead log. Then the log gets an
//! event with the digest of its file, once: asked for by the settler, which sees it come by, or asks again after a
//! crash.

use crate::ambient;
use crate::command::Command;
use crate::error::Error;
use crate::queue::Queue;
use crate::recorder::Options;
use crate::salts::Salts;
use crate::sealed_volume::SealedVolume;
use crate::settle::Settler;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Age at which a write-only recorder completes a volume, until [`Options::seal`] says otherwise.
pub const WRITE_ONLY_SEAL: Duration = Duration::from_secs(3600);

/// Looks after the ends of volumes for the settler.
pub(crate) struct Completion {
    /// Age at which a volume is completed.
    age: Option<Duration>,
    /// Bytes at which a volume is full.
    full: u64,
    salts: Arc<Salts>,
    /// Since when there is something in the newest volume, as far as this process has seen.
    filling: Option<Instant>,
    /// The volume whose event was asked for last.
    announced: u64,
}

impl Completion {
    pub(crate) fn new(options: &Options, salts: Arc<Salts>) -> Self {
        let write_only = options.recipient.is_some();
        Self {
            age: options
                .seal
                .or_else(|| write_only.then_some(WRITE_ONLY_SEAL)),
            full: options.volume_bytes,
            salts,
            filling: None,
            announced: 0,
        }
    }

    fn is_due(&self) -> bool {
        self.age
            .zip(self.filling)
            .is_some_and(|(age, since)| ambient::now().saturating_duration_since(since) >= age)
    }

    /// Called before a segment is settled, once it has been read.
    pub(crate) fn before(&self, settler: &mut Settler) {
        if self.is_due() || settler.volume_len() >= self.full {
            settler.seal_next();
        }
    }

    /// Called when a segment is settled.
    pub(crate) fn after(&mut self, settler: &Settler) {
        if settler.volume_is_empty() {
            self.filling = None;
            if settler.keys().is_write_only() {
                self.salts.renew();
            }
        }
    }

    /// Asks the writer for what is due. `segment` is the one being settled.
    pub(crate) fn ask(
        &mut self,
        settler: &Settler,
        queue: &Queue,
        segment: u64,
    ) -> Result<(), Error> {
        if self.filling.is_none() && !settler.volume_is_empty() {
            self.filling = Some(ambient::now());
        }
        if self.is_due() {
            // Asked for again at every turn until it has happened.
            queue.push_spare(Command::NextSegment { leaving: segment });
        }
        match settler.unsealed() {
            Some(number) if number > self.announced => {
                let volume = SealedVolume::read(settler.disk().as_ref(), number)?;
                if queue.push_spare(Command::Sealed(volume)) {
                    self.announced = number;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
