//! What the scripted model says in one turn, before it is put into a wire format.

use serde_json::Value;

/// One assistant turn.
#[derive(Debug, Clone, Default)]
pub struct Turn {
    /// The model's name as the request gave it.
    pub model: String,
    /// Distinguishes this answer's ids from every other's.
    pub seed: u64,
    /// Reasoning, where the format carries it.
    pub thinking: Option<Thinking>,
    /// Text; empty where the turn is tool calls alone.
    pub text: String,
    /// Tools the model asks for.
    pub calls: Vec<Call>,
    /// Token counts.
    pub tokens: Tokens,
}

/// Reasoning text and the signature that must come back unchanged.
#[derive(Debug, Clone, Default)]
pub struct Thinking {
    /// The reasoning.
    pub text: String,
    /// Opaque to everybody but the provider.
    pub signature: String,
}

/// One tool call.
#[derive(Debug, Clone)]
pub struct Call {
    /// The call's id.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// Its arguments.
    pub arguments: Value,
}

/// Token counts of one turn.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tokens {
    /// Prompt tokens that no cache held.
    pub input: u64,
    /// Generated tokens.
    pub output: u64,
    /// Prompt tokens read from a cache.
    pub cached: u64,
    /// Generated tokens that were reasoning.
    pub reasoning: u64,
}

/// Cuts text into the pieces a provider would stream: about `size` bytes, never inside a character.
pub(super) fn pieces(text: &str, size: usize) -> Vec<String> {
    let mut out = Vec::new();
    let mut piece = String::new();
    for character in text.chars() {
        piece.push(character);
        if piece.len() >= size {
            out.push(std::mem::take(&mut piece));
        }
    }
    if !piece.is_empty() {
        out.push(piece);
    }
    out
}
