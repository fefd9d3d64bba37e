//! Hostile text made harmless: the one gate between what was recorded and a terminal.
//!
//! What an agent, a tool or a model wrote may hold escape sequences that move the cursor, set the
//! clipboard or rewrite the line above, direction marks that show one thing and mean another, and
//! characters that no one sees. Here each of them becomes visible ASCII: `\x1b`, `\u{202e}`.
//! A backslash that was in the text stays as it is: for the exact bytes there is
//! `tacho show EVENT --body ROLE`.
//!
//! Promises: the output holds no control character but the line feed that [`block`] keeps; applying
//! it twice changes nothing.

use std::borrow::Cow;
use std::fmt::Write as _;
use unicode_width::UnicodeWidthChar as _;

/// Marks that stack on one cell without end can cover the lines above and below.
const MAX_STACKED_MARKS: u32 = 6;

/// Columns between tab stops.
const TAB: usize = 4;

/// One line: a line feed is made visible too.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    escape(text, false)
}

/// Several lines: a line feed stays, a tab becomes spaces, a carriage return before a line feed
/// is dropped (it is how half the world ends a line).
pub(crate) fn block(text: &str) -> Cow<'_, str> {
    escape(text, true)
}

/// Bytes that may not be UTF-8: what is not text is shown as `\xNN`.
pub(crate) fn bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(&block(chunk.valid()));
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            write!(out, "\\x{byte:02x}").ok();
        }
    }
    out
}

/// JSON text for a terminal: whatever [`line`] would make visible is written as `\uXXXX`, so that
/// the document stays the same document. Valid JSON holds such characters only inside strings.
pub(crate) fn json(text: &str) -> Cow<'_, str> {
    if text.is_ascii() && !text.bytes().any(|byte| byte == 0x7f || byte == 0x1b) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        if char != '\n' && (is_treacherous(char) || is_selector(char)) {
            for unit in char.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                write!(out, "\\u{unit:04x}").ok();
            }
        } else {
            out.push(char);
        }
    }
    Cow::Owned(out)
}

/// Whether bytes can go to a terminal as they are.
pub(crate) fn is_plain(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| matches!(block(text), Cow::Borrowed(_)))
}

fn escape(text: &str, keep_lines: bool) -> Cow<'_, str> {
    if text
        .bytes()
        .all(|b| matches!(b, b' '..=b'~') || (keep_lines && b == b'\n'))
    {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    let mut changed = false;
    let mut column = 0_usize;
    let mut stacked = 0_u32;
    let mut before = None;
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        let start = out.len();
        let zero_width = char.width().unwrap_or(0) == 0;
        stacked = if zero_width { stacked + 1 } else { 0 };
        match char {
            '\n' if keep_lines => {
                out.push('\n');
                column = 0;
                before = None;
                continue;
            }
            '\r' if keep_lines && chars.peek() == Some(&'\n') => {}
            '\t' if keep_lines => {
                let spaces = TAB - column % TAB;
                out.extend(std::iter::repeat_n(' ', spaces));
            }
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            char if char.is_ascii_control() => {
                // Writing to a String cannot fail.
                write!(out, "\\x{:02x}", u32::from(char)).ok();
            }
            // A selector after a visible character chooses how it is drawn (an emoji in colour);
            // anywhere else it can only carry hidden bits.
            '\u{fe0e}' | '\u{fe0f}' if before.is_some_and(|c| !is_selector(c)) => out.push(char),
            char if is_treacherous(char) || is_selector(char) || stacked > MAX_STACKED_MARKS => {
                write!(out, "\\u{{{:x}}}", u32::from(char)).ok();
            }
            char => out.push(char),
        }
        let written = out.get(start..).unwrap_or_default();
        changed |= written.len() != char.len_utf8() || !written.starts_with(char);
        column += width(written);
        before = Some(char);
    }
    if changed {
        Cow::Owned(out)
    } else {
        Cow::Borrowed(text)
    }
}

/// Characters that control, hide or reorder text.
const fn is_treacherous(char: char) -> bool {
    matches!(
        char,
        // C0, DEL, C1.
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        // Soft hyphen, grapheme joiner, Arabic letter mark.
        | '\u{ad}' | '\u{34f}' | '\u{61c}'
        // Fillers that look like nothing.
        | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}' | '\u{ffa0}' | '\u{2800}'
        // Mongolian selectors and the vowel separator.
        | '\u{180b}'..='\u{180f}'
        // Zero-width, direction marks, line and paragraph separators, embeddings and overrides.
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        // Invisible operators, isolates, deprecated format characters.
        | '\u{2060}'..='\u{206f}'
        // Byte order mark, interlinear annotation, object replacement.
        | '\u{feff}' | '\u{fff9}'..='\u{fffc}'
        // Shorthand and musical format characters.
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        // Tags, and everything else of the plane that only carries invisible data.
        | '\u{e0000}'..='\u{e0fff}'
        // Private use: what is drawn is up to the font.
        | '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}'
    )
}

/// Variation selectors: sixteen of them, so each can hide four bits.
const fn is_selector(char: char) -> bool {
    matches!(char, '\u{fe00}'..='\u{fe0f}')
}

/// Columns that `text` takes on a terminal. For text that has been through this module.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(|char| char.width().unwrap_or(0)).sum()
}

/// At most `columns` wide; `...` in the last three where something was cut.
pub(crate) fn cut(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let room = columns.saturating_sub(3);
    let mut out = String::new();
    let mut used = 0;
    for char in text.chars() {
        used += char.width().unwrap_or(0);
        if used > room {
            break;
        }
        out.push(char);
    }
    out.push_str("...");
    Cow::Owned(out)
}

/// Breaks each line of `text` into lines at most `columns` wide, at spaces where there are any.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(8);
    let mut lines = Vec::new();
    for line in text.split('\n') {
        let mut current = String::new();
        let mut used = 0;
        for word in line.split_inclusive(' ') {
            let bare = width(word.trim_end_matches(' '));
            if used > 0 && used + bare > columns {
                lines.push(trimmed(&mut current));
                used = 0;
            }
            for char in word.chars() {
                let columns_of_char = char.width().unwrap_or(0);
                if used > 0 && used + columns_of_char > columns && char != ' ' {
                    lines.push(trimmed(&mut current));
                    used = 0;
                }
                current.push(char);
                used += columns_of_char;
            }
        }
        lines.push(trimmed(&mut current));
    }
    lines
}

fn trimmed(line: &mut String) -> String {
    let mut line = std::mem::take(line);
    line.truncate(line.trim_end_matches(' ').len());
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_controls_hides_or_reorders_becomes_visible() {
        for (text, expected) in [
            ("plain text", "plain text"),
            ("größer, 日本語, naïve", "größer, 日本語, naïve"),
            ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
            ("\x1b]52;c;aGk=\x07", "\\x1b]52;c;aGk=\\x07"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("a\rb\nc\td", "a\\rb\\nc\\td"),
            ("del\x7f nul\0", "del\\x7f nul\\x00"),
            ("user\u{202e}txt.exe", "user\\u{202e}txt.exe"),
            ("pay\u{200b}pal", "pay\\u{200b}pal"),
            ("\u{e0041}\u{e0042}", "\\u{e0041}\\u{e0042}"),
            ("a\u{2028}b\u{2029}", "a\\u{2028}b\\u{2029}"),
            ("\u{feff}bom", "\\u{feff}bom"),
            ("\u{e0100}\u{fe01}", "\\u{e0100}\\u{fe01}"),
            ("heart \u{2764}\u{fe0f}", "heart \u{2764}\u{fe0f}"),
            ("x\u{fe0f}\u{fe0f}", "x\u{fe0f}\\u{fe0f}"),
            ("e\u{301}", "e\u{301}"),
            ("C:\\x1b", "C:\\x1b"),
        ] {
            assert_eq!(line(text), expected, "{text:?}");
        }
    }

    #[test]
    fn marks_do_not_stack_without_end() {
        let text = format!("e{}", "\u{301}".repeat(40));
        assert!(line(&text).contains("\\u{301}"));
    }

    #[test]
    fn a_block_keeps_its_lines() {
        assert_eq!(block("a\r\nb\n\tc\rd"), "a\nb\n    c\\rd");
        assert_eq!(bytes(b"ok\xff\xfe\x1b\n"), "ok\\xff\\xfe\\x1b\n");
    }

    #[test]
    fn json_stays_the_same_document() {
        let value = serde_json::json!({ "k\u{202e}": "\u{9b}31m \u{e0041} \u{7f} \u{1b} ok" });
        let escaped = json(&value.to_string()).into_owned();
        assert!(escaped.is_ascii(), "{escaped}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&escaped).unwrap(),
            value
        );
    }

    #[test]
    fn text_is_cut_and_wrapped_by_columns() {
        assert_eq!(cut("abcdefgh", 8), "abcdefgh");
        assert_eq!(cut("abcdefghi", 8), "abcde...");
        assert_eq!(cut("日本語日本語", 8), "日本...");
        assert_eq!(wrap("one two three four", 9), ["one two", "three", "four"]);
        assert_eq!(wrap("abcdefghijklmnop", 8), ["abcdefgh", "ijklmnop"]);
        assert_eq!(wrap("a\n\nb", 8), ["a", "", "b"]);
    }

    fn anything() -> impl Strategy<Value = String> {
        let nasty = prop::sample::select(vec![
            '\x1b',
            '\u{9b}',
            '\r',
            '\n',
            '\t',
            '\u{202e}',
            '\u{200b}',
            '\u{e0041}',
            '\u{fe0f}',
            '\u{301}',
            '\u{2028}',
            'a',
            '日',
            '\\',
        ]);
        prop::collection::vec(prop_oneof![nasty, any::<char>()], 0..60)
            .prop_map(|chars| chars.into_iter().collect())
    }

    proptest! {
        #[test]
        fn no_control_character_survives(text in anything()) {
            let one = line(&text);
            prop_assert!(!one.chars().any(|c| c.is_control()));
            let many = block(&text);
            prop_assert!(!many.chars().any(|c| c.is_control() && c != '\n'));
            prop_assert!(!many.chars().any(is_treacherous_but_line_feed));
        }

        #[test]
        fn no_control_byte_survives(raw in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(!bytes(&raw).bytes().any(|b| (b < 0x20 && b != b'\n') || b == 0x7f));
        }

        #[test]
        fn twice_is_as_once(text in anything()) {
            let once = block(&text).into_owned();
            prop_assert_eq!(block(&once).into_owned(), once.clone());
            let once = line(&text).into_owned();
            prop_assert_eq!(line(&once).into_owned(), once);
        }

        #[test]
        fn what_is_plain_is_left_alone(text in anything()) {
            prop_assert_eq!(is_plain(text.as_bytes()), block(&text) == text);
        }

        #[test]
        fn json_means_the_same(text in anything()) {
            let plain = serde_json::to_string(&text).unwrap();
            let escaped = json(&plain).into_owned();
            prop_assert!(!escaped.chars().any(char::is_control));
            prop_assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
        }

        #[test]
        fn no_line_is_wider_than_asked(text in anything(), columns in 8_usize..40) {
            let text = block(&text).into_owned();
            for line in wrap(&text, columns) {
                prop_assert!(width(&line) <= columns, "{:?}", line);
            }
            prop_assert!(width(&cut(&line(&text), columns)) <= columns);
        }

        #[test]
        fn wrapping_loses_nothing_but_spaces(text in anything()) {
            let text = block(&text).into_owned();
            let squeeze = |t: &str| t.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(squeeze(&wrap(&text, 12).concat()), squeeze(&text));
        }
    }

    fn is_treacherous_but_line_feed(char: char) -> bool {
        char != '\n' && is_treacherous(char)
    }
}
