//! JSON text laid out for reading: the order of the keys, the spelling of the numbers and of the
//! strings stay exactly as they were written.

use serde::de::IgnoredAny;

/// Deepest indentation; what nests deeper is laid out at this depth.
const MAX_INDENT: usize = 24;

/// The text with line feeds and indentation, or `None` if it is not JSON.
pub(crate) fn pretty(text: &str) -> Option<String> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut out = String::with_capacity(text.len() * 2);
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    let mut chars = text.chars().filter(|c| *c != '\u{feff}').peekable();
    while let Some(char) = chars.next() {
        if in_string {
            out.push(char);
            in_string = escaped || char != '"';
            escaped = !escaped && char == '\\';
            continue;
        }
        match char {
            '"' => {
                in_string = true;
                out.push(char);
            }
            '{' | '[' => {
                out.push(char);
                while chars.peek().is_some_and(|next| is_space(*next)) {
                    chars.next();
                }
                if let Some(close) = chars.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(close);
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(char);
            }
            ',' => {
                out.push(char);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            char if is_space(char) => {}
            char => out.push(char),
        }
    }
    Some(out)
}

const fn is_space(char: char) -> bool {
    matches!(char, ' ' | '\n' | '\r' | '\t')
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth.min(MAX_INDENT)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn json_is_laid_out_and_not_changed() {
        let text = r#"{"b":[1.50,{}, [ ]],"a":"x,{}\"\\","c":{"d":null}}"#;
        let expected = "{\n  \"b\": [\n    1.50,\n    {},\n    []\n  ],\n  \"a\": \"x,{}\\\"\\\\\",\n  \"c\": {\n    \"d\": null\n  }\n}";
        assert_eq!(pretty(text).unwrap(), expected);
        assert_eq!(pretty("not json"), None);
        assert_eq!(pretty(&"[".repeat(100_000)), None);
    }

    proptest! {
        #[test]
        fn the_document_stays_the_same(keys in prop::collection::vec("\\PC{0,8}", 0..8)) {
            let value = serde_json::json!({ "list": keys, "deep": [[{ "k": keys }]] });
            let text = pretty(&value.to_string()).unwrap();
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
        }
    }
}
