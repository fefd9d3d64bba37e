//! Text from the wire on its way into a view: cut, always at a character boundary.

use crate::limits::NAME_BYTES;

/// The longest prefix of `text` of at most `max` bytes that ends at a character boundary.
pub(crate) fn prefix(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// A name or an id, cut to [`NAME_BYTES`].
pub(crate) fn name(text: &str) -> String {
    prefix(text, NAME_BYTES).to_owned()
}

/// Appends as much of `more` to `to` as keeps it within `max` bytes.
pub(crate) fn append(to: &mut String, more: &str, max: usize) {
    let room = max.saturating_sub(to.len());
    if room > 0 {
        to.push_str(prefix(more, room));
    }
}

/// A path segment with its `%XX` escapes read; a broken escape stands for itself.
pub(crate) fn percent_decoded(segment: &str) -> String {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = match (first, after) {
            (b'%', [high, low, ..]) => hex_digit(*high).zip(hex_digit(*low)),
            _ => None,
        };
        if let Some((high, low)) = escaped {
            bytes.push(high << 4 | low);
            rest = after.get(2..).unwrap_or_default();
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The value of one hexadecimal digit.
pub(crate) const fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_at_a_character_boundary() {
        assert_eq!(prefix("aé", 2), "a");
        assert_eq!(prefix("aé", 3), "aé");
        assert_eq!(prefix("", 3), "");
        let mut text = String::from("ab");
        append(&mut text, "éé", 5);
        assert_eq!(text, "abé");
        append(&mut text, "x", 5);
        assert_eq!(text, "abéx");
    }
}
