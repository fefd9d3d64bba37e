//! Gemini `generateContent` and `streamGenerateContent`.
//!
//! Ids of calls stay out of fingerprints: most models send none, and clients make up their own.

mod answer;
mod request;

pub(crate) use answer::Reader;
pub(crate) use request::read;

use crate::json::Json;
use crate::parts::{Arguments, Call, Output, Parts, Print, content_digest, id_in, wire_bytes};
use std::borrow::Cow;

/// A field in either spelling that the API takes: `functionCall` or `function_call`.
fn either<'a>(value: Json<'a>, camel: &str, snake: &str) -> Option<Json<'a>> {
    value
        .get(camel)
        .or_else(|| value.get(snake))
        .filter(|value| !value.is_null())
}

/// One part of a content.
fn part(value: Json<'_>, parts: &mut impl Parts) {
    let fields = value.object();
    if let Some(text) = fields.get_str("text") {
        if fields.get("thought").and_then(Json::bool) == Some(true) {
            parts.reasoning(text.len());
        } else {
            parts.text(&text);
        }
    } else if let Some(call) = either(value, "functionCall", "function_call") {
        parts.call(function_call(call));
    } else if let Some(response) = either(value, "functionResponse", "function_response") {
        parts.result(function_response(response));
    } else if let Some(code) = either(value, "executableCode", "executable_code") {
        parts.call(Call {
            id: id_in(code, "id"),
            name: Cow::Borrowed("code_execution"),
            arguments: Arguments::Json(code),
            kind: Cow::Borrowed("executableCode"),
            provider_executed: true,
            complete: true,
            print: Print::WithoutId,
        });
    } else if let Some(result) = either(value, "codeExecutionResult", "code_execution_result") {
        let failed = result
            .get_str("outcome")
            .is_some_and(|outcome| outcome != "OUTCOME_OK");
        parts.result(Output {
            id: id_in(result, "id"),
            name: Some(Cow::Borrowed("code_execution")),
            is_error: Some(failed),
            digest: content_digest(Some(result)),
            bytes: wire_bytes(Some(result)),
            provider_executed: true,
            print: Print::WithoutId,
        });
    } else if let Some(call) = either(value, "toolCall", "tool_call") {
        parts.call(Call {
            id: id_in(call, "id"),
            name: either(call, "toolType", "tool_type")
                .and_then(Json::str)
                .unwrap_or(Cow::Borrowed("tool")),
            arguments: Arguments::from(call.get("args")),
            kind: Cow::Borrowed("toolCall"),
            provider_executed: true,
            complete: true,
            print: Print::WithoutId,
        });
    } else if let Some(response) = either(value, "toolResponse", "tool_response") {
        let content = response.get("response");
        parts.result(Output {
            id: id_in(response, "id"),
            name: either(response, "toolType", "tool_type").and_then(Json::str),
            is_error: None,
            digest: content_digest(content),
            bytes: wire_bytes(content),
            provider_executed: true,
            print: Print::WithoutId,
        });
    } else if either(value, "inlineData", "inline_data").is_some()
        || either(value, "fileData", "file_data").is_some()
    {
        parts.other("data", value);
    } else if value.fields().all(|(key, _)| {
        matches!(
            &*key,
            "thoughtSignature" | "thought_signature" | "thought" | "partMetadata"
        )
    }) {
        // A signature alone carries reasoning that is not told.
        parts.reasoning(
            either(value, "thoughtSignature", "thought_signature")
                .and_then(Json::str)
                .map_or(0, |text| text.len()),
        );
    } else {
        parts.unknown("part", value);
    }
}

fn function_call(call: Json<'_>) -> Call<'_> {
    Call {
        id: id_in(call, "id"),
        name: call.get_str("name").unwrap_or_default(),
        arguments: Arguments::from(call.get("args")),
        kind: Cow::Borrowed("functionCall"),
        provider_executed: false,
        complete: true,
        print: Print::WithoutId,
    }
}

fn function_response(response: Json<'_>) -> Output<'_> {
    let content = response.get("response");
    // The API has no flag: a response with nothing but `error` is a failure by convention.
    let failed = content.is_some_and(|content| {
        content.get("error").is_some() && content.fields().all(|(key, _)| key == "error")
    });
    Output {
        id: id_in(response, "id"),
        name: response.get_str("name"),
        is_error: failed.then_some(true),
        digest: content_digest(content),
        bytes: wire_bytes(content),
        provider_executed: false,
        print: Print::WithoutId,
    }
}
