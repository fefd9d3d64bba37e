//! Amazon Bedrock `Converse` and `ConverseStream`.

mod answer;
mod request;

pub(crate) use answer::Reader;
pub(crate) use request::read;

use crate::json::Json;
use crate::parts::{Arguments, Call, Output, Parts, Print, content_digest, id_in, wire_bytes};
use std::borrow::Cow;

/// One content block: an object with a single field that says what it is.
fn block(value: Json<'_>, parts: &mut impl Parts) {
    let Some((kind, inner)) = value.fields().find(|(_, inner)| !inner.is_null()) else {
        return;
    };
    match &*kind {
        "text" => parts.text(&inner.str().unwrap_or_default()),
        "reasoningContent" => parts.reasoning(reasoning_bytes(inner)),
        "toolUse" => parts.call(Call {
            id: id_in(inner, "toolUseId"),
            name: inner.get_str("name").unwrap_or_default(),
            arguments: inner
                .get("input")
                .map_or(Arguments::Text(Cow::Borrowed("")), Arguments::Json),
            kind: Cow::Borrowed("toolUse"),
            provider_executed: is_server(inner, "server_tool_use"),
            complete: true,
            print: Print::Whole,
        }),
        "toolResult" => {
            let content = inner.get("content");
            parts.result(Output {
                id: id_in(inner, "toolUseId"),
                name: None,
                is_error: inner.get_str("status").map(|status| status == "error"),
                digest: content_digest(content),
                bytes: wire_bytes(content),
                // The result of a system tool names its type; the agent's has none.
                provider_executed: inner.get("type").is_some_and(|kind| !kind.is_null()),
                print: Print::Whole,
            });
        }
        "cachePoint" => {}
        "image" | "document" | "video" | "audio" | "guardContent" | "citationsContent"
        | "searchResult" => parts.other(&kind, inner),
        _ => parts.unknown(&kind, inner),
    }
}

fn is_server(tool: Json<'_>, kind: &str) -> bool {
    tool.get_str("type").is_some_and(|stated| stated == kind)
}

fn reasoning_bytes(value: Json<'_>) -> usize {
    let text = value
        .get("reasoningText")
        .and_then(|text| text.get_str("text"));
    text.or_else(|| value.get_str("text"))
        .or_else(|| value.get_str("redactedContent"))
        .map_or(0, |text| text.len())
}
