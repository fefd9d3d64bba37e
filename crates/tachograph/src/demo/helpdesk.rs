//! The scripted MCP server: a help desk with three tools, over Streamable HTTP (2025-11-25).

use super::stage::Answer;
use http::StatusCode;
use serde_json::{Value, json};

const TICKET: &str = include_str!("../../assets/demo/ticket-4711.txt");
const CUSTOMERS: &str = include_str!("../../assets/demo/customers.csv");

/// The answer to one message.
pub(super) fn answer(method: &str, message: &Value) -> Answer {
    if method != "POST" {
        // No stream of its own to listen to, no session worth ending.
        return Answer::empty(StatusCode::METHOD_NOT_ALLOWED);
    }
    let Some(id) = message.get("id") else {
        return Answer::empty(StatusCode::ACCEPTED);
    };
    let body = match message
        .get("method")
        .and_then(Value::as_str)
        .unwrap_or_default()
    {
        "initialize" => json!({ "result": {
            "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
            "serverInfo": { "name": "helpdesk", "version": "1.0.0" },
        } }),
        "tools/list" => json!({ "result": { "tools": tools() } }),
        "tools/call" => call(message.get("params").unwrap_or(&Value::Null)),
        other => json!({ "error": { "code": -32601, "message": format!("no method {other}") } }),
    };
    let mut reply = json!({ "jsonrpc": "2.0", "id": id });
    if let (Some(reply), Value::Object(body)) = (reply.as_object_mut(), body) {
        reply.extend(body);
    }
    Answer::json(&reply)
}

fn call(params: &Value) -> Value {
    let argument = |name: &str| {
        params
            .pointer(&format!("/arguments/{name}"))
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let text = match params
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default()
    {
        "read_ticket" => TICKET.to_owned(),
        "query_customers" => CUSTOMERS.to_owned(),
        "send_email" => format!("queued for delivery to {}", argument("address")),
        other => {
            return json!({ "error": { "code": -32602, "message": format!("no tool {other}") } });
        }
    };
    json!({ "result": { "content": [{ "type": "text", "text": text }], "isError": false } })
}

fn tools() -> Value {
    let tool = |name: &str, description: &str, arguments: &[&str]| {
        let properties: serde_json::Map<_, _> = arguments
            .iter()
            .map(|argument| ((*argument).to_owned(), json!({ "type": "string" })))
            .collect();
        json!({ "name": name, "description": description,
                "inputSchema": { "type": "object", "properties": properties, "required": arguments } })
    };
    json!([
        tool("read_ticket", "Read a support ticket", &["id"]),
        tool("query_customers", "Look up customer records", &["filter"]),
        tool(
            "send_email",
            "Send an e-mail",
            &["address", "subject", "text"]
        ),
    ])
}
