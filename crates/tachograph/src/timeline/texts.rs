//! The words in the bodies: what a request newly told the model, what a tool was given, what it
//! gave back. Bytes in, excerpts out; what cannot be read is left out and the caller told.

use super::Asked;
use crate::body;
use event::BodyRef;
use protocol::json::{Json, Kind};
use protocol::{Api, ModelCall, ResponseReader, ResponseView, jsonrpc, limits, mcp, sse};

/// Longest text of a tool's result in a model request.
const RESULT_BYTES: usize = 1024;

/// Deepest nesting of content parts that is looked into.
const DEPTH: u8 = 4;

/// Results in one request that are told; a request that brings more is told by its last ones.
const MAX_RESULTS: usize = 64;

/// What is new in a model request: everything behind the model's last message.
pub(super) fn asked(api: Api, plain: &[u8]) -> (Vec<Asked>, Option<String>) {
    let view = protocol::read_request(&ModelCall::from(api), plain);
    let behind = view
        .messages
        .iter()
        .rposition(|message| matches!(message.role.as_str(), "assistant" | "model"))
        .map_or(0, |last| last + 1);
    let mut asked: Vec<Asked> = view
        .messages
        .iter()
        .skip(behind)
        .filter(|message| message.role != "tool" && message.tool_result_ids.is_empty())
        .filter(|message| !message.text.is_empty())
        .map(|message| Asked::words(message.role.clone(), message.text.clone()))
        .collect();
    let new = view.tool_results.len().min(MAX_RESULTS);
    let texts = if new == 0 {
        Vec::new()
    } else {
        result_texts(plain)
    };
    let skip = texts.len().saturating_sub(new);
    let texts = texts
        .into_iter()
        .skip(skip)
        .map(Some)
        .chain(std::iter::repeat(None));
    let skip = view.tool_results.len().saturating_sub(new);
    for (result, text) in view.tool_results.iter().skip(skip).zip(texts) {
        let text: String = text.unwrap_or_default();
        asked.push(Asked {
            role: "tool".to_owned(),
            tool: result.name.clone(),
            id: result.id.clone(),
            is_error: result.is_error,
            digest: digest(&text),
            text: excerpt(text, RESULT_BYTES),
            given_by: None,
        });
    }
    (asked, view.problem)
}

/// What a model answered.
pub(super) fn answered(
    api: Api,
    reference: &BodyRef,
    stored: &[u8],
    status: u16,
    complete: bool,
) -> ResponseView {
    let mut reader = ResponseReader::new(
        api,
        reference.media.as_deref(),
        reference.encoding.as_deref(),
        status,
    );
    reader.feed(stored);
    reader.finish(complete)
}

/// The text of every tool result in a model request, in order, whichever format it has.
fn result_texts(plain: &[u8]) -> Vec<String> {
    let Ok(document) = Json::parse(plain) else {
        return Vec::new();
    };
    let messages = ["messages", "input", "contents"]
        .iter()
        .find_map(|key| document.get(key));
    let mut texts = Vec::new();
    for message in messages
        .into_iter()
        .flat_map(Json::items)
        .take(limits::MESSAGES)
    {
        // OpenAI Chat: the message is the result. Responses: the item is.
        let whole = if message.get_str("role").as_deref() == Some("tool") {
            message.get("content")
        } else {
            message.get("call_id").and(message.get("output"))
        };
        if let Some(content) = whole {
            texts.push(text_of(content, DEPTH));
            continue;
        }
        let parts = message.get("content").or_else(|| message.get("parts"));
        for part in parts
            .into_iter()
            .flat_map(Json::items)
            .take(limits::ENTRIES)
        {
            // Anthropic, Gemini (two spellings), Bedrock.
            let content = if part.get("tool_use_id").is_some() {
                part.get("content")
            } else {
                part.get("functionResponse")
                    .or_else(|| part.get("function_response"))
                    .and_then(|response| response.get("response"))
                    .or_else(|| {
                        part.get("toolResult")
                            .and_then(|result| result.get("content"))
                    })
            };
            texts.extend(content.map(|content| text_of(content, DEPTH)));
        }
    }
    texts
}

/// Text parts joined; an image and the like as its kind and the beginning of its digest; anything
/// else as the JSON it is.
fn text_of(value: Json<'_>, depth: u8) -> String {
    match value.kind() {
        Kind::String => value.str().unwrap_or_default().into_owned(),
        Kind::Array if depth > 0 => {
            let parts: Vec<String> = value.items().map(|part| text_of(part, depth - 1)).collect();
            parts.join("\n")
        }
        Kind::Object => match (value.get_str("text"), value.get_str("type")) {
            (Some(text), _) => text.into_owned(),
            (None, Some(kind)) if matches!(&*kind, "image" | "audio" | "document") => {
                let digest = digest(value.raw()).map(hex::encode).unwrap_or_default();
                format!("[{kind} {}]", body::prefix(&digest, 12))
            }
            _ => value.raw().to_owned(),
        },
        Kind::Null => String::new(),
        _ => value.raw().to_owned(),
    }
}

/// The arguments of the `tools/call` with this id, as JSON.
pub(super) fn arguments(plain: &[u8], id: Option<&str>) -> Option<String> {
    let payload = jsonrpc::read(plain).ok()?;
    let views = payload
        .messages
        .iter()
        .map(mcp::view)
        .filter(mcp::View::is_tool_call);
    let call = select(views.collect(), id, |view| view.id.as_ref())?;
    call.arguments.map(str::to_owned)
}

/// What the answer to the call with this id says: the text of its content, or its error.
pub(super) fn result(plain: &[u8], streamed: bool, id: Option<&str>) -> Option<String> {
    if !streamed {
        return answer(plain, id);
    }
    let mut found = None;
    let mut reader = sse::Reader::default();
    reader.feed(plain, &mut |event| {
        if found.is_none() {
            found = answer(event.data.as_bytes(), id);
        }
    });
    found
}

fn answer(plain: &[u8], id: Option<&str>) -> Option<String> {
    let payload = jsonrpc::read(plain).ok()?;
    let answers = payload
        .messages
        .iter()
        .filter_map(|message| match &message.kind {
            jsonrpc::Kind::Response { id, result } => Some((Some(id), said(*result))),
            jsonrpc::Kind::Error { id, error } => {
                let words = error.message.as_deref().unwrap_or("no message");
                Some((id.as_ref(), words.to_owned()))
            }
            _ => None,
        })
        .collect();
    select(answers, id, |(id, _)| *id).map(|(_, text)| text)
}

fn said(result: Json<'_>) -> String {
    let content = result.get("content").map(|content| text_of(content, DEPTH));
    match content {
        Some(text) if !text.is_empty() => text,
        _ => result
            .get("structuredContent")
            .unwrap_or(result)
            .raw()
            .to_owned(),
    }
}

/// The one with this id; without an id to look for, or where only one can be meant, the first.
fn select<T>(
    list: Vec<T>,
    id: Option<&str>,
    id_of: impl Fn(&T) -> Option<&jsonrpc::Id>,
) -> Option<T> {
    let at = match id {
        Some(id) => list
            .iter()
            .position(|one| id_of(one).is_some_and(|one| one.to_json() == id))?,
        None => 0,
    };
    list.into_iter().nth(at)
}

/// The beginning of a text, with three dots where there is more.
pub(super) fn excerpt(text: String, bytes: usize) -> String {
    let cut = body::prefix(&text, bytes);
    if cut.len() == text.len() {
        text
    } else {
        format!("{cut}...")
    }
}

/// SHA-256 of a text; nothing for no text, which is equal to nothing.
pub(super) fn digest(text: &str) -> Option<[u8; 32]> {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest.as_ref().try_into().ok().filter(|_| !text.is_empty())
}

/// Whether a media type is that of server-sent events.
pub(super) fn is_event_stream(media: &str) -> bool {
    media
        .split(';')
        .next()
        .is_some_and(|name| name.trim().eq_ignore_ascii_case("text/event-stream"))
}
