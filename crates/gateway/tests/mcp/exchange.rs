//! One posted request and its answer.

use super::rig::{Rig, Seen, Upstream, find, ok, parted, text};
use super::{call, end_of, error, mcp, request, rig, server, state};
use event::{Role, State};
use protocol::mcp::REVISIONS;
use serde_json::{Value, json};

fn posted(seen: &Seen) -> Value {
    serde_json::from_slice(&seen.body).unwrap_or(Value::Null)
}

fn result(seen: &Seen) -> Value {
    let message = posted(seen);
    let result = match message["method"].as_str().unwrap_or_default() {
        "initialize" => {
            json!({"protocolVersion": message["params"]["protocolVersion"], "capabilities": {}})
        }
        "tools/list" => json!({"tools": [{"name": "lookup", "description": "looks it up"}]}),
        "tools/call" => json!({"content": [], "isError": message["params"]["name"] == "fail"}),
        _ => json!({}),
    };
    json!({"jsonrpc": "2.0", "id": message["id"], "result": result})
}

/// Answers as JSON with odd spacing, so that a re-encoding would show.
fn as_json(seen: &Seen) -> Vec<u8> {
    let body = format!(" {}\n ", result(seen));
    let session = if posted(seen)["method"] == "initialize" {
        "Mcp-Session-Id: s-1\r\n"
    } else {
        ""
    };
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{session}Content-Length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

/// Answers as a stream: a comment, a notification, a question under the client's own id, the answer.
fn as_events(seen: &Seen) -> Vec<u8> {
    let id = &posted(seen)["id"];
    let session = if posted(seen)["method"] == "initialize" {
        "Mcp-Session-Id: s-1\r\n"
    } else {
        ""
    };
    let progress =
        json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}});
    let question = json!({"jsonrpc": "2.0", "id": id, "method": "roots/list"});
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{session}Connection: close\r\n\r\n: hello\r\n\r\nevent: message\r\n\
         id: 1\r\ndata: {progress}\r\n\r\ndata: {question}\n\nevent: message\ndata: {}\n\n",
        result(seen)
    )
    .into_bytes()
}

async fn post(rig: &Rig, headers: &[(&str, &str)], message: &Value) -> (String, Vec<u8>) {
    let answer = rig
        .exchange(&request(
            "POST",
            "/agent/a/mcp/crm",
            headers,
            message.to_string().as_bytes(),
        ))
        .await;
    let (head, body, whole) = parted(&answer);
    assert!(whole, "{}", text(&answer));
    (head, body)
}

#[tokio::test]
async fn a_call_is_recorded_in_every_revision_whatever_the_answers_form() {
    for revision in REVISIONS {
        for (form, streams) in [(as_json as fn(&Seen) -> Vec<u8>, false), (as_events, true)] {
            let upstream = server(form).await;
            let rig = rig(&upstream, "/mcp").await;
            let modern = *revision == "2026-07-28";
            let mut headers = vec![("Accept", "application/json, text/event-stream")];
            if !modern {
                let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": revision}});
                let (head, _) = post(&rig, &headers, &hello).await;
                assert!(
                    head.to_ascii_lowercase().contains("mcp-session-id: s-1"),
                    "{head}"
                );
                headers.push(("Mcp-Session-Id", "s-1"));
            }
            if *revision >= "2025-06-18" {
                headers.push(("MCP-Protocol-Version", revision));
            }
            post(
                &rig,
                &headers,
                &json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}),
            )
            .await;
            for id in [json!(1), json!("1")] {
                let sent = call(id, "lookup", json!({"q": revision}));
                let (_, body) = post(&rig, &headers, &sent).await;
                let seen = upstream.seen().pop().unwrap();
                assert_eq!(seen.body, sent.to_string().as_bytes());
                assert!(seen.head.starts_with("POST /mcp HTTP/1.1"), "{}", seen.head);
                let answer = form(&seen);
                let expected = &answer[find(&answer, b"\r\n\r\n").unwrap() + 4..];
                assert_eq!(text(&body), text(expected), "bytes pass unchanged");
            }
            let calls = rig.of(&["tool.request"]);
            let ids: Vec<_> = calls
                .iter()
                .map(|line| mcp(line).id.clone().unwrap())
                .collect();
            assert_eq!(ids, ["1", "\"1\""], "{revision}");
            for request in &calls {
                let end = end_of(&rig, request);
                assert_eq!(
                    (end.kind.as_str(), state(&end)),
                    ("tool.response", State::Completed),
                    "{end:?}"
                );
                assert_eq!(
                    request.tool.as_ref().unwrap().name.as_deref(),
                    Some("lookup")
                );
                assert_eq!(end.tool.as_ref().unwrap().is_error, Some(false));
                assert!(
                    mcp(request)
                        .tool_digest
                        .as_ref()
                        .unwrap()
                        .starts_with("sha256:")
                );
                assert_eq!(
                    mcp(request).protocol_version.as_deref(),
                    Some(*revision),
                    "{request:?}"
                );
                assert_eq!(mcp(request).session.as_deref(), (!modern).then_some("s-1"));
                assert!(find(&rig.body(request, Role::Request), b"\"arguments\"").is_some());
            }
            // All of the session is one run.
            let runs: Vec<_> = calls
                .iter()
                .map(|line| line.run.clone().unwrap().id)
                .collect();
            assert_eq!(runs[0], runs[1]);
            let initialize = rig.of(&["mcp.request"]).remove(0);
            assert_eq!(initialize.run.as_ref().unwrap().id, runs[0]);
            let messages = rig.of(&["mcp.message"]);
            if streams {
                let to_client = messages
                    .iter()
                    .filter(|m| mcp(m).direction.as_deref() == Some("server-to-client"));
                assert_eq!(to_client.count(), messages.len());
                assert!(
                    messages
                        .iter()
                        .any(|m| mcp(m).method.as_deref() == Some("roots/list"))
                );
                assert!(messages.iter().all(|m| m.causes.len() == 1));
            } else {
                assert!(messages.is_empty());
            }
        }
    }
}

#[tokio::test]
async fn a_failed_tool_and_an_error_are_told_apart() {
    let upstream = server(|seen| {
        let id = &posted(seen)["id"];
        match posted(seen)["params"]["name"].as_str() {
            Some("fail") => as_json(seen),
            Some("unread") => ok("application/json", b"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":\"no\"}}"),
            Some("broken") => ok("application/json", b"{\"jsonrpc\""),
            Some("quiet") => b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n: bye\n\n".to_vec(),
            _ => ok("application/json", json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32602, "message": "no"}}).to_string().as_bytes()),
        }
    })
    .await;
    let rig = rig(&upstream, "/mcp").await;
    for tool in ["fail", "unknown", "unread", "broken", "quiet"] {
        post(&rig, &[], &call(json!(1), tool, json!({}))).await;
    }
    let told: Vec<_> = rig
        .of(&["tool.response"])
        .iter()
        .map(|end| {
            (
                state(end),
                error(end).map(str::to_owned),
                end.tool.as_ref().unwrap().is_error,
                mcp(end).error_code,
            )
        })
        .collect();
    let no_answer = (
        State::StreamError,
        Some("no_terminal_event".to_owned()),
        None,
        None,
    );
    assert_eq!(
        told,
        [
            (State::Completed, None, Some(true), None),
            (
                State::UpstreamError,
                Some("jsonrpc_-32602".to_owned()),
                Some(true),
                Some(-32602)
            ),
            // A server that could not read the id: it is the answer all the same.
            (
                State::UpstreamError,
                Some("jsonrpc_-32700".to_owned()),
                Some(true),
                Some(-32700)
            ),
            no_answer.clone(),
            no_answer,
        ]
    );
    assert_eq!(
        rig.of(&["gap"]).len(),
        1,
        "the answer that is no JSON is noted"
    );
}

#[tokio::test]
async fn statuses_go_through_untouched() {
    let upstream = server(|seen| {
        let answer = match seen.head.split(' ').next().unwrap() {
            "GET" => "HTTP/1.1 405 Method Not Allowed\r\nAllow: POST\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "DELETE" => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
            _ => {
                let body = r#"{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Session not found"}}"#;
                format!("HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            }
        };
        answer.into_bytes()
    })
    .await;
    let rig = rig(&upstream, "/mcp/").await;
    let session = [("Mcp-Session-Id", "dead")];
    let (head, body) = post(&rig, &session, &call(json!(1), "x", json!({}))).await;
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
    assert!(text(&body).contains("Session not found"));
    let answer = rig
        .exchange(&request("GET", "/agent/a/mcp/crm", &session, b""))
        .await;
    assert!(
        text(&answer).starts_with("HTTP/1.1 405"),
        "{}",
        text(&answer)
    );
    let answer = rig
        .exchange(&request("DELETE", "/agent/a/mcp/crm", &session, b""))
        .await;
    assert!(
        text(&answer).starts_with("HTTP/1.1 204"),
        "{}",
        text(&answer)
    );
    let ends: Vec<_> = rig
        .closed(3)
        .await
        .into_iter()
        .map(|(request, end)| (request.kind, state(&end)))
        .collect();
    assert_eq!(
        ends,
        [
            ("tool.request".to_owned(), State::UpstreamError),
            ("http.request".to_owned(), State::UpstreamError),
            ("http.request".to_owned(), State::Completed),
        ]
    );
}

#[tokio::test]
async fn a_batch_is_recorded_call_by_call() {
    let upstream = server(|seen| {
        let Value::Array(messages) = posted(seen) else {
            return ok("text/plain", b"no batch");
        };
        let mut answers: Vec<Value> = messages
            .iter()
            .filter(|message| {
                message["method"] == "tools/call" && message["params"]["name"] != "lost"
            })
            .map(
                |message| json!({"jsonrpc": "2.0", "id": message["id"], "result": {"content": []}}),
            )
            .collect();
        answers.reverse();
        ok(
            "application/json",
            Value::from(answers).to_string().as_bytes(),
        )
    })
    .await;
    let rig = rig(&upstream, "/mcp").await;
    let batch = json!([
        call(json!(1), "first", json!({})),
        {"jsonrpc": "2.0", "method": "notifications/x"},
        call(json!("1"), "second", json!({})),
        call(json!(2), "lost", json!({})),
    ]);
    post(&rig, &[], &batch).await;
    let ends: Vec<_> = rig
        .of(&["tool.request"])
        .iter()
        .map(|request| {
            let end = end_of(&rig, request);
            (
                request.tool.as_ref().unwrap().name.clone().unwrap(),
                state(&end),
                error(&end).map(str::to_owned),
            )
        })
        .collect();
    assert_eq!(
        ends,
        [
            ("first".to_owned(), State::Completed, None),
            ("second".to_owned(), State::Completed, None),
            (
                "lost".to_owned(),
                State::StreamError,
                Some("no_answer".to_owned())
            ),
        ]
    );
    let exchange = rig.of(&["http.request"]).remove(0);
    assert_eq!(mcp(&exchange).batch, Some(4));
    assert_eq!(
        rig.body(&exchange, Role::Request),
        batch.to_string().as_bytes()
    );
    assert_eq!(
        mcp(&rig.of(&["mcp.message"])[0]).direction.as_deref(),
        Some("client-to-server")
    );
}

#[tokio::test]
async fn answers_and_notifications_of_the_client_are_messages() {
    let upstream = server(|_| b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n".to_vec()).await;
    let rig = rig(&upstream, "/mcp").await;
    for message in [
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "id": 1, "result": {"roots": []}}),
        json!({"jsonrpc": "2.0", "id": "x", "error": {"code": -1, "message": "no"}}),
    ] {
        let (head, _) = post(&rig, &[], &message).await;
        assert!(head.starts_with("HTTP/1.1 202"), "{head}");
    }
    let messages = rig.of(&["mcp.message"]);
    let ids: Vec<_> = messages.iter().map(|line| mcp(line).id.clone()).collect();
    assert_eq!(ids, [None, Some("1".to_owned()), Some("\"x\"".to_owned())]);
    assert!(
        messages
            .iter()
            .all(|line| mcp(line).direction.as_deref() == Some("client-to-server"))
    );
    assert_eq!(
        rig.closed(3)
            .await
            .iter()
            .filter(|(_, end)| state(end) == State::Completed)
            .count(),
        3
    );
}

#[tokio::test]
async fn rounds_of_one_call_are_joined() {
    let upstream = server(|seen| {
        let message = posted(seen);
        let rounds = message["params"]["requestState"].as_str().map_or(0, str::len);
        let result = if rounds < 2 {
            json!({"resultType": "input_required", "inputRequests": {}, "requestState": "s".repeat(rounds + 1)})
        } else {
            json!({"resultType": "complete", "content": []})
        };
        ok("application/json", json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string().as_bytes())
    })
    .await;
    let rig = rig(&upstream, "/mcp").await;
    let headers = [("MCP-Protocol-Version", "2026-07-28")];
    for round in 0..3usize {
        let mut message = call(json!(10 + round), "transfer", json!({"to": "x"}));
        if round > 0 {
            message["params"]["inputResponses"] = json!({});
            message["params"]["requestState"] = json!("s".repeat(round));
        }
        post(&rig, &headers, &message).await;
    }
    // The same arguments, but another call.
    post(
        &rig,
        &headers,
        &call(json!(20), "transfer", json!({"to": "x"})),
    )
    .await;
    let calls = rig.of(&["tool.request"]);
    let rounds: Vec<_> = calls
        .iter()
        .map(|line| {
            line.exchange
                .as_ref()
                .map(|exchange| (exchange.attempt.unwrap(), exchange.retry_of))
                .unwrap()
        })
        .collect();
    let first = Some(calls[0].seq);
    assert_eq!(rounds, [(1, None), (2, first), (3, first), (1, None)]);
}

#[tokio::test]
async fn an_unknown_server_is_refused_in_its_own_words() {
    let upstream = server(as_json).await;
    let rig = rig(&upstream, "/mcp").await;
    let message = call(json!(1), "x", json!({}));
    let answer = rig
        .exchange(&request(
            "POST",
            "/agent/a/mcp/nowhere",
            &[],
            message.to_string().as_bytes(),
        ))
        .await;
    let (head, body, _) = parted(&answer);
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (&body["jsonrpc"], &body["error"]["code"]),
        (&json!("2.0"), &json!(-32000))
    );
    let told = body["error"]["message"].as_str().unwrap();
    assert!(
        told.contains("`nowhere`") && told.contains("configured are crm"),
        "{told}"
    );
    let (_, end) = rig.one().await;
    assert_eq!(
        (state(&end), error(&end)),
        (State::Denied, Some("unknown_upstream"))
    );
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_an_error_in_its_own_words() {
    let upstream = Upstream::answering("").await;
    let rig = rig(&upstream, "/mcp").await;
    drop(upstream);
    let (head, body) = post(&rig, &[], &call(json!(1), "x", json!({}))).await;
    assert!(head.starts_with("HTTP/1.1 502"), "{head}");
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["error"]["code"], -32000);
    let end = end_of(&rig, &rig.of(&["tool.request"])[0]);
    assert_eq!(state(&end), State::UpstreamError);
}

#[tokio::test]
async fn a_call_is_durable_before_the_server_sees_it() {
    let dir = std::sync::Arc::new(std::sync::OnceLock::<std::path::PathBuf>::new());
    let upstream = server({
        let dir = dir.clone();
        move |seen| {
            let lines = super::rig::lines(dir.get().unwrap());
            let id = posted(seen)["id"].to_string();
            let durable = lines.iter().any(|l| l.kind == "tool.request" && mcp(l).id.as_ref() == Some(&id));
            let result = json!({"jsonrpc": "2.0", "id": posted(seen)["id"], "result": {"isError": !durable}});
            ok("application/json", result.to_string().as_bytes())
        }
    })
    .await;
    let rig = rig(&upstream, "/mcp").await;
    dir.set(rig.dir.path().to_owned()).unwrap();
    for id in 0..20 {
        let (_, body) = post(&rig, &[], &call(json!(id), "x", json!({}))).await;
        let answer: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            answer["result"]["isError"], false,
            "call {id} was forwarded before it was recorded"
        );
        assert_eq!(
            rig.of(&["tool.response"]).len(),
            id + 1,
            "answered before the answer was recorded"
        );
    }
}
