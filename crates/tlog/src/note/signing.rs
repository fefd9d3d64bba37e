//! The private key of plain notes: Ed25519, signature type 0x01.

use super::{Algorithm, Signature, VerifyingKey};
use crate::Error;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

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
        let public = VerifyingKey::new(name, Algorithm::Ed25519, pair.public_key().as_ref())?;
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
