//! What can be wrong, by what the caller can do about it.

/// Why a value was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are not what their specification allows. Refuse them; asking again for the same
    /// bytes does not help.
    #[error("malformed {what}: {why}")]
    Malformed {
        /// The format that was expected.
        what: &'static str,
        /// The rule that is broken.
        why: &'static str,
    },
    /// A bound of this crate or of the format is crossed.
    #[error("{what} over the limit of {limit}")]
    OverLimit {
        /// What is too large or too many.
        what: &'static str,
        /// The largest value allowed.
        limit: u64,
    },
    /// The question has no answer: an index beyond the tree, a tree that shrinks.
    #[error("no such {what}: {index} in a tree of size {size}")]
    OutOfRange {
        /// What was asked for.
        what: &'static str,
        /// The index or smaller size that was given.
        index: u64,
        /// The size of the tree.
        size: u64,
    },
    /// A tile that a tree of this size has could not be read. Fetch it, then ask again.
    #[error("tile {0} is missing")]
    MissingTile(crate::tile::TileId),
    /// A node that the proof needs could not be read. Fetch it, then ask again.
    #[error("node {index} at level {level} is missing")]
    MissingNode {
        /// Height above the leaves.
        level: u8,
        /// Index within the level.
        index: u64,
    },
    /// The proof does not lead to the root: the data, the proof or the root was altered.
    #[error("{0} proof does not lead to the root")]
    ProofMismatch(&'static str),
    /// A known key's signature fails: the note was altered, or forged in that key's name.
    #[error("signature by {0} does not verify")]
    BadSignature(String),
    /// No known key signed the note: nothing in it may be believed.
    #[error("no signature by a known key")]
    Unsigned,
    /// A verifier key's signature type is not one of this crate's: leave the key out, or read with a
    /// newer version. Signatures of such keys are never an error, only ignored.
    #[error("signature type 0x{0:02x} is not known")]
    UnknownAlgorithm(u8),
    /// The policy has no key for the log that the checkpoint names.
    #[error("log {0:?} is not in the policy")]
    UnknownLog(String),
    /// The checkpoint is the log's, but too few of the policy's witnesses vouch for it. Get more
    /// cosignatures.
    #[error("quorum {quorum} is not met, cosigned by {cosigned} of {witnesses} witnesses")]
    NoQuorum {
        /// Name of the quorum in the policy.
        quorum: String,
        /// Witnesses whose cosignatures count.
        cosigned: usize,
        /// Witnesses that the policy knows.
        witnesses: usize,
    },
    /// The policy cannot be used: correct the line.
    #[error("policy line {line}: {why}")]
    Policy {
        /// Number of the line, the first is 1.
        line: usize,
        /// The rule that is broken.
        why: String,
    },
    /// A witness answered with an HTTP status outside its protocol: it is not well, or not a
    /// witness. Ask again later.
    #[error("a witness answered with HTTP status {0}")]
    UnexpectedStatus(u16),
    /// The checkpoint belongs to another log.
    #[error("checkpoint is of log {found:?}, expected {expected:?}")]
    WrongOrigin {
        /// The origin in the checkpoint.
        found: String,
        /// The origin that the caller knows.
        expected: String,
    },
    /// The key must not be used, or signing failed inside the cryptographic module.
    #[error("key refused: {0}")]
    Key(&'static str),
}

impl Error {
    pub(crate) const fn malformed(what: &'static str, why: &'static str) -> Self {
        Self::Malformed { what, why }
    }
}
