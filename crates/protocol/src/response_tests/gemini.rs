use super::*;

pub(super) const GEMINI: &str = r#"{"candidates":[{"content":{"role":"model","parts":[
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

fn piece(candidate: u64, part: &str) -> String {
    format!(
        r#"{{"candidates":[{{"index":{candidate},"content":{{"role":"model","parts":[{part}]}}}}]}}"#
    )
}

/// A call whose arguments stream: begun, continued, and ended by a part that says nothing more.
#[test]
fn a_call_in_pieces_is_one_call() {
    const BEGUN: &str = r#"{"functionCall":{"name":"light","id":"1","willContinue":true}}"#;
    const FIRST: &str = r#"{"functionCall":{"partialArgs":[{"jsonPath":"$.b","numberValue":50}],"willContinue":true}}"#;
    const SECOND: &str = r#"{"functionCall":{"partialArgs":[{"jsonPath":"$.c","stringValue":"wa","willContinue":true},{"jsonPath":"$.c","stringValue":"rm"}],"willContinue":true}}"#;
    const END: &str = r#"{"functionCall":{}}"#;
    const ARGUMENTS: &str = r#"[{"jsonPath":"$.b","numberValue":50},{"jsonPath":"$.c","stringValue":"wa","willContinue":true},{"jsonPath":"$.c","stringValue":"rm"}]"#;
    let whole = format!("functionCall light 1 {ARGUMENTS}");
    let open = format!(
        "functionCall light 1 {} incomplete",
        ARGUMENTS.trim_end_matches(']')
    );
    let first = r#"functionCall light 1 [{"jsonPath":"$.b","numberValue":50}"#;
    let (first_whole, first_open) = (format!("{first}]"), format!("{first} incomplete"));
    let other = r#"{"functionCall":{"name":"dim","args":{"a":1}}}"#;
    let dim = r#"functionCall dim - {"a":1}"#;
    let table: &[(&[&str], &[&str])] = &[
        (&[BEGUN, FIRST, SECOND, END], &[&whole]),
        (&[BEGUN, FIRST, SECOND], &[&open]),
        (&[BEGUN], &["functionCall light 1  incomplete"]),
        (&[BEGUN, END], &["functionCall light 1 "]),
        // The last piece brings arguments, and in the other spelling.
        (
            &[
                BEGUN,
                r#"{"function_call":{"partial_args":[{"jsonPath":"$.b","numberValue":50}]}}"#,
            ],
            &[&first_whole],
        ),
        // The name again with every piece.
        (
            &[
                BEGUN,
                r#"{"functionCall":{"name":"light","partialArgs":[{"jsonPath":"$.b","numberValue":50}],"willContinue":true}}"#,
                END,
            ],
            &[&first_whole],
        ),
        // One after the other, and one that never ended before the next.
        (
            &[BEGUN, FIRST, END, BEGUN, FIRST, END],
            &[&first_whole, &first_whole],
        ),
        (&[BEGUN, FIRST, other], &[&first_open, dim]),
        (
            &[BEGUN, FIRST, r#"{"text":"so"}"#, END, other],
            &[&first_whole, dim],
        ),
        // An end without a beginning.
        (&[END], &["functionCall  - "]),
    ];
    for (parts, want) in table {
        let pieces: Vec<_> = parts.iter().map(|part| piece(0, part)).collect();
        let pieces: Vec<_> = pieces.iter().map(String::as_str).collect();
        let view = stream(Api::GeminiGenerate, &events(false, &pieces));
        assert_eq!(calls(&view), *want, "{parts:?}");
        let array = json(Api::GeminiGenerate, &format!("[{}]", pieces.join(",\r\n")));
        assert_eq!(calls(&array), *want, "{parts:?}");
    }
    // Two candidates at the same time.
    let pieces = [
        piece(0, BEGUN),
        piece(1, BEGUN),
        piece(1, FIRST),
        piece(0, END),
        piece(1, END),
    ];
    let pieces: Vec<_> = pieces.iter().map(String::as_str).collect();
    let view = stream(Api::GeminiGenerate, &events(false, &pieces));
    assert_eq!(calls(&view), ["functionCall light 1 ", &first_whole]);
    let choices: Vec<_> = view.tool_calls.iter().map(|call| call.choice).collect();
    assert_eq!(choices, [0, 1]);
    assert!(view.message.is_some() && view.alternatives.is_empty());
}

#[test]
fn an_array_that_breaks_off_is_read_up_to_there_and_cut_short() {
    let whole = format!("[{GEMINI}\r\n,\r\n{GEMINI}]");
    let end = whole.len();
    let first = GEMINI.len() + 1;
    for (upto, told, terminated) in [
        (end, 2, true),
        (end - 1, 1, false),
        (end - 30, 1, false),
        (first + 3, 1, false),
        (first, 0, false),
        (1, 0, false),
    ] {
        let body = &whole.as_bytes()[..upto];
        for complete in [true, false] {
            let mut views = [1, 7, usize::MAX].map(|chunk| {
                let mut reader =
                    ResponseReader::new(Api::GeminiGenerate, Some("application/json"), None, 200);
                body.chunks(chunk).for_each(|chunk| reader.feed(chunk));
                reader.finish(complete)
            });
            assert!(views.iter().all(|view| *view == views[0]));
            let view = std::mem::take(&mut views[0]);
            assert_eq!(
                (view.tool_calls.len(), view.terminated),
                (told, terminated),
                "{upto}"
            );
            let problem =
                (complete && !terminated).then_some("the body ends before its array does");
            assert_eq!(view.problem.as_deref(), problem);
        }
    }
}

#[test]
fn a_reason_in_every_piece_is_told_once() {
    let ends = |candidate: u64, reason: &str| {
        format!(
            r#"{{"candidates":[{{"index":{candidate},"content":{{"parts":[{{"text":"x"}}]}},"finishReason":{reason}}}]}}"#
        )
    };
    let blocked = r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#.to_owned();
    let table = [
        (
            vec![ends(0, r#""STOP""#), ends(0, r#""STOP""#)],
            vec!["STOP"],
        ),
        (
            vec![
                ends(0, r#""STOP""#),
                ends(0, r#""MAX_TOKENS""#),
                ends(0, "null"),
            ],
            vec!["MAX_TOKENS"],
        ),
        (
            vec![
                ends(1, r#""SAFETY""#),
                ends(0, r#""STOP""#),
                ends(1, r#""SAFETY""#),
            ],
            vec!["STOP", "SAFETY"],
        ),
        (vec![blocked.clone(), blocked], vec!["SAFETY"]),
    ];
    for (pieces, want) in table {
        let pieces: Vec<_> = pieces.iter().map(String::as_str).collect();
        let view = stream(Api::GeminiGenerate, &events(false, &pieces));
        assert_eq!(view.gen_ai.finish_reasons, want, "{pieces:?}");
        assert!(view.terminated);
    }
}

proptest! {
    #[test]
    fn a_damaged_array_is_read_the_same_in_every_chunking(at in 0..2000usize, len in 0..20usize, with in r#"null|true|"x"|\[|\]|\{|\}|,|"|\\|"#, chunk in 1..40usize) {
        let body = format!("[{GEMINI},\n{},{GEMINI}]", piece(1, r#"{"functionCall":{"name":"f","willContinue":true}}"#));
        let from = at % body.len();
        let to = (from + len).min(body.len());
        let body = [&body.as_bytes()[..from], with.as_bytes(), &body.as_bytes()[to..]].concat();
        let whole = read(Api::GeminiGenerate, "application/json", 200, &body, usize::MAX);
        prop_assert_eq!(read(Api::GeminiGenerate, "application/json", 200, &body, chunk), whole);
    }
}
