//! The Model Context Protocol, revisions 2024-11-05 to 2026-07-28: what a JSON-RPC message says about tools, sessions and versions.
//!
//! The reader does not need to know the revision: it takes what is there. Decisions rest on the body, never on headers.

use crate::fingerprint;
use crate::json::{Json, Kind as JsonKind};
use crate::jsonrpc::{self, Id, Message};
use crate::limits::ENTRIES;
use crate::text;
use crate::view::Fingerprint;

/// The revisions that are known, oldest first.
pub const REVISIONS: &[&str] = &[
    "2024-11-05",
    "2025-03-26",
    "2025-06-18",
    "2025-11-25",
    "2026-07-28",
];

/// Whether closing the response stream cancels the call, by the protocol revision: from 2026-07-28 it does; before that it
/// must not be read so. Revisions are dates, so that unknown later ones compare.
#[must_use]
pub fn disconnect_cancels(revision: &str) -> bool {
    revision >= "2026-07-28"
}

/// What a message is to MCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Asks for an answer.
    Request,
    /// Asks for nothing.
    Notification,
    /// A good answer; a tool's failure is one too (`is_error`).
    Response,
    /// A bad answer.
    Error,
    /// Not JSON-RPC.
    Invalid,
}

/// A tool of a `tools/list` result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolEntry {
    /// The tool's name.
    pub name: String,
    /// SHA-256 of the entry's bytes (name, description, schema, annotations) as they stand on the wire.
    pub digest: Fingerprint,
}

/// One MCP message. Texts are cut to [`crate::limits::NAME_BYTES`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View<'a> {
    /// What it is.
    pub shape: Shape,
    /// `mcp.method.name`, on requests and notifications.
    pub method: Option<String>,
    /// The id of the request, or of the request it answers.
    pub id: Option<Id>,
    /// `params.name` of `tools/call` and `prompts/get`, `params.uri` of a `resources/*` request: what the call is about.
    pub target: Option<String>,
    /// `params.arguments`, exactly as written.
    pub arguments: Option<&'a str>,
    /// `result.isError`: the tool says that it failed.
    pub is_error: Option<bool>,
    /// Code of a JSON-RPC error.
    pub error_code: Option<i64>,
    /// The revision it states: `params.protocolVersion`, `result.protocolVersion` or `_meta`.
    pub protocol_version: Option<String>,
    /// `params._meta.progressToken`, or `params.progressToken` of a progress notification.
    pub progress_token: Option<Id>,
    /// `params.requestId` of `notifications/cancelled`.
    pub cancels: Option<Id>,
    /// Entries of a `tools/list` result, at most [`ENTRIES`].
    pub tools: Vec<ToolEntry>,
    /// `result.resultType`; absent means `complete`.
    pub result_type: Option<String>,
    /// Digest of `requestState`: joins an `input_required` result to the request that retries the call.
    pub request_state: Option<Fingerprint>,
    /// Whether the request carries `inputResponses`: the retry of a call that asked for input.
    pub input_responses: bool,
    /// `params._meta.traceparent`.
    pub traceparent: Option<String>,
    /// `params.clientInfo` or `result.serverInfo`, name and version, or the same from `_meta`.
    pub implementation: Option<String>,
    /// Digest of the result's or the error's bytes.
    pub result_digest: Option<Fingerprint>,
    /// The task that it is about: `params.taskId` of `tasks/*`, `result.task.taskId` of a call that became one, `taskId` of
    /// a task's own result, or `io.modelcontextprotocol/related-task` in `_meta`.
    pub task: Option<String>,
    /// Why it is not a message of the protocol.
    pub problem: Option<&'static str>,
}

impl View<'_> {
    /// Whether it is the request to call a tool.
    #[must_use]
    pub fn is_tool_call(&self) -> bool {
        self.shape == Shape::Request && self.method.as_deref() == Some("tools/call")
    }

    /// Whether the result asks for input and the call will come again.
    #[must_use]
    pub fn is_input_required(&self) -> bool {
        self.result_type.as_deref() == Some("input_required")
    }
}

/// Looks at one message.
#[must_use]
pub fn view<'a>(message: &Message<'a>) -> View<'a> {
    let mut view = View {
        shape: Shape::Invalid,
        method: None,
        id: None,
        target: None,
        arguments: None,
        is_error: None,
        error_code: None,
        protocol_version: None,
        progress_token: None,
        cancels: None,
        tools: Vec::new(),
        result_type: None,
        request_state: None,
        input_responses: false,
        traceparent: None,
        implementation: None,
        result_digest: None,
        task: None,
        problem: None,
    };
    match &message.kind {
        jsonrpc::Kind::Request { id, method, params } => {
            view.shape = Shape::Request;
            view.id = Some(id.clone());
            read_call(&mut view, method, *params);
        }
        jsonrpc::Kind::Notification { method, params } => {
            view.shape = Shape::Notification;
            read_call(&mut view, method, *params);
        }
        jsonrpc::Kind::Response { id, result } => {
            view.shape = Shape::Response;
            view.id = Some(id.clone());
            read_result(&mut view, *result);
        }
        jsonrpc::Kind::Error { id, error } => {
            view.shape = Shape::Error;
            view.id.clone_from(id);
            view.error_code = error.code;
            view.result_digest = message
                .raw
                .get("error")
                .map(|error| fingerprint::of_bytes(error.raw().as_bytes()));
        }
        jsonrpc::Kind::Invalid(problem) => view.problem = Some(problem),
    }
    view
}

fn read_call<'a>(view: &mut View<'a>, method: &str, params: Option<Json<'a>>) {
    view.method = Some(text::name(method));
    let Some(params) = params else { return };
    for (key, value) in params.fields() {
        match &*key {
            "name" if matches!(method, "tools/call" | "prompts/get") => view.target = name(value),
            "uri"
                if method.starts_with("resources/")
                    || method.starts_with("notifications/resources/") =>
            {
                view.target = name(value);
            }
            "taskId" if method.starts_with("tasks/") => {
                view.target = name(value);
                view.task.clone_from(&view.target);
            }
            "taskId" if method.starts_with("notifications/tasks") => view.task = name(value),
            "arguments" => view.arguments = Some(value.raw()),
            "protocolVersion" => view.protocol_version = name(value),
            "clientInfo" => view.implementation = implementation(value),
            "progressToken" => view.progress_token = Id::read(value),
            "requestId" => view.cancels = Id::read(value),
            "requestState" => view.request_state = state(value),
            "inputResponses" => view.input_responses = !value.is_null(),
            "_meta" => read_meta(view, value),
            _ => {}
        }
    }
}

fn read_result(view: &mut View<'_>, result: Json<'_>) {
    view.result_digest = Some(fingerprint::of_bytes(result.raw().as_bytes()));
    for (key, value) in result.fields() {
        match &*key {
            "isError" => view.is_error = value.bool(),
            "protocolVersion" => view.protocol_version = name(value),
            "serverInfo" => view.implementation = implementation(value),
            "task" => view.task = value.get("taskId").and_then(name),
            "taskId" => view.task = name(value),
            "resultType" => view.result_type = name(value),
            "requestState" => view.request_state = state(value),
            "tools" => view.tools = value.items().take(ENTRIES).filter_map(tool).collect(),
            "_meta" => read_meta(view, value),
            _ => {}
        }
    }
}

/// Reads `_meta`: its keys are prefixed by reverse domain since 2025-06-18; trace context is not prefixed (SEP-414).
fn read_meta(view: &mut View<'_>, meta: Json<'_>) {
    for (key, value) in meta.fields() {
        match &*key {
            "progressToken" => view.progress_token = Id::read(value),
            "traceparent" => view.traceparent = name(value),
            "io.modelcontextprotocol/protocolVersion" => view.protocol_version = name(value),
            "io.modelcontextprotocol/related-task" if view.task.is_none() => {
                view.task = value.get("taskId").and_then(name);
            }
            "io.modelcontextprotocol/clientInfo" | "io.modelcontextprotocol/serverInfo" => {
                view.implementation = implementation(value);
            }
            _ => {}
        }
    }
}

fn name(value: Json<'_>) -> Option<String> {
    value.str().map(|text| text::name(&text))
}

fn state(value: Json<'_>) -> Option<Fingerprint> {
    (!value.is_null()).then(|| fingerprint::of_bytes(value.raw().as_bytes()))
}

fn implementation(value: Json<'_>) -> Option<String> {
    let name = value.get_str("name")?;
    let version = value.get_str("version").unwrap_or_default();
    Some(text::name(format!("{name} {version}").trim_end()))
}

fn tool(entry: Json<'_>) -> Option<ToolEntry> {
    if entry.kind() != JsonKind::Object {
        return None;
    }
    Some(ToolEntry {
        name: name(entry.get("name")?)?,
        digest: fingerprint::of_bytes(entry.raw().as_bytes()),
    })
}

#[cfg(test)]
#[path = "mcp_tests.rs"]
mod tests;
