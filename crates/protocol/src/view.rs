//! What the readers hand back. Views hold names, ids, digests and first bytes; the bodies stay where they are.

use std::fmt;

/// SHA-256 over a canonical form of a message: equal when a client sends the same message again, whatever the spelling.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One message of a conversation, as a request carries it or as a client will send back an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageView {
    /// The wire's role: `user`, `assistant`, `model`, `system`, `developer`, `tool`. For OpenAI Responses, neighbouring items of
    /// one side are one message: the model's are `assistant`, tool outputs are `tool`.
    pub role: String,
    /// Digest of role and content. Leaves out what clients change without changing the message: cache marks,
    /// signatures, reasoning, item ids, the difference between a string and one text block.
    pub fingerprint: Fingerprint,
    /// First bytes of its text, at most [`crate::limits::EXCERPT_BYTES`].
    pub text: String,
    /// Ids of the tool calls in it.
    pub tool_call_ids: Vec<String>,
    /// Ids of the tool calls whose results are in it.
    pub tool_result_ids: Vec<String>,
}

/// A tool result that a request hands to the model, or that the provider produced itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolResultView {
    /// The id of the call it answers. Gemini has none on older models.
    pub id: Option<String>,
    /// The tool's name where the result states it, or where the call with this id stands in the same request.
    pub name: Option<String>,
    /// Whether it says it is a failure; `None` where the wire has no such flag.
    pub is_error: Option<bool>,
    /// SHA-256 of the content's canonical form.
    pub digest: Fingerprint,
    /// Bytes of its content on the wire.
    pub bytes: u64,
    /// Index of the message that carries it.
    pub message: u64,
    /// Executed by the provider, not by the agent.
    pub provider_executed: bool,
}

/// A tool call that a model asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCallView {
    /// The tool's name; for a provider's built-in tool the name of its kind (`web_search`, `code_interpreter`).
    pub name: String,
    /// The id that the result will name. Absent on older Gemini models.
    pub id: Option<String>,
    /// Arguments as text, normally JSON, exactly as the model wrote them, up to [`crate::limits::ARGUMENT_BYTES`].
    pub arguments: String,
    /// Length of the arguments in bytes, also where they were cut.
    pub arguments_bytes: u64,
    /// Whether the wire said that the call is complete. A stream that broke leaves `false`.
    pub complete: bool,
    /// Executed by the provider, not by the agent.
    pub provider_executed: bool,
    /// The wire's word for it: `tool_use`, `server_tool_use`, `function`, `function_call`, `mcp_call`, `functionCall`, ...
    pub kind: String,
    /// Index of the choice or candidate it belongs to.
    pub choice: u64,
}

/// What a model request says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestView {
    /// `api`, `operation`, `request_model`, `stream`, `messages`, `unknown`.
    pub gen_ai: event::GenAi,
    /// The system prompt where it stands outside the messages.
    pub system: Option<MessageView>,
    /// The conversation in order, at most [`crate::limits::MESSAGES`]; `gen_ai.messages` counts all.
    pub messages: Vec<MessageView>,
    /// Results behind the model's last message: handed to the model for the first time, unless this is a retry.
    pub tool_results: Vec<ToolResultView>,
    /// All tool results in the request, old ones too.
    pub tool_results_total: u64,
    /// All tool calls in the request's history.
    pub tool_calls_total: u64,
    /// Tools declared to the model.
    pub tools: u64,
    /// OpenAI Responses: the answer that this request continues.
    pub previous_response_id: Option<String>,
    /// OpenAI Responses: the server-side conversation that this request continues.
    pub conversation: Option<String>,
    /// Whether earlier context lies with the provider and not in this request.
    pub context_off_wire: bool,
    /// OpenAI Responses: the request runs in the background.
    pub background: bool,
    /// Why the body could not be read, or not in full.
    pub problem: Option<String>,
}

/// What an answer says, and whether it was whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResponseView {
    /// `api`, `response_model`, `response_id`, `finish_reasons`, `usage`, `reasoning_bytes`, `unknown`.
    pub gen_ai: event::GenAi,
    /// Tool calls in order, at most [`crate::limits::ENTRIES`].
    pub tool_calls: Vec<ToolCallView>,
    /// Results of provider-executed tools in the answer.
    pub tool_results: Vec<ToolResultView>,
    /// First bytes of the text, at most [`crate::limits::EXCERPT_BYTES`].
    pub text: String,
    /// All bytes of the text.
    pub text_bytes: u64,
    /// Bytes of reasoning on the wire: thinking, redacted thinking, summaries, thoughts.
    pub reasoning_bytes: u64,
    /// Error type of an error answer (HTTP status 400 and above).
    pub error: Option<String>,
    /// Error type that arrived in a stream or body after a status of success.
    pub stream_error: Option<String>,
    /// Whether the wire said that the answer is whole: the terminal event, or a whole JSON document.
    pub terminated: bool,
    /// The answer as the client will send it back: the first choice.
    pub message: Option<MessageView>,
    /// The further choices, where several were asked for.
    pub alternatives: Vec<MessageView>,
    /// Events or documents read.
    pub events: u64,
    /// OpenAI Responses: events missing from `sequence_number`.
    pub sequence_holes: u64,
    /// Elements the reader did not know; the same figure as `gen_ai.unknown`.
    pub unknown: u64,
    /// Why the body could not be read, or not in full.
    pub problem: Option<String>,
}

impl From<&ToolCallView> for event::ToolRef {
    fn from(call: &ToolCallView) -> Self {
        Self {
            name: Some(call.name.clone()),
            id: call.id.clone(),
            is_error: None,
            provider_executed: call.provider_executed.then_some(true),
        }
    }
}

impl From<&ToolResultView> for event::ToolRef {
    fn from(result: &ToolResultView) -> Self {
        Self {
            name: result.name.clone(),
            id: result.id.clone(),
            is_error: result.is_error,
            provider_executed: result.provider_executed.then_some(true),
        }
    }
}
