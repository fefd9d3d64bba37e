//! What the data plane is told before it starts.

use crate::admission::Access;
use http::Uri;
use http::uri::{Authority, Scheme};
use protocol::UpstreamApi;
use std::collections::BTreeMap;
use std::time::Duration;

/// The configuration of a [`crate::Gateway`]. Plain values; the binary reads them from its file.
#[derive(Debug, Clone)]
pub struct Config {
    /// Model and other HTTP upstreams, by the name that stands in the address.
    pub upstreams: BTreeMap<String, Upstream>,
    /// MCP servers reached over HTTP, by the name that stands in the address.
    pub mcp: BTreeMap<String, McpServer>,
    /// Which names and web pages may ask.
    pub access: Access,
    /// Bounds.
    pub limits: Limits,
    /// Whether a stream's chunks are durable before they are released, instead of within 50 ms of it.
    pub strict: bool,
    /// Names of headers, query parameters, command-line options and variables whose values are secrets, beside those that
    /// say so by their words. Case does not count, and `-` is as good as `_`.
    pub secret_names: Vec<String>,
    /// Digest of the governance configuration, `sha256:` and hexadecimal; written into request events.
    pub governance: String,
}

/// An HTTP upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// `http://` or `https://`, authority, and a path that is put before the agent's.
    pub base_url: String,
    /// What it speaks.
    pub api: UpstreamApi,
    /// Certificates (PEM) of the authorities that are trusted for it, in place of the system's.
    pub ca: Option<Vec<u8>>,
}

/// An MCP server reached over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpServer {
    /// The server's endpoint.
    pub url: String,
    /// Certificates (PEM) of the authorities that are trusted for it, in place of the system's.
    pub ca: Option<Vec<u8>>,
}

/// Bounds of the data plane. Sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Longest request body; a longer one is refused with 413 and recorded as denied.
    pub request_body: u64,
    /// Bytes of a response body that are recorded; what follows is relayed, counted and recorded as a gap.
    pub response_body: u64,
    /// Body bytes held in memory at a time, all calls together, with what the recorder holds of them. A request that finds
    /// no room waits unread; an answer is read a little at a time.
    pub memory: u64,
    /// Connections of agents open at a time; further ones wait in the kernel's queue.
    pub connections: usize,
    /// How long an upstream may take to accept a connection.
    pub connect_timeout: Duration,
    /// How long an upstream may take from the forwarded request to its response head.
    pub head_timeout: Duration,
    /// How long an upstream may be silent within a response body, but for an MCP server's standing streams; and how long a
    /// call waits for its stream to be resumed.
    pub idle_timeout: Duration,
    /// How long both sides of an upgraded connection (WebSocket) may be silent.
    pub tunnel_idle_timeout: Duration,
    /// How long an agent may be silent within a request body.
    pub request_idle_timeout: Duration,
    /// How fast a request body comes at least, in bytes per second over all of it; a silence is allowed beyond that.
    pub request_rate: u64,
    /// How long a request may wait for room in `memory` before it is refused.
    pub memory_timeout: Duration,
    /// How long open calls may go on after shutdown was asked for.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_body: 64 << 20,
            response_body: 256 << 20,
            memory: 32 << 20,
            connections: 1024,
            connect_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_mins(20),
            idle_timeout: Duration::from_mins(10),
            tunnel_idle_timeout: Duration::from_hours(1),
            request_idle_timeout: Duration::from_mins(1),
            request_rate: 64 << 10,
            memory_timeout: Duration::from_mins(1),
            drain: Duration::from_secs(10),
        }
    }
}

impl Default for Config {
    /// The vendors' addresses, no MCP server.
    fn default() -> Self {
        let upstream = |base_url: &str, api| Upstream {
            base_url: base_url.to_owned(),
            api,
            ca: None,
        };
        let upstreams = [
            (
                "anthropic",
                upstream("https://api.anthropic.com", UpstreamApi::Anthropic),
            ),
            (
                "openai",
                upstream("https://api.openai.com/v1", UpstreamApi::OpenAi),
            ),
            (
                "gemini",
                upstream(
                    "https://generativelanguage.googleapis.com",
                    UpstreamApi::Gemini,
                ),
            ),
        ];
        Self {
            upstreams: upstreams
                .into_iter()
                .map(|(name, upstream)| (name.to_owned(), upstream))
                .collect(),
            mcp: BTreeMap::new(),
            access: Access::default(),
            limits: Limits::default(),
            strict: false,
            secret_names: Vec::new(),
            governance: String::new(),
        }
    }
}

/// Why a configuration cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The name cannot stand in an address, or the gateway's own addresses use it.
    #[error(
        "`{0}` cannot name an upstream or MCP server: use letters, digits, `-`, `_` and `.`, and none of `agent`, `run`, `mcp`"
    )]
    Name(String),
    /// The address is not an absolute `http` or `https` one.
    #[error(
        "the address of `{name}`, `{url}`, is not an absolute http:// or https:// URL without query"
    )]
    Url {
        /// Which upstream or server.
        name: String,
        /// As configured.
        url: String,
    },
    /// The certificates to be trusted for an upstream are none.
    #[error("the certificates to trust for `{name}` cannot be used: {why}")]
    Authorities {
        /// Which upstream or server.
        name: String,
        /// What is wrong with them.
        why: String,
    },
    /// The TLS library refused its own defaults.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// Where calls go: an address taken apart once, at start.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The configured name.
    pub name: String,
    /// The name in figures: an MCP server may be called like an upstream.
    pub label: String,
    /// `http` or `https`.
    pub scheme: Scheme,
    /// Host and port as configured: the `Host` that is forwarded.
    pub authority: Authority,
    /// Path of the base address without a trailing slash; empty for the root.
    pub path: String,
    /// What it speaks.
    pub api: UpstreamApi,
    /// `scheme://host:port` for events, the port always written.
    pub destination: String,
}

impl Target {
    /// Reads a configured address.
    pub(crate) fn new(name: &str, url: &str, api: UpstreamApi) -> Result<Self, ConfigError> {
        check_name(name)?;
        let refused = || ConfigError::Url {
            name: name.to_owned(),
            url: without_userinfo(url),
        };
        let uri: Uri = url.parse().map_err(|_| refused())?;
        let parts = uri.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(refused());
        };
        let default_port = match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            _ => return Err(refused()),
        };
        if authority.host().is_empty() || authority.as_str().contains('@') {
            return Err(refused());
        }
        let path = parts.path_and_query.as_ref();
        if path.is_some_and(|path| path.query().is_some()) {
            return Err(refused());
        }
        let path = path
            .map_or("", |path| path.path())
            .trim_end_matches('/')
            .to_owned();
        let port = authority.port_u16().unwrap_or(default_port);
        let destination = format!("{scheme}://{}:{port}", authority.host());
        Ok(Self {
            name: name.to_owned(),
            label: name.to_owned(),
            scheme,
            authority,
            path,
            api,
            destination,
        })
    }

    /// Reads the configured address of an MCP server: one endpoint, a slash at its end included.
    pub(crate) fn endpoint(name: &str, url: &str) -> Result<Self, ConfigError> {
        let mut target = Self::new(name, url, UpstreamApi::Raw)?;
        target.label = server_label(name);
        if url.ends_with('/') {
            target.path.push('/');
        }
        Ok(target)
    }
}

/// The name of an MCP server in figures: it may be called like an upstream.
pub(crate) fn server_label(name: &str) -> String {
    format!("mcp/{name}")
}

fn check_name(name: &str) -> Result<(), ConfigError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let taken = matches!(name, "agent" | "run" | "mcp" | "." | "..");
    if name.is_empty() || name.len() > 64 || taken || !name.bytes().all(allowed) {
        return Err(ConfigError::Name(name.to_owned()));
    }
    Ok(())
}

/// The address without what stands before `@`: a password never reaches an error.
fn without_userinfo(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            let (head, tail) = (url.get(..scheme + 3), url.get(at..));
            format!(
                "{}...{}",
                head.unwrap_or_default(),
                tail.unwrap_or_default()
            )
        }
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let target = Target::new("a", "https://api.example.com/v1/", UpstreamApi::OpenAi).unwrap();
        assert_eq!(target.path, "/v1");
        assert_eq!(target.destination, "https://api.example.com:443");
        let target = Target::new("a", "http://127.0.0.1:9", UpstreamApi::Raw).unwrap();
        assert_eq!(target.path, "");
        assert_eq!(target.authority.as_str(), "127.0.0.1:9");
    }

    #[test]
    fn nonsense_is_refused_without_its_password() {
        for url in [
            "",
            "api.example.com",
            "ftp://x/",
            "http://h/?q=1",
            "unix:/x",
            "http://u:hunter2@h/",
        ] {
            let error = Target::new("a", url, UpstreamApi::Raw).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        for name in ["", "agent", "mcp", "run", "a/b", "a b", ".."] {
            let error = Target::new(name, "http://h", UpstreamApi::Raw).unwrap_err();
            assert_eq!(error, ConfigError::Name(name.to_owned()));
        }
    }
}
