//! Which of its tricks the scripted model plays, and on which request.

use super::{Call, Format, Thinking, Tokens, Turn};
use crate::reply::{Framing, Reply, Step};
use crate::wire::Request;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

macro_rules! scenarios {
    ($($(#[$meta:meta])* $variant:ident = $name:literal,)+) => {
        /// What the scripted model does; the model's name is the scenario's.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Scenario { $($(#[$meta])* $variant,)+ }

        impl Scenario {
            /// Every scenario.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The model name that asks for it.
            #[must_use]
            pub const fn model(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

scenarios! {
    /// Plain text.
    Text = "scripted-text",
    /// A call of `get_weather`; with its result in the request, text.
    Tools = "scripted-tools",
    /// Two calls at once; with their results in the request, text.
    ParallelTools = "scripted-parallel-tools",
    /// Reasoning with a signature, then a tool call; with its result in the request, text.
    Thinking = "scripted-thinking",
    /// HTTP 400 in the provider's schema.
    BadRequest = "scripted-400",
    /// HTTP 529 (503 where the provider has no 529), always.
    Overloaded = "scripted-529",
    /// HTTP 429 twice for each distinct request body, then text.
    RetryThenText = "scripted-429-then-text",
    /// An error event in mid-stream, after HTTP 200.
    MidStreamError = "scripted-midstream-error",
    /// Half an answer, then silence.
    Hang = "scripted-hang",
    /// Half an answer, then a TCP reset.
    Reset = "scripted-reset",
    /// Half an answer, then a polite close; a whole body's length claims more.
    Cut = "scripted-cut",
    /// 20 ms between chunks.
    Trickle = "scripted-trickle",
    /// A long answer of 2,000 chunks.
    Long = "scripted-long",
}

/// A scripted model: stateless but for the retries it has seen.
#[derive(Debug, Default)]
pub struct Model {
    refused: Mutex<HashMap<String, u32>>,
}

impl Model {
    /// A model that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The answer to `request`.
    pub fn answer(&self, request: &Request) -> Reply {
        let route = request.route();
        let body = request.json();
        let Some(format) = Format::of(route) else {
            return other(request, route);
        };
        let model = model_of(route, &body);
        let Some(scenario) = Scenario::ALL.iter().copied().find(|s| s.model() == model) else {
            return Reply::json(404, &format.error(404, &format!("model: {model}")));
        };
        let stream = body.get("stream").and_then(Value::as_bool).unwrap_or(false)
            || route.contains(":streamGenerateContent");
        let turn = turn(scenario, &model, &body, seed(&request.body));
        self.play(scenario, format, &turn, stream)
    }

    fn play(&self, scenario: Scenario, format: Format, turn: &Turn, stream: bool) -> Reply {
        let whole = format.reply(turn, stream);
        let half = whole.steps.len() / 2;
        match scenario {
            Scenario::BadRequest => {
                Reply::json(400, &format.error(400, "scripted: no such parameter"))
            }
            Scenario::Overloaded => {
                let status = if format == Format::Anthropic {
                    529
                } else {
                    503
                };
                Reply::json(status, &format.error(status, "scripted: overloaded"))
            }
            Scenario::RetryThenText if self.refuse(turn, 2) => {
                Reply::json(429, &format.error(429, "scripted: slow down"))
                    .with_header("retry-after-ms", "10")
            }
            Scenario::MidStreamError if stream => whole.broken_after(
                half,
                Step::Send(format.error_event("scripted: failed in mid-stream")),
            ),
            Scenario::MidStreamError => Reply::json(500, &format.error(500, "scripted: failed")),
            Scenario::Hang => halved(whole, stream, Step::Hang),
            Scenario::Reset => halved(whole, stream, Step::Reset),
            Scenario::Cut => halved(whole, stream, Step::Cut),
            Scenario::Trickle => whole.trickling(Duration::from_millis(20)),
            _ => whole,
        }
    }

    /// Whether this request is one of the first `times` of its kind.
    fn refuse(&self, turn: &Turn, times: u32) -> bool {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = refused
            .entry(format!("{}/{}", turn.model, turn.seed))
            .or_default();
        *seen += 1;
        *seen <= times
    }
}

/// A stream breaks between two events, a whole body at half its bytes under its full length.
fn halved(mut whole: Reply, stream: bool, step: Step) -> Reply {
    if stream {
        let half = whole.steps.len() / 2;
        return whole.broken_after(half, step);
    }
    let body = bytes::Bytes::from(whole.body_bytes());
    whole.framing = Framing::Claims(body.len() as u64);
    whole.steps = vec![Step::Send(body.slice(..body.len() / 2)), step];
    whole
}

fn model_of(route: &str, body: &Value) -> String {
    let in_path = route
        .rsplit_once("/models/")
        .and_then(|(_, rest)| rest.split(':').next());
    body.get("model")
        .and_then(Value::as_str)
        .or(in_path)
        .unwrap_or_default()
        .to_owned()
}

/// A number from the request's bytes: equal requests get equal answers.
fn seed(body: &[u8]) -> u64 {
    body.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Whether the request's history already holds a tool's result.
fn has_results(body: &Value) -> bool {
    let text = body.to_string();
    [
        "\"tool_result\"",
        "\"role\":\"tool\"",
        "\"function_call_output\"",
        "\"functionResponse\"",
    ]
    .iter()
    .any(|mark| text.contains(mark))
}

fn turn(scenario: Scenario, model: &str, body: &Value, seed: u64) -> Turn {
    let call = |n: u64, city: &str| Call {
        id: format!("call_{seed:016x}{n}"),
        name: "get_weather".to_owned(),
        arguments: json!({ "city": city, "note": "caf\u{e9} \u{1f327}" }),
    };
    let answered = has_results(body);
    let mut turn = Turn {
        model: model.to_owned(),
        seed,
        tokens: Tokens {
            input: 25,
            output: 40,
            cached: 7,
            reasoning: 0,
        },
        ..Turn::default()
    };
    match scenario {
        Scenario::Tools if !answered => {
            turn.text = "Let me look.".to_owned();
            turn.calls = vec![call(0, "Z\u{fc}rich")];
        }
        Scenario::ParallelTools if !answered => {
            turn.calls = vec![call(0, "Z\u{fc}rich"), call(1, "Oslo")]
        }
        Scenario::Thinking if !answered => {
            turn.tokens.reasoning = 12;
            turn.thinking = Some(Thinking {
                text: "The user wants the weather, so I should ask the tool.".to_owned(),
                signature: "RXJVQkNrZ0lBQmdDSWtEc2NyaXB0ZWQ=".to_owned(),
            });
            turn.calls = vec![call(0, "Z\u{fc}rich")];
        }
        Scenario::Long => turn.text = "All work and no play. ".repeat(1_100),
        _ => turn.text = "The weather is fine; take a coat \u{2014} it may rain.".to_owned(),
    }
    turn
}

/// Endpoints that are not inference: a model list, a token count, and an echo for everything else.
fn other(request: &Request, route: &str) -> Reply {
    if route.ends_with("/models") {
        let data: Vec<_> = Scenario::ALL
            .iter()
            .map(|s| json!({ "id": s.model(), "object": "model", "type": "model", "created": 1, "owned_by": "scripted" }))
            .collect();
        Reply::json(
            200,
            &json!({ "object": "list", "data": data, "has_more": false }),
        )
    } else if route.ends_with("/count_tokens") {
        Reply::json(200, &json!({ "input_tokens": 25 }))
    } else if request.body.is_empty() {
        Reply::json(
            200,
            &json!({ "method": request.method, "path": request.path }),
        )
    } else {
        let media = request
            .header("content-type")
            .unwrap_or("application/octet-stream")
            .to_owned();
        Reply::body(200, &media, request.body.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_answers_every_format() {
        let paths = [
            "/v1/messages",
            "/v1/chat/completions",
            "/v1/responses",
            "/v1beta/models/MODEL:generateContent",
        ];
        for path in paths {
            for scenario in Scenario::ALL {
                let request = Request {
                    method: "POST".to_owned(),
                    path: path.replace("MODEL", scenario.model()),
                    body: json!({ "model": scenario.model(), "stream": true })
                        .to_string()
                        .into(),
                    ..Request::default()
                };
                let reply = Model::new().answer(&request);
                assert_ne!(reply.status, 404, "{path} {scenario:?}");
            }
        }
    }

    #[test]
    fn a_retried_request_is_refused_twice_and_then_answered() {
        let model = Model::new();
        let request = Request {
            path: "/v1/messages".to_owned(),
            body: r#"{"model":"scripted-429-then-text"}"#.into(),
            ..Request::default()
        };
        let statuses: Vec<_> = (0..3).map(|_| model.answer(&request).status).collect();
        assert_eq!(statuses, [429, 429, 200]);
    }
}
