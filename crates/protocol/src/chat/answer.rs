//! The answer to `POST /v1/chat/completions`, whole or as a stream of chunks that ends with `[DONE]`.

use super::{Message, executed};
use crate::answer::{Answer, error_type};
use crate::fragments::{Fragments, Room};
use crate::json::Json;
use crate::limits::ENTRIES;
use crate::parts::{Call, Parts as _, Print};
use crate::text;
use event::Usage;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Reads the chunks of one answer.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// Tool calls whose arguments are still coming, by choice and position.
    calls: BTreeMap<(u64, u64), Partial>,
    /// Where the last call of a choice stands that the wire gave this index: sloppy providers give several the same.
    latest: BTreeMap<(u64, u64), u64>,
    /// Choices seen, and those whose finish reason was.
    seen: BTreeSet<u64>,
    finished: BTreeSet<u64>,
    /// Choices whose sound was told.
    heard: BTreeSet<u64>,
}

#[derive(Debug)]
struct Partial {
    kind: String,
    fragments: Fragments,
}

/// Position of the legacy `function_call` of a choice.
const FUNCTION_CALL: u64 = u64::MAX;

impl Reader {
    /// A whole answer.
    pub(crate) fn document(document: Json<'_>, answer: &mut Answer) {
        if let Some(kind) = error_type(document) {
            answer.error(&kind);
        }
        head(document, answer);
        for value in document.get("choices").into_iter().flat_map(Json::items) {
            let index = value.get("index").and_then(Json::u64).unwrap_or_default();
            let mut choice = answer.choice(index);
            if let Some(message) = value.get("message") {
                let message = Message::read(message);
                message.said(&mut choice);
                message.called(&mut choice);
                for tool in message.executed_tools.into_iter().flat_map(Json::items) {
                    executed(tool, &mut choice);
                }
            }
            answer.finish_reason(value.get("finish_reason"));
        }
    }

    /// The event `[DONE]`.
    pub(crate) const fn done(answer: &mut Answer) {
        answer.terminal = true;
    }

    /// One chunk.
    pub(crate) fn event(&mut self, chunk: Json<'_>, answer: &mut Answer) {
        if let Some(kind) = error_type(chunk) {
            answer.error(&kind);
        }
        head(chunk, answer);
        for value in chunk.get("choices").into_iter().flat_map(Json::items) {
            let index = value.get("index").and_then(Json::u64).unwrap_or_default();
            if self.seen.len() < ENTRIES {
                self.seen.insert(index);
            }
            // Some compatibles send a whole message in place of a delta.
            if let Some(delta) = value
                .get("delta")
                .filter(|delta| !delta.is_null())
                .or_else(|| value.get("message"))
            {
                self.delta(index, delta, answer);
            }
            if let Some(reason) = value
                .get("finish_reason")
                .filter(|reason| !reason.is_null())
            {
                // Mistral and others repeat it; a choice ends once.
                if self.finished.len() < ENTRIES && self.finished.insert(index) {
                    answer.finish_reason(Some(reason));
                }
            }
        }
    }

    /// Whether every choice that was seen has its finish reason.
    pub(crate) fn all_finished(&self) -> bool {
        !self.seen.is_empty() && self.seen.is_subset(&self.finished)
    }

    /// Ends the stream. Calls of a choice without a finish reason are incomplete.
    pub(crate) fn finish(&mut self, answer: &mut Answer) {
        for ((index, _), partial) in std::mem::take(&mut self.calls) {
            let cut = partial.fragments.is_cut();
            let (id, name, arguments) = partial.fragments.close(&mut answer.room);
            let mut choice = answer.choice(index);
            if cut {
                choice.opaque();
            }
            choice.call(Call {
                id: (!id.is_empty()).then_some(Cow::Owned(id)),
                name: Cow::Owned(name),
                arguments,
                kind: Cow::Owned(partial.kind),
                provider_executed: false,
                complete: self.finished.contains(&index),
                print: Print::Whole,
            });
        }
    }

    fn delta(&mut self, index: u64, delta: Json<'_>, answer: &mut Answer) {
        let mut message = Message::read(delta);
        // Its pieces may all name it.
        if message.audio.is_some() && (self.heard.len() >= ENTRIES || !self.heard.insert(index)) {
            message.audio = None;
        }
        message.said(&mut answer.choice(index));
        for value in message.tool_calls.into_iter().flat_map(Json::items) {
            self.tool_call(index, value, answer);
        }
        if let Some(value) = message.function_call
            && self.has_place((index, FUNCTION_CALL), answer)
        {
            let partial = self
                .calls
                .entry((index, FUNCTION_CALL))
                .or_insert_with(|| Partial {
                    kind: "function_call".to_owned(),
                    fragments: Fragments::default(),
                });
            extend(&mut partial.fragments, value, &mut answer.room);
        }
        for tool in message.executed_tools.into_iter().flat_map(Json::items) {
            // A tool is announced when it starts and told again with its output.
            if tool.get("output").is_some_and(|output| !output.is_null()) {
                executed(tool, &mut answer.choice(index));
            }
        }
    }

    fn tool_call(&mut self, choice: u64, value: Json<'_>, answer: &mut Answer) {
        let wire_index = value.get("index").and_then(Json::u64);
        let id = value.get_str("id").unwrap_or_default();
        let position = self.position(choice, wire_index, &id);
        if !self.has_place((choice, position), answer) {
            return;
        }
        let partial = self
            .calls
            .entry((choice, position))
            .or_insert_with(|| Partial {
                kind: text::name(&value.get_str("type").unwrap_or(Cow::Borrowed("function"))),
                fragments: Fragments::default(),
            });
        if let Some(wire_index) = wire_index {
            self.latest.insert((choice, wire_index), position);
        }
        partial.fragments.identify(&mut answer.room, &id);
        if let Some(function) = value.get("function").or_else(|| value.get("custom")) {
            extend(&mut partial.fragments, function, &mut answer.room);
        }
    }

    /// Whether this call is one of those that are followed, or may become one.
    fn has_place(&self, key: (u64, u64), answer: &mut Answer) -> bool {
        let place = self.calls.len() < ENTRIES || self.calls.contains_key(&key);
        if !place {
            answer.problem(format!("only the first {ENTRIES} tool calls are in view"));
        }
        place
    }

    /// Which call a fragment continues: the last one with its index, unless it brings another id (Gemini's
    /// compatible endpoint gives every parallel call the index 0); without an index, the last one.
    fn position(&self, choice: u64, wire_index: Option<u64>, id: &str) -> u64 {
        let mut of_choice = self.calls.range((choice, 0)..(choice, FUNCTION_CALL));
        let last = of_choice.next_back().map(|((_, position), _)| *position);
        let next = last.map_or(0, |last| last + 1);
        let same = match wire_index {
            Some(wire_index) => self.latest.get(&(choice, wire_index)).copied(),
            None => last,
        };
        let known = same
            .and_then(|position| self.calls.get(&(choice, position)))
            .map_or("", |partial| &partial.fragments.id);
        if id.is_empty() || known.is_empty() || known == id {
            same.unwrap_or(next)
        } else {
            next
        }
    }
}

/// Adds what a fragment of a function brings.
fn extend(fragments: &mut Fragments, function: Json<'_>, room: &mut Room) {
    fragments.entitle(room, &function.get_str("name").unwrap_or_default());
    let Some(arguments) = function.get("arguments").or_else(|| function.get("input")) else {
        return;
    };
    match arguments.str() {
        Some(text) => fragments.push(room, &text),
        // Ollama's habit: the arguments as an object, whole.
        None if !arguments.is_null() => fragments.push(room, arguments.raw()),
        None => {}
    }
}

/// What a whole answer and a chunk both carry at the top.
fn head(document: Json<'_>, answer: &mut Answer) {
    answer.id(document.get("id"));
    answer.model(document.get("model"));
    // Groq and Moonshot have places of their own for it.
    let report = stated(document)
        .or_else(|| document.get("x_groq").and_then(stated))
        .or_else(|| document.get("choices")?.items().find_map(stated));
    if let Some(report) = report {
        usage(report, answer);
    }
}

/// The report of usage that this object carries.
fn stated<'a>(holder: Json<'a>) -> Option<Json<'a>> {
    holder.get("usage").filter(|usage| !usage.is_null())
}

fn usage(usage: Json<'_>, answer: &mut Answer) {
    let number = |field: &str| usage.get(field).and_then(Json::u64);
    let detail = |group: &str, field: &str| {
        usage
            .get(group)
            .and_then(|group| group.get(field))
            .and_then(Json::u64)
    };
    answer.usage(&Usage {
        input_tokens: number("prompt_tokens"),
        output_tokens: number("completion_tokens"),
        cache_read_input_tokens: detail("prompt_tokens_details", "cached_tokens")
            .or_else(|| number("prompt_cache_hit_tokens")),
        cache_creation_input_tokens: detail("prompt_tokens_details", "cache_write_tokens"),
        reasoning_output_tokens: detail("completion_tokens_details", "reasoning_tokens"),
    });
}
