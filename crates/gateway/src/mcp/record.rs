//! From an MCP message to its event.

use super::retries::{Gist, Round};
use super::{Catalogue, Direction, Party, Shared};
use event::{Draft, Exchange, Gap, Kind, Mcp, Source, State, ToolRef};
use protocol::mcp::{Shape, View};
use serde_json::Value;

/// Longest names and ids in an event, in bytes. JSON may stretch them sixfold.
const NAME_BYTES: usize = 200;

/// Asks for the result of the call that became a task (2025-11-25).
const TASK_RESULT: &str = "tasks/result";

/// Changed tools that an event names, and the bytes that their names may take in its line.
const MAX_CHANGED: usize = 16;
const CHANGED_BYTES: usize = 4096;

/// What a request that was seen leaves behind, until its answer comes.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) gist: Gist,
    pub(crate) round: Round,
    /// The task that it is about.
    pub(crate) task: Option<String>,
}

/// Makes `draft` the event of a request from the agent; its kind says whether it is a tool call.
pub(crate) fn request(shared: &Shared, party: &Party, view: &View<'_>, draft: &mut Draft) -> Asked {
    let gist = shared.retries().gist(party, view);
    let round = shared.retries().round(gist, view);
    draft.exchange = Some(Exchange {
        call: None,
        attempt: Some(round.number),
        retry_of: round.first,
    });
    let mut mcp = mcp(party, view);
    if view.is_tool_call() {
        let name = view.target.as_deref().map(cut);
        mcp.tool_digest = name.and_then(|name| shared.catalogue().digest(&party.server, name));
        draft.tool = Some(ToolRef {
            name: name.map(str::to_owned),
            ..ToolRef::default()
        });
    }
    draft.mcp = Some(mcp);
    task(draft, view.task.as_deref());
    Asked {
        method: view.method.clone().unwrap_or_default(),
        gist,
        round,
        task: view.task.clone(),
    }
}

/// The kind of event that a request from the agent is.
pub(crate) fn request_kind(view: &View<'_>) -> Kind {
    if view.is_tool_call() {
        Kind::ToolRequest
    } else {
        Kind::McpRequest
    }
}

/// The event of a message that is neither a request from the agent nor its answer.
pub(crate) fn message(
    source: Source,
    party: &Party,
    direction: Direction,
    view: &View<'_>,
) -> Box<Draft> {
    let mut draft = Box::new(Draft::new(Kind::McpMessage, source));
    draft.agent = Some(party.agent.clone());
    let mut mcp = mcp(party, view);
    mcp.direction = Some(direction.as_str().to_owned());
    mcp.error_code = view.error_code;
    draft.mcp = Some(mcp);
    task(&mut draft, view.task.as_deref());
    if let Some(problem) = view.problem {
        fact(&mut draft, "problem", Value::from(problem));
    }
    draft
}

/// The event of a line that holds no message, and of which nothing is lost.
pub(crate) fn empty(source: Source, party: &Party, direction: Direction, why: &str) -> Box<Draft> {
    let mut draft = Box::new(Draft::new(Kind::McpMessage, source));
    draft.agent = Some(party.agent.clone());
    draft.mcp = Some(directed(party, direction));
    fact(&mut draft, "problem", Value::from(why));
    draft
}

/// The gap that bytes leave which are not JSON, or too many to be read.
pub(crate) fn not_understood(
    source: Source,
    party: &Party,
    direction: Direction,
    why: &str,
) -> Box<Draft> {
    let mut draft = lost(source, party, direction, "not-understood", 1);
    fact(&mut draft, "problem", Value::from(why));
    draft
}

/// The gap that the messages of a batch leave which are beyond the number that is read.
pub(crate) fn left_out(
    source: Source,
    party: &Party,
    direction: Direction,
    count: u64,
) -> Box<Draft> {
    lost(source, party, direction, "left-out", count)
}

fn lost(
    source: Source,
    party: &Party,
    direction: Direction,
    cause: &str,
    count: u64,
) -> Box<Draft> {
    let mut draft = Box::new(Draft::new(Kind::Gap, source));
    draft.agent = Some(party.agent.clone());
    draft.mcp = Some(directed(party, direction));
    draft.gap = Some(Gap {
        of: format!("mcp {}", direction.as_str()),
        cause: cause.to_owned(),
        count,
        unit: "elements".to_owned(),
        ..Gap::default()
    });
    draft
}

/// How a request was answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Answered {
    /// Code of a JSON-RPC error.
    pub(crate) error_code: Option<i64>,
    /// The answer is a JSON-RPC error.
    pub(crate) is_error: bool,
}

impl Answered {
    /// Machine-readable reason for an outcome.
    pub(crate) fn error(&self) -> Option<String> {
        let code = self
            .error_code
            .map_or_else(|| "unknown".to_owned(), |code| code.to_string());
        self.is_error.then(|| format!("jsonrpc_{code}"))
    }

    /// The terminal state of a call that is answered outside of HTTP.
    pub(crate) const fn state(&self) -> State {
        if self.is_error {
            State::UpstreamError
        } else {
            State::Completed
        }
    }
}

/// Fills the answer into the terminal event of the call `seq`, and remembers what later calls rest on.
pub(crate) fn answer(
    shared: &Shared,
    party: &mut Party,
    asked: &Asked,
    seq: u64,
    view: &View<'_>,
    draft: &mut Draft,
) -> Answered {
    if asked.method == "initialize" && view.protocol_version.is_some() {
        party.version.clone_from(&view.protocol_version);
    }
    if let Some(mcp) = &mut draft.mcp {
        mcp.error_code = view.error_code;
        mcp.protocol_version = party
            .version
            .as_deref()
            .map(|version| cut(version).to_owned());
    }
    if let Some(tool) = &mut draft.tool {
        tool.is_error = view
            .is_error
            .or((view.shape == Shape::Error).then_some(true));
    }
    task(draft, view.task.as_deref().or(asked.task.as_deref()));
    if let (TASK_RESULT, Some(is_error)) = (asked.method.as_str(), view.is_error) {
        // What the call that became a task came to.
        fact(draft, "tool_is_error", Value::from(is_error));
    }
    if asked.method == "tools/list" && view.shape == Shape::Response {
        list(&mut shared.catalogue(), party, view, draft);
    }
    if view.is_input_required() {
        shared
            .retries()
            .asked_for_input(asked.gist, view, seq, asked.round);
        fact(draft, "result_type", Value::from("input_required"));
    }
    Answered {
        error_code: view.error_code,
        is_error: view.shape == Shape::Error,
    }
}

fn list(catalogue: &mut Catalogue, party: &Party, view: &View<'_>, draft: &mut Draft) {
    let changed = catalogue.listed(&party.server, &view.tools);
    fact(draft, "tools_listed", Value::from(view.tools.len()));
    if !changed.is_empty() {
        fact(draft, "tools_changed_count", Value::from(changed.len()));
        let mut room = CHANGED_BYTES;
        let names: Vec<Value> = changed
            .iter()
            .take(MAX_CHANGED)
            .map(|name| Value::from(cut(name)))
            .take_while(|name| {
                let left = room.checked_sub(name.to_string().len());
                room = left.unwrap_or(0);
                left.is_some()
            })
            .collect();
        fact(draft, "tools_changed", Value::from(names));
    }
}

/// Names the task that an event is about, which joins it to the call that became the task.
fn task(draft: &mut Draft, id: Option<&str>) {
    if let Some(id) = id {
        fact(draft, "task_id", Value::from(cut(id)));
    }
}

pub(crate) fn fact(draft: &mut Draft, name: &str, value: Value) {
    draft
        .facts
        .get_or_insert_default()
        .insert(name.to_owned(), value);
}

fn directed(party: &Party, direction: Direction) -> Mcp {
    Mcp {
        direction: Some(direction.as_str().to_owned()),
        ..identity(party)
    }
}

fn identity(party: &Party) -> Mcp {
    Mcp {
        server: party.server.clone(),
        session: party
            .session
            .as_deref()
            .map(|session| cut(session).to_owned()),
        protocol_version: party
            .version
            .as_deref()
            .map(|version| cut(version).to_owned()),
        ..Mcp::default()
    }
}

/// The MCP side of an exchange that carries no JSON-RPC request.
pub(crate) fn transport(party: &Party, batch: Option<u64>) -> Mcp {
    Mcp {
        batch,
        ..identity(party)
    }
}

fn mcp(party: &Party, view: &View<'_>) -> Mcp {
    Mcp {
        method: view.method.as_deref().map(|method| cut(method).to_owned()),
        id: view.id.as_ref().map(|id| cut(&id.to_json()).to_owned()),
        ..identity(party)
    }
}

pub(crate) fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(NAME_BYTES))
        .unwrap_or_default()
}
