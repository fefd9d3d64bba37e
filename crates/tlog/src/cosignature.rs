//! Cosignatures: C2SP tlog-cosignature, `cosignature/v1` (Ed25519) and `subtree/v1` (ML-DSA-44).
//!
//! A cosignature says that its maker saw the log only grow up to this checkpoint, and when. A log
//! may cosign its own checkpoints: their body carries no time.
//!
//! Ed25519 signatures are deterministic. ML-DSA-44 signatures are hedged: the cryptographic module
//! draws its own randomness, so that two signatures of the same message differ.

use crate::{
    Checkpoint, Error, Hash,
    note::{Algorithm, Signature, VerifyingKey},
    subtree::Subtree,
};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, ML_DSA_44_SIGNING, PqdsaKeyPair};
use std::fmt;

const WHAT: &str = "cosignature";

/// Begins the message of an ML-DSA-44 cosignature.
const SUBTREE_LABEL: &[u8; 12] = b"subtree/v1\n\0";

/// When a cosignature was made: POSIX time in seconds, from 1 to 2^63 - 1.
///
/// The specification's zero, "no statement about time", is the absence of a `Timestamp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The largest time that the format allows.
    pub const MAX: Self = Self(u64::MAX >> 1);

    /// The time `seconds` after the epoch.
    ///
    /// # Errors
    /// [`Error::Malformed`] for zero and above 2^63 - 1.
    pub const fn new(seconds: u64) -> Result<Self, Error> {
        if seconds == 0 || seconds > Self::MAX.0 {
            return Err(Error::malformed(WHAT, "time is zero or above 2^63 - 1"));
        }
        Ok(Self(seconds))
    }

    /// Seconds since the epoch.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// The time in a cosignature, and what was signed with it.
    fn split(bytes: &[u8]) -> Option<(Option<Self>, &[u8])> {
        let (seconds, raw) = bytes.split_first_chunk::<8>()?;
        let time = match u64::from_be_bytes(*seconds) {
            0 => None,
            seconds => Some(Self::new(seconds).ok()?),
        };
        Some((time, raw))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A private key that cosigns checkpoints. `Debug` shows the public half only.
///
/// Ed25519's message holds no cosigner's name: two cosigners must never share such a key.
#[derive(Debug)]
pub struct Cosigner {
    pair: KeyPair,
    public: VerifyingKey,
}

#[derive(Debug)]
enum KeyPair {
    Ed25519(Ed25519KeyPair),
    MlDsa44(Box<PqdsaKeyPair>),
}

impl Cosigner {
    /// The Ed25519 cosigner `name` (type 0x04) from its 32-byte RFC 8032 seed.
    ///
    /// # Errors
    /// [`Error::Malformed`] when `name` is not a key name, [`Error::Key`] when the cryptographic
    /// module refuses the seed.
    pub fn ed25519(name: &str, seed: &[u8; 32]) -> Result<Self, Error> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed)
            .map_err(|_| Error::Key("seed is not accepted"))?;
        let public = pair.public_key().as_ref();
        let public = VerifyingKey::new(name, Algorithm::Ed25519Cosignature, public)?;
        Ok(Self {
            pair: KeyPair::Ed25519(pair),
            public,
        })
    }

    /// The ML-DSA-44 cosigner `name` (type 0x06) from its 32-byte FIPS 204 seed.
    ///
    /// # Errors
    /// [`Error::Malformed`] when `name` is not a key name or longer than 255 bytes, [`Error::Key`]
    /// when the cryptographic module refuses the seed.
    pub fn ml_dsa_44(name: &str, seed: &[u8; 32]) -> Result<Self, Error> {
        let pair = PqdsaKeyPair::from_seed(&ML_DSA_44_SIGNING, seed)
            .map_err(|_| Error::Key("seed is not accepted"))?;
        let public = pair.public_key().as_ref();
        let public = VerifyingKey::new(name, Algorithm::MlDsa44Cosignature, public)?;
        Ok(Self {
            pair: KeyPair::MlDsa44(Box::new(pair)),
            public,
        })
    }

    /// The public half.
    #[must_use]
    pub const fn verifying_key(&self) -> &VerifyingKey {
        &self.public
    }

    /// States that, as of `time`, `checkpoint` is the largest consistent tree of its log that the
    /// cosigner has seen. Whoever calls this has checked that.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the origin is too long for ML-DSA-44, [`Error::Key`] when the
    /// cryptographic module fails.
    pub fn cosign(&self, checkpoint: &Checkpoint, time: Timestamp) -> Result<Signature, Error> {
        let message = self.public.cosigned_message(checkpoint, time)?;
        self.public.cosignature(Some(time), &self.raw(&message)?)
    }

    /// States that the subtree with `root` is part of every view of log `origin` that the cosigner
    /// has seen, and nothing about time. Whoever calls this has checked that.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the key is not an ML-DSA-44 key or the origin is too long for it,
    /// [`Error::Key`] when the cryptographic module fails.
    pub fn cosign_subtree(
        &self,
        origin: &str,
        subtree: Subtree,
        root: &Hash,
    ) -> Result<Signature, Error> {
        let message = self.public.subtree_message(None, origin, subtree, root)?;
        self.public.cosignature(None, &self.raw(&message)?)
    }

    fn raw(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let failed = |_| Error::Key("signing failed");
        match &self.pair {
            KeyPair::Ed25519(pair) => {
                let signature = pair.try_sign(message).map_err(failed)?;
                Ok(signature.as_ref().to_vec())
            }
            KeyPair::MlDsa44(pair) => {
                let mut signature = vec![0; Algorithm::MlDsa44Cosignature.raw_signature_bytes()];
                let len = pair.sign(message, &mut signature).map_err(failed)?;
                signature.truncate(len);
                Ok(signature)
            }
        }
    }
}

/// What a cosigner signs and how it is written down, for a private key that lies elsewhere.
impl VerifyingKey {
    /// The bytes that this key signs to cosign `checkpoint` at `time`.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the key does not make cosignatures, or when the origin is too long
    /// for ML-DSA-44 (255 bytes).
    pub fn cosigned_message(
        &self,
        checkpoint: &Checkpoint,
        time: Timestamp,
    ) -> Result<Vec<u8>, Error> {
        self.message(checkpoint, Some(time))
    }

    /// The signature of a note that holds `time` and what this key made over
    /// [`VerifyingKey::cosigned_message`] at that time.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the key does not make cosignatures or `raw` has the wrong length.
    /// Says nothing about whether `raw` verifies.
    pub fn cosignature(&self, time: Option<Timestamp>, raw: &[u8]) -> Result<Signature, Error> {
        if !self.algorithm().is_cosignature() {
            return Err(Error::malformed(WHAT, "the key does not make cosignatures"));
        }
        if raw.len() != self.algorithm().raw_signature_bytes() {
            return Err(Error::malformed(WHAT, "signature has the wrong length"));
        }
        let seconds = time.map_or(0, Timestamp::seconds).to_be_bytes();
        Signature::new(self.name(), self.id(), [&seconds, raw].concat())
    }

    /// Checks that `signature` is this key's over the subtree with `root` of log `origin`, and
    /// returns the time that it states: never one where the subtree does not begin at leaf 0.
    ///
    /// # Errors
    /// [`Error::BadSignature`] when it is not; [`Error::Malformed`] when the key is not an ML-DSA-44
    /// key or the origin is too long for it.
    pub fn verify_subtree(
        &self,
        origin: &str,
        subtree: Subtree,
        root: &Hash,
        signature: &Signature,
    ) -> Result<Option<Timestamp>, Error> {
        let (time, raw) = Timestamp::split(signature.bytes()).ok_or(self.bad_signature())?;
        if subtree.start() != 0 && time.is_some() {
            return Err(self.bad_signature());
        }
        self.verify_raw(&self.subtree_message(time, origin, subtree, root)?, raw)?;
        Ok(time)
    }

    /// Checks a cosignature over the checkpoint that `text` is.
    pub(crate) fn verify_cosignature(
        &self,
        text: &str,
        signature: &Signature,
    ) -> Result<Option<Timestamp>, Error> {
        let (time, raw) = Timestamp::split(signature.bytes()).ok_or(self.bad_signature())?;
        let message = Checkpoint::read(text)
            .and_then(|checkpoint| self.message(&checkpoint, time))
            .map_err(|_| self.bad_signature())?;
        self.verify_raw(&message, raw)?;
        Ok(time)
    }

    fn message(&self, checkpoint: &Checkpoint, time: Option<Timestamp>) -> Result<Vec<u8>, Error> {
        match self.algorithm() {
            Algorithm::Ed25519 => Err(Error::malformed(WHAT, "the key does not make cosignatures")),
            Algorithm::Ed25519Cosignature => {
                let seconds = time.map_or(0, Timestamp::seconds);
                Ok(format!("cosignature/v1\ntime {seconds}\n{checkpoint}").into_bytes())
            }
            Algorithm::MlDsa44Cosignature => {
                let whole = Subtree::new(0, checkpoint.size())?;
                self.subtree_message(time, checkpoint.origin(), whole, &checkpoint.root())
            }
        }
    }

    /// The specification's `cosigned_message`.
    fn subtree_message(
        &self,
        time: Option<Timestamp>,
        origin: &str,
        subtree: Subtree,
        root: &Hash,
    ) -> Result<Vec<u8>, Error> {
        if self.algorithm() != Algorithm::MlDsa44Cosignature {
            return Err(Error::malformed(WHAT, "only ML-DSA-44 signs a subtree"));
        }
        let mut message = SUBTREE_LABEL.to_vec();
        push_opaque(&mut message, self.name())?;
        message.extend(time.map_or(0, Timestamp::seconds).to_be_bytes());
        push_opaque(&mut message, origin)?;
        message.extend(subtree.start().to_be_bytes());
        message.extend(subtree.end().to_be_bytes());
        message.extend(root.as_bytes());
        Ok(message)
    }
}

/// Appends the TLS presentation language's `opaque<1..2^8-1>`.
fn push_opaque(message: &mut Vec<u8>, text: &str) -> Result<(), Error> {
    let len = u8::try_from(text.len())
        .ok()
        .filter(|len| *len != 0)
        .ok_or(Error::malformed(
            WHAT,
            "a name or an origin is not 1 to 255 bytes long",
        ))?;
    message.push(len);
    message.extend_from_slice(text.as_bytes());
    Ok(())
}
