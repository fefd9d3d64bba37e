//! RFC 3161 time-stamps with RFC 5816: a request to send, an answer to read, a token to verify.
//!
//! Owns the formats ([`Request`], [`Response`], [`Token`]) and the whole judgement of a token
//! ([`Token::verify`]): bytes in, verdict out.
//!
//! Promises: DER is read strictly and trailing bytes are refused; every size and count is bounded and
//! no input panics; the signer's certificate is the one that the signature binds, never the first in
//! the bag; certificates are judged at the time in the token, so that a token outlives them; an
//! [`Error`] names one cause.
//!
//! Never touches I/O, a clock or randomness; never believes a certificate because it came with the
//! token; does not judge revocation, and says so.

mod asn1;
mod certificate;
mod chain;
mod claims;
mod cms;
mod digest;
mod error;
mod request;
mod response;
mod signature;
mod signer;
mod time;
mod token;
mod verify;

pub use certificate::Certificate;
pub use claims::{AuthorityName, Claims, Serial};
pub use der::asn1::ObjectIdentifier;
pub use digest::{Digest, Imprint};
pub use error::Error;
pub use request::{Nonce, Request};
pub use response::{Failure, Response, Status, StatusInfo};
pub use signature::Scheme;
pub use time::{Accuracy, Bracket};
pub use token::Token;
pub use verify::{Algorithms, Expected, Trust, Verified};

/// Largest request that is read, in bytes.
pub const MAX_REQUEST_BYTES: usize = 4 * 1024;
/// Largest response that is read, in bytes. A client reads no further.
pub const MAX_RESPONSE_BYTES: usize = MAX_TOKEN_BYTES + 4 * 1024;
/// Largest token that is read, in bytes.
pub const MAX_TOKEN_BYTES: usize = 128 * 1024;
/// Largest certificate that is read, in bytes.
pub const MAX_CERTIFICATE_BYTES: usize = 16 * 1024;
/// Most certificates in a token.
pub const MAX_CERTIFICATES: usize = 32;
/// Longest chain, the signer's certificate and the root included.
pub const MAX_CHAIN: usize = 8;
