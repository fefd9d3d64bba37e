//! A request's messages on their way into a view.

use crate::fingerprint::Message;
use crate::json::Json;
use crate::limits::{ENTRIES, MESSAGES};
use crate::operation::ModelCall;
use crate::parts::{Call, Output, Parts, Print};
use crate::text;
use crate::view::{RequestView, ToolResultView};
use std::collections::HashMap;

/// Builds a [`RequestView`] message by message.
pub(crate) struct Conversation {
    pub(crate) view: RequestView,
    open: Option<Open>,
    count: u64,
    unknown: u64,
    /// Tool names by call id, to name results that state only the id.
    names: HashMap<String, String>,
    /// Results since the model's last message, and those before it.
    fresh: Vec<ToolResultView>,
    former: Vec<ToolResultView>,
    model_spoke_last: bool,
}

struct Open {
    message: Message,
    system: bool,
}

impl Conversation {
    pub(crate) fn new(call: &ModelCall) -> Self {
        let mut view = RequestView::default();
        call.api.as_str().clone_into(&mut view.gen_ai.api);
        view.gen_ai.operation = Some(call.api.operation().to_owned());
        view.gen_ai.request_model.clone_from(&call.model);
        view.gen_ai.stream = call.stream;
        Self {
            view,
            open: None,
            count: 0,
            unknown: 0,
            names: HashMap::new(),
            fresh: Vec::new(),
            former: Vec::new(),
            model_spoke_last: false,
        }
    }

    /// Begins the next message; what follows are its parts.
    pub(crate) fn begin(&mut self, role: &str) {
        self.close();
        self.open = Some(Open {
            message: Message::new(role),
            system: false,
        });
    }

    /// Begins the system prompt that stands outside the messages.
    pub(crate) fn begin_system(&mut self) {
        self.close();
        self.open = Some(Open {
            message: Message::new("system"),
            system: true,
        });
    }

    /// The role of the message in hand.
    pub(crate) fn role(&self) -> Option<&str> {
        self.open.as_ref().map(|open| open.message.role())
    }

    /// The model that the body names; the path's word stands where there is none.
    pub(crate) fn model(&mut self, value: Json<'_>) {
        if let Some(model) = value.str() {
            self.view.gen_ai.request_model = Some(text::name(&model));
        }
    }

    pub(crate) fn stream(&mut self, value: Json<'_>) {
        if let Some(stream) = value.bool() {
            self.view.gen_ai.stream = Some(stream);
        }
    }

    pub(crate) fn finish(mut self) -> RequestView {
        self.close();
        // A last message by the model is a beginning that it shall continue: the results before it are still new.
        let results = if self.model_spoke_last && self.fresh.is_empty() {
            self.former
        } else {
            self.fresh
        };
        self.view.tool_results = results;
        for result in &mut self.view.tool_results {
            if result.name.is_none() {
                result.name = result
                    .id
                    .as_ref()
                    .and_then(|id| self.names.get(id))
                    .cloned();
            }
        }
        self.view.gen_ai.messages = Some(self.count);
        self.view.gen_ai.unknown = (self.unknown > 0).then_some(self.unknown);
        if self.count > MESSAGES as u64 && self.view.problem.is_none() {
            self.view.problem = Some(format!(
                "only the first {MESSAGES} messages have fingerprints"
            ));
        }
        self.view
    }

    /// Closes the message in hand.
    pub(crate) fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        if open.system {
            self.view.system = Some(open.message.finish());
            return;
        }
        self.model_spoke_last = matches!(open.message.role(), "assistant" | "model");
        if self.model_spoke_last {
            self.former = std::mem::take(&mut self.fresh);
        }
        self.count += 1;
        if self.view.messages.len() < MESSAGES {
            self.view.messages.push(open.message.finish());
        }
    }

    fn message(&mut self) -> &mut Message {
        let open = self.open.get_or_insert_with(|| Open {
            message: Message::new("user"),
            system: false,
        });
        &mut open.message
    }
}

impl Parts for Conversation {
    fn text(&mut self, text: &str) {
        self.message().text(text);
    }

    fn reasoning(&mut self, _bytes: usize) {}

    fn call(&mut self, call: Call<'_>) {
        self.view.tool_calls_total += 1;
        if let Some(id) = call.id.as_deref() {
            self.message().note_call(id);
            if self.names.len() < ENTRIES {
                self.names.insert(text::name(id), text::name(&call.name));
            }
        }
        if call.print != Print::Absent {
            let id = call.id.as_deref().filter(|_| call.print == Print::Whole);
            self.message().call(id, &call.name, call.arguments.digest());
        }
    }

    fn result(&mut self, output: Output<'_>) {
        self.view.tool_results_total += 1;
        if let Some(id) = output.id.as_deref() {
            self.message().note_result(id);
        }
        if output.print != Print::Absent {
            let key = match output.print {
                Print::Whole => output.id.as_deref(),
                _ => output.name.as_deref(),
            };
            self.message()
                .result(key, output.is_error == Some(true), output.digest);
        }
        if self.fresh.len() < ENTRIES && !output.provider_executed {
            let message = self.count;
            self.fresh.push(output.view(message));
        }
    }

    fn other(&mut self, tag: &str, value: Json<'_>) {
        self.message().json(tag, value);
    }

    fn unknown(&mut self, tag: &str, value: Json<'_>) {
        self.unknown += 1;
        self.message().json(tag, value);
    }
}

impl Output<'_> {
    /// The view of this result in the message of this index.
    pub(crate) fn view(&self, message: u64) -> ToolResultView {
        ToolResultView {
            id: self.id.as_deref().map(text::name),
            name: self.name.as_deref().map(text::name),
            is_error: self.is_error,
            digest: self.digest,
            bytes: self.bytes,
            message,
            provider_executed: self.provider_executed,
        }
    }
}
