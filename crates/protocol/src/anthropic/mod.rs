//! Anthropic Messages.

mod answer;
mod request;

pub(crate) use answer::Reader;
pub(crate) use request::read;

use crate::json::{Json, Kind};
use crate::parts::{Arguments, Call, Output, Parts, Print, content_digest, id_in, wire_bytes};
use std::borrow::Cow;

/// Content: a string, or blocks.
fn content(value: Json<'_>, parts: &mut impl Parts) {
    if let Some(text) = value.str() {
        parts.text(&text);
    }
    for block in value.items() {
        self::block(block, parts);
    }
}

/// One block, as it stands in requests, in whole answers and at the start of a streamed block.
fn block(value: Json<'_>, parts: &mut impl Parts) {
    if value.kind() != Kind::Object {
        return parts.unknown("block", value);
    }
    let fields = value.object();
    let kind = fields.get_str("type").unwrap_or_default();
    let length = |field: &str| fields.get_str(field).map_or(0, |text| text.len());
    match &*kind {
        "text" => parts.text(&fields.get_str("text").unwrap_or_default()),
        "thinking" => parts.reasoning(length("thinking")),
        "redacted_thinking" => parts.reasoning(length("data")),
        "image" | "document" | "search_result" | "container_upload" | "compaction"
        | "tool_reference" | "fallback" | "tool_addition" | "tool_removal" | "mcp_tool_listing" => {
            parts.other(&kind, value)
        }
        _ if is_call(&kind) => parts.call(Call {
            id: id_in(value, "id"),
            name: value.get_str("name").unwrap_or_default(),
            arguments: value
                .get("input")
                .map_or(Arguments::Text(Cow::Borrowed("")), Arguments::Json),
            provider_executed: kind != "tool_use",
            complete: true,
            print: Print::Whole,
            kind,
        }),
        _ if is_result(&kind) => parts.result(result(value, &kind)),
        _ => parts.unknown(&kind, value),
    }
}

/// `tool_use`, and the provider's own `server_tool_use`, `mcp_tool_use`, ...
fn is_call(kind: &str) -> bool {
    kind == "tool_use" || kind.ends_with("_tool_use")
}

/// `tool_result`, and the provider's own `web_search_tool_result`, `mcp_tool_result`, ...
fn is_result(kind: &str) -> bool {
    kind == "tool_result" || kind.ends_with("_tool_result")
}

fn result<'a>(value: Json<'a>, kind: &str) -> Output<'a> {
    let content = value.get("content");
    // A provider's result says by the type of its content that it failed.
    let failed = content
        .and_then(|content| content.get_str("type"))
        .is_some_and(|kind| kind.ends_with("_error"));
    Output {
        id: id_in(value, "tool_use_id"),
        name: None,
        is_error: value
            .get("is_error")
            .and_then(Json::bool)
            .or(failed.then_some(true)),
        digest: content_digest(content),
        bytes: wire_bytes(content),
        provider_executed: kind != "tool_result",
        print: Print::Whole,
    }
}
