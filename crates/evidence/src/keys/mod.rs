//! The recorder's own secrets: the key that signs checkpoints and the key of secret digests.
//!
//! Made at first start, mode 0600, never in the log, never replaced when missing: a store whose key
//! is gone is refused, because a new key beside an old log would hide a rewrite.

mod key_file;
mod log_key;
mod log_keys;
mod seed;
mod signer;
mod token_settings;

#[cfg(feature = "pkcs11")]
mod token;
#[cfg(not(feature = "pkcs11"))]
#[path = "no_token.rs"]
mod token;

pub(crate) use log_key::LogKey;
pub(crate) use log_keys::{LogKeys, NextKey};
pub(crate) use seed::{Seed, parse_seed, publish_seed, random};
pub(crate) use signer::{EpochSigner, signed_note};
pub use token_settings::TokenSettings;

use key_file::KeyFile;
use log_keys::Place;

use crate::ambient;
use crate::error::Error;
use crate::published;
use crate::stored;
use crate::tiles::CHECKPOINT;
use aws_lc_rs::hmac;
use std::sync::Arc;
use storage::Disk;
use tlog::note::VerifyingKey;
use zeroize::Zeroizing;

const LOG_KEY: &str = "keys/log.key";
const SECRET_KEY: &str = "keys/secret.key";
pub(crate) const VKEY: &str = "log/vkey";

/// Bytes of a secret's digest that are kept: enough for equality, useless for guessing a long secret.
const DIGEST_BYTES: usize = 16;

/// The key of secret digests: the one secret that every source's handle leads to.
#[derive(Debug)]
pub(crate) struct DigestKey(hmac::Key);

fn read(disk: &dyn Disk, path: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
    Ok(stored::read(disk, path)?.map(Zeroizing::new))
}

/// The first key of the log, for ever, which lies beside it. A verifier should hold its own copy.
pub(crate) fn read_vkey(disk: &dyn Disk) -> Result<VerifyingKey, Error> {
    let bytes = read(disk, VKEY)?.ok_or_else(|| Error::Missing(VKEY.into()))?;
    std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| text.strip_suffix('\n')?.parse().ok())
        .filter(|key: &VerifyingKey| format!("{key}\n").as_bytes() == bytes.as_slice())
        .ok_or_else(|| Error::damaged(VKEY, "it is not a verifier key"))
}

/// Loads what is there, makes what a first start needs. Also returns whether anything has been recorded with them.
///
/// The key in force is not always the one that is returned: see [`LogKeys::in_force`].
pub(crate) fn load_or_create(
    disk: &Arc<dyn Disk>,
    token: Option<&TokenSettings>,
) -> Result<(DigestKey, LogKeys, bool), Error> {
    let begun = is_begun(disk.as_ref())?;
    let file = KeyFile::read(disk.as_ref(), LOG_KEY)?;
    let place = || Place::open(disk.clone(), token);
    let keys = match (file, read_vkey(disk.as_ref())) {
        (Some(file), Ok(vkey)) => place()?.load(file, vkey.name())?,
        // The public half is written only once the private one is durable.
        (None, Ok(_)) => return Err(Error::Missing(LOG_KEY.into())),
        (None, _) if begun => return Err(Error::Missing(LOG_KEY.into())),
        (_, Err(Error::Missing(path))) if begun => return Err(Error::Missing(path)),
        // That it cannot be read now does not mean that there is none.
        (_, Err(error)) if !matches!(error, Error::Missing(_)) => return Err(error),
        // A first start, perhaps one that was cut short between the two files.
        (file, _) => {
            let keys = place()?.first(file, new_origin)?;
            let vkey = format!("{}\n", keys.key().verifying_key());
            disk.publish(VKEY, vkey.as_bytes())
                .map_err(|error| Error::io(VKEY, &error))?;
            keys
        }
    };
    let digest = match read(disk.as_ref(), SECRET_KEY)? {
        Some(bytes) => parse_seed(SECRET_KEY, &bytes)?,
        None if begun => return Err(Error::Missing(SECRET_KEY.into())),
        None => {
            let seed = random()?;
            publish_seed(disk.as_ref(), SECRET_KEY, &seed)?;
            seed
        }
    };
    let digest = DigestKey(hmac::Key::new(hmac::HMAC_SHA256, digest.as_slice()));
    Ok((digest, keys, begun))
}

impl DigestKey {
    /// A keyed digest of a secret.
    pub(crate) fn digest(&self, secret: &[u8]) -> String {
        let tag = hmac::sign(&self.0, secret);
        let kept = tag.as_ref().get(..DIGEST_BYTES).unwrap_or_default();
        format!("hmac-sha256:{}", hex::encode(kept))
    }
}

/// Whether anything of a log is here. The keys were all durable before the first of it.
fn is_begun(disk: &dyn Disk) -> Result<bool, Error> {
    for dir in ["wal", "log/tile", "vault"] {
        if !stored::list(disk, dir)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(read(disk, "state")?.is_some()
        || read(disk, CHECKPOINT)?.is_some()
        || !published::sizes(disk)?.is_empty())
}

/// A name that no other log has, which holds the time it was made.
fn new_origin() -> Result<String, Error> {
    let mut bytes = [0; 16];
    ambient::fill(&mut bytes)?;
    let millis = u64::try_from(ambient::clocks().wall.as_millis()).unwrap_or_default();
    let id = ulid::Ulid::from_parts(millis, u128::from_le_bytes(bytes));
    Ok(format!("tachograph/{id}"))
}
