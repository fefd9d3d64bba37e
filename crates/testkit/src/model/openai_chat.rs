//! `OpenAI` Chat Completions: a completion, or its chunks.

use super::sse;
use super::turn::{Turn, pieces};
use bytes::Bytes;
use serde_json::{Value, json};

const CREATED_UNIX: u64 = 1_790_000_000;

fn finish(turn: &Turn) -> &'static str {
    if turn.calls.is_empty() {
        "stop"
    } else {
        "tool_calls"
    }
}

fn usage(turn: &Turn) -> Value {
    let prompt = turn.tokens.input + turn.tokens.cached;
    json!({
        "prompt_tokens": prompt, "completion_tokens": turn.tokens.output, "total_tokens": prompt + turn.tokens.output,
        "prompt_tokens_details": { "cached_tokens": turn.tokens.cached, "audio_tokens": 0 },
        "completion_tokens_details": { "reasoning_tokens": turn.tokens.reasoning, "audio_tokens": 0 },
    })
}

pub(super) fn completion(turn: &Turn) -> Value {
    let calls: Vec<_> = turn
        .calls
        .iter()
        .map(|call| {
            json!({ "id": call.id, "type": "function",
                    "function": { "name": call.name, "arguments": call.arguments.to_string() } })
        })
        .collect();
    let mut message = json!({ "role": "assistant", "content": turn.text, "refusal": null });
    if let Some(object) = message.as_object_mut()
        && !calls.is_empty()
    {
        object.insert("tool_calls".to_owned(), json!(calls));
    }
    json!({
        "id": format!("chatcmpl-{:016x}", turn.seed), "object": "chat.completion", "created": CREATED_UNIX,
        "model": turn.model, "system_fingerprint": "fp_scripted",
        "choices": [{ "index": 0, "message": message, "logprobs": null, "finish_reason": finish(turn) }],
        "usage": usage(turn),
    })
}

pub(super) fn error(status: u16, message: &str) -> Value {
    let kind = match status {
        429 => "rate_limit_exceeded",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    };
    json!({ "error": { "message": message, "type": kind, "param": null, "code": null } })
}

pub(super) fn events(turn: &Turn) -> Vec<Bytes> {
    let chunk = |choices: Value, usage: Value| {
        sse(
            None,
            &json!({
                "id": format!("chatcmpl-{:016x}", turn.seed), "object": "chat.completion.chunk",
                "created": CREATED_UNIX, "model": turn.model, "system_fingerprint": "fp_scripted",
                "choices": choices, "usage": usage, "obfuscation": "k7Qz",
            }),
        )
    };
    let delta = |delta: Value, finish: Value| {
        chunk(
            json!([{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish }]),
            Value::Null,
        )
    };
    let mut out = vec![delta(
        json!({ "role": "assistant", "content": "", "refusal": null }),
        Value::Null,
    )];
    for piece in pieces(&turn.text, 12) {
        out.push(delta(json!({ "content": piece }), Value::Null));
    }
    for (index, call) in turn.calls.iter().enumerate() {
        out.push(delta(
            json!({ "tool_calls": [{ "index": index, "id": call.id, "type": "function",
                                     "function": { "name": call.name, "arguments": "" } }] }),
            Value::Null,
        ));
        for piece in pieces(&call.arguments.to_string(), 10) {
            out.push(delta(
                json!({ "tool_calls": [{ "index": index, "function": { "arguments": piece } }] }),
                Value::Null,
            ));
        }
    }
    out.push(delta(json!({}), json!(finish(turn))));
    out.push(chunk(json!([]), usage(turn)));
    out.push(Bytes::from_static(b"data: [DONE]\n\n"));
    out
}
