use super::*;
use proptest::prelude::*;

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

const ANTHROPIC_STREAM: &[&str] = &[
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
fn a_chat_stream_is_read() {
    let chunk = |delta: &str| {
        format!(
            r#"{{"id":"c1","object":"chat.completion.chunk","model":"gpt-x","choices":[{{"index":0,"delta":{delta},"finish_reason":null}}],"obfuscation":"zz"}}"#
        )
    };
    let parts = [
        chunk(r#"{"role":"assistant","content":"","refusal":null}"#),
        chunk(r#"{"reasoning_content":"abc"}"#),
        chunk(r#"{"content":"Hel"}"#),
        chunk(r#"{"content":"lo"}"#),
        chunk(r#"{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"send","arguments":""}}]}"#),
        chunk(r#"{"tool_calls":[{"index":1,"id":"call_2","type":"function","function":{"name":"stop","arguments":"{}"}}]}"#),
        chunk(r#"{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]}"#),
        chunk(r#"{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}"#),
        r#"{"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#.to_owned(),
        r#"{"id":"c1","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":2},"completion_tokens_details":{"reasoning_tokens":3}}}"#.to_owned(),
        "[DONE]".to_owned(),
    ];
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let view = stream(Api::OpenAiChat, &events(false, &parts));
    assert_eq!(
        calls(&view),
        [r#"function send call_1 {"a":1}"#, "function stop call_2 {}"]
    );
    assert_eq!(
        (view.text.as_str(), view.reasoning_bytes, view.terminated),
        ("Hello", 3, true)
    );
    assert_eq!(usage(&view), [Some(5), Some(7), Some(2), None, Some(3)]);
    let again = r#"{"role":"assistant","content":"Hello","tool_calls":[{"id":"call_1","type":"function","function":{"name":"send","arguments":"{\"a\": 1}"}},{"id":"call_2","type":"function","function":{"name":"stop","arguments":"{}"}}]}"#;
    assert_eq!(
        view.message.clone().unwrap().fingerprint,
        sent_back(Api::OpenAiChat, "messages", again)
    );

    let cut = stream(Api::OpenAiChat, &events(false, &parts[..7]));
    assert_eq!(
        calls(&cut),
        [
            r#"function send call_1 {"a": incomplete"#,
            "function stop call_2 {} incomplete"
        ]
    );
    assert!(!cut.terminated);
    let without_done = stream(Api::OpenAiChat, &events(false, &parts[..10]));
    assert!(without_done.terminated, "some compatibles send no [DONE]");
    let failed = stream(
        Api::OpenAiChat,
        &events(
            false,
            &[
                parts[2],
                r#"{"error":{"message":"m","type":"server_error","code":null}}"#,
            ],
        ),
    );
    assert_eq!(
        (failed.stream_error.as_deref(), failed.terminated),
        (Some("server_error"), false)
    );
}

#[test]
fn several_choices_and_legacy_calls_are_read() {
    let view = json(
        Api::OpenAiChat,
        r#"{"id":"c","model":"m","choices":[
            {"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"},
            {"index":1,"message":{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}},"finish_reason":"function_call"}],
            "usage":{"prompt_tokens":1,"completion_tokens":1}}"#,
    );
    assert_eq!(view.gen_ai.finish_reasons, ["stop", "function_call"]);
    assert_eq!(
        (
            view.message.unwrap().text.as_str(),
            view.alternatives.len(),
            view.tool_calls[0].choice
        ),
        ("a", 1, 1)
    );
}

#[test]
fn sloppy_compatibles_are_read() {
    // Every parallel call with index 0, as Gemini's endpoint sends them.
    let same_index = events(
        false,
        &[
            r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}},{"index":0,"id":"b","function":{"name":"g","arguments":"{}"}}]}}]}"#,
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
            "[DONE]",
        ],
    );
    assert_eq!(
        calls(&stream(Api::OpenAiChat, &same_index)),
        ["function f a {}", "function g b {}"]
    );
    // Arguments as an object, content as parts, an answer in the delta's place.
    let odd = events(
        false,
        &[
            r#"{"choices":[{"index":0,"message":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"ab"}]},{"type":"text","text":"x"}],"tool_calls":[{"id":"a","function":{"name":"f","arguments":{"k":1}}}]},"finish_reason":"stop"}]}"#,
        ],
    );
    let view = stream(Api::OpenAiChat, &odd);
    assert_eq!(
        (calls(&view), view.reasoning_bytes, view.text.as_str()),
        (vec![r#"function f a {"k":1}"#.to_owned()], 2, "x")
    );
}

const RESPONSES_STREAM: &[&str] = &[
    r#"{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","model":"gpt-x","status":"in_progress","output":[],"usage":null}}"#,
    r#"{"type":"response.output_item.added","sequence_number":1,"output_index":0,"item":{"type":"reasoning","id":"rs_1","summary":[]}}"#,
    r#"{"type":"response.reasoning_summary_text.delta","sequence_number":2,"output_index":0,"delta":"abc"}"#,
    r#"{"type":"response.output_item.done","sequence_number":3,"output_index":0,"item":{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"abc"}],"encrypted_content":"zzzz"}}"#,
    r#"{"type":"response.output_item.added","sequence_number":4,"output_index":1,"item":{"type":"function_call","id":"fc_1","call_id":"call_1","name":"send","arguments":""}}"#,
    r#"{"type":"response.function_call_arguments.delta","sequence_number":5,"output_index":1,"delta":"{\"a\":"}"#,
    r#"{"type":"response.function_call_arguments.delta","sequence_number":6,"output_index":1,"delta":"1}"}"#,
    r#"{"type":"response.function_call_arguments.done","sequence_number":7,"output_index":1,"arguments":"{\"a\":1}"}"#,
    r#"{"type":"response.output_item.done","sequence_number":8,"output_index":1,"item":{"type":"function_call","id":"fc_1","call_id":"call_1","name":"send","arguments":"{\"a\":1}"}}"#,
    r#"{"type":"response.completed","sequence_number":9,"response":{"id":"resp_1","model":"gpt-x","status":"completed","output":[{"type":"function_call","call_id":"call_1","name":"send","arguments":"{\"a\":1}"}],"usage":{"input_tokens":5,"output_tokens":7,"input_tokens_details":{"cached_tokens":1},"output_tokens_details":{"reasoning_tokens":2}}}}"#,
];

#[test]
fn a_responses_stream_is_read() {
    let view = stream(Api::OpenAiResponses, &events(true, RESPONSES_STREAM));
    assert_eq!(calls(&view), [r#"function_call send call_1 {"a":1}"#]);
    assert_eq!(
        (
            view.reasoning_bytes,
            view.sequence_holes,
            view.unknown,
            view.terminated
        ),
        (3, 0, 0, true)
    );
    assert_eq!(usage(&view), [Some(5), Some(7), Some(1), None, Some(2)]);
    assert_eq!(view.gen_ai.finish_reasons, ["completed"]);
    let again = r#"{"type":"reasoning","id":"rs_1","summary":[]},{"type":"function_call","call_id":"call_1","name":"send","arguments":"{ \"a\": 1 }"}"#;
    assert_eq!(
        view.message.unwrap().fingerprint,
        sent_back(Api::OpenAiResponses, "input", again)
    );

    let cut = stream(Api::OpenAiResponses, &events(true, &RESPONSES_STREAM[..6]));
    assert_eq!(
        calls(&cut),
        [r#"function_call send call_1 {"a": incomplete"#]
    );
    assert!(!cut.terminated);
    let lossy = [&RESPONSES_STREAM[..5], &RESPONSES_STREAM[8..]].concat();
    assert_eq!(
        stream(Api::OpenAiResponses, &events(true, &lossy)).sequence_holes,
        3
    );
    let only_last = stream(Api::OpenAiResponses, &events(true, &RESPONSES_STREAM[9..]));
    assert_eq!(calls(&only_last).len(), 1, "an answer seen only at its end");
}

#[test]
fn every_end_of_a_responses_answer_is_told() {
    let table = [
        (
            r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"server_error","message":"m"}}}"#,
            Some("server_error"),
            &["failed"][..],
        ),
        (
            r#"{"type":"response.incomplete","response":{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"}}}"#,
            None,
            &["max_output_tokens"],
        ),
        (
            r#"{"type":"error","code":"rate_limit_exceeded","message":"m","sequence_number":3}"#,
            Some("rate_limit_exceeded"),
            &[],
        ),
        (
            r#"{"type":"error","error":{"type":"invalid_request_error","code":null}}"#,
            Some("invalid_request_error"),
            &[],
        ),
    ];
    for (last, error, reasons) in table {
        let view = stream(
            Api::OpenAiResponses,
            &events(true, &[RESPONSES_STREAM[0], last]),
        );
        assert_eq!(
            (view.stream_error.as_deref(), view.terminated),
            (error, true),
            "{last}"
        );
        assert_eq!(view.gen_ai.finish_reasons, reasons, "{last}");
    }
    let odd = stream(
        Api::OpenAiResponses,
        &events(true, &[r#"{"type":"response.hologram.delta","delta":"x"}"#]),
    );
    assert_eq!(odd.unknown, 1);
}

#[test]
fn the_providers_tools_of_responses_are_told_apart() {
    let view = json(
        Api::OpenAiResponses,
        r#"{"object":"response","id":"r","status":"completed","output":[
            {"type":"web_search_call","id":"ws_1","action":{"type":"search","query":"q"},"status":"completed"},
            {"type":"mcp_list_tools","id":"l","tools":[]},
            {"type":"mcp_call","id":"mcp_1","name":"ask","server_label":"s","arguments":"{}","output":"yes","error":null},
            {"type":"mcp_approval_request","id":"mcpr_1","name":"ask","arguments":"{}"},
            {"type":"code_interpreter_call","id":"ci_1","code":"print(1)","outputs":[{"type":"logs","logs":"1"}]},
            {"type":"custom_tool_call","call_id":"call_1","name":"sh","input":"ls -l"},
            {"type":"hologram_call","id":"h_1"},
            {"type":"message","role":"assistant","content":[{"type":"output_text","text":"ok"}]}]}"#,
    );
    assert_eq!(
        calls(&view),
        [
            r#"web_search_call web_search ws_1 {"type":"search","query":"q"} by provider"#,
            "mcp_call ask mcp_1 {} by provider",
            "mcp_approval_request ask mcpr_1 {}",
            "code_interpreter_call code_interpreter ci_1 print(1) by provider",
            "custom_tool_call sh call_1 ls -l",
            "hologram_call hologram h_1  by provider",
        ]
    );
    assert_eq!(
        (view.tool_results.len(), view.unknown, view.text.as_str()),
        (2, 0, "ok")
    );
}

#[test]
fn whose_a_call_is_that_broke_off_is_told_as_of_a_whole_one() {
    let table = [
        (
            r#"{"type":"local_shell_call","id":"l","call_id":"c","status":"in_progress","action":{"type":"exec","command":["ls"]}}"#,
            vec![r#"local_shell_call local_shell c {"type":"exec","command":["ls"]} incomplete"#],
        ),
        (
            r#"{"type":"computer_call","id":"cc","call_id":"c","status":"in_progress"}"#,
            vec!["computer_call computer c  incomplete"],
        ),
        (
            r#"{"type":"apply_patch_call","id":"a","call_id":"c","operation":{"type":"delete_file","path":"/x"}}"#,
            vec![r#"apply_patch_call apply_patch c {"type":"delete_file","path":"/x"} incomplete"#],
        ),
        (
            r#"{"type":"shell_call","id":"s","call_id":"c","environment":{"type":"local"},"action":{"commands":["ls"]}}"#,
            vec![r#"shell_call shell c {"commands":["ls"]} incomplete"#],
        ),
        (
            r#"{"type":"shell_call","id":"s","call_id":"c","environment":{"type":"container_reference"},"action":{"commands":["ls"]}}"#,
            vec![r#"shell_call shell c {"commands":["ls"]} by provider incomplete"#],
        ),
        (
            r#"{"type":"mcp_approval_request","id":"m","name":"rm","server_label":"x","arguments":"{"}"#,
            vec!["mcp_approval_request rm m { incomplete"],
        ),
        (
            r#"{"type":"web_search_call","id":"w","status":"in_progress"}"#,
            vec!["web_search_call web_search w  by provider incomplete"],
        ),
        (
            r#"{"type":"program","id":"p","call_id":"c","code":"pri"}"#,
            vec!["program program c pri by provider incomplete"],
        ),
        (r#"{"type":"reasoning","id":"r","summary":[]}"#, vec![]),
    ];
    for (item, want) in table {
        let added = format!(
            r#"{{"type":"response.output_item.added","sequence_number":1,"output_index":0,"item":{item}}}"#
        );
        let view = stream(
            Api::OpenAiResponses,
            &events(true, &[RESPONSES_STREAM[0], &added]),
        );
        assert_eq!(calls(&view), want, "{item}");
        assert!(!view.terminated);
    }
}

/// Calls, results and their runners in an answer; then the same items sent back by the client.
#[test]
fn results_that_the_provider_made_are_its_own_also_when_they_are_sent_back() {
    const SHELL: &str = r#"{"type":"shell_call","id":"s","call_id":"c","environment":{"type":"container_reference","container_id":"x"},"action":{"commands":["ls"]}},
        {"type":"shell_call_output","id":"so","call_id":"c","output":[{"stdout":"x","stderr":""}]}"#;
    const PROGRAM: &str = r#"{"type":"program","id":"p","call_id":"c","code":"print(1)","fingerprint":"f"},
        {"type":"program_output","id":"po","call_id":"c","result":"1","status":"completed"}"#;
    const SEARCH: &str = r#"{"type":"tool_search_call","id":"t","call_id":"c","execution":"server","arguments":{}},
        {"type":"tool_search_output","id":"to","call_id":"c","execution":"server","tools":[]}"#;
    let table = [
        (
            SHELL,
            r#"shell_call shell c {"commands":["ls"]} by provider"#,
        ),
        (PROGRAM, "program program c print(1) by provider"),
        (SEARCH, "tool_search_call tool_search c {} by provider"),
    ];
    for (items, call) in table {
        let text = r#"{"type":"message","role":"assistant","content":[{"type":"output_text","text":"done"}]}"#;
        let view = json(
            Api::OpenAiResponses,
            &format!(
                r#"{{"object":"response","id":"r","status":"completed","output":[{items},{text}]}}"#
            ),
        );
        assert_eq!((calls(&view), view.unknown), (vec![call.to_owned()], 0));
        let result = &view.tool_results[0];
        assert_eq!(
            (
                view.tool_results.len(),
                result.id.as_deref(),
                result.provider_executed
            ),
            (1, Some("c"), true),
            "{call}"
        );
        let again = crate::read_request(
            &Api::OpenAiResponses.into(),
            format!(r#"{{"input":[{{"role":"user","content":"q"}},{items},{text},{{"role":"user","content":"go on"}}]}}"#).as_bytes(),
        );
        let roles: Vec<_> = again
            .messages
            .iter()
            .map(|message| message.role.as_str())
            .collect();
        assert_eq!(roles, ["user", "assistant", "user"], "{call}");
        assert_eq!(
            view.message.unwrap().fingerprint,
            again.messages[1].fingerprint,
            "{call}"
        );
        assert_eq!(
            (again.tool_results.len(), again.tool_results_total),
            (0, 1),
            "{call}"
        );
    }
}

#[test]
fn arguments_of_all_open_calls_share_one_bound() {
    let mebibyte = "a".repeat(1 << 20);
    let anthropic = |index: usize, delta: &str| {
        format!(
            r#"{{"type":"content_block_delta","index":{index},"delta":{{"type":"input_json_delta","partial_json":"{delta}"}}}}"#
        )
    };
    let chat = |index: usize, delta: &str| {
        format!(
            r#"{{"choices":[{{"index":0,"delta":{{"tool_calls":[{{"index":{index},"id":"t{index}","function":{{"name":"f","arguments":"{delta}"}}}}]}}}}]}}"#
        )
    };
    let responses = |index: usize, delta: &str| {
        format!(
            r#"{{"type":"response.function_call_arguments.delta","output_index":{index},"delta":"{delta}"}}"#
        )
    };
    type Delta<'a> = &'a dyn Fn(usize, &str) -> String;
    let table: [(Api, &str, Delta<'_>); 3] = [
        (
            Api::AnthropicMessages,
            r#"{"type":"content_block_start","index":N,"content_block":{"type":"tool_use","id":"tN","name":"f","input":{}}}"#,
            &anthropic,
        ),
        (Api::OpenAiChat, r#"{"choices":[]}"#, &chat),
        (
            Api::OpenAiResponses,
            r#"{"type":"response.output_item.added","output_index":N,"item":{"type":"function_call","id":"i","call_id":"tN","name":"f","arguments":""}}"#,
            &responses,
        ),
    ];
    for (api, begin, delta) in table {
        let mut reader = ResponseReader::new(api, Some("text/event-stream"), None, 200);
        let mut feed = |data: &str| reader.feed(format!("data: {data}\n\n").as_bytes());
        feed(&begin.replace('N', "0"));
        feed(&begin.replace('N', "1"));
        for _ in 0..16 {
            feed(&delta(0, &mebibyte));
        }
        feed(&delta(1, &mebibyte));
        let view = reader.finish(true);
        let told: Vec<_> = view
            .tool_calls
            .iter()
            .map(|call| {
                (
                    call.name.as_str(),
                    call.id.as_deref(),
                    call.arguments.len(),
                    call.arguments_bytes,
                )
            })
            .collect();
        let want = [
            ("f", Some("t0"), 1 << 20, 16 << 20),
            ("f", Some("t1"), 0, 1 << 20),
        ];
        assert_eq!(told, want, "{api}");
        assert_eq!(view.message, None, "{api}: what was cut is not known");
    }
}

#[test]
fn a_converse_answer_shares_the_bound_among_its_calls_too() {
    let event = |reader: &mut converse::Reader, answer: &mut Answer, name: &str, data: &str| {
        reader.event(name, Json::parse(data.as_bytes()).unwrap(), answer);
    };
    let mut answer = Answer::new(Api::BedrockConverse, false);
    let mut reader = converse::Reader::default();
    for index in 0..2 {
        let start = format!(
            r#"{{"contentBlockIndex":{index},"start":{{"toolUse":{{"toolUseId":"t{index}","name":"f"}}}}}}"#
        );
        event(&mut reader, &mut answer, "contentBlockStart", &start);
        let input = "a".repeat(12 << 20);
        let delta = format!(
            r#"{{"contentBlockIndex":{index},"delta":{{"toolUse":{{"input":"{input}"}}}}}}"#
        );
        event(&mut reader, &mut answer, "contentBlockDelta", &delta);
    }
    // The first call ends: its room is the third one's.
    event(
        &mut reader,
        &mut answer,
        "contentBlockStop",
        r#"{"contentBlockIndex":0}"#,
    );
    let start = r#"{"contentBlockIndex":2,"start":{"toolUse":{"toolUseId":"t2","name":"f"}}}"#;
    event(&mut reader, &mut answer, "contentBlockStart", start);
    let delta = r#"{"contentBlockIndex":2,"delta":{"toolUse":{"input":"{}"}}}"#;
    event(&mut reader, &mut answer, "contentBlockDelta", delta);
    reader.finish(&mut answer);
    let view = answer.finish(false);
    let told: Vec<_> = view
        .tool_calls
        .iter()
        .map(|call| (call.arguments.len(), call.arguments_bytes))
        .collect();
    assert_eq!(told, [(1 << 20, 12 << 20), (1 << 20, 12 << 20), (2, 2)]);
    assert_eq!(view.message, None);
}

const GEMINI: &str = r#"{"candidates":[{"content":{"role":"model","parts":[
    {"text":"hm","thought":true},{"text":"Look"},{"text":"ing."},
    {"functionCall":{"name":"f","args":{"a":1}},"thoughtSignature":"x"}]},"finishReason":"STOP"}],
    "usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":4,"thoughtsTokenCount":5,"cachedContentTokenCount":1},
    "modelVersion":"gemini-x","responseId":"r1"}"#;

#[test]
fn a_gemini_answer_is_read_in_all_three_framings() {
    let one_line = GEMINI.replace('\n', "");
    let views = [
        json(Api::GeminiGenerate, GEMINI),
        json(Api::GeminiGenerate, &format!("[{GEMINI}]")),
        stream(Api::GeminiGenerate, &format!("data: {one_line}\r\n\r\n")),
    ];
    for view in views {
        assert_eq!(calls(&view), [r#"functionCall f - {"a":1}"#]);
        assert_eq!(
            (view.text.as_str(), view.reasoning_bytes, view.terminated),
            ("Looking.", 2, true)
        );
        assert_eq!(usage(&view), [Some(3), Some(4), Some(1), None, Some(5)]);
        assert_eq!(
            (
                view.gen_ai.response_model.as_deref(),
                view.gen_ai.response_id.as_deref()
            ),
            (Some("gemini-x"), Some("r1"))
        );
        let again = r#"{"role":"model","parts":[{"text":"Looking."},{"functionCall":{"id":"made-up","name":"f","args":{"a":1.0}}}]}"#;
        assert_eq!(
            view.message.unwrap().fingerprint,
            sent_back(Api::GeminiGenerate, "contents", again)
        );
    }
    let cut = stream(
        Api::GeminiGenerate,
        "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"x\"}]}}]}\n\n",
    );
    assert!(!cut.terminated);
    let blocked = json(
        Api::GeminiGenerate,
        r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#,
    );
    assert_eq!(blocked.gen_ai.finish_reasons, ["SAFETY"]);
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
fn what_crosses_a_bound_is_named_and_the_rest_is_read() {
    let long = "x".repeat(5000);
    let body = format!(r#"{{"type":"message","content":[{{"type":"text","text":"{long}"}}]}}"#);
    let mut reader = ResponseReader::with_limit(Api::AnthropicMessages, None, None, 200, 1000);
    reader.feed(body.as_bytes());
    let view = reader.finish(true);
    assert_eq!(
        view.problem.as_deref(),
        Some("the body is over the limit of 1000 bytes for a JSON document")
    );
    assert!(!view.terminated);

    let big = format!(
        r#"{{"type":"content_block_delta","index":1,"delta":{{"type":"text_delta","text":"{long}"}}}}"#
    );
    let parts = [
        &ANTHROPIC_STREAM[..7],
        &[big.as_str()],
        &ANTHROPIC_STREAM[7..],
    ]
    .concat();
    let mut reader = ResponseReader::with_limit(Api::AnthropicMessages, None, None, 200, 1000);
    reader.feed(events(true, &parts).as_bytes());
    let view = reader.finish(true);
    assert_eq!((view.terminated, view.tool_calls.len()), (true, 2));
    assert_eq!(
        view.problem.as_deref(),
        Some("1 events over the limit of 1000 bytes were skipped")
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
