//! Every call ends, in exactly one terminal event: whatever its id, whatever its server says, however full the disk is.

use super::disk::Switch;
use super::rig::{DEADLINE, Rig, Upstream, ok, parted, to_end, within};
use super::socket::{Wrapper, socket};
use super::{call, error, request, rig, server, state};
use bytes::Bytes;
use event::{Draft, Kind, Line, Role, Source, State};
use evidence::Recorder;
use gateway::McpServer;
use gateway::mcp::Direction;
use gateway::socket::{Ended, Frame};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Notify;

/// Each call that was opened, with its one end; waits until all have one.
async fn calls(rig: &Rig) -> Vec<(Line, Line)> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let lines = rig.lines();
        let opens = |line: &&Line| {
            let kind: Kind = line.kind.parse().unwrap();
            kind.closed_by().is_some() && kind != Kind::ProcessStart
        };
        let opened: Vec<&Line> = lines.iter().filter(opens).collect();
        let ends = |call: &Line| -> Vec<Line> {
            lines
                .iter()
                .filter(|line| line.outcome.is_some())
                .filter(|line| line.exchange.as_ref().and_then(|e| e.call) == Some(call.seq))
                .cloned()
                .collect()
        };
        let all: Vec<(Line, Vec<Line>)> = opened
            .into_iter()
            .map(|call| (call.clone(), ends(call)))
            .collect();
        assert!(all.iter().all(|(_, ends)| ends.len() <= 1), "ended twice");
        if all.iter().all(|(_, ends)| ends.len() == 1) {
            return all
                .into_iter()
                .map(|(call, mut ends)| (call, ends.remove(0)))
                .collect();
        }
        let open = all.iter().filter(|(_, ends)| ends.is_empty()).count();
        assert!(
            Instant::now() < deadline,
            "{open} of {} calls have no end",
            all.len()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The ends of the tool calls, in the order in which the calls were opened.
async fn tool_ends(rig: &Rig) -> Vec<(State, Option<String>)> {
    calls(rig)
        .await
        .iter()
        .filter(|(call, _)| call.kind == "tool.request")
        .map(|(_, end)| (state(end), error(end).map(str::to_owned)))
        .collect()
}

fn ended(states: &[(State, Option<&str>)]) -> Vec<(State, Option<String>)> {
    states
        .iter()
        .map(|(state, error)| (*state, error.map(str::to_owned)))
        .collect()
}

/// Records until nothing that needs more than a little room is taken any more.
async fn fill_up(recorder: &Recorder, switch: &Switch) {
    switch.fill(true);
    for _ in 0..400 {
        let mut draft = Draft::new(Kind::McpMessage, Source::Gateway);
        let bytes = unlike(200_000);
        let body = recorder.put(Role::Message, None, None, &bytes).await;
        draft.bodies.push(body.unwrap());
        if recorder.append(&draft).await.is_err() {
            return;
        }
    }
    panic!("the disk never became full");
}

/// Bytes that share nothing with any made before.
fn unlike(len: usize) -> Vec<u8> {
    static MADE: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    let salt = MADE.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let mut state = salt.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b'a' + u8::try_from(state >> 33 & 15).unwrap()
    })
    .take(len)
    .collect()
}

fn unlike_text(len: usize) -> String {
    String::from_utf8(unlike(len)).unwrap()
}

async fn wrapped(switch: &Switch) -> (super::socket::Socket, Wrapper) {
    let socket = socket(switch).await;
    let mut wrapper = Wrapper::connect(&socket).await;
    assert!(matches!(wrapper.hear().await, Frame::Welcome(_)));
    (socket, wrapper)
}

fn tool(id: u64) -> Value {
    call(json!(id), "x", json!({}))
}

fn answer(id: u64, text: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": text}]}})
}

fn cancelled(id: u64) -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_is_taken_twice_ends_the_call_that_had_it() {
    use Direction::{ToClient, ToServer};
    let reused = (State::StreamError, Some("id_reused"));
    let completed = (State::Completed, None);
    // Lines that come without a pause, each acknowledged in the end.
    for (lines, ends) in [
        (
            vec![
                (ToServer, json!([tool(1), tool(1)])),
                (ToClient, answer(1, "a")),
            ],
            vec![reused, completed],
        ),
        (
            vec![
                (ToServer, tool(1)),
                (ToServer, tool(1)),
                (ToServer, tool(1)),
                (ToClient, answer(1, "a")),
            ],
            vec![reused, reused, completed],
        ),
        (
            vec![(ToServer, tool(1)), (ToServer, cancelled(1))],
            vec![(State::ClientAborted, Some("cancelled"))],
        ),
        (
            vec![
                (ToServer, json!([tool(1), cancelled(1), tool(2)])),
                (ToClient, answer(2, "b")),
            ],
            vec![(State::ClientAborted, Some("cancelled")), completed],
        ),
    ] {
        let (socket, mut wrapper) = wrapped(&Switch::default()).await;
        for (direction, line) in &lines {
            wrapper.line(*direction, &format!("{line}\n")).await;
        }
        for _ in &lines {
            assert_eq!(wrapper.hear().await, Frame::Ack);
        }
        assert_eq!(tool_ends(&socket.rig).await, ended(&ends), "{lines:?}");
    }
}

#[tokio::test]
async fn an_id_that_is_taken_twice_in_a_posted_batch_ends_the_call_that_had_it() {
    let upstream = server(|_| ok("application/json", answer(1, "a").to_string().as_bytes())).await;
    let rig = rig(&upstream, "/mcp").await;
    let batch = json!([tool(1), tool(1)]).to_string();
    rig.exchange(&request("POST", "/agent/a/mcp/crm", &[], batch.as_bytes()))
        .await;
    let ends = [
        (State::StreamError, Some("id_reused")),
        (State::Completed, None),
    ];
    assert_eq!(tool_ends(&rig).await, ended(&ends));
}

/// Sixteen tools whose names are as long as they may be, and stretch sixfold in JSON.
fn hostile_tools(revision: u64) -> Value {
    let tools: Vec<Value> = (0..16)
        .map(|n| json!({"name": format!("{}{n}", "\u{1}".repeat(250)), "description": revision.to_string()}))
        .collect();
    json!({"tools": tools})
}

#[tokio::test]
async fn hostile_tool_names_keep_no_end_out_of_the_record() {
    let upstream = server(|seen| {
        let asked: Value = serde_json::from_slice(&seen.body).unwrap();
        let revision = asked["id"].as_u64().unwrap();
        let answer = json!({"jsonrpc": "2.0", "id": revision, "result": hostile_tools(revision)});
        ok("application/json", answer.to_string().as_bytes())
    })
    .await;
    let rig = rig(&upstream, "/mcp").await;
    for id in 1..=2 {
        let list = json!({"jsonrpc": "2.0", "id": id, "method": "tools/list"}).to_string();
        let got = rig
            .exchange(&request("POST", "/agent/a/mcp/crm", &[], list.as_bytes()))
            .await;
        assert!(parted(&got).2, "the answer is broken off");
    }
    let all = calls(&rig).await;
    assert!(all.iter().all(|(_, end)| state(end) == State::Completed));
    let (_, second) = &all[1];
    assert_eq!(second.facts.as_ref().unwrap()["tools_changed_count"], 16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_tool_names_keep_no_end_out_of_a_wrapped_servers_record() {
    let (socket, mut wrapper) = wrapped(&Switch::default()).await;
    for id in 1..=2 {
        let list = json!({"jsonrpc": "2.0", "id": id, "method": "tools/list"});
        wrapper
            .line(Direction::ToServer, &format!("{list}\n"))
            .await;
        assert_eq!(wrapper.hear().await, Frame::Ack);
        let answer = json!({"jsonrpc": "2.0", "id": id, "result": hostile_tools(id)});
        wrapper
            .line(Direction::ToClient, &format!("{answer}\n"))
            .await;
        assert_eq!(wrapper.hear().await, Frame::Ack);
    }
    let all = calls(&socket.rig).await;
    assert!(all.iter().all(|(_, end)| state(end) == State::Completed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_calls_of_a_session_end_though_the_disk_is_full_when_it_does() {
    const CALLS: u64 = 1200;
    let switch = Switch::default();
    let (socket, mut wrapper) = wrapped(&switch).await;
    for first in (0..CALLS).step_by(100) {
        let batch: Vec<Value> = (first..first + 100).map(tool).collect();
        wrapper
            .line(Direction::ToServer, &format!("{}\n", json!(batch)))
            .await;
        assert_eq!(wrapper.hear().await, Frame::Ack);
    }
    fill_up(&socket.rig.recorder, &switch).await;
    let refused = socket.rig.recorder.status().refused;
    let ended = Ended {
        pid: Some(1),
        code: Some(0),
        signal: None,
        duration_us: 1,
        not_started: None,
    };
    wrapper.send(&Frame::Ended(ended)).await;
    // Not even what is kept for ends is enough.
    within(async {
        while socket.rig.recorder.status().refused <= refused {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    switch.fill(false);
    assert_eq!(wrapper.hear().await, Frame::Ack);
    let all = calls(&socket.rig).await;
    assert_eq!(all.len() as u64, CALLS);
    assert!(
        all.iter()
            .all(|(_, end)| error(end) == Some("server_exited"))
    );
    assert_eq!(socket.rig.of(&["process.exit"]).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_finds_no_room_is_refused_and_its_call_ends() {
    let switch = Switch::default();
    let (socket, mut wrapper) = wrapped(&switch).await;
    wrapper
        .line(Direction::ToServer, &format!("{}\n", tool(1)))
        .await;
    assert_eq!(wrapper.hear().await, Frame::Ack);
    fill_up(&socket.rig.recorder, &switch).await;
    let line = format!("{}\n", answer(1, &unlike_text(200_000)));
    wrapper.line(Direction::ToClient, &line).await;
    assert!(matches!(wrapper.hear().await, Frame::Refused(_)));
    // While the disk is still full: room for ends is kept.
    let (_, end) = calls(&socket.rig).await.remove(0);
    assert_eq!(
        (state(&end), error(&end)),
        (State::StreamError, Some("not_recorded"))
    );
    let gap = end.gap.unwrap();
    assert_eq!(
        (gap.of.as_str(), gap.count),
        ("response", line.len() as u64)
    );
}

/// A server that answers when it is told to.
async fn waiting(answer: Vec<u8>) -> (Upstream, Arc<Notify>) {
    let go_on = Arc::new(Notify::new());
    let upstream = Upstream::scripted({
        let go_on = go_on.clone();
        move |_, mut stream| {
            let (go_on, answer) = (go_on.clone(), answer.clone());
            async move {
                go_on.notified().await;
                stream.write_all(&answer).await.ok();
                stream.shutdown().await.ok();
                to_end(&mut stream).await;
            }
        }
    })
    .await;
    (upstream, go_on)
}

async fn on_disk(upstream: &Upstream, switch: &Switch) -> Rig {
    let url = format!("http://{}/mcp", upstream.addr);
    Rig::on_disk(upstream.addr, switch, |config| {
        config
            .mcp
            .insert("crm".to_owned(), McpServer { url, ca: None });
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_calls_of_a_batch_end_though_their_answers_find_no_room() {
    const CALLS: u64 = 800;
    let answers: Vec<Value> = (0..CALLS).map(|id| answer(id, &unlike_text(500))).collect();
    for form in ["application/json", "text/event-stream"] {
        let body = match form {
            "application/json" => json!(answers).to_string(),
            _ => answers
                .iter()
                .map(|answer| format!("data: {answer}\n\n"))
                .collect(),
        };
        let (upstream, go_on) = waiting(ok(form, body.as_bytes())).await;
        let switch = Switch::default();
        let rig = on_disk(&upstream, &switch).await;
        let batch: Vec<Value> = (0..CALLS).map(tool).collect();
        let posted = json!(batch).to_string();
        let mut stream = rig.connect().await;
        stream
            .write_all(&request("POST", "/agent/a/mcp/crm", &[], posted.as_bytes()))
            .await
            .unwrap();
        super::rig::until_seen(&upstream, 1).await;
        fill_up(&rig.recorder, &switch).await;
        go_on.notify_one();
        let got = super::rig::text(&to_end(&mut stream).await);
        assert!(
            !got.contains(&format!("\"id\":{}", CALLS - 1)),
            "{form}: released unrecorded"
        );
        switch.fill(false);
        let all = calls(&rig).await;
        assert_eq!(all.len() as u64, CALLS + 1, "{form}");
        let (_, exchange) = all
            .iter()
            .find(|(call, _)| call.kind == "http.request")
            .unwrap();
        assert_eq!(error(exchange), Some("not_recorded"), "{form}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_refused_batch_had_opened_ends() {
    let upstream = Upstream::answering(ok("application/json", b"{}")).await;
    let switch = Switch::default();
    let rig = on_disk(&upstream, &switch).await;
    // There is room for the first call, and none for the second.
    switch.fill(true);
    let large = call(json!(2), "x", json!({"noise": unlike_text(12_000_000)}));
    let batch = json!([tool(1), large]).to_string();
    let got = rig
        .exchange(&request("POST", "/agent/a/mcp/crm", &[], batch.as_bytes()))
        .await;
    assert!(
        super::rig::text(&got).contains(" 503 "),
        "{}",
        super::rig::text(&got)
    );
    assert_eq!(
        tool_ends(&rig).await,
        ended(&[(State::Denied, Some("not_recorded"))])
    );
    assert!(upstream.seen().is_empty(), "forwarded unrecorded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_refused_line_had_opened_ends() {
    let switch = Switch::default();
    let (socket, mut wrapper) = wrapped(&switch).await;
    wrapper
        .line(Direction::ToServer, &format!("{}\n", tool(0)))
        .await;
    assert_eq!(wrapper.hear().await, Frame::Ack);
    // One more than may be open at a time.
    let batch: Vec<Value> = (1..=4096).map(tool).collect();
    let line = format!("{}\n", json!(batch));
    let mut rest = line.as_bytes();
    while rest.len() > 200_000 {
        let (part, after) = rest.split_at(200_000);
        wrapper
            .send(&Frame::Part(
                Direction::ToServer,
                Bytes::copy_from_slice(part),
            ))
            .await;
        rest = after;
    }
    wrapper
        .send(&Frame::Line(
            Direction::ToServer,
            Bytes::copy_from_slice(rest),
        ))
        .await;
    let Frame::Refused(why) = wrapper.hear().await else {
        panic!("it was let through");
    };
    assert!(why.contains("too many calls"), "{why}");
    wrapper
        .line(Direction::ToClient, &format!("{}\n", answer(0, "a")))
        .await;
    assert_eq!(wrapper.hear().await, Frame::Ack);
    let ends = tool_ends(&socket.rig).await;
    assert_eq!(ends[0], (State::Completed, None));
    assert_eq!(ends.len(), 4096);
    assert!(
        ends[1..]
            .iter()
            .all(|end| *end == (State::Denied, Some("not_recorded".to_owned())))
    );
}
