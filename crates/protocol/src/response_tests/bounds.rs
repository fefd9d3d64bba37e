use super::*;

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
