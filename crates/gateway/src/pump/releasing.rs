//! When what was received is released to the agent, and what is left at the end.

use super::{Pump, Step};
use crate::body::{Gone, Outlet, RelayBody, Reply, Room};
use crate::memory::Reservation;
use crate::rule::Rule;
use bytes::Bytes;
use http::{HeaderMap, Response};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a released byte may be in memory only.
const LAG: Duration = Duration::from_millis(50);

/// How many released bytes may be in memory only.
const LAG_BYTES: u64 = 256 * 1024;

impl Pump {
    /// Releases the head when its rule allows it.
    pub(super) fn release_head(&mut self) -> Result<(), Gone> {
        if self.rule != Rule::Stream && !self.head_durable {
            return Ok(());
        }
        let (Some(reply), Some(head)) = (self.reply.take(), self.head.take()) else {
            return Ok(());
        };
        self.outlet = Some(reply.head(head, self.declared, self.relayed.clone())?);
        self.head_released = Some(Instant::now());
        Ok(())
    }

    /// Whether the first held chunk may be released now.
    pub(super) fn releasable(&self) -> bool {
        let (Some(_), Some((upto, _))) = (&self.outlet, self.held.front()) else {
            return false;
        };
        if self.rule != Rule::Stream {
            return self.durable >= *upto;
        }
        let head_since = self.head_released.filter(|_| !self.head_durable);
        let since = head_since.or_else(|| self.lag.front().map(|(_, since)| *since));
        let late = since.is_some_and(|since| since.elapsed() >= LAG);
        let many = self.released > self.durable && upto.saturating_sub(self.durable) > LAG_BYTES;
        !late && !many
    }

    pub(super) fn note_release(&mut self, upto: u64, len: usize) {
        let now = Instant::now();
        self.call.clock.released.get_or_insert(now);
        self.released = upto;
        self.held_bytes -= len;
        if self.held_bytes == 0 {
            self.room = Reservation::default();
        }
        if self.released > self.durable {
            self.lag.push_back((self.released, now));
        }
    }
}

/// Releases what was held back until the terminal event was durable. That nobody is there any more changes nothing: the
/// call is closed.
pub(super) async fn deliver(
    reply: Option<Reply>,
    outlet: Option<Outlet>,
    head: Option<Response<()>>,
    held: VecDeque<(u64, Bytes)>,
    trailers: Option<HeaderMap>,
    declared: Option<u64>,
) {
    if let (Some(reply), Some(head)) = (reply, head) {
        let held: VecDeque<Bytes> = held.into_iter().map(|(_, data)| data).collect();
        let body = RelayBody::whole(held, trailers, declared);
        reply.whole(head.map(|()| body)).ok();
        return;
    }
    let Some(outlet) = outlet else { return };
    for (upto, data) in held {
        if outlet.data(upto, data).await.is_err() {
            return;
        }
    }
    if let Some(trailers) = trailers
        && outlet.trailers(trailers).await.is_err()
    {
        return;
    }
    outlet.end().await.ok();
}

/// Releases what is held next into the room there is.
pub(super) fn release(room: Result<Room<'_>, Gone>, held: &mut VecDeque<(u64, Bytes)>) -> Step {
    let Ok(room) = room else { return Step::Gone };
    let (upto, data) = held.pop_front().unwrap_or_default();
    let len = data.len();
    room.data(upto, data);
    Step::Released { upto, len }
}

pub(super) async fn room(outlet: Option<&Outlet>) -> Result<Room<'_>, Gone> {
    match outlet {
        Some(outlet) => outlet.ready().await,
        None => std::future::pending().await,
    }
}
