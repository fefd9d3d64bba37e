//! What signs with the Ed25519 key of an epoch, wherever the private half lies.

use crate::error::Error;
use tlog::note::{Note, Signature, SigningKey, VerifyingKey};

/// Signs with one Ed25519 key. `Debug` shows the public half only.
pub(crate) trait EpochSigner: std::fmt::Debug + Send + Sync {
    /// The public half.
    fn verifying_key(&self) -> &VerifyingKey;

    /// Signs a note's text.
    ///
    /// # Errors
    /// [`Error::Signer`]: the key cannot be reached now, and nothing is lost by asking again later. Anything else is final.
    fn sign(&self, text: &str) -> Result<Signature, Error>;
}

/// A key that came out of a file.
impl EpochSigner for SigningKey {
    fn verifying_key(&self) -> &VerifyingKey {
        self.verifying_key()
    }

    fn sign(&self, text: &str) -> Result<Signature, Error> {
        self.sign(text).map_err(|error| fatal(&error))
    }
}

/// The note of `text`, signed by each of `signers`.
///
/// # Errors
/// As [`EpochSigner::sign`].
pub(crate) fn signed_note(text: String, signers: &[&dyn EpochSigner]) -> Result<Note, Error> {
    let signatures = signers.iter().map(|signer| signer.sign(&text));
    let signatures = signatures.collect::<Result<_, _>>()?;
    Note::signed(text, signatures).map_err(|error| fatal(&error))
}

/// With a key at hand, what cannot be signed is a mistake of ours.
pub(crate) fn fatal(error: &tlog::Error) -> Error {
    Error::Fatal(format!("signing a note: {error}"))
}
