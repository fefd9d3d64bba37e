//! The one writer. Decides the order of events and makes them durable, a batch at a time.
//!
//! A batch is whatever is queued when the previous `fdatasync` returned: no timer, no delay when
//! there is little to do, large batches under load. Never parses an event; a leaf is the bytes it was
//! given behind the position it assigns.

use crate::clock::Clock;
use crate::command::{Ack, Appended, BodyStep, ChunkRef, Command, EventCommand, Queued};
use crate::dedup::Dedup;
use crate::error::Error;
use crate::progress::{Durable, Progress};
use crate::record::{BODY, CHUNK, CLOSES, EVENT, PART};
use crate::segments::Allocator;
use crate::{recipe, streams::Streams};
use event::{Draft, Gap, Kind, Position, Source};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use storage::{
    DiskFile, FRAME_HEADER_BYTES, FrameKind, SEGMENT_HEADER_BYTES, begin_segment, push_frame,
};
use tokio::sync::{mpsc, oneshot};

/// A batch is closed when its frames reach this.
const BATCH_BYTES: usize = 4 << 20;

/// The end of the last segment that a full disk leaves us is kept for events that close calls.
const RESERVE_BYTES: u64 = 256 << 10;

/// How long the writer waits for a segment before it answers that there is no room.
const ALLOCATE_PATIENCE: Duration = Duration::from_secs(20);

/// Segments that may wait to be settled before the writer waits too.
const BACKLOG_SEGMENTS: u64 = 32;

/// Bodies refused while the disk was full; an event that refers to one is refused too.
const REFUSED_BODIES_MAX: usize = 1 << 16;

/// Where the log stands when the writer starts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    pub(crate) batch: u32,
    pub(crate) seq: u64,
    pub(crate) next_chunk: u64,
    pub(crate) segment_bytes: u64,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    file: Box<dyn DiskFile>,
    offset: u64,
}

#[derive(Debug)]
pub(crate) struct Sequencer {
    queue: mpsc::Receiver<Queued>,
    allocator: Allocator,
    segment: Segment,
    segment_bytes: u64,
    /// Whether the next segment has been asked for.
    asked: bool,
    /// Set while no further segment can be had.
    no_more: Option<String>,
    batch: u32,
    frames: Vec<u8>,
    acks: Vec<(Ack, Appended)>,
    next_seq: u64,
    next_chunk: u64,
    streams: Streams,
    clock: Clock,
    dedup: Arc<Dedup>,
    /// Chunk numbers by the order in which an unfinished body sent them.
    sent: HashMap<u64, Vec<u64>>,
    refused_bodies: HashSet<u64>,
    refused_events: u64,
    progress: Arc<Progress>,
    line: Vec<u8>,
    scratch: Vec<u8>,
}

impl Sequencer {
    /// Takes the first segment and prepares to write. Nothing is durable yet.
    pub(crate) fn new(
        queue: mpsc::Receiver<Queued>,
        allocator: Allocator,
        start: Start,
        dedup: Arc<Dedup>,
        progress: Arc<Progress>,
    ) -> Result<Self, Error> {
        let (number, file) = allocator
            .take(Duration::from_secs(600))
            .unwrap_or_else(|| Err(std::io::ErrorKind::TimedOut.into()))
            .map_err(|error| Error::io("allocating the write-ahead log", &error))?;
        let mut sequencer = Self {
            queue,
            allocator,
            segment: Segment {
                number,
                file,
                offset: 0,
            },
            segment_bytes: start.segment_bytes,
            asked: false,
            no_more: None,
            batch: start.batch,
            frames: Vec::new(),
            acks: Vec::new(),
            next_seq: start.seq,
            next_chunk: start.next_chunk,
            streams: Streams::new(start.seq),
            clock: Clock::new(),
            dedup,
            sent: HashMap::new(),
            refused_bodies: HashSet::new(),
            refused_events: 0,
            progress,
            line: Vec::new(),
            scratch: Vec::new(),
        };
        sequencer.begin_segment();
        Ok(sequencer)
    }

    /// Runs until closed or until a write fails; then every waiter and every later caller is told.
    pub(crate) fn run(mut self) {
        let mut closing: Option<oneshot::Sender<()>> = None;
        let failure = loop {
            let Some(first) = self.queue.blocking_recv() else {
                break None;
            };
            let mut next = Some(first);
            while let Some(queued) = next {
                match queued.command {
                    Command::Close { ack } => closing = Some(ack),
                    command => {
                        if let Err(error) = self.take(command) {
                            return self.fail(error);
                        }
                    }
                }
                drop(queued.room);
                next = if self.frames.len() < BATCH_BYTES {
                    self.queue.try_recv().ok()
                } else {
                    None
                };
            }
            if let Err(error) = self.commit() {
                break Some(error);
            }
            if self.progress.has_failed() {
                break Some(Error::Fatal("settling has failed".into()));
            }
            if closing.is_some() {
                break None;
            }
        };
        match failure {
            Some(error) => self.fail(error),
            None => {
                // A segment still being made would outlive the closing otherwise.
                if self.asked {
                    drop(self.allocator.take(ALLOCATE_PATIENCE));
                }
                self.progress.closed();
            }
        }
        if let Some(ack) = closing {
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
        len: u64,
        refs: Vec<ChunkRef>,
    ) -> Result<(), Error> {
        self.take(Command::Body {
            id,
            chunks,
            step: BodyStep::End { len, refs },
        })
    }

    fn fail(&mut self, error: Error) {
        let error = match error {
            Error::Fatal(_) => error,
            other => Error::Fatal(other.to_string()),
        };
        self.progress.failed(error.clone());
        for (ack, _) in self.acks.drain(..) {
            ack.send(Err(error.clone())).ok();
        }
        // Whoever is queued hears why; whoever comes later finds the queue closed.
        self.queue.close();
        while let Ok(queued) = self.queue.try_recv() {
            match queued.command {
                Command::Event(event) => drop(event.ack.send(Err(error.clone()))),
                Command::Body {
                    step: BodyStep::Part { ack, .. },
                    ..
                } => {
                    drop(ack.send(Err(error.clone())));
                }
                Command::Close { ack } => drop(ack.send(())),
                Command::Body { .. } | Command::Heartbeat { .. } => {}
            }
        }
    }

    /// Puts one command's frames into the batch. An error is fatal; a refusal goes to the source.
    fn take(&mut self, command: Command) -> Result<(), Error> {
        match command {
            Command::Event(event) => self.take_event(event),
            Command::Body { id, chunks, step } => {
                let bytes: usize = chunks.iter().map(|chunk| chunk.bytes.len() + 64).sum();
                if !self.make_room(bytes + self.step_bytes(&step), false)? {
                    self.refuse_body(id, step);
                    return Ok(());
                }
                let mut numbers = self.sent.remove(&id).unwrap_or_default();
                for chunk in chunks {
                    // Another source may have sent the same chunk in the meantime.
                    let number = match self.dedup.find(&chunk.hash) {
                        Some(number) => number,
                        None => self.write_chunk(&chunk)?,
                    };
                    numbers.push(number);
                }
                self.take_step(id, &numbers, step)?;
                Ok(())
            }
            Command::Heartbeat { idle_since } => {
                if self.next_seq == idle_since {
                    let draft = Draft::new(Kind::Heartbeat, Source::Recorder);
                    self.write_own(&draft)?;
                }
                Ok(())
            }
            Command::Close { .. } => Ok(()),
        }
    }

    fn step_bytes(&self, step: &BodyStep) -> usize {
        match step {
            BodyStep::Chunks => 0,
            BodyStep::Part { refs, tail, .. } => refs.len() * 8 + tail.len() + 128,
            BodyStep::End { refs, .. } => refs.len() * 6 + 128,
        }
    }

    fn refuse_body(&mut self, id: u64, step: BodyStep) {
        self.sent.remove(&id);
        if self.refused_bodies.len() >= REFUSED_BODIES_MAX {
            // Each of these belongs to a source that was told, or will be when it appends its event.
            self.refused_bodies.clear();
        }
        self.refused_bodies.insert(id);
        if let BodyStep::Part { ack, .. } = step {
            ack.send(Err(self.full())).ok();
        }
    }

    fn full(&self) -> Error {
        Error::Full(
            self.no_more
                .clone()
                .unwrap_or_else(|| "the write-ahead log is full".into()),
        )
    }

    fn take_event(&mut self, event: EventCommand) -> Result<(), Error> {
        let closes = event.flags & CLOSES != 0;
        let body_refused = event
            .bodies
            .iter()
            .any(|id| self.refused_bodies.contains(id));
        if body_refused || !self.make_room(event.sealed.len() + 512, closes)? {
            self.refused_events += 1;
            self.progress.refused(self.refused_events);
            for id in &event.bodies {
                self.refused_bodies.remove(id);
            }
            event.ack.send(Err(self.full())).ok();
            return Ok(());
        }
        if self.refused_events > 0 && self.no_more.is_none() {
            self.record_refusals()?;
        }
        let appended =
            self.write_event(event.run.as_ref(), event.flags, event.call, &event.sealed)?;
        self.acks.push((event.ack, appended));
        Ok(())
    }

    /// A loss is a record: once there is room again, says how much was refused.
    fn record_refusals(&mut self) -> Result<(), Error> {
        let mut draft = Draft::new(Kind::Gap, Source::Recorder);
        draft.gap = Some(Gap {
            of: "recorder".into(),
            cause: "disk-full".into(),
            count: std::mem::take(&mut self.refused_events),
            unit: "events".into(),
            ..Gap::default()
        });
        self.write_own(&draft)
    }

    fn write_own(&mut self, draft: &Draft) -> Result<(), Error> {
        let sealed = draft.seal()?;
        if self.make_room(sealed.len() + 512, true)? {
            self.write_event(None, 0, 0, &sealed)?;
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
        self.push(EVENT, &[&head, &line])?;
        self.line = line;
        self.next_seq += 1;
        Ok(Appended { seq, stream, n })
    }

    fn write_chunk(&mut self, chunk: &crate::command::NewChunk) -> Result<u64, Error> {
        let number = self.next_chunk;
        let mut head = Vec::with_capacity(13);
        head.extend_from_slice(&number.to_le_bytes());
        head.extend_from_slice(&chunk.raw_len.to_le_bytes());
        head.push(chunk.codec);
        self.push(CHUNK, &[&head, &chunk.bytes])?;
        self.next_chunk += 1;
        self.dedup.insert(chunk.hash, number);
        Ok(number)
    }

    fn take_step(&mut self, id: u64, numbers: &[u64], step: BodyStep) -> Result<(), Error> {
        let resolve = |refs: &[ChunkRef]| -> Vec<u64> {
            refs.iter()
                .filter_map(|chunk| match chunk {
                    ChunkRef::Known(number) => Some(*number),
                    ChunkRef::Sent(index) => numbers.get(*index as usize).copied(),
                })
                .collect()
        };
        match step {
            BodyStep::Chunks => {
                self.sent.insert(id, numbers.to_vec());
            }
            BodyStep::Part {
                call,
                role,
                refs,
                tail,
                ack,
            } => {
                let chunks = resolve(&refs);
                let mut payload = std::mem::take(&mut self.scratch);
                payload.clear();
                payload.extend_from_slice(&id.to_le_bytes());
                payload.extend_from_slice(&call.to_le_bytes());
                payload.push(u8::try_from(role.len()).unwrap_or_default());
                payload.extend_from_slice(role.as_bytes());
                payload.extend_from_slice(
                    &u32::try_from(chunks.len())
                        .unwrap_or_default()
                        .to_le_bytes(),
                );
                for chunk in chunks {
                    payload.extend_from_slice(&chunk.to_le_bytes());
                }
                payload.extend_from_slice(&tail);
                self.push(PART, &[&payload])?;
                self.scratch = payload;
                self.sent.insert(id, numbers.to_vec());
                self.acks.push((
                    ack,
                    Appended {
                        seq: self.next_seq,
                        stream: 0,
                        n: 0,
                    },
                ));
            }
            BodyStep::End { len, refs } => {
                let recipe = recipe::encode(&resolve(&refs));
                self.push(BODY, &[&id.to_le_bytes(), &len.to_le_bytes(), &recipe])?;
            }
        }
        Ok(())
    }

    fn push(&mut self, kind: FrameKind, parts: &[&[u8]]) -> Result<(), Error> {
        let base = usize::try_from(self.segment.offset).unwrap_or(usize::MAX);
        let pushed = push_frame(
            &mut self.frames,
            self.segment.number,
            base,
            self.batch,
            kind,
            false,
            parts,
        );
        if pushed {
            Ok(())
        } else {
            Err(Error::Event("a record is longer than a frame".into()))
        }
    }

    /// Makes sure that `bytes` fit into the current segment, taking the next one if need be.
    /// `false`: there is no room, and none can be had now.
    fn make_room(&mut self, bytes: usize, closes: bool) -> Result<bool, Error> {
        let need = (bytes + 4 * FRAME_HEADER_BYTES) as u64;
        let end = self.segment.offset + self.frames.len() as u64;
        let reserve = if self.no_more.is_some() && !closes {
            RESERVE_BYTES
        } else {
            0
        };
        if end + need + reserve <= self.segment_bytes {
            return Ok(true);
        }
        // What is in the batch belongs to this segment.
        self.write_batch()?;
        let patience = if self.no_more.is_some() {
            Duration::ZERO
        } else {
            ALLOCATE_PATIENCE
        };
        if self.take_segment(patience) {
            return Ok(need + SEGMENT_HEADER_BYTES as u64 <= self.segment_bytes);
        }
        // What closes a call may still use the reserve.
        Ok(closes && self.segment.offset + need <= self.segment_bytes)
    }

    /// Goes over to the next segment if it is there within `patience`.
    fn take_segment(&mut self, patience: Duration) -> bool {
        if !self.progress.wait_settled(
            self.segment.number.saturating_sub(BACKLOG_SEGMENTS),
            patience,
        ) {
            self.no_more = Some("settling what was recorded is too far behind".into());
            return false;
        }
        self.ask();
        match self.allocator.take(patience) {
            Some(Ok((number, file))) => {
                self.asked = false;
                self.no_more = None;
                self.segment = Segment {
                    number,
                    file,
                    offset: 0,
                };
                self.begin_segment();
                true
            }
            Some(Err(error)) => {
                self.asked = false;
                self.no_more = Some(error.to_string());
                self.ask();
                false
            }
            None => {
                self.no_more
                    .get_or_insert_with(|| "the disk does not make room in time".into());
                false
            }
        }
    }

    fn ask(&mut self) {
        if !self.asked {
            self.allocator.ask(self.segment.number + 1);
            self.asked = true;
        }
    }

    fn begin_segment(&mut self) {
        self.frames
            .extend_from_slice(&begin_segment(self.segment.number));
    }

    /// Writes and syncs the batch, then acknowledges it.
    fn commit(&mut self) -> Result<(), Error> {
        self.write_batch()?;
        for (ack, appended) in self.acks.drain(..) {
            // A source that no longer waits has lost nothing: its event is durable.
            ack.send(Ok(appended)).ok();
        }
        Ok(())
    }

    fn write_batch(&mut self) -> Result<(), Error> {
        if self.frames.is_empty() {
            return Ok(());
        }
        // The mark that ends a batch is a frame of its own: which event is last is not known before.
        let base = usize::try_from(self.segment.offset).unwrap_or(usize::MAX);
        let end = crate::record::END;
        if !push_frame(
            &mut self.frames,
            self.segment.number,
            base,
            self.batch,
            end,
            true,
            &[&[0]],
        ) {
            return Err(Error::Event("a batch cannot be ended".into()));
        }
        let written = self
            .segment
            .file
            .write_at(&self.frames, self.segment.offset)
            .and_then(|()| self.segment.file.sync());
        written.map_err(|error| Error::io("writing the write-ahead log", &error))?;
        self.segment.offset += self.frames.len() as u64;
        self.frames.clear();
        if self.frames.capacity() > 2 * BATCH_BYTES {
            self.frames.shrink_to(BATCH_BYTES);
        }
        self.batch = self.batch.wrapping_add(1);
        if self.segment.offset > self.segment_bytes / 2 {
            self.ask();
        }
        self.progress.durable(Durable {
            segment: self.segment.number,
            offset: self.segment.offset,
            events: self.next_seq,
        });
        Ok(())
    }
}
