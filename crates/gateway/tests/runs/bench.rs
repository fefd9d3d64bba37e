//! An agent that asks, and a model that answers.

use gateway::runs::{Assignment, Continuity, Ids, Request, Tracker};
use protocol::{Fingerprint, MessageView, RequestView, ResponseView};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// A message: `system`, `user`, `assistant`, `tool`, and its text, which is its identity.
pub(crate) fn message(role: &str, text: &str) -> MessageView {
    let mut digest = [0u8; 32];
    for (part, bytes) in digest.chunks_mut(8).enumerate() {
        let mut hasher = DefaultHasher::new();
        (part, role, text).hash(&mut hasher);
        bytes.copy_from_slice(&hasher.finish().to_be_bytes());
    }
    MessageView {
        role: role.into(),
        fingerprint: Fingerprint(digest),
        text: text.into(),
        tool_call_ids: Vec::new(),
        tool_result_ids: Vec::new(),
    }
}

pub(crate) fn view(messages: &[MessageView]) -> RequestView {
    RequestView {
        gen_ai: event::GenAi {
            api: "anthropic.messages".into(),
            ..Default::default()
        },
        messages: messages.to_vec(),
        ..Default::default()
    }
}

pub(crate) fn answer(message: &MessageView) -> ResponseView {
    ResponseView {
        message: Some(message.clone()),
        terminated: true,
        ..Default::default()
    }
}

#[derive(Default)]
pub(crate) struct Bench {
    pub(crate) tracker: Tracker,
    pub(crate) clock: u64,
}

impl Bench {
    pub(crate) fn request(&mut self, request: &Request<'_>) -> Option<Assignment> {
        self.clock += 1;
        self.tracker
            .assign(request, self.clock, u128::from(self.clock) << 32)
    }

    pub(crate) fn ask_as(&mut self, agent: &str, ids: Ids<'_>, view: &RequestView) -> Assignment {
        let continuity = Continuity::Messages(view);
        self.request(&Request {
            agent,
            ids,
            continuity,
            tool_call: None,
            retry_of: None,
        })
        .unwrap()
    }

    pub(crate) fn ask(&mut self, messages: &[MessageView]) -> Assignment {
        self.ask_as("a", Ids::default(), &view(messages))
    }

    pub(crate) fn answer(&mut self, assignment: &Assignment, message: &MessageView) {
        self.tracker
            .answered("a", assignment.turn.unwrap(), Some(&answer(message)));
    }

    /// Asks once more, as a client that says which attempt it repeats.
    pub(crate) fn retry(&mut self, of: &Assignment, messages: &[MessageView]) -> Assignment {
        let view = view(messages);
        self.request(&Request {
            agent: "a",
            ids: Ids::default(),
            continuity: Continuity::Messages(&view),
            tool_call: None,
            retry_of: Some(&of.run.id),
        })
        .unwrap()
    }

    /// Asks, answers, and adds the answer to the conversation.
    pub(crate) fn turn(&mut self, messages: &mut Vec<MessageView>, reply: &str) -> Assignment {
        let assignment = self.ask(messages);
        let reply = message("assistant", reply);
        self.answer(&assignment, &reply);
        messages.push(reply);
        assignment
    }
}

pub(crate) fn changes(assignment: &Assignment) -> Vec<(&str, u64)> {
    assignment
        .history
        .iter()
        .map(|h| (h.change.as_str(), h.at))
        .collect()
}

pub(crate) fn by(assignment: &Assignment) -> &str {
    assignment.run.by.as_deref().unwrap()
}
