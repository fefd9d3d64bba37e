//! What of an answer goes into the record, and when it is durable: its head, its body, what is beside it.

use super::Pump;
use crate::exchange::{Form, put_trailers};
use crate::owed::Queued;
use bytes::Bytes;
use event::{Draft, Gap, Role};
use evidence::{Error, Pending};

/// Events beside an answer that may be queued and not yet known to be durable.
const BESIDE: usize = 256;

/// A durable write under way: up to which byte, and how many events beside the answer lie before it.
pub(super) struct Flush {
    pub(super) pending: Pending,
    pub(super) upto: u64,
    pub(super) beside: usize,
}

impl Pump {
    /// Records a chunk, up to the bound.
    pub(super) async fn record(&mut self, data: &Bytes) -> Result<(), Error> {
        let ctx = &self.call.ctx;
        let room = ctx.limits.response_body.saturating_sub(self.received);
        let kept = usize::try_from(room).unwrap_or(usize::MAX).min(data.len());
        let Some(kept) = data.get(..kept).filter(|kept| !kept.is_empty()) else {
            return Ok(());
        };
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                let mut writer = ctx.recorder.body()?;
                writer.attach(self.call.seq, Role::Response);
                self.writer.insert(writer)
            }
        };
        writer.write(kept).await
    }

    /// Starts making durable what is not, where it is time and nothing is under way.
    pub(super) async fn start_flush(&mut self) -> Result<(), Error> {
        let all = self.received == self.flushed && self.head_text.is_empty();
        if self.flush.is_some() || !self.hurry || all {
            return Ok(());
        }
        self.hurry = false;
        self.pause = None;
        let head = self.record_head(true).await?;
        let pending = match &mut self.writer {
            Some(writer) => Some(writer.flush().await?),
            None => head,
        };
        self.flushed = self.received;
        self.flush = pending.map(|pending| Flush {
            pending,
            upto: self.received,
            beside: self.beside.len(),
        });
        self.silent_since = tokio::time::Instant::now();
        Ok(())
    }

    /// Queues what the observer noted, and what it goes on to note.
    pub(super) async fn queue_noted(&mut self) -> Result<(), Error> {
        self.queue_lot().await?;
        while self.observer.go_on(&mut self.noted) {
            self.queue_lot().await?;
            // What takes long to be looked at holds up nobody else.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn queue_lot(&mut self) -> Result<(), Error> {
        for noted in std::mem::take(&mut self.noted) {
            let queued = Queued::noted(&self.call.ctx, noted).await;
            self.beside.push_back(queued);
        }
        let over = self.beside.len().saturating_sub(BESIDE);
        if let Some(flush) = &mut self.flush {
            flush.beside = flush.beside.saturating_sub(over);
        }
        self.beside_is_durable(over).await
    }

    /// Waits for the first `count` events beside the answer. A refusal is each event's own: it breaks the answer off, but
    /// for a gap, which is made up for at the end.
    pub(super) async fn beside_is_durable(&mut self, count: usize) -> Result<(), Error> {
        let mut refused = None;
        for _ in 0..count {
            let Some(mut queued) = self.beside.pop_front() else {
                break;
            };
            if let Err(error) = queued.durable().await {
                if !queued.is_gap() {
                    refused.get_or_insert(error);
                }
                self.owed.extend(Some(queued).filter(Queued::is_owed));
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// Waits for what was queued beside the answer, but for gaps: these are seen to when the call is closed.
    pub(super) async fn settle_beside(&mut self) -> Result<(), Error> {
        let last = self.beside.iter().rposition(|queued| !queued.is_gap());
        let settled = self.beside_is_durable(last.map_or(0, |at| at + 1)).await;
        self.owed.extend(self.beside.drain(..));
        settled
    }

    /// Records the head once. With `flush`, what resolves when it is durable.
    pub(super) async fn record_head(&mut self, flush: bool) -> Result<Option<Pending>, Error> {
        if self.head_text.is_empty() {
            return Ok(None);
        }
        let mut writer = self.call.ctx.recorder.body()?;
        writer.attach(self.call.seq, Role::ResponseHead);
        writer.write(&self.head_text).await?;
        let pending = if flush {
            Some(writer.flush().await?)
        } else {
            None
        };
        self.head_ref = Some(writer.finish(Role::ResponseHead, None, None).await?);
        self.head_text = Vec::new();
        Ok(pending)
    }

    /// Records what is not yet: head, body, trailers, what was cut off.
    pub(super) async fn record_rest(&mut self, draft: &mut Draft) -> Result<(), Error> {
        self.record_head(false).await?;
        draft.bodies.extend(self.head_ref.take());
        let ctx = self.call.ctx.clone();
        let left_out = self.received.saturating_sub(ctx.limits.response_body);
        if let Some(writer) = self.writer.take() {
            let Form { media, encoding } = std::mem::take(&mut self.form);
            let mut body = writer.finish(Role::Response, media, encoding).await?;
            body.truncated = left_out;
            draft.bodies.push(body);
        }
        if let Some(trailers) = &self.trailers {
            draft.bodies.push(put_trailers(&ctx, trailers).await?);
        }
        if left_out > 0 {
            let gap = self.call.gap(Gap {
                of: "response".to_owned(),
                cause: "truncated".to_owned(),
                count: left_out,
                unit: "bytes".to_owned(),
                from: Some(self.received - left_out),
                to: Some(self.received.saturating_sub(1)),
            });
            self.beside.push_back(Queued::event(&ctx, gap).await);
        }
        Ok(())
    }
}

pub(super) async fn flushed(flush: &mut Option<Flush>) -> Result<evidence::Appended, Error> {
    match flush {
        Some(flush) => (&mut flush.pending).await,
        None => std::future::pending().await,
    }
}
