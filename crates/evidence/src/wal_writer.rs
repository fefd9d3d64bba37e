//! Frames into segments: the batch being gathered, the segment it goes to, the next one.
//!
//! Owns room: whether a record fits, where the next segment comes from, what is kept in reserve when
//! none can be had. Knows nothing of what records mean.

use crate::error::Error;
use crate::progress::{Durable, Progress};
use crate::segments::Allocate;
use std::sync::Arc;
use std::time::Duration;
use storage::{DiskFile, FRAME_HEADER_BYTES, FrameKind, begin_segment, push_frame};

/// A batch is closed when its frames reach this.
pub(crate) const BATCH_BYTES: usize = 4 << 20;

/// The end of the last segment that a full disk leaves us is kept for events that close calls.
const RESERVE_BYTES: u64 = 256 << 10;

/// How long the writer waits for a segment before it answers that there is no room.
const ALLOCATE_PATIENCE: Duration = Duration::from_secs(20);

/// How long the first segment may take, on a disk that is busy at start.
const FIRST_PATIENCE: Duration = Duration::from_secs(600);

/// Segments that may wait to be settled before the writer waits too.
const BACKLOG_SEGMENTS: u64 = 32;

#[derive(Debug)]
struct Segment {
    number: u64,
    file: Box<dyn DiskFile>,
    offset: u64,
}

/// The end of the write-ahead log.
#[derive(Debug)]
pub(crate) struct WalWriter {
    allocator: Box<dyn Allocate>,
    segment: Segment,
    segment_bytes: u64,
    /// Whether the next segment has been asked for.
    asked: bool,
    /// The next segment, once it is there.
    next: Option<(u64, Box<dyn DiskFile>)>,
    /// Set while no further segment can be had: why.
    no_more: Option<String>,
    batch: u32,
    frames: Vec<u8>,
    progress: Arc<Progress>,
}

impl WalWriter {
    /// Takes segment `first` from the allocator. Nothing is durable yet.
    pub(crate) fn new(
        allocator: Box<dyn Allocate>,
        segment_bytes: u64,
        (first, batch): (u64, u32),
        progress: Arc<Progress>,
    ) -> Result<Self, Error> {
        allocator.ask(first);
        let (number, file) = allocator
            .take(FIRST_PATIENCE)
            .unwrap_or_else(|| Err(std::io::ErrorKind::TimedOut.into()))
            .map_err(|error| Error::io("allocating the write-ahead log", &error))?;
        let segment = Segment {
            number,
            file,
            offset: 0,
        };
        let frames = begin_segment(number).to_vec();
        Ok(Self {
            allocator,
            segment,
            segment_bytes,
            asked: false,
            next: None,
            no_more: None,
            batch,
            frames,
            progress,
        })
    }

    /// Bytes of the batch so far.
    pub(crate) fn gathered(&self) -> usize {
        self.frames.len()
    }

    /// Whether the disk gives no further segment at present.
    pub(crate) fn is_out_of_room(&self) -> bool {
        self.no_more.is_some()
    }

    /// What to tell a source that is refused.
    pub(crate) fn full(&self) -> Error {
        let why = self.no_more.clone();
        Error::Full(why.unwrap_or_else(|| "the write-ahead log is full".into()))
    }

    /// Puts a record into the batch. Ask [`Self::make_room`] before.
    pub(crate) fn push(&mut self, kind: FrameKind, parts: &[&[u8]]) -> Result<(), Error> {
        self.push_frame(kind, false, parts)
    }

    fn push_frame(&mut self, kind: FrameKind, last: bool, parts: &[&[u8]]) -> Result<(), Error> {
        let base = usize::try_from(self.segment.offset).unwrap_or(usize::MAX);
        let number = self.segment.number;
        if push_frame(
            &mut self.frames,
            number,
            base,
            self.batch,
            kind,
            last,
            parts,
        ) {
            Ok(())
        } else {
            Err(Error::Event("a record is longer than a frame".into()))
        }
    }

    /// Makes sure that `bytes` fit into the current segment, taking the next one if need be.
    /// `false`: there is no room, and none can be had now. `closes`: it may use the reserve.
    /// `events`: how many events stand in the log once the batch is written.
    pub(crate) fn make_room(
        &mut self,
        bytes: usize,
        closes: bool,
        events: u64,
    ) -> Result<bool, Error> {
        let need = (bytes + 4 * FRAME_HEADER_BYTES) as u64;
        if self.fits(need, closes) {
            return Ok(true);
        }
        // What is in the batch belongs to this segment.
        self.write_batch(events)?;
        let patience = if self.is_out_of_room() {
            Duration::ZERO
        } else {
            ALLOCATE_PATIENCE
        };
        self.fetch_next(patience)?;
        // With the next segment in hand, the reserve of this one may be used up first.
        if self.fits(need, closes) {
            return Ok(true);
        }
        if let Some(next) = self.next.take() {
            self.go_over_to(next);
            return Ok(self.fits(need, true));
        }
        Ok(false)
    }

    /// Whether so many bytes fit into the current segment. Until the next one is in hand, the end of this one is
    /// kept for events that close calls.
    fn fits(&self, need: u64, closes: bool) -> bool {
        let reserve = if closes || self.next.is_some() {
            0
        } else {
            RESERVE_BYTES.min(self.segment_bytes / 4)
        };
        let end = self.segment.offset + self.frames.len() as u64;
        end + need + reserve <= self.segment_bytes
    }

    /// Gets the next segment into hand if that is possible within `patience`.
    ///
    /// # Errors
    /// The disk fails rather than being full: what a later sync says of the same file or directory is not to be
    /// believed, so there is no second try.
    fn fetch_next(&mut self, patience: Duration) -> Result<(), Error> {
        if self.next.is_some() {
            return Ok(());
        }
        let must_be_settled = self.segment.number.saturating_sub(BACKLOG_SEGMENTS);
        if !self.progress.wait_settled(must_be_settled, patience) {
            if !patience.is_zero() {
                self.no_more = Some("settling what was recorded is too far behind".into());
            }
            return Ok(());
        }
        self.ask();
        match self.allocator.take(patience) {
            Some(Ok(next)) => {
                self.asked = false;
                self.no_more = None;
                self.next = Some(next);
            }
            Some(Err(error)) if !may_pass(&error) => {
                self.asked = false;
                return Err(Error::io("allocating the write-ahead log", &error));
            }
            Some(Err(error)) => {
                self.asked = false;
                self.no_more = Some(error.to_string());
                self.ask();
            }
            None if !patience.is_zero() => {
                self.no_more
                    .get_or_insert_with(|| "the disk does not make room in time".into());
            }
            None => {}
        }
        Ok(())
    }

    /// Leaves segment `number` although it has room, if the next one is in hand already; else asks for that.
    pub(crate) fn leave_segment(&mut self, number: u64, events: u64) -> Result<(), Error> {
        if self.segment.number != number {
            return Ok(());
        }
        self.write_batch(events)?;
        self.fetch_next(Duration::ZERO)?;
        if let Some(next) = self.next.take() {
            self.go_over_to(next);
            self.write_batch(events)?;
        }
        Ok(())
    }

    fn go_over_to(&mut self, (number, file): (u64, Box<dyn DiskFile>)) {
        self.progress.left(self.segment.number, self.segment.offset);
        self.segment = Segment {
            number,
            file,
            offset: 0,
        };
        self.frames.extend_from_slice(&begin_segment(number));
    }

    fn ask(&mut self) {
        if !self.asked {
            self.allocator.ask(self.segment.number + 1);
            self.asked = true;
        }
    }

    /// Writes the batch and syncs it. An error is final: the outcome is not known.
    pub(crate) fn write_batch(&mut self, events: u64) -> Result<(), Error> {
        if self.frames.is_empty() {
            return Ok(());
        }
        // The mark that ends a batch is a record of its own: which one is last is not known before.
        self.push_frame(crate::record::END, true, &[&[0]])?;
        let file = &self.segment.file;
        file.write_at(&self.frames, self.segment.offset)
            .and_then(|()| file.sync())
            .map_err(|error| Error::io("writing the write-ahead log", &error))?;
        self.segment.offset += self.frames.len() as u64;
        self.frames.clear();
        if self.frames.capacity() > 2 * BATCH_BYTES {
            self.frames.shrink_to(BATCH_BYTES);
        }
        self.batch = self.batch.wrapping_add(1);
        if self.segment.offset > self.segment_bytes / 2 {
            self.fetch_next(Duration::ZERO)?;
        }
        let (segment, offset) = (self.segment.number, self.segment.offset);
        self.progress.durable(Durable {
            segment,
            offset,
            events,
        });
        Ok(())
    }

    /// Ends the log. A segment still being made would otherwise outlive the closing.
    pub(crate) fn close(&mut self) {
        if self.asked {
            drop(self.allocator.take(ALLOCATE_PATIENCE));
        }
    }
}

/// Whether it is for want of something that comes back: room, memory, descriptors.
fn may_pass(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    use std::io::ErrorKind;
    let of_room = [
        ErrorKind::StorageFull,
        ErrorKind::QuotaExceeded,
        ErrorKind::OutOfMemory,
    ];
    let of_descriptors = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
    of_room.contains(&error.kind())
        || error
            .raw_os_error()
            .is_some_and(|code| of_descriptors.contains(&code))
}
