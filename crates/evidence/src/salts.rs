//! Body numbers and the seeds of their salts on disk.

use crate::error::Error;
use crate::salt::{BODIES_PER_SEED, SALT_BYTES, SaltTree};
use std::sync::{Arc, Mutex, PoisonError};
use storage::Disk;

pub(crate) fn seed_path(index: u64) -> String {
    format!("vault/salts/{index:08}.seed")
}

/// Reads the seed that serves body `id`.
pub(crate) fn read_seed(disk: &dyn Disk, id: u64) -> Result<[u8; 32], Error> {
    let path = seed_path(id / BODIES_PER_SEED);
    let bytes = match disk.read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::Missing(path));
        }
        other => other.map_err(|error| Error::io(&path, &error))?,
    };
    bytes
        .try_into()
        .map_err(|_| Error::damaged(path, "a seed has 32 bytes"))
}

/// Numbers bodies and derives their salts.
#[derive(Debug)]
pub(crate) struct Salts {
    disk: Arc<dyn Disk>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    next: u64,
    tree: SaltTree,
}

impl Salts {
    /// `next` is the lowest number that no durable body has.
    pub(crate) fn open(disk: Arc<dyn Disk>, next: u64) -> Result<Self, Error> {
        // Bodies of this seed are durable, so it was too, and a new one would only hide that it is gone.
        let seed = if next.is_multiple_of(BODIES_PER_SEED) {
            load_or_create(disk.as_ref(), next)?
        } else {
            read_seed(disk.as_ref(), next)?
        };
        let tree = SaltTree::new(seed);
        Ok(Self {
            disk,
            inner: Mutex::new(Inner { next, tree }),
        })
    }

    /// The next body's number and salt.
    pub(crate) fn next(&self) -> Result<(u64, [u8; SALT_BYTES]), Error> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let id = inner.next;
        if id.is_multiple_of(BODIES_PER_SEED) {
            // The seed is durable before any body relies on it.
            inner.tree = SaltTree::new(load_or_create(self.disk.as_ref(), id)?);
        }
        inner.next += 1;
        Ok((id, inner.tree.salt(id)))
    }

    /// The salt of an earlier body.
    pub(crate) fn salt(&self, id: u64) -> Result<[u8; SALT_BYTES], Error> {
        Ok(SaltTree::new(read_seed(self.disk.as_ref(), id)?).salt(id))
    }
}

fn load_or_create(disk: &dyn Disk, id: u64) -> Result<[u8; 32], Error> {
    match read_seed(disk, id) {
        Err(Error::Missing(path)) => {
            let seed = crate::keys::random()?;
            disk.publish(&path, &seed)
                .map_err(|error| Error::io(path, &error))?;
            Ok(seed)
        }
        other => other,
    }
}
