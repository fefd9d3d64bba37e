//! What a wrapped process writes to standard error: a body of its beginning, bounded, and how much there was beyond.

use crate::context::Context;
use crate::owed::is_gone;
use event::{BodyRef, Gap, Role};
use evidence::{BodyWriter, Error};
use std::time::{Duration, Instant};

/// Bytes of standard error that are recorded.
const STDERR_BYTES: u64 = 16 * 1024 * 1024;

/// How often standard error is made durable while the process runs.
const STDERR_EVERY: Duration = Duration::from_millis(250);

/// Standard error so far.
#[derive(Default)]
pub(super) struct Stderr {
    writer: Option<BodyWriter>,
    /// Bytes beyond the bound.
    beyond: u64,
    /// Bytes that the recorder did not take.
    refused: u64,
    flushed: Option<Instant>,
}

impl Stderr {
    /// Adds bytes. `start` is the `seq` of the process's start.
    ///
    /// # Errors
    /// The recorder takes nothing any more. What it refuses otherwise is counted.
    pub(super) async fn add(
        &mut self,
        ctx: &Context,
        start: u64,
        bytes: &[u8],
    ) -> Result<(), Error> {
        if self.refused > 0 {
            self.refused += bytes.len() as u64;
            return Ok(());
        }
        let written = self.writer.as_ref().map_or(0, BodyWriter::len);
        match self.write(ctx, start, bytes).await {
            Err(error) if !is_gone(&error) => {
                // The body is not going to be finished.
                self.writer = None;
                self.refused = written + bytes.len() as u64 + std::mem::take(&mut self.beyond);
                Ok(())
            }
            other => other,
        }
    }

    async fn write(&mut self, ctx: &Context, start: u64, bytes: &[u8]) -> Result<(), Error> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                let mut writer = ctx.recorder.body()?;
                writer.attach(start, Role::Stderr);
                self.writer.insert(writer)
            }
        };
        let room = usize::try_from(STDERR_BYTES.saturating_sub(writer.len())).unwrap_or(usize::MAX);
        let kept = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        if !kept.is_empty() {
            writer.write(kept).await?;
            if self.flushed.is_none_or(|at| at.elapsed() >= STDERR_EVERY) {
                // Nobody waits for it: what a crash loses of it is the last moment.
                drop(writer.flush().await?);
                self.flushed = Some(Instant::now());
            }
        }
        self.beyond += (bytes.len() - kept.len()) as u64;
        Ok(())
    }

    /// Ends the body. Also returns what of standard error is not in it.
    pub(super) async fn finish(self) -> (Option<BodyRef>, Option<Gap>) {
        let Self {
            writer,
            beyond,
            mut refused,
            ..
        } = self;
        let mut body = None;
        if let Some(writer) = writer {
            let written = writer.len();
            let media = Some("text/plain".to_owned());
            match writer.finish(Role::Stderr, media, None).await {
                Ok(mut finished) => {
                    finished.truncated = beyond;
                    body = Some(finished);
                }
                Err(_) => refused = written + beyond,
            }
        }
        let gap = |cause: &str, count: u64, from: Option<u64>| Gap {
            of: "stderr".to_owned(),
            cause: cause.to_owned(),
            count,
            unit: "bytes".to_owned(),
            from,
            to: from.map(|from| (from + count).saturating_sub(1)),
        };
        let gap = match (refused, beyond) {
            (1.., _) => Some(gap("not-recorded", refused, None)),
            (0, 1..) => Some(gap("truncated", beyond, Some(STDERR_BYTES))),
            (0, 0) => None,
        };
        (body, gap)
    }
}
