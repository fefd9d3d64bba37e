//! `POST /v1/chat/completions`.

use super::Message;
use crate::conversation::Conversation;
use crate::json::Json;
use crate::parts::{Output, Parts as _, Print, content_digest, wire_bytes};

pub(crate) fn read(body: Json<'_>, conversation: &mut Conversation) {
    for (key, value) in body.fields() {
        match &*key {
            "model" => conversation.model(value),
            "stream" => conversation.stream(value),
            "tools" | "functions" => conversation.view.tools += value.items().count() as u64,
            "messages" => {
                for message in value.items() {
                    self::message(message, conversation);
                }
                conversation.close();
            }
            _ => {}
        }
    }
}

fn message(value: Json<'_>, conversation: &mut Conversation) {
    let message = Message::read(value);
    let role = message.role.as_deref().unwrap_or_default();
    conversation.begin(role);
    if matches!(role, "tool" | "function") {
        let by_id = message.tool_call_id.is_some();
        conversation.result(Output {
            id: message.tool_call_id,
            name: message.name,
            is_error: None,
            digest: content_digest(message.content),
            bytes: wire_bytes(message.content),
            provider_executed: false,
            print: if by_id {
                Print::Whole
            } else {
                Print::WithoutId
            },
        });
        return;
    }
    message.said(conversation);
    message.called(conversation);
}
