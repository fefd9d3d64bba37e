//! The request of both methods.

use super::{either, part};
use crate::conversation::Conversation;
use crate::json::Json;
use std::borrow::Cow;

pub(crate) fn read(body: Json<'_>, conversation: &mut Conversation) {
    for (key, value) in body.fields().filter(|(_, value)| !value.is_null()) {
        match &*key {
            "systemInstruction" | "system_instruction" => {
                conversation.begin_system();
                parts(value, conversation);
                conversation.close();
            }
            "contents" => contents(value, conversation),
            "tools" => conversation.view.tools = value.items().map(declared).sum(),
            "cachedContent" | "cached_content" => conversation.view.context_off_wire = true,
            _ => {}
        }
    }
}

/// A list of contents, or the one that a short form sends.
fn contents(value: Json<'_>, conversation: &mut Conversation) {
    let single = std::iter::once(value).filter(|value| value.get("parts").is_some());
    for content in value.items().chain(single) {
        let role = content.get_str("role").unwrap_or(Cow::Borrowed("user"));
        conversation.begin(&role);
        parts(content, conversation);
    }
    conversation.close();
}

fn parts(content: Json<'_>, conversation: &mut Conversation) {
    let Some(value) = content.get("parts") else {
        return;
    };
    let single = std::iter::once(value).filter(|value| value.get("text").is_some());
    for value in value.items().chain(single) {
        part(value, conversation);
    }
}

/// Functions of a tool, or the one built-in tool that it is.
fn declared(tool: Json<'_>) -> u64 {
    either(tool, "functionDeclarations", "function_declarations")
        .map_or(1, |list| list.items().count() as u64)
}
