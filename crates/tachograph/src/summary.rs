//! What each run amounts to: counted from the event lines alone, one pass, no bodies.

use event::{GenAi, Kind, Line, State};
use protocol::Api;
use protocol::websocket::Direction;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Token counts as the providers reported them, added up by OpenTelemetry's meaning: what comes from a cache is part of the
/// input, and reasoning is part of the output, whatever a provider counts beside them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Tokens {
    /// Into models.
    pub(crate) input: u64,
    /// Out of models.
    pub(crate) output: u64,
    /// Of the input, read from a provider's cache.
    pub(crate) cache_read: u64,
    /// Of the input, written to a provider's cache.
    pub(crate) cache_write: u64,
}

/// One run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct RunSummary {
    /// Its id.
    pub(crate) run: String,
    /// The agent that began it.
    pub(crate) agent: Option<String>,
    /// Every agent with an event in it: one that names the run may join it.
    pub(crate) agents: BTreeSet<String>,
    /// The run that delegated to it.
    pub(crate) parent: Option<String>,
    /// Time of its first event.
    pub(crate) started: String,
    /// Time of its last event.
    pub(crate) last: String,
    /// First event.
    pub(crate) first_seq: u64,
    /// Last event.
    pub(crate) last_seq: u64,
    /// Events.
    pub(crate) events: u64,
    /// Calls of models, each attempt counted.
    pub(crate) model_calls: u64,
    /// Calls of tools over MCP.
    pub(crate) tool_calls: u64,
    /// Tokens.
    pub(crate) tokens: Tokens,
    /// Calls that have not ended.
    pub(crate) open: u64,
    /// Calls by how they ended.
    pub(crate) ended: BTreeMap<String, u64>,
    /// Gap events of this run.
    pub(crate) gaps: u64,
    /// Departures of the message history.
    pub(crate) departures: u64,
}

impl RunSummary {
    /// One word or two for a table: what a person should look at first.
    pub(crate) fn state(&self) -> String {
        let bad: Vec<String> = self
            .ended
            .iter()
            .filter(|(state, _)| state.as_str() != State::Completed.as_str())
            .map(|(state, count)| format!("{count} {state}"))
            .collect();
        let open = (self.open > 0).then(|| format!("{} open", self.open));
        let words: Vec<String> = open.into_iter().chain(bad).collect();
        if words.is_empty() {
            State::Completed.as_str().to_owned()
        } else {
            words.join(", ")
        }
    }

    /// The agents that joined a run of another.
    pub(crate) fn joined(&self) -> impl Iterator<Item = &str> {
        let first = self.agent.as_deref();
        let all = self.agents.iter().map(String::as_str);
        all.filter(move |agent| Some(*agent) != first)
    }

    /// Whether every call that ended was completed.
    pub(crate) fn is_clean(&self) -> bool {
        self.ended
            .keys()
            .all(|state| state == State::Completed.as_str())
    }
}

/// Adds events up, in the order of the log.
#[derive(Debug, Default)]
pub(crate) struct Summaries {
    runs: Vec<RunSummary>,
    by_id: HashMap<String, usize>,
    /// Calls that have begun and not ended: `seq` of the request, and the run it counts for.
    open: HashMap<u64, usize>,
}

impl Summaries {
    /// The next event.
    pub(crate) fn add(&mut self, line: &Line) {
        let Some(run) = &line.run else {
            return;
        };
        let at = *self.by_id.entry(run.id.clone()).or_insert_with(|| {
            self.runs.push(RunSummary {
                run: run.id.clone(),
                started: line.time.clone(),
                first_seq: line.seq,
                ..RunSummary::default()
            });
            self.runs.len() - 1
        });
        let Some(summary) = self.runs.get_mut(at) else {
            return;
        };
        summary.last.clone_from(&line.time);
        summary.last_seq = line.seq;
        summary.events += 1;
        if let Some(agent) = &line.agent {
            summary.agent.get_or_insert_with(|| agent.name.clone());
            if !summary.agents.contains(&agent.name) {
                summary.agents.insert(agent.name.clone());
            }
        }
        if summary.parent.is_none() {
            summary.parent.clone_from(&run.parent);
        }
        summary.count(line);
        let Ok(kind) = line.kind.parse::<Kind>() else {
            return;
        };
        if kind.closed_by().is_some() {
            self.open.insert(line.seq, at);
            summary.open += 1;
        }
        let call = line.exchange.as_ref().and_then(|exchange| exchange.call);
        if let (true, Some(call)) = (kind.is_terminal(), call)
            && let Some(at) = self.open.remove(&call)
            && let Some(summary) = self.runs.get_mut(at)
        {
            summary.open = summary.open.saturating_sub(1);
        }
    }

    /// The runs in the order in which they began.
    pub(crate) fn runs(&self) -> &[RunSummary] {
        &self.runs
    }

    /// The agents of all runs.
    pub(crate) fn agents(&self) -> Vec<&str> {
        let agents = self.runs.iter().flat_map(|run| &run.agents);
        let distinct: BTreeSet<&str> = agents.map(String::as_str).collect();
        distinct.into_iter().collect()
    }
}

impl RunSummary {
    fn count(&mut self, line: &Line) {
        match line.kind.parse() {
            Ok(Kind::ModelRequest) => self.model_calls += 1,
            Ok(Kind::ToolRequest) => self.tool_calls += 1,
            Ok(Kind::Gap) => self.gaps += 1,
            Ok(Kind::RunHistory) => self.departures += 1,
            _ => {}
        }
        if let Some(outcome) = &line.outcome {
            *self
                .ended
                .entry(outcome.state.as_str().to_owned())
                .or_default() += 1;
        }
        if let Some(gen_ai) = &line.gen_ai {
            self.model_calls += u64::from(asks_on_a_socket(line));
            self.tokens.add(gen_ai);
        }
    }
}

/// Whether this is a call that is one message of a connection (OpenAI's Responses and Realtime over WebSocket).
fn asks_on_a_socket(line: &Line) -> bool {
    let message = line.websocket.as_ref();
    message.is_some_and(|message| {
        message.direction == Direction::ClientToServer.as_str()
            && message.message_type.as_deref() == Some("response.create")
    })
}

impl Tokens {
    /// Adds what one answer reported.
    pub(crate) fn add(&mut self, gen_ai: &GenAi) {
        let Some(usage) = &gen_ai.usage else { return };
        let (read, written) = (
            usage.cache_read_input_tokens,
            usage.cache_creation_input_tokens,
        );
        let (beside_input, beside_output) = match Api::named(&gen_ai.api) {
            Some(Api::AnthropicMessages | Api::BedrockConverse) => ([read, written], None),
            Some(Api::GeminiGenerate) => ([None; 2], usage.reasoning_output_tokens),
            _ => ([None; 2], None),
        };
        let add = |to: &mut u64, reported: &[Option<u64>]| {
            *to = reported
                .iter()
                .flatten()
                .fold(*to, |sum, more| sum.saturating_add(*more));
        };
        add(&mut self.input, &[usage.input_tokens]);
        add(&mut self.input, &beside_input);
        add(&mut self.output, &[usage.output_tokens, beside_output]);
        add(&mut self.cache_read, &[read]);
        add(&mut self.cache_write, &[written]);
    }
}

/// `12345` as `12,345`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::{Draft, Exchange, Outcome, Position, Run, Source, Usage, WebSocket};

    fn line(seq: u64, kind: Kind, fill: impl FnOnce(&mut Draft)) -> Line {
        let mut draft = Draft::new(kind, Source::Gateway);
        draft.run = Some(Run {
            id: "r1".to_owned(),
            ..Run::default()
        });
        fill(&mut draft);
        let time = format!("2026-11-21T03:07:{:02}Z", seq % 60);
        let position = Position {
            seq,
            time: &time,
            boot_ns: seq,
            boot: "b",
            stream: 0,
            n: seq,
        };
        let mut bytes = Vec::new();
        position.write_line(&draft.seal().unwrap(), &mut bytes);
        Line::parse(&bytes).unwrap()
    }

    fn ends(call: u64, state: State) -> impl FnOnce(&mut Draft) {
        move |draft| {
            draft.exchange = Some(Exchange {
                call: Some(call),
                ..Exchange::default()
            });
            draft.outcome = Some(Outcome {
                state,
                error: None,
                reason: None,
            });
            draft.gen_ai = Some(GenAi {
                usage: Some(Usage {
                    input_tokens: Some(10),
                    ..Usage::default()
                }),
                ..GenAi::default()
            });
        }
    }

    #[test]
    fn a_run_is_added_up() {
        let mut summaries = Summaries::default();
        for line in [
            line(0, Kind::RunStart, |_| {}),
            line(1, Kind::ModelRequest, |_| {}),
            line(2, Kind::ModelResponse, ends(1, State::Completed)),
            line(3, Kind::ToolRequest, |_| {}),
            line(4, Kind::ToolResponse, ends(3, State::Interrupted)),
            line(5, Kind::ModelRequest, |_| {}),
            line(6, Kind::Heartbeat, |draft| draft.run = None),
        ] {
            summaries.add(&line);
        }
        let [run] = summaries.runs() else {
            panic!("one run")
        };
        assert_eq!(
            (run.model_calls, run.tool_calls, run.open, run.events),
            (2, 1, 1, 6)
        );
        assert_eq!(run.tokens.input, 20);
        assert_eq!(run.state(), "1 open, 1 interrupted");
        assert_eq!((run.first_seq, run.last_seq), (0, 5));
        assert!(!run.is_clean());
    }

    #[test]
    fn tokens_mean_the_same_of_every_provider() {
        for (api, input, output) in [
            ("anthropic.messages", 113, 20),
            ("bedrock.converse", 113, 20),
            ("openai.chat", 13, 20),
            ("openai.responses", 13, 20),
            ("gemini.generate", 13, 25),
        ] {
            let mut tokens = Tokens::default();
            tokens.add(&GenAi {
                api: api.to_owned(),
                usage: Some(Usage {
                    input_tokens: Some(13),
                    output_tokens: Some(20),
                    cache_read_input_tokens: Some(60),
                    cache_creation_input_tokens: Some(40),
                    reasoning_output_tokens: Some(5),
                }),
                ..GenAi::default()
            });
            let cached = (tokens.cache_read, tokens.cache_write);
            assert_eq!(
                (tokens.input, tokens.output, cached),
                (input, output, (60, 40)),
                "{api}"
            );
        }
    }

    #[test]
    fn a_call_that_is_one_message_of_a_connection_is_a_call() {
        let said = |seq, direction: &str, message_type: &str| {
            line(seq, Kind::WebSocketMessage, |draft| {
                draft.websocket = Some(WebSocket {
                    direction: direction.to_owned(),
                    opcode: "text".to_owned(),
                    message_type: Some(message_type.to_owned()),
                });
                draft.gen_ai = Some(GenAi::default());
            })
        };
        let mut summaries = Summaries::default();
        for line in [
            said(0, "client-to-server", "response.create"),
            said(1, "server-to-client", "response.completed"),
            said(2, "client-to-server", "conversation.item.create"),
        ] {
            summaries.add(&line);
        }
        assert_eq!(summaries.runs().first().unwrap().model_calls, 1);
    }

    #[test]
    fn every_agent_of_a_run_is_known() {
        let mut summaries = Summaries::default();
        for (seq, agent) in ["b", "a", "b", "c"].into_iter().enumerate() {
            summaries.add(&line(seq as u64, Kind::HttpRequest, |draft| {
                draft.agent = Some(event::Agent {
                    name: agent.to_owned(),
                    client: None,
                });
            }));
        }
        let run = summaries.runs().first().unwrap();
        assert_eq!(run.agent.as_deref(), Some("b"));
        assert_eq!(run.joined().collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(summaries.agents(), ["a", "b", "c"]);
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, expected) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), expected);
        }
    }
}
