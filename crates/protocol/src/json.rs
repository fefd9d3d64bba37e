//! JSON as it stands on the wire: a value is the text it was written in, looked into only where a reader needs it.
//!
//! One pass by `serde_json` proves that a document is well formed (without recursion, so nesting cannot hurt); after that a
//! [`Json`] is a slice of the document, fields and items are found by skipping, strings are borrowed where they have no
//! escapes. Duplicate keys are all visible, in order; [`Json::get`] takes the last, as most parsers do.

use serde_json::value::RawValue;
use std::borrow::Cow;

/// One JSON value, as text. Cheap to copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<'a>(&'a str);

/// What kind of value it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// Why bytes are not a JSON document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not well formed, or not UTF-8.
    #[error("not JSON: {reason} at line {line}, column {column}")]
    Malformed {
        /// What is wrong, in the parser's words; never text from the document.
        reason: &'static str,
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1.
        column: usize,
    },
    /// No bytes, or nothing but white space.
    #[error("empty where JSON was expected")]
    Empty,
}

impl<'a> Json<'a> {
    /// Reads one document: one value with nothing but white space around it. A byte order mark in front is passed over.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let bytes = bytes.strip_prefix(&[0xEF, 0xBB, 0xBF]).unwrap_or(bytes);
        match serde_json::from_slice::<&RawValue>(bytes) {
            Ok(raw) => Ok(Self(raw.get())),
            Err(_) if bytes.iter().all(u8::is_ascii_whitespace) => Err(Error::Empty),
            Err(error) => Err(Error::Malformed {
                reason: match error.classify() {
                    serde_json::error::Category::Eof => "it ends too early",
                    serde_json::error::Category::Syntax => "a syntax error",
                    _ => "not a value",
                },
                line: error.line(),
                column: error.column(),
            }),
        }
    }

    /// The value exactly as it was written.
    #[must_use]
    pub const fn raw(self) -> &'a str {
        self.0
    }

    /// What kind of value it is.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self.0.as_bytes().first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') | None => Kind::Null,
            Some(_) => Kind::Number,
        }
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.kind() == Kind::Null
    }

    /// A string's text, unescaped; a lone surrogate reads as U+FFFD. `None` for any other kind.
    #[must_use]
    pub fn str(self) -> Option<Cow<'a, str>> {
        let inner = self.0.strip_prefix('"')?.strip_suffix('"')?;
        Some(unescape(inner))
    }

    /// A non-negative whole number. A float without a fraction counts, as some providers send `12.0`.
    #[must_use]
    pub fn u64(self) -> Option<u64> {
        if self.kind() != Kind::Number {
            return None;
        }
        if let Ok(number) = self.0.parse() {
            return Some(number);
        }
        let whole = self.0.strip_suffix(".0")?;
        whole.parse().ok()
    }

    /// A whole number.
    #[must_use]
    pub fn i64(self) -> Option<i64> {
        if self.kind() == Kind::Number {
            self.0.parse().ok()
        } else {
            None
        }
    }

    /// A truth value.
    #[must_use]
    pub fn bool(self) -> Option<bool> {
        match self.0 {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// The items of an array; nothing for any other kind.
    #[must_use]
    pub fn items(self) -> Items<'a> {
        Items {
            rest: self.0.strip_prefix('[').unwrap_or_default(),
        }
    }

    /// The fields of an object in order, duplicates and all; nothing for any other kind.
    #[must_use]
    pub fn fields(self) -> Fields<'a> {
        Fields {
            rest: self.0.strip_prefix('{').unwrap_or_default(),
        }
    }

    /// The fields of an object found in one pass, for a reader that wants several of them.
    #[must_use]
    pub fn object(self) -> Object<'a> {
        Object(self.fields().take(OBJECT_FIELDS).collect())
    }

    /// The value of the last field of this name. One pass over the whole value for each call, see [`Json::object`].
    #[must_use]
    pub fn get(self, name: &str) -> Option<Self> {
        self.fields()
            .filter(|(key, _)| key == name)
            .last()
            .map(|(_, value)| value)
    }

    /// The string in the field of this name.
    #[must_use]
    pub fn get_str(self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name)?.str()
    }
}

/// Fields of an object that [`Json::object`] keeps.
const OBJECT_FIELDS: usize = 256;

/// The first [`OBJECT_FIELDS`] fields of an object.
#[derive(Debug, Clone)]
pub struct Object<'a>(Vec<(Cow<'a, str>, Json<'a>)>);

impl<'a> Object<'a> {
    /// The value of the last field of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Json<'a>> {
        self.0
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| *value)
    }

    /// The string in the field of this name.
    #[must_use]
    pub fn get_str(&self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name)?.str()
    }
}

/// Iterator over the items of an array.
#[derive(Debug, Clone)]
pub struct Items<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Items<'a> {
    type Item = Json<'a>;

    fn next(&mut self) -> Option<Json<'a>> {
        let (value, rest) = take_value(after(self.rest, ','))?;
        self.rest = rest;
        Some(value)
    }
}

/// Iterator over the fields of an object.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Fields<'a> {
    type Item = (Cow<'a, str>, Json<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, rest) = take_value(after(self.rest, ','))?;
        let key = key.str()?;
        let (value, rest) = take_value(after(rest, ':'))?;
        self.rest = rest;
        Some((key, value))
    }
}

/// The text behind white space and at most one `separator`.
fn after(text: &str, separator: char) -> &str {
    let text = skip_space(text);
    skip_space(text.strip_prefix(separator).unwrap_or(text))
}

fn skip_space(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\n', '\r'])
}

/// Splits one value off well-formed text. `None` at the end of a container.
fn take_value(text: &str) -> Option<(Json<'_>, &str)> {
    let bytes = text.as_bytes();
    let end = match bytes.first()? {
        b'"' => string_end(bytes)?,
        b'{' | b'[' => container_end(bytes)?,
        b'}' | b']' => return None,
        _ => bytes
            .iter()
            .position(|b| matches!(b, b',' | b':' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r'))
            .unwrap_or(bytes.len()),
    };
    if end == 0 {
        return None;
    }
    let (value, rest) = text.split_at_checked(end)?;
    Some((Json(value), rest))
}

/// Length of the string that `bytes` begins with, both quotes included.
fn string_end(bytes: &[u8]) -> Option<usize> {
    // Quotes are rarer than escapes: look for the next quote, then count the backslashes before it.
    for quote in memchr::memchr_iter(b'"', bytes.get(1..)?) {
        let escapes = bytes
            .get(1..=quote)?
            .iter()
            .rev()
            .take_while(|byte| **byte == b'\\')
            .count();
        if escapes.is_multiple_of(2) {
            return Some(quote + 2);
        }
    }
    None
}

/// Length of the array or object that `bytes` begins with. Counts depth, never recurses.
fn container_end(bytes: &[u8]) -> Option<usize> {
    let mut depth = 0usize;
    let mut at = 0;
    loop {
        match bytes.get(at)? {
            b'"' => at += string_end(bytes.get(at..)?)?,
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' => {
                depth -= 1;
                at += 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => at += 1,
        }
    }
}

fn unescape(inner: &str) -> Cow<'_, str> {
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Cow::Borrowed(inner);
    }
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.push_str(plain);
        let mut chars = escape.chars();
        let Some(letter) = chars.next() else { break };
        rest = chars.as_str();
        match letter {
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'u' => {
                let (character, behind) = unicode_escape(rest);
                out.push(character);
                rest = behind;
            }
            other => out.push(other),
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Reads what follows `\u`, a surrogate pair as one character.
fn unicode_escape(text: &str) -> (char, &str) {
    let Some((high, rest)) = four_hex(text) else {
        return (char::REPLACEMENT_CHARACTER, text);
    };
    if let 0xD800..0xDC00 = high
        && let Some((low @ 0xDC00..0xE000, behind)) = rest.strip_prefix("\\u").and_then(four_hex)
    {
        let code = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
        return (
            char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER),
            behind,
        );
    }
    (
        char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER),
        rest,
    )
}

fn four_hex(text: &str) -> Option<(u32, &str)> {
    let (digits, rest) = text.split_at_checked(4)?;
    Some((u32::from_str_radix(digits, 16).ok()?, rest))
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
