//! The answer to `POST /v1/messages`, whole or as a stream of typed events.

use super::{block, content, is_call, is_result};
use crate::answer::{Answer, error_type};
use crate::fragments::Fragments;
use crate::json::Json;
use crate::limits::ENTRIES;
use crate::parts::{Arguments, Call, Parts as _, Print};
use crate::text;
use event::Usage;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Reads the events of one answer.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// Tool calls whose input is still coming, by block index.
    calls: BTreeMap<u64, (String, Fragments)>,
}

impl Reader {
    /// A whole answer.
    pub(crate) fn document(document: Json<'_>, answer: &mut Answer) {
        if let Some(kind) = error_type(document) {
            answer.error(&kind);
            return;
        }
        message(document, answer);
        answer.finish_reason(document.get("stop_reason"));
    }

    /// One event of a stream; `name` is the SSE event name, equal to `data.type` where both are there.
    pub(crate) fn event(&mut self, name: &str, data: Json<'_>, answer: &mut Answer) {
        let kind = data.get_str("type").unwrap_or(Cow::Borrowed(name));
        let index = data.get("index").and_then(Json::u64).unwrap_or_default();
        match &*kind {
            "message_start" => {
                if let Some(value) = data.get("message") {
                    message(value, answer);
                }
            }
            "content_block_start" => {
                if let Some(value) = data.get("content_block") {
                    self.start(index, value, answer);
                }
            }
            "content_block_delta" => {
                if let Some(delta) = data.get("delta") {
                    self.delta(index, delta, answer);
                }
            }
            "content_block_stop" => self.stop(index, true, answer),
            "message_delta" => {
                answer.finish_reason(data.get("delta").and_then(|delta| delta.get("stop_reason")));
                usage(data, answer);
            }
            "message_stop" => answer.terminal = true,
            "ping" => {}
            "error" => {
                answer.error(&error_type(data).unwrap_or_else(|| "error".to_owned()));
            }
            _ => answer.count_unknown(),
        }
    }

    /// Ends the stream: calls whose block never stopped are incomplete.
    pub(crate) fn finish(&mut self, answer: &mut Answer) {
        while let Some((&index, _)) = self.calls.first_key_value() {
            self.stop(index, false, answer);
        }
    }

    fn start(&mut self, index: u64, value: Json<'_>, answer: &mut Answer) {
        let kind = value.get_str("type").unwrap_or_default();
        let text = |field: &str| value.get_str(field).unwrap_or_default();
        if is_call(&kind) && self.calls.len() < ENTRIES {
            // A block that begins where another never ended.
            self.stop(index, false, answer);
            let mut fragments = Fragments::new(&mut answer.room, &text("id"), &text("name"));
            // Input that is there at the start is whole: no fragments follow.
            if let Some(input) = value
                .get("input")
                .filter(|input| input.fields().next().is_some())
            {
                fragments.push(&mut answer.room, input.raw());
            }
            self.calls.insert(index, (text::name(&kind), fragments));
            return;
        }
        let known = matches!(
            &*kind,
            "text"
                | "thinking"
                | "redacted_thinking"
                | "container_upload"
                | "fallback"
                | "mcp_tool_listing"
        ) || is_result(&kind);
        let mut choice = answer.choice(0);
        block(value, &mut choice);
        if !known {
            // Deltas of a block that the reader does not know: what it will be when sent back, nobody can tell.
            choice.opaque();
        }
    }

    fn delta(&mut self, index: u64, delta: Json<'_>, answer: &mut Answer) {
        let text = |field: &str| delta.get_str(field).unwrap_or_default();
        match &*text("type") {
            "text_delta" => answer.choice(0).text(&text("text")),
            "thinking_delta" => answer.choice(0).reasoning(text("thinking").len()),
            "input_json_delta" => {
                if let Some((_, fragments)) = self.calls.get_mut(&index) {
                    fragments.push(&mut answer.room, &text("partial_json"));
                }
            }
            "signature_delta" | "citations_delta" | "compaction_delta" => {}
            _ => answer.count_unknown(),
        }
    }

    fn stop(&mut self, index: u64, complete: bool, answer: &mut Answer) {
        let Some((kind, fragments)) = self.calls.remove(&index) else {
            return;
        };
        let (cut, bare) = (fragments.is_cut(), fragments.is_bare());
        let (id, name, arguments) = fragments.close(&mut answer.room);
        let mut choice = answer.choice(0);
        if cut {
            choice.opaque();
        }
        choice.call(Call {
            id: Some(Cow::Owned(id)),
            name: Cow::Owned(name),
            arguments: if bare && complete {
                Arguments::Text(Cow::Borrowed("{}"))
            } else {
                arguments
            },
            provider_executed: kind != "tool_use",
            kind: Cow::Owned(kind),
            complete,
            print: Print::Whole,
        });
    }
}

/// The message object, whole or as a stream opens it.
fn message(value: Json<'_>, answer: &mut Answer) {
    answer.id(value.get("id"));
    answer.model(value.get("model"));
    usage(value, answer);
    if let Some(blocks) = value.get("content") {
        content(blocks, &mut answer.choice(0));
    }
}

fn usage(holder: Json<'_>, answer: &mut Answer) {
    let Some(usage) = holder.get("usage") else {
        return;
    };
    let number = |field: &str| usage.get(field).and_then(Json::u64);
    let details = usage.get("output_tokens_details");
    answer.usage(&Usage {
        input_tokens: number("input_tokens"),
        output_tokens: number("output_tokens"),
        cache_read_input_tokens: number("cache_read_input_tokens"),
        cache_creation_input_tokens: number("cache_creation_input_tokens"),
        reasoning_output_tokens: details
            .and_then(|details| {
                details
                    .get("thinking_tokens")
                    .or_else(|| details.get("reasoning_tokens"))
            })
            .and_then(Json::u64),
    });
}
