//! Bodies: from the vault where they are settled, from the write-ahead log's tail behind that.

use super::{Inner, Store};
use crate::error::Error;
use crate::salt::{BODIES_PER_SEED, Commitment, SALT_BYTES, SaltTree};
use crate::salts::read_seed;
use crate::volume::BodyRecord;
use crate::wal_view::WalView;
use event::BodyRef;
use std::collections::hash_map;

/// Missing volumes that are named for one body.
const MAX_NAMED: usize = 8;

/// Something that no volume holds: it lay in one that is missing or broken, where one is.
fn not_there(inner: &Inner, what: String) -> Error {
    // A hostile position can have any number of them, and this is said of every body.
    let missing: Vec<String> = inner.vault.missing().take(MAX_NAMED).collect();
    match inner.vault.broken().next() {
        Some(error) if missing.is_empty() => error.clone(),
        _ if missing.is_empty() => Error::Missing(what),
        _ => Error::Missing(missing.join(" or ")),
    }
}

impl Store {
    /// Paths of the volumes that are missing, of a store that was opened for what is left of it.
    #[must_use]
    pub fn missing_volumes(&self) -> Vec<String> {
        self.lock().vault.missing().collect()
    }

    /// What is wrong with those that are no volumes, of a store that was opened for what is left of it.
    #[must_use]
    pub fn broken_volumes(&self) -> Vec<Error> {
        self.lock().vault.broken().cloned().collect()
    }

    /// Whether `error` is that something lay in a volume that is missing or broken.
    pub(crate) fn is_of_lost_volume(&self, error: &Error) -> bool {
        let vault = &self.lock().vault;
        let lost = vault.missing().next().is_some() || vault.broken().next().is_some();
        lost && matches!(error, Error::Missing(_)) || vault.is_of_broken(error)
    }

    fn record(&self, inner: &mut Inner, id: u64) -> Result<BodyRecord, Error> {
        if let Some(record) = self.wal.body(id) {
            return Ok(record.clone());
        }
        let record = inner.vault.body(id)?;
        record.ok_or_else(|| not_there(inner, format!("body {id}")))
    }

    /// Hands the plaintext of chunks `first .. first + count` to `each`, in order, in pieces of one
    /// chunk or more, until it refuses one.
    fn chunks(
        &self,
        inner: &mut Inner,
        (first, count): (u64, u64),
        each: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut next = first;
        let end = first + count;
        while next < end {
            if let Some(chunk) = self.wal.chunk(next, &self.keys) {
                each(&chunk?)?;
                next += 1;
                continue;
            }
            let block = inner.vault.chunk_block(next)?;
            let block = block.ok_or_else(|| not_there(inner, format!("chunk {next}")))?;
            let (held, bytes) = block.run(next, end).ok_or_else(|| {
                Error::damaged(format!("chunk {next}"), "its block does not hold it")
            })?;
            each(bytes)?;
            next += held;
        }
        Ok(())
    }

    /// The plaintext of chunks, for recovery.
    pub(crate) fn read_chunks(&self, numbers: &[u64]) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        for &number in numbers {
            self.chunks(&mut self.lock(), (number, 1), &mut |chunk| {
                out.extend_from_slice(chunk);
                Ok(())
            })?;
        }
        Ok(out)
    }

    /// Whether a body ended.
    pub(crate) fn has_body(&self, id: u64) -> Result<bool, Error> {
        if self.wal.body(id).is_some() {
            return Ok(true);
        }
        Ok(self.lock().vault.body(id)?.is_some())
    }

    /// The salt of a body's commitment.
    fn salt(&self, inner: &mut Inner, id: u64) -> Result<[u8; SALT_BYTES], Error> {
        Ok(match inner.salts.entry(id / BODIES_PER_SEED) {
            hash_map::Entry::Occupied(tree) => tree.into_mut(),
            hash_map::Entry::Vacant(slot) => slot.insert(SaltTree::new(read_seed(
                self.disk.as_ref(),
                id,
                &self.keys,
            )?)),
        }
        .salt(id))
    }

    /// What a body is made of and salted with. Where both are locked the seed is looked for all the same, once: that it is
    /// not there, or not as it was written, shows without a key.
    fn record_and_salt(
        &self,
        inner: &mut Inner,
        id: u64,
    ) -> Result<(BodyRecord, [u8; SALT_BYTES]), Error> {
        let record = match self.record(inner, id) {
            Err(locked @ Error::Locked { .. }) => {
                let sought = inner.sought_seeds.insert(id / BODIES_PER_SEED);
                return match sought.then(|| self.salt(inner, id)) {
                    None | Some(Ok(_) | Err(Error::Locked { .. })) => Err(locked),
                    Some(Err(error)) => Err(error),
                };
            }
            other => other?,
        };
        Ok((record, self.salt(inner, id)?))
    }

    /// Re-computes the commitment of a body from what the vault holds, handing the plaintext to `each`: never more bytes
    /// than the event says, however much a recipe repeats.
    ///
    /// # Errors
    /// [`Error::Missing`] or [`Error::Damaged`] naming the body; [`Error::Altered`] when length or
    /// commitment differ from what the event says; [`Error::Locked`] without a key for it.
    pub fn check_body(&self, body: &BodyRef, each: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
        let altered =
            |detail: String| Error::altered(format!("body {} ({})", body.id, body.role), detail);
        let says = body.len;
        let inner = &mut *self.lock();
        let (record, salt) = self.record_and_salt(inner, body.id)?;
        let runs = WalView::runs(&record)?;
        // No chunk is empty.
        let chunks: u64 = runs.iter().map(|(_, count)| count).sum();
        if record.len != says || chunks > says {
            return Err(altered(format!(
                "{chunks} chunks of {} bytes where the event says {says} bytes",
                record.len
            )));
        }
        let mut commitment = Commitment::new(&salt);
        let mut len = 0_u64;
        for run in runs {
            self.chunks(inner, run, &mut |chunk| {
                len += chunk.len() as u64;
                if len > says {
                    let detail = format!("{len} bytes or more where the event says {says}");
                    return Err(altered(detail));
                }
                commitment.update(chunk);
                each(chunk);
                Ok(())
            })?;
        }
        if len != says {
            return Err(altered(format!("{len} bytes where the event says {says}")));
        }
        if commitment.finish() != body.commitment {
            return Err(altered(
                "its bytes do not match the event's commitment".into(),
            ));
        }
        Ok(())
    }

    /// Whether all of a body is there. Reads what it is made of, and none of its bytes.
    ///
    /// # Errors
    /// [`Error::Damaged`]; [`Error::Locked`] without a key for it.
    pub fn holds(&self, body: &BodyRef) -> Result<bool, Error> {
        let inner = &mut *self.lock();
        let record = match self.record(inner, body.id) {
            Err(Error::Missing(_)) => return Ok(false),
            Err(error) if inner.vault.is_of_broken(&error) => return Ok(false),
            other => other?,
        };
        // A recipe may claim any number of chunks: they are looked for block by block.
        let is_there = |(first, count): (u64, u64)| {
            let end = first.saturating_add(count);
            let mut next = first;
            while next < end {
                let last = match self.wal.chunk(next, &self.keys) {
                    Some(_) => next,
                    None => match inner.vault.last_beside(next) {
                        Some(last) => last,
                        None => return false,
                    },
                };
                next = last.saturating_add(1);
            }
            true
        };
        Ok(WalView::runs(&record)?.into_iter().all(is_there))
    }

    /// What is wrong with those parts of the vault that no event led to.
    pub(crate) fn check_rest_of_vault(&self) -> Vec<Error> {
        self.lock().vault.check_rest(self.has_ended())
    }

    /// The exact bytes of a body, checked against the commitment in its event.
    ///
    /// # Errors
    /// As [`Self::check_body`].
    pub fn body(&self, body: &BodyRef) -> Result<Vec<u8>, Error> {
        // The length is a claim until it is checked; it only sizes the first allocation.
        let mut out = Vec::with_capacity(usize::try_from(body.len).unwrap_or(0).min(1 << 20));
        self.check_body(body, &mut |chunk| out.extend_from_slice(chunk))?;
        Ok(out)
    }
}
