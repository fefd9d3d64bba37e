//! The configuration: which upstreams there are, what is bounded by how much, how the recorder
//! behaves. Read once at start; its digest stands in `recorder.start` as the governance in effect.

mod anchors;
mod problem;
mod read;
mod signer;
mod value;
mod vault;

use problem::Problem;
pub(crate) use problem::Problems;

use protocol::UpstreamApi;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use storage::read_regular;

/// Longest file that is read, in bytes: a configuration, or what it names.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Everything the configuration decides. The defaults are what a recorder without a file does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Config {
    pub(crate) anchor: anchors::AnchorSettings,
    pub(crate) copy: anchors::CopySettings,
    pub(crate) gateway: GatewaySettings,
    pub(crate) keys: KeysSettings,
    pub(crate) limits: Limits,
    pub(crate) mcp: BTreeMap<String, McpServer>,
    pub(crate) recorder: RecorderSettings,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) signer: Option<signer::SignerSettings>,
    pub(crate) timestamp: BTreeMap<String, anchors::TimestampAuthority>,
    pub(crate) upstream: BTreeMap<String, Upstream>,
    pub(crate) vault: vault::VaultSettings,
    pub(crate) witness: anchors::WitnessSettings,
}

/// Who may use the gateway, as [`gateway::Access`] explains it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct GatewaySettings {
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) allowed_origins: Vec<String>,
}

/// One address that agents reach as `http://GATEWAY/agent/AGENT/NAME/...`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Upstream {
    #[serde(serialize_with = "as_name")]
    pub(crate) api: UpstreamApi,
    pub(crate) base_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<Authorities>,
}

/// The authorities that are trusted for one upstream, in place of the system's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Authorities {
    pub(crate) path: String,
    /// Of the file, so that the digest of the configuration tells another authority.
    pub(crate) sha256: String,
    #[serde(skip)]
    pub(crate) pem: Vec<u8>,
}

/// One MCP server that agents reach as `http://GATEWAY/agent/AGENT/mcp/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct McpServer {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<Authorities>,
    pub(crate) url: String,
}

/// Bounds, as [`gateway::Limits`] explains them. Sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Limits {
    #[serde(serialize_with = "as_millis")]
    pub(crate) connect_timeout: Duration,
    pub(crate) connections: u64,
    #[serde(serialize_with = "as_millis")]
    pub(crate) drain_timeout: Duration,
    #[serde(serialize_with = "as_millis")]
    pub(crate) head_timeout: Duration,
    #[serde(serialize_with = "as_millis")]
    pub(crate) idle_timeout: Duration,
    pub(crate) memory: u64,
    #[serde(serialize_with = "as_millis")]
    pub(crate) memory_timeout: Duration,
    pub(crate) request_body: u64,
    #[serde(serialize_with = "as_millis")]
    pub(crate) request_idle_timeout: Duration,
    /// Bytes per second.
    pub(crate) request_rate: u64,
    pub(crate) response_body: u64,
    #[serde(serialize_with = "as_millis")]
    pub(crate) tunnel_idle_timeout: Duration,
}

/// How the log's keys change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct KeysSettings {
    /// How long one is in force.
    #[serde(serialize_with = "as_millis")]
    pub(crate) epoch: Duration,
}

impl Default for KeysSettings {
    fn default() -> Self {
        Self {
            epoch: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// How the recorder behaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct RecorderSettings {
    /// Time between two samples of the environment and of the clock.
    #[serde(serialize_with = "as_millis")]
    pub(crate) environment_interval: Duration,
    /// Idle time after which a heartbeat is recorded.
    #[serde(serialize_with = "as_millis")]
    pub(crate) heartbeat: Duration,
    /// Names whose values are secrets, beside those that say so by their words.
    pub(crate) secret_names: Vec<String>,
    /// Release no byte of a stream before it is durable.
    pub(crate) strict_streams: bool,
}

impl Default for Limits {
    fn default() -> Self {
        let limits = gateway::Limits::default();
        Self {
            connect_timeout: limits.connect_timeout,
            connections: limits.connections as u64,
            drain_timeout: limits.drain,
            head_timeout: limits.head_timeout,
            idle_timeout: limits.idle_timeout,
            memory: limits.memory,
            memory_timeout: limits.memory_timeout,
            request_body: limits.request_body,
            request_idle_timeout: limits.request_idle_timeout,
            request_rate: limits.request_rate,
            response_body: limits.response_body,
            tunnel_idle_timeout: limits.tunnel_idle_timeout,
        }
    }
}

impl Default for RecorderSettings {
    fn default() -> Self {
        Self {
            environment_interval: Duration::from_secs(60),
            heartbeat: Duration::from_secs(30),
            secret_names: Vec::new(),
            strict_streams: false,
        }
    }
}

impl Default for Config {
    /// The vendors' addresses and the data plane's own bounds.
    fn default() -> Self {
        let upstream = gateway::Config::default()
            .upstreams
            .into_iter()
            .map(|(name, vendor)| {
                (
                    name,
                    Upstream {
                        api: vendor.api,
                        base_url: vendor.base_url,
                        ca_file: None,
                    },
                )
            })
            .collect();
        Self {
            anchor: anchors::AnchorSettings::default(),
            copy: anchors::CopySettings::default(),
            gateway: GatewaySettings::default(),
            keys: KeysSettings::default(),
            limits: Limits::default(),
            mcp: BTreeMap::new(),
            recorder: RecorderSettings::default(),
            signer: None,
            timestamp: BTreeMap::new(),
            upstream,
            vault: vault::VaultSettings::default(),
            witness: anchors::WitnessSettings::default(),
        }
    }
}

impl Config {
    /// Reads `file`; every mistake in it is reported at once.
    pub(crate) fn load(file: &Path) -> Result<Self, Problems> {
        let text = read_text(file).map_err(|error| Problems::unreadable(file, &error))?;
        let folder = file.parent().unwrap_or(Path::new(""));
        read::read(&text, &file.display().to_string(), folder)
    }

    /// What is in effect, for `recorder.start`.
    pub(crate) fn facts(&self) -> serde_json::Value {
        // A struct of strings, numbers and booleans always has a JSON form.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// `sha256:` over the canonical JSON of what is in effect: keys in a fixed order, sizes in
    /// bytes, times in milliseconds, defaults written out. Equal digests mean equal behaviour,
    /// however the file was written.
    pub(crate) fn digest(&self) -> String {
        // A struct of strings, numbers and booleans always has a JSON form.
        let json = serde_json::to_vec(self).unwrap_or_default();
        format!("sha256:{}", sha256(&json))
    }
}

impl From<&Config> for gateway::Config {
    fn from(config: &Config) -> Self {
        let upstream = |upstream: &Upstream| gateway::Upstream {
            base_url: upstream.base_url.clone(),
            api: upstream.api,
            ca: upstream.ca_file.as_ref().map(|ca| ca.pem.clone()),
        };
        let server = |server: &McpServer| gateway::McpServer {
            url: server.url.clone(),
            ca: server.ca_file.as_ref().map(|ca| ca.pem.clone()),
        };
        let limits = &config.limits;
        Self {
            upstreams: config
                .upstream
                .iter()
                .map(|(n, u)| (n.clone(), upstream(u)))
                .collect(),
            mcp: config
                .mcp
                .iter()
                .map(|(n, s)| (n.clone(), server(s)))
                .collect(),
            access: gateway::Access {
                hosts: config.gateway.allowed_hosts.clone(),
                origins: config.gateway.allowed_origins.clone(),
            },
            limits: gateway::Limits {
                request_body: limits.request_body,
                response_body: limits.response_body,
                memory: limits.memory,
                connections: usize::try_from(limits.connections).unwrap_or(usize::MAX),
                connect_timeout: limits.connect_timeout,
                head_timeout: limits.head_timeout,
                idle_timeout: limits.idle_timeout,
                tunnel_idle_timeout: limits.tunnel_idle_timeout,
                request_idle_timeout: limits.request_idle_timeout,
                request_rate: limits.request_rate,
                memory_timeout: limits.memory_timeout,
                drain: limits.drain_timeout,
            },
            strict: config.recorder.strict_streams,
            secret_names: config.recorder.secret_names.clone(),
            governance: config.digest(),
        }
    }
}

/// A configuration, or what it names: a regular file of text, up to a bound.
fn read_text(path: &Path) -> std::io::Result<String> {
    let bytes = read_regular(path, MAX_FILE_BYTES)?;
    String::from_utf8(bytes).map_err(|_| {
        let detail = format!("{} is not UTF-8 text", path.display());
        std::io::Error::new(std::io::ErrorKind::InvalidData, detail)
    })
}

/// In hexadecimal.
fn sha256(bytes: &[u8]) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes))
}

fn as_name<S: serde::Serializer>(api: &UpstreamApi, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(api.as_str())
}

fn as_millis<S: serde::Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
