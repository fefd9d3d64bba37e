//! An investigator's key pair: what a write-only recorder encrypts to, and what reads it.

use super::{hpke, short_id, unhex};
use crate::error::Error;
use aws_lc_rs::agreement::{PrivateKey, X25519};
use std::fmt;

/// The fact of `recorder.start` that names the recipient by its id; null without one.
pub(crate) const RECIPIENT_FACT: &str = "vault_recipient";

const PUBLIC_WORD: &str = "tachograph-recipient/v1";
const PRIVATE_WORD: &str = "tachograph-vault-key/v1";

/// The public key (X25519) that a write-only recorder wraps its keys to. Its text is the line of `tacho keys recipient`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient([u8; hpke::PUBLIC_BYTES]);

/// The private key of a [`Recipient`]: reads everything that was wrapped to it.
#[derive(Clone)]
pub struct VaultKey {
    seed: [u8; 32],
    public: Recipient,
}

impl fmt::Debug for VaultKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VaultKey").field(&self.public.id()).finish()
    }
}

/// Reads `WORD ID HEX` and one line feed.
fn parse(word: &str, what: &str, bytes: &[u8]) -> Result<(String, [u8; 32]), Error> {
    let wrong = |detail: &str| Error::damaged(what, detail);
    let text = std::str::from_utf8(bytes).map_err(|_| wrong("it is not text"))?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    let other = if word == PUBLIC_WORD {
        PRIVATE_WORD
    } else {
        PUBLIC_WORD
    };
    if line.starts_with(other) {
        return Err(wrong(&format!(
            "it begins with `{other}`, the other half of the key pair; `{word}` is asked for"
        )));
    }
    (|| {
        let (id, key) = line
            .strip_prefix(word)?
            .strip_prefix(' ')?
            .split_once(' ')?;
        Some((id.to_owned(), unhex(key)?.try_into().ok()?))
    })()
    .ok_or_else(|| wrong(&format!("it is not one line `{word} ID KEY`")))
}

/// Sets the bits that X25519 ignores (RFC 7748, section 5) to what it takes them for, so that a key has one text.
fn clamp(seed: &mut [u8; 32]) {
    let [first, .., last] = seed;
    *first &= 0xf8;
    *last = (*last & 0x7f) | 0x40;
}

impl Recipient {
    /// Reads the public line; `what` names where it came from, for the error.
    ///
    /// # Errors
    /// [`Error::Damaged`]: it is not one, or not as it was made.
    pub fn parse(what: &str, bytes: &[u8]) -> Result<Self, Error> {
        let (id, key) = parse(PUBLIC_WORD, what, bytes)?;
        let recipient = Self(key);
        if recipient.id() != id {
            return Err(Error::damaged(what, "its key is not the one that it names"));
        }
        if recipient.seal(b"", b"").is_none() {
            return Err(Error::damaged(
                what,
                "nothing can be encrypted to its key, a point of small order",
            ));
        }
        Ok(recipient)
    }

    /// Names the key: 16 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> String {
        short_id(&[&self.0])
    }

    pub(super) fn seal(&self, context: &[u8], key: &[u8]) -> Option<Vec<u8>> {
        hpke::seal(&self.0, context, key)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC_WORD} {} {}", self.id(), hex::encode(self.0))
    }
}

impl VaultKey {
    /// A new key pair.
    ///
    /// # Errors
    /// [`Error::Fatal`]: the system gives no randomness.
    pub fn generate() -> Result<Self, Error> {
        let mut seed = *crate::keys::random()?;
        clamp(&mut seed);
        Self::from_seed(seed).ok_or_else(|| Error::Fatal("the system makes no X25519 key".into()))
    }

    /// Reads the private line; `what` names where it came from, for the error.
    ///
    /// # Errors
    /// [`Error::Damaged`]: it is not one, or not as it was made.
    pub fn parse(what: &str, bytes: &[u8]) -> Result<Self, Error> {
        let (id, seed) = parse(PRIVATE_WORD, what, bytes)?;
        let mut clamped = seed;
        clamp(&mut clamped);
        Self::from_seed(seed)
            .filter(|key| key.public.id() == id && clamped == seed)
            .ok_or_else(|| Error::damaged(what, "its key is not the one that it names"))
    }

    fn from_seed(seed: [u8; 32]) -> Option<Self> {
        let private = PrivateKey::from_private_key(&X25519, &seed).ok()?;
        let public = private.compute_public_key().ok()?;
        Some(Self {
            seed,
            public: Recipient(public.as_ref().try_into().ok()?),
        })
    }

    /// The public half.
    #[must_use]
    pub const fn recipient(&self) -> &Recipient {
        &self.public
    }

    /// The private line, for a file that only its owner reads.
    #[must_use]
    pub fn secret_line(&self) -> String {
        format!(
            "{PRIVATE_WORD} {} {}",
            self.public.id(),
            hex::encode(self.seed)
        )
    }

    pub(super) fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let private = PrivateKey::from_private_key(&X25519, &self.seed).ok()?;
        hpke::open(&private, context, sealed)
    }
}
