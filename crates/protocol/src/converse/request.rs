//! `POST /model/{model}/converse` and `/converse-stream`.

use super::block;
use crate::conversation::Conversation;
use crate::json::Json;

pub(crate) fn read(body: Json<'_>, conversation: &mut Conversation) {
    for (key, value) in body.fields() {
        match &*key {
            "system" => {
                conversation.begin_system();
                value.items().for_each(|part| block(part, conversation));
                conversation.close();
            }
            "messages" => {
                for message in value.items() {
                    conversation.begin(&message.get_str("role").unwrap_or_default());
                    let content = message.get("content").into_iter().flat_map(Json::items);
                    content.for_each(|part| block(part, conversation));
                }
                conversation.close();
            }
            "toolConfig" => {
                let tools = value.get("tools").into_iter().flat_map(Json::items);
                conversation.view.tools = tools
                    .filter(|tool| tool.get("cachePoint").is_none())
                    .count() as u64;
            }
            _ => {}
        }
    }
}
