use super::*;
use crate::UpstreamApi;
use proptest::prelude::*;

fn read(api: Api, body: &str) -> RequestView {
    read_request(&ModelCall::from(api), body.as_bytes())
}

/// Role, text, calls and results of every message.
fn told(view: &RequestView) -> Vec<String> {
    view.messages
        .iter()
        .map(|m| {
            format!(
                "{}|{}|{}|{}",
                m.role,
                m.text,
                m.tool_call_ids.join(","),
                m.tool_result_ids.join(",")
            )
        })
        .collect()
}

fn results(view: &RequestView) -> Vec<String> {
    view.tool_results
        .iter()
        .map(|r| {
            let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
            format!(
                "{} {} {:?} in {}",
                text(&r.id),
                text(&r.name),
                r.is_error,
                r.message
            )
        })
        .collect()
}

const ANTHROPIC: &str = r#"{
  "model": "claude-opus-4-5", "stream": true, "max_tokens": 10, "metadata": {"user_id": "u"},
  "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
  "tools": [{"name": "search", "input_schema": {}}, {"type": "web_search_20250305", "name": "web_search"}],
  "messages": [
    {"role": "user", "content": "find it"},
    {"role": "assistant", "content": [
      {"type": "thinking", "thinking": "hm", "signature": "sig"},
      {"type": "text", "text": "Looking."},
      {"type": "tool_use", "id": "toolu_1", "name": "search", "input": {"q": "it"}},
      {"type": "tool_use", "id": "toolu_2", "name": "search", "input": {}}]},
    {"role": "user", "content": [
      {"type": "tool_result", "tool_use_id": "toolu_1", "content": "found"},
      {"type": "tool_result", "tool_use_id": "toolu_2", "content": [{"type": "text", "text": "no"}], "is_error": true},
      {"type": "text", "text": "go on"}]}]}"#;

#[test]
fn an_anthropic_request_is_read() {
    let view = read(Api::AnthropicMessages, ANTHROPIC);
    assert_eq!(view.problem, None);
    assert_eq!(
        view.gen_ai.request_model.as_deref(),
        Some("claude-opus-4-5")
    );
    assert_eq!(
        (
            view.gen_ai.stream,
            view.gen_ai.messages,
            view.tools,
            view.gen_ai.unknown
        ),
        (Some(true), Some(3), 2, None)
    );
    assert_eq!(
        view.system.as_ref().map(|system| system.text.as_str()),
        Some("Be brief.")
    );
    assert_eq!(
        told(&view),
        [
            "user|find it||",
            "assistant|Looking.|toolu_1,toolu_2|",
            "user|go on||toolu_1,toolu_2"
        ]
    );
    assert_eq!(
        results(&view),
        ["toolu_1 search None in 2", "toolu_2 search Some(true) in 2"]
    );
}

const CHAT: &str = r#"{
  "model": "gpt-5", "tools": [{"type": "function", "function": {"name": "search"}}],
  "messages": [
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "find"}, {"type": "image_url", "image_url": {"url": "data:"}}]},
    {"role": "assistant", "content": null, "tool_calls": [
      {"id": "call_1", "type": "function", "function": {"name": "search", "arguments": "{\"q\": 1}"}},
      {"id": "call_2", "type": "custom", "custom": {"name": "sh", "input": "ls"}}]},
    {"role": "tool", "tool_call_id": "call_1", "content": "one"},
    {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "two"}]}]}"#;

#[test]
fn a_chat_request_is_read() {
    let view = read(Api::OpenAiChat, CHAT);
    assert_eq!(
        (view.gen_ai.messages, view.tools, view.gen_ai.unknown),
        (Some(5), 1, None)
    );
    assert_eq!(
        told(&view),
        [
            "developer|Be brief.||",
            "user|find||",
            "assistant||call_1,call_2|",
            "tool|||call_1",
            "tool|||call_2"
        ]
    );
    assert_eq!(
        results(&view),
        ["call_1 search None in 3", "call_2 sh None in 4"]
    );
    assert_eq!((view.tool_calls_total, view.tool_results_total), (2, 2));
}

#[test]
fn a_responses_request_is_read() {
    let view = read(
        Api::OpenAiResponses,
        r#"{"model": "gpt-5", "instructions": "Be brief.", "stream": false, "background": true,
            "tools": [{"type": "function", "name": "search"}, {"type": "web_search"}],
            "input": [
              {"role": "user", "content": "find"},
              {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "xx"},
              {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Looking."}]},
              {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "search", "arguments": "{}"},
              {"type": "function_call_output", "call_id": "call_1", "output": "found"},
              {"type": "brand_new_thing", "id": "x"}]}"#,
    );
    assert_eq!(
        told(&view),
        [
            "user|find||",
            "assistant|Looking.|call_1|",
            "tool|||call_1",
            "assistant|||"
        ]
    );
    assert_eq!(results(&view), ["call_1 search None in 2"]);
    assert_eq!(
        (
            view.gen_ai.unknown,
            view.background,
            view.context_off_wire,
            view.tools
        ),
        (Some(1), true, false, 2)
    );

    let view = read(
        Api::OpenAiResponses,
        r#"{"input": "hi", "previous_response_id": "resp_1", "conversation": {"id": "conv_1"}}"#,
    );
    assert_eq!(told(&view), ["user|hi||"]);
    assert_eq!(view.previous_response_id.as_deref(), Some("resp_1"));
    assert_eq!(view.conversation.as_deref(), Some("conv_1"));
    assert!(view.context_off_wire);
}

#[test]
fn an_answer_to_an_approval_request_is_its_result() {
    let table = [
        (r#""approve":true"#, "mcpr_1 rm None in 1"),
        (r#""approve":true,"reason":null"#, "mcpr_1 rm None in 1"),
        (r#""approve":false"#, "mcpr_1 rm Some(true) in 1"),
        (
            r#""approve":false,"reason":"not mine""#,
            "mcpr_1 rm Some(true) in 1",
        ),
    ];
    for (answer, want) in table {
        let view = read(
            Api::OpenAiResponses,
            &format!(
                r#"{{"input":[{{"type":"mcp_approval_request","id":"mcpr_1","name":"rm","server_label":"s","arguments":"{{}}"}},
                    {{"type":"mcp_approval_response","approval_request_id":"mcpr_1",{answer}}}]}}"#
            ),
        );
        assert_eq!(results(&view), [want], "{answer}");
        assert_eq!(told(&view), ["assistant||mcpr_1|", "tool|||mcpr_1"]);
    }
}

#[test]
fn a_gemini_request_is_read_in_both_spellings() {
    let call = ModelCall {
        api: Api::GeminiGenerate,
        model: Some("gemini-3".into()),
        stream: Some(true),
    };
    let camel = r#"{"systemInstruction": {"parts": [{"text": "Be brief."}]},
        "tools": [{"functionDeclarations": [{"name": "a"}, {"name": "b"}]}, {"googleSearch": {}}],
        "contents": [
          {"role": "user", "parts": [{"text": "find"}]},
          {"role": "model", "parts": [{"text": "hm", "thought": true}, {"functionCall": {"name": "a", "args": {"q": 1}}, "thoughtSignature": "x"}]},
          {"role": "user", "parts": [{"functionResponse": {"name": "a", "response": {"error": "no"}}}]}]}"#;
    let snake = camel
        .replace("systemInstruction", "system_instruction")
        .replace("functionDeclarations", "function_declarations")
        .replace("functionCall", "function_call")
        .replace("functionResponse", "function_response");
    let (camel, snake) = (
        read_request(&call, camel.as_bytes()),
        read_request(&call, snake.as_bytes()),
    );
    assert_eq!(camel, snake);
    assert_eq!(camel.gen_ai.request_model.as_deref(), Some("gemini-3"));
    assert_eq!(
        (camel.gen_ai.stream, camel.tools, camel.tool_calls_total),
        (Some(true), 3, 1)
    );
    assert_eq!(results(&camel), ["- a Some(true) in 2"]);
}

#[test]
fn a_converse_request_is_read() {
    let view = read(
        Api::BedrockConverse,
        r#"{"system": [{"text": "Be brief."}], "toolConfig": {"tools": [{"toolSpec": {"name": "a"}}, {"cachePoint": {"type": "default"}}]},
            "messages": [
              {"role": "user", "content": [{"text": "find"}, {"cachePoint": {"type": "default"}}]},
              {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t1", "name": "a", "input": {}}}]},
              {"role": "user", "content": [{"toolResult": {"toolUseId": "t1", "content": [{"text": "x"}], "status": "error"}}]}]}"#,
    );
    assert_eq!(told(&view), ["user|find||", "assistant||t1|", "user|||t1"]);
    assert_eq!(
        (results(&view), view.tools),
        (vec!["t1 a Some(true) in 2".to_owned()], 1)
    );
}

#[test]
fn only_results_behind_the_models_last_message_are_new() {
    let turn = r#"{"role":"assistant","content":[{"type":"tool_use","id":"ID","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"ID","content":"x"}]}"#;
    let turns = |tail: &str| {
        let body = format!(
            r#"{{"messages":[{},{}{tail}]}}"#,
            turn.replace("ID", "1"),
            turn.replace("ID", "2")
        );
        let view = read(Api::AnthropicMessages, &body);
        (
            view.tool_results
                .iter()
                .filter_map(|r| r.id.clone())
                .collect::<Vec<_>>(),
            view.tool_results_total,
        )
    };
    assert_eq!(turns(""), (vec!["2".to_owned()], 2));
    assert_eq!(
        turns(r#",{"role":"user","content":"and?"}"#),
        (vec!["2".to_owned()], 2)
    );
    assert_eq!(
        turns(r#",{"role":"assistant","content":"The answer is"}"#),
        (vec!["2".to_owned()], 2),
        "a prefilled answer"
    );
    let done = r#",{"role":"assistant","content":"Done."},{"role":"user","content":"thanks"}"#;
    assert_eq!(turns(done), (vec![], 2));
}

#[test]
fn a_message_sent_again_in_another_spelling_is_the_same() {
    let one = |api, message: &str| {
        let field = if api == Api::GeminiGenerate {
            "contents"
        } else if api == Api::OpenAiResponses {
            "input"
        } else {
            "messages"
        };
        read(api, &format!(r#"{{"{field}":[{message}]}}"#))
            .messages
            .remove(0)
            .fingerprint
    };
    let table: &[(Api, &str, &str)] = &[
        (
            Api::AnthropicMessages,
            r#"{"role":"user","content":"a"}"#,
            r#"{"content":[{"text":"a","type":"text","cache_control":{"type":"ephemeral"}}],"role":"user"}"#,
        ),
        (
            Api::AnthropicMessages,
            r#"{"role":"assistant","content":[{"type":"thinking","thinking":"x","signature":"y"},{"type":"text","text":"a"}]}"#,
            r#"{"role":"assistant","content":"a"}"#,
        ),
        (
            Api::AnthropicMessages,
            r#"{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"f","input":{"a":1,"b":2}}]}"#,
            r#"{"role":"assistant","content":[{"type":"tool_use","name":"f","id":"1","input":{"b":2.0,"a":1},"caller":{"type":"direct"}}]}"#,
        ),
        (
            Api::AnthropicMessages,
            r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"x"}]}"#,
            r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","is_error":false,"content":[{"type":"text","text":"x"}]}]}"#,
        ),
        (
            Api::OpenAiChat,
            r#"{"role":"assistant","content":null,"tool_calls":[{"id":"1","function":{"name":"f","arguments":"{\"a\":1}"}}]}"#,
            r#"{"role":"assistant","content":"","refusal":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{ \"a\" : 1 }"}}]}"#,
        ),
        (
            Api::OpenAiResponses,
            r#"{"role":"user","content":"a"}"#,
            r#"{"type":"message","role":"user","content":[{"type":"input_text","text":"a"}]}"#,
        ),
        (
            Api::GeminiGenerate,
            r#"{"parts":[{"text":"a"},{"text":"b"}]}"#,
            r#"{"role":"user","parts":[{"text":"ab"}]}"#,
        ),
    ];
    for (api, a, b) in table {
        assert_eq!(one(*api, a), one(*api, b), "{a} and {b}");
    }
    let different = [
        (
            r#"{"role":"user","content":"a"}"#,
            r#"{"role":"user","content":"b"}"#,
        ),
        (
            r#"{"role":"user","content":"a"}"#,
            r#"{"role":"system","content":"a"}"#,
        ),
        (
            r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"x"}]}"#,
            r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"2","content":"x"}]}"#,
        ),
        (
            r#"{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"f","input":{"a":1}}]}"#,
            r#"{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"f","input":{"a":2}}]}"#,
        ),
        (
            r#"{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"f","input":{"signature":"a"}}]}"#,
            r#"{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"f","input":{"signature":"b"}}]}"#,
        ),
    ];
    for (a, b) in different {
        assert_ne!(
            one(Api::AnthropicMessages, a),
            one(Api::AnthropicMessages, b),
            "{a} and {b}"
        );
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let table = [
        ("", "empty where JSON was expected"),
        ("[]", "the body is not a JSON object"),
        (
            "{\"messages\":[",
            "not JSON: it ends too early at line 1, column 13",
        ),
    ];
    for (body, want) in table {
        for api in Api::ALL {
            assert_eq!(
                read(*api, body).problem.as_deref(),
                Some(want),
                "{api} {body}"
            );
        }
    }
}

#[test]
fn a_history_without_bound_is_counted_and_bounded() {
    let body = format!(
        r#"{{"messages":[{}{{"role":"user","content":"x"}}]}}"#,
        r#"{"role":"user","content":"x"},"#.repeat(20_000)
    );
    let view = read(Api::OpenAiChat, &body);
    assert_eq!(view.gen_ai.messages, Some(20_001));
    assert_eq!(view.messages.len(), crate::limits::MESSAGES);
    assert!(view.problem.is_some());
}

#[test]
fn text_and_names_are_cut() {
    let body = format!(
        r#"{{"model":"{}","messages":[{{"role":"user","content":"{}"}}]}}"#,
        "m".repeat(9999),
        "é".repeat(9999)
    );
    let view = read(Api::OpenAiChat, &body);
    assert_eq!(
        view.gen_ai.request_model.map(|model| model.len()),
        Some(crate::limits::NAME_BYTES)
    );
    assert!(view.messages[0].text.len() <= crate::limits::EXCERPT_BYTES);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for api in Api::ALL {
            prop_assert!(read_request(&ModelCall::from(*api), &bytes).messages.len() <= bytes.len());
        }
    }

    #[test]
    fn fields_of_any_type_are_no_reason_to_panic(at in 0..2000usize, len in 1..12usize, with in r#"null|true|-1|"x"|\[\]|\{\}|\[\[1\]\]|,|""#) {
        for (api, body) in [(Api::AnthropicMessages, ANTHROPIC), (Api::OpenAiChat, CHAT)] {
            let from = at % body.len();
            let to = (from + len).min(body.len());
            let (head, tail) = (&body.as_bytes()[..from], &body.as_bytes()[to..]);
            let body = [head, with.as_bytes(), tail].concat();
            let view = read_request(&ModelCall::from(api), &body);
            prop_assert!(view.messages.len() <= 10);
        }
    }

    #[test]
    fn any_path_is_classified(api in 0..4usize, method in "GET|POST|DELETE|\\PC{0,3}", path in "(/(v1|messages|responses|chat|completions|models|model|a:b|%3[aA]?|[a-z.:%]{0,9})){0,7}(\\?.{0,5})?") {
        let operation = crate::classify(UpstreamApi::ALL[api], &method, &path);
        prop_assert!(method.eq_ignore_ascii_case("POST") || !matches!(operation, crate::Operation::Model(_)));
    }
}
