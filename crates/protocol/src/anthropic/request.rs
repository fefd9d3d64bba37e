//! `POST /v1/messages`.

use super::content;
use crate::conversation::Conversation;
use crate::json::Json;

pub(crate) fn read(body: Json<'_>, conversation: &mut Conversation) {
    for (key, value) in body.fields() {
        match &*key {
            "model" => conversation.model(value),
            "stream" => conversation.stream(value),
            "tools" => conversation.view.tools = value.items().count() as u64,
            "system" => {
                conversation.begin_system();
                content(value, conversation);
                conversation.close();
            }
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

fn message(message: Json<'_>, conversation: &mut Conversation) {
    let (mut role, mut blocks) = (None, None);
    for (key, value) in message.fields() {
        match &*key {
            "role" => role = value.str(),
            "content" => blocks = Some(value),
            _ => {}
        }
    }
    conversation.begin(role.as_deref().unwrap_or_default());
    if let Some(blocks) = blocks {
        content(blocks, conversation);
    }
}
