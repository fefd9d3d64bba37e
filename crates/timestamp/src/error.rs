//! What can be wrong, one variant for each cause.

use crate::{Digest, StatusInfo};
use der::asn1::ObjectIdentifier;
use jiff::Timestamp;

/// Why a request, an answer, a certificate or a token was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A bound of this crate is crossed.
    #[error("{what} over the limit of {limit}")]
    OverLimit {
        /// What is too large or too many.
        what: &'static str,
        /// The largest value allowed.
        limit: usize,
    },
    /// The bytes are not the DER that their specification asks for.
    #[error("malformed {what}: {why}")]
    Malformed {
        /// The structure that was expected.
        what: &'static str,
        /// The rule that is broken.
        why: String,
    },
    /// An algorithm or key that this crate does not verify. MD5 and RSA under 2,048 bits stay here.
    #[error("{role} uses an algorithm that is not supported: {oid}")]
    UnsupportedAlgorithm {
        /// What the algorithm is used for.
        role: &'static str,
        /// The algorithm or curve.
        oid: ObjectIdentifier,
    },
    /// SHA-1 where a signature rests on it. [`Trust::allowing_sha1`](crate::Trust::allowing_sha1) accepts it.
    #[error("{0} rests on SHA-1, which is not trusted")]
    WeakAlgorithm(&'static str),
    /// The hash of the signature algorithm is not the hash named for the signer (RFC 5754 section 3).
    #[error("signer names the digest {digest} and signs with {signature}")]
    AlgorithmsDisagree {
        /// SignerInfo.digestAlgorithm.
        digest: Digest,
        /// The hash within SignerInfo.signatureAlgorithm.
        signature: Digest,
    },

    /// The authority gave no token and said why.
    #[error("the authority gave no token: {0}")]
    Refused(StatusInfo),
    /// The status says granted, and there is no token.
    #[error("the authority granted the request and sent no token")]
    MissingToken,
    /// There is a token, and the status says that none was granted.
    #[error("the authority sent a token with the status {0}")]
    UngrantedToken(StatusInfo),

    /// The token is a CMS structure of another type than signed-data.
    #[error("token is not CMS signed-data but {0}")]
    NotSignedData(ObjectIdentifier),
    /// What is signed is not a TSTInfo.
    #[error("signed content is not a time-stamp but {0}")]
    NotTimestampInfo(ObjectIdentifier),
    /// RFC 3161 allows one signature, the authority's.
    #[error("token has {0} signers, expected one")]
    SignerCount(usize),
    /// A signed attribute that RFC 3161 requires is not there.
    #[error("signed attribute {0} is missing")]
    MissingAttribute(&'static str),
    /// A signed attribute occurs more than once, or with other than one value.
    #[error("signed attribute {0} does not have exactly one value")]
    RepeatedAttribute(&'static str),
    /// The content-type attribute does not name the content.
    #[error("signed content-type attribute says {0}")]
    ContentTypeMismatch(ObjectIdentifier),
    /// The time-stamp was altered after it was signed.
    #[error("time-stamp does not have the signed digest: it was altered")]
    MessageDigestMismatch,
    /// Nobody supplied the certificate of the signer.
    #[error("the signer's certificate is neither in the token nor among those supplied")]
    MissingSignerCertificate,
    /// A certificate has the signer's name, and is not the one that the signature binds itself to.
    #[error("the certificate named like the signer's is not the one that was signed for")]
    SignerCertificateMismatch,
    /// The signing-certificate attribute names a certificate that is not in the chain.
    #[error("the signing-certificate attribute names a certificate that is not in the chain")]
    SigningCertificateOutsideChain,
    /// The signature over the signed attributes fails.
    #[error("the signature of {signer} does not verify")]
    BadSignature {
        /// Subject of the signer's certificate.
        signer: String,
    },

    /// The token stamps another hash function's digest.
    #[error("time-stamp is for a {found} digest, expected {expected}")]
    ImprintAlgorithmMismatch {
        /// What the caller asked about.
        expected: Digest,
        /// What the token holds.
        found: Digest,
    },
    /// The token stamps something else.
    #[error("time-stamp is for other data")]
    ImprintMismatch,
    /// The token answers no question, or another one: it may be a replay.
    #[error("the nonce of the request is {0} in the token")]
    NonceMismatch(&'static str),
    /// The policy is not among those asked for or accepted.
    #[error("time-stamp was made under the policy {0}, which is not accepted")]
    PolicyNotAccepted(ObjectIdentifier),
    /// The token names an authority that is not in the signer's certificate.
    #[error("time-stamp names the authority {0}, which is not in the signer's certificate")]
    AuthorityNameMismatch(String),
    /// The time in the token lies after the latest time that the caller thinks possible.
    #[error("time-stamp says {gen_time}, later than {latest}")]
    TooLate {
        /// The time in the token.
        gen_time: Timestamp,
        /// The latest the caller accepts.
        latest: Timestamp,
    },

    /// There is nothing to trust: a root must be pinned.
    #[error("no root certificate is pinned")]
    NoRoots,
    /// The chain ends below every pinned root. A root of the right name may be pinned, with another key.
    #[error("the chain ends at {issuer}, whose key is that of no root given")]
    NoPinnedRoot {
        /// The issuer for which no certificate is known whose key signed.
        issuer: String,
    },
    /// The chain has more certificates than this crate follows.
    #[error("the chain is longer than {} certificates", crate::MAX_CHAIN)]
    ChainTooLong,
    /// A certificate was not valid yet.
    #[error("the certificate of {subject} is valid from {from} only, after {at}")]
    NotYetValid {
        /// Subject of the certificate.
        subject: String,
        /// notBefore.
        from: Timestamp,
        /// The time judged.
        at: Timestamp,
    },
    /// A certificate was no longer valid.
    #[error("the certificate of {subject} expired at {until}, before {at}")]
    Expired {
        /// Subject of the certificate.
        subject: String,
        /// notAfter.
        until: Timestamp,
        /// The time judged.
        at: Timestamp,
    },
    /// A certificate was used as an issuer's without basicConstraints cA.
    #[error("the certificate of {0} may not issue certificates")]
    NotAuthority(String),
    /// The signer's certificate is a certification authority's.
    #[error("the certificate of {0} is an issuer's and may not sign time-stamps")]
    SignerIsAuthority(String),
    /// More intermediates follow than pathLenConstraint allows.
    #[error("more certificates follow that of {subject} than its limit of {limit}")]
    PathLengthExceeded {
        /// Subject of the certificate with the limit.
        subject: String,
        /// Its pathLenConstraint.
        limit: u8,
    },
    /// keyUsage forbids what the certificate is used for.
    #[error("the key usage of {0} does not allow this")]
    KeyUsage(String),
    /// A certificate has no extended key usage for time-stamping.
    #[error("the certificate of {0} is not for time-stamping")]
    NotForTimeStamping(String),
    /// RFC 3161 section 2.3: the extended key usage must be critical.
    #[error("the extended key usage of {0} is not critical")]
    UsageNotCritical(String),
    /// RFC 3161 section 2.3: time-stamping must be the only extended key usage.
    #[error("the certificate of {0} is for other uses than time-stamping too")]
    OtherUsages(String),
    /// A critical extension that this crate does not understand.
    #[error("{subject} has a critical extension that is not understood: {oid}")]
    UnknownCriticalExtension {
        /// Subject of the certificate, or `time-stamp`.
        subject: String,
        /// The extension.
        oid: ObjectIdentifier,
    },
}

impl Error {
    pub(crate) fn malformed(what: &'static str, why: impl ToString) -> Self {
        Self::Malformed {
            what,
            why: why.to_string(),
        }
    }
}
