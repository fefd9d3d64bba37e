//! The answer: one document, or a stream of documents that each continue the last.

use super::part;
use crate::answer::{Answer, error_type};
use crate::json::Json;
use event::Usage;

/// Reads the documents of one answer.
#[derive(Debug, Default)]
pub(crate) struct Reader;

impl Reader {
    /// A whole answer, or one piece of a stream.
    pub(crate) fn document(document: Json<'_>, answer: &mut Answer) {
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
            .and_then(|feedback| feedback.get("blockReason"))
        {
            answer.finish_reason(Some(reason));
            answer.terminal = true;
        }
        for candidate in document.get("candidates").into_iter().flat_map(Json::items) {
            self::candidate(candidate, answer);
        }
    }
}

fn candidate(candidate: Json<'_>, answer: &mut Answer) {
    let index = candidate
        .get("index")
        .and_then(Json::u64)
        .unwrap_or_default();
    let mut choice = answer.choice(index);
    let content = candidate
        .get("content")
        .and_then(|content| content.get("parts"));
    for value in content.into_iter().flat_map(Json::items) {
        let partial = value
            .get("functionCall")
            .is_some_and(|call| call.get("partialArgs").is_some() || call.get("name").is_none());
        part(value, &mut choice);
        if partial {
            choice.opaque();
        }
    }
    if let Some(reason) = candidate
        .get("finishReason")
        .filter(|reason| !reason.is_null())
    {
        answer.finish_reason(Some(reason));
        answer.terminal = true;
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
