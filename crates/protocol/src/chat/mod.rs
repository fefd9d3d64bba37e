//! OpenAI Chat Completions and its many compatibles (Groq, Mistral, DeepSeek, OpenRouter, Ollama, ...).

mod answer;
mod request;

pub(crate) use answer::Reader;
pub(crate) use request::read;

use crate::json::{Json, Kind};
use crate::parts::{Arguments, Call, Output, Parts, Print, content_digest, id_in, wire_bytes};
use std::borrow::Cow;

/// The fields of a message that matter, in requests, whole answers and deltas.
#[derive(Default)]
struct Message<'a> {
    role: Option<Cow<'a, str>>,
    name: Option<Cow<'a, str>>,
    content: Option<Json<'a>>,
    refusal: Option<Cow<'a, str>>,
    tool_calls: Option<Json<'a>>,
    function_call: Option<Json<'a>>,
    tool_call_id: Option<Cow<'a, str>>,
    /// The id of the answer in sound.
    audio: Option<Json<'a>>,
    executed_tools: Option<Json<'a>>,
    reasoning: Option<Json<'a>>,
    reasoning_details: Option<Json<'a>>,
}

impl<'a> Message<'a> {
    fn read(value: Json<'a>) -> Self {
        let mut message = Self::default();
        for (key, value) in value.fields().filter(|(_, value)| !value.is_null()) {
            match &*key {
                "role" => message.role = value.str(),
                "name" => message.name = value.str(),
                "content" => message.content = Some(value),
                "refusal" => message.refusal = value.str(),
                "tool_calls" => message.tool_calls = Some(value),
                // Some providers fill in every field they know: a call that names nothing is none.
                "function_call" => {
                    let says = |key| value.get_str(key).is_some_and(|text| !text.is_empty());
                    message.function_call =
                        Some(value).filter(|_| says("name") || says("arguments"));
                }
                "tool_call_id" => message.tool_call_id = value.str(),
                // Clients send back the id alone: the provider has the sound.
                "audio" => {
                    let id = value.get("id").filter(|id| id.kind() == Kind::String);
                    message.audio = id.filter(|id| id.raw() != "\"\"");
                }
                "executed_tools" => message.executed_tools = Some(value),
                // DeepSeek, vLLM, Ollama and OpenRouter each have their own word for it.
                "reasoning_content" | "reasoning" | "thinking" => message.reasoning = Some(value),
                "reasoning_details" => message.reasoning_details = Some(value),
                _ => {}
            }
        }
        message
    }

    /// Everything but the tool calls.
    fn said(&self, parts: &mut impl Parts) {
        self.reasoned(parts);
        if let Some(value) = self.content {
            content(value, parts);
        }
        if let Some(refusal) = &self.refusal {
            parts.text(refusal);
        }
        if let Some(id) = self.audio {
            parts.other("audio", id);
        }
    }

    /// Bytes of reasoning: the plain field, or the structured one where that is all there is.
    fn reasoned(&self, parts: &mut impl Parts) {
        if let Some(text) = self
            .reasoning
            .and_then(Json::str)
            .filter(|text| !text.is_empty())
        {
            return parts.reasoning(text.len());
        }
        for detail in self.reasoning_details.into_iter().flat_map(Json::items) {
            let text = ["text", "summary", "data"]
                .into_iter()
                .find_map(|key| detail.get_str(key));
            parts.reasoning(text.map_or(0, |text| text.len()));
        }
    }

    /// The tool calls of a whole message.
    fn called(&self, parts: &mut impl Parts) {
        for value in self.tool_calls.into_iter().flat_map(Json::items) {
            parts.call(tool_call(value));
        }
        if let Some(value) = self.function_call {
            parts.call(Call {
                id: None,
                name: value.get_str("name").unwrap_or_default(),
                arguments: Arguments::from(value.get("arguments")),
                kind: Cow::Borrowed("function_call"),
                provider_executed: false,
                complete: true,
                print: Print::Whole,
            });
        }
    }
}

/// Content: a string, or parts.
fn content(value: Json<'_>, parts: &mut impl Parts) {
    if let Some(text) = value.str() {
        parts.text(&text);
    }
    for part in value.items() {
        let fields = part.object();
        let kind = fields.get_str("type").unwrap_or_default();
        match &*kind {
            "text" | "input_text" | "output_text" => {
                parts.text(&fields.get_str("text").unwrap_or_default())
            }
            "refusal" => parts.text(&fields.get_str("refusal").unwrap_or_default()),
            // Mistral streams its reasoning as content.
            "thinking" => parts.reasoning(thinking_bytes(part)),
            "image_url" | "input_audio" | "file" | "video_url" | "image" | "document_url"
            | "reference" | "audio_url" => {
                parts.other(&kind, part);
            }
            _ if part.kind() == Kind::String => parts.text(&part.str().unwrap_or_default()),
            _ => parts.unknown(&kind, part),
        }
    }
}

fn thinking_bytes(part: Json<'_>) -> usize {
    let Some(thinking) = part.get("thinking") else {
        return 0;
    };
    thinking.str().map_or(0, |text| text.len())
        + thinking
            .items()
            .filter_map(|part| part.get_str("text"))
            .map(|text| text.len())
            .sum::<usize>()
}

/// A tool call of a whole message: a function, or a custom tool with free text as its input.
fn tool_call(value: Json<'_>) -> Call<'_> {
    let kind = value.get_str("type").unwrap_or(Cow::Borrowed("function"));
    let function = value.get("function").or_else(|| value.get("custom"));
    let field = |key: &str| function.and_then(|function| function.get(key));
    Call {
        id: id_in(value, "id"),
        name: field("name").and_then(Json::str).unwrap_or_default(),
        arguments: Arguments::from(field("arguments").or_else(|| field("input"))),
        kind,
        provider_executed: false,
        complete: true,
        print: Print::Whole,
    }
}

/// A tool that the provider ran itself, as Groq's compound models report it. Clients do not send it back.
fn executed(value: Json<'_>, parts: &mut impl Parts) {
    let name = value
        .get_str("name")
        .or_else(|| value.get_str("type"))
        .unwrap_or_default();
    let output = value.get("output").filter(|output| !output.is_null());
    parts.call(Call {
        id: None,
        name: name.clone(),
        arguments: Arguments::from(value.get("arguments")),
        kind: Cow::Borrowed("executed_tool"),
        provider_executed: true,
        complete: true,
        print: Print::Absent,
    });
    if output.is_some() {
        parts.result(Output {
            id: None,
            name: Some(name),
            is_error: None,
            digest: content_digest(output),
            bytes: wire_bytes(output),
            provider_executed: true,
            print: Print::Absent,
        });
    }
}
