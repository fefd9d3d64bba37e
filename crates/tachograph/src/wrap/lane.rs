//! One direction of a relay: lines on their way through the recorder, and those it has released to a sink.

use bytes::Bytes;
use std::collections::VecDeque;
use tokio::sync::mpsc;

/// Lines of one direction that may be on their way.
const MAX_LINES: usize = 64;

/// Bytes of one direction that may be on their way; one longer line may be alone.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Whoever took the lines takes no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SinkGone;

/// A direction. Its lines enter, leave when the recorder has answered for them, and are released then, in their order.
#[derive(Debug)]
pub(super) struct Lane {
    sink: Option<mpsc::Sender<Bytes>>,
    released: VecDeque<Bytes>,
    lines: usize,
    bytes: usize,
}

impl Lane {
    pub(super) const fn new(sink: Option<mpsc::Sender<Bytes>>) -> Self {
        Self {
            sink,
            released: VecDeque::new(),
            lines: 0,
            bytes: 0,
        }
    }

    /// Whether one more line may enter.
    pub(super) fn has_room(&self) -> bool {
        self.lines + self.released.len() < MAX_LINES && self.bytes < MAX_BYTES
    }

    /// A line is on its way to the recorder.
    pub(super) fn enter(&mut self, line: &Bytes) {
        self.lines += 1;
        self.bytes += line.len();
    }

    /// The recorder has answered for a line.
    pub(super) fn leave(&mut self, line: &Bytes) {
        self.lines = self.lines.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(line.len());
    }

    /// A line may pass.
    pub(super) fn release(&mut self, line: Bytes) {
        self.released.push_back(line);
    }

    /// Whether nothing is left to pass.
    pub(super) fn is_empty(&self) -> bool {
        self.released.is_empty()
    }

    /// Passes the next released line on when there is room for it. Nothing is lost when the wait is given up.
    pub(super) async fn pass(&mut self) -> Result<(), SinkGone> {
        let sink = self.sink.as_ref().ok_or(SinkGone)?;
        let permit = sink.reserve().await.map_err(|_| SinkGone)?;
        if let Some(line) = self.released.pop_front() {
            permit.send(line);
        }
        Ok(())
    }

    /// Nothing passes any more: the sink ends, and what was released for it is given up.
    pub(super) fn close(&mut self) {
        self.released.clear();
        self.sink = None;
    }

    /// The sink, and what was released and has not passed.
    pub(super) fn dismantle(&mut self) -> (Option<mpsc::Sender<Bytes>>, VecDeque<Bytes>) {
        (self.sink.take(), std::mem::take(&mut self.released))
    }
}
