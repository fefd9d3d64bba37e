//! A model's answer on its way into a view.

use crate::fingerprint::Message;
use crate::fragments::Room;
use crate::json::{Json, Kind};
use crate::limits::{ARGUMENT_BYTES, ENTRIES, EXCERPT_BYTES, OPEN_BYTES};
use crate::operation::Api;
use crate::parts::{Call, Output, Parts, Print};
use crate::text;
use crate::view::{ResponseView, ToolCallView};
use event::Usage;
use std::collections::BTreeMap;

/// Builds a [`ResponseView`] part by part.
#[derive(Debug)]
pub(crate) struct Answer {
    view: ResponseView,
    usage: Usage,
    choices: BTreeMap<u64, State>,
    /// Bytes of arguments in the view.
    held: usize,
    /// Room for what the format's reader holds open.
    pub(crate) room: Room,
    /// The event that ends the answer was seen.
    pub(crate) terminal: bool,
    /// The HTTP status was an error's.
    failed: bool,
    role: &'static str,
}

struct State {
    message: Message,
    any: bool,
    /// What the client will send back cannot be known: a part was of a streamed kind that the reader does not know, or was cut.
    opaque: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("any", &self.any)
            .field("opaque", &self.opaque)
            .finish_non_exhaustive()
    }
}

impl Answer {
    pub(crate) fn new(api: Api, failed: bool) -> Self {
        let mut view = ResponseView::default();
        api.as_str().clone_into(&mut view.gen_ai.api);
        let role = if api == Api::GeminiGenerate {
            "model"
        } else {
            "assistant"
        };
        Self {
            view,
            usage: Usage::default(),
            choices: BTreeMap::new(),
            held: 0,
            room: Room::default(),
            terminal: false,
            failed,
            role,
        }
    }

    /// The choice of this index, to be filled.
    pub(crate) fn choice(&mut self, index: u64) -> Choice<'_> {
        Choice {
            answer: self,
            index,
        }
    }

    pub(crate) fn id(&mut self, value: Option<Json<'_>>) {
        set_name(&mut self.view.gen_ai.response_id, value);
    }

    pub(crate) fn model(&mut self, value: Option<Json<'_>>) {
        set_name(&mut self.view.gen_ai.response_model, value);
    }

    pub(crate) fn finish_reason(&mut self, value: Option<Json<'_>>) {
        if let Some(reason) = value.and_then(Json::str) {
            self.finish_reason_text(&reason);
        }
    }

    pub(crate) fn finish_reason_text(&mut self, reason: &str) {
        // Some compatibles fill in an empty reason.
        if !reason.is_empty() && self.view.gen_ai.finish_reasons.len() < 64 {
            self.view.gen_ai.finish_reasons.push(text::name(reason));
        }
    }

    /// Reports of usage are cumulative and partial: each figure's last value counts.
    pub(crate) fn usage(&mut self, report: &Usage) {
        let update = |to: &mut Option<u64>, from: Option<u64>| *to = from.or(*to);
        update(&mut self.usage.input_tokens, report.input_tokens);
        update(&mut self.usage.output_tokens, report.output_tokens);
        update(
            &mut self.usage.cache_read_input_tokens,
            report.cache_read_input_tokens,
        );
        update(
            &mut self.usage.cache_creation_input_tokens,
            report.cache_creation_input_tokens,
        );
        update(
            &mut self.usage.reasoning_output_tokens,
            report.reasoning_output_tokens,
        );
    }

    /// An error, in a body or in mid-stream. The first one counts.
    pub(crate) fn error(&mut self, kind: &str) {
        let slot = if self.failed {
            &mut self.view.error
        } else {
            &mut self.view.stream_error
        };
        slot.get_or_insert_with(|| text::name(kind));
    }

    /// Whether an error was seen.
    pub(crate) const fn has_error(&self) -> bool {
        self.view.error.is_some() || self.view.stream_error.is_some()
    }

    /// Whether the HTTP status was an error's.
    pub(crate) const fn is_failed(&self) -> bool {
        self.failed
    }

    pub(crate) const fn count_event(&mut self) {
        self.view.events += 1;
    }

    pub(crate) const fn count_unknown(&mut self) {
        self.view.unknown += 1;
    }

    pub(crate) const fn sequence_holes(&mut self, missing: u64) {
        self.view.sequence_holes = self.view.sequence_holes.saturating_add(missing);
    }

    /// Something could not be read. The first problem counts.
    pub(crate) fn problem(&mut self, problem: String) {
        self.view.problem.get_or_insert(problem);
    }

    /// Ends the answer. `whole`: the body was a document that was read to its end.
    pub(crate) fn finish(mut self, whole: bool) -> ResponseView {
        self.view.terminated = self.terminal || whole;
        if self.usage != Usage::default() {
            self.view.gen_ai.usage = Some(self.usage);
        }
        self.view.gen_ai.reasoning_bytes =
            (self.view.reasoning_bytes > 0).then_some(self.view.reasoning_bytes);
        self.view.gen_ai.unknown = (self.view.unknown > 0).then_some(self.view.unknown);
        let mut choices = self.choices.into_iter().map(|(index, state)| {
            let sent_back = state.any && !state.opaque;
            (index, sent_back.then(|| state.message.finish()))
        });
        if let Some((0, first)) = choices.next() {
            self.view.message = first;
        }
        self.view.alternatives = choices.filter_map(|(_, message)| message).collect();
        self.view
    }
}

fn set_name(slot: &mut Option<String>, value: Option<Json<'_>>) {
    if let Some(name) = value.and_then(Json::str)
        && !name.is_empty()
    {
        *slot = Some(text::name(&name));
    }
}

/// One choice of an answer.
pub(crate) struct Choice<'a> {
    answer: &'a mut Answer,
    index: u64,
}

impl Choice<'_> {
    /// What the client will send back cannot be known any more.
    pub(crate) fn opaque(&mut self) {
        if let Some(state) = self.state() {
            state.opaque = true;
        }
    }

    fn state(&mut self) -> Option<&mut State> {
        let answer = &mut *self.answer;
        if !answer.choices.contains_key(&self.index) && answer.choices.len() >= ENTRIES {
            answer.view.unknown += 1;
            return None;
        }
        let role = answer.role;
        Some(answer.choices.entry(self.index).or_insert_with(|| State {
            message: Message::new(role),
            any: false,
            opaque: false,
        }))
    }

    fn message(&mut self, fill: impl FnOnce(&mut Message)) {
        if let Some(state) = self.state() {
            state.any = true;
            fill(&mut state.message);
        }
    }
}

impl Parts for Choice<'_> {
    fn text(&mut self, text: &str) {
        self.message(|message| message.text(text));
        let view = &mut self.answer.view;
        view.text_bytes += text.len() as u64;
        text::append(&mut view.text, text, EXCERPT_BYTES);
    }

    fn reasoning(&mut self, bytes: usize) {
        self.answer.view.reasoning_bytes += bytes as u64;
    }

    fn call(&mut self, call: Call<'_>) {
        if call.print != Print::Absent {
            let id = call.id.as_deref().filter(|_| call.print == Print::Whole);
            let digest = call.arguments.digest();
            self.message(|message| message.call(id, &call.name, digest));
        }
        if let Some(id) = call.id.as_deref() {
            self.message(|message| message.note_call(id));
        }
        let choice = self.index;
        let answer = &mut *self.answer;
        if answer.view.tool_calls.len() >= ENTRIES {
            answer.problem(format!("only the first {ENTRIES} tool calls are in view"));
            return;
        }
        let arguments = call.arguments.text();
        let room = ARGUMENT_BYTES.min(OPEN_BYTES.saturating_sub(answer.held));
        let kept = text::prefix(arguments, room);
        answer.held += kept.len();
        answer.view.tool_calls.push(ToolCallView {
            name: text::name(&call.name),
            id: call.id.as_deref().map(text::name),
            arguments: kept.to_owned(),
            arguments_bytes: call.arguments.bytes(),
            complete: call.complete,
            provider_executed: call.provider_executed,
            kind: text::name(&call.kind),
            choice,
        });
    }

    fn result(&mut self, output: Output<'_>) {
        if output.print != Print::Absent {
            let key = match output.print {
                Print::Whole => output.id.as_deref(),
                _ => output.name.as_deref(),
            };
            self.message(|message| {
                message.result(key, output.is_error == Some(true), output.digest)
            });
        }
        if let Some(id) = output.id.as_deref() {
            self.message(|message| message.note_result(id));
        }
        let answer = &mut *self.answer;
        if answer.view.tool_results.len() < ENTRIES {
            answer.view.tool_results.push(output.view(0));
        } else {
            answer.problem(format!("only the first {ENTRIES} tool results are in view"));
        }
    }

    fn other(&mut self, tag: &str, value: Json<'_>) {
        self.message(|message| message.json(tag, value));
    }

    fn unknown(&mut self, tag: &str, value: Json<'_>) {
        self.answer.view.unknown += 1;
        self.message(|message| message.json(tag, value));
    }
}

/// The provider's word for an error: the type of `{"error": {...}}` in any of the shapes in use. `None` where a document is no error.
pub(crate) fn error_type(document: Json<'_>) -> Option<String> {
    let error = document.get("error").filter(|error| !error.is_null());
    let Some(error) = error else {
        // Mistral and Bedrock put the fields at the top.
        let stated = document
            .get_str("object")
            .is_some_and(|object| object == "error")
            || document.get_str("type").is_some_and(|kind| kind == "error");
        let named = document.get_str("__type");
        return match named {
            Some(name) => Some(name.into_owned()),
            None => stated.then(|| word(document).unwrap_or_else(|| "error".to_owned())),
        };
    };
    if error.kind() == Kind::String {
        return error.str().map(|text| {
            if is_word(&text) {
                text.into_owned()
            } else {
                "error".to_owned()
            }
        });
    }
    Some(word(error).unwrap_or_else(|| "error".to_owned()))
}

/// The most telling of the fields that name an error.
pub(crate) fn word(error: Json<'_>) -> Option<String> {
    ["type", "status", "code"].into_iter().find_map(|key| {
        let value = error.get(key)?;
        match value.kind() {
            Kind::Number => Some(value.raw().to_owned()),
            Kind::String => value
                .str()
                .filter(|text| is_word(text) && text != "error")
                .map(|text| text.into_owned()),
            _ => None,
        }
    })
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 128
        && text.bytes().all(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':' | b'#' | b'/')
        })
}
