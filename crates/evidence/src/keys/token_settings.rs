//! Which token holds the log's Ed25519 keys.

use std::path::PathBuf;

/// A PKCS#11 token. Needs a build with the feature `pkcs11`; without it [`crate::Recorder::open`] says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSettings {
    /// The shared library that speaks to it. It is loaded into this process and trusted like it.
    pub module: PathBuf,
    /// The token's label.
    pub label: String,
    /// File with its user's PIN in a line, which only the recorder's user may read.
    pub pin_file: PathBuf,
}
