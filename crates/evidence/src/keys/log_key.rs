//! The private key of one epoch of the log: Ed25519, and ML-DSA-44 beside it.
//!
//! Ed25519 signs every checkpoint; a published checkpoint bears both, so that it still counts when
//! the one of them has been broken. In a file both come of one seed. Where a token holds the Ed25519 key, the seed is
//! that of the ML-DSA-44 key alone.

use super::LOG_KEY;
use super::signer::{EpochSigner, fatal, signed_note};
use crate::error::Error;
use aws_lc_rs::hkdf;
use tlog::Checkpoint;
use tlog::cosignature::{Cosigner, Timestamp};
use tlog::note::{Note, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

/// What the seed of the ML-DSA-44 key is derived for. Part of the format: another text is another key.
const ML_DSA_44_INFO: &[u8] = b"tachograph ml-dsa-44 v1";

/// Signs as the log. `Debug` shows the public halves only.
#[derive(Debug)]
pub(crate) struct LogKey {
    ed25519: Box<dyn EpochSigner>,
    ml_dsa_44: Cosigner,
}

impl LogKey {
    /// The keys of log `origin` that come of `seed`.
    pub(crate) fn from_seed(origin: &str, seed: &[u8; 32]) -> Result<Self, Error> {
        let ed25519 = SigningKey::from_seed(origin, seed).map_err(|error| refused(&error))?;
        Self::beside(Box::new(ed25519), seed)
    }

    /// An Ed25519 key that lies elsewhere, and the ML-DSA-44 key that comes of `seed`.
    pub(crate) fn beside(ed25519: Box<dyn EpochSigner>, seed: &[u8; 32]) -> Result<Self, Error> {
        let origin = ed25519.verifying_key().name();
        let ml_dsa_44 = Cosigner::ml_dsa_44(origin, &*derived(seed)?);
        Ok(Self {
            ml_dsa_44: ml_dsa_44.map_err(|error| refused(&error))?,
            ed25519,
        })
    }

    /// The log's name.
    pub(crate) fn origin(&self) -> &str {
        self.verifying_key().name()
    }

    /// The Ed25519 key.
    pub(crate) fn verifying_key(&self) -> &VerifyingKey {
        self.ed25519.verifying_key()
    }

    /// The ML-DSA-44 key.
    pub(crate) const fn cosigner_key(&self) -> &VerifyingKey {
        self.ml_dsa_44.verifying_key()
    }

    /// What signs statements about keys.
    pub(crate) fn signer(&self) -> &dyn EpochSigner {
        self.ed25519.as_ref()
    }

    /// The Ed25519 checkpoint.
    ///
    /// # Errors
    /// As [`EpochSigner::sign`].
    pub(crate) fn sign(&self, checkpoint: &Checkpoint) -> Result<Note, Error> {
        signed_note(checkpoint.to_string(), &[self.signer()])
    }

    /// The checkpoint with both signatures, the second of them made at `time`.
    ///
    /// # Errors
    /// As [`EpochSigner::sign`].
    pub(crate) fn sign_both(
        &self,
        checkpoint: &Checkpoint,
        time: Timestamp,
    ) -> Result<Note, Error> {
        let cosignature = self.ml_dsa_44.cosign(checkpoint, time);
        let cosignature = cosignature.map_err(|error| fatal(&error))?;
        let note = self.sign(checkpoint)?.with_signature(cosignature);
        note.map_err(|error| fatal(&error))
    }
}

fn refused(error: &tlog::Error) -> Error {
    Error::damaged(LOG_KEY, error.to_string())
}

/// HKDF-SHA-256 (RFC 5869) of the seed, without salt: the seed is random already.
fn derived(seed: &[u8; 32]) -> Result<Zeroizing<[u8; 32]>, Error> {
    let mut out = Zeroizing::new([0; 32]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, &[])
        .extract(seed)
        .expand(&[ML_DSA_44_INFO], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(out.as_mut_slice()))
        .map_err(|_| Error::Fatal("the cryptographic module derives no key".into()))?;
    Ok(out)
}
