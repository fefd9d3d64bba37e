use super::*;
use proptest::prelude::*;

fn told(text: &str) -> String {
    match read(text.as_bytes()) {
        Err(error) => format!("error: {error}"),
        Ok(payload) => {
            let messages: Vec<_> = payload
                .messages
                .iter()
                .map(|message| one(&message.kind))
                .collect();
            let batch = payload
                .batch
                .map(|n| format!("batch of {n}: "))
                .unwrap_or_default();
            format!("{batch}{}", messages.join("; "))
        }
    }
}

fn one(kind: &Kind<'_>) -> String {
    match kind {
        Kind::Request { id, method, params } => {
            format!(
                "request {} {method} {}",
                id.to_json(),
                params.map_or("-", Json::raw)
            )
        }
        Kind::Notification { method, .. } => format!("notification {method}"),
        Kind::Response { id, result } => format!("response {} {}", id.to_json(), result.raw()),
        Kind::Error { id, error } => {
            format!(
                "error {} {:?} {:?}",
                id.as_ref().map(Id::to_json).unwrap_or_default(),
                error.code,
                error.message
            )
        }
        Kind::Invalid(why) => format!("invalid: {why}"),
    }
}

#[test]
fn every_shape_of_message_is_told_apart() {
    let table = [
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#,
            "request 1 ping -",
        ),
        (
            r#"{"jsonrpc":"2.0","id":"1","method":"ping","params":{ "a": 1 }}"#,
            r#"request "1" ping { "a": 1 }"#,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            "notification notifications/initialized",
        ),
        (
            r#"{"jsonrpc":"2.0","id":18446744073709551616,"result":{}}"#,
            "response 18446744073709551616 {}",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"result":null}"#,
            "response 1 null",
        ),
        (
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}"#,
            r#"error  Some(-32700) Some("Parse error")"#,
        ),
        (
            r#"{"jsonrpc":"2.0","id":2,"error":{"code":"x"}}"#,
            "error 2 None None",
        ),
        (
            r#"{"jsonrpc":"2.0","id":2,"error":null,"result":1}"#,
            "response 2 1",
        ),
        (
            r#"[{"jsonrpc":"2.0","id":1,"method":"a"},{"method":"b"},3]"#,
            "batch of 3: request 1 a -; notification b; invalid: a message must be an object",
        ),
        ("[]", "batch of 0: "),
        (
            r#"{"id":{"a":1},"method":"a"}"#,
            "invalid: an id must be a string or a number",
        ),
        (
            r#"{"id":1,"method":7}"#,
            "invalid: a method must be a string",
        ),
        (r#"{"result":1}"#, "invalid: a result needs an id"),
        ("{}", "invalid: neither method, result nor error"),
        ("7", "invalid: a message must be an object"),
        ("", "error: empty where JSON was expected"),
        (
            "{\"id\":",
            "error: not JSON: it ends too early at line 1, column 6",
        ),
    ];
    for (text, want) in table {
        assert_eq!(told(text), want, "{text}");
    }
}

#[test]
fn absurd_nesting_is_read_and_hurts_nobody() {
    let deep = format!(
        "{{\"id\":1,\"method\":\"x\",\"params\":{}{}}}",
        "[".repeat(200_000),
        "]".repeat(200_000)
    );
    assert!(matches!(
        read(deep.as_bytes()).unwrap().messages[0].kind,
        Kind::Request { .. }
    ));
}

#[test]
fn an_id_without_bound_is_cut_and_stays_itself() {
    let id = |letter: &str| match &read(
        format!("{{\"id\":\"{}\",\"result\":1}}", letter.repeat(5000)).as_bytes(),
    )
    .unwrap()
    .messages[0]
        .kind
    {
        Kind::Response { id, .. } => id.clone(),
        other => panic!("{other:?}"),
    };
    assert_ne!(id("a"), id("b"));
    assert_eq!(id("a"), id("a"));
    assert!(id("a").to_json().len() < 100);
}

proptest! {
    #[test]
    fn ids_keep_their_type_and_their_digits(number in any::<i128>(), text in "\\PC{0,80}") {
        let as_number = format!("{{\"id\":{number},\"result\":0}}");
        prop_assert_eq!(told(&as_number), format!("response {number} 0"));
        let quoted = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(told(&format!("{{\"id\":{quoted},\"result\":0}}")), format!("response {quoted} 0"));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(payload) = read(&bytes) {
            prop_assert!(payload.messages.len() <= ENTRIES);
        }
    }

    #[test]
    fn no_json_makes_it_panic(text in r#"[\[\]{}:,"a0-9 ]{0,80}|\{"(id|method|result|error|params)":[\[{"0-9a\]}]{0,9}\}"#) {
        if let Ok(payload) = read(text.as_bytes()) {
            prop_assert_eq!(payload.batch.is_some(), payload.messages.len() != 1 || text.trim_start().starts_with('['));
        }
    }
}
