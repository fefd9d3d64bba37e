//! The answer to `POST /v1/responses`, whole or as a stream of numbered events.

use super::item::{self, By};
use crate::answer::{Answer, error_type, word};
use crate::fragments::{Fragments, Room};
use crate::json::Json;
use crate::limits::{ARGUMENT_BYTES, ENTRIES};
use crate::parts::{Call, Parts as _};
use crate::text;
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
#[derive(Debug)]
struct Open {
    kind: String,
    /// Whether it is a call that the provider executes.
    provider: bool,
    fragments: Fragments,
    text: String,
    reasoning: usize,
}

impl Open {
    /// The item as it began.
    fn new(item: Json<'_>, room: &mut Room) -> Self {
        let kind = item::kind(item);
        let begun = item::call(item, &kind);
        let mut fragments =
            Fragments::new(room, begun.id.as_deref().unwrap_or_default(), &begun.name);
        fragments.push(room, begun.arguments.text());
        Self {
            provider: begun.provider_executed,
            fragments,
            text: String::new(),
            reasoning: 0,
            kind: text::name(&kind),
        }
    }

    /// Ends the item. `told`: what has come of it, as far as nobody else tells it.
    fn close(self, told: bool, answer: &mut Answer) {
        answer.room.release(self.text.len());
        let cut = self.fragments.is_cut();
        let (id, name, arguments) = self.fragments.close(&mut answer.room);
        if !told {
            return;
        }
        let mut choice = answer.choice(0);
        choice.reasoning(self.reasoning);
        if !self.text.is_empty() {
            choice.text(&self.text);
        }
        if !item::is_call(&self.kind) {
            return;
        }
        if cut {
            choice.opaque();
        }
        choice.call(Call {
            id: Some(Cow::Owned(id)),
            name: Cow::Owned(name),
            arguments,
            provider_executed: self.provider,
            print: item::call_print(&self.kind, self.provider),
            kind: Cow::Owned(self.kind),
            complete: false,
        });
    }
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
        // An error in mid-stream comes from beside the stream, with whatever number it has there.
        if kind != "error" {
            self.number(data, answer);
        }
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
            "response.output_item.added" => self.added(data, answer),
            "response.output_item.done" => self.done(data, answer),
            _ => self.fragment(&kind, data, answer),
        }
    }

    /// Ends the stream: of items that were never done, what has come is told, as incomplete.
    pub(crate) fn finish(&mut self, answer: &mut Answer) {
        self.close_all(true, answer);
    }

    fn close_all(&mut self, told: bool, answer: &mut Answer) {
        for open in std::mem::take(&mut self.open).into_values() {
            open.close(told, answer);
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
            self.close_all(false, answer);
            output(response, answer);
        }
        outcome(response, answer);
    }

    fn added(&mut self, data: Json<'_>, answer: &mut Answer) {
        let index = index(data);
        let item = data
            .get("item")
            .filter(|_| self.open.len() < ENTRIES || self.open.contains_key(&index));
        let Some(item) = item else { return };
        let open = Open::new(item, &mut answer.room);
        // Compatibles that number every item 0 tell each of them in full when it is done.
        if let Some(before) = self.open.insert(index, open) {
            before.close(false, answer);
        }
    }

    fn done(&mut self, data: Json<'_>, answer: &mut Answer) {
        if let Some(open) = self.open.remove(&index(data)) {
            open.close(false, answer);
        }
        self.items += 1;
        if let Some(item) = data.get("item") {
            item::read(item, &item::kind(item), By::Provider, &mut answer.choice(0));
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
            open.fragments.push(&mut answer.room, &delta);
        } else if kind.contains("reasoning") {
            open.reasoning += delta.len();
        } else if kind.contains("output_text") || kind.contains("refusal") {
            let room = ARGUMENT_BYTES.saturating_sub(open.text.len());
            answer
                .room
                .append(&mut open.text, text::prefix(&delta, room));
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
    "compaction.",
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
        item::read(item, &item::kind(item), By::Provider, &mut answer.choice(0));
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
