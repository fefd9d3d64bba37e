//! The rest of an answer that broke off: recorded, and released as far as the agent takes it.

use super::recording::flushed;
use super::releasing::{release, room};
use super::{Pump, gone};
use crate::ending::End;
use evidence::Error;
use std::time::Duration;

/// How long an agent may take for the rest of its answer when the recorder stops.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl Pump {
    /// Releases what arrived, under the rules that held before. When this returns, all of it has left on the agent's
    /// connection, or the agent has gone away or lost the recorder's patience.
    pub(super) async fn release_rest(&mut self, end: End) -> Result<(), Error> {
        let stopped = end == End::Stopped;
        let patience = if stopped {
            LAST_WORDS
        } else {
            self.call.ctx.limits.idle_timeout
        };
        loop {
            self.hurry = true;
            self.start_flush().await?;
            if self.release_head().is_err() {
                self.leave();
            }
            if self.gone {
                return Ok(());
            }
            if self.outlet.is_some() && self.held.is_empty() {
                break;
            }
            let releasable = self.releasable();
            let step = tokio::select! {
                biased;
                done = flushed(&mut self.flush), if self.flush.is_some() => super::Step::Flushed(done),
                room = room(self.outlet.as_ref()), if releasable => release(room, &mut self.held),
                () = gone(&mut self.reply, self.outlet.as_ref()) => super::Step::Gone,
                () = tokio::time::sleep(patience) => return Ok(()),
                () = self.stopping.now(), if !stopped => return Ok(()),
            };
            self.take(step).await?;
        }
        if let Some(outlet) = &self.outlet {
            tokio::select! {
                // An agent that has gone away changes nothing any more.
                _ = outlet.left() => {}
                () = tokio::time::sleep(patience) => {}
                () = self.stopping.now(), if !stopped => {}
            }
        }
        Ok(())
    }
}
