//! One run as a story: which model was asked what, what it said, which tools ran with which
//! arguments and what they gave, how each call ended, and where the record has holes.
//!
//! A function of the run's event lines and their bodies; reads no file itself. What the bodies
//! say is a view: rebuilt from the bytes each time, never stored.

mod collect;
mod steps;
mod tell;
mod texts;

pub(crate) use collect::Collector;
pub(crate) use tell::tell;

use crate::summary::RunSummary;
use event::BodyRef;
use serde::Serialize;

/// How a body is fetched: its bytes as they passed, or why they cannot be had.
pub(crate) type Bodies<'a> = dyn FnMut(&BodyRef) -> Result<Vec<u8>, String> + 'a;

/// The story of one run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Timeline {
    /// Who, when, how much.
    #[serde(flatten)]
    pub(crate) summary: RunSummary,
    /// The client software, as it named itself.
    pub(crate) client: Option<String>,
    /// How the events were assigned to the run.
    pub(crate) grouped_by: Option<String>,
    /// Models that answered.
    pub(crate) models: Vec<String>,
    /// Runs that this one delegated to.
    pub(crate) children: Vec<Child>,
    /// Where other runs fitted as well as this one.
    pub(crate) twins: Vec<Twin>,
    /// Whether nothing speaks against the record of this run being whole.
    pub(crate) whole: bool,
    /// What speaks against it, in sentences.
    pub(crate) doubts: Vec<String>,
    /// What happened, in the order in which it began.
    pub(crate) steps: Vec<Step>,
}

/// A run that another one delegated to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Child {
    /// Its id.
    pub(crate) run: String,
    /// Its agent.
    pub(crate) agent: Option<String>,
    /// The event that shows it.
    pub(crate) seq: u64,
    /// When.
    pub(crate) time: String,
}

/// A place where what a request says did not tell this run from others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Twin {
    /// The event that says so.
    pub(crate) seq: u64,
    /// `same-opening` or `same-history`.
    pub(crate) by: String,
    /// One of the other runs.
    pub(crate) run: String,
    /// How many others there are.
    pub(crate) runs: u64,
}

/// One thing that happened.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Step {
    /// The event that began it.
    pub(crate) seq: u64,
    /// When.
    pub(crate) time: String,
    /// Microseconds after the run's first event, by the wall clock.
    pub(crate) after_us: Option<u64>,
    /// What.
    #[serde(flatten)]
    pub(crate) what: What,
}

/// What happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub(crate) enum What {
    /// A model was asked.
    Model(ModelStep),
    /// A tool was called over MCP.
    Tool(ToolStep),
    /// Any other call: MCP, HTTP, a process.
    Call(CallStep),
    /// Messages that are no calls, the same kind in a row counted together.
    Messages(MessagesStep),
    /// The message history does not continue what was seen.
    History(event::History),
    /// Something was not recorded.
    Gap(event::Gap),
    /// Another run began on behalf of this one.
    Delegation(Child),
}

/// A call of a model.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct ModelStep {
    /// Wire format.
    pub(crate) api: String,
    /// The model that answered, else the one that was asked for.
    pub(crate) model: Option<String>,
    /// Messages in the request.
    pub(crate) messages: Option<u64>,
    /// 1 for the first attempt.
    pub(crate) attempt: Option<u32>,
    /// What was new in the request: the user's words, results of tools.
    pub(crate) asked: Vec<Asked>,
    /// What the model said; the beginning of it.
    pub(crate) said: String,
    /// Bytes of what it said, all of it.
    pub(crate) said_bytes: u64,
    /// Bytes of reasoning on the wire.
    pub(crate) reasoning_bytes: u64,
    /// Tools that it called.
    pub(crate) called: Vec<Called>,
    /// Why it stopped.
    pub(crate) finish_reasons: Vec<String>,
    /// Tokens, as the provider reported them.
    pub(crate) usage: Option<event::Usage>,
    /// How the call ended; nothing while it is open.
    pub(crate) end: Option<End>,
    /// What could not be read of the bodies.
    pub(crate) problems: Vec<String>,
}

/// One thing that a request told the model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Asked {
    /// `user`, `system`, `tool`, ... as the wire says.
    pub(crate) role: String,
    /// For a tool's result: the tool.
    pub(crate) tool: Option<String>,
    /// For a tool's result: the call it answers.
    pub(crate) id: Option<String>,
    /// For a tool's result: whether it reports an error.
    pub(crate) is_error: Option<bool>,
    /// The beginning of its text.
    pub(crate) text: String,
    /// For a tool's result: the last tool call over MCP before it that gave exactly this text.
    pub(crate) given_by: Option<u64>,
    /// For a tool's result: SHA-256 of all of it.
    #[serde(skip)]
    pub(crate) digest: Option<[u8; 32]>,
}

/// A tool that a model called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Called {
    /// Its name.
    pub(crate) name: String,
    /// The id that the result will name.
    pub(crate) id: Option<String>,
    /// Arguments as the model wrote them; the beginning of them.
    pub(crate) arguments: String,
    /// Run by the provider, so that the recorder cannot see it run.
    pub(crate) provider_executed: bool,
    /// Whether the wire said that the call is complete.
    pub(crate) complete: bool,
}

/// A tool call over MCP.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct ToolStep {
    /// The MCP server.
    pub(crate) server: String,
    /// The tool.
    pub(crate) tool: String,
    /// Arguments as JSON; the beginning of them.
    pub(crate) arguments: String,
    /// What the tool gave back; the beginning of it.
    pub(crate) result: String,
    /// SHA-256 of all that it gave back.
    #[serde(skip)]
    pub(crate) result_digest: Option<[u8; 32]>,
    /// Whether the tool, or the protocol, reports an error.
    pub(crate) is_error: bool,
    /// How the call ended; nothing while it is open.
    pub(crate) end: Option<End>,
    /// What could not be read of the bodies.
    pub(crate) problems: Vec<String>,
}

/// Any other call.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct CallStep {
    /// Kind of the event that opened it.
    pub(crate) kind: String,
    /// What was called.
    pub(crate) what: String,
    /// How it ended; nothing while it is open.
    pub(crate) end: Option<End>,
}

/// Messages in a row that are no calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct MessagesStep {
    /// Kind of the events.
    pub(crate) kind: String,
    /// What they are.
    pub(crate) what: String,
    /// How many.
    pub(crate) count: u64,
    /// The last of them.
    pub(crate) last_seq: u64,
}

/// How a call ended.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct End {
    /// The event that says so.
    pub(crate) seq: u64,
    /// Terminal state.
    pub(crate) state: event::State,
    /// A machine-readable reason.
    pub(crate) error: Option<String>,
    /// The recorder's own words.
    pub(crate) reason: Option<String>,
    /// HTTP status, which is no outcome.
    pub(crate) status: Option<u16>,
    /// How long it took.
    pub(crate) timing: Option<event::Timing>,
    /// Body bytes that passed and were not kept.
    pub(crate) truncated_bytes: u64,
}

#[cfg(test)]
mod tests;
