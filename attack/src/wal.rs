//! The write-ahead log of a recorder that was killed, as somebody writes it anew who knows its format.

use crate::Failure;
use std::path::{Path, PathBuf};
use storage::{
    Frame, FrameKind, Frames, SEGMENT_HEADER_BYTES, begin_segment, check_segment, push_frame,
};

/// The kind of frame that holds an event: flags, a number, the line.
const EVENT: FrameKind = FrameKind(1);
const EVENT_HEADER_BYTES: usize = 9;

/// Flag of an event that is about the log's keys.
const KEYS: u8 = 8;

/// Zeros that are left behind the last frame, where a recorder leaves megabytes.
const REST_BYTES: usize = 64;

/// A record, with the batch that it was made durable with.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    batch: u32,
    last: bool,
    kind: FrameKind,
    pub(crate) payload: Vec<u8>,
}

impl Record {
    /// The line of an event.
    pub(crate) fn line(&self) -> Option<&[u8]> {
        let line = self.payload.get(EVENT_HEADER_BYTES..)?;
        (self.kind == EVENT).then_some(line)
    }
}

/// The one segment that the recorder had begun.
#[derive(Debug)]
pub(crate) struct Wal {
    path: PathBuf,
    number: u64,
    pub(crate) records: Vec<Record>,
    /// Where the frame of each began.
    offsets: Vec<usize>,
    /// Events before the first of these.
    settled: u64,
    /// Events that the newest checkpoint signs.
    pub(crate) signed: u64,
}

impl Wal {
    /// Reads the write-ahead log of a store that nobody writes to.
    pub(crate) fn read(dir: &Path) -> Result<Self, Failure> {
        let state = fs_err::read_to_string(dir.join("state"))?;
        let state: serde_json::Value =
            serde_json::from_str(state.lines().next().unwrap_or_default())?;
        let field = |name: &str| state.get(name).and_then(serde_json::Value::as_u64);
        let (Some(number), Some(offset), Some(settled)) =
            (field("segment"), field("offset"), field("size"))
        else {
            return Err("the position is none".into());
        };
        let path = dir.join(format!("wal/{number:016}.wal"));
        let bytes = fs_err::read(&path)?;
        if offset != 0 || !check_segment(number, &bytes)? {
            return Err("the recorder did not end in a segment of its own".into());
        }
        let rest = bytes.get(SEGMENT_HEADER_BYTES..).unwrap_or_default();
        let frames: Vec<Frame> = Frames::new(number, rest, SEGMENT_HEADER_BYTES, None).collect();
        let record = |frame: &Frame| Record {
            batch: frame.batch,
            last: frame.last,
            kind: frame.kind,
            payload: rest.get(frame.payload.clone()).unwrap_or_default().to_vec(),
        };
        let checkpoint = fs_err::read_to_string(dir.join("log/checkpoint"))?;
        let signed = checkpoint.lines().nth(1).ok_or("no checkpoint")?.parse()?;
        Ok(Self {
            path,
            number,
            records: frames.iter().map(record).collect(),
            offsets: frames
                .iter()
                .map(|frame| frame.payload.start + SEGMENT_HEADER_BYTES)
                .collect(),
            settled,
            signed,
        })
    }

    /// The places among the records of the events that no checkpoint signs.
    pub(crate) fn unsigned(&self) -> Vec<usize> {
        let events = self.records.iter().enumerate();
        let events = events.filter(|(_, record)| record.line().is_some());
        (self.settled..)
            .zip(events)
            .filter(|(seq, _)| *seq >= self.signed)
            .map(|(_, (at, _))| at)
            .collect()
    }

    /// The last unsigned event that says so.
    pub(crate) fn last_saying(&self, text: &str) -> Result<&[u8], Failure> {
        let unsigned = self.unsigned().into_iter().rev();
        let mut lines = unsigned.filter_map(|at| self.records.get(at)?.line());
        let says = |line: &&[u8]| line.windows(text.len()).any(|part| part == text.as_bytes());
        lines
            .find(says)
            .ok_or_else(|| format!("no unsigned event says {text}").into())
    }

    /// The last event.
    pub(crate) fn last_line(&self) -> Result<&[u8], Failure> {
        let mut lines = self.records.iter().rev().filter_map(Record::line);
        lines.next().ok_or_else(|| "no event".into())
    }

    /// The number of the event that would come next.
    pub(crate) fn next_seq(&self) -> u64 {
        let events = self.records.iter().filter_map(Record::line).count();
        self.settled + events as u64
    }

    /// Adds an event in a batch of its own; `keys`: it is about the log's keys.
    pub(crate) fn push(&mut self, line: &[u8], keys: bool) {
        let newest = self.records.last();
        let batch = newest.map_or(0, |record| record.batch.wrapping_add(1));
        let mut payload = vec![if keys { KEYS } else { 0 }];
        payload.extend_from_slice(&[0; 8]);
        payload.extend_from_slice(line);
        self.records.push(Record {
            batch,
            last: true,
            kind: EVENT,
            payload,
        });
    }

    /// Makes the last of the records the last of its batch, as they are where nothing was cut off.
    pub(crate) fn close(&mut self) {
        if let Some(record) = self.records.last_mut() {
            record.last = true;
        }
    }

    /// Writes it with every checksum made to fit.
    pub(crate) fn write(&self) -> Result<(), Failure> {
        let mut bytes = begin_segment(self.number).to_vec();
        for record in &self.records {
            let Record {
                batch, last, kind, ..
            } = *record;
            let payload: &[&[u8]] = &[&record.payload];
            if !push_frame(&mut bytes, self.number, 0, batch, kind, last, payload) {
                return Err("a record is no frame".into());
            }
        }
        bytes.extend_from_slice(&[0; REST_BYTES]);
        Ok(fs_err::write(&self.path, bytes)?)
    }

    /// Changes a byte of a record where it lies, and no checksum.
    pub(crate) fn scratch(&self, record: usize) -> Result<(), Failure> {
        let mut bytes = fs_err::read(&self.path)?;
        let at = self.offsets.get(record).ok_or("no such record")?;
        let byte = bytes.get_mut(at + EVENT_HEADER_BYTES + 1);
        *byte.ok_or("the record is too short")? ^= 1;
        Ok(fs_err::write(&self.path, bytes)?)
    }
}
