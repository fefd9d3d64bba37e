//! Digests of messages in a canonical form.
//!
//! Two spellings of one message have one fingerprint: a string and a single text part, arguments with other white space or key
//! order, text in one part or in several neighbouring ones. Left out is what a client may drop or add without changing what
//! was said: `cache_control`, signatures, reasoning, citations, ids of items. The scheme has no version in its output because a fingerprint is
//! compared within one recorder session and never stored.

use crate::json::{Json, Kind};
use crate::limits::{DEPTH, ENTRIES, EXCERPT_BYTES};
use crate::text;
use crate::view::{Fingerprint, MessageView};
use aws_lc_rs::digest::{Context, Digest, SHA256, digest};

/// SHA-256 of bytes as they stand.
pub(crate) fn of_bytes(bytes: &[u8]) -> Fingerprint {
    finish(&digest(&SHA256, bytes))
}

fn finish(digest: &Digest) -> Fingerprint {
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    Fingerprint(out)
}

/// Content in a canonical form: text and other parts in order, neighbouring texts as one.
pub(crate) struct Content {
    parts: Context,
    open_text: Option<Context>,
}

impl Content {
    pub(crate) fn new() -> Self {
        Self {
            parts: Context::new(&SHA256),
            open_text: None,
        }
    }

    /// Text. Empty text is no part.
    pub(crate) fn text(&mut self, text: &str) {
        if !text.is_empty() {
            self.open_text
                .get_or_insert_with(|| Context::new(&SHA256))
                .update(text.as_bytes());
        }
    }

    /// A part with fields of its own. An absent field differs from an empty one.
    pub(crate) fn part(&mut self, tag: &str, fields: &[Option<&[u8]>]) {
        self.close_text();
        bytes(&mut self.parts, tag.as_bytes());
        for field in fields {
            self.parts.update(&[u8::from(field.is_some())]);
            bytes(&mut self.parts, field.unwrap_or_default());
        }
    }

    /// A part that is JSON: images, documents, kinds that the reader does not know.
    pub(crate) fn json(&mut self, tag: &str, value: Json<'_>) {
        let digest = of_json(value, Form::Content);
        self.part(tag, &[Some(&digest.0)]);
    }

    pub(crate) fn finish(mut self) -> Fingerprint {
        self.close_text();
        finish(&self.parts.finish())
    }

    fn close_text(&mut self) {
        if let Some(open) = self.open_text.take() {
            bytes(&mut self.parts, b"text");
            self.parts.update(open.finish().as_ref());
        }
    }
}

/// A message on its way to its view.
pub(crate) struct Message {
    role: String,
    content: Content,
    text: String,
    tool_call_ids: Vec<String>,
    tool_result_ids: Vec<String>,
}

impl Message {
    pub(crate) fn new(role: &str) -> Self {
        Self {
            role: text::name(role),
            content: Content::new(),
            text: String::new(),
            tool_call_ids: Vec::new(),
            tool_result_ids: Vec::new(),
        }
    }

    pub(crate) fn role(&self) -> &str {
        &self.role
    }

    pub(crate) fn text(&mut self, more: &str) {
        self.content.text(more);
        text::append(&mut self.text, more, EXCERPT_BYTES);
    }

    /// A part that is JSON, see [`Content::json`].
    pub(crate) fn json(&mut self, tag: &str, value: Json<'_>) {
        self.content.json(tag, value);
    }

    /// A tool call: its id where clients send it back unchanged, its name, its arguments.
    pub(crate) fn call(&mut self, id: Option<&str>, name: &str, arguments: Fingerprint) {
        self.content.part(
            "call",
            &[
                id.map(str::as_bytes),
                Some(name.as_bytes()),
                Some(&arguments.0),
            ],
        );
    }

    /// A tool result: the id or the name it goes by, whether it is a failure, its content.
    pub(crate) fn result(&mut self, key: Option<&str>, is_error: bool, content: Fingerprint) {
        self.content.part(
            "result",
            &[
                key.map(str::as_bytes),
                is_error.then_some(&b"error"[..]),
                Some(&content.0),
            ],
        );
    }

    /// Notes the id of a tool call in the message, for its view alone.
    pub(crate) fn note_call(&mut self, id: &str) {
        keep(&mut self.tool_call_ids, id);
    }

    /// Notes the id of a tool call whose result is in the message, for its view alone.
    pub(crate) fn note_result(&mut self, id: &str) {
        keep(&mut self.tool_result_ids, id);
    }

    pub(crate) fn finish(self) -> MessageView {
        let content = self.content.finish();
        let mut whole = Context::new(&SHA256);
        bytes(&mut whole, self.role.as_bytes());
        whole.update(&content.0);
        MessageView {
            fingerprint: finish(&whole.finish()),
            role: self.role,
            text: self.text,
            tool_call_ids: self.tool_call_ids,
            tool_result_ids: self.tool_result_ids,
        }
    }
}

fn keep(ids: &mut Vec<String>, id: &str) {
    if ids.len() < ENTRIES {
        ids.push(text::name(id));
    }
}

/// Digest of arguments that stand as text: canonical where they are JSON, the text itself where they are not. Nothing at
/// all means `{}`, as every provider treats it.
pub(crate) fn of_arguments_text(arguments: &str) -> Fingerprint {
    if arguments.trim().is_empty() {
        return of_arguments_text("{}");
    }
    Json::parse(arguments.as_bytes()).map_or_else(|_| of_bytes(arguments.as_bytes()), of_arguments)
}

/// Digest of arguments that stand as JSON. `null` means `{}`.
pub(crate) fn of_arguments(arguments: Json<'_>) -> Fingerprint {
    if arguments.is_null() {
        of_arguments_text("{}")
    } else {
        of_json(arguments, Form::Exact)
    }
}

/// Which fields of an object count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// All of them: arguments are the model's and the tool's own words.
    Exact,
    /// Those that are content: not what clients set and move for billing or transport, nor the `null`s that their types fill in.
    Content,
}

impl Form {
    fn leaves_out(self, key: &str, value: Json<'_>) -> bool {
        self == Self::Content && (value.is_null() || NOT_CONTENT.contains(&key))
    }
}

const NOT_CONTENT: &[&str] = &[
    "cache_control",
    "cachePoint",
    "signature",
    "thoughtSignature",
    "encrypted_content",
];

/// Digest of a JSON value in a canonical form.
pub(crate) fn of_json(value: Json<'_>, form: Form) -> Fingerprint {
    let mut context = Context::new(&SHA256);
    canonical(&mut context, value, form, 0);
    finish(&context.finish())
}

fn canonical(context: &mut Context, value: Json<'_>, form: Form, depth: usize) {
    if depth > DEPTH {
        context.update(b"~");
        bytes(context, value.raw().as_bytes());
        return;
    }
    match value.kind() {
        Kind::Null | Kind::Bool => bytes(context, value.raw().as_bytes()),
        Kind::Number => {
            context.update(b"#");
            number(context, value.raw());
        }
        Kind::String => {
            context.update(b"\"");
            bytes(context, value.str().unwrap_or_default().as_bytes());
        }
        Kind::Array => {
            context.update(b"[");
            for item in value.items() {
                canonical(context, item, form, depth + 1);
            }
            context.update(b"]");
        }
        Kind::Object => object(context, value, form, depth),
    }
}

fn object(context: &mut Context, value: Json<'_>, form: Form, depth: usize) {
    let mut fields: Vec<_> = value.fields().take(ENTRIES + 1).collect();
    if fields.len() > ENTRIES {
        context.update(b"~");
        bytes(context, value.raw().as_bytes());
        return;
    }
    // A stable sort keeps duplicates in order: the last of them counts.
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    context.update(b"{");
    let mut fields = fields.into_iter().peekable();
    while let Some((key, value)) = fields.next() {
        let repeated = fields.peek().is_some_and(|(next, _)| *next == key);
        if repeated || form.leaves_out(&key, value) {
            continue;
        }
        bytes(context, key.as_bytes());
        canonical(context, value, form, depth + 1);
    }
    context.update(b"}");
}

/// One spelling for equal numbers: `1`, `1.0` and `1e0` are one.
fn number(context: &mut Context, raw: &str) {
    // Whole numbers keep every digit: ids are larger than what a float can tell apart.
    if raw
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'-')
        && raw != "-0"
    {
        return bytes(context, raw.as_bytes());
    }
    match raw.parse::<f64>() {
        Ok(float) if float.is_finite() && float.abs() < 1e300 => {
            // Rust prints the shortest decimal that reads back as the same float, whole numbers without a fraction.
            bytes(
                context,
                format!("{}", if float == 0.0 { 0.0 } else { float }).as_bytes(),
            );
        }
        _ => bytes(context, raw.as_bytes()),
    }
}

fn bytes(context: &mut Context, bytes: &[u8]) {
    context.update(&(bytes.len() as u64).to_be_bytes());
    context.update(bytes);
}

#[cfg(test)]
#[path = "fingerprint_tests.rs"]
mod tests;
