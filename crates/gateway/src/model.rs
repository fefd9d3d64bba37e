//! What a call to a model upstream says: the readers' views, put into events.
//!
//! Looks at copies. Whatever a reader cannot understand is counted and becomes a gap event; the raw bytes are the record.

use crate::context::Context;
use crate::exchange::{Call, Form, text};
use crate::owed::Noted;
use crate::relay::{Observer, Verdict};
use crate::request::Received;
use crate::runs::{Continuity, Ids, Request, Turn};
use bytes::Bytes;
use event::{Draft, Gap, GenAi, Kind, ToolRef};
use http::response::Parts;
use protocol::{Api, Operation, RequestView, ResponseReader, ResponseView, UpstreamApi};
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

/// Most tools that one event names; `gen_ai.unknown` counts the others.
const TOOLS: usize = 32;

/// What a request asks for.
pub(crate) struct Asked {
    /// The kind of its event.
    pub(crate) kind: Kind,
    /// The format its answer is read as.
    api: Option<Api>,
    /// What it says.
    view: Option<RequestView>,
    /// The id of an answer that it asks for again, or at last.
    retrieves: Option<String>,
}

impl Asked {
    /// Reads a request that arrived whole.
    pub(crate) fn read(api: UpstreamApi, address: &str, received: &Received, form: &Form) -> Self {
        match protocol::classify(api, received.parts.method.as_str(), address) {
            Operation::Model(call) => {
                let body = decoded(form, &received.body);
                let view = protocol::read_request(&call, &body);
                Self {
                    kind: Kind::ModelRequest,
                    api: Some(call.api),
                    view: Some(view),
                    retrieves: None,
                }
            }
            Operation::Retrieve(api) => Self {
                kind: Kind::HttpRequest,
                api: Some(api),
                view: None,
                retrieves: retrieved(address).map(str::to_owned),
            },
            Operation::Other(_) => Self {
                kind: Kind::HttpRequest,
                api: None,
                view: None,
                retrieves: None,
            },
        }
    }

    /// The kind of a request that did not arrive whole.
    pub(crate) fn kind_of(api: UpstreamApi, method: &str, address: &str) -> Kind {
        match protocol::classify(api, method, address) {
            Operation::Model(_) => Kind::ModelRequest,
            Operation::Retrieve(_) | Operation::Other(_) => Kind::HttpRequest,
        }
    }

    /// Whether it asks for a stream.
    pub(crate) fn streams(&self) -> bool {
        self.view.as_ref().and_then(|view| view.gen_ai.stream) == Some(true)
    }

    /// Fills in the request event and puts it into its run, `retry_of` being that of the attempt it repeats. Returns the events that come before it, and who looks at
    /// the answer.
    pub(crate) fn assign(
        self,
        ctx: &Arc<Context>,
        received: &Received,
        run_in_path: Option<&str>,
        retry_of: Option<&str>,
        draft: &mut Draft,
    ) -> (Vec<Draft>, ModelObserver) {
        let agent = draft.agent.clone().unwrap_or_default();
        let continuity = match (&self.view, &self.retrieves) {
            (Some(view), _) => Continuity::Messages(view),
            (None, Some(id)) => Continuity::Retrieval(id),
            (None, None) => Continuity::None,
        };
        let request = Request {
            agent: &agent.name,
            ids: Ids::of(&received.parts.headers, run_in_path),
            continuity,
            tool_call: None,
            retry_of,
        };
        let (now_ms, entropy) = moment();
        let assigned = ctx.tracker().assign(&request, now_ms, entropy);
        let ahead = assigned
            .as_ref()
            .map(|run| run.events(&agent, draft.source))
            .unwrap_or_default();
        let turn = assigned.as_ref().and_then(|run| run.turn);
        if let Some(run) = assigned {
            run.place(draft);
        }
        let mut problem = None;
        if let Some(view) = self.view {
            problem.clone_from(&view.problem);
            tell_request(draft, view);
        }
        let observer = ModelObserver {
            ctx: ctx.clone(),
            api: self.api,
            agent: agent.name,
            turn,
            reader: None,
            streams: false,
            request_id: None,
            request_problem: problem.is_some(),
        };
        (ahead, observer)
    }
}

/// The answer that an address of OpenAI's Responses names: `.../responses/{id}`.
fn retrieved(address: &str) -> Option<&str> {
    let path = address.split('?').next()?;
    let mut parts = path.split('/').skip_while(|part| *part != "responses");
    parts.nth(1).filter(|id| !id.is_empty())
}

/// The body as a reader needs it. Where it cannot be decoded, what could.
fn decoded<'a>(form: &Form, body: &'a [u8]) -> Cow<'a, [u8]> {
    match form.encoding.as_deref() {
        None | Some("identity") => Cow::Borrowed(body),
        Some(encoding) => {
            protocol::encoding::decode(
                Some(encoding),
                body,
                protocol::limits::DOCUMENT_BYTES as u64,
            )
            .0
        }
    }
}

/// Unix time in milliseconds, and what makes a ULID unique.
pub(crate) fn moment() -> (u64, u128) {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    (
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        ulid::Ulid::new().random(),
    )
}

fn add_unknown(gen_ai: &mut GenAi, more: u64) {
    if more > 0 {
        *gen_ai.unknown.get_or_insert(0) += more;
    }
}

/// Looks at the answer of a model call, or of any other call to an HTTP upstream.
pub(crate) struct ModelObserver {
    ctx: Arc<Context>,
    api: Option<Api>,
    agent: String,
    turn: Option<Turn>,
    reader: Option<ResponseReader>,
    streams: bool,
    request_id: Option<String>,
    request_problem: bool,
}

/// Headers by which providers name a request.
const REQUEST_IDS: &[&str] = &[
    "request-id",
    "x-request-id",
    "x-amzn-requestid",
    "apim-request-id",
    "x-goog-request-id",
];

impl Observer for ModelObserver {
    fn head(&mut self, parts: &Parts) {
        let headers = &parts.headers;
        self.request_id = REQUEST_IDS.iter().find_map(|name| text(headers, name));
        let Form { media, encoding } = Form::of(headers);
        self.streams = media
            .as_ref()
            .is_some_and(|media| media.to_ascii_lowercase().starts_with("text/event-stream"));
        self.reader = self.api.map(|api| {
            ResponseReader::new(
                api,
                media.as_deref(),
                encoding.as_deref(),
                parts.status.as_u16(),
            )
        });
    }

    fn chunk(&mut self, bytes: &Bytes, _: &mut Vec<Noted>) {
        if let Some(reader) = &mut self.reader {
            reader.feed(bytes);
        }
    }

    fn is_answered(&self) -> bool {
        // Gemini's mark comes with the last words of a candidate, and more may follow it.
        let marked = self.streams && self.api != Some(Api::GeminiGenerate);
        let reader = self.reader.as_ref().filter(|_| marked);
        reader.is_some_and(|reader| reader.terminal_seen() || reader.error_seen())
    }

    fn finish(
        &mut self,
        call: &Call,
        whole: bool,
        draft: &mut Draft,
        out: &mut Vec<Noted>,
    ) -> Verdict {
        if let Some(id) = self.request_id.take() {
            draft.ids.get_or_insert_default().request_id = Some(id);
        }
        let streams = self.streams || self.reader.as_ref().is_some_and(ResponseReader::is_stream);
        let view = self.reader.take().map(|reader| reader.finish(whole));
        if let Some(turn) = self.turn.take() {
            self.ctx
                .tracker()
                .answered(&self.agent, turn, view.as_ref());
        }
        if self.request_problem {
            out.push(self.not_understood(call, "request"));
        }
        let asked = call.request.gen_ai.as_ref();
        let Some(view) = view else {
            draft.gen_ai = asked.map(|asked| {
                of_request(
                    asked,
                    GenAi {
                        api: asked.api.clone(),
                        ..GenAi::default()
                    },
                )
            });
            return Verdict::default();
        };
        // A body that broke off is not whole: that a reader cannot finish it says nothing new.
        if view.problem.is_some() && whole {
            out.push(self.not_understood(call, "response"));
        }
        if view.sequence_holes > 0 {
            out.push(Noted::event(call.gap(Gap {
                of: "response".to_owned(),
                cause: "sequence-hole".to_owned(),
                count: view.sequence_holes,
                unit: "elements".to_owned(),
                ..Gap::default()
            })));
        }
        // Of what was not understood at all, nobody knows how it ends.
        let understood =
            view.problem.is_none() || view.message.is_some() || view.gen_ai.response_id.is_some();
        let cut_short = whole && streams && !view.terminated && understood;
        let (mut error, mut stream_error) = (view.error.clone(), view.stream_error.clone());
        if !self.streams && view.message.is_none() {
            // An error after HTTP 200 with nothing before it: nothing had begun that could break.
            error = error.or_else(|| stream_error.take());
        }
        tell_answer(draft, asked, view);
        Verdict {
            error,
            stream_error,
            cut_short,
            suspend: None,
        }
    }
}

/// A call that never got to an answer leaves nobody waiting for one.
impl Drop for ModelObserver {
    fn drop(&mut self) {
        if let Some(turn) = self.turn.take() {
            self.ctx.tracker().answered(&self.agent, turn, None);
        }
    }
}

impl ModelObserver {
    fn not_understood(&self, call: &Call, of: &str) -> Noted {
        self.ctx.figures.not_understood.fetch_add(1, Relaxed);
        Noted::event(call.gap(Gap {
            of: of.to_owned(),
            cause: "not-understood".to_owned(),
            count: 1,
            unit: "elements".to_owned(),
            ..Gap::default()
        }))
    }
}

/// What a request says, in its event.
pub(crate) fn tell_request(draft: &mut Draft, view: RequestView) {
    let left_out = view.tool_results.len().saturating_sub(TOOLS) as u64;
    draft.tool_results = view
        .tool_results
        .iter()
        .take(TOOLS)
        .map(ToolRef::from)
        .collect();
    let mut gen_ai = view.gen_ai;
    add_unknown(&mut gen_ai, left_out);
    draft.gen_ai = Some(gen_ai);
    if let Some(id) = view.previous_response_id {
        draft.ids.get_or_insert_default().previous_response_id = Some(id);
    }
}

/// What an answer says, in its event; `asked` is what its request said.
pub(crate) fn tell_answer(draft: &mut Draft, asked: Option<&GenAi>, view: ResponseView) {
    let left_out =
        view.tool_calls.len().saturating_sub(TOOLS) + view.tool_results.len().saturating_sub(TOOLS);
    draft.tool_calls = view
        .tool_calls
        .iter()
        .take(TOOLS)
        .map(ToolRef::from)
        .collect();
    draft.tool_results = view
        .tool_results
        .iter()
        .take(TOOLS)
        .map(ToolRef::from)
        .collect();
    let mut gen_ai = view.gen_ai;
    gen_ai.finish_reasons.truncate(16);
    add_unknown(&mut gen_ai, left_out as u64);
    draft.gen_ai = Some(match asked {
        Some(asked) => of_request(asked, gen_ai),
        None => gen_ai,
    });
}

/// What the terminal event repeats of the request.
fn of_request(asked: &GenAi, answer: GenAi) -> GenAi {
    GenAi {
        operation: asked.operation.clone(),
        request_model: asked.request_model.clone(),
        stream: asked.stream,
        ..answer
    }
}
