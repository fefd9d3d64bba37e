use super::*;

fn canonical_of(json: &str) -> Fingerprint {
    of_json(Json::parse(json.as_bytes()).unwrap(), Form::Exact)
}

#[test]
fn spelling_does_not_change_a_value() {
    let same = [
        (
            r#"{"a":1,"b":[true,null]}"#,
            r#" { "b" : [ true , null ], "a" : 1.0 } "#,
        ),
        (r#""é\n""#, r#""\u00e9\u000a""#),
        (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
        ("1e2", "100"),
        ("-0", "0"),
    ];
    for (a, b) in same {
        assert_eq!(canonical_of(a), canonical_of(b), "{a} and {b}");
    }
}

#[test]
fn another_value_is_another_value() {
    let different = [
        (r#"{"a":1}"#, r#"{"a":2}"#),
        (r#"{"a":"1"}"#, r#"{"a":1}"#),
        (r#"["ab","c"]"#, r#"["a","bc"]"#),
        ("[[1],2]", "[[1,2]]"),
        ("[]", "{}"),
        ("null", r#""null""#),
        ("9007199254740993", "9007199254740992"),
        ("0.1", "0.10000000000000002"),
    ];
    for (a, b) in different {
        assert_ne!(canonical_of(a), canonical_of(b), "{a} and {b}");
    }
}

#[test]
fn what_clients_move_about_is_no_content_but_may_be_an_argument() {
    let content = |json: &str| of_json(Json::parse(json.as_bytes()).unwrap(), Form::Content);
    let marked = r#"{"source":{"data":"x","signature":"s"},"cache_control":{"type":"ephemeral"},"title":null}"#;
    let plain = r#"{"source":{"data":"x"}}"#;
    assert_eq!(content(marked), content(plain));
    assert_ne!(canonical_of(marked), canonical_of(plain));
    assert_ne!(
        canonical_of(r#"{"signature":"a"}"#),
        canonical_of(r#"{"signature":"b"}"#)
    );
    assert_ne!(canonical_of(r#"{"to":null}"#), canonical_of("{}"));
}

#[test]
fn text_is_one_whatever_its_parts() {
    let of = |parts: &[&str]| {
        let mut message = Message::new("user");
        for part in parts {
            message.text(part);
        }
        message.finish().fingerprint
    };
    assert_eq!(of(&["hello ", "", "world"]), of(&["hello world"]));
    assert_ne!(of(&["hello"]), of(&["hello", "!"]));
    assert_eq!(of(&[]), of(&[""]));
}

#[test]
fn a_call_between_texts_separates_them() {
    let mut a = Message::new("assistant");
    a.text("x");
    a.call(Some("1"), "f", of_arguments_text(""));
    a.text("y");
    let mut b = Message::new("assistant");
    b.text("x");
    b.call(Some("1"), "f", of_arguments_text("{ }"));
    b.text("z");
    assert_ne!(a.finish().fingerprint, b.finish().fingerprint);
}

#[test]
fn nesting_beyond_any_reason_is_digested_without_recursion() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deeper = format!("{}{}", "[".repeat(100_001), "]".repeat(100_001));
    assert_ne!(canonical_of(&deep), canonical_of(&deeper));
}
