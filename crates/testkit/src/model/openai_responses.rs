//! `OpenAI` Responses: a response, or its numbered events.

use super::sse;
use super::turn::{Turn, pieces};
use bytes::Bytes;
use serde_json::{Value, json};

fn items(turn: &Turn) -> Vec<Value> {
    let seed = turn.seed;
    let mut items = Vec::new();
    if let Some(thinking) = &turn.thinking {
        items.push(json!({
            "id": format!("rs_{seed:016x}"), "type": "reasoning", "encrypted_content": thinking.signature,
            "summary": [{ "type": "summary_text", "text": thinking.text }],
        }));
    }
    if !turn.text.is_empty() {
        items.push(json!({
            "id": format!("msg_{seed:016x}"), "type": "message", "status": "completed", "role": "assistant",
            "content": [{ "type": "output_text", "text": turn.text, "annotations": [], "logprobs": [] }],
        }));
    }
    for (n, call) in turn.calls.iter().enumerate() {
        items.push(json!({
            "id": format!("fc_{seed:016x}{n}"), "type": "function_call", "status": "completed",
            "call_id": call.id, "name": call.name, "arguments": call.arguments.to_string(),
        }));
    }
    items
}

fn shell(turn: &Turn, status: &str, output: Vec<Value>, usage: Value) -> Value {
    json!({
        "id": format!("resp_{:016x}", turn.seed), "object": "response", "created_at": 1_790_000_000, "status": status,
        "error": null, "incomplete_details": null, "instructions": null, "max_output_tokens": null,
        "model": turn.model, "output": output, "parallel_tool_calls": true, "previous_response_id": null,
        "store": true, "temperature": 1.0, "text": { "format": { "type": "text" } }, "tool_choice": "auto",
        "tools": [], "top_p": 1.0, "truncation": "disabled", "usage": usage, "user": null, "metadata": {},
    })
}

pub(super) fn response(turn: &Turn, status: &str) -> Value {
    let input = turn.tokens.input + turn.tokens.cached;
    let usage = json!({
        "input_tokens": input, "input_tokens_details": { "cached_tokens": turn.tokens.cached },
        "output_tokens": turn.tokens.output,
        "output_tokens_details": { "reasoning_tokens": turn.tokens.reasoning },
        "total_tokens": input + turn.tokens.output,
    });
    shell(turn, status, items(turn), usage)
}

pub(super) fn error_event(message: &str) -> Bytes {
    let data = json!({ "type": "error", "code": "server_error", "message": message, "param": null, "sequence_number": 99 });
    sse(Some("error"), &data)
}

/// Numbers the events as they are written.
struct Writer(Vec<Bytes>);

impl Writer {
    fn push(&mut self, kind: &str, mut data: Value) {
        if let Some(object) = data.as_object_mut() {
            object.insert("type".to_owned(), json!(kind));
            object.insert("sequence_number".to_owned(), json!(self.0.len()));
        }
        self.0.push(sse(Some(kind), &data));
    }
}

pub(super) fn events(turn: &Turn) -> Vec<Bytes> {
    let mut out = Writer(Vec::new());
    out.push(
        "response.created",
        json!({ "response": shell(turn, "in_progress", Vec::new(), Value::Null) }),
    );
    out.push(
        "response.in_progress",
        json!({ "response": shell(turn, "in_progress", Vec::new(), Value::Null) }),
    );
    for (index, item) in items(turn).iter().enumerate() {
        let text = |field: &str| {
            item.get(field)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let mut opened = item.clone();
        if let Some(object) = opened.as_object_mut() {
            for (field, empty) in [
                ("content", json!([])),
                ("arguments", json!("")),
                ("summary", json!([])),
            ] {
                if object.contains_key(field) {
                    object.insert(field.to_owned(), empty);
                }
            }
            if object.contains_key("status") {
                object.insert("status".to_owned(), json!("in_progress"));
            }
        }
        out.push(
            "response.output_item.added",
            json!({ "output_index": index, "item": opened }),
        );
        let at = json!({ "item_id": text("id"), "output_index": index });
        match text("type").as_str() {
            "message" => message_events(&mut out, &at, &turn.text),
            "function_call" => arguments_events(&mut out, &at, &text("name"), &text("arguments")),
            _ => summary_events(
                &mut out,
                &at,
                turn.thinking.as_ref().map_or("", |t| t.text.as_str()),
            ),
        }
        out.push(
            "response.output_item.done",
            json!({ "output_index": index, "item": item }),
        );
    }
    out.push(
        "response.completed",
        json!({ "response": response(turn, "completed") }),
    );
    out.0
}

fn with(at: &Value, fields: Value) -> Value {
    let mut at = at.clone();
    if let (Some(object), Value::Object(fields)) = (at.as_object_mut(), fields) {
        object.extend(fields);
    }
    at
}

fn message_events(out: &mut Writer, at: &Value, text: &str) {
    let part = |text: &str| json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] });
    out.push(
        "response.content_part.added",
        with(at, json!({ "content_index": 0, "part": part("") })),
    );
    for piece in pieces(text, 12) {
        out.push(
            "response.output_text.delta",
            with(
                at,
                json!({ "content_index": 0, "delta": piece, "logprobs": [] }),
            ),
        );
    }
    out.push(
        "response.output_text.done",
        with(
            at,
            json!({ "content_index": 0, "text": text, "logprobs": [] }),
        ),
    );
    out.push(
        "response.content_part.done",
        with(at, json!({ "content_index": 0, "part": part(text) })),
    );
}

fn arguments_events(out: &mut Writer, at: &Value, name: &str, arguments: &str) {
    for piece in pieces(arguments, 10) {
        out.push(
            "response.function_call_arguments.delta",
            with(at, json!({ "delta": piece })),
        );
    }
    out.push(
        "response.function_call_arguments.done",
        with(at, json!({ "name": name, "arguments": arguments })),
    );
}

fn summary_events(out: &mut Writer, at: &Value, text: &str) {
    let part = |text: &str| json!({ "type": "summary_text", "text": text });
    out.push(
        "response.reasoning_summary_part.added",
        with(at, json!({ "summary_index": 0, "part": part("") })),
    );
    for piece in pieces(text, 24) {
        out.push(
            "response.reasoning_summary_text.delta",
            with(at, json!({ "summary_index": 0, "delta": piece })),
        );
    }
    out.push(
        "response.reasoning_summary_text.done",
        with(at, json!({ "summary_index": 0, "text": text })),
    );
    out.push(
        "response.reasoning_summary_part.done",
        with(at, json!({ "summary_index": 0, "part": part(text) })),
    );
}
