//! Sans-I/O readers of what agents speak: bytes in, views out.
//!
//! Owns the understanding of wire formats: server-sent events, content encodings, JSON-RPC and MCP, WebSocket frames,
//! and the model APIs of Anthropic, OpenAI (Chat Completions and Responses), Gemini and Bedrock Converse.
//!
//! A reader looks at a copy of the bytes. It never fails a call, never re-encodes, never drops silently: what it does not know it
//! counts (`unknown`), what it cannot read it names (`problem`), and the raw bytes stay the evidence. Every reader is bounded
//! in memory whatever the wire sends ([`limits`]), and every text in a view is cut to a stated length.
//!
//! Never touches I/O, a clock or randomness.

mod answer;
mod anthropic;
mod chat;
mod conversation;
mod converse;
mod elements;
pub mod encoding;
pub mod eventstream;
mod fingerprint;
mod fragments;
mod gemini;
pub mod json;
pub mod jsonrpc;
pub mod limits;
pub mod mcp;
mod operation;
mod parts;
mod request;
mod response;
mod responses;
pub mod sse;
mod text;
mod view;
pub mod websocket;

pub use operation::{Api, ModelCall, Operation, UpstreamApi, classify};
pub use request::read_request;
pub use response::ResponseReader;
pub use responses::{Said, SessionReader};
pub use view::{Fingerprint, MessageView, RequestView, ResponseView, ToolCallView, ToolResultView};
