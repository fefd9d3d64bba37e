//! The fields of an event, grouped as they stand in its JSON.
//!
//! Every text field that comes from the wire is cut by the reader that fills it; [`crate::Draft::seal`]
//! refuses a line over the limit rather than cutting it.

use crate::kind::names;
use serde::{Deserialize, Serialize};

/// Who acted. The name comes from the address the agent was given, not from the agent's words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// The agent's name, `gen_ai.agent.name`.
    pub name: String,
    /// The client software as it names itself (`User-Agent`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

/// The run an event belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The run's id (a ULID unless the agent supplied its own).
    pub id: String,
    /// The run that delegated to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// How the event was assigned to the run: `header`, `path`, `claude-code-session`, `mcp-session`,
    /// `traceparent`, `previous-response`, `retry`, `history`, `tool-call`, `process`, `new`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Human user on whose behalf the agent acts, as a pseudonymous reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// Which credential was used; never the secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// Header or query parameter that carried it.
    pub carrier: String,
    /// Keyed digest of the secret: equal secrets are visibly equal, nothing else is.
    pub digest: String,
}

/// How one call is tied together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// `seq` of the request event that opened this attempt. Absent on that event itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<u64>,
    /// 1 for the first attempt, counted up for each retry of the same call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// `seq` of the first attempt's request event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<u64>,
}

/// The HTTP side of an exchange.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Http {
    /// Configured name of the upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// `scheme://host:port` that the request went to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// Request method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Path and query as forwarded, secrets replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Protocol version the client spoke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Status the upstream answered. A status is not an outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Bytes of the answer's body that went on to the agent, where they are fewer than arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relayed: Option<u64>,
}

/// The model side of an exchange; names follow OpenTelemetry GenAI (`gen_ai.*`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenAi {
    /// The wire format: `anthropic.messages`, `openai.chat`, `openai.responses`, `gemini.generate`, ...
    pub api: String,
    /// `gen_ai.operation.name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// `gen_ai.request.model`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_model: Option<String>,
    /// `gen_ai.response.model`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_model: Option<String>,
    /// `gen_ai.response.id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_id: Option<String>,
    /// `gen_ai.request.stream`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// `gen_ai.response.finish_reasons`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub finish_reasons: Vec<String>,
    /// Token counts as the provider reported them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// How many messages the request carried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<u64>,
    /// Bytes of reasoning text on the wire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_bytes: Option<u64>,
    /// Elements the reader kept but did not know (event types, block types).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<u64>,
}

/// Token usage, `gen_ai.usage.*`, as the provider's wire states it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// `gen_ai.usage.input_tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// `gen_ai.usage.output_tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// `gen_ai.usage.cache_read.input_tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read_input_tokens: Option<u64>,
    /// `gen_ai.usage.cache_creation.input_tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_creation_input_tokens: Option<u64>,
    /// `gen_ai.usage.reasoning.output_tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_output_tokens: Option<u64>,
}

/// A tool named in an exchange: called by the model, or answered by the agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolRef {
    /// `gen_ai.tool.name`; absent on a result that names only the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `gen_ai.tool.call.id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Whether a result reports failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_error: Option<bool>,
    /// Executed by the provider, not by the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_executed: Option<bool>,
}

/// The MCP side of an exchange.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mcp {
    /// Configured name of the server.
    pub server: String,
    /// `mcp.method.name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// `jsonrpc.request.id`, as JSON, so that `1` and `"1"` differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `mcp.session.id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// `mcp.protocol.version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol_version: Option<String>,
    /// `client-to-server` or `server-to-client`, on messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
    /// SHA-256 of the tool's latest `tools/list` entry: evidence of a changed description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_digest: Option<String>,
    /// JSON-RPC error code of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<i64>,
    /// Messages in a JSON-RPC batch (2025-03-26 only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<u64>,
}

/// One WebSocket message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebSocket {
    /// `client-to-server` or `server-to-client`.
    pub direction: String,
    /// `text`, `binary`, `close`, `ping`, `pong`; `raw`: bytes as they stood on the wire, where they are no frames, or of a
    /// message that was cut short.
    pub opcode: String,
    /// Message type that the payload names, where a reader knows the protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_type: Option<String>,
}

names! {
    /// How a call ended. Every call ends in exactly one of these.
    pub enum State {
        /// The upstream answered in full and the answer was released in full; also where the agent hung up after all that it
        /// says, before a stream's formal end, which `reason` tells then.
        Completed = "completed",
        /// The upstream answered with an error, refused the connection or broke it before a body.
        UpstreamError = "upstream_error",
        /// The answer broke, or turned into an error, after it had begun.
        StreamError = "stream_error",
        /// The client went away before the answer was released in full.
        ClientAborted = "client_aborted",
        /// The recorder did not let it through.
        Denied = "denied",
        /// A bound on time ran out.
        Expired = "expired",
        /// A person or a breaker stopped it.
        Killed = "killed",
        /// The recorder died while the call was open; closed at the next start.
        Interrupted = "interrupted",
    }
}

/// How a call ended, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The terminal state.
    pub state: State,
    /// A machine-readable reason: a provider's error type, or one of the recorder's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The recorder's own words on it. Never text from the wire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How long it took, in microseconds of the monotonic clock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// From the request's last byte received to its event durable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durable_us: Option<u64>,
    /// From forwarding to the upstream's response head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_us: Option<u64>,
    /// From the request's first byte to the first response body byte released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_us: Option<u64>,
    /// From the request's first byte to the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_us: Option<u64>,
    /// Response body chunks relayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunks: Option<u64>,
}

/// Ids that join this event to other systems.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ids {
    /// W3C `traceparent` as received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The provider's request id (`request-id`, `x-request-id`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Claude Code's session, or another client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// `previous_response_id` of an OpenAI Responses request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_response_id: Option<String>,
    /// Idempotency key the client sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// How a message history departs from what was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// `edited`, `dropped`, `unseen`, `inserted`.
    pub change: String,
    /// Index of the first message that does not continue what was seen.
    pub at: u64,
    /// Messages the recorder had seen of this run.
    pub seen: u64,
    /// Messages the request carried.
    pub sent: u64,
}

/// What was not recorded, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// What the gap concerns: an upstream, a body, a reader, the clock, the disk.
    pub of: String,
    /// Why: `truncated`, `disk-full`, `not-understood`, `sequence-hole` (a provider's own numbers leave some out),
    /// `unclean-stop`, ...
    pub cause: String,
    /// How many events, bytes or elements, as `unit` says.
    pub count: u64,
    /// `events`, `bytes`, `elements`, `seconds`.
    pub unit: String,
    /// First `seq` or offset concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Last `seq` or offset concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
}
