//! The answer to an `add-checkpoint` request: HTTP status, content type and body.

use crate::{
    Error, line,
    note::{MAX_NOTE_BYTES, MAX_SIGNATURES, Note, Signature, Signer, VerifyingKey},
};

const WHAT: &str = "add-checkpoint answer";

/// Content type of the body that says which size a witness is at.
const SIZE_TYPE: &str = "text/x.tlog.size";

/// Content type of every other body.
const TEXT_TYPE: &str = "text/plain; charset=utf-8";

/// What a witness says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// 200: it has cosigned the checkpoint.
    Cosigned(Vec<Signature>),
    /// It has not.
    Refused(Refusal),
}

/// Why a witness does not cosign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 400: the request breaks the protocol; sending it again does not help.
    #[error("the request is malformed")]
    BadRequest,
    /// 403: no key that the witness trusts for the log signed, or a signature in such a key's name
    /// does not verify.
    #[error("no key that is trusted for this log signed the checkpoint")]
    NotSigned,
    /// 404: the witness does not serve this log.
    #[error("the log is not known")]
    UnknownLog,
    /// 409: the last checkpoint that the witness cosigned has another size. Prove consistency from
    /// there. A size beyond the log's own means that the log has lost its end, or has a fork.
    #[error("the last checkpoint has size {size}")]
    Conflict {
        /// The size of the tree that the witness cosigned last, in leaves.
        size: u64,
    },
    /// 422: the checkpoint does not continue what the witness cosigned: the log was rewritten, or
    /// the proof is wrong.
    #[error("the checkpoint does not continue the last one")]
    Inconsistent,
}

impl Refusal {
    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::NotSigned => 403,
            Self::UnknownLog => 404,
            Self::Conflict { .. } => 409,
            Self::Inconsistent => 422,
        }
    }
}

impl Answer {
    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Cosigned(_) => 200,
            Self::Refused(refusal) => refusal.status(),
        }
    }

    /// The value of the `Content-Type` header.
    #[must_use]
    pub const fn content_type(&self) -> &'static str {
        match self {
            Self::Refused(Refusal::Conflict { .. }) => SIZE_TYPE,
            _ => TEXT_TYPE,
        }
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> String {
        match self {
            Self::Cosigned(signatures) => {
                signatures.iter().map(|line| format!("{line}\n")).collect()
            }
            Self::Refused(Refusal::Conflict { size }) => format!("{size}\n"),
            Self::Refused(refusal) => format!("{refusal}\n"),
        }
    }

    /// Reads what a witness sent. Of refusals but 409, the body is for people and is not read.
    ///
    /// # Errors
    /// [`Error::UnexpectedStatus`] for a status outside the protocol; [`Error::Malformed`] and
    /// [`Error::OverLimit`] when the body is not what the status promises.
    pub fn parse(status: u16, content_type: Option<&str>, body: &[u8]) -> Result<Self, Error> {
        match status {
            200 => parse_signatures(body).map(Self::Cosigned),
            400 => Ok(Self::Refused(Refusal::BadRequest)),
            403 => Ok(Self::Refused(Refusal::NotSigned)),
            404 => Ok(Self::Refused(Refusal::UnknownLog)),
            409 => {
                parse_size(content_type, body).map(|size| Self::Refused(Refusal::Conflict { size }))
            }
            422 => Ok(Self::Refused(Refusal::Inconsistent)),
            other => Err(Error::UnexpectedStatus(other)),
        }
    }
}

fn parse_signatures(body: &[u8]) -> Result<Vec<Signature>, Error> {
    if body.len() > MAX_NOTE_BYTES {
        return Err(Error::OverLimit {
            what: "answer length in bytes",
            limit: MAX_NOTE_BYTES as u64,
        });
    }
    let lines = std::str::from_utf8(body)
        .ok()
        .and_then(|text| text.strip_suffix('\n'))
        .ok_or(Error::malformed(WHAT, "not lines of UTF-8"))?;
    if lines.split('\n').count() > MAX_SIGNATURES {
        return Err(Error::OverLimit {
            what: "number of signatures",
            limit: MAX_SIGNATURES as u64,
        });
    }
    lines.split('\n').map(Signature::parse).collect()
}

fn parse_size(content_type: Option<&str>, body: &[u8]) -> Result<u64, Error> {
    let media_type = content_type.and_then(|value| value.split(';').next());
    if !media_type.is_some_and(|media| media.trim().eq_ignore_ascii_case(SIZE_TYPE)) {
        return Err(Error::malformed(
            WHAT,
            "409 without the content type text/x.tlog.size",
        ));
    }
    std::str::from_utf8(body)
        .ok()
        .and_then(|text| text.strip_suffix('\n'))
        .and_then(line::decimal)
        .ok_or(Error::malformed(
            WHAT,
            "409 without a canonical decimal size and a line feed",
        ))
}

/// Adds to a log's own checkpoint what a witness with the keys `witness` answered, and returns those
/// of its keys that cosigned, each with the time it states. Signatures by other keys are ignored.
///
/// # Errors
/// [`Error::BadSignature`] when a signature in the name and id of a known key does not verify or
/// states no time, [`Error::Unsigned`] when no known key signed, [`Error::OverLimit`] when the note
/// would have too many signatures.
pub fn accept<'k>(
    checkpoint: Note,
    answer: &[Signature],
    witness: &'k [VerifyingKey],
) -> Result<(Note, Vec<Signer<'k>>), Error> {
    let claimed = |signature: &Signature| witness.iter().any(|key| key.claims(signature));
    let cosignatures: Vec<Signature> = answer
        .iter()
        .filter(|signature| claimed(signature))
        .cloned()
        .collect();
    // What the note has of this witness from earlier is judged elsewhere.
    let alone = checkpoint.resigned(|_| false, &cosignatures)?;
    let signers = alone.verify(witness)?.signers;
    if let Some(untimed) = signers.iter().find(|signer| signer.time.is_none()) {
        return Err(untimed.key.bad_signature());
    }
    let checkpoint = checkpoint.resigned(|_| true, &cosignatures)?;
    Ok((checkpoint, signers))
}
