//! The support agent: an ordinary loop of model and tools that knows no address but the recorder's.

use super::{AGENT, MCP_SERVER, MODEL_UPSTREAM, RUN};
use crate::failure::Failure;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde_json::{Value, json};

/// Rounds after which the agent gives up.
const MAX_ROUNDS: usize = 8;

/// Longest answer that the agent reads.
const MAX_ANSWER_BYTES: usize = 4 << 20;

/// What the agent's user asked for.
const TASK: &str = "Please handle ticket 4711.";

/// One thing that the agent did, for whoever watches.
#[derive(Debug, Serialize)]
#[serde(tag = "step", rename_all = "lowercase")]
pub(crate) enum Step {
    /// The user's task went to the model.
    Asked {
        /// In the user's words.
        task: &'static str,
    },
    /// The model asked for a tool, and the tool answered.
    Called {
        /// The tool.
        tool: String,
        /// Its arguments.
        arguments: String,
        /// How many bytes of text came back.
        result_bytes: usize,
    },
    /// The model had nothing more to do.
    Said {
        /// To the user.
        words: String,
    },
}

/// The agent.
#[derive(Debug)]
pub(crate) struct Agent {
    client: Client<HttpConnector, Full<Bytes>>,
    /// `http://HOST:PORT/agent/NAME` of the recorder's gateway.
    base: String,
    session: Option<String>,
    requests: u64,
}

impl Agent {
    /// An agent that reaches everything through the gateway at `gateway`.
    pub(crate) fn new(gateway: &str) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            base: format!("{gateway}/agent/{AGENT}"),
            session: None,
            requests: 0,
        }
    }

    /// Works on the ticket until the model has nothing more to do.
    pub(crate) async fn work(
        &mut self,
        mut watch: impl FnMut(Step) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let tools = self.connect().await?;
        let mut messages = vec![json!({ "role": "user", "content": TASK })];
        watch(Step::Asked { task: TASK })?;
        for _ in 0..MAX_ROUNDS {
            let content = self.ask(&messages, &tools).await?;
            let mut results = Vec::new();
            for block in content
                .iter()
                .filter(|block| text(block, "/type") == "tool_use")
            {
                let (tool, input) = (
                    text(block, "/name"),
                    block.get("input").unwrap_or(&Value::Null),
                );
                let result = self.call(tool, input).await?;
                watch(Step::Called {
                    tool: tool.to_owned(),
                    arguments: input.to_string(),
                    result_bytes: result.len(),
                })?;
                results.push(json!({ "type": "tool_result", "tool_use_id": text(block, "/id"), "content": result }));
            }
            if results.is_empty() {
                let words: Vec<_> = content.iter().map(|block| text(block, "/text")).collect();
                return watch(Step::Said {
                    words: words.concat(),
                });
            }
            messages.push(json!({ "role": "assistant", "content": content }));
            messages.push(json!({ "role": "user", "content": results }));
        }
        Err(Failure::new("the demo's agent did not come to an end"))
    }

    /// Opens the MCP session and returns the tools in the model's format.
    async fn connect(&mut self) -> Result<Value, Failure> {
        let params = json!({
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": AGENT, "version": "1.0.0" },
        });
        self.rpc("initialize", &params).await?;
        self.notify("notifications/initialized").await?;
        let listed = self.rpc("tools/list", &json!({})).await?;
        let tools = listed
            .get("tools")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let tools = tools.map(|tool| {
            json!({ "name": tool.get("name"), "description": tool.get("description"),
                    "input_schema": tool.get("inputSchema") })
        });
        Ok(tools.collect())
    }

    /// One model call, streamed. Returns the content blocks as they go back into the history.
    async fn ask(&self, messages: &[Value], tools: &Value) -> Result<Vec<Value>, Failure> {
        let body = json!({
            "model": "demo-model-1", "max_tokens": 1024, "stream": true, "messages": messages, "tools": tools,
            "system": "You are a support agent. Handle the ticket with the tools you have.",
        });
        let request = self
            .request(&format!("{MODEL_UPSTREAM}/v1/messages"))
            .header("anthropic-version", "2023-06-01")
            .header("x-api-key", "demo-key-not-a-secret");
        let (_, stream) = self.send(request, &body).await?;
        Ok(blocks(&stream))
    }

    /// One tool call; returns the text of the result.
    async fn call(&mut self, tool: &str, arguments: &Value) -> Result<String, Failure> {
        let result = self
            .rpc(
                "tools/call",
                &json!({ "name": tool, "arguments": arguments }),
            )
            .await?;
        Ok(text(&result, "/content/0/text").to_owned())
    }

    async fn rpc(&mut self, method: &str, params: &Value) -> Result<Value, Failure> {
        self.requests += 1;
        let message =
            json!({ "jsonrpc": "2.0", "id": self.requests, "method": method, "params": params });
        let (session, body) = self.send(self.mcp(), &message).await?;
        self.session = self.session.take().or(session);
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        answer.get("result").cloned().ok_or_else(|| {
            Failure::new(format!("the demo's MCP server did not answer {method}"))
                .cause(String::from_utf8_lossy(&body).into_owned())
        })
    }

    async fn notify(&self, method: &str) -> Result<(), Failure> {
        self.send(self.mcp(), &json!({ "jsonrpc": "2.0", "method": method }))
            .await
            .map(|_| ())
    }

    fn mcp(&self) -> http::request::Builder {
        let mut request = self
            .request(&format!("mcp/{MCP_SERVER}"))
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2025-11-25");
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session);
        }
        request
    }

    fn request(&self, path: &str) -> http::request::Builder {
        Request::post(format!("{}/{path}", self.base))
            .header("content-type", "application/json")
            .header("user-agent", "support-agent/1.0")
            .header("x-tacho-run", RUN)
    }

    /// Sends a request; returns the session the server named, and the body.
    async fn send(
        &self,
        request: http::request::Builder,
        body: &Value,
    ) -> Result<(Option<String>, Bytes), Failure> {
        let failed = || Failure::new("the demo's agent cannot speak through the recorder");
        let request = request
            .body(Full::new(Bytes::from(body.to_string())))
            .map_err(|error| failed().because(&error))?;
        let response = self
            .client
            .request(request)
            .await
            .map_err(|error| failed().because(&error))?;
        let status = response.status();
        let session = response
            .headers()
            .get("mcp-session-id")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES)
            .collect()
            .await
            .map_err(|error| failed().because(error.as_ref()))?
            .to_bytes();
        if status.is_success() || status == StatusCode::ACCEPTED {
            return Ok((session, body));
        }
        Err(failed().cause(format!(
            "status {status}: {}",
            String::from_utf8_lossy(&body)
        )))
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The content blocks that a stream of Anthropic Messages events builds up.
fn blocks(stream: &[u8]) -> Vec<Value> {
    let mut blocks: Vec<Value> = Vec::new();
    let mut input = String::new();
    let stream = String::from_utf8_lossy(stream);
    for data in stream
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
    {
        let event: Value = serde_json::from_str(data).unwrap_or_default();
        match text(&event, "/type") {
            "content_block_start" => {
                input.clear();
                blocks.push(event.get("content_block").cloned().unwrap_or_default());
            }
            "content_block_delta" => {
                input.push_str(text(&event, "/delta/partial_json"));
                for field in ["text", "thinking", "signature"] {
                    append(
                        blocks.last_mut(),
                        field,
                        text(&event, &format!("/delta/{field}")),
                    );
                }
            }
            "content_block_stop" if !input.is_empty() => {
                if let Some(object) = blocks.last_mut().and_then(Value::as_object_mut) {
                    object.insert(
                        "input".to_owned(),
                        serde_json::from_str(&input).unwrap_or_default(),
                    );
                }
            }
            _ => {}
        }
    }
    blocks
}

fn append(block: Option<&mut Value>, field: &str, piece: &str) {
    if let Some(Value::String(whole)) = block.and_then(|block| block.get_mut(field)) {
        whole.push_str(piece);
    }
}
