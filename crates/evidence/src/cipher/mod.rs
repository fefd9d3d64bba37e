//! How the vault is encrypted: AES-256-GCM under keys that are themselves wrapped.
//!
//! Each volume and each seed of salts has a random key of its own, wrapped under the keyring key (`keys/vault.key`) or to
//! an investigator's public key ([`hpke`]). What passes through the write-ahead log is encrypted under keys derived from
//! the keyring key. Nonces are random and stored with what they encrypt: no position is ever the nonce, because a
//! place in a file is written again after a crash.

mod hpke;
mod keyring;
mod recipient;
mod wal;
mod wrapped;

pub(crate) use keyring::{Keyring, Protects};
pub(crate) use recipient::RECIPIENT_FACT;
pub use recipient::{Recipient, VaultKey};
pub(crate) use wal::{WalSession, WalSessions};

use crate::ambient;
use crate::error::Error;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

/// Bytes of a nonce, which stand before the ciphertext.
const NONCE_BYTES: usize = 12;

/// Bytes of a tag, which stand behind it.
const TAG_BYTES: usize = 16;

/// Bytes that encryption adds.
pub(crate) const OVERHEAD_BYTES: usize = NONCE_BYTES + TAG_BYTES;

/// A key of AES-256-GCM (NIST SP 800-38D) with random nonces.
#[derive(Debug)]
pub(crate) struct DataKey(LessSafeKey);

impl DataKey {
    pub(crate) fn new(key: &[u8; 32]) -> Result<Self, Error> {
        UnboundKey::new(&AES_256_GCM, key)
            .map(|key| Self(LessSafeKey::new(key)))
            .map_err(|_| Error::Fatal("the system refuses an AES-256-GCM key".into()))
    }

    /// `nonce || ciphertext || tag`.
    pub(crate) fn seal(&self, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, Error> {
        let mut nonce = [0; NONCE_BYTES];
        ambient::fill(&mut nonce)?;
        let mut out = Vec::with_capacity(plain.len() + OVERHEAD_BYTES);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(plain);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let body = out.get_mut(NONCE_BYTES..).unwrap_or_default();
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce, Aad::from(aad), body)
            .map_err(|_| Error::Fatal("the system does not encrypt".into()))?;
        out.extend_from_slice(tag.as_ref());
        Ok(out)
    }

    /// The plaintext, in the place of the ciphertext. `None`: it was not encrypted under this key, or not for `aad`.
    pub(crate) fn open<'a>(&self, aad: &[u8], sealed: &'a mut [u8]) -> Option<&'a [u8]> {
        let (nonce, rest) = sealed.split_first_chunk_mut::<NONCE_BYTES>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self.0.open_in_place(nonce, Aad::from(aad), rest).ok()?;
        Some(plain)
    }
}

/// Reads lower-case hexadecimal; `None` for anything else, so that there is one way to write each value.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let bytes = hex::decode(text).ok()?;
    (hex::encode(&bytes) == text).then_some(bytes)
}

/// The first 16 hexadecimal digits of a digest: names a key without telling anything of it.
fn short_id(parts: &[&[u8]]) -> String {
    let digest = hex::encode(crate::body::sha256(&parts.concat()));
    digest.chars().take(16).collect()
}

#[cfg(test)]
mod tests;
