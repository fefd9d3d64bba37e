//! Anthropic Messages: a message, or the events of one.

use super::sse;
use super::turn::{Turn, pieces};
use bytes::Bytes;
use serde_json::{Value, json};

fn stop_reason(turn: &Turn) -> &'static str {
    if turn.calls.is_empty() {
        "end_turn"
    } else {
        "tool_use"
    }
}

fn blocks(turn: &Turn) -> Vec<Value> {
    let mut blocks = Vec::new();
    if let Some(thinking) = &turn.thinking {
        blocks.push(json!({ "type": "thinking", "thinking": thinking.text, "signature": thinking.signature }));
    }
    if !turn.text.is_empty() {
        blocks.push(json!({ "type": "text", "text": turn.text }));
    }
    for call in &turn.calls {
        blocks.push(json!({ "type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments }));
    }
    blocks
}

fn shell(turn: &Turn, content: Vec<Value>, stop: Value, output_tokens: u64) -> Value {
    json!({
        "id": format!("msg_{:016x}", turn.seed), "type": "message", "role": "assistant", "model": turn.model,
        "content": content, "stop_reason": stop, "stop_sequence": null,
        "usage": {
            "input_tokens": turn.tokens.input, "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": turn.tokens.cached, "output_tokens": output_tokens,
            "service_tier": "standard",
        },
    })
}

pub(super) fn message(turn: &Turn) -> Value {
    shell(
        turn,
        blocks(turn),
        json!(stop_reason(turn)),
        turn.tokens.output,
    )
}

pub(super) fn error(status: u16, message: &str) -> Value {
    let kind = match status {
        400 => "invalid_request_error",
        401 => "authentication_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    json!({ "type": "error", "error": { "type": kind, "message": message }, "request_id": "req_scripted" })
}

pub(super) fn events(turn: &Turn) -> Vec<Bytes> {
    let mut out = Vec::new();
    let mut push = |kind: &str, mut data: Value| {
        if let Some(object) = data.as_object_mut() {
            object.insert("type".to_owned(), json!(kind));
        }
        out.push(sse(Some(kind), &data));
    };
    push(
        "message_start",
        json!({ "message": shell(turn, Vec::new(), Value::Null, 1) }),
    );
    for (index, block) in blocks(turn).iter().enumerate() {
        let kind = block
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let (start, deltas) = match kind {
            "thinking" => (
                json!({ "type": "thinking", "thinking": "", "signature": "" }),
                thinking_deltas(block),
            ),
            "text" => (json!({ "type": "text", "text": "" }), text_deltas(block)),
            _ => {
                let mut start = block.clone();
                if let Some(object) = start.as_object_mut() {
                    object.insert("input".to_owned(), json!({}));
                }
                (start, input_deltas(block))
            }
        };
        push(
            "content_block_start",
            json!({ "index": index, "content_block": start }),
        );
        if index == 0 {
            push("ping", json!({}));
        }
        for delta in deltas {
            push(
                "content_block_delta",
                json!({ "index": index, "delta": delta }),
            );
        }
        push("content_block_stop", json!({ "index": index }));
    }
    let usage = json!({
        "input_tokens": turn.tokens.input, "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": turn.tokens.cached, "output_tokens": turn.tokens.output,
    });
    push(
        "message_delta",
        json!({ "delta": { "stop_reason": stop_reason(turn), "stop_sequence": null }, "usage": usage }),
    );
    push("message_stop", json!({}));
    out
}

fn text_of<'a>(block: &'a Value, field: &str) -> &'a str {
    block.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn thinking_deltas(block: &Value) -> Vec<Value> {
    let mut deltas: Vec<_> = pieces(text_of(block, "thinking"), 24)
        .into_iter()
        .map(|piece| json!({ "type": "thinking_delta", "thinking": piece }))
        .collect();
    deltas.push(json!({ "type": "signature_delta", "signature": text_of(block, "signature") }));
    deltas
}

fn text_deltas(block: &Value) -> Vec<Value> {
    pieces(text_of(block, "text"), 16)
        .into_iter()
        .map(|piece| json!({ "type": "text_delta", "text": piece }))
        .collect()
}

fn input_deltas(block: &Value) -> Vec<Value> {
    let input = block.get("input").unwrap_or(&Value::Null).to_string();
    let mut deltas = vec![json!({ "type": "input_json_delta", "partial_json": "" })];
    deltas.extend(
        pieces(&input, 12)
            .into_iter()
            .map(|piece| json!({ "type": "input_json_delta", "partial_json": piece })),
    );
    deltas
}
