//! A JSON array that arrives piece by piece, as a stream that has no other framing: its elements, each as soon as it is whole.
//!
//! The same bytes give the same elements however they are cut into chunks. An element larger than the bound is counted and
//! skipped; the array goes on behind it.

use crate::json::{Error, Json};

/// The reader of one array.
#[derive(Debug)]
pub(crate) struct Reader {
    limit: usize,
    place: Place,
    /// Containers that are open within the element.
    depth: u64,
    /// The element so far. Never longer than the limit.
    held: Vec<u8>,
    elements: u64,
    /// The element in hand crossed the limit: dropped up to its end.
    oversize: bool,
    skipped: u64,
    malformed: bool,
}

/// Where in the array the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Before,
    Element,
    String { escaped: bool },
    Behind,
}

/// What a byte is to the element in hand.
enum Step {
    Part,
    Outside,
    End,
}

impl Reader {
    /// A reader before the array, for elements of at most `limit` bytes.
    pub(crate) const fn new(limit: usize) -> Self {
        Self {
            limit,
            place: Place::Before,
            depth: 0,
            held: Vec::new(),
            elements: 0,
            oversize: false,
            skipped: 0,
            malformed: false,
        }
    }

    /// Reads the next bytes and hands each element that they complete to `sink`.
    pub(crate) fn feed(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Result<Json<'_>, Error>)) {
        let mut from = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            match self.step(byte) {
                Step::Part => continue,
                Step::Outside => {}
                Step::End => {
                    self.hold(bytes.get(from..at).unwrap_or_default());
                    self.take(sink);
                }
            }
            from = at + 1;
        }
        self.hold(bytes.get(from..).unwrap_or_default());
    }

    /// Elements that were larger than the limit.
    pub(crate) const fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Whether the array was closed, and is one.
    pub(crate) fn is_whole(&self) -> bool {
        self.place == Place::Behind && !self.malformed
    }

    /// Follows no more than strings and brackets: whether an element is JSON is decided when it is whole.
    fn step(&mut self, byte: u8) -> Step {
        match (self.place, byte) {
            (Place::Before, b'[') => {
                self.place = Place::Element;
                return Step::Outside;
            }
            (Place::Before | Place::Behind, _) => {
                self.malformed |= !byte.is_ascii_whitespace();
                return Step::Outside;
            }
            (Place::String { escaped: true }, _) | (Place::Element, b'"') => {
                self.place = Place::String { escaped: false };
            }
            (Place::String { .. }, b'\\') => self.place = Place::String { escaped: true },
            (Place::String { .. }, b'"') => self.place = Place::Element,
            (Place::Element, b'{' | b'[') => self.depth += 1,
            (Place::Element, b'}' | b']') if self.depth > 0 => self.depth -= 1,
            (Place::Element, b',') if self.depth == 0 => return Step::End,
            (Place::Element, b']') => {
                self.place = Place::Behind;
                return Step::End;
            }
            _ => {}
        }
        Step::Part
    }

    fn hold(&mut self, bytes: &[u8]) {
        let bytes = if self.held.is_empty() {
            bytes.trim_ascii_start()
        } else {
            bytes
        };
        if self.oversize {
            return;
        }
        if self.held.len().saturating_add(bytes.len()) > self.limit {
            self.oversize = true;
            self.held = Vec::new();
        } else {
            self.held.extend_from_slice(bytes);
        }
    }

    /// The element in hand has ended.
    fn take(&mut self, sink: &mut dyn FnMut(Result<Json<'_>, Error>)) {
        let is_empty_array = self.place == Place::Behind && self.elements == 0;
        if self.oversize {
            self.skipped += 1;
        } else if !(self.held.is_empty() && is_empty_array) {
            let element = Json::parse(&self.held);
            self.malformed |= element.is_err();
            sink(element);
        }
        self.elements += 1;
        self.oversize = false;
        self.held.clear();
        self.held.shrink_to(64 * 1024);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8], chunk: usize, limit: usize) -> (Vec<String>, u64, bool) {
        let mut reader = Reader::new(limit);
        let mut seen = Vec::new();
        for chunk in bytes.chunks(chunk.max(1)) {
            reader.feed(chunk, &mut |element| {
                seen.push(element.map_or_else(
                    |error| format!("! {error}"),
                    |element| element.raw().to_owned(),
                ));
            });
        }
        (seen, reader.skipped(), reader.is_whole())
    }

    #[test]
    fn elements_are_told_one_by_one() {
        let table: &[(&str, &[&str], bool)] = &[
            ("[]", &[], true),
            (" [ ] \n", &[], true),
            ("[1]", &["1"], true),
            (
                "[{\"a\":[1,2]}\r\n,\r\n \"]\\\"],\" , null]\r\n",
                &[r#"{"a":[1,2]}"#, r#""]\"],""#, "null"],
                true,
            ),
            (r#"["\\",[[]]]"#, &[r#""\\""#, "[[]]"], true),
            // Broken off: within an element, between two, before the end, in a string.
            (r#"[{"a":1},{"b"#, &[r#"{"a":1}"#], false),
            (r#"[{"a":1},"#, &[r#"{"a":1}"#], false),
            (r#"[{"a":1}"#, &[], false),
            (r#"["],"#, &[], false),
            ("[", &[], false),
            // No array at all, or none any more.
            ("[1]x", &["1"], false),
            ("x[1]", &["1"], false),
            ("[1,]", &["1", "! empty where JSON was expected"], false),
            (
                "[}]",
                &["! not JSON: a syntax error at line 1, column 1"],
                false,
            ),
        ];
        for (text, want, whole) in table {
            for chunk in [1, 2, 3, 100] {
                let (seen, skipped, is_whole) = read(text.as_bytes(), chunk, 100);
                assert_eq!(seen, *want, "{text} in chunks of {chunk}");
                assert_eq!(
                    (skipped, is_whole),
                    (0, *whole),
                    "{text} in chunks of {chunk}"
                );
            }
        }
    }

    #[test]
    fn an_element_over_the_limit_is_counted_and_the_next_one_is_read() {
        let long = "x".repeat(30);
        let text = format!(r#"[{{"a":1}},   "{long}" ,2]"#);
        for chunk in [1, 5, 100] {
            let (seen, skipped, whole) = read(text.as_bytes(), chunk, 20);
            assert_eq!(seen, [r#"{"a":1}"#, "2"]);
            assert_eq!((skipped, whole), (1, true));
        }
    }

    proptest! {
        #[test]
        fn every_chunking_gives_the_same_elements(text in r#"\[?([\[\]{},:"\\ 1xé]|"a"|\{"a":\[1\]\}|,){0,40}"#, chunk in 1..20usize, limit in 1..40usize) {
            let whole = read(text.as_bytes(), usize::MAX, limit);
            prop_assert_eq!(read(text.as_bytes(), chunk, limit), whole);
        }

        #[test]
        fn elements_of_any_text_come_out_as_they_went_in(texts in prop::collection::vec("\\PC{0,20}", 0..6), chunk in 1..20usize, cut in 0..200usize) {
            let elements: Vec<_> = texts.iter().map(|text| serde_json::json!([{ "t": text }]).to_string()).collect();
            let array = format!("[{}]", elements.join(" ,\n"));
            prop_assert_eq!(read(array.as_bytes(), chunk, 1000), (elements.clone(), 0, true));
            // What was whole before a break is told.
            let cut = cut.min(array.len().saturating_sub(1));
            let (seen, _, whole) = read(&array.as_bytes()[..cut], chunk, 1000);
            prop_assert!(!whole && elements.starts_with(&seen));
        }
    }
}
