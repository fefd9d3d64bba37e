//! Gemini `generateContent`: a response, or its partial responses as events.

use super::sse;
use super::turn::{Turn, pieces};
use bytes::Bytes;
use serde_json::{Value, json};

fn usage(turn: &Turn) -> Value {
    let prompt = turn.tokens.input + turn.tokens.cached;
    json!({
        "promptTokenCount": prompt, "cachedContentTokenCount": turn.tokens.cached,
        "candidatesTokenCount": turn.tokens.output - turn.tokens.reasoning.min(turn.tokens.output),
        "thoughtsTokenCount": turn.tokens.reasoning, "totalTokenCount": prompt + turn.tokens.output,
        "promptTokensDetails": [{ "modality": "TEXT", "tokenCount": prompt }],
    })
}

fn shell(turn: &Turn, parts: Vec<Value>, finish: Option<&str>) -> Value {
    let mut candidate = json!({ "content": { "role": "model", "parts": parts }, "index": 0 });
    if let (Some(object), Some(finish)) = (candidate.as_object_mut(), finish) {
        object.insert("finishReason".to_owned(), json!(finish));
    }
    json!({
        "candidates": [candidate], "usageMetadata": usage(turn), "modelVersion": turn.model,
        "responseId": format!("{:016x}", turn.seed),
    })
}

fn calls(turn: &Turn) -> Vec<Value> {
    let signature = turn
        .thinking
        .as_ref()
        .map(|thinking| thinking.signature.clone());
    turn.calls
        .iter()
        .enumerate()
        .map(|(n, call)| {
            let mut part = json!({ "functionCall": { "id": call.id, "name": call.name, "args": call.arguments } });
            if let (0, Some(signature), Some(object)) = (n, &signature, part.as_object_mut()) {
                object.insert("thoughtSignature".to_owned(), json!(signature));
            }
            part
        })
        .collect()
}

pub(super) fn response(turn: &Turn) -> Value {
    let mut parts = Vec::new();
    if let Some(thinking) = &turn.thinking {
        parts.push(json!({ "text": thinking.text, "thought": true }));
    }
    if !turn.text.is_empty() {
        parts.push(json!({ "text": turn.text }));
    }
    parts.extend(calls(turn));
    shell(turn, parts, Some("STOP"))
}

pub(super) fn error(status: u16, message: &str) -> Value {
    let name = match status {
        400 => "INVALID_ARGUMENT",
        403 => "PERMISSION_DENIED",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        _ => "INTERNAL",
    };
    json!({ "error": { "code": status, "message": message, "status": name } })
}

pub(super) fn events(turn: &Turn) -> Vec<Bytes> {
    let mut out = Vec::new();
    if let Some(thinking) = &turn.thinking {
        for piece in pieces(&thinking.text, 32) {
            out.push(shell(
                turn,
                vec![json!({ "text": piece, "thought": true })],
                None,
            ));
        }
    }
    for piece in pieces(&turn.text, 16) {
        out.push(shell(turn, vec![json!({ "text": piece })], None));
    }
    out.push(shell(turn, calls(turn), Some("STOP")));
    // The vendor ends lines of its stream with CR LF.
    out.iter()
        .map(|value| Bytes::from(String::from_utf8_lossy(&sse(None, value)).replace('\n', "\r\n")))
        .collect()
}
