//! One event in a few words, from its line alone.

mod of_the_log;

use crate::out::{BAD, DIM, GOOD, MODEL, PLAIN, TOOL, WARN};
use crate::summary::grouped;
use crate::when;
use anstyle::Style;
use event::{Kind, Line, State};

/// How an event stands out.
pub(crate) fn style(line: &Line) -> Style {
    if let Some(outcome) = &line.outcome
        && outcome.state != State::Completed
    {
        return state_style(outcome.state);
    }
    match line.kind.parse() {
        Ok(
            Kind::Gap
            | Kind::RunHistory
            | Kind::RecorderRecovered
            | Kind::KeyRevoked
            | Kind::AnchorFailed
            | Kind::LogSuccessor,
        ) => WARN,
        Ok(Kind::ModelRequest | Kind::ModelResponse) => MODEL,
        Ok(Kind::ToolRequest | Kind::ToolResponse) => TOOL,
        Ok(Kind::Heartbeat | Kind::Environment | Kind::Clock) => DIM,
        _ => PLAIN,
    }
}

/// How a terminal state stands out.
pub(crate) const fn state_style(state: State) -> Style {
    match state {
        State::Completed => GOOD,
        State::ClientAborted | State::Expired | State::Interrupted => WARN,
        _ => BAD,
    }
}

/// What happened, without time, kind, agent and run. Recorded text in it is not yet escaped.
pub(crate) fn describe(line: &Line) -> String {
    let mut words = Vec::new();
    if let Some(call) = line.exchange.as_ref().and_then(|exchange| exchange.call) {
        words.push(format!("of #{call}"));
    }
    if let Some(attempt) = line
        .exchange
        .as_ref()
        .and_then(|e| e.attempt)
        .filter(|n| *n > 1)
    {
        words.push(format!("attempt {attempt}"));
    }
    outcome(line, &mut words);
    model(line, &mut words);
    tool(line, &mut words);
    http(line, &mut words);
    if let Some(history) = &line.history {
        words.push(departure(history));
    }
    if let Some(gap) = &line.gap {
        words.push(loss(gap));
    }
    if let Some(us) = line.timing.as_ref().and_then(|timing| timing.total_us) {
        words.push(when::span_us(us));
    }
    if let Some(websocket) = &line.websocket {
        words.push(format!("{} {}", websocket.direction, websocket.opcode));
        words.extend(websocket.message_type.clone());
    }
    words.extend(of_the_log::words(line));
    facts(line, &mut words);
    words.join(" · ")
}

fn outcome(line: &Line, words: &mut Vec<String>) {
    let Some(outcome) = &line.outcome else {
        return;
    };
    let mut text = outcome.state.to_string();
    if outcome.state != State::Completed {
        text.make_ascii_uppercase();
    }
    for detail in outcome.error.iter().chain(&outcome.reason) {
        text.push_str(": ");
        text.push_str(detail);
    }
    words.push(text);
}

fn model(line: &Line, words: &mut Vec<String>) {
    let Some(gen_ai) = &line.gen_ai else {
        return;
    };
    words.extend(
        gen_ai
            .response_model
            .clone()
            .or_else(|| gen_ai.request_model.clone()),
    );
    if let Some(messages) = gen_ai.messages {
        words.push(counted(messages, "message"));
    }
    if !line.tool_results.is_empty() {
        words.push(counted(line.tool_results.len() as u64, "tool result"));
    }
    let called: Vec<&str> = line
        .tool_calls
        .iter()
        .filter_map(|call| call.name.as_deref())
        .collect();
    if !called.is_empty() {
        words.push(format!("calls {}", called.join(", ")));
    }
    if let Some(usage) = &gen_ai.usage {
        words.push(format!(
            "{} in, {} out",
            usage.input_tokens.map_or_else(|| "?".to_owned(), grouped),
            usage.output_tokens.map_or_else(|| "?".to_owned(), grouped),
        ));
    }
}

fn tool(line: &Line, words: &mut Vec<String>) {
    let Some(mcp) = &line.mcp else {
        return;
    };
    // A notification over HTTP is told by its address.
    if matches!(line.kind.parse(), Ok(Kind::HttpRequest)) {
        return;
    }
    let what = match line.tool.as_ref().and_then(|tool| tool.name.as_deref()) {
        Some(tool) => format!("{}/{tool}", mcp.server),
        None => match &mcp.method {
            Some(method) => format!("{} {method}", mcp.server),
            None => mcp.server.clone(),
        },
    };
    words.push(what);
    if let Some(code) = mcp.error_code {
        words.push(format!("JSON-RPC error {code}"));
    }
    if line.tool.as_ref().and_then(|tool| tool.is_error) == Some(true) {
        words.push("the tool reports an error".to_owned());
    }
}

fn http(line: &Line, words: &mut Vec<String>) {
    let Some(http) = &line.http else {
        return;
    };
    if let Some(status) = http.status {
        words.push(format!("HTTP {status}"));
    }
    if let Some(relayed) = http.relayed {
        words.push(format!("{relayed} bytes relayed"));
    }
    let is_plain = matches!(line.kind.parse(), Ok(Kind::HttpRequest));
    if let (true, Some(method), Some(path)) = (is_plain, &http.method, &http.path) {
        let upstream = http.upstream.as_deref().unwrap_or("?");
        words.push(format!("{upstream} {method} {path}"));
    }
}

/// A few facts that a person wants to see of the recorder's own events.
fn facts(line: &Line, words: &mut Vec<String>) {
    let Some(facts) = &line.facts else {
        return;
    };
    const SHOWN: [&str; 14] = [
        "version",
        "commit",
        "synchronized",
        "stepped_ms",
        "cpu_busy_percent",
        "process_resident_bytes",
        "disk_free_bytes",
        "calls_open",
        "command",
        "exit_code",
        "twin_by",
        "twin_run",
        "twin_runs",
        "run_ids_ignored",
    ];
    for name in SHOWN {
        match facts.get(name) {
            Some(serde_json::Value::String(text)) => words.push(format!("{name} {text}")),
            Some(value @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_))) => {
                words.push(format!("{name} {value}"));
            }
            _ => {}
        }
    }
}

/// How a message history departs from what was seen.
pub(crate) fn departure(history: &event::History) -> String {
    format!(
        "history {} at message {} (seen {}, sent {})",
        history.change, history.at, history.seen, history.sent
    )
}

/// What was lost, and why.
pub(crate) fn loss(gap: &event::Gap) -> String {
    let mut text = format!(
        "{} {} of {}: {}",
        grouped(gap.count),
        gap.unit,
        gap.of,
        gap.cause
    );
    match (gap.from, gap.to) {
        (Some(from), Some(to)) => text.push_str(&format!(" ({from} to {to})")),
        (Some(from), None) => text.push_str(&format!(" (from {from})")),
        _ => {}
    }
    text
}

/// `1 message`, `12 messages`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> String {
        let line = format!(
            r#"{{"v":1,"seq":9,"time":"2026-11-21T03:07:41Z","boot_ns":1,"boot":"b","stream":0,"n":0,"source":"gateway","basis":"observed",{json}}}"#
        );
        describe(&Line::parse(line.as_bytes()).unwrap())
    }

    #[test]
    fn events_in_a_few_words() {
        for (json, expected) in [
            (r#""kind":"heartbeat""#, ""),
            (
                r#""kind":"model.request","gen_ai":{"api":"anthropic.messages","request_model":"m","messages":1},"tool_results":[{"id":"t"}]"#,
                "m · 1 message · 1 tool result",
            ),
            (
                r#""kind":"model.response","exchange":{"call":7},"gen_ai":{"api":"x","usage":{"input_tokens":1200}},"tool_calls":[{"name":"mail"}],"outcome":{"state":"stream_error","error":"overloaded_error"},"timing":{"total_us":1900000}"#,
                "of #7 · STREAM_ERROR: overloaded_error · calls mail · 1,200 in, ? out · 1.9 s",
            ),
            (
                r#""kind":"tool.request","mcp":{"server":"crm","method":"tools/call"},"tool":{"name":"export"}"#,
                "crm/export",
            ),
            (
                r#""kind":"gap","gap":{"of":"response","cause":"truncated","count":1024,"unit":"bytes","from":5}"#,
                "1,024 bytes of response: truncated (from 5)",
            ),
            (
                r#""kind":"run.history","history":{"change":"edited","at":3,"seen":5,"sent":7}"#,
                "history edited at message 3 (seen 5, sent 7)",
            ),
            (
                r#""kind":"run.link","facts":{"twin_by":"same-history","twin_run":"R2","twin_runs":3}"#,
                "twin_by same-history · twin_run R2 · twin_runs 3",
            ),
            (r#""kind":"something.new","brand_new":1"#, ""),
        ] {
            assert_eq!(of(json), expected);
        }
    }
}
