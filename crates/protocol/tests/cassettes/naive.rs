//! The same counts by a walk over the JSON that knows field names and nothing else.

use crate::recording::Exchange;
use protocol::{Api, RequestView, ResponseView};
use serde_json::Value;
use std::collections::BTreeSet;

/// What is counted of one exchange.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Count {
    /// Calls that the answer asks for.
    pub(crate) calls: u64,
    /// Results in the answer: tools that the provider ran.
    pub(crate) provider_results: u64,
    /// Calls and results in the request's history.
    pub(crate) sent_calls: u64,
    pub(crate) sent_results: u64,
    /// Usage is reported, and its input and output figures.
    pub(crate) usage: bool,
    pub(crate) input_tokens: Option<u64>,
    pub(crate) output_tokens: Option<u64>,
}

impl Count {
    pub(crate) fn of_views(request: Option<&RequestView>, response: &ResponseView) -> Self {
        let usage = response.gen_ai.usage.as_ref();
        Self {
            calls: response.tool_calls.len() as u64,
            provider_results: response.tool_results.len() as u64,
            sent_calls: request.map_or(0, |view| view.tool_calls_total),
            sent_results: request.map_or(0, |view| view.tool_results_total),
            usage: usage.is_some(),
            input_tokens: usage.and_then(|usage| usage.input_tokens),
            output_tokens: usage.and_then(|usage| usage.output_tokens),
        }
    }
}

pub(crate) fn count(api: Api, exchange: &Exchange) -> Count {
    let answer = documents(exchange);
    let request: Vec<Value> = serde_json::from_slice(&exchange.request)
        .into_iter()
        .collect();
    let mut count = Count {
        calls: calls(api, &answer),
        provider_results: results(api, &answer),
        sent_calls: calls(api, &request),
        sent_results: results(api, &request),
        ..Count::default()
    };
    for report in answer.iter().flat_map(usage_reports) {
        let number = |names: &[&str]| names.iter().find_map(|name| report.get(*name)?.as_u64());
        count.usage |= report
            .as_object()
            .is_some_and(|report| report.values().any(Value::is_u64));
        count.input_tokens = number(&[
            "input_tokens",
            "prompt_tokens",
            "promptTokenCount",
            "inputTokens",
        ])
        .or(count.input_tokens);
        count.output_tokens = number(&[
            "output_tokens",
            "completion_tokens",
            "candidatesTokenCount",
            "outputTokens",
        ])
        .or(count.output_tokens);
    }
    count
}

/// Usage of a document, or of the object one level down that it wraps. Deeper reports (Groq's by model) are shares of these.
fn usage_reports(document: &Value) -> Vec<&Value> {
    let inner = document
        .as_object()
        .into_iter()
        .flat_map(|fields| fields.values());
    let holders = std::iter::once(document).chain(inner);
    holders
        .flat_map(|holder| [holder.get("usage"), holder.get("usageMetadata")])
        .flatten()
        .collect()
}

/// The JSON documents of an answer: the body, the `data:` lines, or the payloads of binary frames.
fn documents(exchange: &Exchange) -> Vec<Value> {
    let media = exchange.content_type.as_deref().unwrap_or_default();
    let bytes = &exchange.response;
    if media.contains("vnd.amazon.eventstream") {
        let mut rest = &bytes[..];
        let mut documents = Vec::new();
        while rest.len() >= 16 {
            let number =
                |at: usize| u32::from_be_bytes(rest[at..at + 4].try_into().unwrap()) as usize;
            let (total, headers) = (number(0), number(4));
            documents.extend(serde_json::from_slice::<Value>(
                &rest[12 + headers..total - 4],
            ));
            rest = &rest[total..];
        }
        return documents;
    }
    if media.contains("event-stream") {
        let text = String::from_utf8_lossy(bytes);
        return text
            .lines()
            .filter_map(|line| serde_json::from_str(line.strip_prefix("data:")?).ok())
            .collect();
    }
    serde_json::from_slice(bytes).into_iter().collect()
}

/// Visits every field of every object, parents before children.
fn visit<'a>(value: &'a Value, found: &mut impl FnMut(&str, &'a Value)) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                found(key, value);
                visit(value, found);
            }
        }
        Value::Array(items) => {
            for item in items {
                found("", item);
                visit(item, found);
            }
        }
        _ => {}
    }
}

/// Elements of all documents for which `name` gives a name, each name once (streams tell an item several times). Elements
/// without a name of their own count each.
fn distinct(documents: &[Value], name: impl Fn(&str, &Value) -> Option<String>) -> u64 {
    let (mut named, mut unnamed) = (BTreeSet::new(), 0);
    for document in documents {
        visit(document, &mut |key, value| match name(key, value) {
            Some(name) if name.is_empty() => unnamed += 1,
            Some(name) => {
                named.insert(name);
            }
            None => {}
        });
    }
    unnamed + named.len() as u64
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn id(value: &Value) -> String {
    text(value, "id").to_owned()
}

fn calls(api: Api, documents: &[Value]) -> u64 {
    match api {
        Api::AnthropicMessages => distinct(documents, |_, value| {
            text(value, "type").ends_with("tool_use").then(String::new)
        }),
        // A streamed call has its name in its first fragment alone.
        Api::OpenAiChat => {
            let named = |call: &&Value| {
                call.pointer("/function/name")
                    .is_some_and(|name| name != "")
            };
            let called = arrays(documents, "tool_calls").filter(named).count();
            (called + executed(documents)) as u64
        }
        Api::OpenAiResponses => distinct(documents, |key, value| {
            let kind = text(value, "type");
            let item = kind.ends_with("_call") || kind == "mcp_approval_request";
            (item && (key.is_empty() || key == "item") && !kind.starts_with("response."))
                .then(|| call_id(value))
        }),
        Api::GeminiGenerate => distinct(documents, |key, _| {
            matches!(
                key,
                "functionCall" | "function_call" | "executableCode" | "toolCall"
            )
            .then(String::new)
        }),
        Api::BedrockConverse => distinct(documents, |key, value| {
            (key == "toolUse" && value.get("toolUseId").is_some()).then(String::new)
        }),
    }
}

fn results(api: Api, documents: &[Value]) -> u64 {
    match api {
        Api::AnthropicMessages => distinct(documents, |_, value| {
            text(value, "type")
                .ends_with("tool_result")
                .then(String::new)
        }),
        Api::OpenAiChat => {
            let messages = arrays(documents, "messages")
                .filter(|m| matches!(text(m, "role"), "tool" | "function"))
                .count();
            (messages + executed(documents)) as u64
        }
        Api::OpenAiResponses => {
            let outputs = distinct(documents, |key, value| {
                (text(value, "type").ends_with("_output") && (key.is_empty() || key == "item"))
                    .then(|| call_id(value))
            });
            let within = distinct(documents, |key, value| {
                let kind = text(value, "type");
                let filled = ["output", "outputs", "results", "error"]
                    .iter()
                    .any(|f| value.get(*f).is_some_and(|v| !v.is_null()));
                (kind.ends_with("_call") && filled && (key.is_empty() || key == "item"))
                    .then(|| call_id(value))
            });
            outputs + within
        }
        Api::GeminiGenerate => distinct(documents, |key, _| {
            matches!(
                key,
                "functionResponse" | "function_response" | "codeExecutionResult" | "toolResponse"
            )
            .then(String::new)
        }),
        Api::BedrockConverse => distinct(documents, |key, value| {
            (key == "toolResult" && value.get("toolUseId").is_some()).then(String::new)
        }),
    }
}

/// Groq's own tools: told when they start, and again with their output.
fn executed(documents: &[Value]) -> usize {
    arrays(documents, "executed_tools")
        .filter(|tool| tool.get("output").is_some_and(|output| !output.is_null()))
        .count()
}

fn call_id(value: &Value) -> String {
    let call = text(value, "call_id");
    if call.is_empty() {
        id(value)
    } else {
        call.to_owned()
    }
}

/// Items of every array field of this name.
fn arrays<'a>(documents: &'a [Value], name: &'a str) -> impl Iterator<Item = &'a Value> {
    let mut items = Vec::new();
    for document in documents {
        visit(document, &mut |key, value| {
            if key == name {
                items.extend(value.as_array().into_iter().flatten());
            }
        });
    }
    items.into_iter()
}
