//! What lies in `keys/log.key` and `keys/log.next.key`: one line with a version.
//!
//! Versions 1 and 2 are a seed (see [`super::seed`]), which both keys of the epoch come of. Version 3 names the pair in a
//! token that is the Ed25519 key, beside the seed of the ML-DSA-44 key:
//!
//! ```text
//! v3 token ORIGIN N SEED CHECK
//! ```
//! SEED is 32 bytes in hexadecimal, CHECK the first 8 bytes of SHA-256 over all before the space in front of it.

use super::read;
use super::seed::{Seed, decode, digits, parse_seed, publish_seed};
use crate::error::Error;
use std::fmt;
use storage::Disk;
use zeroize::Zeroizing;

const TOKEN: &str = "v3 token ";

/// Characters of the check.
const CHECK_CHARS: usize = 16;

/// What stands behind the seed: a space, the check, a line feed.
const TAIL_BYTES: usize = CHECK_CHARS + 2;

/// A key of the log as its file has it.
#[derive(Debug, Clone)]
pub(crate) struct KeyFile {
    pub(crate) seed: Seed,
    /// `None`: the Ed25519 key comes of the seed too.
    pub(crate) token: Option<KeyName>,
}

/// Names the key pair of an epoch of a log in a token. `Display` is the pair's label there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyName {
    pub(crate) origin: String,
    pub(crate) epoch: u64,
}

impl KeyName {
    /// The pairs that a rotation to or from this one can leave behind.
    pub(crate) fn neighbours(&self) -> [Self; 2] {
        [self.epoch.saturating_sub(1), self.epoch.saturating_add(1)].map(|epoch| Self {
            origin: self.origin.clone(),
            epoch,
        })
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} epoch {}", self.origin, self.epoch)
    }
}

impl KeyFile {
    /// Reads the file at `path`; `None` where there is none.
    pub(crate) fn read(disk: &dyn Disk, path: &str) -> Result<Option<Self>, Error> {
        let bytes = read(disk, path)?;
        bytes.map(|bytes| Self::parse(path, &bytes)).transpose()
    }

    fn parse(path: &str, bytes: &[u8]) -> Result<Self, Error> {
        if !bytes.starts_with(TOKEN.as_bytes()) {
            let seed = parse_seed(path, bytes)?;
            return Ok(Self { seed, token: None });
        }
        std::str::from_utf8(bytes)
            .ok()
            .and_then(parse_token)
            .ok_or_else(|| Error::damaged(path, "it is not a whole key file"))
    }

    /// Makes it the file at `path`, durably.
    pub(crate) fn publish(&self, disk: &dyn Disk, path: &str) -> Result<(), Error> {
        let Some(name) = &self.token else {
            return publish_seed(disk, path, &self.seed);
        };
        let KeyName { origin, epoch } = name;
        let head = format!("{TOKEN}{origin} {epoch} ");
        let seed = digits(&self.seed)?;
        // Never grown: what a grown one leaves behind is not overwritten.
        let mut text = Zeroizing::new(Vec::with_capacity(head.len() + seed.len() + TAIL_BYTES));
        text.extend_from_slice(head.as_bytes());
        text.extend_from_slice(seed.as_slice());
        let check = check_of(&text);
        text.extend_from_slice(format!(" {check}\n").as_bytes());
        disk.publish(path, &text)
            .map_err(|error| Error::io(path, &error))
    }
}

fn parse_token(text: &str) -> Option<KeyFile> {
    let (text, check) = text.strip_suffix('\n')?.rsplit_once(' ')?;
    let mut fields = text.strip_prefix(TOKEN)?.split(' ');
    let origin = fields.next().filter(|origin| !origin.is_empty())?;
    let epoch = fields.next()?;
    let number: u64 = epoch.parse().ok()?;
    let seed = decode(fields.next()?)?;
    let whole = fields.next().is_none()
        && number.to_string() == epoch
        && check == check_of(text.as_bytes());
    whole.then(|| KeyFile {
        seed,
        token: Some(KeyName {
            origin: origin.to_owned(),
            epoch: number,
        }),
    })
}

/// Shows that a key file is as it was written. It stands beside the seed and is as secret.
fn check_of(text: &[u8]) -> String {
    let digest = hex::encode(crate::body::sha256(text));
    digest.chars().take(CHECK_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use storage::SimDisk;

    const GOLDEN: &str = "v3 token tachograph/01M815G2QWGAJS64Y1W8KKRRNF 7 \
        0707070707070707070707070707070707070707070707070707070707070707 ed591ae4738ce66a\n";

    fn seed() -> Seed {
        decode(&"07".repeat(32)).unwrap()
    }

    fn named() -> KeyFile {
        KeyFile {
            seed: seed(),
            token: Some(KeyName {
                origin: "tachograph/01M815G2QWGAJS64Y1W8KKRRNF".into(),
                epoch: 7,
            }),
        }
    }

    #[test]
    fn a_key_file_is_what_it_was_made_to_be() {
        let disk = SimDisk::new();
        let bare = KeyFile {
            seed: seed(),
            token: None,
        };
        for file in [named(), bare] {
            file.publish(&disk, "keys/log.key").unwrap();
            let read = KeyFile::read(&disk, "keys/log.key").unwrap().unwrap();
            assert_eq!((*read.seed, read.token), (*file.seed, file.token));
        }
        named().publish(&disk, "keys/log.key").unwrap();
        assert_eq!(disk.read("keys/log.key").unwrap(), GOLDEN.as_bytes());
        assert!(KeyFile::read(&disk, "keys/none").unwrap().is_none());
        assert!(!format!("{:?}", named()).contains("7, 7"));
    }

    #[test]
    fn a_key_file_that_is_not_whole_is_refused() {
        for (from, to) in [
            ("v3", "v4"),
            ("token", "taken"),
            (" 7 ", " 8 "),
            (" 7 ", " 07 "),
            (" 7 ", " "),
            ("01M8", "01M9"),
            ("0707", "0708"),
            ("\n", ""),
            ("\n", "\n\n"),
            ("\n", " x\n"),
        ] {
            let text = GOLDEN.replacen(from, to, 1);
            assert!(KeyFile::parse("it", text.as_bytes()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(rest in "[ -~\n]{0,120}") {
            KeyFile::parse("it", format!("{TOKEN}{rest}").as_bytes()).ok();
            KeyFile::parse("it", rest.as_bytes()).ok();
        }
    }
}
