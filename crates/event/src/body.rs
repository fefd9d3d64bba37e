//! References from an event to the bodies that lie in the vault.

use crate::kind::names;
use serde::{Deserialize, Serialize};

names! {
    /// What a body is to its event.
    pub enum Role {
        /// Request line and headers, secrets replaced by keyed digests.
        RequestHead = "request.head",
        /// Request bytes exactly as they were received and forwarded.
        Request = "request",
        /// Status line and headers, secrets replaced by keyed digests.
        ResponseHead = "response.head",
        /// Response bytes exactly as they were received and relayed.
        Response = "response",
        /// HTTP trailers.
        Trailers = "trailers",
        /// One JSON-RPC or WebSocket message as it stood on the wire.
        Message = "message",
        /// What a wrapped process wrote to standard error.
        Stderr = "stderr",
        /// Structured detail too large for the event line (JSON).
        Detail = "detail",
    }
}

/// A body as an event refers to it. The event commits to the bytes; the vault holds them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyRef {
    /// What the body is to the event.
    pub role: Role,
    /// The number of the body in the vault; unique within one log.
    pub id: u64,
    /// Length of the plaintext in bytes.
    pub len: u64,
    /// `SHA-256(salt || plaintext)`, lower-case hexadecimal. The 16-byte salt lies in the vault, so
    /// that an erased body cannot be guessed from its commitment.
    pub commitment: String,
    /// Media type as the sender declared it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<String>,
    /// `Content-Encoding` as the sender declared it; the body is stored encoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// Bytes that passed but were not kept, because the body crossed its configured bound.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub truncated: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
const fn is_zero(n: &u64) -> bool {
    *n == 0
}
