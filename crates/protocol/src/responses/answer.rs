//! The answer to `POST /v1/responses`, whole or as a stream of numbered events.

use super::item;
use crate::answer::{Answer, Fragments, error_type, word};
use crate::json::Json;
use crate::limits::ENTRIES;
use crate::parts::{Arguments, Call, Parts as _, Print};
use event::Usage;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Reads the events of one answer.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    last_sequence: Option<u64>,
    /// Items that began and are not done, by output index.
    open: BTreeMap<u64, Open>,
    /// Items that were told in full.
    items: u64,
}

/// An item of which only fragments have come.
#[derive(Debug, Default)]
struct Open {
    kind: String,
    fragments: Fragments,
    text: String,
    reasoning: usize,
}

impl Reader {
    /// A whole answer.
    pub(crate) fn document(document: Json<'_>, answer: &mut Answer) {
        head(document, answer);
        output(document, answer);
        outcome(document, answer);
    }

    /// One event of a stream.
    pub(crate) fn event(&mut self, name: &str, data: Json<'_>, answer: &mut Answer) {
        let kind = data.get_str("type").unwrap_or(Cow::Borrowed(name));
        self.number(data, answer);
        match &*kind {
            "response.created" | "response.in_progress" | "response.queued" => {
                if let Some(response) = data.get("response") {
                    head(response, answer);
                }
            }
            "response.completed"
            | "response.incomplete"
            | "response.failed"
            | "response.cancelled"
            | "response.done" => {
                answer.terminal = true;
                if let Some(response) = data.get("response") {
                    self.last(response, answer);
                }
            }
            "error" => {
                answer.terminal = true;
                let kind = error_type(data)
                    .filter(|kind| kind != "error")
                    .or_else(|| word(data));
                answer.error(&kind.unwrap_or_else(|| "error".to_owned()));
            }
            "response.output_item.added" => self.added(data),
            "response.output_item.done" => self.done(data, answer),
            _ => self.fragment(&kind, data, answer),
        }
    }

    /// Ends the stream: of items that were never done, what has come is told, as incomplete.
    pub(crate) fn finish(&mut self, answer: &mut Answer) {
        for open in std::mem::take(&mut self.open).into_values() {
            let mut choice = answer.choice(0);
            choice.reasoning(open.reasoning);
            if !open.text.is_empty() {
                choice.text(&open.text);
            }
            if open.kind.ends_with("_call") {
                choice.call(Call {
                    id: Some(Cow::Owned(open.fragments.id)),
                    name: Cow::Owned(open.fragments.name),
                    arguments: Arguments::Text(Cow::Owned(open.fragments.arguments)),
                    provider_executed: !matches!(
                        open.kind.as_str(),
                        "function_call" | "custom_tool_call"
                    ),
                    kind: Cow::Owned(open.kind),
                    complete: false,
                    print: Print::Whole,
                });
            }
        }
    }

    /// Counts what is missing between two sequence numbers. A stream may begin anywhere (`starting_after`).
    fn number(&mut self, data: Json<'_>, answer: &mut Answer) {
        let Some(number) = data.get("sequence_number").and_then(Json::u64) else {
            return;
        };
        if let Some(last) = self.last_sequence {
            answer.sequence_holes(number.saturating_sub(last).saturating_sub(1));
        }
        self.last_sequence = Some(self.last_sequence.map_or(number, |last| last.max(number)));
    }

    /// The last event repeats the whole answer: it decides on head, usage and outcome, and on items where none were told before.
    fn last(&mut self, response: Json<'_>, answer: &mut Answer) {
        head(response, answer);
        if self.items == 0
            && response
                .get("output")
                .is_some_and(|output| output.items().next().is_some())
        {
            self.open.clear();
            output(response, answer);
        }
        outcome(response, answer);
    }

    fn added(&mut self, data: Json<'_>) {
        let Some(item) = data.get("item").filter(|_| self.open.len() < ENTRIES) else {
            return;
        };
        let kind = item::kind(item).into_owned();
        let text = |field: &str| item.get_str(field).unwrap_or_default().into_owned();
        let id = item
            .get_str("call_id")
            .filter(|id| !id.is_empty())
            .or_else(|| item.get_str("id"))
            .unwrap_or_default()
            .into_owned();
        let name = item.get_str("name").map_or_else(
            || kind.trim_end_matches("_call").to_owned(),
            Cow::into_owned,
        );
        let mut open = Open {
            fragments: Fragments {
                id,
                name,
                ..Fragments::default()
            },
            ..Open::default()
        };
        open.fragments.push(&text("arguments"));
        open.kind = kind;
        self.open.insert(index(data), open);
    }

    fn done(&mut self, data: Json<'_>, answer: &mut Answer) {
        self.open.remove(&index(data));
        self.items += 1;
        if let Some(item) = data.get("item") {
            item::read(item, &item::kind(item), true, &mut answer.choice(0));
        }
    }

    /// Fragments matter only where the stream breaks before their item is done.
    fn fragment(&mut self, kind: &str, data: Json<'_>, answer: &mut Answer) {
        if !is_known(kind) {
            answer.count_unknown();
            return;
        }
        let Some(open) = self.open.get_mut(&index(data)) else {
            return;
        };
        let Some(delta) = data.get("delta") else {
            return;
        };
        let Some(delta) = delta.str() else { return };
        if kind.contains("arguments")
            || kind.contains("tool_call_input")
            || kind.contains("_call_code")
        {
            open.fragments.push(&delta);
        } else if kind.contains("reasoning") {
            open.reasoning += delta.len();
        } else if kind.contains("output_text") || kind.contains("refusal") {
            crate::text::append(&mut open.text, &delta, crate::limits::ARGUMENT_BYTES);
        }
    }
}

fn index(data: Json<'_>) -> u64 {
    data.get("output_index")
        .and_then(Json::u64)
        .unwrap_or_default()
}

/// Families of events that tell of progress, by what follows `response.`.
const FAMILIES: &[&str] = &[
    "content_part.",
    "output_text.",
    "text.",
    "refusal.",
    "reasoning",
    "function_call_arguments.",
    "custom_tool_call_input.",
    "mcp_call",
    "mcp_list_tools.",
    "web_search_call.",
    "file_search_call.",
    "code_interpreter_call",
    "image_generation_call.",
    "shell_call",
    "local_shell_call",
    "apply_patch_call",
    "computer_call",
    "tool_search_call",
    "audio",
    "output_audio",
    "rate_limits.",
];

fn is_known(kind: &str) -> bool {
    let progress = kind.strip_prefix("response.");
    progress.is_some_and(|rest| FAMILIES.iter().any(|family| rest.starts_with(family)))
        || kind == "keepalive"
}

fn head(response: Json<'_>, answer: &mut Answer) {
    answer.id(response.get("id"));
    answer.model(response.get("model"));
    let Some(usage) = response.get("usage").filter(|usage| !usage.is_null()) else {
        return;
    };
    let number = |field: &str| usage.get(field).and_then(Json::u64);
    // Realtime spells the groups in the singular.
    let detail = |groups: [&str; 2], field: &str| {
        let group = groups.into_iter().find_map(|group| usage.get(group))?;
        group.get(field).and_then(Json::u64)
    };
    let input = ["input_tokens_details", "input_token_details"];
    let output = ["output_tokens_details", "output_token_details"];
    answer.usage(&Usage {
        input_tokens: number("input_tokens"),
        output_tokens: number("output_tokens"),
        cache_read_input_tokens: detail(input, "cached_tokens"),
        cache_creation_input_tokens: detail(input, "cache_write_tokens"),
        reasoning_output_tokens: detail(output, "reasoning_tokens"),
    });
}

fn output(response: Json<'_>, answer: &mut Answer) {
    let compacted = response
        .get_str("object")
        .is_some_and(|object| object == "response.compaction");
    for item in response.get("output").into_iter().flat_map(Json::items) {
        item::read(item, &item::kind(item), true, &mut answer.choice(0));
    }
    if compacted {
        // What comes back is a rewritten history, not the model's next message.
        answer.choice(0).opaque();
    }
}

fn outcome(response: Json<'_>, answer: &mut Answer) {
    let status = response.get_str("status").unwrap_or_default();
    let error = response.get("error").filter(|error| !error.is_null());
    if let Some(error) = error {
        answer.error(
            &["code", "type"]
                .into_iter()
                .find_map(|key| error.get_str(key))
                .unwrap_or(Cow::Borrowed("error")),
        );
    } else if status == "failed" {
        answer.error("failed");
    }
    let reason = response
        .get("incomplete_details")
        .and_then(|details| details.get_str("reason"));
    match reason {
        Some(reason) => answer.finish_reason_text(&reason),
        None if !status.is_empty() => answer.finish_reason_text(&status),
        None => {}
    }
}
