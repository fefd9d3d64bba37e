//! Every call ends, in the state that is true, with the bytes that passed.

use crate::rig::*;
use event::{Role, State};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

const ANTHROPIC: &str = "/anthropic/v1/messages";

async fn ended(rig: &Rig) -> (State, Option<String>) {
    let (_, end) = rig.one().await;
    let outcome = end.outcome.unwrap();
    (outcome.state, outcome.error)
}

fn state(state: State, error: &str) -> (State, Option<String>) {
    (state, (!error.is_empty()).then(|| error.to_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_is_not_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let rig = Rig::new(addr).await;
    let answer = text(&rig.exchange(&post(ANTHROPIC, b"{}")).await);
    assert!(
        answer.starts_with("HTTP/1.1 502") && answer.contains(r#""type":"api_error""#),
        "{answer}"
    );
    assert_eq!(
        ended(&rig).await,
        state(State::UpstreamError, "connect_failed")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_does_not_speak_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .await
                .ok();
            to_end(&mut stream).await;
        }
    });
    let rig = Rig::with(addr, |config| {
        config.upstreams.get_mut("anthropic").unwrap().base_url = format!("https://{addr}");
    })
    .await;
    let answer = text(&rig.exchange(&post(ANTHROPIC, b"{}")).await);
    assert!(
        answer.starts_with("HTTP/1.1 502") && answer.contains("TLS could not be agreed on"),
        "{answer}"
    );
    let (_, end) = rig.one().await;
    assert_eq!(
        end.outcome.unwrap().reason.as_deref(),
        Some("TLS could not be agreed on")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_never_were() {
    let large = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    for (raw, error) in [
        ("", "closed_before_answer"),
        ("HTTP/1.1 200", "closed_before_answer"),
        ("SSH-2.0-x\r\n\r\n", "malformed_answer"),
        (large.as_str(), "answer_head_too_large"),
    ] {
        let upstream = Upstream::answering(raw).await;
        let rig = Rig::new(upstream.addr).await;
        let answer = text(&rig.exchange(&post(ANTHROPIC, b"{}")).await);
        assert!(answer.starts_with("HTTP/1.1 502"), "{error}: {answer}");
        assert_eq!(
            answer.contains("broke the connection"),
            error != "answer_head_too_large"
        );
        assert_eq!(ended(&rig).await, state(State::UpstreamError, error));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_before_the_answer() {
    let upstream = Upstream::scripted(|_, stream| async move { reset(stream) }).await;
    let rig = Rig::new(upstream.addr).await;
    assert!(text(&rig.exchange(&post(ANTHROPIC, b"{}")).await).starts_with("HTTP/1.1 502"));
    assert_eq!(ended(&rig).await.0, State::UpstreamError);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_status_is_an_upstream_error_and_passes_untouched() {
    let body = br#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let mut raw = format!(
        "HTTP/1.1 529 \r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    raw.extend_from_slice(body);
    let upstream = Upstream::answering(raw).await;
    let rig = Rig::new(upstream.addr).await;
    let answer = rig.exchange(&post(ANTHROPIC, b"{}")).await;
    assert_eq!(parted(&answer).1, body);
    assert_eq!(
        ended(&rig).await,
        state(State::UpstreamError, "overloaded_error")
    );
}

/// What an upstream does after it has sent some of its answer.
#[derive(Debug, Clone, Copy)]
enum Then {
    Close,
    Reset,
    Hang,
    Garbage,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_break_are_relayed_as_broken() {
    let sse = b"event: message_start\ndata: {\"type\":\"message_start\"}\n\n";
    let mut stream = chunked_head("text/event-stream");
    stream.extend(chunk(sse));
    let short =
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"a\":"
            .to_vec();
    let none = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
        .to_vec();
    for (raw, body, then, expected) in [
        (
            stream.clone(),
            &sse[..],
            Then::Close,
            state(State::StreamError, "incomplete_body"),
        ),
        (
            stream.clone(),
            &sse[..],
            Then::Reset,
            state(State::StreamError, "connection_reset"),
        ),
        (
            stream.clone(),
            &sse[..],
            Then::Hang,
            state(State::Expired, "idle_timeout"),
        ),
        (
            stream,
            &sse[..],
            Then::Garbage,
            state(State::StreamError, "malformed_body"),
        ),
        (
            short.clone(),
            b"{\"a\":",
            Then::Close,
            state(State::StreamError, "incomplete_body"),
        ),
        (
            short,
            b"{\"a\":",
            Then::Hang,
            state(State::Expired, "idle_timeout"),
        ),
        (
            none,
            b"",
            Then::Close,
            state(State::UpstreamError, "incomplete_body"),
        ),
    ] {
        let go = Arc::new(Notify::new());
        let upstream = Upstream::scripted({
            let go = go.clone();
            move |_, mut stream: TcpStream| {
                let (raw, go) = (raw.clone(), go.clone());
                async move {
                    stream.write_all(&raw).await.unwrap();
                    go.notified().await;
                    match then {
                        Then::Close => drop(stream),
                        Then::Reset => reset(stream),
                        Then::Hang => drop(to_end(&mut stream).await),
                        Then::Garbage => {
                            stream.write_all(b"zzz\r\n").await.ok();
                            to_end(&mut stream).await;
                        }
                    }
                }
            }
        })
        .await;
        let rig = Rig::with(upstream.addr, |config| {
            config.limits.idle_timeout = Duration::from_millis(300)
        })
        .await;
        let mut client = rig.connect().await;
        client.write_all(&post(ANTHROPIC, b"{}")).await.unwrap();
        let mut got = Vec::new();
        if !body.is_empty() {
            until(&mut client, &mut got, body).await;
        }
        go.notify_one();
        got.extend(to_end(&mut client).await);
        let (_, end) = rig.one().await;
        let outcome = end.outcome.clone().unwrap();
        assert_eq!((outcome.state, outcome.error), expected, "{then:?}");
        assert_eq!(rig.body(&end, Role::Response), body, "{then:?}");
        if !got.is_empty() {
            let (_, relayed, whole) = parted(&got);
            assert!(
                !whole,
                "a broken answer looks whole: {then:?} {:?}",
                text(&got)
            );
            assert_eq!(relayed, body, "{then:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_200_is_not_an_outcome() {
    let error = b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"role\":\"assistant\",\"content\":[],\"model\":\"x\",\"usage\":{}}}\n\nevent: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}\n\n";
    let open = b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"role\":\"assistant\",\"content\":[],\"model\":\"x\",\"usage\":{}}}\n\n";
    let whole = b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"role\":\"assistant\",\"content\":[],\"model\":\"x\",\"usage\":{}}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    // Ended within an event, and after one that is no JSON.
    let inside = [
        &open[..],
        b"event: content_block_start\ndata: {\"type\":\"cont",
    ]
    .concat();
    let unread = [
        &open[..],
        b"event: content_block_start\ndata: {nonsense\n\n",
    ]
    .concat();
    for (body, expected) in [
        (&error[..], state(State::StreamError, "overloaded_error")),
        (open, state(State::StreamError, "no_terminal_event")),
        (&inside, state(State::StreamError, "no_terminal_event")),
        (&unread, state(State::StreamError, "no_terminal_event")),
        (whole, state(State::Completed, "")),
    ] {
        let mut raw = chunked_head("text/event-stream");
        raw.extend(chunk(body));
        raw.extend_from_slice(b"0\r\n\r\n");
        let upstream = Upstream::answering(raw).await;
        let rig = Rig::new(upstream.addr).await;
        let request = br#"{"model":"x","stream":true,"max_tokens":1,"messages":[{"role":"user","content":"hi"}]}"#;
        let answer = rig.exchange(&post(ANTHROPIC, request)).await;
        let (_, relayed, clean) = parted(&answer);
        assert!(clean && relayed == body);
        assert_eq!(ended(&rig).await, expected);
    }
}

/// Gemini's stream without event framing: an array of pieces, which ends with its bracket.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_array_of_pieces_ends_with_its_bracket() {
    let call = r#"{"candidates":[{"content":{"role":"model","parts":[{"functionCall":{"name":"wipe","args":{}}}]}}],"responseId":"r"}"#;
    for (body, expected) in [
        (format!("[{call}]"), state(State::Completed, "")),
        (
            format!("[{call}\r\n,\r\n{{\"cand"),
            state(State::StreamError, "no_terminal_event"),
        ),
        (
            format!("[{call},"),
            state(State::StreamError, "no_terminal_event"),
        ),
    ] {
        let upstream = Upstream::answering(ok("application/json", body.as_bytes())).await;
        let rig = Rig::new(upstream.addr).await;
        let path = "/gemini/v1beta/models/g:streamGenerateContent";
        let answer = rig.exchange(&post(path, br#"{"contents":[]}"#)).await;
        assert_eq!(parted(&answer).1, body.as_bytes());
        let (_, end) = rig.one().await;
        let outcome = end.outcome.unwrap();
        assert_eq!((outcome.state, outcome.error), expected, "{body}");
        assert_eq!(end.tool_calls[0].name.as_deref(), Some("wipe"), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_in_place_of_an_answer_is_the_upstreams() {
    let error = br#"{"type":"error","error":{"type":"overloaded_error","message":"x"}}"#;
    let upstream = Upstream::answering(ok("application/json", error)).await;
    let rig = Rig::new(upstream.addr).await;
    let request = br#"{"model":"x","max_tokens":1,"messages":[{"role":"user","content":"hi"}]}"#;
    let answer = rig.exchange(&post(ANTHROPIC, request)).await;
    assert_eq!(parted(&answer).1, error);
    assert_eq!(
        ended(&rig).await,
        state(State::UpstreamError, "overloaded_error")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_after_any_chunk() {
    for leave_after in 0..4 {
        let go = Arc::new(Notify::new());
        let left = Arc::new(Notify::new());
        let upstream = Upstream::scripted({
            let (go, left) = (go.clone(), left.clone());
            move |_, mut stream| {
                let (go, left) = (go.clone(), left.clone());
                async move {
                    if leave_after > 0 {
                        stream
                            .write_all(&chunked_head("text/event-stream"))
                            .await
                            .unwrap();
                    }
                    for n in 0..leave_after {
                        go.notified().await;
                        stream
                            .write_all(&chunk(format!("data: {n}\n\n").as_bytes()))
                            .await
                            .unwrap();
                    }
                    // The disconnect reaches the upstream.
                    to_end(&mut stream).await;
                    left.notify_one();
                }
            }
        })
        .await;
        let rig = Rig::new(upstream.addr).await;
        let mut client = rig.connect().await;
        client.write_all(&post(ANTHROPIC, b"{}")).await.unwrap();
        let mut got = Vec::new();
        let mut expected = String::new();
        for n in 0..leave_after {
            go.notify_one();
            until(&mut client, &mut got, format!("data: {n}\n\n").as_bytes()).await;
            expected.push_str(&format!("data: {n}\n\n"));
        }
        if leave_after == 0 {
            while upstream.seen().is_empty() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        reset(client);
        within(left.notified()).await;
        let (_, end) = rig.one().await;
        assert_eq!(
            end.outcome.as_ref().unwrap().state,
            State::ClientAborted,
            "after {leave_after}"
        );
        assert_eq!(text(&rig.body(&end, Role::Response)), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_does_not_answer_in_time() {
    let upstream =
        Upstream::scripted(|_, mut stream| async move { drop(to_end(&mut stream).await) }).await;
    let rig = Rig::with(upstream.addr, |config| {
        config.limits.head_timeout = Duration::from_millis(50)
    })
    .await;
    let answer = text(&rig.exchange(&post("/openai/chat/completions", b"{}")).await);
    assert!(
        answer.starts_with("HTTP/1.1 504") && answer.contains("upstream_timeout"),
        "{answer}"
    );
    assert_eq!(ended(&rig).await, state(State::Expired, "head_timeout"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_is_held_up_by_its_agent_is_not_silent() {
    /// What an agent of HTTP/2 takes before it reads: the protocol's first window.
    const WINDOW: u16 = 65_535;
    /// What the gateway holds of an answer before it stops reading it.
    const HELD: usize = 256 * 1024;
    const IDLE: Duration = Duration::from_secs(2);
    // The window is full, small pieces wait for room in it, and then just as much is held as makes reading stop.
    let mut parts = vec![vec![b'a'; usize::from(WINDOW)]];
    parts.extend((0..8).map(|_| vec![b'b']));
    parts.push(vec![b'c'; HELD]);
    let len: usize = parts.iter().map(Vec::len).sum();
    let (step, resumed) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let upstream = Upstream::scripted({
        let (parts, step, resumed) = (parts.clone(), step.clone(), resumed.clone());
        move |_, mut stream| {
            let (parts, step, resumed) = (parts.clone(), step.clone(), resumed.clone());
            async move {
                let head = chunked_head("text/event-stream");
                stream.write_all(&head).await.unwrap();
                for part in parts {
                    stream.write_all(&chunk(&part)).await.unwrap();
                    step.notified().await;
                }
                resumed.notified().await;
                stream.write_all(b"0\r\n\r\n").await.unwrap();
                to_end(&mut stream).await;
            }
        }
    })
    .await;
    let rig = Rig::with(upstream.addr, |config| config.limits.idle_timeout = IDLE).await;
    let io = hyper_util::rt::TokioIo::new(rig.connect().await);
    let (mut sender, connection) =
        hyper::client::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new())
            .initial_stream_window_size(u32::from(WINDOW))
            .initial_connection_window_size(u32::from(WINDOW))
            .handshake(io)
            .await
            .unwrap();
    tokio::spawn(connection);
    let request = http::Request::get(format!("http://{}/raw/held", rig.addr))
        .body(http_body_util::Empty::<bytes::Bytes>::new())
        .unwrap();
    let mut body = within(sender.send_request(request))
        .await
        .unwrap()
        .into_body();
    let mut sent = 0;
    for part in &parts {
        sent += part.len() as u64;
        rig.shows(|figures| figures.response_bytes >= sent).await;
        step.notify_one();
    }
    // The agent takes its time; the upstream could say nothing that would be read.
    tokio::time::sleep(IDLE + IDLE / 4).await;
    let is_end = |line: &event::Line| line.outcome.is_some();
    assert!(
        !rig.lines().iter().any(is_end),
        "ended while it was held up"
    );
    let mut got = 0;
    while let Some(frame) = within(http_body_util::BodyExt::frame(&mut body)).await {
        got += frame.unwrap().into_data().unwrap_or_default().len();
        if got == len {
            resumed.notify_one();
        }
    }
    assert_eq!(got, len);
    assert_eq!(ended(&rig).await.0, State::Completed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_lets_calls_end_and_ends_the_others() {
    let go = Arc::new(Notify::new());
    let upstream = Upstream::scripted({
        let go = go.clone();
        move |request: Seen, mut stream| {
            let go = go.clone();
            async move {
                let slow = request.head.contains("/slow");
                stream
                    .write_all(&chunked_head("text/event-stream"))
                    .await
                    .unwrap();
                stream.write_all(&chunk(b"data: 1\n\n")).await.unwrap();
                if !slow {
                    go.notified().await;
                    stream.write_all(b"0\r\n\r\n").await.unwrap();
                }
                to_end(&mut stream).await;
            }
        }
    })
    .await;
    let mut rig = Rig::new(upstream.addr).await;
    let mut clients = Vec::new();
    for path in ["/raw/slow", "/raw/quick"] {
        let mut client = rig.connect().await;
        client.write_all(&post(path, b"{}")).await.unwrap();
        let mut got = Vec::new();
        until(&mut client, &mut got, b"data: 1\n\n").await;
        clients.push((client, got));
    }
    go.notify_one();
    rig.stop().await;
    let mut states: Vec<_> = rig
        .closed(2)
        .await
        .into_iter()
        .map(|(_, end)| end.outcome.unwrap().state)
        .collect();
    states.sort();
    assert_eq!(states, [State::Completed, State::Expired]);
    assert!(TcpStream::connect(rig.addr).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_over_the_bound_passes_and_is_recorded_up_to_it() {
    let body = vec![b'x'; 300_000];
    let upstream = Upstream::answering(ok("application/json", &body)).await;
    let rig = Rig::with(upstream.addr, |config| {
        config.limits.response_body = 100_000
    })
    .await;
    let answer = rig.exchange(&post("/raw/x", b"{}")).await;
    assert_eq!(parted(&answer).1, body);
    let (_, end) = rig.one().await;
    let stored = rig.body_ref(&end, Role::Response).unwrap();
    assert_eq!((stored.len, stored.truncated), (100_000, 200_000));
    let gap = rig
        .of(&["gap"])
        .into_iter()
        .find_map(|line| line.gap)
        .unwrap();
    assert_eq!(
        (gap.cause.as_str(), gap.count, gap.from, gap.to),
        ("truncated", 200_000, Some(100_000), Some(299_999))
    );
    assert_eq!(end.outcome.unwrap().state, State::Completed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_leaves_http_unasked() {
    let upstream = Upstream::answering(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    )
    .await;
    let rig = Rig::new(upstream.addr).await;
    let answer = text(&rig.exchange(&post(ANTHROPIC, b"{}")).await);
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    assert_eq!(
        ended(&rig).await,
        state(State::UpstreamError, "unsolicited_upgrade")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_ends_requests_that_never_arrive_whole() {
    let upstream = Upstream::answering(ok("text/plain", b"ok")).await;
    let mut rig = Rig::new(upstream.addr).await;
    let (mut half, mut head) = (rig.connect().await, rig.connect().await);
    half.write_all(b"POST /raw/x HTTP/1.1\r\nHost: g\r\nContent-Length: 100\r\n\r\nabc")
        .await
        .unwrap();
    head.write_all(b"POST /raw/x HTTP/1.1\r\nHost: g\r\n")
        .await
        .unwrap();
    // A head that was not taken yet would be turned away instead.
    rig.shows(|figures| figures.open_calls == 1).await;
    rig.stop().await;
    // Had the gateway lost its patience with the call, it would be open still.
    assert_eq!(rig.of(&["http.response"]).len(), 1);
    assert_eq!(ended(&rig).await, state(State::Expired, "shutdown"));
    let (request, _) = rig.one().await;
    assert_eq!(rig.body(&request, Role::Request), b"abc");
    let answer = text(&to_end(&mut half).await);
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(upstream.seen().is_empty());
}

/// Who has the event that ends an answer has the answer: SDKs hang up on it. Who leaves before has not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_hangs_up_once_it_has_its_answer_has_it() {
    const CHAT: &str = "/agent/a/openai/v1/chat/completions";
    const RESPONSES: &str = "/agent/a/openai/v1/responses";
    let stop = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    let overloaded = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"}}\n\n";
    let finished = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\n";
    let done = "data: [DONE]\n\n";
    let completed = "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"r\",\"status\":\"completed\",\"output\":[]}}\n\n";
    for (path, answer, state, error) in [
        (ANTHROPIC, stop, State::Completed, None),
        (
            ANTHROPIC,
            overloaded,
            State::StreamError,
            Some("overloaded_error"),
        ),
        (
            ANTHROPIC,
            "event: ping\ndata: {\"type\":\"ping\"}\n\n",
            State::ClientAborted,
            None,
        ),
        (CHAT, finished, State::ClientAborted, None),
        (CHAT, done, State::Completed, None),
        (RESPONSES, completed, State::Completed, None),
    ] {
        let upstream = Upstream::scripted(move |_, mut stream| async move {
            let begun = [
                chunked_head("text/event-stream"),
                chunk(b": hello\n\n"),
                chunk(answer.as_bytes()),
            ];
            stream.write_all(&begun.concat()).await.unwrap();
            // The stream does not end by itself.
            to_end(&mut stream).await;
        })
        .await;
        let rig = Rig::new(upstream.addr).await;
        let mut client = rig.connect().await;
        client.write_all(&post(path, b"{}")).await.unwrap();
        until(&mut client, &mut Vec::new(), answer.as_bytes()).await;
        reset(client);
        let (_, end) = rig.one().await;
        let outcome = end.outcome.as_ref().unwrap();
        assert_eq!(
            (outcome.state, outcome.error.as_deref()),
            (state, error),
            "{path} {answer}"
        );
    }
}

/// The upstream numbered its events, and some never came.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_providers_own_numbers_leave_out_is_a_gap() {
    let mut stream = String::new();
    for (kind, number) in [
        ("response.created", 0),
        ("response.in_progress", 1),
        ("response.completed", 6),
    ] {
        let event = format!(
            r#"{{"type":"{kind}","sequence_number":{number},"response":{{"id":"r","status":"x","output":[]}}}}"#
        );
        stream.push_str(&format!("event: {kind}\ndata: {event}\n\n"));
    }
    let upstream = Upstream::answering(ok("text/event-stream", stream.as_bytes())).await;
    let rig = Rig::new(upstream.addr).await;
    rig.exchange(&post("/openai/v1/responses", b"{}")).await;
    let (asked, _) = rig.one().await;
    let gaps = rig.of(&["gap"]);
    let [gap] = &gaps[..] else { panic!("{gaps:?}") };
    assert_eq!(gap.causes, [asked.seq]);
    let gap = gap.gap.as_ref().unwrap();
    assert_eq!(
        (gap.of.as_str(), gap.cause.as_str(), gap.count),
        ("response", "sequence-hole", 4)
    );
}

/// A list on several lines is one list (RFC 9110, section 5.3).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codings_on_several_lines_are_all_undone() {
    use std::io::Write as _;
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let answer = br#"{"id":"m","type":"message","role":"assistant","model":"x","content":[],"stop_reason":"end_turn"}"#;
    let twice = gzip(&gzip(answer));
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        twice.len()
    );
    let upstream = Upstream::answering([head.as_bytes(), &twice].concat()).await;
    let rig = Rig::new(upstream.addr).await;
    let got = rig.exchange(&post(ANTHROPIC, b"{}")).await;
    assert!(find(&got, &twice).is_some());
    let (_, end) = rig.one().await;
    assert_eq!(
        end.gen_ai.as_ref().unwrap().response_id.as_deref(),
        Some("m")
    );
    assert_eq!(rig.body(&end, Role::Response), twice);
    assert_eq!(
        rig.body_ref(&end, Role::Response)
            .unwrap()
            .encoding
            .as_deref(),
        Some("gzip, gzip")
    );
}
