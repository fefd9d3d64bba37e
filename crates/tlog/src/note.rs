//! Signed notes: C2SP signed-note.
//!
//! A note is text, a blank line and signature lines. Its text means nothing until
//! [`Note::verify`] has returned `Ok`. Signatures of unknown keys and types are carried unread, as
//! the specification demands.

mod key;
mod signing;

pub use key::{Algorithm, KeyId, VerifyingKey};
pub use signing::SigningKey;

use crate::{Error, cosignature::Timestamp};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::fmt;

const WHAT: &str = "note";

/// Longest note in bytes: room for [`MAX_SIGNATURES`] post-quantum signatures and a short text.
pub const MAX_NOTE_BYTES: usize = 512 * 1024;

/// Most signatures in a note. The specification asks for at least 16.
pub const MAX_SIGNATURES: usize = 64;

/// One signature line. What the bytes mean is known only to the key they belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    name: String,
    id: KeyId,
    bytes: Vec<u8>,
}

impl Signature {
    /// The signature `bytes` (without the key id) in the name of the key `name` with `id`.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the name is not a key name or there are no bytes.
    pub fn new(name: &str, id: KeyId, bytes: Vec<u8>) -> Result<Self, Error> {
        key::check_name(name)?;
        if bytes.is_empty() {
            return Err(Error::malformed(WHAT, "signature is empty"));
        }
        Ok(Self {
            name: name.to_owned(),
            id,
            bytes,
        })
    }

    /// Name of the key that is said to have signed.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Id of that key.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// The signature proper.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads a line without its line feed: em dash, space, key name, space, base64.
    pub(crate) fn parse(line: &str) -> Result<Self, Error> {
        let (name, encoded) = line
            .strip_prefix("\u{2014} ")
            .and_then(|rest| rest.split_once(' '))
            .ok_or(Error::malformed(
                WHAT,
                "signature line is not `\u{2014} name base64`",
            ))?;
        let blob = STANDARD
            .decode(encoded)
            .map_err(|_| Error::malformed(WHAT, "signature is not canonical base64"))?;
        let (id, bytes) = blob
            .split_first_chunk::<4>()
            .ok_or(Error::malformed(WHAT, "signature is shorter than a key id"))?;
        Self::new(name, KeyId::new(*id), bytes.to_vec())
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut blob = Vec::with_capacity(4 + self.bytes.len());
        blob.extend_from_slice(self.id.as_bytes());
        blob.extend_from_slice(&self.bytes);
        write!(f, "\u{2014} {} {}", self.name, STANDARD.encode(blob))
    }
}

/// A signature that verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signer<'k> {
    /// The known key that made it.
    pub key: &'k VerifyingKey,
    /// When, if the signature says so: a cosignature does.
    pub time: Option<Timestamp>,
}

/// What a note's signatures amount to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<'n, 'k> {
    /// Signatures by known keys, at least one, in the order of the note. A key that signed at
    /// several times is here once for each.
    pub signers: Vec<Signer<'k>>,
    /// Signatures by keys that are not known, or of unknown types. They say nothing.
    pub unknown: Vec<&'n Signature>,
}

/// A text with at least one signature.
///
/// `Display` writes the note; [`Note::parse`] reads exactly what `Display` writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

impl Note {
    /// Signs `text` with each of `keys`.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the text does not end in a line feed or holds another control
    /// character, or when there is no key; [`Error::OverLimit`] when the note would be too long;
    /// [`Error::Key`] when signing fails.
    pub fn sign(text: String, keys: &[&SigningKey]) -> Result<Self, Error> {
        check_text(&text)?;
        let signatures = keys.iter().map(|key| key.sign(&text));
        let signatures = signatures.collect::<Result<_, _>>()?;
        Self::signed(text, signatures)
    }

    /// The note of a text and the signatures that were made over it elsewhere. Does not check them: see [`Note::verify`].
    ///
    /// # Errors
    /// As [`Note::sign`], but for those of signing.
    pub fn signed(text: String, signatures: Vec<Signature>) -> Result<Self, Error> {
        check_text(&text)?;
        if signatures.is_empty() {
            return Err(Error::malformed(WHAT, "no signature"));
        }
        let unsigned = Self {
            text,
            signatures: Vec::new(),
        };
        signatures
            .into_iter()
            .try_fold(unsigned, Self::with_signature)
    }

    /// The note with one more signature, as a cosigner returns it.
    ///
    /// # Errors
    /// [`Error::OverLimit`] when the note would have too many signatures or be too long.
    pub fn with_signature(mut self, signature: Signature) -> Result<Self, Error> {
        self.signatures.push(signature);
        check_count(self.signatures.len())?;
        check_length(self.to_string().len())?;
        Ok(self)
    }

    /// Reads a note, strictly. Says nothing about who signed it: see [`Note::verify`].
    ///
    /// # Errors
    /// [`Error::Malformed`] when the bytes are not a note, [`Error::OverLimit`] above
    /// [`MAX_NOTE_BYTES`] or [`MAX_SIGNATURES`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        check_length(bytes.len())?;
        let note = std::str::from_utf8(bytes).map_err(|_| Error::malformed(WHAT, "not UTF-8"))?;
        check_characters(note)?;
        // The text may hold blank lines itself; the last one ends it.
        let (text, lines) = note.rsplit_once("\n\n").ok_or(Error::malformed(
            WHAT,
            "no blank line before the signatures",
        ))?;
        let lines = lines
            .strip_suffix('\n')
            .ok_or(Error::malformed(WHAT, "does not end in a signature line"))?;
        check_count(lines.split('\n').count())?;
        let signatures = lines
            .split('\n')
            .map(Signature::parse)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            text: format!("{text}\n"),
            signatures,
        })
    }

    /// The note with only those signatures that `keep` keeps, and further ones.
    ///
    /// # Errors
    /// [`Error::OverLimit`] when the note would have too many signatures or be too long.
    pub(crate) fn resigned(
        &self,
        keep: impl FnMut(&&Signature) -> bool,
        more: &[Signature],
    ) -> Result<Self, Error> {
        let kept = Self {
            text: self.text.clone(),
            signatures: self.signatures.iter().filter(keep).cloned().collect(),
        };
        more.iter().cloned().try_fold(kept, Self::with_signature)
    }

    /// Checks the note against the keys the caller trusts. Signatures by other keys are ignored, and
    /// reported.
    ///
    /// # Errors
    /// [`Error::BadSignature`] when a signature in the name and id of a known key does not verify,
    /// whatever else signed; [`Error::Unsigned`] when no known key signed.
    pub fn verify<'n, 'k>(&'n self, known: &'k [VerifyingKey]) -> Result<Verified<'n, 'k>, Error> {
        self.verify_among(&known.iter().collect::<Vec<_>>())
    }

    /// [`Note::verify`] for keys that lie apart.
    pub(crate) fn verify_among<'n, 'k>(
        &'n self,
        known: &[&'k VerifyingKey],
    ) -> Result<Verified<'n, 'k>, Error> {
        let mut signers: Vec<Signer<'k>> = Vec::new();
        let mut unknown = Vec::new();
        for signature in &self.signatures {
            let mut outcome = None;
            // Keys that share a name and an id are told apart by which of them verifies.
            for key in known.iter().copied().filter(|key| key.claims(signature)) {
                let verdict = key.verify(&self.text, signature);
                let done = verdict.is_ok();
                outcome = Some(verdict.map(|time| Signer { key, time }));
                if done {
                    break;
                }
            }
            match outcome.transpose()? {
                None => unknown.push(signature),
                Some(signer) if signers.contains(&signer) => {}
                Some(signer) => signers.push(signer),
            }
        }
        if signers.is_empty() {
            Err(Error::Unsigned)
        } else {
            Ok(Verified { signers, unknown })
        }
    }

    /// The signed text, ending in a line feed. Hostile until verified.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures in the order of the note, known or not.
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures
            .iter()
            .try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

fn check_length(len: usize) -> Result<(), Error> {
    if len <= MAX_NOTE_BYTES {
        return Ok(());
    }
    Err(Error::OverLimit {
        what: "note length in bytes",
        limit: MAX_NOTE_BYTES as u64,
    })
}

fn check_count(signatures: usize) -> Result<(), Error> {
    if signatures <= MAX_SIGNATURES {
        return Ok(());
    }
    Err(Error::OverLimit {
        what: "number of signatures",
        limit: MAX_SIGNATURES as u64,
    })
}

fn check_text(text: &str) -> Result<(), Error> {
    check_characters(text)?;
    if !text.ends_with('\n') {
        return Err(Error::malformed(WHAT, "text does not end in a line feed"));
    }
    Ok(())
}

fn check_characters(text: &str) -> Result<(), Error> {
    if text.bytes().any(|b| b < b' ' && b != b'\n') {
        return Err(Error::malformed(
            WHAT,
            "control character other than line feed",
        ));
    }
    Ok(())
}
