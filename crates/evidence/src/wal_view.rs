//! What of the write-ahead log a reader sees: the tail that is durable but not yet settled.

use crate::cipher::Keyring;
use crate::error::Error;
use crate::recipe;
use crate::record::{KEYS, Record, decode_chunk, follows};
use crate::segments::{self, segment_path};
use crate::settle::MAX_CHUNKS;
use crate::state::{Phase, State};
use crate::stored;
use crate::volume::BodyRecord;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use storage::{
    Disk, DiskFile, End, FRAME_HEADER_BYTES, Frames, MAX_FRAME_BYTES, SEGMENT_HEADER_BYTES,
    check_segment,
};

const PIECE_BYTES: usize = 4 * MAX_FRAME_BYTES;

/// Where a piece of a segment lies.
#[derive(Debug, Clone, Copy)]
struct At {
    segment: u64,
    offset: u64,
    len: usize,
}

#[derive(Debug, Clone, Copy)]
struct ChunkAt {
    at: At,
    raw_len: u32,
    codec: u8,
}

type Files = HashMap<u64, Box<dyn DiskFile>>;

/// An index of the tail; the bytes stay in the files.
#[derive(Debug, Default)]
pub(crate) struct WalView {
    files: Files,
    events: Vec<At>,
    /// Which of them are about the log's keys.
    keys: Vec<usize>,
    chunks: HashMap<u64, ChunkAt>,
    bodies: HashMap<u64, BodyRecord>,
    segment: u64,
    offset: u64,
    /// Whether the first segment exists if this is a whole store.
    promised: bool,
    newest: Option<(u32, bool)>,
    /// Bytes at the very end that are no whole record: a write in progress, or torn.
    pub(crate) torn_bytes: u64,
}

/// The file of a segment, kept open: a segment that is removed meanwhile can still be read.
fn open<'a>(files: &'a mut Files, disk: &dyn Disk, number: u64) -> Result<&'a dyn DiskFile, Error> {
    let path = segment_path(number);
    Ok(match files.entry(number) {
        Entry::Occupied(file) => &**file.into_mut(),
        Entry::Vacant(slot) => {
            let file = stored::open(disk, &path)?.ok_or_else(|| Error::Missing(path.clone()))?;
            &**slot.insert(file)
        }
    })
}

/// The first number that is missing between `from` and the last segment.
fn hole(segments: &[u64], from: u64) -> Option<u64> {
    let mut rest = segments.iter().filter(|number| **number >= from);
    let end = rest.next_back()?;
    (from..*end).find(|number| !segments.contains(number))
}

impl WalView {
    /// A view that begins at the settled position.
    pub(crate) fn behind(state: &State) -> Self {
        Self {
            segment: state.segment,
            offset: state.offset,
            promised: state.phase == Phase::Running,
            ..Self::default()
        }
    }

    pub(crate) fn events(&self) -> u64 {
        self.events.len() as u64
    }

    /// Indexes what was written since the last look.
    pub(crate) fn extend(&mut self, disk: &dyn Disk) -> Result<(), Error> {
        let segments = segments::list(disk)?;
        if segments.first().is_some_and(|first| *first > self.segment) {
            // Settled and removed since the position was read: there is a newer one.
            return Err(Error::Missing(segment_path(self.segment)));
        }
        if self.promised && !segments.contains(&self.segment) {
            return Err(Error::Missing(segment_path(self.segment)));
        }
        if let Some(missing) = hole(&segments, self.segment) {
            return Err(Error::Missing(segment_path(missing)));
        }
        while segments.contains(&self.segment) {
            let begun = self.extend_segment(disk, self.segment, false)?;
            let next = self.segment + 1;
            if !begun || !segments.contains(&next) || !self.is_begun(disk, next)? {
                break;
            }
            // The writer has gone over to the next segment, so this one is now complete.
            self.extend_segment(disk, self.segment, true)?;
            if let Some((batch, false)) = self.newest {
                return Err(Error::damaged(
                    segment_path(self.segment),
                    format!("the end of batch {batch} is missing although a later segment exists"),
                ));
            }
            (self.segment, self.offset) = (next, 0);
        }
        Ok(())
    }

    /// Whether anything was ever written to a segment.
    fn is_begun(&mut self, disk: &dyn Disk, number: u64) -> Result<bool, Error> {
        let path = segment_path(number);
        let io = |error: std::io::Error| stored::refused(&path, &error);
        let file = open(&mut self.files, disk, number)?;
        // With the first frame's header, which is never all zeros.
        let mut header = [0; SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES];
        let n = file.read_at(&mut header, 0).map_err(io)?;
        if n < header.len() {
            // Still being made.
            return Ok(false);
        }
        check_segment(number, &header).map_err(|detail| Error::damaged(&path, detail))
    }

    /// `false`: the segment has not been begun, so nothing follows.
    fn extend_segment(&mut self, disk: &dyn Disk, number: u64, later: bool) -> Result<bool, Error> {
        let path = segment_path(number);
        let io = |error: std::io::Error| stored::refused(&path, &error);
        if self.offset == 0 {
            if !self.is_begun(disk, number)? {
                return Ok(false);
            }
            self.offset = SEGMENT_HEADER_BYTES as u64;
        }
        let file = open(&mut self.files, disk, number)?;
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            let n = file.read_at(&mut buffer, self.offset).map_err(io)?;
            let bytes = buffer.get(..n).unwrap_or_default();
            let base = usize::try_from(self.offset).unwrap_or(usize::MAX);
            let mut frames = Frames::new(number, bytes, base, self.newest);
            for frame in frames.by_ref() {
                let payload = bytes.get(frame.payload.clone()).unwrap_or_default();
                let offset = self.offset + frame.payload.start as u64;
                let at = At {
                    segment: number,
                    offset,
                    len: payload.len(),
                };
                if !follows(self.newest, &frame) {
                    return Err(Error::damaged(
                        &path,
                        format!("batches before {} are missing", frame.batch),
                    ));
                }
                self.newest = Some((frame.batch, frame.last));
                match Record::parse(frame.kind, payload) {
                    Some(Record::Event { flags, line, .. }) => {
                        let skip = payload.len() - line.len();
                        if flags & KEYS != 0 {
                            self.keys.push(self.events.len());
                        }
                        self.events.push(At {
                            offset: at.offset + skip as u64,
                            len: line.len(),
                            ..at
                        });
                    }
                    Some(Record::Chunk {
                        number,
                        raw_len,
                        codec,
                        bytes,
                    }) => {
                        let skip = payload.len() - bytes.len();
                        let at = At {
                            offset: at.offset + skip as u64,
                            len: bytes.len(),
                            ..at
                        };
                        self.chunks.insert(number, ChunkAt { at, raw_len, codec });
                    }
                    Some(Record::Body {
                        id, len, recipe, ..
                    }) => {
                        self.bodies.insert(
                            id,
                            BodyRecord {
                                id,
                                len,
                                recipe: recipe.to_vec(),
                            },
                        );
                    }
                    Some(Record::Part { .. }) => {}
                    None if frame.kind == crate::record::END => {}
                    None => {
                        return Err(Error::damaged(
                            &path,
                            format!("a record at offset {offset} is malformed"),
                        ));
                    }
                }
            }
            let reached = frames.offset() as u64;
            let whole = n < PIECE_BYTES;
            if reached > self.offset && !whole {
                (self.offset, self.newest) = (reached, frames.newest());
                continue;
            }
            let end = frames.end();
            (self.offset, self.newest) = (reached, frames.newest());
            self.torn_bytes = match end {
                End::Clean => 0,
                End::Torn { bytes } if !later => bytes as u64,
                // A reader that comes while the writer goes over to the next segment may see the
                // old one before its last write: it looks again before it believes this.
                End::Torn { .. } => {
                    return Err(Error::damaged(
                        &path,
                        format!("broken at offset {reached} although a later segment exists"),
                    ));
                }
                End::Damaged { at } => {
                    return Err(Error::damaged(
                        &path,
                        format!("broken at offset {at}, before records that were written later"),
                    ));
                }
            };
            return Ok(true);
        }
    }

    fn read(&self, at: At) -> Result<Vec<u8>, Error> {
        let path = segment_path(at.segment);
        let file = self
            .files
            .get(&at.segment)
            .ok_or_else(|| Error::Missing(path.clone()))?;
        let mut bytes = vec![0; at.len];
        let n = file
            .read_at(&mut bytes, at.offset)
            .map_err(|error| stored::refused(&path, &error))?;
        if n == at.len {
            Ok(bytes)
        } else {
            Err(Error::damaged(path, "it became shorter"))
        }
    }

    /// The line of the tail's event number `index`.
    pub(crate) fn event(&self, index: usize) -> Option<Result<Vec<u8>, Error>> {
        self.events.get(index).map(|at| self.read(*at))
    }

    /// Which of the tail's events are about the log's keys.
    pub(crate) fn keys(&self) -> &[usize] {
        &self.keys
    }

    pub(crate) fn body(&self, id: u64) -> Option<&BodyRecord> {
        self.bodies.get(&id)
    }

    /// The plaintext of a chunk; `None` where it is not in the tail.
    pub(crate) fn chunk(&self, number: u64, keys: &Keyring) -> Option<Result<Vec<u8>, Error>> {
        let chunk = self.chunks.get(&number)?;
        Some(self.read(chunk.at).and_then(|mut bytes| {
            decode_chunk(number, chunk.raw_len, chunk.codec, &mut bytes, keys)
        }))
    }

    /// Recipes are bounded before they are followed.
    pub(crate) fn runs(record: &BodyRecord) -> Result<Vec<(u64, u64)>, Error> {
        recipe::decode(&record.recipe, MAX_CHUNKS)
            .ok_or_else(|| Error::damaged(format!("body {}", record.id), "its recipe is malformed"))
    }
}
