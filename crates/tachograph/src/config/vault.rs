//! How bodies are kept.

use super::anchors::Named;
use super::as_millis;
use serde::Serialize;
use std::time::Duration;

/// To whom the vault is encrypted, and when a volume of it is completed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct VaultSettings {
    /// An investigator, who alone reads what the recorder has settled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) recipient: Option<Named<evidence::Recipient>>,
    /// Age at which a volume is completed; `None`: only when it is full.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "maybe_as_millis"
    )]
    pub(crate) seal: Option<Duration>,
}

fn maybe_as_millis<S: serde::Serializer>(
    duration: &Option<Duration>,
    to: S,
) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => as_millis(duration, to),
        None => to.serialize_none(),
    }
}
