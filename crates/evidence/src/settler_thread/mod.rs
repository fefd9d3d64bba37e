//! The thread that settles behind the writer, signs checkpoints and notices idleness.

mod rotation;

use crate::ambient;
use crate::command::Command;
use crate::completion::Completion;
use crate::epochs::Epoch;
use crate::error::Error;
use crate::keys::LogKeys;
use crate::orders::Order;
use crate::progress::{Durable, Progress};
use crate::queue::Queue;
use crate::recorder::Options;
use crate::salts::Salts;
use crate::segments::segment_path;
use crate::settle::{LEVEL_AT_EASE, Settler};
use crate::state::Then;
use rotation::{STATEMENT_PATIENCE, Statement};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use storage::{DiskFile, Frames, MAX_FRAME_BYTES, SEGMENT_HEADER_BYTES};
use tokio::sync::mpsc;

/// Bytes read from the log at a time; at least a whole frame.
const PIECE_BYTES: usize = 4 * MAX_FRAME_BYTES;

/// How long to wait before trying again when the disk is full or the token does not sign.
const RETRY: Duration = Duration::from_secs(1);

/// Compression when the writer is ahead.
const LEVEL_BEHIND: i32 = 1;

/// Compression of what a closing recorder leaves: small, written once, kept for years.
const LEVEL_LAST: i32 = 15;

/// Unsettled bytes up to which there is time.
const EASE_BYTES: u64 = 2 << 20;

pub(crate) struct SettlerThread {
    settler: Settler,
    keys: LogKeys,
    progress: Arc<Progress>,
    queue: Arc<Queue>,
    orders: mpsc::Receiver<Order>,
    /// Taken from there and not carried out yet.
    waiting: VecDeque<Order>,
    /// Something about the keys that is on its way into the log.
    statement: Option<Statement>,
    /// Whether such a thing got lost on the way, perhaps behind its goal.
    undecided: bool,
    heartbeat: Duration,
    checkpoint: Duration,
    completion: Completion,
    /// How long a key is in force, and when the next one is due.
    epoch: Duration,
    rotate_at: Instant,
    segment: u64,
    offset: u64,
    file: Option<Box<dyn DiskFile>>,
    /// Size of the newest checkpoint, and when it was signed.
    signed: u64,
    signed_at: Instant,
    /// How far the log was durable at the last turn, and when it last was seen to have grown.
    seen: Durable,
    grew_at: Instant,
    /// Whether what was applied since the last settling is in doubt.
    stale: bool,
    buffer: Vec<u8>,
}

/// How a turn of the settler went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Everything that was there is settled or will be.
    Done,
    /// The disk is full, or the token does not sign; try again later.
    Later,
    /// Nothing will follow.
    Ended,
}

impl SettlerThread {
    pub(crate) fn new(
        settler: Settler,
        keys: LogKeys,
        progress: Arc<Progress>,
        queue: Arc<Queue>,
        orders: mpsc::Receiver<Order>,
        salts: Arc<Salts>,
        options: &Options,
    ) -> Self {
        let state = settler.state();
        let (segment, offset) = (state.segment, state.offset);
        progress.settled(Durable {
            segment,
            offset,
            events: settler.size(),
        });
        let in_force = settler.epochs().in_force();
        progress.epoch(in_force.number);
        let left = match keys.is_to_move() {
            false => options.epoch.saturating_sub(age_of(in_force)),
            true => Duration::ZERO,
        };
        let rotate_at = ambient::now() + left;
        Self {
            settler,
            keys,
            progress,
            queue,
            orders,
            waiting: VecDeque::new(),
            statement: None,
            undecided: false,
            heartbeat: options.heartbeat,
            checkpoint: options.checkpoint,
            completion: Completion::new(options, salts),
            epoch: options.epoch,
            rotate_at,
            segment,
            offset,
            file: None,
            signed: 0,
            signed_at: ambient::now(),
            seen: Durable::default(),
            grew_at: ambient::now(),
            stale: false,
            buffer: vec![0; PIECE_BYTES],
        }
    }

    /// Runs until the writer has ended and everything is settled, or until settling fails.
    pub(crate) fn run(&mut self) {
        // Behind the writer and the data plane in the competition for the processor; if the system
        // refuses, it only means less politeness.
        rustix::process::nice(5).ok();
        loop {
            match self.turn(self.checkpoint.min(self.heartbeat)) {
                Turn::Done => {}
                Turn::Later => std::thread::sleep(RETRY),
                Turn::Ended => return,
            }
        }
    }

    /// Settles what there is, waiting at most `patience` for it to come.
    pub(crate) fn turn(&mut self, patience: Duration) -> Turn {
        let patience = match self.statement {
            Some(_) => patience.min(STATEMENT_PATIENCE),
            None => patience,
        };
        let (mut durable, mut closed) = self.progress.wait(self.seen, patience);
        if self.waiting.is_empty() {
            let orders = std::iter::from_fn(|| self.orders.try_recv().ok());
            self.waiting.extend(orders);
        }
        if !self.waiting.is_empty() {
            // What is durable now was not before they were given.
            (durable, closed) = self.progress.reached();
        }
        if durable.events != self.seen.events {
            self.grew_at = ambient::now();
        }
        self.seen = durable;
        let due =
            closed || !self.waiting.is_empty() || self.since(self.signed_at) >= self.checkpoint;
        let mut turn = Turn::Done;
        match self.work(durable, due, closed) {
            Ok(()) if closed => return Turn::Ended,
            Ok(()) => {
                if due && !self.is_stating() {
                    self.signed_at = ambient::now();
                }
            }
            Err(error) if error.is_full() && !closed => {
                tracing::warn!(%error, "settling waits for room on the disk");
                self.refuse_waiting(&error);
                self.stale = true;
                turn = Turn::Later;
            }
            // Everything is settled: what is missing is the signature over it, which a later one makes up for.
            Err(error @ Error::Signer(_)) if !closed => {
                tracing::warn!(%error, "what is recorded stays unsigned for now");
                self.refuse_waiting(&error);
                turn = Turn::Later;
            }
            Err(error) => {
                self.refuse_waiting(&error);
                self.progress.failed(error);
                return Turn::Ended;
            }
        }
        if self.since(self.grew_at) >= self.heartbeat {
            self.grew_at = ambient::now();
            // A full queue is not an idle recorder.
            self.queue.push_spare(Command::Heartbeat {
                idle_since: durable.events,
            });
        }
        turn
    }

    fn refuse_waiting(&mut self, error: &Error) {
        for order in self.waiting.drain(..) {
            order.refuse(error.clone());
        }
    }

    fn since(&self, then: Instant) -> Duration {
        ambient::now().saturating_duration_since(then)
    }

    /// Catches up with the writer, signs if that is `due` and carries out the orders.
    fn work(&mut self, durable: Durable, due: bool, closed: bool) -> Result<(), Error> {
        let close = closed && !self.progress.has_failed();
        self.reload()?;
        self.catch_up(durable, close)?;
        self.look_for_statement(closed)?;
        if due && !self.is_stating() {
            self.sign()?;
        }
        while !self.is_stating()
            && let Some(order) = self.waiting.pop_front()
        {
            self.carry_out(order)?;
        }
        if !closed && !self.is_stating() {
            self.rotate_in_time()?;
        }
        if close {
            // Nothing is left in the log, and the segment made ahead of need is not needed either.
            self.settler.settle(durable.segment + 2, Then::Ended)?;
        }
        Ok(())
    }

    /// Signs what has been settled and is not signed yet.
    fn sign(&mut self) -> Result<(), Error> {
        if self.settler.size() > self.signed {
            self.signed = self.settler.sign(self.keys.key())?;
            self.progress.checkpoint(self.signed);
        }
        Ok(())
    }

    /// An error that concerns only the order goes only to whoever gave it.
    fn carry_out(&mut self, order: Order) -> Result<(), Error> {
        match order {
            Order::Publish(answer) => {
                let published = self.settler.publish(self.keys.key());
                let outcome = match &published {
                    Ok(_) | Err(Error::Damaged { .. }) => Ok(()),
                    Err(error) => Err(error.clone()),
                };
                // Who no longer waits finds it in the store.
                answer.send(published).ok();
                outcome
            }
            Order::Rotate(answer) => self.rotate_for(answer),
            Order::Revoke(what, answer) => self.revoke(what, answer),
        }
    }

    /// Starts over from the settled state if the last turn broke off: what was applied behind it is applied again.
    fn reload(&mut self) -> Result<(), Error> {
        if !self.stale {
            return Ok(());
        }
        let (disk, keys) = (self.settler.disk().clone(), self.settler.keys().clone());
        self.settler = Settler::load(disk, keys)?;
        let state = self.settler.state();
        (self.segment, self.offset) = (state.segment, state.offset);
        (self.file, self.stale) = (None, false);
        Ok(())
    }

    fn catch_up(&mut self, durable: Durable, close: bool) -> Result<(), Error> {
        if durable.segment == 0 {
            return Ok(());
        }
        while self.segment < durable.segment {
            self.settler.set_level(LEVEL_BEHIND);
            let end = self.progress.end_of(self.segment).ok_or_else(|| {
                Error::Fatal(format!("where segment {} ends is not known", self.segment))
            })?;
            self.settle_up_to(end)?;
            self.completion.before(&mut self.settler);
            self.settler.settle(self.segment + 1, Then::Runs)?;
            self.completion.after(&self.settler);
            (self.segment, self.offset, self.file) = (self.segment + 1, 0, None);
            let events = self.settler.size();
            self.progress.settled(Durable {
                segment: self.segment,
                offset: 0,
                events,
            });
        }
        let behind = durable.offset.saturating_sub(self.offset) > EASE_BYTES;
        self.settler.set_level(match (behind, close) {
            (true, _) => LEVEL_BEHIND,
            (false, false) => LEVEL_AT_EASE,
            (false, true) => LEVEL_LAST,
        });
        self.settle_up_to(durable.offset)?;
        if !close {
            self.completion
                .ask(&self.settler, &self.queue, self.segment)?;
        }
        Ok(())
    }

    /// Applies the frames of the current segment up to `end`.
    fn settle_up_to(&mut self, end: u64) -> Result<(), Error> {
        let path = segment_path(self.segment);
        let io = |error: std::io::Error| Error::io(&path, &error);
        if self.file.is_none() {
            self.file = Some(self.settler.disk().open(&path).map_err(io)?);
        }
        let Some(file) = &self.file else {
            return Ok(());
        };
        self.offset = self.offset.max(SEGMENT_HEADER_BYTES as u64);
        while self.offset < end {
            let wanted = usize::try_from(end - self.offset)
                .unwrap_or(PIECE_BYTES)
                .min(PIECE_BYTES);
            let piece = self.buffer.get_mut(..wanted).unwrap_or_default();
            let n = file.read_at(piece, self.offset).map_err(io)?;
            let bytes = self.buffer.get(..n).unwrap_or_default();
            let base = usize::try_from(self.offset).unwrap_or(usize::MAX);
            let mut frames = Frames::new(self.segment, bytes, base, None);
            for frame in frames.by_ref() {
                self.settler.apply(&frame, bytes)?;
            }
            let reached = frames.offset() as u64;
            if reached == self.offset {
                return Err(Error::damaged(
                    path,
                    format!("what was written at offset {reached} reads back differently"),
                ));
            }
            self.offset = reached;
        }
        Ok(())
    }
}

/// Unwound out of, it has settled something by half, and nobody signs any more: the recorder has to end.
impl Drop for SettlerThread {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.progress
                .failed(Error::Fatal("the settler ended in a panic".into()));
        }
    }
}

/// How long a key has been in force, by the wall clock. One that knows no beginning, or a clock that was set back, has
/// just begun.
fn age_of(epoch: &Epoch) -> Duration {
    let began = epoch
        .began
        .as_deref()
        .and_then(|time| time.parse::<jiff::Timestamp>().ok());
    let began = began.and_then(|time| u64::try_from(time.as_second()).ok());
    began.map_or(Duration::ZERO, |second| {
        ambient::clocks()
            .wall
            .saturating_sub(Duration::from_secs(second))
    })
}

#[cfg(test)]
mod tests;
