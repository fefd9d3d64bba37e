//! A stored body made readable: its `Content-Encoding` undone, within bounds.

use event::BodyRef;

/// Longest plain text that a stored body may unfold to. A compressed body can be a bomb.
const MAX_DECODED_BYTES: u64 = 256 << 20;

/// What undoing an encoding gave.
#[derive(Debug)]
pub(crate) enum Decoded {
    /// All of it.
    Whole(Vec<u8>),
    /// What came before a problem.
    Part {
        /// The beginning.
        bytes: Vec<u8>,
        /// What stopped it.
        problem: String,
    },
    /// Nothing.
    Not(String),
}

/// Undoes the body's `Content-Encoding`; a body without one comes back as it is.
pub(crate) fn decode(reference: &BodyRef, stored: Vec<u8>) -> Decoded {
    if reference.encoding.is_none() || stored.is_empty() {
        return Decoded::Whole(stored);
    }
    let (bytes, problem) =
        protocol::encoding::decode(reference.encoding.as_deref(), &stored, MAX_DECODED_BYTES);
    match problem {
        None => Decoded::Whole(bytes.into_owned()),
        Some(problem) if bytes.is_empty() => Decoded::Not(problem.to_string()),
        Some(problem) => Decoded::Part {
            bytes: bytes.into_owned(),
            problem: problem.to_string(),
        },
    }
}

/// The longest beginning of `text` of at most `bytes` bytes that ends between two characters.
pub(crate) fn prefix(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
