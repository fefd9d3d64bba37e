//! Ed25519 note keys: signature type 0x01 of C2SP signed-note.

use super::Signature;
use crate::Error;
use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::{fmt, str::FromStr};

const WHAT: &str = "note key";

/// Signature type identifier of plain Ed25519.
const ED25519_TYPE: u8 = 0x01;

const PUBLIC_KEY_BYTES: usize = 32;

/// The short name of a key: with the key's name it says which key and algorithm signed.
///
/// No security rests on it. `Display` is 8 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; 4]);

impl KeyId {
    /// An id in the byte order of the note.
    #[must_use]
    pub const fn new(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }

    /// The bytes as they stand before the signature.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 4] {
        &self.0
    }

    /// The recommended id, `SHA-256(name || 0x0A || type || public key)[:4]`.
    fn of(name: &str, signature_type: u8, public: &[u8]) -> Self {
        let message = [name.as_bytes(), b"\n", &[signature_type], public].concat();
        let digest = digest(&SHA256, &message);
        let mut id = [0; 4];
        for (to, from) in id.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        Self(id)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

/// An Ed25519 private key with its name. `Debug` shows the public half only.
#[derive(Debug)]
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: VerifyingKey,
}

impl SigningKey {
    /// The key `name` from its 32-byte RFC 8032 seed.
    ///
    /// # Errors
    /// [`Error::Malformed`] when `name` is not a key name, [`Error::Key`] when the cryptographic
    /// module refuses the seed.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, Error> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed)
            .map_err(|_| Error::Key("seed is not accepted"))?;
        Self::from_pair(name, pair)
    }

    /// The key `name` from an unencrypted PKCS#8 document (DER, version 1 or 2).
    ///
    /// # Errors
    /// [`Error::Malformed`] when `name` is not a key name, [`Error::Key`] when the document is not
    /// an Ed25519 private key or its halves do not fit.
    pub fn from_pkcs8(name: &str, der: &[u8]) -> Result<Self, Error> {
        let pair = Ed25519KeyPair::from_pkcs8(der)
            .map_err(|_| Error::Key("PKCS#8 document is not an Ed25519 private key"))?;
        Self::from_pair(name, pair)
    }

    fn from_pair(name: &str, pair: Ed25519KeyPair) -> Result<Self, Error> {
        let public = pair
            .public_key()
            .as_ref()
            .try_into()
            .map_err(|_| Error::Key("public key is not 32 bytes"))?;
        let public = VerifyingKey::new(name, public)?;
        Ok(Self { pair, public })
    }

    /// The public half.
    #[must_use]
    pub const fn verifying_key(&self) -> &VerifyingKey {
        &self.public
    }

    /// Signs a note's text, final line feed included. [`super::Note::sign`] checks the text too.
    ///
    /// # Errors
    /// [`Error::Key`] when the cryptographic module fails.
    pub fn sign(&self, text: &str) -> Result<Signature, Error> {
        let bytes = self
            .pair
            .try_sign(text.as_bytes())
            .map_err(|_| Error::Key("signing failed"))?;
        Signature::new(
            self.public.name(),
            self.public.id(),
            bytes.as_ref().to_vec(),
        )
    }
}

/// An Ed25519 public key with its name.
///
/// `Display` and `FromStr` are the vkey text `name+id+base64(0x01 || key)`.
///
/// Verification is RFC 8032's without the cofactor, as aws-lc does it: a non-canonical encoding of
/// the key or of `R`, an `S` out of range and a low-order residue are refused. Points of low order
/// are not: a log's key comes from the verifier's own configuration, never from the note.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VerifyingKey {
    name: String,
    id: KeyId,
    public: [u8; PUBLIC_KEY_BYTES],
}

impl VerifyingKey {
    /// The key `name` with its RFC 8032 public key.
    ///
    /// # Errors
    /// [`Error::Malformed`] when `name` is empty or holds a space, a plus or a control character.
    pub fn new(name: &str, public: [u8; PUBLIC_KEY_BYTES]) -> Result<Self, Error> {
        check_name(name)?;
        Ok(Self {
            name: name.to_owned(),
            id: KeyId::of(name, ED25519_TYPE, &public),
            public,
        })
    }

    /// The key's name; for a log's key, the log's origin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key's id.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// The RFC 8032 public key.
    #[must_use]
    pub const fn public_bytes(&self) -> &[u8; PUBLIC_KEY_BYTES] {
        &self.public
    }

    /// Whether the signature is said to be by this key.
    pub(super) fn claims(&self, signature: &Signature) -> bool {
        self.name == signature.name() && self.id == signature.id()
    }

    /// Whether `signature` is this key's over `text`, whatever name and id it bears.
    /// [`super::Note::verify`] is what decides whether a note may be believed.
    #[must_use]
    pub fn verifies(&self, text: &str, signature: &Signature) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public)
            .verify(text.as_bytes(), signature.bytes())
            .is_ok()
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut typed = vec![ED25519_TYPE];
        typed.extend_from_slice(&self.public);
        write!(f, "{}+{}+{}", self.name, self.id, STANDARD.encode(typed))
    }
}

impl FromStr for VerifyingKey {
    type Err = Error;

    /// Reads exactly the text that `Display` writes; the id must be the key's own.
    fn from_str(text: &str) -> Result<Self, Error> {
        let mut fields = text.splitn(3, '+');
        let (Some(name), Some(id), Some(encoded)) = (fields.next(), fields.next(), fields.next())
        else {
            return Err(Error::malformed(WHAT, "not name+id+base64"));
        };
        let typed = STANDARD
            .decode(encoded)
            .map_err(|_| Error::malformed(WHAT, "key is not canonical base64"))?;
        let Some((&ED25519_TYPE, public)) = typed.split_first() else {
            return Err(Error::malformed(
                WHAT,
                "signature type is not Ed25519 (0x01)",
            ));
        };
        let public = public
            .try_into()
            .map_err(|_| Error::malformed(WHAT, "Ed25519 key is not 32 bytes"))?;
        let key = Self::new(name, public)?;
        if key.id.to_string() != id {
            return Err(Error::malformed(WHAT, "id is not the key's own"));
        }
        Ok(key)
    }
}

/// A key name: not empty, no Unicode space, no plus, no ASCII control character.
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    let bad = |c: char| c.is_whitespace() || c == '+' || c < ' ';
    if name.is_empty() || name.contains(bad) {
        return Err(Error::malformed(
            WHAT,
            "name is empty or holds a space, a plus or a control character",
        ));
    }
    Ok(())
}
