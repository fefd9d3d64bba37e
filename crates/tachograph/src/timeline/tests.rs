use super::*;
use crate::summary::Summaries;
use event::{
    Agent, Draft, Exchange, Gap, Kind, Line, Mcp, Outcome, Position, Role, Run, Source, State,
    Timing, ToolRef,
};
use std::collections::HashMap;

/// A log in memory, with bodies by number.
#[derive(Default)]
struct Log {
    lines: Vec<Line>,
    bodies: HashMap<u64, Vec<u8>>,
    n: u64,
}

impl Log {
    fn event(&mut self, kind: Kind, fill: impl FnOnce(&mut Draft)) -> u64 {
        let mut draft = Draft::new(kind, Source::Gateway);
        draft.agent = Some(Agent {
            name: "support-bot".to_owned(),
            client: None,
        });
        draft.run = Some(Run {
            id: "r1".to_owned(),
            ..Run::default()
        });
        fill(&mut draft);
        let seq = self.lines.len() as u64;
        let time = format!("2026-11-21T03:07:{:02}.5Z", seq % 60);
        let n = self.n;
        if draft.run.as_ref().is_some_and(|run| run.id == "r1") {
            self.n += 1;
        }
        let position = Position {
            seq,
            time: &time,
            boot_ns: seq,
            boot: "b",
            stream: 0,
            n,
        };
        let mut bytes = Vec::new();
        position.write_line(&draft.seal().unwrap(), &mut bytes);
        self.lines.push(Line::parse(&bytes).unwrap());
        seq
    }

    fn body(&mut self, role: Role, media: Option<&str>, bytes: &str) -> BodyRef {
        let id = self.bodies.len() as u64;
        self.bodies.insert(id, bytes.as_bytes().to_vec());
        BodyRef {
            role,
            id,
            len: bytes.len() as u64,
            commitment: String::new(),
            media: media.map(str::to_owned),
            encoding: None,
            truncated: 0,
        }
    }

    fn tool_call(&mut self, arguments: &str, answer: &str, media: Option<&str>, state: State) {
        let request = format!(
            r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"read","arguments":{arguments}}}}}"#
        );
        let request = self.body(Role::Request, Some("application/json"), &request);
        let call = self.event(Kind::ToolRequest, |draft| {
            draft.mcp = Some(Mcp {
                server: "tickets".to_owned(),
                id: Some("7".to_owned()),
                ..Mcp::default()
            });
            draft.tool = Some(ToolRef {
                name: Some("read".to_owned()),
                ..ToolRef::default()
            });
            draft.bodies = vec![request];
        });
        let answer = self.body(Role::Response, media, answer);
        self.event(Kind::ToolResponse, |draft| {
            draft.exchange = Some(Exchange {
                call: Some(call),
                ..Exchange::default()
            });
            draft.outcome = Some(Outcome {
                state,
                error: None,
                reason: None,
            });
            draft.timing = Some(Timing {
                total_us: Some(12_000),
                ..Timing::default()
            });
            draft.bodies = vec![answer];
        });
    }

    fn tell(&self) -> Timeline {
        let mut summaries = Summaries::default();
        self.lines.iter().for_each(|line| summaries.add(line));
        let mut collector = Collector::new(summaries.runs()[0].clone());
        self.lines
            .iter()
            .for_each(|line| collector.add(line.clone()));
        Timeline::new(collector.finish(), &mut |reference| {
            self.bodies
                .get(&reference.id)
                .cloned()
                .ok_or_else(|| "it is gone".to_owned())
        })
    }
}

fn tools(timeline: &Timeline) -> Vec<&ToolStep> {
    timeline
        .steps
        .iter()
        .filter_map(|step| match &step.what {
            What::Tool(tool) => Some(tool),
            _ => None,
        })
        .collect()
}

#[test]
fn a_tool_call_shows_its_arguments_and_its_result() {
    let mut log = Log::default();
    log.tool_call(
        r#"{"id":4711}"#,
        r#"{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"Subject: help"}]}}"#,
        Some("application/json"),
        State::Completed,
    );
    log.tool_call(
        r#"{"id":1}"#,
        "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"structuredContent\":{\"a\":1}}}\n\n",
        Some("text/event-stream; charset=utf-8"),
        State::Completed,
    );
    log.tool_call(
        "{}",
        r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32602,"message":"no such ticket"}}"#,
        Some("application/json"),
        State::UpstreamError,
    );
    let timeline = log.tell();
    let told: Vec<(&str, &str)> = tools(&timeline)
        .iter()
        .map(|tool| (tool.arguments.as_str(), tool.result.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (r#"{"id":4711}"#, "Subject: help"),
            (r#"{"id":1}"#, r#"{"a":1}"#),
            ("{}", "no such ticket"),
        ]
    );
    assert!(timeline.whole, "{:?}", timeline.doubts);
}

#[test]
fn an_open_call_has_no_end() {
    let mut log = Log::default();
    log.event(Kind::ToolRequest, |_| {});
    let timeline = log.tell();
    assert!(tools(&timeline)[0].end.is_none());
    assert_eq!(timeline.summary.open, 1);
}

#[test]
fn whatever_speaks_against_the_record_is_said() {
    let mut log = Log::default();
    log.tool_call("{}", "", None, State::Interrupted);
    log.n += 2;
    log.event(Kind::Gap, |draft| {
        draft.gap = Some(Gap {
            count: 5,
            unit: "bytes".to_owned(),
            ..Gap::default()
        });
    });
    log.event(Kind::Gap, |draft| draft.run = None);
    for change in ["unseen", "dropped"] {
        log.event(Kind::RunHistory, |draft| {
            draft.history = Some(event::History {
                change: change.to_owned(),
                ..Default::default()
            });
        });
    }
    let timeline = log.tell();
    assert!(!timeline.whole);
    for expected in [
        "2 events missing",
        "1 recorded gap in this run",
        "1 recorded gap of the recorder",
        "1 call cut off",
        "1 request with messages that the recorder did not see",
    ] {
        assert!(
            timeline.doubts.iter().any(|doubt| doubt.contains(expected)),
            "{expected}"
        );
    }
}

#[test]
fn runs_that_fitted_as_well_are_named() {
    let mut log = Log::default();
    for (kind, by, runs) in [
        (Kind::RunStart, "same-opening", 1),
        (Kind::RunLink, "same-history", 3),
    ] {
        log.event(kind, |draft| {
            draft.facts = Some(serde_json::Map::from_iter([
                ("twin_by".to_owned(), by.into()),
                ("twin_run".to_owned(), "R2".into()),
                ("twin_runs".to_owned(), runs.into()),
            ]));
        });
    }
    let told: Vec<(String, String, u64)> = log
        .tell()
        .twins
        .into_iter()
        .map(|twin| (twin.by, twin.run, twin.runs))
        .collect();
    assert_eq!(
        told,
        [
            ("same-opening".to_owned(), "R2".to_owned(), 1),
            ("same-history".to_owned(), "R2".to_owned(), 3)
        ]
    );
}

#[test]
fn a_body_that_is_gone_is_said_and_the_rest_is_told() {
    let mut log = Log::default();
    log.tool_call("{}", "", None, State::Completed);
    log.bodies.clear();
    let timeline = log.tell();
    let problems = &tools(&timeline)[0].problems;
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].ends_with("it is gone"), "{problems:?}");
}

#[test]
fn delegations_and_messages_stand_in_their_place() {
    let mut log = Log::default();
    log.event(Kind::RunStart, |_| {});
    for _ in 0..3 {
        log.event(Kind::McpMessage, |draft| {
            draft.mcp = Some(Mcp {
                server: "tickets".to_owned(),
                ..Mcp::default()
            });
        });
    }
    for kind in [Kind::RunStart, Kind::ModelRequest] {
        log.event(kind, |draft| {
            draft.run = Some(Run {
                id: "r2".to_owned(),
                parent: Some("r1".to_owned()),
                ..Run::default()
            });
        });
    }
    log.event(Kind::ToolRequest, |_| {});
    let timeline = log.tell();
    let story: Vec<&str> = timeline
        .steps
        .iter()
        .map(|step| match &step.what {
            What::Messages(messages) if messages.count == 3 => "three messages",
            What::Delegation(child) if child.run == "r2" => "delegation",
            What::Tool(_) => "tool",
            _ => "something else",
        })
        .collect();
    assert_eq!(story, ["three messages", "delegation", "tool"]);
}

#[test]
fn a_result_is_traced_to_the_call_that_gave_exactly_it() {
    let long = "line ".repeat(2000);
    for (told, traced) in [
        ("Subject: help", true),
        ("Subject: help!", false),
        (&long, true),
    ] {
        let mut log = Log::default();
        let given = if told == long { told } else { "Subject: help" };
        let answer = serde_json::json!({ "jsonrpc": "2.0", "id": 7,
            "result": { "content": [{ "type": "text", "text": given }] } });
        log.tool_call("{}", &answer.to_string(), None, State::Completed);
        let request = serde_json::json!({ "model": "m", "messages": [
            { "role": "user", "content": "help" },
            { "role": "assistant", "content": [
                { "type": "tool_use", "id": "t1", "name": "read", "input": {} }] },
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "t1", "content": told }] },
        ]});
        let request = log.body(
            Role::Request,
            Some("application/json"),
            &request.to_string(),
        );
        log.event(Kind::ModelRequest, |draft| {
            draft.gen_ai = Some(event::GenAi {
                api: "anthropic.messages".to_owned(),
                ..Default::default()
            });
            draft.bodies = vec![request];
        });
        let timeline = log.tell();
        let asked = timeline
            .steps
            .iter()
            .find_map(|step| match &step.what {
                What::Model(model) => Some(&model.asked),
                _ => None,
            })
            .unwrap();
        assert_eq!(asked.len(), 1, "only what is new: {asked:?}");
        assert_eq!(asked[0].tool.as_deref(), Some("read"));
        assert_eq!(asked[0].given_by, traced.then_some(0), "{}", asked[0].text);
    }
}
