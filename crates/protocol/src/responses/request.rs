//! `POST /v1/responses`.

use super::item::{self, By, Side};
use crate::conversation::Conversation;
use crate::json::{Json, Kind};
use crate::limits::{ENTRIES, NAME_BYTES};
use crate::parts::Parts as _;
use crate::text;
use std::collections::HashSet;

pub(crate) fn read(body: Json<'_>, conversation: &mut Conversation) {
    for (key, value) in body.fields().filter(|(_, value)| !value.is_null()) {
        match &*key {
            "model" => conversation.model(value),
            "stream" => conversation.stream(value),
            "background" => conversation.view.background = value.bool().unwrap_or_default(),
            "tools" => conversation.view.tools = value.items().count() as u64,
            "previous_response_id" => {
                conversation.view.previous_response_id = value.str().map(|id| text::name(&id));
                conversation.view.context_off_wire = true;
            }
            "conversation" => {
                let id = value.str().or_else(|| value.get_str("id"));
                conversation.view.conversation = id.map(|id| text::name(&id));
                conversation.view.context_off_wire = true;
            }
            "instructions" => {
                conversation.begin_system();
                if let Some(text) = value.str() {
                    conversation.text(&text);
                }
                for item in value.items() {
                    item::read(item, &item::kind(item), By::Agent, conversation);
                }
                conversation.close();
            }
            "input" => input(value, conversation),
            _ => {}
        }
    }
}

/// One item, or a list of them, or a user's text.
pub(super) fn input(value: Json<'_>, conversation: &mut Conversation) {
    if let Some(text) = value.str() {
        conversation.begin("user");
        conversation.text(&text);
    }
    // Calls that the provider ran: the client sends back their outputs as well.
    let mut by_provider = HashSet::new();
    let single = (value.kind() == Kind::Object).then_some(value);
    for item in single.into_iter().chain(value.items()) {
        let kind = item::kind(item);
        if let Some(id) = item::provider_call(item, &kind)
            && by_provider.len() < ENTRIES
        {
            by_provider.insert(text::name(&id));
        }
        let answers = |id: &str| by_provider.contains(text::prefix(id, NAME_BYTES));
        let by = match item
            .get_str("call_id")
            .filter(|_| kind.ends_with("_output"))
        {
            Some(id) if answers(&id) => By::Provider,
            _ => By::Agent,
        };
        let role = match item::side(item, &kind, by) {
            Side::Message(role) => role,
            Side::Model => "assistant".into(),
            Side::Tool => "tool".into(),
            Side::Reference => {
                conversation.view.context_off_wire = true;
                continue;
            }
        };
        // Neighbouring items of one side are one message, as the answer that they came from was one.
        let joins = matches!(&*role, "assistant" | "tool") && conversation.role() == Some(&*role);
        if !joins {
            conversation.begin(&role);
        }
        item::read(item, &kind, by, conversation);
    }
    conversation.close();
}
