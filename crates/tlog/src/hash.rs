//! The tree's hash function, RFC 6962 section 2.1.

use crate::Error;
use aws_lc_rs::digest::{Context, Digest, SHA256, digest};
use base64::{Engine as _, display::Base64Display, engine::general_purpose::STANDARD};
use std::{fmt, str::FromStr};

/// Length of a [`struct@Hash`] in bytes.
pub const HASH_BYTES: usize = 32;

/// Base64 text of a hash: 44 bytes, the last one padding.
const BASE64_BYTES: usize = 44;

pub(crate) const LEAF_PREFIX: u8 = 0x00;
const NODE_PREFIX: u8 = 0x01;

/// A SHA-256 Merkle tree hash.
///
/// `Display` and `FromStr` are standard base64 with padding, as checkpoints spell it; `{:x}` is
/// lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; HASH_BYTES]);

impl Hash {
    /// A hash that was computed elsewhere.
    #[must_use]
    pub const fn new(bytes: [u8; HASH_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; HASH_BYTES] {
        &self.0
    }

    fn from_digest(digest: &Digest) -> Self {
        let mut bytes = [0; HASH_BYTES];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }
}

impl From<[u8; HASH_BYTES]> for Hash {
    fn from(bytes: [u8; HASH_BYTES]) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for Hash {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Base64Display::new(&self.0, &STANDARD).fmt(f)
    }
}

impl fmt::LowerHex for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl FromStr for Hash {
    type Err = Error;

    /// Reads canonical base64: padding present, unused bits zero.
    fn from_str(text: &str) -> Result<Self, Error> {
        if text.len() != BASE64_BYTES {
            return Err(Error::malformed("hash", "not 44 characters of base64"));
        }
        let bytes = STANDARD
            .decode(text)
            .map_err(|_| Error::malformed("hash", "not canonical base64"))?;
        let bytes: [u8; HASH_BYTES] = bytes
            .try_into()
            .map_err(|_| Error::malformed("hash", "not 32 bytes"))?;
        Ok(Self(bytes))
    }
}

/// `SHA-256(0x00 || entry)`.
///
/// Allocates nothing for an entry under 4 KiB: the cryptographic module's incremental context
/// lives on the heap, so short messages are assembled on the stack and hashed at one stroke.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    leaf_on_stack::<512>(entry)
        .or_else(|| leaf_on_stack::<1280>(entry))
        .or_else(|| leaf_on_stack::<4096>(entry))
        .unwrap_or_else(|| {
            let mut context = Context::new(&SHA256);
            context.update(&[LEAF_PREFIX]);
            context.update(entry);
            Hash::from_digest(&context.finish())
        })
}

/// The [`leaf_hash`] of each entry; for many entries faster than one after the other.
#[must_use]
pub fn leaf_hashes(entries: &[&[u8]]) -> Vec<Hash> {
    #[cfg(target_arch = "x86_64")]
    if let Some(hashes) = crate::lanes::leaf_hashes(entries) {
        return hashes;
    }
    entries.iter().map(|entry| leaf_hash(entry)).collect()
}

fn leaf_on_stack<const N: usize>(entry: &[u8]) -> Option<Hash> {
    if entry.len() >= N {
        return None;
    }
    let mut buffer = [LEAF_PREFIX; N];
    let message = buffer.get_mut(..=entry.len())?;
    message.get_mut(1..)?.copy_from_slice(entry);
    Some(Hash::from_digest(&digest(&SHA256, message)))
}

/// `SHA-256(0x01 || left || right)`. Allocates nothing.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut message = [NODE_PREFIX; 1 + 2 * HASH_BYTES];
    message[1..=HASH_BYTES].copy_from_slice(&left.0);
    message[1 + HASH_BYTES..].copy_from_slice(&right.0);
    Hash::from_digest(&digest(&SHA256, &message))
}

/// The root of the tree without leaves: the hash of nothing.
#[must_use]
pub fn empty_root() -> Hash {
    Hash::from_digest(&digest(&SHA256, &[]))
}
