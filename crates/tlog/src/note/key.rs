//! Public keys of notes and how they sign: C2SP signed-note, "Signature types" and "Verifier keys".

use super::Signature;
use crate::{Error, cosignature::Timestamp};
use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{ED25519, ML_DSA_44, UnparsedPublicKey, VerificationAlgorithm},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::{fmt, str::FromStr};

const WHAT: &str = "note key";

/// Longest name that the message of an ML-DSA-44 cosignature can hold, in bytes.
pub(crate) const MAX_COSIGNED_NAME_BYTES: usize = u8::MAX as usize;

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

    /// `SHA-256(name || 0x0A || type || public key)[:4]`, which cosignatures demand and signed-note
    /// recommends.
    fn of(name: &str, algorithm: Algorithm, public: &[u8]) -> Self {
        let signature_type = [algorithm.signature_type()];
        let message = [name.as_bytes(), b"\n", &signature_type, public].concat();
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

/// How a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Type 0x01: Ed25519 over the note's text.
    Ed25519,
    /// Type 0x04: Ed25519 over a time and the text of a checkpoint, C2SP cosignature/v1.
    Ed25519Cosignature,
    /// Type 0x06: ML-DSA-44 over the cosigner's name, a time, and origin, size and root of a
    /// checkpoint or subtree, C2SP subtree/v1. Vouches for no extension line.
    MlDsa44Cosignature,
}

impl Algorithm {
    const ALL: [Self; 3] = [
        Self::Ed25519,
        Self::Ed25519Cosignature,
        Self::MlDsa44Cosignature,
    ];

    /// The signature type identifier byte.
    #[must_use]
    pub const fn signature_type(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::Ed25519Cosignature => 0x04,
            Self::MlDsa44Cosignature => 0x06,
        }
    }

    /// Whether a signature states when it was made, and that its maker saw the log only grow.
    #[must_use]
    pub const fn is_cosignature(self) -> bool {
        !matches!(self, Self::Ed25519)
    }

    /// Whether a signature vouches for a checkpoint's extension lines.
    #[must_use]
    pub const fn covers_extensions(self) -> bool {
        !matches!(self, Self::MlDsa44Cosignature)
    }

    /// Length of a public key in bytes.
    #[must_use]
    pub const fn public_key_bytes(self) -> usize {
        match self {
            Self::Ed25519 | Self::Ed25519Cosignature => 32,
            Self::MlDsa44Cosignature => 1_312,
        }
    }

    /// Length of what the cryptographic algorithm makes, in bytes, without a time before it.
    #[must_use]
    pub const fn raw_signature_bytes(self) -> usize {
        match self {
            Self::Ed25519 | Self::Ed25519Cosignature => 64,
            Self::MlDsa44Cosignature => 2_420,
        }
    }

    fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Ed25519 | Self::Ed25519Cosignature => &ED25519,
            Self::MlDsa44Cosignature => &ML_DSA_44,
        }
    }
}

/// A public key with its name and the way it signs.
///
/// `Display` and `FromStr` are the vkey text `name+id+base64(type || key)`.
///
/// Ed25519 is verified as RFC 8032 without the cofactor, as aws-lc does it: a non-canonical encoding
/// of the key or of `R`, an `S` out of range and a low-order residue are refused. aws-lc accepts a
/// key of low order, under which one signature fits every message; no such key can be made here. An
/// `R` of low order is accepted: it says nothing about the message. ML-DSA-44 is verified as FIPS
/// 204 says, with the empty context.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VerifyingKey {
    name: String,
    id: KeyId,
    algorithm: Algorithm,
    public: Vec<u8>,
}

impl VerifyingKey {
    /// The key `name` with its public half, encoded as RFC 8032 or FIPS 204 says.
    ///
    /// # Errors
    /// [`Error::Malformed`] when `name` is empty or holds a space, a plus or a control character, or
    /// is longer than 255 bytes for an ML-DSA-44 key, or when `public` has the wrong length;
    /// [`Error::Key`] when it is an Ed25519 point of low order.
    pub fn new(name: &str, algorithm: Algorithm, public: &[u8]) -> Result<Self, Error> {
        check_name(name)?;
        if public.len() != algorithm.public_key_bytes() {
            return Err(Error::malformed(WHAT, "public key has the wrong length"));
        }
        if algorithm == Algorithm::MlDsa44Cosignature {
            if name.len() > MAX_COSIGNED_NAME_BYTES {
                return Err(Error::malformed(WHAT, "name is longer than 255 bytes"));
            }
        } else if is_of_low_order(public) {
            return Err(Error::Key("an Ed25519 point of low order signs everything"));
        }
        Ok(Self {
            name: name.to_owned(),
            id: KeyId::of(name, algorithm, public),
            algorithm,
            public: public.to_vec(),
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

    /// How the key signs.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public key as RFC 8032 or FIPS 204 encode it.
    #[must_use]
    pub fn public_bytes(&self) -> &[u8] {
        &self.public
    }

    /// Whether the signature is said to be by this key.
    pub(crate) fn claims(&self, signature: &Signature) -> bool {
        self.name == signature.name() && self.id == signature.id()
    }

    /// Checks that `signature` is this key's over the note with `text`, whatever name and id it
    /// bears, and returns the time that it states. [`super::Note::verify`] is what decides whether a
    /// note may be believed.
    ///
    /// # Errors
    /// [`Error::BadSignature`] when it is not; a cosignature also when `text` is no checkpoint.
    pub fn verify(&self, text: &str, signature: &Signature) -> Result<Option<Timestamp>, Error> {
        if self.algorithm.is_cosignature() {
            return self.verify_cosignature(text, signature);
        }
        self.verify_raw(text.as_bytes(), signature.bytes())?;
        Ok(None)
    }

    /// Checks what the cryptographic algorithm made over `message`.
    pub(crate) fn verify_raw(&self, message: &[u8], raw: &[u8]) -> Result<(), Error> {
        UnparsedPublicKey::new(self.algorithm.verification(), &self.public)
            .verify(message, raw)
            .map_err(|_| self.bad_signature())
    }

    pub(crate) fn bad_signature(&self) -> Error {
        Error::BadSignature(self.name.clone())
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut typed = vec![self.algorithm.signature_type()];
        typed.extend_from_slice(&self.public);
        write!(f, "{}+{}+{}", self.name, self.id, STANDARD.encode(typed))
    }
}

impl FromStr for VerifyingKey {
    type Err = Error;

    /// Reads exactly the text that `Display` writes; the id must be the key's own. A key of another
    /// signature type is [`Error::UnknownAlgorithm`].
    fn from_str(text: &str) -> Result<Self, Error> {
        let mut fields = text.splitn(3, '+');
        let (Some(name), Some(id), Some(encoded)) = (fields.next(), fields.next(), fields.next())
        else {
            return Err(Error::malformed(WHAT, "not name+id+base64"));
        };
        let typed = STANDARD
            .decode(encoded)
            .map_err(|_| Error::malformed(WHAT, "key is not canonical base64"))?;
        let (signature_type, public) = typed
            .split_first()
            .ok_or(Error::malformed(WHAT, "key is empty"))?;
        let algorithm = Algorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.signature_type() == *signature_type)
            .ok_or(Error::UnknownAlgorithm(*signature_type))?;
        let key = Self::new(name, algorithm, public)?;
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

/// The `y` coordinates of Ed25519's eight points of low order, in their canonical and their other
/// encodings. With either sign of `x` a point with such a `y` is one of the eight, or none.
const LOW_ORDER_Y: [[u8; 32]; 7] = [
    // Order 4, and the same above the field's prime.
    [0; 32],
    field_edge(0xed),
    // The neutral point, and the same above the prime.
    {
        let mut y = [0; 32];
        y[0] = 1;
        y
    },
    field_edge(0xee),
    // Order 2.
    field_edge(0xec),
    // Order 8.
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

/// A little-endian number of 255 bits whose bits above the lowest byte are all set.
const fn field_edge(lowest: u8) -> [u8; 32] {
    let mut y = [0xff; 32];
    y[0] = lowest;
    y[31] = 0x7f;
    y
}

fn is_of_low_order(public: &[u8]) -> bool {
    let mut y = public.to_vec();
    // The highest bit is the sign of x.
    if let Some(last) = y.last_mut() {
        *last &= 0x7f;
    }
    LOW_ORDER_Y.iter().any(|low| low[..] == y[..])
}
