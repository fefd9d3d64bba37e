//! Where the log's Ed25519 keys are made.

use evidence::TokenSettings;
use serde::Serialize;
use std::path::PathBuf;

/// A PKCS#11 token. Paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct SignerSettings {
    pub(crate) module: PathBuf,
    /// The PIN in it is no part of the configuration.
    pub(crate) pin_file: PathBuf,
    /// The token's label.
    pub(crate) token: String,
}

impl From<&SignerSettings> for TokenSettings {
    fn from(signer: &SignerSettings) -> Self {
        Self {
            module: signer.module.clone(),
            label: signer.token.clone(),
            pin_file: signer.pin_file.clone(),
        }
    }
}
