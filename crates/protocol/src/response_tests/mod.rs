mod anthropic;
mod bounds;
mod chat;
mod gemini;
mod responses;

use super::*;
use anthropic::ANTHROPIC_STREAM;
use gemini::GEMINI;
use proptest::prelude::*;
use responses::RESPONSES_STREAM;

fn read(api: Api, media: &str, status: u16, body: &[u8], chunk: usize) -> ResponseView {
    let mut reader = ResponseReader::new(api, Some(media), None, status);
    for chunk in body.chunks(chunk) {
        reader.feed(chunk);
    }
    reader.finish(true)
}

fn json(api: Api, body: &str) -> ResponseView {
    read(api, "application/json", 200, body.as_bytes(), 7)
}

fn stream(api: Api, body: &str) -> ResponseView {
    let view = read(
        api,
        "text/event-stream; charset=utf-8",
        200,
        body.as_bytes(),
        usize::MAX,
    );
    for chunk in [1, 5, 64] {
        assert_eq!(
            read(api, "text/event-stream", 200, body.as_bytes(), chunk),
            view,
            "chunks of {chunk}"
        );
    }
    view
}

/// Lines of `data:` JSON, with the event name where the API has one.
fn events(named: bool, data: &[&str]) -> String {
    let name = |data: &str| {
        let kind = data
            .split("\"type\":\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .unwrap_or_default();
        if named {
            format!("event: {kind}\n")
        } else {
            String::new()
        }
    };
    data.iter()
        .map(|data| format!("{}data: {data}\n\n", name(data)))
        .collect()
}

fn calls(view: &ResponseView) -> Vec<String> {
    view.tool_calls
        .iter()
        .map(|call| {
            let id = call.id.as_deref().unwrap_or("-");
            let mark = if call.provider_executed {
                " by provider"
            } else {
                ""
            };
            let open = if call.complete { "" } else { " incomplete" };
            format!(
                "{} {} {id} {}{mark}{open}",
                call.kind, call.name, call.arguments
            )
        })
        .collect()
}

fn usage(view: &ResponseView) -> [Option<u64>; 5] {
    let usage = view.gen_ai.usage.clone().unwrap_or_default();
    [
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_input_tokens,
        usage.cache_creation_input_tokens,
        usage.reasoning_output_tokens,
    ]
}

/// The fingerprint that a request's reader gives this message.
fn sent_back(api: Api, field: &str, messages: &str) -> crate::Fingerprint {
    let view = crate::read_request(
        &api.into(),
        format!(r#"{{"{field}":[{messages}]}}"#).as_bytes(),
    );
    view.messages[0].fingerprint
}

#[test]
fn a_whole_converse_answer_is_read() {
    let view = json(
        Api::BedrockConverse,
        r#"{"output":{"message":{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"abc","signature":"s"}}},{"text":"Hi"},
            {"toolUse":{"toolUseId":"t1","name":"f","input":{"a":1}}}]}},"stopReason":"tool_use","usage":{"inputTokens":1,"outputTokens":2,"cacheReadInputTokens":3}}"#,
    );
    assert_eq!(calls(&view), [r#"toolUse f t1 {"a":1}"#]);
    assert_eq!(
        (view.reasoning_bytes, usage(&view)[2], view.terminated),
        (3, Some(3), true)
    );
}

#[test]
fn error_bodies_give_their_type_whatever_their_shape() {
    let table = [
        (
            Api::AnthropicMessages,
            r#"{"type":"error","error":{"type":"rate_limit_error","message":"m"},"request_id":"r"}"#,
            "rate_limit_error",
        ),
        (
            Api::OpenAiChat,
            r#"{"error":{"message":"m","type":"invalid_request_error","code":"bad"}}"#,
            "invalid_request_error",
        ),
        (
            Api::OpenAiChat,
            r#"{"error":{"message":"m","code":429}}"#,
            "429",
        ),
        (
            Api::OpenAiChat,
            r#"{"error":"a sentence that somebody wrote"}"#,
            "error",
        ),
        (
            Api::OpenAiChat,
            r#"{"object":"error","type":"invalid_model","message":"m"}"#,
            "invalid_model",
        ),
        (
            Api::GeminiGenerate,
            r#"[{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}]"#,
            "RESOURCE_EXHAUSTED",
        ),
        (
            Api::BedrockConverse,
            r#"{"__type":"ThrottlingException","message":"m"}"#,
            "ThrottlingException",
        ),
        (Api::BedrockConverse, r#"{"message":"m"}"#, "error"),
    ];
    for (api, body, want) in table {
        let view = read(api, "application/json", 429, body.as_bytes(), 3);
        assert_eq!(
            (view.error.as_deref(), view.stream_error, view.message),
            (Some(want), None, None),
            "{body}"
        );
    }
    let page = read(
        Api::OpenAiChat,
        "text/html",
        502,
        b"<html>bad gateway</html>",
        5,
    );
    assert_eq!(
        page.problem.as_deref(),
        Some("the body is neither JSON nor an event stream")
    );
}

#[test]
fn an_error_after_a_status_of_success_is_an_error_of_the_stream() {
    let view = json(Api::OpenAiChat, r#"{"error":{"type":"server_error"}}"#);
    assert_eq!(
        (view.stream_error.as_deref(), view.error),
        (Some("server_error"), None)
    );
}

#[test]
fn the_body_is_believed_over_its_media_type() {
    let body = events(true, ANTHROPIC_STREAM);
    let view = read(
        Api::AnthropicMessages,
        "application/json",
        200,
        body.as_bytes(),
        9,
    );
    assert_eq!(view.tool_calls.len(), 2);
    let view = read(
        Api::GeminiGenerate,
        "text/event-stream",
        200,
        GEMINI.as_bytes(),
        9,
    );
    assert_eq!(view.tool_calls.len(), 1);
}

#[test]
fn compressed_answers_are_read() {
    use std::io::Write as _;
    let body = events(true, ANTHROPIC_STREAM);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body.as_bytes()).unwrap();
    let body = encoder.finish().unwrap();
    let mut reader = ResponseReader::new(
        Api::AnthropicMessages,
        Some("text/event-stream"),
        Some("gzip"),
        200,
    );
    body.chunks(11).for_each(|chunk| reader.feed(chunk));
    assert!(reader.terminal_seen());
    assert_eq!(reader.finish(true).tool_calls.len(), 2);

    let mut reader = ResponseReader::new(
        Api::AnthropicMessages,
        Some("text/event-stream"),
        Some("gzip"),
        200,
    );
    reader.feed(b"not gzip at all");
    assert_eq!(
        reader.finish(true).problem.as_deref(),
        Some("the body is not valid gzip")
    );
}

#[test]
fn a_body_that_stops_is_not_whole() {
    let mut reader = ResponseReader::new(Api::OpenAiChat, Some("application/json"), None, 200);
    reader.feed(b"{\"choices\":[");
    let view = reader.finish(false);
    assert_eq!(
        (view.terminated, view.problem),
        (false, None),
        "the transport already says that it broke"
    );
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), chunk in 1..50usize, status in 0..600u16) {
        for api in Api::ALL {
            for media in ["application/json", "text/event-stream", "application/vnd.amazon.eventstream", ""] {
                read(*api, media, status, &bytes, chunk);
            }
        }
    }

    #[test]
    fn damaged_streams_do_not_make_it_panic(at in 0..5000usize, len in 1..20usize, with in r#"null|true|-1|"x"|\[\]|\{\}|,|"|\n\n"#) {
        for (api, parts) in [(Api::AnthropicMessages, ANTHROPIC_STREAM), (Api::OpenAiResponses, RESPONSES_STREAM), (Api::OpenAiChat, RESPONSES_STREAM), (Api::GeminiGenerate, &[GEMINI])] {
            let body = events(true, parts);
            let from = at % body.len();
            let to = (from + len).min(body.len());
            let (head, tail) = (&body.as_bytes()[..from], &body.as_bytes()[to..]);
            let body = [head, with.as_bytes(), tail].concat();
            let whole = read(api, "text/event-stream", 200, &body, usize::MAX);
            prop_assert_eq!(read(api, "text/event-stream", 200, &body, 7), whole);
        }
    }
}
