//! Body numbers and the seeds of their salts on disk.

use crate::cipher::{Keyring, Protects};
use crate::error::Error;
use crate::salt::{BODIES_PER_SEED, SALT_BYTES, SaltTree};
use crate::stored;
use std::sync::{Arc, Mutex, PoisonError};
use storage::Disk;

/// Bytes of a seed, and of the file of a seed of format 1.
const SEED_BYTES: usize = 32;

/// Reads the seed that serves body `id`.
///
/// # Errors
/// [`Error::Locked`] without a key for it.
pub(crate) fn read_seed(disk: &dyn Disk, id: u64, keys: &Keyring) -> Result<[u8; 32], Error> {
    let protects = Protects::Seed(id / BODIES_PER_SEED);
    let path = protects.path();
    let bytes = stored::need(disk, &path)?;
    match <[u8; SEED_BYTES]>::try_from(bytes.as_slice()) {
        Ok(seed) => Ok(seed),
        Err(_) => keys.open(protects, &bytes),
    }
}

/// Numbers bodies and derives their salts.
#[derive(Debug)]
pub(crate) struct Salts {
    disk: Arc<dyn Disk>,
    keys: Arc<Keyring>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    next: u64,
    tree: SaltTree,
    /// Whether the seed has served a body since it was made or read.
    used: bool,
    /// Why no body gets a number any more.
    failed: Option<Error>,
}

impl Salts {
    /// `next` is the lowest number that no durable body has.
    pub(crate) fn open(disk: Arc<dyn Disk>, keys: Arc<Keyring>, next: u64) -> Result<Self, Error> {
        let mut next = next;
        // Where bodies of this seed are durable it was too, and a new one would only hide that it is gone.
        let begun = !next.is_multiple_of(BODIES_PER_SEED);
        let seed = match begun.then(|| read_seed(disk.as_ref(), next, &keys)) {
            Some(Err(Error::Locked { .. })) => None,
            Some(Ok(_)) if keys.is_write_only() => None,
            Some(seed) => Some(seed?),
            None => None,
        };
        let seed = match seed {
            Some(seed) => seed,
            None => {
                // No durable body has a number from here on, so whatever seed lies there serves none.
                next = next.next_multiple_of(BODIES_PER_SEED);
                *keys.make(Protects::Seed(next / BODIES_PER_SEED))?
            }
        };
        Ok(Self {
            disk,
            keys,
            inner: Mutex::new(Inner {
                next,
                tree: SaltTree::new(seed),
                used: false,
                failed: None,
            }),
        })
    }

    /// The next body's number and salt.
    ///
    /// # Errors
    /// [`Error::Full`]: there is no room for a new seed, try again later. [`Error::Fatal`]: whether a new seed is durable is
    /// not known, so no body may rely on one; the process must stop.
    pub(crate) fn next(&self) -> Result<(u64, [u8; SALT_BYTES]), Error> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = &inner.failed {
            return Err(error.clone());
        }
        if inner.used && inner.next.is_multiple_of(BODIES_PER_SEED) {
            // The seed is durable before any body relies on it.
            let seed = self.keys.make(Protects::Seed(inner.next / BODIES_PER_SEED));
            let seed = seed.map_err(|error| match error {
                error if error.is_full() => Error::Full(error.to_string()),
                error => {
                    let fatal = Error::Fatal(format!("a new seed of salts: {error}"));
                    inner.failed = Some(fatal.clone());
                    fatal
                }
            })?;
            inner.tree = SaltTree::new(*seed);
        }
        inner.used = true;
        let id = inner.next;
        inner.next += 1;
        Ok((id, inner.tree.salt(id)))
    }

    /// Lets the next body begin a new seed, so that this process forgets the one before.
    pub(crate) fn renew(&self) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.used {
            inner.next = inner.next.next_multiple_of(BODIES_PER_SEED);
        }
    }

    /// The salt of an earlier body.
    pub(crate) fn salt(&self, id: u64) -> Result<[u8; SALT_BYTES], Error> {
        Ok(SaltTree::new(read_seed(self.disk.as_ref(), id, &self.keys)?).salt(id))
    }
}
