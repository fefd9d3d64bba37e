//! What an authority answers: TimeStampResp of RFC 3161 section 2.4.2.

use crate::asn1::{self, Fault, Read};
use crate::{Error, MAX_RESPONSE_BYTES, Token};
use der::asn1::BitStringRef;
use der::{Decode as _, Reader as _, SliceReader, Tag};
use std::fmt;

/// PKIStatus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// The token is what was asked for.
    Granted,
    /// There is a token, changed from what was asked for.
    GrantedWithMods,
    /// No token.
    Rejection,
    /// No token yet.
    Waiting,
    /// A revocation is imminent.
    RevocationWarning,
    /// A revocation has occurred.
    RevocationNotification,
    /// A number that RFC 3161 does not define.
    Other(u8),
}

impl Status {
    const fn new(number: u8) -> Self {
        match number {
            0 => Self::Granted,
            1 => Self::GrantedWithMods,
            2 => Self::Rejection,
            3 => Self::Waiting,
            4 => Self::RevocationWarning,
            5 => Self::RevocationNotification,
            other => Self::Other(other),
        }
    }

    /// Whether a token must come with it.
    #[must_use]
    pub const fn is_granted(self) -> bool {
        matches!(self, Self::Granted | Self::GrantedWithMods)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Granted => "granted",
            Self::GrantedWithMods => "granted with modifications",
            Self::Rejection => "rejected",
            Self::Waiting => "waiting: the request is not processed yet",
            Self::RevocationWarning => "a revocation of the authority's certificate is imminent",
            Self::RevocationNotification => "the authority's certificate was revoked",
            Self::Other(number) => return write!(f, "unknown status {number}"),
        })
    }
}

/// PKIFailureInfo, one bit of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// Unknown or unsupported hash function.
    BadAlg,
    /// The transaction is not permitted or supported.
    BadRequest,
    /// The data has the wrong format.
    BadDataFormat,
    /// The authority has no time.
    TimeNotAvailable,
    /// The policy asked for is not supported.
    UnacceptedPolicy,
    /// An extension asked for is not supported.
    UnacceptedExtension,
    /// The additional information was not understood or is not available.
    AddInfoNotAvailable,
    /// The authority failed.
    SystemFailure,
    /// A bit that RFC 3161 does not define.
    Other(u8),
}

impl Failure {
    const fn new(bit: u8) -> Self {
        match bit {
            0 => Self::BadAlg,
            2 => Self::BadRequest,
            5 => Self::BadDataFormat,
            14 => Self::TimeNotAvailable,
            15 => Self::UnacceptedPolicy,
            16 => Self::UnacceptedExtension,
            17 => Self::AddInfoNotAvailable,
            25 => Self::SystemFailure,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadAlg => "it does not know the hash function",
            Self::BadRequest => "it does not permit or support the request",
            Self::BadDataFormat => "it could not read the request",
            Self::TimeNotAvailable => "its source of time is not available",
            Self::UnacceptedPolicy => "it does not serve the policy",
            Self::UnacceptedExtension => "it does not support an extension",
            Self::AddInfoNotAvailable => "additional information is not available",
            Self::SystemFailure => "it failed",
            Self::Other(bit) => return write!(f, "unknown failure bit {bit}"),
        })
    }
}

/// The status of an answer: PKIStatusInfo.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StatusInfo {
    /// The status.
    pub status: Status,
    /// The reasons, by bit.
    pub failures: Vec<Failure>,
    /// What the authority says in words: foreign text, cut to printable characters.
    pub text: Vec<String>,
}

impl fmt::Display for StatusInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        for failure in &self.failures {
            write!(f, "; {failure}")?;
        }
        for text in &self.text {
            write!(f, "; {text:?}")?;
        }
        Ok(())
    }
}

/// An authority's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    info: StatusInfo,
    token: Option<Token>,
}

impl Response {
    /// Reads the body of an `application/timestamp-reply`.
    ///
    /// # Errors
    /// When it is not strict DER or crosses a bound, or when status and token contradict each other.
    pub fn from_der(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_RESPONSE_BYTES {
            return Err(Error::OverLimit {
                what: "bytes of a time-stamp response",
                limit: MAX_RESPONSE_BYTES,
            });
        }
        let (info, token) =
            asn1::sequence(bytes, fields).map_err(|fault| fault.of("time-stamp response"))?;
        match token {
            Some(_) if !info.status.is_granted() => Err(Error::UngrantedToken(info)),
            None if info.status.is_granted() => Err(Error::MissingToken),
            Some(token) => Ok(Self {
                info,
                token: Some(Token::from_der(token)?),
            }),
            None => Ok(Self { info, token: None }),
        }
    }

    /// What the authority says of the request.
    #[must_use]
    pub const fn info(&self) -> &StatusInfo {
        &self.info
    }

    /// The token, not verified yet.
    ///
    /// # Errors
    /// [`Error::Refused`] when the authority gave none.
    pub fn into_token(self) -> Result<Token, Error> {
        self.token.ok_or(Error::Refused(self.info))
    }
}

fn fields<'a>(reader: &mut SliceReader<'a>) -> Read<(StatusInfo, Option<&'a [u8]>)> {
    let info = reader.sequence(status_info)?;
    let token = if reader.is_finished() {
        None
    } else {
        Some(reader.tlv_bytes()?)
    };
    Ok((info, token))
}

fn status_info(reader: &mut SliceReader<'_>) -> Read<StatusInfo> {
    /// Lines of text, and failure bits, that are read.
    const MAX_TEXTS: usize = 16;
    const MAX_FAILURE_BYTES: usize = 8;
    let status = Status::new(u8::decode(reader)?);
    let text = match asn1::optional(reader, Tag::Sequence)? {
        None => Vec::new(),
        Some(texts) => asn1::values(texts.value(), MAX_TEXTS)?
            .into_iter()
            .map(free_text)
            .collect::<Read<_>>()?,
    };
    let failures = match asn1::optional(reader, Tag::BitString)? {
        None => Vec::new(),
        Some(value) => {
            let bits: BitStringRef<'_> = value.decode_as()?;
            if bits.raw_bytes().len() > MAX_FAILURE_BYTES {
                return Err(Fault::Rule("too many failure bits"));
            }
            (0_u8..)
                .zip(bits.bits())
                .filter_map(|(bit, set)| set.then_some(Failure::new(bit)))
                .collect()
        }
    };
    Ok(StatusInfo {
        status,
        failures,
        text,
    })
}

fn free_text(bytes: &[u8]) -> Read<String> {
    const MAX_CHARS: usize = 200;
    let text = asn1::all(bytes, |reader| asn1::required(reader, Tag::Utf8String))?;
    let text = str::from_utf8(text.value()).map_err(|_| Fault::Rule("text that is not UTF-8"))?;
    Ok(text
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_CHARS)
        .collect())
}
