//! A scripted MCP server over Streamable HTTP, for both eras: sessions (to 2025-11-25) and
//! self-contained requests (2026-07-28).

use crate::reply::{Gate, Reply, Step};
use crate::wire::Request;
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// The revision without sessions.
pub const MODERN: &str = "2026-07-28";
/// The newest revision with sessions.
pub const LEGACY: &str = "2025-11-25";

/// How the server answers a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// One JSON body.
    Json,
    /// An event stream that ends with the answer.
    Events,
}

/// A scripted server. Its tools: `echo` (gives `text` back), `fail` (a result with `isError`),
/// `progress` (notifications before the result; always a stream), `hold` (waits for [`Server::gate`]).
#[derive(Debug)]
pub struct Server {
    answer: Answer,
    sessions: Mutex<HashSet<String>>,
    gate: Gate,
}

impl Server {
    /// A server without sessions so far.
    #[must_use]
    pub fn new(answer: Answer) -> Self {
        Self {
            answer,
            sessions: Mutex::default(),
            gate: Gate::default(),
        }
    }

    /// Holds back the results of the tool `hold`.
    #[must_use]
    pub const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The answer to one HTTP request.
    pub fn answer(&self, request: &Request) -> Reply {
        let session = request.header("mcp-session-id").unwrap_or_default();
        match request.method.as_str() {
            "POST" => self.post(request, session),
            // The stream of unrelated server messages; a client with no session has none.
            "GET" if self.sessions().contains(session) => {
                let notification =
                    json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
                let mut reply = Reply::events([event(&notification)]);
                reply.steps.push(Step::Hang);
                reply
            }
            "DELETE" if self.sessions().remove(session) => Reply::empty(204),
            "GET" | "DELETE" if session.is_empty() => {
                Reply::empty(405).with_header("allow", "POST")
            }
            "GET" | "DELETE" => dead_session(),
            _ => Reply::empty(405).with_header("allow", "POST"),
        }
    }

    fn post(&self, request: &Request, session: &str) -> Reply {
        let message = request.json();
        let method = message
            .get("method")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let modern = request.header("mcp-protocol-version") == Some(MODERN);
        if method == "initialize" {
            return self.initialize(&message);
        }
        if !modern && !session.is_empty() && !self.sessions().contains(session) {
            return dead_session();
        }
        let Some(id) = message.get("id").filter(|_| !method.is_empty()) else {
            return Reply::empty(202);
        };
        let envelope = |key: &str, value: Value| json!({ "jsonrpc": "2.0", "id": id, key: value });
        match method {
            "tools/call" => self.call(&message, id),
            "tools/list" => self.send(&envelope("result", tools(modern))),
            "ping" => self.send(&envelope("result", json!({}))),
            "server/discover" => self.send(&envelope(
                "result",
                json!({
                    "resultType": "complete", "supportedVersions": [MODERN, LEGACY],
                    "capabilities": { "tools": { "listChanged": true } }, "ttlMs": 0, "cacheScope": "private",
                    "_meta": { "io.modelcontextprotocol/serverInfo": info() },
                }),
            )),
            _ => self.send(&envelope("error", json!({ "code": -32601, "message": format!("no method {method}") }))),
        }
    }

    fn initialize(&self, message: &Value) -> Reply {
        let version = message
            .pointer("/params/protocolVersion")
            .and_then(Value::as_str)
            // The handshake belongs to the revisions that have one.
            .filter(|version| *version != MODERN)
            .unwrap_or(LEGACY);
        let mut sessions = self.sessions();
        let session = format!("session-{}", sessions.len() + 1);
        sessions.insert(session.clone());
        drop(sessions);
        let result = json!({
            "protocolVersion": version, "capabilities": { "tools": { "listChanged": true } }, "serverInfo": info(),
        });
        self.send(&json!({ "jsonrpc": "2.0", "id": message.get("id"), "result": result }))
            .with_header("Mcp-Session-Id", &session)
    }

    fn call(&self, message: &Value, id: &Value) -> Reply {
        let name = message
            .pointer("/params/name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let text = message
            .pointer("/params/arguments/text")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let result = |text: &str, is_error: bool| {
            json!({ "jsonrpc": "2.0", "id": id, "result": {
                "resultType": "complete", "content": [{ "type": "text", "text": text }], "isError": is_error,
            } })
        };
        match name {
            "echo" => self.send(&result(text, false)),
            "fail" => self.send(&result("scripted: the tool failed", true)),
            "hold" => self.send(&result(text, false)).behind(&self.gate),
            "progress" => {
                let token = message.pointer("/params/_meta/progressToken");
                let mut events: Vec<_> = (1..=3)
                    .map(|n| {
                        event(&json!({ "jsonrpc": "2.0", "method": "notifications/progress",
                                       "params": { "progressToken": token, "progress": n, "total": 3 } }))
                    })
                    .collect();
                events.push(event(&result(text, false)));
                Reply::events(events)
            }
            _ => self.send(&json!({ "jsonrpc": "2.0", "id": id,
                                    "error": { "code": -32602, "message": format!("no tool {name}") } })),
        }
    }

    fn send(&self, message: &Value) -> Reply {
        match self.answer {
            Answer::Json => Reply::json(200, message),
            Answer::Events => Reply::events([event(message)]),
        }
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn info() -> Value {
    json!({ "name": "scripted", "version": "1.0.0" })
}

fn dead_session() -> Reply {
    Reply::json(
        404,
        &json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32001, "message": "Session not found" } }),
    )
}

fn event(message: &Value) -> Bytes {
    Bytes::from(format!("event: message\ndata: {message}\n\n"))
}

fn tools(modern: bool) -> Value {
    let schema = json!({ "type": "object", "properties": { "text": { "type": "string" } } });
    let tools: Vec<_> = ["echo", "fail", "hold", "progress"]
        .iter()
        .map(|name| json!({ "name": name, "description": format!("scripted {name}"), "inputSchema": schema }))
        .collect();
    if modern {
        json!({ "resultType": "complete", "tools": tools, "ttlMs": 0, "cacheScope": "private" })
    } else {
        json!({ "tools": tools })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(session: Option<&str>, message: &Value) -> Request {
        let headers = session
            .map(|s| ("mcp-session-id".to_owned(), s.to_owned()))
            .into_iter()
            .collect();
        Request {
            method: "POST".to_owned(),
            path: "/mcp".to_owned(),
            headers,
            body: message.to_string().into(),
            ..Request::default()
        }
    }

    #[test]
    fn a_session_lives_from_initialize_to_delete() {
        let server = Server::new(Answer::Json);
        let begun = server.answer(&post(
            None,
            &json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {} }),
        ));
        let (_, session) = begun
            .headers
            .iter()
            .find(|(name, _)| name == "Mcp-Session-Id")
            .unwrap();
        let ping = post(
            Some(session),
            &json!({ "jsonrpc": "2.0", "id": 2, "method": "ping" }),
        );
        assert_eq!(server.answer(&ping).status, 200);
        let delete = Request {
            method: "DELETE".to_owned(),
            ..ping.clone()
        };
        assert_eq!(server.answer(&delete).status, 204);
        assert_eq!(server.answer(&ping).status, 404);
    }

    #[test]
    fn a_notification_is_accepted_without_an_answer() {
        let server = Server::new(Answer::Events);
        let note = post(
            None,
            &json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
        );
        assert_eq!(server.answer(&note).status, 202);
    }
}
