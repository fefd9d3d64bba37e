//! A connection on which many answers are asked for, one message each: Responses over WebSocket, and Realtime.

use super::answer::Reader;
use super::{input, read};
use crate::answer::Answer;
use crate::conversation::Conversation;
use crate::json::Json;
use crate::operation::{Api, ModelCall};
use crate::text;
use crate::view::{RequestView, ResponseView};
use crate::websocket::Direction;
use std::fmt;

/// `gen_ai.api` of what is said in Realtime's words.
const REALTIME: &str = "openai.realtime";

/// What one message says of a model call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// An answer is asked for, or a tool's result handed in.
    Asked(Box<RequestView>),
    /// An answer has ended, or the connection before it: what all its messages said together.
    Answered(Box<ResponseView>),
}

/// Reads the text messages of one direction of such a connection. What it does not know is no concern of its own: each
/// message is recorded whole.
pub struct SessionReader {
    direction: Direction,
    /// The model that the session was told to use.
    model: Option<String>,
    open: Option<Open>,
}

/// An answer under way.
struct Open {
    reader: Reader,
    answer: Answer,
    /// Told in Realtime's words.
    realtime: bool,
}

impl fmt::Debug for SessionReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionReader")
            .field("direction", &self.direction)
            .finish_non_exhaustive()
    }
}

impl SessionReader {
    /// A reader of one direction.
    #[must_use]
    pub const fn new(direction: Direction) -> Self {
        Self {
            direction,
            model: None,
            open: None,
        }
    }

    /// Reads the next text message.
    pub fn feed(&mut self, payload: &[u8]) -> Option<Said> {
        let message = Json::parse(payload).ok()?;
        let kind = message.get_str("type")?;
        if let Some(model) = message
            .get("session")
            .and_then(|session| session.get_str("model"))
        {
            self.model = Some(text::name(&model));
        }
        match self.direction {
            Direction::ClientToServer => self.asked(&kind, message),
            Direction::ServerToClient => self.answered(&kind, message),
        }
    }

    fn asked(&self, kind: &str, message: Json<'_>) -> Option<Said> {
        let mut call = ModelCall::from(Api::OpenAiResponses);
        call.stream = Some(true);
        call.model.clone_from(&self.model);
        let mut conversation = Conversation::new(&call);
        match (kind, message.get("response")) {
            ("response.create", Some(response)) => {
                REALTIME.clone_into(&mut conversation.view.gen_ai.api);
                read(response, &mut conversation);
            }
            ("response.create", None) => read(message, &mut conversation),
            ("conversation.item.create", _) => {
                REALTIME.clone_into(&mut conversation.view.gen_ai.api);
                input(message.get("item")?, &mut conversation);
            }
            _ => return None,
        }
        let view = conversation.finish();
        let is_call = kind == "response.create" || !view.tool_results.is_empty();
        is_call.then(|| Said::Asked(Box::new(view)))
    }

    fn answered(&mut self, kind: &str, message: Json<'_>) -> Option<Said> {
        if kind == "error" {
            // Without an answer under way it concerns the message that it names.
            self.open.as_ref()?;
        } else if !kind.starts_with("response.") {
            return None;
        }
        let open = self.open.get_or_insert_with(|| Open {
            reader: Reader::default(),
            answer: Answer::new(Api::OpenAiResponses, false),
            realtime: false,
        });
        open.realtime = message.get("event_id").is_some();
        open.answer.count_event();
        open.reader.event(kind, message, &mut open.answer);
        if !open.answer.terminal {
            return None;
        }
        self.ended()
    }

    /// Ends the connection: an answer that was under way is told as far as it came, as one that has no end. What has neither
    /// a name nor a call of a tool in it was none.
    pub fn finish(mut self) -> Option<Said> {
        self.ended().filter(|said| match said {
            Said::Answered(view) => {
                view.gen_ai.response_id.is_some() || !view.tool_calls.is_empty()
            }
            Said::Asked(_) => true,
        })
    }

    fn ended(&mut self) -> Option<Said> {
        let Open {
            mut reader,
            mut answer,
            realtime,
        } = self.open.take()?;
        reader.finish(&mut answer);
        let mut view = answer.finish(false);
        if realtime {
            REALTIME.clone_into(&mut view.gen_ai.api);
        }
        view.gen_ai.response_model = view.gen_ai.response_model.or_else(|| self.model.clone());
        Some(Said::Answered(Box::new(view)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn feed(reader: &mut SessionReader, message: serde_json::Value) -> Option<Said> {
        reader.feed(message.to_string().as_bytes())
    }

    fn request(said: Option<Said>) -> RequestView {
        match said {
            Some(Said::Asked(view)) => *view,
            other => panic!("{other:?}"),
        }
    }

    fn answer(said: Option<Said>) -> ResponseView {
        match said {
            Some(Said::Answered(view)) => *view,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn responses_over_websocket_say_model_tools_and_usage() {
        let mut up = SessionReader::new(Direction::ClientToServer);
        let view = request(feed(
            &mut up,
            json!({"type": "response.create", "model": "gpt-5", "previous_response_id": "resp_1", "tools": [{"type": "function", "name": "mail"}],
                "input": [{"type": "function_call_output", "call_id": "call_1", "output": "sent"}]}),
        ));
        assert_eq!(view.gen_ai.api, "openai.responses");
        assert_eq!(view.gen_ai.request_model.as_deref(), Some("gpt-5"));
        assert_eq!(view.previous_response_id.as_deref(), Some("resp_1"));
        assert_eq!(view.tool_results[0].id.as_deref(), Some("call_1"));

        let mut down = SessionReader::new(Direction::ServerToClient);
        for (n, id) in ["resp_2", "resp_3"].into_iter().enumerate() {
            let item = json!({"type": "function_call", "id": "fc_1", "call_id": "call_2", "name": "mail", "arguments": "{\"to\":1}", "status": "completed"});
            for message in [
                json!({"type": "response.created", "sequence_number": 0, "response": {"id": id, "model": "gpt-5-2026", "status": "in_progress"}}),
                json!({"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": {"type": "function_call", "call_id": "call_2", "name": "mail", "arguments": ""}}),
                json!({"type": "response.output_item.done", "sequence_number": 2, "output_index": 0, "item": item}),
            ] {
                assert_eq!(feed(&mut down, message), None);
            }
            let view = answer(feed(
                &mut down,
                json!({"type": "response.completed", "sequence_number": 3, "response": {"id": id, "model": "gpt-5-2026", "status": "completed",
                    "output": [item], "usage": {"input_tokens": 10 + n, "output_tokens": 5, "input_tokens_details": {"cached_tokens": 4}}}}),
            ));
            assert_eq!(view.gen_ai.response_id.as_deref(), Some(id));
            assert_eq!(view.gen_ai.response_model.as_deref(), Some("gpt-5-2026"));
            let usage = view.gen_ai.usage.unwrap();
            assert_eq!(usage.input_tokens, Some(10 + n as u64));
            assert_eq!(usage.cache_read_input_tokens, Some(4));
            assert_eq!(view.tool_calls.len(), 1);
            assert_eq!(view.tool_calls[0].name, "mail");
            assert_eq!((view.terminated, view.sequence_holes), (true, 0));
        }
    }

    #[test]
    fn realtime_says_it_in_its_own_words() {
        let mut up = SessionReader::new(Direction::ClientToServer);
        assert_eq!(
            feed(
                &mut up,
                json!({"type": "session.update", "session": {"model": "gpt-realtime"}})
            ),
            None
        );
        assert_eq!(
            feed(
                &mut up,
                json!({"type": "input_audio_buffer.append", "audio": "AAAA"})
            ),
            None
        );
        let view = request(feed(
            &mut up,
            json!({"type": "conversation.item.create", "item": {"type": "function_call_output", "call_id": "call_1", "output": "{}"}}),
        ));
        assert_eq!(view.tool_results[0].id.as_deref(), Some("call_1"));
        let view = request(feed(
            &mut up,
            json!({"type": "response.create", "response": {"instructions": "Be brief."}}),
        ));
        assert_eq!(view.gen_ai.api, "openai.realtime");
        assert_eq!(view.gen_ai.request_model.as_deref(), Some("gpt-realtime"));

        let mut down = SessionReader::new(Direction::ServerToClient);
        for message in [
            json!({"type": "session.created", "event_id": "e1", "session": {"model": "gpt-realtime-2026"}}),
            json!({"type": "error", "event_id": "e2", "error": {"type": "invalid_request_error"}}),
            json!({"type": "response.created", "event_id": "e3", "response": {"id": "resp_1", "status": "in_progress"}}),
            json!({"type": "response.output_audio.delta", "event_id": "e4", "response_id": "resp_1", "delta": "AAAA"}),
            json!({"type": "response.output_audio_transcript.delta", "event_id": "e5", "response_id": "resp_1", "delta": "hi"}),
        ] {
            assert_eq!(feed(&mut down, message), None);
        }
        let view = answer(feed(
            &mut down,
            json!({"type": "response.done", "event_id": "e6", "response": {"id": "resp_1", "status": "completed",
                "output": [{"type": "function_call", "call_id": "call_1", "name": "lookup", "arguments": "{}"}],
                "usage": {"input_tokens": 9, "output_tokens": 3, "input_token_details": {"cached_tokens": 2}}}}),
        ));
        assert_eq!(view.gen_ai.api, "openai.realtime");
        assert_eq!(
            view.gen_ai.response_model.as_deref(),
            Some("gpt-realtime-2026")
        );
        assert_eq!(view.tool_calls[0].name, "lookup");
        assert_eq!(view.unknown, 0);
        let usage = view.gen_ai.usage.unwrap();
        assert_eq!(
            (usage.output_tokens, usage.cache_read_input_tokens),
            (Some(3), Some(2))
        );
    }

    #[test]
    fn an_error_ends_the_answer_it_comes_in() {
        let mut down = SessionReader::new(Direction::ServerToClient);
        feed(
            &mut down,
            json!({"type": "response.created", "response": {"id": "resp_1", "model": "m"}}),
        );
        let view = answer(feed(
            &mut down,
            json!({"type": "error", "error": {"type": "server_error", "code": "overloaded"}}),
        ));
        assert_eq!(view.stream_error.as_deref(), Some("server_error"));
        assert_eq!(view.gen_ai.response_id.as_deref(), Some("resp_1"));
    }

    #[test]
    fn an_answer_that_the_connection_cuts_short_is_told() {
        let call = r#"{"type":"function_call","id":"fc_1","call_id":"call_2","name":"mail","arguments":"{}","status":"completed"}"#;
        let created = json!({"type": "response.created", "response": {"id": "resp_1", "model": "m", "status": "in_progress"}});
        let item: serde_json::Value = serde_json::from_str(call).unwrap();
        let added = json!({"type": "response.output_item.added", "output_index": 0, "item": item});
        let done = json!({"type": "response.output_item.done", "output_index": 0, "item": item});
        let completed = json!({"type": "response.completed", "response": {"id": "resp_1", "status": "completed", "output": []}});
        let table = [
            (vec![], None),
            (vec![created.clone()], Some(vec![])),
            (vec![created.clone(), added.clone()], Some(vec![false])),
            (vec![created.clone(), added, done.clone()], Some(vec![true])),
            (vec![created, done, completed], None),
        ];
        for (messages, want) in table {
            let mut down = SessionReader::new(Direction::ServerToClient);
            for message in &messages {
                feed(&mut down, message.clone());
            }
            let told = down.finish().map(|said| {
                let view = answer(Some(said));
                assert_eq!(
                    (view.terminated, view.gen_ai.response_id.as_deref()),
                    (false, Some("resp_1"))
                );
                view.tool_calls
                    .iter()
                    .map(|call| call.complete)
                    .collect::<Vec<_>>()
            });
            assert_eq!(told, want, "{messages:?}");
        }
    }

    #[test]
    fn what_is_no_message_of_such_a_session_says_nothing() {
        for direction in [Direction::ClientToServer, Direction::ServerToClient] {
            let mut reader = SessionReader::new(direction);
            for payload in [
                &b""[..],
                b"hello",
                b"[1]",
                b"{}",
                b"{\"type\":1}",
                b"{\"type\":\"x\"}",
            ] {
                assert_eq!(reader.feed(payload), None);
            }
        }
    }
}
