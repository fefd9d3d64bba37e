//! Model answers: decoded, framed and read as their bytes arrive.

use crate::answer::{Answer, error_type};
use crate::encoding::Decoder;
use crate::json::{self, Json, Kind};
use crate::limits::{DECODED_BYTES, DOCUMENT_BYTES};
use crate::operation::Api;
use crate::view::ResponseView;
use crate::{anthropic, chat, converse, elements, eventstream, gemini, responses, sse};
use base64::Engine as _;

/// Reads one answer as its bytes arrive, and never fails: what it cannot read is named in the view.
#[derive(Debug)]
pub struct ResponseReader {
    decoder: Decoder,
    framing: Framing,
    dialect: Dialect,
    answer: Answer,
    /// An error status: the body is an error document, whatever the API.
    failed: bool,
    media: Media,
    limit: usize,
}

/// What `Content-Type` says, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Media {
    Json,
    EventStream,
    AmazonEventStream,
    /// The header is missing.
    Unsaid,
    Other,
}

/// How the body is cut into documents.
#[derive(Debug)]
enum Framing {
    /// Nothing but white space has come.
    Unknown,
    Document(Vec<u8>),
    /// An array whose elements are the pieces of a stream.
    Elements(elements::Reader),
    /// A document over the limit.
    Oversize,
    Sse(sse::Reader),
    Amazon(eventstream::Reader),
    /// Not a body that a model API answers with.
    Foreign,
}

/// The format's own state.
#[derive(Debug)]
enum Dialect {
    Anthropic(anthropic::Reader),
    Chat(chat::Reader),
    Responses(responses::Reader),
    Gemini(gemini::Reader),
    Converse(converse::Reader),
}

impl ResponseReader {
    /// A reader for the answer with this head. `content_type` and `content_encoding` are the header values as received.
    #[must_use]
    pub fn new(
        api: Api,
        content_type: Option<&str>,
        content_encoding: Option<&str>,
        status: u16,
    ) -> Self {
        Self::with_limit(api, content_type, content_encoding, status, DOCUMENT_BYTES)
    }

    /// A reader that holds at most `limit` bytes of a JSON body or of one event.
    #[must_use]
    pub fn with_limit(
        api: Api,
        content_type: Option<&str>,
        content_encoding: Option<&str>,
        status: u16,
        limit: usize,
    ) -> Self {
        let failed = status >= 400;
        Self {
            decoder: Decoder::new(content_encoding, DECODED_BYTES),
            framing: Framing::Unknown,
            dialect: match api {
                Api::AnthropicMessages => Dialect::Anthropic(anthropic::Reader::default()),
                Api::OpenAiChat => Dialect::Chat(chat::Reader::default()),
                Api::OpenAiResponses => Dialect::Responses(responses::Reader::default()),
                Api::GeminiGenerate => Dialect::Gemini(gemini::Reader::default()),
                Api::BedrockConverse => Dialect::Converse(converse::Reader::default()),
            },
            answer: Answer::new(api, failed),
            failed,
            media: Media::of(content_type.unwrap_or_default()),
            limit,
        }
    }

    /// Reads the next bytes of the body as they stand on the wire.
    pub fn feed(&mut self, bytes: &[u8]) {
        let Self {
            decoder,
            framing,
            dialect,
            answer,
            media,
            limit,
            ..
        } = self;
        decoder.feed(bytes, &mut |piece| {
            framing.feed(piece, *media, *limit, dialect, answer)
        });
    }

    /// Whether the event that ends the answer was seen. A JSON body has none: it is whole at its end.
    #[must_use]
    pub const fn terminal_seen(&self) -> bool {
        self.answer.terminal
    }

    /// The error that arrived in mid-stream, if one has.
    #[must_use]
    pub const fn error_seen(&self) -> bool {
        self.answer.has_error()
    }

    /// Whether the body has begun as a stream: server-sent events, or an array of an answer's pieces.
    #[must_use]
    pub const fn is_stream(&self) -> bool {
        matches!(self.framing, Framing::Sse(_) | Framing::Elements(_))
    }

    /// Ends the answer. `complete`: the transport delivered the whole body.
    #[must_use]
    pub fn finish(mut self, complete: bool) -> ResponseView {
        self.decoder.finish();
        if let Some(problem) = self
            .decoder
            .problem()
            .filter(|_| complete || self.answer.has_error())
        {
            self.answer.problem(problem.to_string());
        }
        let whole = self.end_framing(complete);
        match &mut self.dialect {
            Dialect::Anthropic(reader) => reader.finish(&mut self.answer),
            Dialect::Chat(reader) => {
                // Some compatibles end without `[DONE]`.
                self.answer.terminal |= complete && reader.all_finished();
                reader.finish(&mut self.answer);
            }
            Dialect::Responses(reader) => reader.finish(&mut self.answer),
            Dialect::Gemini(reader) => reader.finish(&mut self.answer),
            Dialect::Converse(reader) => reader.finish(&mut self.answer),
        }
        self.answer.finish(whole)
    }

    /// Reads the document that was held, and says whether the body was one that is whole.
    fn end_framing(&mut self, complete: bool) -> bool {
        let answer = &mut self.answer;
        match std::mem::replace(&mut self.framing, Framing::Unknown) {
            Framing::Document(bytes) => match Json::parse(&bytes) {
                Ok(document) => {
                    self.dialect.document(document, self.failed, answer);
                    return true;
                }
                Err(error) if complete => answer.problem(error.to_string()),
                Err(_) => {}
            },
            Framing::Oversize => answer.problem(format!(
                "the body is over the limit of {} bytes for a JSON document",
                self.limit
            )),
            Framing::Elements(reader) => {
                if reader.skipped() > 0 {
                    answer.problem(format!(
                        "{} elements over the limit of {} bytes were skipped",
                        reader.skipped(),
                        self.limit
                    ));
                }
                if complete && !reader.is_whole() {
                    answer.problem("the body ends before its array does".to_owned());
                }
            }
            Framing::Sse(reader) => {
                if reader.skipped() > 0 {
                    answer.problem(format!(
                        "{} events over the limit of {} bytes were skipped",
                        reader.skipped(),
                        self.limit
                    ));
                }
                if complete && reader.in_event() {
                    answer.problem("the stream ends inside an event".to_owned());
                }
            }
            Framing::Amazon(reader) => {
                if let Some(problem) = reader.problem() {
                    answer.problem(problem.to_owned());
                }
                if reader.skipped() > 0 {
                    answer.problem(format!(
                        "{} frames over the limit of {} bytes were skipped",
                        reader.skipped(),
                        self.limit
                    ));
                }
                if complete && reader.in_frame() {
                    answer.problem("the stream ends inside a frame".to_owned());
                }
            }
            Framing::Foreign => {
                answer.problem("the body is neither JSON nor an event stream".to_owned())
            }
            Framing::Unknown => {}
        }
        false
    }
}

impl Media {
    fn of(content_type: &str) -> Self {
        let media = content_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        match media.as_str() {
            "text/event-stream" => Self::EventStream,
            "application/vnd.amazon.eventstream" => Self::AmazonEventStream,
            "" => Self::Unsaid,
            _ if media.contains("json") => Self::Json,
            _ => Self::Other,
        }
    }
}

impl Framing {
    fn feed(
        &mut self,
        mut bytes: &[u8],
        media: Media,
        limit: usize,
        dialect: &mut Dialect,
        answer: &mut Answer,
    ) {
        if matches!(self, Self::Unknown) {
            if media != Media::AmazonEventStream {
                bytes = bytes.trim_ascii_start();
            }
            let Some(&first) = bytes.first() else { return };
            // Without `alt=sse`, a stream of Gemini's is an array of its pieces. An array of its errors is a document.
            let pieces = first == b'[' && matches!(dialect, Dialect::Gemini(_));
            *self = if pieces && !answer.is_failed() {
                Self::Elements(elements::Reader::new(limit))
            } else {
                Self::recognised(first, media, limit)
            };
        }
        match self {
            Self::Document(held) => {
                if held.len().saturating_add(bytes.len()) > limit {
                    *self = Self::Oversize;
                } else {
                    held.extend_from_slice(bytes);
                }
            }
            Self::Elements(reader) => {
                reader.feed(bytes, &mut |element| dialect.element(element, answer));
                // Whatever a piece says of its own end, the array ends with its bracket.
                answer.terminal = reader.is_whole();
            }
            Self::Sse(reader) => reader.feed(bytes, &mut |event| dialect.sse(&event, answer)),
            Self::Amazon(reader) => reader.feed(bytes, &mut |frame| dialect.frame(&frame, answer)),
            Self::Unknown | Self::Oversize | Self::Foreign => {}
        }
    }

    /// The body's first byte is believed over its media type: proxies and compatibles mislabel both ways.
    fn recognised(first: u8, media: Media, limit: usize) -> Self {
        match (first, media) {
            (_, Media::AmazonEventStream) => Self::Amazon(eventstream::Reader::new(limit)),
            (b'{' | b'[', _) | (_, Media::Json) if !matches!(first, b'd' | b'e' | b':') => {
                Self::Document(Vec::new())
            }
            (_, Media::EventStream) | (b'd' | b'e' | b':', Media::Json | Media::Unsaid) => {
                Self::Sse(sse::Reader::new(limit))
            }
            _ => Self::Foreign,
        }
    }
}

impl Dialect {
    fn document(&mut self, document: Json<'_>, failed: bool, answer: &mut Answer) {
        answer.count_event();
        if failed {
            return error_document(document, self, answer);
        }
        match self {
            Self::Anthropic(_) => anthropic::Reader::document(document, answer),
            Self::Chat(_) => chat::Reader::document(document, answer),
            Self::Responses(_) => responses::Reader::document(document, answer),
            Self::Gemini(reader) => reader.document(document, answer),
            Self::Converse(_) => converse::Reader::document(document, answer),
        }
    }

    fn sse(&mut self, event: &sse::Event<'_>, answer: &mut Answer) {
        answer.count_event();
        if event.data.trim() == "[DONE]" {
            // Chat ends so; other APIs' compatibles append it behind their own end.
            if matches!(self, Self::Chat(_)) {
                chat::Reader::done(answer);
            }
            return;
        }
        match Json::parse(event.data.as_bytes()) {
            Ok(data) => self.event(&event.name, data, answer),
            // An empty `data` is a keep-alive.
            Err(_) if event.data.trim().is_empty() => {}
            Err(error) => {
                answer.count_unknown();
                answer.problem(format!("an event's data is {error}"));
            }
        }
    }

    /// One element of an array that is a stream.
    fn element(&mut self, element: Result<Json<'_>, json::Error>, answer: &mut Answer) {
        answer.count_event();
        match element {
            Ok(data) if data.kind() == Kind::Object => self.event("", data, answer),
            Ok(_) => answer.count_unknown(),
            Err(error) => {
                answer.count_unknown();
                answer.problem(format!("an element of the array is {error}"));
            }
        }
    }

    fn frame(&mut self, frame: &eventstream::Frame<'_>, answer: &mut Answer) {
        answer.count_event();
        if frame.message_type != "event" {
            return answer.error(&frame.name);
        }
        let Ok(data) = Json::parse(frame.payload) else {
            return answer.count_unknown();
        };
        // InvokeModel wraps the model's own events.
        let Some(wrapped) = data.get_str("bytes").filter(|_| frame.name == "chunk") else {
            return self.event(&frame.name, data, answer);
        };
        let decoded = base64::engine::general_purpose::STANDARD.decode(wrapped.as_bytes());
        match decoded.as_deref().map(Json::parse) {
            Ok(Ok(inner)) => self.event("", inner, answer),
            _ => answer.count_unknown(),
        }
    }

    fn event(&mut self, name: &str, data: Json<'_>, answer: &mut Answer) {
        match self {
            Self::Anthropic(reader) => reader.event(name, data, answer),
            Self::Chat(reader) => reader.event(data, answer),
            Self::Responses(reader) => reader.event(name, data, answer),
            Self::Gemini(reader) => reader.document(data, answer),
            Self::Converse(reader) => reader.event(name, data, answer),
        }
    }
}

/// The body of an error status. Google wraps it in an array when the call would have streamed, and its `status` is the telling word.
fn error_document(document: Json<'_>, dialect: &Dialect, answer: &mut Answer) {
    let first = document.items().next().unwrap_or(document);
    let status = first.get("error").and_then(|error| error.get_str("status"));
    let kind = match (dialect, status) {
        (Dialect::Gemini(_), Some(status)) => Some(status.into_owned()),
        _ => error_type(first),
    };
    answer.error(&kind.unwrap_or_else(|| "error".to_owned()));
}

#[cfg(test)]
#[path = "response_tests/mod.rs"]
mod tests;
