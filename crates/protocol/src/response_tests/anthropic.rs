use super::*;

pub(super) const ANTHROPIC_STREAM: &[&str] = &[
    r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[],"usage":{"input_tokens":10,"cache_creation_input_tokens":3,"cache_read_input_tokens":4,"output_tokens":1}}}"#,
    r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"12345"}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"zzz"}}"#,
    r#"{"type":"content_block_stop","index":0}"#,
    r#"{"type":"ping"}"#,
    r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#,
    r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hel"}}"#,
    r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"lo"}}"#,
    r#"{"type":"content_block_stop","index":1}"#,
    r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_1","name":"send","input":{}}}"#,
    r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"to\":"}}"#,
    r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"\"x\"}"}}"#,
    r#"{"type":"content_block_stop","index":2}"#,
    r#"{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"toolu_2","name":"noop","input":{}}}"#,
    r#"{"type":"content_block_stop","index":3}"#,
    r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":42}}"#,
    r#"{"type":"message_stop"}"#,
];

#[test]
fn an_anthropic_stream_is_read() {
    let view = stream(Api::AnthropicMessages, &events(true, ANTHROPIC_STREAM));
    assert_eq!(
        calls(&view),
        [
            r#"tool_use send toolu_1 {"to":"x"}"#,
            "tool_use noop toolu_2 {}"
        ]
    );
    assert_eq!(
        (
            view.text.as_str(),
            view.reasoning_bytes,
            view.unknown,
            view.terminated
        ),
        ("Hello", 5, 0, true)
    );
    assert_eq!(usage(&view), [Some(10), Some(42), Some(4), Some(3), None]);
    assert_eq!(view.gen_ai.finish_reasons, ["tool_use"]);
    assert_eq!(view.gen_ai.response_id.as_deref(), Some("msg_1"));
    let again = r#"{"role":"assistant","content":[{"type":"thinking","thinking":"12345","signature":"zzz"},{"type":"text","text":"Hello"},
        {"type":"tool_use","id":"toolu_1","name":"send","input":{"to":"x"}},{"type":"tool_use","id":"toolu_2","name":"noop","input":{}}]}"#;
    assert_eq!(
        view.message.unwrap().fingerprint,
        sent_back(Api::AnthropicMessages, "messages", again)
    );
}

#[test]
fn an_anthropic_stream_that_breaks_keeps_what_came() {
    let view = stream(
        Api::AnthropicMessages,
        &events(true, &ANTHROPIC_STREAM[..12]),
    );
    assert_eq!(calls(&view), [r#"tool_use send toolu_1 {"to": incomplete"#]);
    assert!(!view.terminated && view.stream_error.is_none());
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let view = stream(
        Api::AnthropicMessages,
        &events(true, &[&ANTHROPIC_STREAM[..9], &[error]].concat()),
    );
    assert_eq!(
        (
            view.stream_error.as_deref(),
            view.terminated,
            view.text.as_str()
        ),
        (Some("overloaded_error"), false, "Hello")
    );
}

#[test]
fn a_whole_anthropic_answer_with_the_providers_tools_is_read() {
    let view = json(
        Api::AnthropicMessages,
        r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":2},"content":[
            {"type":"server_tool_use","id":"srv_1","name":"web_search","input":{"query":"q"}},
            {"type":"web_search_tool_result","tool_use_id":"srv_1","content":{"type":"web_search_tool_result_error","error_code":"x"}},
            {"type":"redacted_thinking","data":"abcd"},
            {"type":"brand_new_block","x":1},
            {"type":"text","text":"So."}]}"#,
    );
    assert_eq!(
        calls(&view),
        [r#"server_tool_use web_search srv_1 {"query":"q"} by provider"#]
    );
    assert_eq!(
        (view.tool_results.len(), view.tool_results[0].is_error),
        (1, Some(true))
    );
    assert_eq!(
        (view.unknown, view.reasoning_bytes, view.terminated),
        (1, 4, true)
    );
}

#[test]
fn unknown_events_and_blocks_are_counted_and_nothing_breaks() {
    let odd = [
        r#"{"type":"session.started"}"#,
        r#"{"type":"content_block_start","index":9,"content_block":{"type":"hologram"}}"#,
        r#"{"type":"content_block_delta","index":9,"delta":{"type":"hologram_delta"}}"#,
    ];
    let view = stream(
        Api::AnthropicMessages,
        &events(true, &[ANTHROPIC_STREAM, &odd].concat()),
    );
    assert_eq!(
        (view.unknown, view.tool_calls.len(), view.gen_ai.unknown),
        (3, 2, Some(3))
    );
    assert_eq!(
        view.message, None,
        "what the client will send back is not known"
    );
}

#[test]
fn a_listing_of_mcp_tools_is_part_of_what_is_sent_back() {
    let listing = r#"{"type":"mcp_tool_listing","mcp_server_name":"s","tools":[{"name":"t"}]}"#;
    let start = format!(r#"{{"type":"content_block_start","index":0,"content_block":{listing}}}"#);
    let parts = [
        ANTHROPIC_STREAM[0],
        &start,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"message_stop"}"#,
    ];
    let view = stream(Api::AnthropicMessages, &events(true, &parts));
    assert_eq!(view.unknown, 0);
    assert_eq!(
        view.message.unwrap().fingerprint,
        sent_back(
            Api::AnthropicMessages,
            "messages",
            &format!(r#"{{"role":"assistant","content":[{listing}]}}"#)
        )
    );
}
