//! Items: what both the input and the output of the Responses API are made of.

use crate::json::{Json, Kind};
use crate::parts::{Arguments, Call, Output, Parts, Print, content_digest, id_in, wire_bytes};
use std::borrow::Cow;

/// Whose item it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Side<'a> {
    /// A message with a role of its own.
    Message(Cow<'a, str>),
    /// The model's: reasoning, calls.
    Model,
    /// What the agent answers to calls.
    Tool,
    /// Neither: it points at something that is not on the wire.
    Reference,
}

pub(super) fn kind(item: Json<'_>) -> Cow<'_, str> {
    item.get_str("type").unwrap_or(Cow::Borrowed("message"))
}

/// Who ran what an output is the output of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Provider,
    Agent,
}

/// `by`: who answers to calls of kinds that both may run, here.
pub(super) fn side<'a>(item: Json<'a>, kind: &str, by: By) -> Side<'a> {
    match kind {
        "message" => Side::Message(item.get_str("role").unwrap_or(Cow::Borrowed("user"))),
        "item_reference" => Side::Reference,
        "mcp_approval_response" => Side::Tool,
        _ if kind.ends_with("_output") => match output_by(item, kind, by) {
            By::Provider => Side::Model,
            By::Agent => Side::Tool,
        },
        _ => Side::Model,
    }
}

fn is_server(item: Json<'_>) -> bool {
    item.get_str("execution")
        .is_some_and(|execution| execution == "server")
}

/// Whether it is a call: all of a kind `..._call`, and two that are called otherwise.
pub(super) fn is_call(kind: &str) -> bool {
    kind.ends_with("_call") || matches!(kind, "mcp_approval_request" | "program")
}

/// The id that the outputs of this call name, where the provider runs it.
pub(super) fn provider_call<'a>(item: Json<'a>, kind: &str) -> Option<Cow<'a, str>> {
    let provider = is_call(kind) && is_provider(item, kind);
    id_in(item, "call_id").filter(|_| provider)
}

/// Reads a whole item into the message it belongs to. `by`: as for [`side`].
pub(super) fn read(item: Json<'_>, kind: &str, by: By, parts: &mut impl Parts) {
    match kind {
        "message" => message(item, parts),
        "reasoning" => parts.reasoning(reasoning_bytes(item)),
        // Lists of tools and pointers say nothing that a client sends back.
        "mcp_list_tools" | "item_reference" | "additional_tools" => {}
        "compaction" | "compaction_summary" | "compaction_trigger" => parts.other(kind, item),
        "mcp_approval_response" => parts.result(approval(item)),
        _ if is_call(kind) => {
            parts.call(call(item, kind));
            if is_provider(item, kind) {
                provider_result(item, parts);
            }
        }
        _ if kind.ends_with("_output") => {
            parts.result(output(item, output_by(item, kind, by)));
        }
        _ => parts.unknown(kind, item),
    }
}

fn message(item: Json<'_>, parts: &mut impl Parts) {
    let Some(content) = item.get("content") else {
        return;
    };
    if let Some(text) = content.str() {
        parts.text(&text);
    }
    for part in content.items() {
        let fields = part.object();
        let kind = fields.get_str("type").unwrap_or_default();
        match &*kind {
            "input_text" | "output_text" | "text" | "summary_text" => {
                parts.text(&fields.get_str("text").unwrap_or_default());
            }
            "refusal" => parts.text(&fields.get_str("refusal").unwrap_or_default()),
            "reasoning_text" => parts.reasoning(part.get_str("text").map_or(0, |text| text.len())),
            "input_image" | "input_file" | "input_audio" | "output_audio" => {
                parts.other(&kind, part)
            }
            _ => parts.unknown(&kind, part),
        }
    }
}

/// Text of summaries and of open reasoning; what is encrypted counts only where nothing is readable.
fn reasoning_bytes(item: Json<'_>) -> usize {
    let texts = |field: &str| -> usize {
        let parts = item.get(field).into_iter().flat_map(Json::items);
        parts
            .filter_map(|part| part.get_str("text"))
            .map(|text| text.len())
            .sum()
    };
    let readable = texts("summary") + texts("content");
    if readable > 0 {
        readable
    } else {
        item.get_str("encrypted_content")
            .map_or(0, |text| text.len())
    }
}

/// Whether the provider runs it. New kinds of calls are the provider's unless they say otherwise.
fn is_provider(item: Json<'_>, kind: &str) -> bool {
    match kind {
        "function_call" | "custom_tool_call" | "computer_call" | "local_shell_call"
        | "apply_patch_call" => false,
        // A question: nothing runs before it is answered.
        "mcp_approval_request" => false,
        "shell_call" => item
            .get("environment")
            .and_then(|place| place.get_str("type"))
            .is_some_and(|place| place != "local"),
        "tool_search_call" => item
            .get_str("execution")
            .is_none_or(|execution| execution == "server"),
        _ => true,
    }
}

/// Who ran what this is the output of. `unsaid`: whoever does so here for kinds that both may run.
fn output_by(item: Json<'_>, kind: &str, unsaid: By) -> By {
    match kind {
        "function_call_output"
        | "custom_tool_call_output"
        | "computer_call_output"
        | "local_shell_call_output"
        | "apply_patch_call_output" => By::Agent,
        "program_output" => By::Provider,
        "tool_search_output" if is_server(item) => By::Provider,
        "tool_search_output" => By::Agent,
        _ => unsaid,
    }
}

/// How a call of this kind enters the message's fingerprint. A client may leave out the provider's items and its questions,
/// or send only their ids: the provider has them.
pub(super) fn call_print(kind: &str, provider_executed: bool) -> Print {
    if provider_executed || kind == "mcp_approval_request" {
        Print::Absent
    } else {
        Print::Whole
    }
}

/// The call that a whole item is, or the beginning of one.
pub(super) fn call<'a>(item: Json<'a>, kind: &str) -> Call<'a> {
    let provider_executed = is_provider(item, kind);
    let arguments = [
        "arguments",
        "input",
        "code",
        "action",
        "actions",
        "operation",
        "queries",
    ]
    .into_iter()
    .find_map(|field| item.get(field).filter(|value| !value.is_null()));
    let bare = kind.strip_suffix("_call").unwrap_or(kind);
    Call {
        id: id_in(item, "call_id").or_else(|| id_in(item, "id")),
        name: item
            .get_str("name")
            .unwrap_or_else(|| Cow::Owned(bare.to_owned())),
        arguments: Arguments::from(arguments),
        kind: Cow::Owned(kind.to_owned()),
        provider_executed,
        complete: true,
        print: call_print(kind, provider_executed),
    }
}

/// The result that a provider's call carries in itself.
fn provider_result(item: Json<'_>, parts: &mut impl Parts) {
    let field = |name: &str| item.get(name).filter(|value| !value.is_null());
    let error = field("error");
    let Some(content) = error
        .or_else(|| field("output"))
        .or_else(|| field("outputs"))
        .or_else(|| field("results"))
    else {
        return;
    };
    parts.result(Output {
        id: id_in(item, "call_id").or_else(|| id_in(item, "id")),
        name: item.get_str("name"),
        is_error: error.is_some().then_some(true),
        digest: content_digest(Some(content)),
        bytes: wire_bytes(Some(content)),
        provider_executed: true,
        print: Print::Absent,
    });
}

/// What the agent's side answers to `mcp_approval_request`: a denial is its failure.
fn approval(item: Json<'_>) -> Output<'_> {
    let field = |name: &str| item.get(name).filter(|value| !value.is_null());
    let content = field("reason").or_else(|| field("approve"));
    let denied = field("approve").and_then(Json::bool) == Some(false);
    Output {
        id: id_in(item, "approval_request_id"),
        name: None,
        is_error: denied.then_some(true),
        digest: content_digest(content),
        bytes: wire_bytes(content),
        provider_executed: false,
        print: Print::Whole,
    }
}

fn output(item: Json<'_>, by: By) -> Output<'_> {
    let content = ["output", "tools", "result"]
        .into_iter()
        .find_map(|field| item.get(field));
    let provider = by == By::Provider;
    let content = content.filter(|content| content.kind() != Kind::Null);
    Output {
        id: id_in(item, "call_id").or_else(|| id_in(item, "id")),
        name: item.get_str("name"),
        is_error: item
            .get_str("status")
            .and_then(|status| (status == "failed").then_some(true)),
        digest: content_digest(content),
        bytes: wire_bytes(content),
        provider_executed: provider,
        print: if provider {
            Print::Absent
        } else {
            Print::Whole
        },
    }
}
