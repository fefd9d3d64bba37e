//! The format of the event line: what is written today is what was written on the first day, and
//! the published schema describes all of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod schema_check;

use event::{
    Agent, Basis, BodyRef, Credential, Draft, Exchange, Gap, GenAi, History, Http, Ids, Kind, Line,
    Mcp, Outcome, Position, Role, Run, Source, State, Timing, ToolRef, Usage, WebSocket,
};
use schema_check::faults;
use serde_json::Value;

const GOLDEN: &str = include_str!("golden/event.v1.jsonl");
const SCHEMA: &str = include_str!("../../../docs/schema/event.v1.schema.json");

/// An event with every field there is. Written without `..default()`, so that a new field cannot
/// be forgotten here.
fn everything() -> Draft {
    let text = |text: &str| Some(text.to_owned());
    let tool = |name: &str| ToolRef {
        name: text(name),
        id: text("toolu_01"),
        is_error: Some(true),
        provider_executed: Some(true),
    };
    Draft {
        kind: Kind::ModelResponse,
        source: Source::Gateway,
        basis: Basis::Observed,
        agent: Some(Agent {
            name: "support-bot".to_owned(),
            client: text("anthropic/0.75"),
        }),
        run: Some(Run {
            id: "01JD3X7K2M9QWERTYUIOPASDFG".to_owned(),
            parent: text("01JD3X7K2M9QWERTYUIOPASDFF"),
            by: text("header"),
            user: text("u-7"),
        }),
        credential: Some(Credential {
            carrier: "x-api-key".to_owned(),
            digest: "hmac-sha256:00112233445566778899aabbccddeeff".to_owned(),
        }),
        exchange: Some(Exchange {
            call: Some(40),
            attempt: Some(2),
            retry_of: Some(38),
        }),
        http: Some(Http {
            upstream: text("anthropic"),
            destination: text("https://api.anthropic.com:443"),
            method: text("POST"),
            path: text("/v1/messages"),
            version: text("HTTP/1.1"),
            status: Some(200),
            relayed: Some(1024),
        }),
        gen_ai: Some(GenAi {
            api: "anthropic.messages".to_owned(),
            operation: text("chat"),
            request_model: text("claude-sonnet-4-5"),
            response_model: text("claude-sonnet-4-5-20250929"),
            response_id: text("msg_01"),
            stream: Some(true),
            finish_reasons: vec!["tool_use".to_owned()],
            usage: Some(Usage {
                input_tokens: Some(1203),
                output_tokens: Some(88),
                cache_read_input_tokens: Some(1000),
                cache_creation_input_tokens: Some(100),
                reasoning_output_tokens: Some(12),
            }),
            messages: Some(3),
            reasoning_bytes: Some(512),
            unknown: Some(1),
        }),
        mcp: Some(Mcp {
            server: "tickets".to_owned(),
            method: text("tools/call"),
            id: text("\"7\""),
            session: text("s-1"),
            protocol_version: text("2025-11-25"),
            direction: text("client-to-server"),
            tool_digest: text("ab"),
            error_code: Some(-32602),
            batch: Some(2),
        }),
        tool: Some(tool("read_ticket")),
        tool_calls: vec![tool("read_ticket")],
        tool_results: vec![tool("read_ticket")],
        websocket: Some(WebSocket {
            direction: "server-to-client".to_owned(),
            opcode: "text".to_owned(),
            message_type: text("response.done"),
        }),
        outcome: Some(Outcome {
            state: State::StreamError,
            error: text("overloaded_error"),
            reason: text("the stream turned into an error"),
        }),
        timing: Some(Timing {
            durable_us: Some(700),
            upstream_us: Some(310_000),
            first_byte_us: Some(312_000),
            total_us: Some(1_900_000),
            chunks: Some(42),
        }),
        ids: Some(Ids {
            traceparent: text("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            request_id: text("req_01"),
            session_id: text("session-1"),
            previous_response_id: text("resp_01"),
            idempotency_key: text("key-1"),
        }),
        history: Some(History {
            change: "edited".to_owned(),
            at: 3,
            seen: 5,
            sent: 7,
        }),
        gap: Some(Gap {
            of: "response".to_owned(),
            cause: "truncated".to_owned(),
            count: 1024,
            unit: "bytes".to_owned(),
            from: Some(10),
            to: Some(1033),
        }),
        causes: vec![38, 40],
        governance: text("sha256:00"),
        facts: Some(serde_json::Map::from_iter([(
            "cpu_cores".to_owned(),
            Value::from(2),
        )])),
        bodies: vec![BodyRef {
            role: Role::Response,
            id: 9,
            len: 2048,
            commitment: "c0ffee00".repeat(8),
            media: text("text/event-stream; charset=\"utf-8\""),
            encoding: text("gzip"),
            truncated: 1024,
        }],
    }
}

/// The events of the golden file: the fullest one first, then one of each kind.
fn drafts() -> Vec<Draft> {
    let mut drafts = vec![everything()];
    for kind in Kind::ALL {
        let mut draft = Draft::new(*kind, Source::Recorder);
        if kind.is_terminal() {
            draft.exchange = Some(Exchange {
                call: Some(1),
                attempt: None,
                retry_of: None,
            });
            draft.outcome = Some(Outcome {
                state: State::Completed,
                error: None,
                reason: None,
            });
        }
        drafts.push(draft);
    }
    drafts
}

fn written() -> String {
    let mut lines = Vec::new();
    for (seq, draft) in drafts().iter().enumerate() {
        let seq = seq as u64;
        let position = Position {
            seq,
            time: "2026-11-21T03:07:41.123456789Z",
            boot_ns: 1_000_000_007,
            boot: "0f0e0d0c-0b0a-0908-0706-050403020100",
            stream: 0,
            n: seq,
        };
        position.write_line(&draft.seal().unwrap(), &mut lines);
        lines.push(b'\n');
    }
    String::from_utf8(lines).unwrap()
}

#[test]
fn lines_are_written_as_they_always_were() {
    let written = written();
    for (now, then) in written.lines().zip(GOLDEN.lines()) {
        assert_eq!(now, then, "a change of the format needs a new version");
    }
    assert_eq!(written.lines().count(), GOLDEN.lines().count());
}

#[test]
fn lines_of_the_first_day_are_read() {
    for (at, line) in GOLDEN.lines().enumerate() {
        let read = Line::parse(line.as_bytes()).unwrap();
        assert_eq!((read.v, read.seq), (1, at as u64));
        assert!(read.kind.parse::<Kind>().is_ok());
    }
    let first = Line::parse(GOLDEN.lines().next().unwrap().as_bytes()).unwrap();
    let draft = everything();
    assert_eq!(first.gen_ai, draft.gen_ai);
    assert_eq!(first.mcp, draft.mcp);
    assert_eq!(first.bodies, draft.bodies);
    assert_eq!(first.outcome, draft.outcome);
    assert_eq!(first.facts, draft.facts);
}

#[test]
fn the_schema_describes_every_line() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    for line in GOLDEN.lines().chain(written().lines()) {
        let value: Value = serde_json::from_str(line).unwrap();
        assert_eq!(faults(&schema, &value), Vec::<String>::new(), "{line}");
    }
}

#[test]
fn the_schema_names_every_kind_source_role_and_state() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let names = |pointer: &str| -> Vec<String> {
        let names = schema.pointer(pointer).unwrap().as_array().unwrap();
        names
            .iter()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    };
    let all = |names: &[&str]| -> Vec<String> { names.iter().map(|n| (*n).to_owned()).collect() };
    let kinds: Vec<&str> = Kind::ALL.iter().map(|k| k.as_str()).collect();
    assert_eq!(names("/properties/kind/enum"), all(&kinds));
    let sources: Vec<&str> = Source::ALL.iter().map(|s| s.as_str()).collect();
    assert_eq!(names("/properties/source/enum"), all(&sources));
    let bases: Vec<&str> = Basis::ALL.iter().map(|b| b.as_str()).collect();
    assert_eq!(names("/properties/basis/enum"), all(&bases));
    let states: Vec<&str> = State::ALL.iter().map(|s| s.as_str()).collect();
    assert_eq!(
        names("/properties/outcome/properties/state/enum"),
        all(&states)
    );
    let roles: Vec<&str> = Role::ALL.iter().map(|r| r.as_str()).collect();
    assert_eq!(names("/$defs/body/properties/role/enum"), all(&roles));
}

#[test]
fn what_is_not_an_event_does_not_pass() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let good: Value = serde_json::from_str(GOLDEN.lines().next().unwrap()).unwrap();
    for (pointer, bad) in [
        ("/v", Value::from(2)),
        ("/seq", Value::from(-1)),
        ("/time", Value::from("2026-11-21 03:07:41")),
        ("/kind", Value::from("model.requests")),
        ("/outcome/state", Value::from("ok")),
        ("/http/status", Value::from(7)),
        ("/bodies/0/commitment", Value::from("short")),
        ("/gap/count", Value::from("many")),
        ("/causes/0", Value::from(0.5)),
    ] {
        let mut value = good.clone();
        *value.pointer_mut(pointer).unwrap() = bad;
        assert_eq!(faults(&schema, &value).len(), 1, "{pointer}");
    }
    let mut value = good.clone();
    value["secret"] = Value::from("x");
    assert_eq!(faults(&schema, &value), ["$: `secret` is not described"]);
    value.as_object_mut().unwrap().remove("kind");
    assert_eq!(faults(&schema, &value).len(), 2);
}

/// Writes the golden file. Lines are only ever added, for new kinds; a change of those there are is a new version, under a new name.
#[test]
#[ignore = "writes a file"]
fn write_golden() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/event.v1.jsonl");
    std::fs::write(file, written()).unwrap();
}
