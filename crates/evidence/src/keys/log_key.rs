//! The private key of one epoch of the log: Ed25519, and ML-DSA-44 beside it, of one seed.
//!
//! Ed25519 signs the checkpoint of every second; a published checkpoint bears both, so that it still counts when
//! the one of them has been broken.

use super::LOG_KEY;
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
    ed25519: SigningKey,
    ml_dsa_44: Cosigner,
}

impl LogKey {
    /// The keys of log `origin` that come of `seed`.
    pub(crate) fn from_seed(origin: &str, seed: &[u8; 32]) -> Result<Self, Error> {
        let refused = |error: tlog::Error| Error::damaged(LOG_KEY, error.to_string());
        let ml_dsa_44 = derived(seed)?;
        Ok(Self {
            ed25519: SigningKey::from_seed(origin, seed).map_err(refused)?,
            ml_dsa_44: Cosigner::ml_dsa_44(origin, &ml_dsa_44).map_err(refused)?,
        })
    }

    /// The log's name.
    pub(crate) fn origin(&self) -> &str {
        self.ed25519.verifying_key().name()
    }

    /// The Ed25519 key.
    pub(crate) const fn verifying_key(&self) -> &VerifyingKey {
        self.ed25519.verifying_key()
    }

    /// The ML-DSA-44 key.
    pub(crate) const fn cosigner_key(&self) -> &VerifyingKey {
        self.ml_dsa_44.verifying_key()
    }

    /// What signs statements about keys.
    pub(crate) const fn signing_key(&self) -> &SigningKey {
        &self.ed25519
    }

    /// The Ed25519 checkpoint.
    pub(crate) fn sign(&self, checkpoint: &Checkpoint) -> Result<Note, tlog::Error> {
        checkpoint.sign(&self.ed25519)
    }

    /// The checkpoint with both signatures, the second of them made at `time`.
    pub(crate) fn sign_both(
        &self,
        checkpoint: &Checkpoint,
        time: Timestamp,
    ) -> Result<Note, tlog::Error> {
        self.sign(checkpoint)?
            .with_signature(self.ml_dsa_44.cosign(checkpoint, time)?)
    }
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
