//! Where the log's head is told outside this machine.

use super::as_millis;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// How often, and whether a start depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct AnchorSettings {
    /// Time between two checkpoints for witnesses and the second place.
    #[serde(serialize_with = "as_millis")]
    pub(crate) publish: Duration,
    /// Start only when everybody who may know the log's head has been asked.
    pub(crate) require: bool,
    /// Time between two time-stamps.
    #[serde(serialize_with = "as_millis")]
    pub(crate) timestamp: Duration,
}

impl Default for AnchorSettings {
    fn default() -> Self {
        let settings = anchor::Settings::default();
        Self {
            publish: settings.publish,
            require: settings.require,
            timestamp: settings.timestamp,
        }
    }
}

/// A file that the configuration names, as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Named<T> {
    pub(crate) path: String,
    /// Of the file, so that the digest of the configuration tells another one.
    pub(crate) sha256: String,
    #[serde(skip)]
    pub(crate) value: T,
}

/// One time-stamp authority.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct TimestampAuthority {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<String>,
    pub(crate) roots: Named<anchor::Trusted>,
    pub(crate) url: String,
}

impl PartialEq for TimestampAuthority {
    /// Certificates are equal where their file is.
    fn eq(&self, other: &Self) -> bool {
        let key = |authority: &Self| {
            (
                authority.url.clone(),
                authority.policy.clone(),
                authority.roots.sha256.clone(),
            )
        };
        key(self) == key(other)
    }
}

impl Eq for TimestampAuthority {}

/// The second place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct CopySettings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) directory: Option<PathBuf>,
}

/// The witnesses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct WitnessSettings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<Named<tlog::policy::Policy>>,
}

impl From<&super::Config> for anchor::Settings {
    fn from(config: &super::Config) -> Self {
        Self {
            publish: config.anchor.publish,
            timestamp: config.anchor.timestamp,
            require: config.anchor.require,
            authorities: authorities(&config.timestamp),
            witnesses: config
                .witness
                .policy
                .as_ref()
                .map(|policy| policy.value.clone()),
            copy: config.copy.directory.clone(),
            ..Self::default()
        }
    }
}

fn authorities(configured: &BTreeMap<String, TimestampAuthority>) -> Vec<anchor::Authority> {
    let authority = |(name, authority): (&String, &TimestampAuthority)| anchor::Authority {
        name: name.clone(),
        url: authority.url.clone(),
        trusted: authority.roots.value.clone(),
        // It was read once already.
        policy: authority
            .policy
            .as_deref()
            .and_then(|policy| anchor::Authority::policy(policy).ok()),
    };
    configured.iter().map(authority).collect()
}
