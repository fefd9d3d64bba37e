//! The recorder's own secrets: the key that signs checkpoints and the key of secret digests.
//!
//! Made at first start, mode 0600, never in the log, never replaced when missing: a store whose key
//! is gone is refused, because a new key beside an old log would hide a rewrite.

use crate::error::Error;
use aws_lc_rs::{hmac, rand};
use std::sync::Arc;
use storage::Disk;
use tlog::note::{SigningKey, VerifyingKey};

const LOG_KEY: &str = "keys/log.key";
const SECRET_KEY: &str = "keys/secret.key";
pub(crate) const VKEY: &str = "log/vkey";

/// Bytes of a secret's digest that are kept: enough for equality, useless for guessing a long secret.
const DIGEST_BYTES: usize = 16;

#[derive(Debug)]
pub(crate) struct Secrets {
    log: Arc<SigningKey>,
    digest: hmac::Key,
}

pub(crate) fn random() -> Result<[u8; 32], Error> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| Error::Fatal("the system gives no randomness".into()))?;
    Ok(bytes)
}

fn read(disk: &dyn Disk, path: &str) -> Result<Option<Vec<u8>>, Error> {
    match disk.read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(path, &error)),
    }
}

/// A key file is one line: version, then 32 bytes in hexadecimal.
fn parse_seed(path: &str, bytes: &[u8]) -> Result<[u8; 32], Error> {
    std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| text.strip_suffix('\n'))
        .and_then(|text| match text.strip_prefix("v2 ") {
            Some(text) => {
                let (seed, check) = text.split_once(' ')?;
                let seed = hex::decode(seed).ok()?.try_into().ok()?;
                (check == check_of(&seed)).then_some(seed)
            }
            None => hex::decode(text.strip_prefix("v1 ")?).ok()?.try_into().ok(),
        })
        .ok_or_else(|| Error::damaged(path, "it is not a whole key file"))
}

/// Shows that a key file is as it was written. It stands beside the key and is as secret.
fn check_of(seed: &[u8; 32]) -> String {
    let digest = hex::encode(crate::body::sha256(seed));
    digest.chars().take(16).collect()
}

fn publish_seed(disk: &dyn Disk, path: &str, seed: &[u8; 32]) -> Result<(), Error> {
    let text = format!("v2 {} {}\n", hex::encode(seed), check_of(seed));
    disk.publish(path, text.as_bytes())
        .map_err(|error| Error::io(path, &error))
}

/// The public key that lies beside the log. A verifier should hold its own copy.
pub(crate) fn read_vkey(disk: &dyn Disk) -> Result<VerifyingKey, Error> {
    let bytes = read(disk, VKEY)?.ok_or_else(|| Error::Missing(VKEY.into()))?;
    std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| text.strip_suffix('\n')?.parse().ok())
        .filter(|key: &VerifyingKey| format!("{key}\n").as_bytes() == bytes)
        .ok_or_else(|| Error::damaged(VKEY, "it is not a verifier key"))
}

impl Secrets {
    pub(crate) fn load_or_create(disk: &dyn Disk) -> Result<Self, Error> {
        let seed = read(disk, LOG_KEY)?;
        let vkey = read_vkey(disk);
        let begun = !disk
            .list("wal")
            .map_err(|error| Error::io("listing wal", &error))?
            .is_empty()
            || read(disk, "state")?.is_some();
        let log = match (seed, vkey) {
            (Some(seed), Ok(vkey)) => {
                let key = signing_key(vkey.name(), &parse_seed(LOG_KEY, &seed)?)?;
                if key.verifying_key().to_string() != vkey.to_string() {
                    return Err(Error::damaged(
                        LOG_KEY,
                        "it is not the key that log/vkey names",
                    ));
                }
                key
            }
            (None, _) if begun => return Err(Error::Missing(LOG_KEY.into())),
            (_, Err(Error::Missing(path))) if begun => return Err(Error::Missing(path)),
            (_, Err(error @ Error::Damaged { .. })) => return Err(error),
            // A first start, perhaps one that was cut short between the two files.
            (seed, _) => {
                let seed = match seed {
                    Some(seed) => parse_seed(LOG_KEY, &seed)?,
                    None => random()?,
                };
                let name = format!("tachograph/{}", ulid::Ulid::new());
                let key = signing_key(&name, &seed)?;
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
        Ok(Self {
            log: Arc::new(log),
            digest: hmac::Key::new(hmac::HMAC_SHA256, &digest),
        })
    }

    pub(crate) fn log_key(&self) -> Arc<SigningKey> {
        self.log.clone()
    }

    pub(crate) fn digest(&self, secret: &[u8]) -> String {
        let tag = hmac::sign(&self.digest, secret);
        let kept = tag.as_ref().get(..DIGEST_BYTES).unwrap_or_default();
        format!("hmac-sha256:{}", hex::encode(kept))
    }
}

fn signing_key(name: &str, seed: &[u8; 32]) -> Result<SigningKey, Error> {
    SigningKey::from_seed(name, seed).map_err(|error| Error::damaged(LOG_KEY, error.to_string()))
}
