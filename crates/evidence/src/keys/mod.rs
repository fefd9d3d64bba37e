//! The recorder's own secrets: the key that signs checkpoints and the key of secret digests.
//!
//! Made at first start, mode 0600, never in the log, never replaced when missing: a store whose key
//! is gone is refused, because a new key beside an old log would hide a rewrite.

mod log_key;
mod log_keys;
mod seed;

pub(crate) use log_key::LogKey;
pub(crate) use log_keys::{NextKey, in_force};
pub(crate) use seed::{Seed, parse_seed, publish_seed, random};

use crate::ambient;
use crate::error::Error;
use crate::published;
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

#[derive(Debug)]
pub(crate) struct Secrets {
    log: Arc<LogKey>,
    digest: DigestKey,
}

/// The key of secret digests: the one secret that every source's handle leads to.
#[derive(Debug)]
pub(crate) struct DigestKey(hmac::Key);

fn read(disk: &dyn Disk, path: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
    match disk.read(path) {
        Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(path, &error)),
    }
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

impl Secrets {
    /// Also returns whether anything has been recorded with them.
    pub(crate) fn load_or_create(disk: &dyn Disk) -> Result<(Self, bool), Error> {
        let seed = read(disk, LOG_KEY)?;
        let vkey = read_vkey(disk);
        let begun = is_begun(disk)?;
        let log = match (seed, vkey) {
            (Some(seed), Ok(vkey)) => {
                let seed = parse_seed(LOG_KEY, &seed)?;
                LogKey::from_seed(vkey.name(), &seed)?
            }
            // The public half is written only once the private one is durable.
            (None, Ok(_)) => return Err(Error::Missing(LOG_KEY.into())),
            (None, _) if begun => return Err(Error::Missing(LOG_KEY.into())),
            (_, Err(Error::Missing(path))) if begun => return Err(Error::Missing(path)),
            // That it cannot be read now does not mean that there is none.
            (_, Err(error)) if !matches!(error, Error::Missing(_)) => return Err(error),
            // A first start, perhaps one that was cut short between the two files.
            (seed, _) => {
                let seed = match seed {
                    Some(seed) => parse_seed(LOG_KEY, &seed)?,
                    None => random()?,
                };
                let name = format!("tachograph/{}", new_id()?);
                let key = LogKey::from_seed(&name, &seed)?;
                publish_seed(disk, LOG_KEY, &seed)?;
                let vkey = format!("{}\n", key.verifying_key());
                disk.publish(VKEY, vkey.as_bytes())
                    .map_err(|error| Error::io(VKEY, &error))?;
                key
            }
        };
        let digest = match read(disk, SECRET_KEY)? {
            Some(bytes) => parse_seed(SECRET_KEY, &bytes)?,
            None if begun => return Err(Error::Missing(SECRET_KEY.into())),
            None => {
                let seed = random()?;
                publish_seed(disk, SECRET_KEY, &seed)?;
                seed
            }
        };
        let secrets = Self {
            log: Arc::new(log),
            digest: DigestKey(hmac::Key::new(hmac::HMAC_SHA256, digest.as_slice())),
        };
        Ok((secrets, begun))
    }

    /// The key in `keys/log.key`, which is not always the one in force: see [`in_force`].
    pub(crate) fn log_key(&self) -> &Arc<LogKey> {
        &self.log
    }

    /// What a running recorder needs of them all its life. The log's key is not among it: it ends with its epoch.
    pub(crate) fn into_digest_key(self) -> DigestKey {
        self.digest
    }
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
        let names = disk.list(dir);
        if !names.map_err(|error| Error::io(dir, &error))?.is_empty() {
            return Ok(true);
        }
    }
    Ok(read(disk, "state")?.is_some()
        || read(disk, CHECKPOINT)?.is_some()
        || !published::sizes(disk)?.is_empty())
}

/// A name that no other log has, which begins with the time it was made.
fn new_id() -> Result<ulid::Ulid, Error> {
    let mut bytes = [0; 16];
    ambient::fill(&mut bytes)?;
    let millis = u64::try_from(ambient::clocks().wall.as_millis()).unwrap_or_default();
    Ok(ulid::Ulid::from_parts(millis, u128::from_le_bytes(bytes)))
}
