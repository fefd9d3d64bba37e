//! The JSON-RPC 2.0 envelope: requests, notifications, responses, errors and batches, borrowed from the message.

use crate::json::{self, Json, Kind as JsonKind};
use crate::limits::{ENTRIES, NAME_BYTES};
use std::borrow::Cow;

/// A message id, typed: `1` and `"1"` are different ids.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Id {
    /// A number, as it was written, so that no digit is lost.
    Number(String),
    /// A string, unescaped. Longer than [`NAME_BYTES`] it is replaced by its digest (`sha256:` and hexadecimal), so that ids stay distinct.
    String(String),
}

impl Id {
    pub(crate) fn read(value: Json<'_>) -> Option<Self> {
        let bounded = |text: Cow<'_, str>| {
            if text.len() <= NAME_BYTES {
                text.into_owned()
            } else {
                format!("sha256:{}", crate::fingerprint::of_bytes(text.as_bytes()))
            }
        };
        match value.kind() {
            JsonKind::Number => Some(Self::Number(bounded(Cow::Borrowed(value.raw())))),
            JsonKind::String => value.str().map(|text| Self::String(bounded(text))),
            _ => None,
        }
    }

    /// The id as JSON, the spelling of `jsonrpc.request.id` in an event.
    #[must_use]
    pub fn to_json(&self) -> String {
        match self {
            Self::Number(number) => number.clone(),
            Self::String(text) => serde_json::Value::from(text.as_str()).to_string(),
        }
    }
}

/// The error object of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorObject<'a> {
    /// The code, where it is a whole number.
    pub code: Option<i64>,
    /// The message.
    pub message: Option<Cow<'a, str>>,
    /// Further data.
    pub data: Option<Json<'a>>,
}

/// What a message is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind<'a> {
    /// Asks for an answer.
    Request {
        /// The id its answer will carry.
        id: Id,
        /// The method.
        method: Cow<'a, str>,
        /// The parameters.
        params: Option<Json<'a>>,
    },
    /// Asks for nothing.
    Notification {
        /// The method.
        method: Cow<'a, str>,
        /// The parameters.
        params: Option<Json<'a>>,
    },
    /// A good answer.
    Response {
        /// The id of the request.
        id: Id,
        /// The result.
        result: Json<'a>,
    },
    /// A bad answer.
    Error {
        /// The id of the request; `None` where the sender could not read it.
        id: Option<Id>,
        /// What went wrong.
        error: ErrorObject<'a>,
    },
    /// None of these; why not.
    Invalid(&'static str),
}

/// One message of a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'a> {
    /// What it is.
    pub kind: Kind<'a>,
    /// The message exactly as it was written.
    pub raw: Json<'a>,
}

/// The messages of one payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload<'a> {
    /// The messages in order, at most [`ENTRIES`].
    pub messages: Vec<Message<'a>>,
    /// How many there are in the batch; `None` where the payload is a single message.
    pub batch: Option<u64>,
}

/// Reads one payload: a message, or an array of messages.
///
/// # Errors
/// When it is not JSON. A JSON value that is not JSON-RPC reads as [`Kind::Invalid`].
pub fn read(bytes: &[u8]) -> Result<Payload<'_>, json::Error> {
    let document = Json::parse(bytes)?;
    if document.kind() != JsonKind::Array {
        return Ok(Payload {
            messages: vec![message(document)],
            batch: None,
        });
    }
    let mut items = document.items();
    let messages: Vec<_> = items.by_ref().take(ENTRIES).map(message).collect();
    let count = messages.len() as u64 + items.count() as u64;
    Ok(Payload {
        messages,
        batch: Some(count),
    })
}

fn message(raw: Json<'_>) -> Message<'_> {
    Message {
        kind: kind(raw),
        raw,
    }
}

fn kind(raw: Json<'_>) -> Kind<'_> {
    if raw.kind() != JsonKind::Object {
        return Kind::Invalid("a message must be an object");
    }
    let (mut id, mut method, mut params, mut result, mut error) = (None, None, None, None, None);
    for (key, value) in raw.fields() {
        match &*key {
            "id" => id = Some(value),
            "method" => method = Some(value),
            "params" => params = Some(value),
            "result" => result = Some(value),
            "error" => error = Some(value),
            _ => {}
        }
    }
    // `"id": null` is no id: MCP forbids it, JSON-RPC uses it where a request could not be read.
    let id = id.filter(|value| !value.is_null());
    let known = id.and_then(Id::read);
    if id.is_some() && known.is_none() {
        return Kind::Invalid("an id must be a string or a number");
    }
    if let Some(method) = method {
        let Some(method) = method.str() else {
            return Kind::Invalid("a method must be a string");
        };
        return match known {
            Some(id) => Kind::Request { id, method, params },
            None => Kind::Notification { method, params },
        };
    }
    if let Some(error) = error.filter(|value| !value.is_null()) {
        let error = ErrorObject {
            code: error.get("code").and_then(Json::i64),
            message: error.get_str("message"),
            data: error.get("data"),
        };
        return Kind::Error { id: known, error };
    }
    match (result, known) {
        (Some(result), Some(id)) => Kind::Response { id, result },
        (Some(_), None) => Kind::Invalid("a result needs an id"),
        (None, _) => Kind::Invalid("neither method, result nor error"),
    }
}

#[cfg(test)]
#[path = "jsonrpc_tests.rs"]
mod tests;
