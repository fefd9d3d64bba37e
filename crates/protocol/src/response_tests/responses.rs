use super::*;

pub(super) const RESPONSES_STREAM: &[&str] = &[
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
