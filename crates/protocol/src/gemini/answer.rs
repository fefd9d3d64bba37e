//! The answer: one document, or a stream of documents that each continue the last.

use super::{either, part};
use crate::answer::{Answer, error_type};
use crate::fragments::Fragments;
use crate::json::Json;
use crate::limits::ENTRIES;
use crate::parts::{Call, Parts as _, Print, id_in};
use crate::text;
use event::Usage;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Reads the documents of one answer.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// Calls whose arguments are still coming, by candidate.
    open: BTreeMap<u64, Open>,
    /// Why the prompt was refused.
    block_reason: Option<String>,
    /// Why each candidate ended. Some models say so in every piece: the last one counts.
    finish_reasons: BTreeMap<u64, String>,
}

/// A call of which parts have come.
#[derive(Debug)]
struct Open {
    fragments: Fragments,
    /// Arguments came as a list of values and their places.
    listed: bool,
}

impl Reader {
    /// A whole answer, or one piece of a stream.
    pub(crate) fn document(&mut self, document: Json<'_>, answer: &mut Answer) {
        if let Some(kind) = document
            .get("error")
            .and_then(|error| error.get_str("status"))
        {
            answer.error(&kind);
        } else if let Some(kind) = error_type(document) {
            answer.error(&kind);
        }
        answer.id(document.get("responseId"));
        answer.model(document.get("modelVersion"));
        usage(document, answer);
        if let Some(reason) = document
            .get("promptFeedback")
            .and_then(|feedback| feedback.get_str("blockReason"))
        {
            self.block_reason = Some(text::name(&reason));
            answer.terminal = true;
        }
        for candidate in document.get("candidates").into_iter().flat_map(Json::items) {
            self.candidate(candidate, answer);
        }
    }

    /// Ends the answer: calls that would have continued are incomplete.
    pub(crate) fn finish(&mut self, answer: &mut Answer) {
        while let Some((&candidate, _)) = self.open.first_key_value() {
            self.close(candidate, false, answer);
        }
        let reasons = self.block_reason.iter().chain(self.finish_reasons.values());
        reasons.for_each(|reason| answer.finish_reason_text(reason));
    }

    fn candidate(&mut self, candidate: Json<'_>, answer: &mut Answer) {
        let index = candidate
            .get("index")
            .and_then(Json::u64)
            .unwrap_or_default();
        let content = candidate
            .get("content")
            .and_then(|content| content.get("parts"));
        for value in content.into_iter().flat_map(Json::items) {
            match either(value, "functionCall", "function_call") {
                Some(call) => self.function_call(index, value, call, answer),
                None => part(value, &mut answer.choice(index)),
            }
        }
        if let Some(reason) = candidate
            .get("finishReason")
            .filter(|reason| !reason.is_null())
        {
            if let Some(reason) = reason.str()
                && (self.finish_reasons.len() < ENTRIES || self.finish_reasons.contains_key(&index))
            {
                self.finish_reasons.insert(index, text::name(&reason));
            }
            answer.terminal = true;
        }
    }

    /// A call, whole or a part of one that streams: it begins with its name and `willContinue`, goes on with `partialArgs` and ends
    /// with a part that no longer says so, mostly an empty one.
    fn function_call(
        &mut self,
        candidate: u64,
        value: Json<'_>,
        call: Json<'_>,
        answer: &mut Answer,
    ) {
        let name = call.get_str("name").unwrap_or_default();
        let id = id_in(call, "id").unwrap_or_default();
        let args = call.get("args").filter(|args| !args.is_null());
        let listed = either(call, "partialArgs", "partial_args");
        let continues =
            either(call, "willContinue", "will_continue").and_then(Json::bool) == Some(true);
        let goes_on = args.is_none()
            && self
                .open
                .get(&candidate)
                .is_some_and(|open| open.is_same(&name, &id));
        if !goes_on {
            self.close(candidate, false, answer);
            if !continues && listed.is_none() {
                let mut choice = answer.choice(candidate);
                part(value, &mut choice);
                if name.is_empty() {
                    choice.opaque();
                }
                return;
            }
            if self.open.len() >= ENTRIES {
                answer.problem(format!("only the first {ENTRIES} tool calls are in view"));
                return;
            }
        }
        let open = self.open.entry(candidate).or_insert_with(|| Open {
            fragments: Fragments::default(),
            listed: false,
        });
        let room = &mut answer.room;
        open.fragments.identify(room, &id);
        open.fragments.entitle(room, &name);
        if let Some(args) = args {
            open.fragments.push(room, args.raw());
        }
        for value in listed.into_iter().flat_map(Json::items) {
            let before = if std::mem::replace(&mut open.listed, true) {
                ","
            } else {
                "["
            };
            open.fragments.push(room, before);
            open.fragments.push(room, value.raw());
        }
        if !continues {
            self.close(candidate, true, answer);
        }
    }

    /// Tells the open call of this candidate, if there is one.
    fn close(&mut self, candidate: u64, complete: bool, answer: &mut Answer) {
        let Some(mut open) = self.open.remove(&candidate) else {
            return;
        };
        if complete && open.listed {
            open.fragments.push(&mut answer.room, "]");
        }
        let cut = open.fragments.is_cut();
        let (id, name, arguments) = open.fragments.close(&mut answer.room);
        let mut choice = answer.choice(candidate);
        if open.listed || cut {
            // The client puts the arguments together in its own way.
            choice.opaque();
        }
        choice.call(Call {
            id: (!id.is_empty()).then_some(Cow::Owned(id)),
            name: Cow::Owned(name),
            arguments,
            kind: Cow::Borrowed("functionCall"),
            provider_executed: false,
            complete,
            print: Print::WithoutId,
        });
    }
}

impl Open {
    /// Whether a part with this name and id, either of which may be empty, belongs to this call.
    fn is_same(&self, name: &str, id: &str) -> bool {
        let own = &self.fragments;
        (name.is_empty() || name == own.name)
            && (id.is_empty() || own.id.is_empty() || id == own.id)
    }
}

fn usage(document: Json<'_>, answer: &mut Answer) {
    let Some(usage) = document.get("usageMetadata") else {
        return;
    };
    let number = |field: &str| usage.get(field).and_then(Json::u64);
    answer.usage(&Usage {
        input_tokens: number("promptTokenCount"),
        output_tokens: number("candidatesTokenCount"),
        cache_read_input_tokens: number("cachedContentTokenCount"),
        cache_creation_input_tokens: None,
        reasoning_output_tokens: number("thoughtsTokenCount"),
    });
}
