//! A private key as it lies in a file: one line with a version, the 32 bytes in hexadecimal and a check of them.

use crate::ambient;
use crate::error::Error;
use storage::Disk;

pub(crate) fn random() -> Result<[u8; 32], Error> {
    let mut bytes = [0; 32];
    ambient::fill(&mut bytes)?;
    Ok(bytes)
}

/// A key file is one line: version, then 32 bytes in hexadecimal.
pub(crate) fn parse_seed(path: &str, bytes: &[u8]) -> Result<[u8; 32], Error> {
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

pub(crate) fn publish_seed(disk: &dyn Disk, path: &str, seed: &[u8; 32]) -> Result<(), Error> {
    let text = format!("v2 {} {}\n", hex::encode(seed), check_of(seed));
    disk.publish(path, text.as_bytes())
        .map_err(|error| Error::io(path, &error))
}
