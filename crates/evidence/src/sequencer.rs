//! The one writer. Decides the order of events and makes them durable, a batch at a time.
//!
//! A batch is whatever is queued when the previous `fdatasync` returned: no timer, no delay when
//! there is little to do, large batches under load. Never parses an event; a leaf is the bytes it was
//! given behind the position it assigns.

mod bodies;

use crate::clock::Clock;
use crate::command::{Ack, Appended, BodyStep, Command, EventCommand, Queued};
use crate::dedup::Dedup;
use crate::error::Error;
use crate::progress::Progress;
use crate::queue::Queue;
use crate::reach::{Reach, Weight};
use crate::record::{CLOSES, EVENT, KEYS, SEALS};
use crate::sealed_volume::SealedVolume;
use crate::streams::Streams;
use crate::wal_writer::{BATCH_BYTES, WalWriter};
use event::{Draft, Gap, Kind, Position, Source};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Frames that nobody waits for are written when there are this many bytes of them.
const UNAWAITED_BYTES: usize = 512 << 10;

#[derive(Debug)]
pub(crate) struct Sequencer {
    queue: Arc<Queue>,
    /// Taken from the queue and not yet in a batch.
    taken: VecDeque<Queued>,
    wal: WalWriter,
    acks: Vec<(Ack, Appended)>,
    next_seq: u64,
    /// Events up to here are durable.
    written_seq: u64,
    /// Of all events, the next batch's too.
    reach: Reach,
    next_chunk: u64,
    streams: Streams,
    clock: Clock,
    dedup: Arc<Dedup>,
    /// Chunk numbers by the order in which an unfinished body sent them.
    unfinished: BTreeMap<u64, Vec<u64>>,
    refused_bodies: BTreeSet<u64>,
    /// Complete volumes that the record does not tell of yet.
    sealed: VecDeque<SealedVolume>,
    /// Events refused since there was no room, and how many of them the record tells of.
    refused_events: u64,
    told_refused: u64,
    progress: Arc<Progress>,
    line: Vec<u8>,
    scratch: Vec<u8>,
    closing: Option<oneshot::Sender<()>>,
    ended: bool,
}

impl Sequencer {
    /// Goes on at event `seq` and chunk `next_chunk`.
    pub(crate) fn new(
        queue: Arc<Queue>,
        wal: WalWriter,
        (seq, next_chunk): (u64, u64),
        dedup: Arc<Dedup>,
        progress: Arc<Progress>,
    ) -> Self {
        Self {
            queue,
            taken: VecDeque::new(),
            wal,
            acks: Vec::new(),
            next_seq: seq,
            written_seq: seq,
            reach: Reach::of(seq),
            next_chunk,
            streams: Streams::new(seq),
            clock: Clock::new(),
            dedup,
            unfinished: BTreeMap::new(),
            refused_bodies: BTreeSet::new(),
            sealed: VecDeque::new(),
            refused_events: 0,
            told_refused: 0,
            progress,
            line: Vec::new(),
            scratch: Vec::new(),
            closing: None,
            ended: false,
        }
    }

    /// Runs until closed, until nobody is left who could queue anything, or until a write fails; then every waiter
    /// and every later caller is told.
    pub(crate) fn run(&mut self) {
        loop {
            let open = !self.taken.is_empty() || self.queue.wait();
            if !self.turn(open) {
                return;
            }
        }
    }

    /// One batch. `open`: more may be queued. `false`: this was the last.
    pub(crate) fn turn(&mut self, open: bool) -> bool {
        if let Err(error) = self.gather_and_commit() {
            self.fail(error);
        } else if self.closing.is_some() || (!open && self.taken.is_empty()) {
            self.end();
        }
        !self.ended
    }

    /// Whether a turn would find something to do.
    #[cfg(test)]
    pub(crate) fn is_due(&self) -> bool {
        !self.taken.is_empty() || self.queue.is_due()
    }

    /// Takes what is queued, as much as a batch holds, and makes it durable.
    fn gather_and_commit(&mut self) -> Result<(), Error> {
        // A disk that failed another thread of the recorder is not believed about what is written either.
        if let Some(error) = self.progress.failure().borrow().clone() {
            return Err(error);
        }
        if self.taken.is_empty() {
            self.queue.take_all(&mut self.taken);
        }
        while self.wal.gathered() < BATCH_BYTES
            && let Some(Queued { command, room }) = self.taken.pop_front()
        {
            match command {
                Command::Close { ack } => self.closing = Some(ack),
                command => self.take(command)?,
            }
            drop(room);
        }
        // Bodies alone are waited for by nobody: they become durable with the event that refers to
        // them, in one write instead of several.
        let due = self.next_seq > self.written_seq
            || !self.acks.is_empty()
            || self.closing.is_some()
            || self.wal.gathered() >= UNAWAITED_BYTES;
        if due {
            self.commit()?;
        }
        Ok(())
    }

    /// Ends the log.
    fn end(&mut self) {
        self.ended = true;
        self.wal.close();
        // What was queued behind the closing is in no batch.
        self.refuse_rest(&Error::Closed);
        self.progress.closed();
        self.acknowledge_closing();
    }

    fn acknowledge_closing(&mut self) {
        if let Some(ack) = self.closing.take() {
            // Whoever asked may have gone; closing is done either way.
            ack.send(()).ok();
        }
    }

    /// Puts one event at the end of the log and makes it durable, before the thread runs.
    pub(crate) fn record(&mut self, draft: &Draft) -> Result<Appended, Error> {
        let (ack, mut done) = oneshot::channel();
        let (command, _) = crate::recorder::event_command(draft, ack)?;
        self.take_event(command)?;
        self.commit()?;
        done.try_recv().unwrap_or(Err(Error::Closed))
    }

    /// Puts the rest of a body into the log, before the thread runs; durable with the next event.
    pub(crate) fn end_body(
        &mut self,
        id: u64,
        chunks: Vec<crate::command::NewChunk>,
        end: BodyStep,
    ) -> Result<(), Error> {
        self.take(Command::Body {
            id,
            first: 0,
            chunks,
            step: end,
        })
    }

    /// Nothing more will be written, and why.
    fn fail(&mut self, error: Error) {
        let error = match error {
            Error::Fatal(_) => error,
            other => Error::Fatal(other.to_string()),
        };
        self.ended = true;
        self.progress.failed(error.clone());
        for (ack, _) in self.acks.drain(..) {
            ack.send(Err(error.clone())).ok();
        }
        self.refuse_rest(&error);
        self.acknowledge_closing();
    }

    /// Closes the queue to whoever comes later, and tells whoever is in it why.
    fn refuse_rest(&mut self, error: &Error) {
        self.queue.close();
        let mut rest = std::mem::take(&mut self.taken);
        let mut queued = VecDeque::new();
        self.queue.take_all(&mut queued);
        rest.append(&mut queued);
        for queued in rest {
            match queued.command {
                Command::Event(event) => drop(event.ack.send(Err(error.clone()))),
                Command::Body {
                    step: BodyStep::Part { ack, .. },
                    ..
                } => {
                    drop(ack.send(Err(error.clone())));
                }
                Command::Close { ack } => drop(ack.send(())),
                Command::Body { .. }
                | Command::Abandon { .. }
                | Command::Heartbeat { .. }
                | Command::Sealed(_)
                | Command::NextSegment { .. }
                | Command::Refusals => {}
            }
        }
    }

    /// Puts one command's frames into the batch. An error is fatal; a refusal goes to the source.
    fn take(&mut self, command: Command) -> Result<(), Error> {
        match command {
            Command::Event(event) => self.take_event(event),
            Command::Body {
                id,
                first,
                chunks,
                step,
            } => self.take_body(id, first, chunks, step),
            Command::Abandon { id } => {
                self.unfinished.remove(&id);
                self.refused_bodies.remove(&id);
                Ok(())
            }
            Command::Heartbeat { idle_since } => {
                if self.next_seq == idle_since {
                    let draft = Draft::new(Kind::Heartbeat, Source::Recorder);
                    self.write_own(&draft)?;
                }
                self.end_refusals()?;
                self.tell_sealed()
            }
            Command::Sealed(volume) => {
                self.sealed.push_back(volume);
                self.tell_sealed()
            }
            Command::NextSegment { leaving } => self.wal.leave_segment(leaving, self.next_seq),
            Command::Refusals => self.record_refusals(),
            Command::Close { .. } => Ok(()),
        }
    }

    fn make_room(&mut self, bytes: usize, closes: bool) -> Result<bool, Error> {
        self.wal.make_room(bytes, closes, self.next_seq)
    }

    fn take_event(&mut self, event: EventCommand) -> Result<(), Error> {
        let closes = event.flags & CLOSES != 0;
        let body_refused = event
            .bodies
            .iter()
            .any(|id| self.refused_bodies.contains(id));
        if body_refused || !self.make_room(event.sealed.len() + 512, closes)? {
            if event.flags & KEYS != 0 {
                // Nothing is lost: the settler keeps its key and comes again.
                event.ack.send(Err(self.wal.full())).ok();
                return Ok(());
            }
            self.refused_events += u64::from(!event.counted);
            self.progress.refused(self.refused_events);
            event.ack.send(Err(self.wal.full())).ok();
            // The first is told at once, from the reserve: nobody knows how this ends.
            if self.told_refused == 0 {
                self.record_refusals()?;
            }
            return Ok(());
        }
        self.end_refusals()?;
        self.tell_sealed()?;
        match self.write_event(event.run.as_ref(), event.flags, event.call, &event.sealed) {
            Ok(appended) => {
                self.reach.grow(event.weight, self.next_seq);
                self.acks.push((event.ack, appended));
                Ok(())
            }
            Err(error) => {
                event.ack.send(Err(Error::Fatal(error.to_string()))).ok();
                Err(error)
            }
        }
    }

    /// Once there is room again, what was refused is told in full, and over.
    fn end_refusals(&mut self) -> Result<(), Error> {
        if self.refused_events == 0 || self.wal.is_out_of_room() {
            return Ok(());
        }
        self.record_refusals()?;
        if self.told_refused == self.refused_events {
            (self.refused_events, self.told_refused) = (0, 0);
            self.progress.refused(0);
        }
        Ok(())
    }

    /// A loss is a record: says how much was refused and not yet told, if there is room for that.
    fn record_refusals(&mut self) -> Result<(), Error> {
        let untold = self.refused_events - self.told_refused;
        if untold == 0 {
            return Ok(());
        }
        let mut draft = Draft::new(Kind::Gap, Source::Recorder);
        draft.gap = Some(Gap {
            of: "recorder".into(),
            cause: "disk-full".into(),
            count: untold,
            unit: "events".into(),
            ..Gap::default()
        });
        if self.write_own(&draft)? {
            self.told_refused = self.refused_events;
        }
        Ok(())
    }

    /// `false`: there is no room for it.
    fn write_own(&mut self, draft: &Draft) -> Result<bool, Error> {
        self.write_flagged(draft, 0, 0)
    }

    fn write_flagged(&mut self, draft: &Draft, flags: u8, number: u64) -> Result<bool, Error> {
        let sealed = draft.seal()?;
        let room = self.make_room(sealed.len() + 512, true)?;
        if room {
            self.write_event(None, flags, number, &sealed)?;
            self.reach.grow(Weight::of(draft), self.next_seq);
        }
        Ok(room)
    }

    /// Writes which volumes are complete; what finds no room is written with the next event that does.
    fn tell_sealed(&mut self) -> Result<(), Error> {
        while let Some(volume) = self.sealed.front() {
            let number = volume.number;
            let mut draft = Draft::new(Kind::VaultSealed, Source::Recorder);
            draft.facts = Some(volume.facts());
            if !self.write_flagged(&draft, SEALS, number)? {
                break;
            }
            self.sealed.pop_front();
        }
        Ok(())
    }

    fn write_event(
        &mut self,
        run: Option<&Arc<str>>,
        flags: u8,
        call: u64,
        sealed: &[u8],
    ) -> Result<Appended, Error> {
        let seq = self.next_seq;
        let (stream, n) = self.streams.next(run, seq);
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        let boot = self.clock.boot().to_owned();
        let (boot_ns, time) = self.clock.read();
        Position {
            seq,
            time,
            boot_ns,
            boot: &boot,
            stream,
            n,
        }
        .write_line(sealed, &mut line);
        let mut head = [flags, 0, 0, 0, 0, 0, 0, 0, 0];
        for (to, from) in head.iter_mut().skip(1).zip(call.to_le_bytes()) {
            *to = from;
        }
        self.wal.push(EVENT, &[&head, &line])?;
        self.line = line;
        self.next_seq += 1;
        Ok(Appended { seq, stream, n })
    }

    /// Writes and syncs the batch, then acknowledges it.
    fn commit(&mut self) -> Result<(), Error> {
        self.wal.write_batch(self.next_seq)?;
        self.written_seq = self.next_seq;
        self.progress.grew(self.reach);
        for (ack, appended) in self.acks.drain(..) {
            // A source that no longer waits has lost nothing: its event is durable.
            ack.send(Ok(appended)).ok();
        }
        Ok(())
    }
}

/// Dropped without an end, it died in the middle of something: what was written is for recovery to judge.
impl Drop for Sequencer {
    fn drop(&mut self) {
        if !self.ended {
            self.fail(Error::Fatal("the writer ended in a panic".into()));
        }
    }
}
