//! The answer, whole or as a stream of binary frames.

use super::{block, is_server, reasoning_bytes};
use crate::answer::{Answer, error_type};
use crate::fragments::Fragments;
use crate::json::Json;
use crate::limits::ENTRIES;
use crate::parts::{Call, Parts as _, Print};
use crate::text;
use event::Usage;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Reads the events of one answer.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// Tool calls whose input is still coming, by block index, and whether the provider runs them.
    calls: BTreeMap<u64, (bool, Fragments)>,
    /// Blocks that are tool results of the provider, by index.
    results: BTreeMap<u64, (String, String)>,
}

impl Reader {
    /// A whole answer.
    pub(crate) fn document(document: Json<'_>, answer: &mut Answer) {
        if let Some(kind) = error_type(document) {
            answer.error(&kind);
        }
        usage(document, answer);
        answer.finish_reason(document.get("stopReason"));
        let message = document
            .get("output")
            .and_then(|output| output.get("message"));
        let content = message.and_then(|message| message.get("content"));
        for value in content.into_iter().flat_map(Json::items) {
            block(value, &mut answer.choice(0));
        }
    }

    /// One event of a stream, by its frame's name.
    pub(crate) fn event(&mut self, name: &str, data: Json<'_>, answer: &mut Answer) {
        let index = data
            .get("contentBlockIndex")
            .and_then(Json::u64)
            .unwrap_or_default();
        match name {
            "messageStart" => {}
            "contentBlockStart" => {
                if let Some(start) = data.get("start") {
                    self.start(index, start, answer);
                }
            }
            "contentBlockDelta" => {
                if let Some(delta) = data.get("delta") {
                    self.delta(index, delta, answer);
                }
            }
            "contentBlockStop" => self.stop(index, true, answer),
            "messageStop" => {
                answer.finish_reason(data.get("stopReason"));
                answer.terminal = true;
            }
            "metadata" => usage(data, answer),
            _ => answer.count_unknown(),
        }
    }

    /// Ends the stream: calls whose block never stopped are incomplete.
    pub(crate) fn finish(&mut self, answer: &mut Answer) {
        let open: Vec<_> = self
            .calls
            .keys()
            .chain(self.results.keys())
            .copied()
            .collect();
        for index in open {
            self.stop(index, false, answer);
        }
    }

    fn start(&mut self, index: u64, start: Json<'_>, answer: &mut Answer) {
        if let Some(tool) = start.get("toolUse").filter(|_| self.calls.len() < ENTRIES) {
            // A block that begins where another never ended.
            self.stop(index, false, answer);
            let text = |field: &str| tool.get_str(field).unwrap_or_default();
            let fragments = Fragments::new(&mut answer.room, &text("toolUseId"), &text("name"));
            self.calls
                .insert(index, (is_server(tool, "server_tool_use"), fragments));
        } else if let Some(result) = start
            .get("toolResult")
            .filter(|_| self.results.len() < ENTRIES)
        {
            let short = |field: &str| text::name(&result.get_str(field).unwrap_or_default());
            self.results
                .insert(index, (short("toolUseId"), short("status")));
        } else {
            answer.count_unknown();
        }
    }

    fn delta(&mut self, index: u64, delta: Json<'_>, answer: &mut Answer) {
        if let Some(text) = delta.get_str("text") {
            answer.choice(0).text(&text);
        } else if let Some(tool) = delta.get("toolUse") {
            if let Some((_, fragments)) = self.calls.get_mut(&index) {
                let input = tool.get_str("input").unwrap_or_default();
                fragments.push(&mut answer.room, &input);
            }
        } else if let Some(reasoning) = delta.get("reasoningContent") {
            answer.choice(0).reasoning(reasoning_bytes(reasoning));
        } else if delta.get("citation").is_none() && delta.get("toolResult").is_none() {
            answer.count_unknown();
        }
    }

    fn stop(&mut self, index: u64, complete: bool, answer: &mut Answer) {
        if let Some((provider_executed, fragments)) = self.calls.remove(&index) {
            let cut = fragments.is_cut();
            let (id, name, arguments) = fragments.close(&mut answer.room);
            let mut choice = answer.choice(0);
            if cut {
                choice.opaque();
            }
            choice.call(Call {
                id: Some(Cow::Owned(id)),
                name: Cow::Owned(name),
                arguments,
                kind: Cow::Borrowed("toolUse"),
                provider_executed,
                complete,
                print: Print::Whole,
            });
        }
        if let Some((id, status)) = self.results.remove(&index) {
            let mut choice = answer.choice(0);
            // Its content came in fragments that are not followed: what the client sends back is not known.
            choice.opaque();
            choice.result(crate::parts::Output {
                id: Some(Cow::Owned(id)),
                name: None,
                is_error: Some(status == "error"),
                digest: crate::parts::content_digest(None),
                bytes: 0,
                provider_executed: true,
                print: Print::Whole,
            });
        }
    }
}

fn usage(document: Json<'_>, answer: &mut Answer) {
    let Some(usage) = document.get("usage") else {
        return;
    };
    let number = |field: &str| usage.get(field).and_then(Json::u64);
    answer.usage(&Usage {
        input_tokens: number("inputTokens"),
        output_tokens: number("outputTokens"),
        cache_read_input_tokens: number("cacheReadInputTokens")
            .or_else(|| number("cacheReadInputTokenCount")),
        cache_creation_input_tokens: number("cacheWriteInputTokens")
            .or_else(|| number("cacheWriteInputTokenCount")),
        reasoning_output_tokens: None,
    });
}
