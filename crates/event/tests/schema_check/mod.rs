//! A check of JSON values against the part of JSON Schema (2020-12) that the event's schema uses.
//! Stricter than the standard in one point: a property that the schema does not describe is a
//! fault, so that no field can be written that is not documented.

use serde_json::Value;

/// Keywords that are checked or that only describe. Any other one would be passed over silently.
const KNOWN: &[&str] = &[
    "$defs",
    "$ref",
    "$schema",
    "const",
    "description",
    "enum",
    "items",
    "maximum",
    "minimum",
    "pattern",
    "properties",
    "required",
    "title",
    "type",
];

/// Everything in `value` that does not fit `schema`, with its place.
pub(crate) fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    check(schema, schema, value, "$", &mut faults);
    faults
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    for keyword in schema.as_object().expect("a schema is an object").keys() {
        assert!(
            KNOWN.contains(&keyword.as_str()),
            "this check does not know `{keyword}`"
        );
    }
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root
            .pointer(reference.trim_start_matches('#'))
            .expect("the reference leads somewhere");
        check(root, target, value, at, faults);
    }
    let mut fault = |what: String| faults.push(format!("{at}: {what}"));
    if let Some(kind) = schema["type"].as_str()
        && !is_of(kind, value)
    {
        fault(format!("{value} is not of type {kind}"));
    }
    if !schema["const"].is_null() && schema["const"] != *value {
        fault(format!("{value} is not {}", schema["const"]));
    }
    if let Some(values) = schema["enum"].as_array()
        && !values.contains(value)
    {
        fault(format!("{value} is not one of {}", schema["enum"]));
    }
    for (bound, holds) in [
        ("minimum", i128::ge as fn(&_, &_) -> bool),
        ("maximum", i128::le),
    ] {
        if let (Some(bound), Some(number)) = (integer(&schema[bound]), integer(value))
            && !holds(&number, &bound)
        {
            fault(format!("{number} is out of bounds"));
        }
    }
    if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str())
        && !matches_known(pattern, text)
    {
        fault(format!("{text} does not match {pattern}"));
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        let name = name.as_str().expect("a name");
        if value.is_object() && value.get(name).is_none() {
            faults.push(format!("{at}: `{name}` is missing"));
        }
    }
    if let (Some(properties), Some(object)) = (schema["properties"].as_object(), value.as_object())
    {
        for (name, value) in object {
            match properties.get(name) {
                Some(schema) => check(root, schema, value, &format!("{at}.{name}"), faults),
                None => faults.push(format!("{at}: `{name}` is not described")),
            }
        }
    }
    if let (items @ Value::Object(_), Some(array)) = (&schema["items"], value.as_array()) {
        for (index, value) in array.iter().enumerate() {
            check(root, items, value, &format!("{at}[{index}]"), faults);
        }
    }
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => integer(value).is_some(),
        other => panic!("this check does not know the type {other}"),
    }
}

fn integer(value: &Value) -> Option<i128> {
    value
        .as_u64()
        .map(i128::from)
        .or_else(|| value.as_i64().map(i128::from))
}

/// The schema's two patterns, written out: a commitment and a time.
fn matches_known(pattern: &str, text: &str) -> bool {
    if pattern == "^[0-9a-f]{64}$" {
        return text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    }
    assert!(
        pattern.starts_with("^[0-9]{4}-"),
        "this check does not know the pattern {pattern}"
    );
    let digits_as_0: String = text
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    let Some(fraction) = digits_as_0.strip_prefix("0000-00-00T00:00:00") else {
        return false;
    };
    let fraction = fraction.strip_suffix('Z').unwrap_or("x");
    fraction.is_empty()
        || fraction
            .strip_prefix('.')
            .is_some_and(|f| (1..=9).contains(&f.len()) && f.bytes().all(|b| b == b'0'))
}
