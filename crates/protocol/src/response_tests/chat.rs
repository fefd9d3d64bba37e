use super::*;

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

#[test]
fn an_answer_in_sound_goes_by_its_id() {
    let id_alone = sent_back(
        Api::OpenAiChat,
        "messages",
        r#"{"role":"assistant","content":null,"audio":{"id":"audio_1"}}"#,
    );
    let whole = json(
        Api::OpenAiChat,
        r#"{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":null,"audio":{"id":"audio_1","data":"AAAA","expires_at":1,"transcript":"hi"}},"finish_reason":"stop"}]}"#,
    );
    assert_eq!(whole.message.unwrap().fingerprint, id_alone);
    let pieces = [
        r#"{"choices":[{"index":0,"delta":{"role":"assistant","audio":{"id":"audio_1","transcript":"h"}}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"audio":{"id":"audio_1","data":"AAAA"}}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"audio":{"expires_at":1}}}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
    ];
    let view = stream(Api::OpenAiChat, &events(false, &pieces));
    assert_eq!(view.message.unwrap().fingerprint, id_alone);
    let other = sent_back(
        Api::OpenAiChat,
        "messages",
        r#"{"role":"assistant","audio":{"id":"audio_2"}}"#,
    );
    assert_ne!(other, id_alone);
}

#[test]
fn usage_is_found_where_compatibles_put_it() {
    let table = [
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop","usage":{"prompt_tokens":5,"completion_tokens":7}}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null,"x_groq":{"usage":{"prompt_tokens":5,"completion_tokens":7}}}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop","usage":{"prompt_tokens":1}}],"usage":{"prompt_tokens":5,"completion_tokens":7}}"#,
    ];
    for last in table {
        let view = stream(Api::OpenAiChat, &events(false, &[last, "[DONE]"]));
        assert_eq!(usage(&view)[..2], [Some(5), Some(7)], "{last}");
    }
}

#[test]
fn a_fragment_finds_its_call() {
    // Index and id of each fragment, then the calls with the numbers of the fragments in them.
    type Fragments<'a> = &'a [(&'a str, &'a str)];
    let table: &[(Fragments<'_>, &[&str])] = &[
        (
            &[("0", "a"), ("1", "b"), ("0", ""), ("1", "")],
            &["a 02", "b 13"],
        ),
        (
            &[("0", "a"), ("0", "b"), ("0", ""), ("0", "b")],
            &["a 0", "b 123"],
        ),
        (
            &[("0", "a"), ("1", "b"), ("", ""), ("", "c")],
            &["a 0", "b 12", "c 3"],
        ),
        (&[("", "a"), ("0", ""), ("0", "b")], &["a 0", "b 12"]),
        (
            &[("7", "a"), ("3", "b"), ("7", "a"), ("3", "c"), ("3", "")],
            &["a 02", "b 1", "c 34"],
        ),
    ];
    for (fragments, want) in table {
        let chunks: Vec<_> = fragments
            .iter()
            .enumerate()
            .map(|(n, (index, id))| {
                let index = if index.is_empty() { String::new() } else { format!(r#""index":{index},"#) };
                format!(r#"{{"choices":[{{"index":0,"delta":{{"tool_calls":[{{{index}"id":"{id}","function":{{"arguments":"{n}"}}}}]}}}}]}}"#)
            })
            .collect();
        let chunks: Vec<_> = chunks.iter().map(String::as_str).collect();
        let view = stream(Api::OpenAiChat, &events(false, &chunks));
        let told: Vec<_> = view
            .tool_calls
            .iter()
            .map(|call| format!("{} {}", call.id.as_deref().unwrap_or("-"), call.arguments))
            .collect();
        assert_eq!(told, *want, "{fragments:?}");
    }
}
