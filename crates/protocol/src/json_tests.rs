use super::*;
use proptest::prelude::*;

/// Rebuilds a value from its slices the slow way, to be compared with what `serde_json` makes of the same text.
fn rebuilt(value: Json<'_>) -> serde_json::Value {
    match value.kind() {
        Kind::Array => value.items().map(rebuilt).collect(),
        Kind::Object => serde_json::Value::Object(
            value
                .fields()
                .map(|(key, value)| (key.into_owned(), rebuilt(value)))
                .collect(),
        ),
        Kind::String => value.str().unwrap().into_owned().into(),
        _ => serde_json::from_str(value.raw()).unwrap(),
    }
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        (-1e9..1e9f64).prop_map(Into::into),
        any::<String>().prop_map(Into::into),
        "[\\\\\"{}\\[\\],: u0-9\n]{0,12}".prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn slices_say_what_a_full_parser_says(value in any_json(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let json = Json::parse(text.as_bytes()).unwrap();
        let full: serde_json::Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(rebuilt(json), full);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(json) = Json::parse(&bytes) {
            json.fields().count();
            json.items().count();
            let _ = (json.str(), json.u64(), json.i64(), json.bool());
        }
    }
}

#[test]
fn strings_read_as_they_were_meant() {
    let table = [
        (r#""plain""#, "plain"),
        (r#""a\"b\\c\/d""#, "a\"b\\c/d"),
        (r#""\b\f\n\r\t""#, "\u{8}\u{c}\n\r\t"),
        (r#""\ud83d\ude00""#, "😀"),
        (r#""\ud83d""#, "\u{fffd}"),
        (r#""\ud83dx""#, "\u{fffd}x"),
        (r#""\ude00\ud83d""#, "\u{fffd}\u{fffd}"),
        (r#""\ud83d\u0041""#, "\u{fffd}A"),
    ];
    for (raw, want) in table {
        assert_eq!(
            Json::parse(raw.as_bytes()).unwrap().str().as_deref(),
            Some(want),
            "{raw}"
        );
    }
}

#[test]
fn the_last_of_duplicate_keys_counts_and_all_are_visible() {
    let json = Json::parse(br#"{"a":1,"b":2,"a":3}"#).unwrap();
    assert_eq!(json.get("a").and_then(Json::u64), Some(3));
    assert_eq!(json.fields().count(), 3);
}

#[test]
fn what_is_not_json_is_named_without_quoting_it() {
    let table: [(&[u8], &str); 5] = [
        (b" \n", "empty where JSON was expected"),
        (
            b"{\"a\":",
            "not JSON: it ends too early at line 1, column 5",
        ),
        (b"{secret}", "not JSON: a syntax error at line 1, column 2"),
        (b"{} {}", "not JSON: a syntax error at line 1, column 4"),
        (b"\"\xff\"", "not JSON: a syntax error at line 1, column 2"),
    ];
    for (bytes, want) in table {
        assert_eq!(Json::parse(bytes).unwrap_err().to_string(), want);
    }
}

#[test]
fn a_million_levels_of_nesting_are_read_without_recursion() {
    let text = format!("{}{}", "[{\"a\":".repeat(500_000), "1").into_bytes();
    assert!(Json::parse(&text).is_err());
    let text = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    let json = Json::parse(text.as_bytes()).unwrap();
    assert_eq!(json.items().count(), 1);
}
