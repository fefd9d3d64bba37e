//! Bodies on their way into the vault: cut by content, deduplicated, compressed, encrypted, committed to.

use crate::cipher::WalSession;
use crate::command::{Ack, BodyStep, ChunkRef, Command, NewChunk, Pending};
use crate::error::Error;
use crate::record::{CODEC_RAW, CODEC_ZSTD, Claim, ENCRYPTED};
use crate::recorder::Recorder;
use crate::salt::Commitment;
use event::{BodyRef, Role};
use fastcdc::v2020::FastCDC;
use std::cell::RefCell;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Bounds of a chunk in bytes.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    min: u32,
    average: u32,
    max: u32,
}

impl Bounds {
    /// Small at first, because what agents resend differs by single messages. A body of many chunks goes on
    /// in larger ones, so that its recipe fits into one frame whatever it holds.
    const fn behind(chunks: usize) -> Self {
        let scale = match chunks {
            0..32_768 => 1,
            32_768..49_152 => 8,
            _ => 64,
        };
        Self {
            min: 512 * scale,
            average: 2048 * scale,
            max: if scale > 8 {
                256 << 10
            } else {
                (16 << 10) * scale
            },
        }
    }
}

/// Chunks shorter than this are not worth a compressor's time on the way in: the write-ahead log is
/// passed through, what stays is compressed again and together.
const COMPRESS_MIN: usize = 4 << 10;

thread_local! {
    // Making a compressor costs more than compressing a chunk.
    static COMPRESSOR: RefCell<Option<zstd::bulk::Compressor<'static>>> =
        RefCell::new(zstd::bulk::Compressor::new(1).ok());
}

/// New chunks are handed on when they reach this many bytes, which bounds a writer's memory.
const HAND_ON_BYTES: usize = 256 << 10;

/// Chunks that one body may have: its recipe must fit into one frame, whatever it repeats.
const MAX_REFS: usize = 120_000;

/// Chunks that one part may name.
const MAX_PART_REFS: usize = 64 << 10;

/// One body being written.
///
/// Dropping it without [`BodyWriter::finish`] leaves an unfinished body, which no event refers to.
#[derive(Debug)]
pub struct BodyWriter {
    recorder: Recorder,
    id: u64,
    commitment: Commitment,
    session: Arc<WalSession>,
    len: u64,
    /// Bytes not yet cut into a chunk.
    uncut: Vec<u8>,
    /// Every chunk so far, in order.
    refs: Vec<ChunkRef>,
    /// How many of `refs` earlier parts have named.
    named: usize,
    sent: u32,
    new: Vec<NewChunk>,
    new_bytes: usize,
    owner: Option<(u64, Role)>,
    /// Whether the writer keeps anything for this body that it must be told to forget.
    kept: bool,
}

impl BodyWriter {
    pub(crate) fn new(recorder: Recorder) -> Result<Self, Error> {
        let (id, salt) = recorder.new_body()?;
        let session = recorder.wal_session()?;
        Ok(Self {
            recorder,
            id,
            commitment: Commitment::new(&salt),
            session,
            len: 0,
            uncut: Vec::new(),
            refs: Vec::new(),
            named: 0,
            sent: 0,
            new: Vec::new(),
            new_bytes: 0,
            owner: None,
            kept: false,
        })
    }

    /// Declares which open call (the `seq` of its request event) the body belongs to and as what, so
    /// that recovery can attach what was flushed. Without it, [`Self::flush`] makes nothing recoverable.
    pub fn attach(&mut self, call: u64, role: Role) {
        self.owner = Some((call, role));
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds bytes. Holds at most a few hundred kilobytes: what is cut is handed on, waiting for room.
    ///
    /// # Errors
    /// The recorder failed or is closed.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.commitment.update(bytes);
        self.len += bytes.len() as u64;
        let mut rest = bytes;
        while !rest.is_empty() {
            // Piecewise, so that one huge write is not buffered whole a second time.
            let (piece, after) = rest.split_at(rest.len().min(HAND_ON_BYTES));
            self.uncut.extend_from_slice(piece);
            self.cut(false)?;
            if self.new_bytes >= HAND_ON_BYTES {
                self.send(BodyStep::Chunks).await?;
            }
            rest = after;
        }
        Ok(())
    }

    /// Queues everything written so far; resolves when it is durable, so that a crash keeps it.
    ///
    /// # Errors
    /// The recorder failed, is closed, or has no room.
    pub async fn flush(&mut self) -> Result<Pending, Error> {
        let refs = self.refs.get(self.named..).unwrap_or_default().to_vec();
        self.named = self.refs.len();
        let mut rest = refs.as_slice();
        loop {
            let (now, later) = rest.split_at(rest.len().min(MAX_PART_REFS));
            let (ack, pending) = oneshot::channel();
            let part = self.part(now.to_vec(), later.is_empty(), ack)?;
            self.send(part).await?;
            if later.is_empty() {
                return Ok(Pending(pending));
            }
            rest = later;
        }
    }

    /// Only the last part of a flush says what the body is by now: it counts when all before it are there.
    fn part(&self, refs: Vec<ChunkRef>, last: bool, ack: Ack) -> Result<BodyStep, Error> {
        let (call, role) = self.owner.unwrap_or((u64::MAX, Role::Detail));
        let claim = last.then(|| Claim {
            chunks: u32::try_from(self.refs.len()).unwrap_or(u32::MAX),
            len: self.len,
            commitment: self.commitment.so_far(),
        });
        let tail = match last {
            true => self.session.seal_tail(self.id, &self.uncut)?,
            false => Vec::new(),
        };
        Ok(BodyStep::Part {
            call,
            role: role.as_str(),
            claim,
            refs,
            tail,
            ack,
        })
    }

    /// Ends the body. An event appended after this returns, and that carries the reference, is
    /// acknowledged only when the body is durable too.
    ///
    /// # Errors
    /// The recorder failed or is closed.
    pub async fn finish(
        mut self,
        role: Role,
        media: Option<String>,
        encoding: Option<String>,
    ) -> Result<BodyRef, Error> {
        self.cut(true)?;
        let refs = std::mem::take(&mut self.refs);
        let commitment = self.commitment.so_far();
        self.send(BodyStep::End {
            len: self.len,
            commitment,
            refs,
        })
        .await?;
        Ok(BodyRef {
            role,
            id: self.id,
            len: self.len,
            commitment: hex::encode(commitment),
            media,
            encoding,
            truncated: 0,
        })
    }

    /// Cuts `uncut` into chunks; keeps the last piece unless `all`, because more bytes could move its end.
    fn cut(&mut self, all: bool) -> Result<(), Error> {
        let uncut = std::mem::take(&mut self.uncut);
        let mut start = 0;
        loop {
            let rest = uncut.get(start..).unwrap_or_default();
            let Bounds { min, average, max } = Bounds::behind(self.refs.len());
            if rest.is_empty() || (!all && rest.len() < max as usize) {
                break;
            }
            let length = match u32::try_from(rest.len()) {
                Ok(len) if len <= min => rest.len(),
                _ => FastCDC::new(rest, min, average, max)
                    .next()
                    .map_or(rest.len(), |chunk| chunk.length),
            };
            let Some(chunk) = rest.get(..length) else {
                break;
            };
            self.add_chunk(chunk)?;
            start += length;
        }
        self.uncut = uncut;
        self.uncut.drain(..start);
        Ok(())
    }

    fn add_chunk(&mut self, raw: &[u8]) -> Result<(), Error> {
        if self.refs.len() >= MAX_REFS {
            return Err(Error::Event(format!(
                "a body may not have more than {MAX_REFS} chunks"
            )));
        }
        let hash = sha256(raw);
        if let Some(number) = self.recorder.dedup().find(&hash) {
            self.refs.push(ChunkRef::Known(number));
            return Ok(());
        }
        let raw_len =
            u32::try_from(raw.len()).map_err(|_| Error::Event("chunk too long".into()))?;
        let compressed = if raw.len() >= COMPRESS_MIN {
            COMPRESSOR
                .with_borrow_mut(|compressor| compressor.as_mut()?.compress(raw).ok())
                .filter(|bytes| bytes.len() < raw.len())
        } else {
            None
        };
        let (codec, stored) = match &compressed {
            Some(stored) => (CODEC_ZSTD | ENCRYPTED, stored.as_slice()),
            None => (CODEC_RAW | ENCRYPTED, raw),
        };
        let bytes = self.session.seal_chunk(raw_len, codec, stored)?;
        self.new_bytes += bytes.len();
        self.new.push(NewChunk {
            hash,
            raw_len,
            codec,
            bytes,
        });
        self.refs.push(ChunkRef::Sent(self.sent));
        self.sent += 1;
        Ok(())
    }

    async fn send(&mut self, step: BodyStep) -> Result<(), Error> {
        self.kept = !matches!(step, BodyStep::End { .. });
        let chunks = std::mem::take(&mut self.new);
        let first = self
            .sent
            .saturating_sub(u32::try_from(chunks.len()).unwrap_or(u32::MAX));
        let tail = match &step {
            BodyStep::Part { tail, .. } => tail.len(),
            _ => 0,
        };
        let bytes = std::mem::take(&mut self.new_bytes) + tail;
        self.recorder
            .queue(
                Command::Body {
                    id: self.id,
                    first,
                    chunks,
                    step,
                },
                bytes,
            )
            .await
    }
}

impl Drop for BodyWriter {
    fn drop(&mut self) {
        if self.kept {
            self.recorder.abandon(self.id);
        }
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    for (to, from) in out.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    out
}
