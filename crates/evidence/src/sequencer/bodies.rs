//! Bodies on their way into the log: their chunks, and what became of those that are not complete.

use super::Sequencer;
use crate::command::{Ack, Appended, BodyStep, ChunkRef, NewChunk};
use crate::error::Error;
use crate::recipe;
use crate::record::{BODY2, CHUNK, Claim, NAMES, PART2};
use storage::MAX_FRAME_BYTES;

/// Bodies refused while the disk was full; an event that refers to one is refused too.
const REFUSED_BODIES_MAX: usize = 1 << 16;

/// Unfinished bodies whose chunks are remembered. The oldest is given up beyond this: it then counts
/// as refused.
const UNFINISHED_BODIES_MAX: usize = 1 << 16;

impl Sequencer {
    /// Puts the next piece of a body into the batch, with those of its chunks that the vault does not have.
    pub(super) fn take_body(
        &mut self,
        id: u64,
        first: u32,
        chunks: Vec<NewChunk>,
        step: BodyStep,
    ) -> Result<(), Error> {
        // A body of which a piece was refused, or forgotten, stays refused: its later pieces count the
        // chunks that are not there.
        let sent = self.unfinished.get(&id).map_or(0, Vec::len);
        if self.refused_bodies.contains(&id) || sent != first as usize {
            self.refuse_body(id, step.into_ack());
            return Ok(());
        }
        let bytes: usize = chunks.iter().map(|chunk| chunk.bytes.len() + 64).sum();
        if !self.make_room(bytes + step_bytes(&step), false)? {
            self.refuse_body(id, step.into_ack());
            return Ok(());
        }
        let mut numbers = self.unfinished.remove(&id).unwrap_or_default();
        for chunk in chunks {
            // Another source may have sent the same chunk in the meantime.
            let number = match self.dedup.find(&chunk.hash) {
                Some(number) => number,
                None => self.write_chunk(&chunk)?,
            };
            numbers.push(number);
        }
        self.take_step(id, numbers, step)
    }

    /// Gives a body up, and tells who waits for it.
    fn refuse_body(&mut self, id: u64, ack: Option<Ack>) {
        self.unfinished.remove(&id);
        self.refused_bodies.insert(id);
        if self.refused_bodies.len() > REFUSED_BODIES_MAX {
            // The oldest: its source has been told by now, or has gone.
            self.refused_bodies.pop_first();
        }
        if let Some(ack) = ack {
            // Whoever has gone need not be told.
            ack.send(Err(self.wal.full())).ok();
        }
    }

    fn write_chunk(&mut self, chunk: &NewChunk) -> Result<u64, Error> {
        let number = self.next_chunk;
        let mut head = Vec::with_capacity(13);
        head.extend_from_slice(&number.to_le_bytes());
        head.extend_from_slice(&chunk.raw_len.to_le_bytes());
        head.push(chunk.codec);
        self.wal.push(CHUNK, &[&head, &chunk.bytes])?;
        self.next_chunk += 1;
        self.dedup.insert(chunk.hash, number);
        Ok(number)
    }

    fn take_step(&mut self, id: u64, numbers: Vec<u64>, step: BodyStep) -> Result<(), Error> {
        match step {
            BodyStep::Chunks => self.keep(id, numbers),
            BodyStep::Part {
                call,
                role,
                claim,
                refs,
                tail,
                ack,
            } => {
                let Some(chunks) = resolve(&refs, &numbers) else {
                    self.refuse_body(id, Some(ack));
                    return Ok(());
                };
                let mut payload = std::mem::take(&mut self.scratch);
                payload.clear();
                payload.extend_from_slice(&id.to_le_bytes());
                payload.extend_from_slice(&call.to_le_bytes());
                payload.push(u8::try_from(role.len()).unwrap_or_default());
                payload.extend_from_slice(role.as_bytes());
                payload.push(if claim.is_some() { 0 } else { NAMES });
                let claim = claim.unwrap_or(Claim {
                    chunks: 0,
                    len: 0,
                    commitment: [0; 32],
                });
                payload.extend_from_slice(&claim.chunks.to_le_bytes());
                payload.extend_from_slice(&claim.len.to_le_bytes());
                payload.extend_from_slice(&claim.commitment);
                let count = u32::try_from(chunks.len()).unwrap_or_default();
                payload.extend_from_slice(&count.to_le_bytes());
                for chunk in chunks {
                    payload.extend_from_slice(&chunk.to_le_bytes());
                }
                payload.extend_from_slice(&tail);
                self.wal.push(PART2, &[&payload])?;
                self.scratch = payload;
                self.keep(id, numbers);
                self.acks.push((
                    ack,
                    Appended {
                        seq: self.next_seq,
                        stream: 0,
                        n: 0,
                    },
                ));
            }
            BodyStep::End {
                len,
                commitment,
                refs,
            } => {
                let recipe = resolve(&refs, &numbers)
                    .map(|chunks| recipe::encode(&chunks))
                    .filter(|recipe| recipe.len() + 48 <= MAX_FRAME_BYTES);
                match recipe {
                    Some(recipe) => {
                        let (id, len) = (id.to_le_bytes(), len.to_le_bytes());
                        self.wal.push(BODY2, &[&id, &len, &commitment, &recipe])?;
                    }
                    // The event that refers to it will be refused.
                    None => self.refuse_body(id, None),
                }
            }
        }
        Ok(())
    }

    /// Remembers what an unfinished body has sent.
    fn keep(&mut self, id: u64, numbers: Vec<u64>) {
        self.unfinished.insert(id, numbers);
        if self.unfinished.len() > UNFINISHED_BODIES_MAX {
            // Its next step finds chunks unknown and is refused.
            self.unfinished.pop_first();
        }
    }
}

/// Room that a step's own record takes.
fn step_bytes(step: &BodyStep) -> usize {
    match step {
        BodyStep::Chunks => 0,
        BodyStep::Part { refs, tail, .. } => refs.len() * 8 + tail.len() + 192,
        BodyStep::End { refs, .. } => refs.len() * 7 + 192,
    }
}

/// The numbers that references stand for; `None` when one is not known any more.
fn resolve(refs: &[ChunkRef], sent: &[u64]) -> Option<Vec<u64>> {
    refs.iter()
        .map(|chunk| match chunk {
            ChunkRef::Known(number) => Some(*number),
            ChunkRef::Sent(index) => sent.get(*index as usize).copied(),
        })
        .collect()
}
