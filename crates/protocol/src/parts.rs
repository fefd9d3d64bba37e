//! What the messages of every model API are made of, on the way from a format's reader into a view.

use crate::fingerprint::{self, Content};
use crate::json::{Json, Kind};
use crate::view::Fingerprint;
use std::borrow::Cow;

/// Takes the parts of one message in order. A request's message and an answer's choice are filled by the same readers.
pub(crate) trait Parts {
    /// Text that is content.
    fn text(&mut self, text: &str);
    /// Reasoning, by its length on the wire: it is not part of what was said.
    fn reasoning(&mut self, bytes: usize);
    /// A tool call.
    fn call(&mut self, call: Call<'_>);
    /// A tool result.
    fn result(&mut self, output: Output<'_>);
    /// Content that is neither: an image, a document.
    fn other(&mut self, tag: &str, value: Json<'_>);
    /// Content of a kind that the reader does not know: kept like any other, and counted.
    fn unknown(&mut self, tag: &str, value: Json<'_>);
}

/// How a call or a result enters the message's fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Print {
    /// With its id.
    Whole,
    /// Without its id: clients of this API make up their own, or drop it.
    WithoutId,
    /// Not at all: clients do not send it back.
    Absent,
}

/// A tool call as a format's reader found it.
pub(crate) struct Call<'a> {
    pub(crate) id: Option<Cow<'a, str>>,
    pub(crate) name: Cow<'a, str>,
    pub(crate) arguments: Arguments<'a>,
    pub(crate) kind: Cow<'a, str>,
    pub(crate) provider_executed: bool,
    pub(crate) complete: bool,
    pub(crate) print: Print,
}

/// Arguments as the wire has them.
pub(crate) enum Arguments<'a> {
    /// A JSON value in the message.
    Json(Json<'a>),
    /// A text, which mostly holds JSON.
    Text(Cow<'a, str>),
    /// The beginning of a text that crossed a bound, and how many bytes are missing behind it.
    Cut(String, u64),
}

impl Arguments<'_> {
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Json(value) => value.raw(),
            Self::Text(text) => text,
            Self::Cut(text, _) => text,
        }
    }

    /// Length of the arguments, also where they were cut.
    pub(crate) fn bytes(&self) -> u64 {
        let missing = match self {
            Self::Cut(_, missing) => *missing,
            Self::Json(_) | Self::Text(_) => 0,
        };
        self.text().len() as u64 + missing
    }

    pub(crate) fn digest(&self) -> Fingerprint {
        match self {
            Self::Json(value) => fingerprint::of_arguments(*value),
            Self::Text(text) => fingerprint::of_arguments_text(text),
            Self::Cut(text, _) => fingerprint::of_bytes(text.as_bytes()),
        }
    }
}

impl<'a> From<Option<Json<'a>>> for Arguments<'a> {
    /// A JSON string is arguments as text, as OpenAI sends them; anything else is the arguments themselves.
    fn from(value: Option<Json<'a>>) -> Self {
        match value {
            None => Self::Text(Cow::Borrowed("")),
            Some(value) => value.str().map_or(Self::Json(value), Self::Text),
        }
    }
}

/// A tool result as a format's reader found it.
pub(crate) struct Output<'a> {
    pub(crate) id: Option<Cow<'a, str>>,
    pub(crate) name: Option<Cow<'a, str>>,
    pub(crate) is_error: Option<bool>,
    pub(crate) digest: Fingerprint,
    pub(crate) bytes: u64,
    pub(crate) provider_executed: bool,
    pub(crate) print: Print,
}

/// The digest of a result's content: a string and a single text part are equal, whatever the format calls its text parts.
pub(crate) fn content_digest(content: Option<Json<'_>>) -> Fingerprint {
    let mut digest = Content::new();
    let Some(content) = content else {
        return digest.finish();
    };
    match content.kind() {
        Kind::String => digest.text(&content.str().unwrap_or_default()),
        Kind::Array => {
            for part in content.items() {
                match text_of(part) {
                    Some(text) => digest.text(&text),
                    None => digest.json("part", part),
                }
            }
        }
        Kind::Null => {}
        // Clients fill in an empty object where the answer had nothing.
        Kind::Object if content.fields().next().is_none() => {}
        _ => digest.json("value", content),
    }
    digest.finish()
}

/// The text of a part that is text.
fn text_of(part: Json<'_>) -> Option<Cow<'_, str>> {
    if part.kind() == Kind::String {
        return part.str();
    }
    let fields = part.object();
    let is_text = fields.get("type").is_none_or(|kind| {
        kind.str()
            .is_some_and(|kind| matches!(&*kind, "text" | "input_text" | "output_text"))
    });
    if is_text {
        fields.get_str("text")
    } else {
        None
    }
}

/// The id in a field; an empty one, as some compatibles fill in, is none.
pub(crate) fn id_in<'a>(value: Json<'a>, field: &str) -> Option<Cow<'a, str>> {
    value.get_str(field).filter(|id| !id.is_empty())
}

/// Length of a value on the wire, 0 where there is none.
pub(crate) fn wire_bytes(value: Option<Json<'_>>) -> u64 {
    value.map_or(0, |value| value.raw().len() as u64)
}
