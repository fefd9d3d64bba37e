//! The file of a wrapped key: who can open it, and what each of them opens.
//!
//! ```text
//! v1 local KEYID HEX
//! v1 hpke RECIPIENTID HEX
//! sha256 HEX                  of all bytes before this line
//! ```

use super::unhex;
use crate::error::Error;

/// Wraps that one file may have; a bound on what a hostile file makes a reader do.
const MAX_WRAPS: usize = 64;

/// To whom a key is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Under the keyring key.
    Local,
    /// To an investigator's public key.
    Hpke,
}

impl Way {
    const fn word(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Hpke => "hpke",
        }
    }
}

/// A key as one of those it is meant for can open it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrap {
    pub(super) way: Way,
    /// Names the key that opens it.
    pub(super) id: String,
    pub(super) sealed: Vec<u8>,
}

pub(super) fn encode(wraps: &[Wrap]) -> String {
    let mut text = String::new();
    for Wrap { way, id, sealed } in wraps {
        text.push_str(&format!("v1 {} {id} {}\n", way.word(), hex::encode(sealed)));
    }
    let check = hex::encode(crate::body::sha256(text.as_bytes()));
    text.push_str(&format!("sha256 {check}\n"));
    text
}

/// # Errors
/// [`Error::Damaged`], naming `path`: no wrap is read from a file that is not as it was written.
pub(super) fn parse(path: &str, bytes: &[u8]) -> Result<Vec<Wrap>, Error> {
    let damaged = |detail: &str| Error::damaged(path, detail);
    let text = std::str::from_utf8(bytes).map_err(|_| damaged("it is not text"))?;
    let wraps = (|| {
        let (head, check) = text.strip_suffix('\n')?.rsplit_once("sha256 ")?;
        let told = unhex(check)?;
        (told == crate::body::sha256(head.as_bytes())).then_some(head)
    })();
    let Some(head) = wraps else {
        return Err(damaged("its checksum is wrong"));
    };
    let mut wraps = Vec::new();
    for line in head.lines() {
        let mut words = line.splitn(4, ' ');
        let version = words.next().unwrap_or_default();
        if version != "v1" {
            return Err(Error::Newer {
                what: path.into(),
                found: version.into(),
                supported: 1,
            });
        }
        let way = match words.next() {
            Some("local") => Way::Local,
            Some("hpke") => Way::Hpke,
            _ => return Err(damaged("it names an unknown way to wrap a key")),
        };
        let wrap = (|| {
            let id = words.next().filter(|id| id.len() == 16)?.to_owned();
            let sealed = unhex(words.next()?)?;
            Some(Wrap { way, id, sealed })
        })();
        wraps.push(wrap.ok_or_else(|| damaged("a line of it is not a wrapped key"))?);
        if wraps.len() > MAX_WRAPS {
            return Err(damaged("it has too many lines"));
        }
    }
    if encode(&wraps) != text {
        return Err(damaged("it is not written as it should be"));
    }
    Ok(wraps)
}
