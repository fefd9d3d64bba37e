//! What a wrapped process writes to standard error: a bounded body of its end.

use crate::context::Context;
use event::Role;
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
    lost: u64,
    flushed: Option<Instant>,
}

impl Stderr {
    pub(super) async fn add(
        &mut self,
        ctx: &Context,
        start: u64,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                let mut writer = ctx.recorder.body()?;
                writer.attach(start, Role::Stderr);
                writer
            }
        };
        let room = usize::try_from(STDERR_BYTES.saturating_sub(writer.len())).unwrap_or(usize::MAX);
        let kept = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.lost += (bytes.len() - kept.len()) as u64;
        if !kept.is_empty() {
            writer.write(kept).await?;
            if self.flushed.is_none_or(|at| at.elapsed() >= STDERR_EVERY) {
                // Nobody waits for it: what a crash loses of it is the last moment.
                drop(writer.flush().await?);
                self.flushed = Some(Instant::now());
            }
        }
        self.writer = Some(writer);
        Ok(())
    }

    pub(super) async fn finish(&mut self) -> Result<Option<event::BodyRef>, Error> {
        let Some(writer) = self.writer.take() else {
            return Ok(None);
        };
        let mut body = writer
            .finish(Role::Stderr, Some("text/plain".to_owned()), None)
            .await?;
        body.truncated = self.lost;
        Ok(Some(body))
    }
}
