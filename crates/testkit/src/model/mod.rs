//! A scripted model that speaks the four wire formats and misbehaves by name.
//!
//! What it does is chosen by the model's name in the request, so that an unmodified vendor SDK can ask
//! for it: `scripted-text`, `scripted-tools`, `scripted-429-then-text`, ... ([`Scenario`]).

mod anthropic;
mod gemini;
mod openai_chat;
mod openai_responses;
mod scenario;
mod turn;

pub use scenario::{Model, Scenario};
pub use turn::{Call, Thinking, Tokens, Turn};

use crate::reply::Reply;
use bytes::Bytes;
use serde_json::Value;

/// The wire formats the scripted model speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Anthropic Messages.
    Anthropic,
    /// `OpenAI` Chat Completions.
    OpenAiChat,
    /// `OpenAI` Responses.
    OpenAiResponses,
    /// Gemini `generateContent` and `streamGenerateContent`.
    Gemini,
}

impl Format {
    /// The format that `path` (without query) is an inference endpoint of.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        let path = path.trim_end_matches('/');
        if path.ends_with("/messages") {
            Some(Self::Anthropic)
        } else if path.ends_with("/chat/completions") {
            Some(Self::OpenAiChat)
        } else if path.ends_with("/responses") {
            Some(Self::OpenAiResponses)
        } else if path.ends_with(":generateContent") || path.ends_with(":streamGenerateContent") {
            Some(Self::Gemini)
        } else {
            None
        }
    }

    /// The whole answer as one JSON body.
    #[must_use]
    pub fn json(self, turn: &Turn) -> Value {
        match self {
            Self::Anthropic => anthropic::message(turn),
            Self::OpenAiChat => openai_chat::completion(turn),
            Self::OpenAiResponses => openai_responses::response(turn, "completed"),
            Self::Gemini => gemini::response(turn),
        }
    }

    /// The answer as server-sent events, one element an event.
    #[must_use]
    pub fn events(self, turn: &Turn) -> Vec<Bytes> {
        match self {
            Self::Anthropic => anthropic::events(turn),
            Self::OpenAiChat => openai_chat::events(turn),
            Self::OpenAiResponses => openai_responses::events(turn),
            Self::Gemini => gemini::events(turn),
        }
    }

    /// The provider's own error body.
    #[must_use]
    pub fn error(self, status: u16, message: &str) -> Value {
        match self {
            Self::Anthropic => anthropic::error(status, message),
            Self::OpenAiChat | Self::OpenAiResponses => openai_chat::error(status, message),
            Self::Gemini => gemini::error(status, message),
        }
    }

    /// An error as it comes in mid-stream, after HTTP 200.
    #[must_use]
    pub fn error_event(self, message: &str) -> Bytes {
        match self {
            Self::Anthropic => sse(Some("error"), &anthropic::error(529, message)),
            Self::OpenAiChat => sse(None, &openai_chat::error(500, message)),
            Self::OpenAiResponses => openai_responses::error_event(message),
            Self::Gemini => sse(None, &gemini::error(503, message)),
        }
    }

    /// The answer in the shape the request asked for.
    #[must_use]
    pub fn reply(self, turn: &Turn, stream: bool) -> Reply {
        let id = format!("req_{:016x}", turn.seed);
        let reply = if stream {
            Reply::events(self.events(turn))
        } else {
            Reply::json(200, &self.json(turn))
        };
        match self {
            Self::Anthropic => reply.with_header("request-id", &id),
            Self::OpenAiChat | Self::OpenAiResponses => reply.with_header("x-request-id", &id),
            Self::Gemini => reply,
        }
    }
}

/// One server-sent event.
fn sse(name: Option<&str>, data: &Value) -> Bytes {
    let text = name.map_or_else(
        || format!("data: {data}\n\n"),
        |name| format!("event: {name}\ndata: {data}\n\n"),
    );
    Bytes::from(text)
}
