//! What an upgraded connection brings in pieces is as durable as what it brings whole; what is said of model calls on it
//! is in its events; and it does not stay open for nobody.

use crate::disk::Switch;
use crate::rig::*;
use event::{Line, Role, State};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n";

const ASK: &[u8] = b"GET /agent/ws/openai/v1/responses HTTP/1.1\r\nHost: g\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// How long what must not come is waited for.
const QUIET: Duration = Duration::from_millis(300);

/// A text frame; masked, with a mask that changes nothing, as clients must.
fn text_frame(message: &Value, masked: bool) -> Vec<u8> {
    let payload = message.to_string().into_bytes();
    let bit = if masked { 0x80 } else { 0 };
    let mut out = vec![0x81, bit | 126];
    out.extend_from_slice(&u16::try_from(payload.len()).unwrap().to_be_bytes());
    if masked {
        out.extend_from_slice(&[0; 4]);
    }
    out.extend(payload);
    out
}

/// An upstream that agrees to the upgrade and then does as the script says.
async fn upgrading<F, R>(script: F) -> Upstream
where
    F: Fn(TcpStream) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = ()> + Send,
{
    Upstream::scripted(move |_, mut stream| {
        let script = script.clone();
        async move {
            stream.write_all(SWITCH).await.unwrap();
            script(stream).await;
        }
    })
    .await
}

async fn switched(rig: &Rig) -> TcpStream {
    let mut client = rig.connect().await;
    client.write_all(ASK).await.unwrap();
    let mut head = vec![0; SWITCH.len()];
    within(client.read_exact(&mut head)).await.unwrap();
    assert!(text(&head).starts_with("HTTP/1.1 101"), "{}", text(&head));
    client
}

async fn read_exactly(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut got = vec![0; len];
    within(stream.read_exact(&mut got)).await.unwrap();
    got
}

async fn silent(stream: &mut TcpStream) {
    let mut byte = [0; 1];
    let read = tokio::time::timeout(QUIET, stream.read(&mut byte)).await;
    assert!(read.is_err(), "something was released: {read:?}");
}

fn messages(rig: &Rig) -> Vec<Line> {
    rig.of(&["websocket.message"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_part_of_an_agents_message_is_forwarded_before_it_is_durable() {
    let upstream = upgrading(|mut stream| async move {
        let mut byte = [0; 1];
        // Says what it was sent, so that the test sees when it comes.
        while let Ok(1) = stream.read(&mut byte).await {
            stream.write_all(&[byte[0]]).await.ok();
        }
    })
    .await;
    let switch = Switch::default();
    let rig = Rig::on_disk(upstream.addr, &switch, |_| {}).await;
    let mut client = switched(&rig).await;
    switch.stall(true);
    // Five bytes of a frame that announces ten.
    client
        .write_all(&[0x82, 0x8a, 0, 0, 0, 0, 1, 2, 3, 4, 5])
        .await
        .unwrap();
    silent(&mut client).await;
    switch.stall(false);
    read_exactly(&mut client, 11).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_disk_holds_the_parts_of_an_upstreams_message_back() {
    let upstream = upgrading(|mut stream| async move {
        stream.write_all(&[0x82, 126, 1, 0]).await.unwrap();
        for n in 0..=255u8 {
            stream.write_all(&[n]).await.ok();
            // Told when to go on by the agent, in whole messages.
            if stream.read_exact(&mut [0; 6]).await.is_err() {
                return;
            }
        }
    })
    .await;
    let switch = Switch::default();
    let rig = Rig::on_disk(upstream.addr, &switch, |_| {}).await;
    let mut client = switched(&rig).await;
    read_exactly(&mut client, 5).await;
    switch.stall(true);
    // An agent's own message waits for the disk, and with it everything.
    client.write_all(&[0x89, 0x80, 0, 0, 0, 0]).await.unwrap();
    silent(&mut client).await;
    switch.stall(false);
    assert_eq!(read_exactly(&mut client, 1).await, [1]);
}

/// What the next start finds in a copy of the store: the bodies of the call that was open.
async fn recovered(dir: &Path) -> Vec<Vec<u8>> {
    let copy = tempfile::tempdir().unwrap();
    copy_dir(dir, copy.path());
    let recorder = evidence::Recorder::open(evidence::Options::new(copy.path())).unwrap();
    recorder.close().await.unwrap();
    let store = evidence::Store::open(copy.path()).unwrap();
    let lines = lines(copy.path());
    let interrupted = lines.iter().find(|line| {
        line.outcome
            .as_ref()
            .is_some_and(|outcome| outcome.state == State::Interrupted)
    });
    let bodies = interrupted.into_iter().flat_map(|line| &line.bodies);
    bodies
        .filter(|body| body.role == Role::Message)
        .map(|body| store.body(body).unwrap())
        .collect()
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else if entry.file_type().unwrap().is_file() && entry.file_name() != "lock" {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_part_of_a_message_that_was_released_survives_a_crash() {
    let part = [&[0x82, 126, 0x10, 0][..], &noise(1000)].concat();
    let upstream = upgrading({
        let part = part.clone();
        move |mut stream| {
            let part = part.clone();
            async move {
                stream.write_all(&part).await.unwrap();
                to_end(&mut stream).await;
            }
        }
    })
    .await;
    let rig = Rig::new(upstream.addr).await;
    let mut client = switched(&rig).await;
    assert_eq!(read_exactly(&mut client, part.len()).await, part);
    let deadline = Instant::now() + DEADLINE;
    while recovered(rig.dir.path()).await != [part.clone()] {
        assert!(Instant::now() < deadline);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_the_end_cuts_short_is_recorded_as_far_as_it_came() {
    let whole = text_frame(&json!({"type": "session.created"}), false);
    let part = [0x82, 126, 0x10, 0, 1, 2, 3];
    let sent = [&whole[..], &part].concat();
    let upstream = upgrading({
        let sent = sent.clone();
        move |mut stream| {
            let sent = sent.clone();
            async move {
                stream.write_all(&sent).await.unwrap();
            }
        }
    })
    .await;
    let rig = Rig::new(upstream.addr).await;
    let mut client = switched(&rig).await;
    assert_eq!(to_end(&mut client).await, sent);
    drop(client);
    let (_, end) = rig.one().await;
    assert_eq!(end.outcome.unwrap().state, State::StreamError);
    let messages = messages(&rig);
    let told: Vec<_> = messages
        .iter()
        .map(|line| {
            (
                line.websocket.clone().unwrap().opcode,
                rig.body(line, Role::Message),
            )
        })
        .collect();
    assert_eq!(told[0].0, "text");
    assert_eq!(told[1], ("raw".to_owned(), part.to_vec()));
    let gap = rig.of(&["gap"]).remove(0).gap.unwrap();
    assert_eq!((gap.cause.as_str(), gap.count), ("incomplete", 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_of_model_calls_is_in_the_events() {
    let ask = json!({"type": "response.create", "model": "gpt-5", "previous_response_id": "resp_0",
        "input": [{"type": "function_call_output", "call_id": "call_0", "output": "done"}]});
    let item = json!({"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "mail", "arguments": "{}", "status": "completed"});
    let answer = [
        json!({"type": "response.created", "sequence_number": 0, "response": {"id": "resp_1", "model": "gpt-5-1", "status": "in_progress"}}),
        json!({"type": "response.output_item.done", "sequence_number": 1, "output_index": 0, "item": item}),
        json!({"type": "response.completed", "sequence_number": 2, "response": {"id": "resp_1", "model": "gpt-5-1", "status": "completed", "output": [item],
            "usage": {"input_tokens": 7, "output_tokens": 2}}}),
    ];
    let ask = text_frame(&ask, true);
    let answer: Vec<u8> = answer
        .iter()
        .flat_map(|message| text_frame(message, false))
        .collect();
    let upstream = upgrading({
        let (ask, answer) = (ask.clone(), answer.clone());
        move |mut stream| {
            let (ask, answer) = (ask.clone(), answer.clone());
            async move {
                assert_eq!(read_exactly(&mut stream, ask.len()).await, ask);
                stream.write_all(&answer).await.unwrap();
                to_end(&mut stream).await;
            }
        }
    })
    .await;
    let rig = Rig::new(upstream.addr).await;
    let mut client = switched(&rig).await;
    client.write_all(&ask).await.unwrap();
    assert_eq!(read_exactly(&mut client, answer.len()).await, answer);
    drop(client);
    rig.one().await;
    let messages = messages(&rig);
    let of = |kind: &str| {
        let found = messages
            .iter()
            .find(|line| line.websocket.as_ref().unwrap().message_type.as_deref() == Some(kind));
        found.unwrap().clone()
    };
    let asked = of("response.create");
    let gen_ai = asked.gen_ai.unwrap();
    assert_eq!(gen_ai.api, "openai.responses");
    assert_eq!(gen_ai.request_model.as_deref(), Some("gpt-5"));
    assert_eq!(asked.tool_results[0].id.as_deref(), Some("call_0"));
    assert_eq!(
        asked.ids.unwrap().previous_response_id.as_deref(),
        Some("resp_0")
    );
    assert_eq!(of("response.created").gen_ai, None);
    let answered = of("response.completed");
    let gen_ai = answered.gen_ai.unwrap();
    assert_eq!(gen_ai.response_model.as_deref(), Some("gpt-5-1"));
    assert_eq!(gen_ai.response_id.as_deref(), Some("resp_1"));
    let usage = gen_ai.usage.unwrap();
    assert_eq!(
        (usage.input_tokens, usage.output_tokens),
        (Some(7), Some(2))
    );
    assert_eq!(answered.tool_calls[0].name.as_deref(), Some("mail"));
    assert_eq!(answered.tool_calls[0].id.as_deref(), Some("call_1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_came_before_the_connection_broke_is_in_the_events() {
    let item = json!({"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "mail", "arguments": "{}", "status": "completed"});
    let answer: Vec<u8> = [
        json!({"type": "response.created", "sequence_number": 0, "response": {"id": "resp_1", "model": "gpt-5-1", "status": "in_progress"}}),
        json!({"type": "response.output_item.done", "sequence_number": 1, "output_index": 0, "item": item}),
    ]
    .iter()
    .flat_map(|message| text_frame(message, false))
    .collect();
    let upstream = upgrading({
        let answer = answer.clone();
        move |mut stream| {
            let answer = answer.clone();
            async move {
                stream.write_all(&answer).await.unwrap();
            }
        }
    })
    .await;
    let rig = Rig::new(upstream.addr).await;
    let mut client = switched(&rig).await;
    assert_eq!(to_end(&mut client).await, answer);
    drop(client);
    rig.one().await;
    let gap = rig.of(&["gap"]).remove(0);
    assert_eq!(gap.gap.unwrap().cause, "incomplete");
    assert_eq!(gap.tool_calls[0].name.as_deref(), Some("mail"));
    assert_eq!(gap.gen_ai.unwrap().response_id.as_deref(), Some("resp_1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_on_which_nobody_speaks_is_ended() {
    let upstream = upgrading(|mut stream| async move {
        to_end(&mut stream).await;
    })
    .await;
    let rig = Rig::with(upstream.addr, |config| {
        config.limits.tunnel_idle_timeout = Duration::from_millis(100);
    })
    .await;
    let mut client = switched(&rig).await;
    to_end(&mut client).await;
    let (_, end) = rig.one().await;
    let outcome = end.outcome.unwrap();
    assert_eq!(
        (outcome.state, outcome.error.as_deref()),
        (State::Expired, Some("idle_timeout"))
    );
}
