//! Reading an answer: decoded, and cut into JSON-RPC payloads, a few at a time.
//!
//! However an answer is encoded and whatever it expands to, no more of it is in memory than a piece of the decoder, the
//! payloads in that, and the one that is gathered. It says nothing of what they mean.

use super::READ_BYTES;
use super::endpoint::Opening;
use protocol::encoding::{Decoder, Problem};
use protocol::sse;
use std::collections::VecDeque;
use std::ops::ControlFlow;

/// Messages of one answer that have events of their own, beside the answers to calls. Of an answer that is not encoded, more
/// where they are not tiny: there every message costs its server what it costs to send.
const MESSAGES: u64 = 64 * 1024;

/// How long a message is at least, on average, to count as one that is not tiny, in bytes.
const MESSAGE_BYTES: u64 = 32;

/// What has been read of an answer.
pub(crate) struct Reading {
    pub(super) status: u16,
    decoder: Decoder,
    is_encoded: bool,
    is_events: bool,
    form: Form,
    /// Payloads that wait for being looked at.
    payloads: VecDeque<String>,
    /// The decoder holds more.
    is_paused: bool,
    /// Bytes of the payloads that were looked at.
    read_bytes: u64,
    /// Messages that have events of their own.
    noted: u64,
    left_out: u64,
    /// The answer to the exchange's own request.
    pub(super) answer: Option<Vec<u8>>,
    /// The last request of the batch has its answer.
    pub(super) batch_answered: bool,
    pub(super) opening: Option<Opening>,
    /// The stream is a session of the HTTP+SSE transport, and ends it.
    pub(super) is_session: bool,
}

enum Form {
    /// One JSON document, gathered; `None` when it is over the bound.
    Json(Option<Vec<u8>>),
    Events(Box<sse::Reader>),
    Other,
}

/// What the end of an answer leaves to be looked at, or to be told.
#[derive(Debug, Default)]
pub(super) struct Rest {
    pub(super) document: Option<Vec<u8>>,
    /// Why something was not understood.
    pub(super) problems: Vec<&'static str>,
    /// Messages that have no events of their own, and whether more follow that were not even counted.
    pub(super) left_out: u64,
    pub(super) is_cut: bool,
}

impl Default for Reading {
    fn default() -> Self {
        Self::new(0, None, "")
    }
}

impl Reading {
    /// An answer of which nothing has come but its status, its content encoding and its media type.
    pub(super) fn new(status: u16, encoding: Option<&str>, media: &str) -> Self {
        let whole = Decoder::new(encoding, u64::MAX);
        let is_encoded = !whole.is_identity();
        let media = media.to_ascii_lowercase();
        let is_events = media.starts_with("text/event-stream");
        Self {
            status,
            decoder: match is_encoded {
                true => Decoder::new(encoding, protocol::limits::DECODED_BYTES),
                false => whole,
            },
            is_encoded,
            is_events,
            form: if is_events {
                Form::Events(Box::new(sse::Reader::new(READ_BYTES)))
            } else if media.starts_with("application/json") {
                Form::Json(Some(Vec::new()))
            } else {
                Form::Other
            },
            payloads: VecDeque::new(),
            is_paused: false,
            read_bytes: 0,
            noted: 0,
            left_out: 0,
            answer: None,
            batch_answered: false,
            opening: None,
            is_session: false,
        }
    }

    pub(super) const fn is_events(&self) -> bool {
        self.is_events
    }

    pub(super) const fn is_success(&self) -> bool {
        self.status >= 200 && self.status < 400
    }

    /// Whether it is a stream of messages.
    pub(super) const fn is_stream(&self) -> bool {
        self.is_events() && self.status < 300
    }

    pub(super) const fn is_encoded(&self) -> bool {
        self.is_encoded
    }

    /// The last `id` of the stream, where it has one.
    pub(super) fn last_event_id(&self) -> Option<String> {
        let Form::Events(reader) = &self.form else {
            return None;
        };
        Some(reader.last_event_id().into_owned()).filter(|id| !id.is_empty())
    }

    /// Reads the next bytes, as far as the first payloads in them.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.decode(|decoder, sink| decoder.feed_some(bytes, sink));
    }

    /// Reads on where a pause was made, by about a piece.
    pub(super) fn go_on(&mut self) {
        if self.is_paused && self.payloads.is_empty() {
            self.decode(Decoder::resume);
        }
    }

    /// Whether there is more of what was fed.
    pub(super) fn is_behind(&self) -> bool {
        self.is_paused || !self.payloads.is_empty()
    }

    /// The next payload that was read.
    pub(super) fn next(&mut self) -> Option<String> {
        let payload = self.payloads.pop_front()?;
        self.read_bytes += payload.len() as u64;
        Some(payload)
    }

    /// Whether one more message may have an event of its own. It is counted as left out where not.
    pub(super) fn admits(&mut self, messages: u64) -> bool {
        let most = match self.is_encoded {
            true => MESSAGES,
            false => MESSAGES.max(self.read_bytes / MESSAGE_BYTES),
        };
        let admitted = self.noted < most;
        if admitted {
            self.noted += 1;
        } else {
            self.left_out += messages;
        }
        admitted
    }

    fn decode(
        &mut self,
        step: impl FnOnce(&mut Decoder, &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> ControlFlow<()>,
    ) {
        let (form, payloads) = (&mut self.form, &mut self.payloads);
        let flow = step(&mut self.decoder, &mut |piece| match form {
            Form::Json(gathered) => {
                let fits = gathered
                    .as_ref()
                    .is_some_and(|all| all.len() + piece.len() <= READ_BYTES);
                match gathered {
                    Some(all) if fits => all.extend_from_slice(piece),
                    _ => *gathered = None,
                }
                ControlFlow::Continue(())
            }
            Form::Events(reader) => {
                reader.feed(piece, &mut |event| {
                    // An event without data only tells where a resumed stream goes on.
                    if event.name == "message" && !event.data.trim().is_empty() {
                        payloads.push_back(event.data.into_owned());
                    }
                });
                // Also without a payload: what looks at them lets others have their turn in between.
                ControlFlow::Break(())
            }
            Form::Other => ControlFlow::Continue(()),
        });
        self.is_paused = flow.is_break() && self.is_encoded;
    }

    /// The end.
    pub(super) fn finish(&mut self) -> Rest {
        let mut rest = Rest {
            left_out: self.left_out,
            ..Rest::default()
        };
        self.decoder.finish();
        match std::mem::replace(&mut self.form, Form::Other) {
            Form::Json(Some(document)) if !document.is_empty() => rest.document = Some(document),
            Form::Json(None) => rest.problems.push("the answer is too long to be read"),
            Form::Events(reader) if reader.skipped() > 0 => {
                rest.problems.push("an event is too long to be read");
            }
            _ => {}
        }
        match self.decoder.problem() {
            None => {}
            Some(Problem::TooLarge(_)) => rest.is_cut = true,
            Some(_) => rest
                .problems
                .push("the answer's encoding could not be read"),
        }
        rest
    }
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
