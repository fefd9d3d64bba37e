//! A private key as it lies in a file: one line with a version, the 32 bytes in hexadecimal and a check of them.
//!
//! What holds a seed is overwritten when it goes. That is as far as it reaches: what the system has copied, to swap or to
//! blocks of the medium that are free again, is out of its hands.

use crate::ambient;
use crate::error::Error;
use std::fmt;
use std::ops::Deref;
use storage::Disk;
use zeroize::Zeroizing;

/// 32 bytes that nobody else may know. `Debug` does not show them.
#[derive(Clone)]
pub(crate) struct Seed(Zeroizing<[u8; 32]>);

impl Deref for Seed {
    type Target = [u8; 32];

    fn deref(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed")
    }
}

/// Characters of the check of a seed.
const CHECK_CHARS: usize = 16;

/// Longest key file.
const MAX_FILE_BYTES: usize = 128;

pub(crate) fn random() -> Result<Seed, Error> {
    let mut bytes = Zeroizing::new([0; 32]);
    ambient::fill(bytes.as_mut_slice())?;
    Ok(Seed(bytes))
}

/// A key file is one line: version, then 32 bytes in hexadecimal.
pub(crate) fn parse_seed(path: &str, bytes: &[u8]) -> Result<Seed, Error> {
    std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| text.strip_suffix('\n'))
        .and_then(|text| match text.strip_prefix("v2 ") {
            Some(text) => {
                let (seed, check) = text.split_once(' ')?;
                let seed = decode(seed)?;
                (check == check_of(&seed)).then_some(seed)
            }
            None => decode(text.strip_prefix("v1 ")?),
        })
        .ok_or_else(|| Error::damaged(path, "it is not a whole key file"))
}

/// The seed that 64 hexadecimal digits are.
pub(super) fn decode(text: &str) -> Option<Seed> {
    let mut bytes = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text, bytes.as_mut_slice()).ok()?;
    Some(Seed(bytes))
}

/// The seed in hexadecimal.
pub(super) fn digits(seed: &Seed) -> Result<Zeroizing<[u8; 64]>, Error> {
    let mut digits = Zeroizing::new([0; 64]);
    hex::encode_to_slice(seed.as_slice(), digits.as_mut_slice())
        .map_err(|error| Error::Fatal(format!("writing a key in hexadecimal: {error}")))?;
    Ok(digits)
}

/// Shows that a key file is as it was written. It stands beside the key and is as secret.
fn check_of(seed: &Seed) -> String {
    let digest = hex::encode(crate::body::sha256(seed.as_slice()));
    digest.chars().take(CHECK_CHARS).collect()
}

pub(crate) fn publish_seed(disk: &dyn Disk, path: &str, seed: &Seed) -> Result<(), Error> {
    let digits = digits(seed)?;
    // Never grown: what a grown one leaves behind is not overwritten.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_FILE_BYTES));
    for part in [
        b"v2 ",
        digits.as_slice(),
        b" ",
        check_of(seed).as_bytes(),
        b"\n",
    ] {
        text.extend_from_slice(part);
    }
    disk.publish(path, &text)
        .map_err(|error| Error::io(path, &error))
}
