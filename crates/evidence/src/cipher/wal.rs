//! What passes through the write-ahead log, encrypted where it comes from.
//!
//! ```text
//! encrypted := salt[16] nonce[12] ciphertext tag[16]
//! ```
//! The key is derived from the keyring key and the salt, which is new with every start and after [`MAX_RECORDS`] records:
//! a keyring key may serve for years, and no key of AES-GCM with random nonces may encrypt more than 2^32 messages
//! (NIST SP 800-38D, 8.3).

use super::DataKey;
use crate::error::Error;
use crate::keys::Seed;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of a salt.
pub(super) const SALT_BYTES: usize = 16;

/// Records that one key encrypts.
const MAX_RECORDS: u64 = 1 << 28;

const INFO: &[u8] = b"tachograph wal v1";

struct KeyLength;

impl KeyType for KeyLength {
    fn len(&self) -> usize {
        32
    }
}

/// The key of the records that carry `salt`.
pub(super) fn derive(keyring: &[u8; 32], salt: &[u8; SALT_BYTES]) -> Result<DataKey, Error> {
    let mut key = [0; 32];
    Salt::new(HKDF_SHA256, salt)
        .extract(keyring)
        .expand(&[INFO], KeyLength)
        .and_then(|okm| okm.fill(&mut key))
        .map_err(|_| Error::Fatal("the system derives no key".into()))?;
    DataKey::new(&key)
}

/// Binds a chunk's ciphertext to the log and to how it is decoded.
pub(super) fn chunk_aad(origin: &str, raw_len: u32, codec: u8) -> Vec<u8> {
    let mut aad = format!("tachograph wal chunk v1\n{origin}\n").into_bytes();
    aad.extend_from_slice(&raw_len.to_le_bytes());
    aad.push(codec);
    aad
}

/// Binds a tail's ciphertext to the log and its body.
pub(super) fn tail_aad(origin: &str, id: u64) -> Vec<u8> {
    let mut aad = format!("tachograph wal tail v1\n{origin}\n").into_bytes();
    aad.extend_from_slice(&id.to_le_bytes());
    aad
}

/// A key of the write-ahead log in use.
#[derive(Debug)]
pub(crate) struct WalSession {
    origin: Arc<str>,
    salt: [u8; SALT_BYTES],
    key: DataKey,
    records: AtomicU64,
}

impl WalSession {
    fn seal(&self, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, Error> {
        self.records.fetch_add(1, Ordering::Relaxed);
        let sealed = self.key.seal(aad, plain)?;
        Ok([self.salt.as_slice(), &sealed].concat())
    }

    /// Encrypts the stored bytes of a chunk. `codec` is the one that will stand in its record.
    pub(crate) fn seal_chunk(
        &self,
        raw_len: u32,
        codec: u8,
        stored: &[u8],
    ) -> Result<Vec<u8>, Error> {
        self.seal(&chunk_aad(&self.origin, raw_len, codec), stored)
    }

    /// Encrypts the bytes behind the last chunk of unfinished body `id`; nothing stays nothing.
    pub(crate) fn seal_tail(&self, id: u64, tail: &[u8]) -> Result<Vec<u8>, Error> {
        if tail.is_empty() {
            return Ok(Vec::new());
        }
        self.seal(&tail_aad(&self.origin, id), tail)
    }
}

/// Gives sources the key to encrypt with.
#[derive(Debug)]
pub(crate) struct WalSessions {
    origin: Arc<str>,
    keyring: Seed,
    current: Mutex<Arc<WalSession>>,
}

impl WalSessions {
    pub(super) fn new(origin: Arc<str>, keyring: Seed) -> Result<Self, Error> {
        let current = Mutex::new(Self::fresh(&origin, &keyring)?);
        Ok(Self {
            origin,
            keyring,
            current,
        })
    }

    fn fresh(origin: &Arc<str>, keyring: &[u8; 32]) -> Result<Arc<WalSession>, Error> {
        let mut salt = [0; SALT_BYTES];
        crate::ambient::fill(&mut salt)?;
        Ok(Arc::new(WalSession {
            origin: origin.clone(),
            salt,
            key: derive(keyring, &salt)?,
            records: AtomicU64::new(0),
        }))
    }

    /// The key for a body that begins now.
    pub(crate) fn current(&self) -> Result<Arc<WalSession>, Error> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.records.load(Ordering::Relaxed) >= MAX_RECORDS {
            *current = Self::fresh(&self.origin, &self.keyring)?;
        }
        Ok(current.clone())
    }
}
