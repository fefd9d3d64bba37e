//! The recorder's own answers, in the words of the provider that the client speaks with.
//!
//! An SDK understands a refusal only in its provider's error schema. Never used for an upstream's own errors: those go
//! through untouched.

use crate::body::RelayBody;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Response, StatusCode};
use protocol::UpstreamApi;
use serde_json::json;

/// Why a call was not, or could not be, carried through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// No upstream has this name.
    UnknownUpstream,
    /// The address has no upstream in it.
    BadAddress,
    /// The request body is over the configured bound.
    BodyTooLarge,
    /// The request did not arrive in time.
    RequestTimeout,
    /// The budget of bodies had no room for the request in time.
    NoRoom,
    /// The request could not be read.
    BadRequest,
    /// A name in `Host` that is not this machine's: a browser was led here.
    ForeignHost,
    /// A web page that was not configured.
    ForeignOrigin,
    /// The request declares its length in two ways.
    TwoLengths,
    /// The request asks for a tunnel, of which nothing could be recorded.
    Tunnel,
    /// The recorder cannot record, so nothing is forwarded.
    NotRecorded,
    /// The upstream could not be reached, or broke before its answer.
    UpstreamUnreachable,
    /// The upstream did not answer in time.
    UpstreamTimeout,
}

impl Cause {
    /// The machine-readable reason in the event's outcome.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownUpstream => "unknown_upstream",
            Self::BadAddress => "bad_address",
            Self::BodyTooLarge => "body_too_large",
            Self::RequestTimeout => "request_timeout",
            Self::NoRoom => "no_room",
            Self::BadRequest => "bad_request",
            Self::ForeignHost => "foreign_host",
            Self::ForeignOrigin => "foreign_origin",
            Self::TwoLengths => "two_lengths",
            Self::Tunnel => "tunnel",
            Self::NotRecorded => "not_recorded",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::UpstreamTimeout => "upstream_timeout",
        }
    }

    const fn status(self, schema: Schema) -> StatusCode {
        match self {
            Self::UnknownUpstream | Self::BadAddress => StatusCode::NOT_FOUND,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BadRequest | Self::TwoLengths => StatusCode::BAD_REQUEST,
            Self::Tunnel => StatusCode::METHOD_NOT_ALLOWED,
            Self::ForeignHost | Self::ForeignOrigin => StatusCode::FORBIDDEN,
            Self::NotRecorded | Self::NoRoom => match schema {
                Schema::Anthropic => OVERLOADED,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            },
            Self::UpstreamUnreachable => StatusCode::BAD_GATEWAY,
            Self::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

/// Anthropic's status for "overloaded", which its SDKs retry.
const OVERLOADED: StatusCode = match StatusCode::from_u16(529) {
    Ok(status) => status,
    Err(_) => StatusCode::SERVICE_UNAVAILABLE,
};

/// JSON-RPC's first code for errors of an implementation's own.
const JSONRPC_REFUSED: i32 = -32000;

/// The error schema a client understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schema {
    /// `{"type":"error","error":{"type","message"}}`
    Anthropic,
    /// `{"error":{"message","type","param","code"}}`
    OpenAi,
    /// `{"error":{"code","message","status"}}`
    Gemini,
    /// `{"jsonrpc":"2.0","id":null,"error":{"code","message"}}`: a transport-level error of MCP, which names no request.
    JsonRpc,
}

impl Schema {
    /// What a client of an upstream of this kind understands; for `raw`, and where there is no upstream, what the
    /// request looks like.
    pub(crate) fn of(api: Option<UpstreamApi>, path: &str, headers: &HeaderMap) -> Self {
        match api {
            Some(UpstreamApi::Anthropic) => Self::Anthropic,
            Some(UpstreamApi::OpenAi) => Self::OpenAi,
            Some(UpstreamApi::Gemini) => Self::Gemini,
            Some(UpstreamApi::Raw) | None => Self::guess(path, headers),
        }
    }

    fn guess(path: &str, headers: &HeaderMap) -> Self {
        let path = path.split('?').next().unwrap_or_default();
        let has = |name: &str| headers.contains_key(name);
        if has("anthropic-version") || path.contains("/messages") {
            Self::Anthropic
        } else if has("x-goog-api-key")
            || has("x-goog-api-client")
            || path.contains("/v1beta/")
            || path.contains("enerateContent")
        {
            Self::Gemini
        } else {
            Self::OpenAi
        }
    }

    /// An answer in this schema. `message` is the recorder's own words.
    pub(crate) fn refuse(self, cause: Cause, message: &str) -> Response<RelayBody> {
        let status = cause.status(self);
        let body = match self {
            Self::Anthropic => {
                json!({"type": "error", "error": {"type": anthropic_type(cause), "message": message}})
            }
            Self::OpenAi => {
                json!({"error": {"message": message, "type": openai_type(cause), "param": null, "code": cause.as_str()}})
            }
            Self::Gemini => {
                json!({"error": {"code": status.as_u16(), "message": message, "status": gemini_status(cause)}})
            }
            Self::JsonRpc => {
                json!({"jsonrpc": "2.0", "id": null, "error": {"code": JSONRPC_REFUSED, "message": message, "data": {"reason": cause.as_str()}}})
            }
        };
        let bytes = Bytes::from(body.to_string());
        let mut response = Response::new(RelayBody::whole(
            [bytes.clone()],
            None,
            Some(bytes.len() as u64),
        ));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
        if matches!(cause, Cause::NotRecorded | Cause::NoRoom) {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

const fn anthropic_type(cause: Cause) -> &'static str {
    match cause {
        Cause::UnknownUpstream | Cause::BadAddress => "not_found_error",
        Cause::BodyTooLarge => "request_too_large",
        Cause::RequestTimeout | Cause::BadRequest | Cause::TwoLengths | Cause::Tunnel => {
            "invalid_request_error"
        }
        Cause::ForeignHost | Cause::ForeignOrigin => "permission_error",
        Cause::NotRecorded | Cause::NoRoom => "overloaded_error",
        Cause::UpstreamUnreachable => "api_error",
        Cause::UpstreamTimeout => "timeout_error",
    }
}

const fn openai_type(cause: Cause) -> &'static str {
    match cause {
        Cause::UnknownUpstream
        | Cause::BadAddress
        | Cause::BodyTooLarge
        | Cause::RequestTimeout
        | Cause::BadRequest
        | Cause::TwoLengths
        | Cause::Tunnel
        | Cause::ForeignHost
        | Cause::ForeignOrigin => "invalid_request_error",
        Cause::NotRecorded | Cause::NoRoom => "service_unavailable",
        Cause::UpstreamUnreachable | Cause::UpstreamTimeout => "server_error",
    }
}

const fn gemini_status(cause: Cause) -> &'static str {
    match cause {
        Cause::UnknownUpstream | Cause::BadAddress => "NOT_FOUND",
        Cause::BodyTooLarge | Cause::BadRequest | Cause::TwoLengths | Cause::Tunnel => {
            "INVALID_ARGUMENT"
        }
        Cause::ForeignHost | Cause::ForeignOrigin => "PERMISSION_DENIED",
        Cause::NotRecorded | Cause::NoRoom | Cause::UpstreamUnreachable => "UNAVAILABLE",
        Cause::RequestTimeout | Cause::UpstreamTimeout => "DEADLINE_EXCEEDED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use serde_json::Value;

    fn answer(schema: Schema, cause: Cause) -> (u16, Value) {
        let response = schema.refuse(cause, "why \"quoted\"");
        let status = response.status().as_u16();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let bytes = runtime
            .block_on(response.into_body().collect())
            .unwrap()
            .to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    #[test]
    fn each_provider_hears_its_own_words() {
        let message = "why \"quoted\"";
        for (schema, cause, status, body) in [
            (
                Schema::Anthropic,
                Cause::UnknownUpstream,
                404,
                json!({"type": "error", "error": {"type": "not_found_error", "message": message}}),
            ),
            (
                Schema::Anthropic,
                Cause::NotRecorded,
                529,
                json!({"type": "error", "error": {"type": "overloaded_error", "message": message}}),
            ),
            (
                Schema::Anthropic,
                Cause::BodyTooLarge,
                413,
                json!({"type": "error", "error": {"type": "request_too_large", "message": message}}),
            ),
            (
                Schema::OpenAi,
                Cause::UnknownUpstream,
                404,
                json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": "unknown_upstream"}}),
            ),
            (
                Schema::OpenAi,
                Cause::NotRecorded,
                503,
                json!({"error": {"message": message, "type": "service_unavailable", "param": null, "code": "not_recorded"}}),
            ),
            (
                Schema::Anthropic,
                Cause::ForeignOrigin,
                403,
                json!({"type": "error", "error": {"type": "permission_error", "message": message}}),
            ),
            (
                Schema::JsonRpc,
                Cause::ForeignHost,
                403,
                json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32000, "message": message, "data": {"reason": "foreign_host"}}}),
            ),
            (
                Schema::Gemini,
                Cause::UpstreamUnreachable,
                502,
                json!({"error": {"code": 502, "message": message, "status": "UNAVAILABLE"}}),
            ),
            (
                Schema::Gemini,
                Cause::UpstreamTimeout,
                504,
                json!({"error": {"code": 504, "message": message, "status": "DEADLINE_EXCEEDED"}}),
            ),
        ] {
            assert_eq!(
                answer(schema, cause),
                (status, body),
                "{schema:?} {cause:?}"
            );
        }
    }

    #[test]
    fn the_schema_is_the_upstreams_or_what_the_client_seems_to_speak() {
        let none = HeaderMap::new();
        let with = |name: &'static str| {
            HeaderMap::from_iter([(
                http::HeaderName::from_static(name),
                HeaderValue::from_static("1"),
            )])
        };
        for (api, path, headers, schema) in [
            (
                Some(UpstreamApi::Gemini),
                "/v1/messages",
                &none,
                Schema::Gemini,
            ),
            (
                None,
                "/nowhere/v1/messages?beta=true",
                &none,
                Schema::Anthropic,
            ),
            (None, "/nowhere/v1/chat/completions", &none, Schema::OpenAi),
            (
                None,
                "/nowhere/v1beta/models/m:generateContent",
                &none,
                Schema::Gemini,
            ),
            (
                Some(UpstreamApi::Raw),
                "/x",
                &with("anthropic-version"),
                Schema::Anthropic,
            ),
            (None, "/x", &with("x-goog-api-key"), Schema::Gemini),
            (None, "/", &none, Schema::OpenAi),
        ] {
            assert_eq!(Schema::of(api, path, headers), schema, "{path}");
        }
    }
}
