//! The end of a stream whose answer may come on another: the call is handed over, not closed.

use super::Pump;
use super::releasing::deliver;
use crate::ending::{End, not_recorded};
use crate::owed::{self, Queued};
use crate::relay::{Carried, Suspend};
use event::Draft;

impl Pump {
    /// Records what has come, hands the call over to whoever waits for its answer, and releases what is left.
    pub(super) async fn suspend(
        mut self,
        suspend: Suspend,
        mut draft: Box<Draft>,
        end: End,
    ) -> Carried {
        let Suspend { mut event, park } = suspend;
        if let Some(http) = &mut event.http {
            http.status = Some(self.status);
        }
        let noted = self.queue_noted().await;
        let recorded = self.record_rest(&mut event).await;
        let beside = self.settle_beside().await;
        let (ctx, seq) = (self.call.ctx.clone(), self.call.seq);
        let durable = match noted.and(recorded).and(beside) {
            Ok(()) => Queued::event(&ctx, event).await.durable().await.map(drop),
            Err(error) => Err(error),
        };
        if durable.is_err() {
            owed::give_up_bodies(&mut draft, self.received);
            drop((self.reply.take(), self.outlet.take()));
            let outcome = draft.outcome.take().unwrap_or_else(not_recorded);
            let state = Some(outcome.state);
            let closing = self.call.close(draft, outcome).await;
            // A failure is counted and logged where it happens; recovery closes the call then.
            owed::settle_queued(&ctx, self.owed.into_iter().chain([closing]))
                .await
                .ok();
            return Carried { seq, state };
        }
        park(self.call);
        if end == End::Whole {
            tokio::select! {
                () = deliver(self.reply, self.outlet, self.head, self.held, self.trailers, self.declared) => {}
                () = self.stopping.now() => {}
            }
        } else {
            drop((self.reply, self.outlet));
        }
        owed::settle_queued(&ctx, self.owed).await.ok();
        Carried { seq, state: None }
    }
}
