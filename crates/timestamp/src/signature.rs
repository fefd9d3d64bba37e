//! Which signatures are verified, and that they are.

use crate::asn1::{self, Algorithm, Fault, Read};
use crate::{Digest, Error};
use aws_lc_rs::signature::{self as aws, UnparsedPublicKey, VerificationAlgorithm};
use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode as _, SliceReader, Tag};
use std::fmt;

/// How something was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// RSASSA-PKCS1-v1_5.
    RsaPkcs1(Digest),
    /// RSASSA-PSS, with a salt as long as the digest.
    RsaPss(Digest),
    /// ECDSA.
    Ecdsa(Digest),
    /// Ed25519 (RFC 8419).
    Ed25519,
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RsaPkcs1(digest) => write!(f, "RSA PKCS#1 v1.5 with {digest}"),
            Self::RsaPss(digest) => write!(f, "RSA-PSS with {digest}"),
            Self::Ecdsa(digest) => write!(f, "ECDSA with {digest}"),
            Self::Ed25519 => f.write_str("Ed25519"),
        }
    }
}

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.5");
const RSA_MGF1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.8");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const RSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const RSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");
const RSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");
const EC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ECDSA_SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.1");
const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const ECDSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

impl Scheme {
    /// What an AlgorithmIdentifier names. `digest` is the one that goes with a bare `rsaEncryption`
    /// (RFC 3370 section 3.2); a certificate has none.
    pub(crate) fn of(
        algorithm: &Algorithm<'_>,
        digest: Option<Digest>,
        role: &'static str,
    ) -> Result<Self, Error> {
        let unsupported = || Error::UnsupportedAlgorithm {
            role,
            oid: algorithm.oid,
        };
        let scheme = match algorithm.oid {
            RSA => Self::RsaPkcs1(digest.ok_or_else(unsupported)?),
            RSA_SHA1 => Self::RsaPkcs1(Digest::Sha1),
            RSA_SHA256 => Self::RsaPkcs1(Digest::Sha256),
            RSA_SHA384 => Self::RsaPkcs1(Digest::Sha384),
            RSA_SHA512 => Self::RsaPkcs1(Digest::Sha512),
            RSA_PSS => {
                let digest = pss_digest(algorithm).map_err(|fault| fault.of(role))?;
                return digest.map(Self::RsaPss).ok_or_else(unsupported);
            }
            ECDSA_SHA1 => Self::Ecdsa(Digest::Sha1),
            ECDSA_SHA256 => Self::Ecdsa(Digest::Sha256),
            ECDSA_SHA384 => Self::Ecdsa(Digest::Sha384),
            ECDSA_SHA512 => Self::Ecdsa(Digest::Sha512),
            ED25519 => Self::Ed25519,
            _ => return Err(unsupported()),
        };
        if algorithm.is_plain() {
            return Ok(scheme);
        }
        Err(Error::malformed(
            role,
            "an algorithm with parameters it does not have",
        ))
    }

    /// The hash function that the signature rests on, where it is not within the scheme.
    pub(crate) const fn digest(self) -> Option<Digest> {
        match self {
            Self::RsaPkcs1(digest) | Self::RsaPss(digest) | Self::Ecdsa(digest) => Some(digest),
            Self::Ed25519 => None,
        }
    }

    /// Whether `signature` over `message` is by the key of `certificate`.
    pub(crate) fn verify(
        self,
        certificate: &crate::Certificate,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool, Error> {
        let key = certificate
            .x509()
            .tbs_certificate()
            .subject_public_key_info();
        let curve = key
            .algorithm
            .parameters
            .as_ref()
            .and_then(|curve| curve.decode_as::<ObjectIdentifier>().ok());
        let algorithm: &'static dyn VerificationAlgorithm = match (key.algorithm.oid, curve, self) {
            (RSA, _, Self::RsaPkcs1(digest)) => match digest {
                Digest::Sha1 => &aws::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
                Digest::Sha256 => &aws::RSA_PKCS1_2048_8192_SHA256,
                Digest::Sha384 => &aws::RSA_PKCS1_2048_8192_SHA384,
                Digest::Sha512 => &aws::RSA_PKCS1_2048_8192_SHA512,
            },
            (RSA | RSA_PSS, _, Self::RsaPss(Digest::Sha256)) => &aws::RSA_PSS_2048_8192_SHA256,
            (RSA | RSA_PSS, _, Self::RsaPss(Digest::Sha384)) => &aws::RSA_PSS_2048_8192_SHA384,
            (RSA | RSA_PSS, _, Self::RsaPss(Digest::Sha512)) => &aws::RSA_PSS_2048_8192_SHA512,
            (EC_KEY, Some(curve), Self::Ecdsa(digest)) => match (curve, digest) {
                (P256, Digest::Sha1) => &aws::ECDSA_P256_SHA1_ASN1,
                (P256, Digest::Sha256) => &aws::ECDSA_P256_SHA256_ASN1,
                (P256, Digest::Sha384) => &aws::ECDSA_P256_SHA384_ASN1,
                (P256, Digest::Sha512) => &aws::ECDSA_P256_SHA512_ASN1,
                (P384, Digest::Sha256) => &aws::ECDSA_P384_SHA256_ASN1,
                (P384, Digest::Sha384) => &aws::ECDSA_P384_SHA384_ASN1,
                (P384, Digest::Sha512) => &aws::ECDSA_P384_SHA512_ASN1,
                (P521, Digest::Sha256) => &aws::ECDSA_P521_SHA256_ASN1,
                (P521, Digest::Sha384) => &aws::ECDSA_P521_SHA384_ASN1,
                (P521, Digest::Sha512) => &aws::ECDSA_P521_SHA512_ASN1,
                _ => {
                    return Err(Error::UnsupportedAlgorithm {
                        role: "public key",
                        oid: curve,
                    });
                }
            },
            (ED25519, None, Self::Ed25519) => &aws::ED25519,
            // The key is of another kind than the signature.
            _ => return Ok(false),
        };
        let key = key.subject_public_key.raw_bytes();
        Ok(UnparsedPublicKey::new(algorithm, key)
            .verify(message, signature)
            .is_ok())
    }
}

/// The digest of RSASSA-PSS-params (RFC 4055 section 3.1), where mask and salt are of the same one and
/// it is not SHA-1, the default.
fn pss_digest(algorithm: &Algorithm<'_>) -> Read<Option<Digest>> {
    let Some(parameters) = algorithm.parameters else {
        return Ok(None);
    };
    parameters.header().tag().assert_eq(Tag::Sequence)?;
    asn1::all(parameters.value(), |reader| {
        let hash = asn1::context(reader, 0, true)?.map(nested).transpose()?;
        let mask = asn1::context(reader, 1, true)?.map(nested).transpose()?;
        let salt = asn1::context(reader, 2, true)?
            .map(|salt| u8::from_der(salt.value()))
            .transpose()?;
        let trailer = asn1::context(reader, 3, true)?
            .map(|trailer| u8::from_der(trailer.value()))
            .transpose()?;
        let (Some(hash), Some(mask), Some(salt), None | Some(1)) = (hash, mask, salt, trailer)
        else {
            return Ok(None);
        };
        let digest = |algorithm: Algorithm<'_>| {
            Digest::from_oid(algorithm.oid)
                .filter(|digest| *digest != Digest::Sha1 && algorithm.is_plain())
        };
        let mask_hash = match mask.parameters {
            Some(hash) if mask.oid == RSA_MGF1 => {
                asn1::all(hash.value(), Algorithm::read_fields).map(digest)?
            }
            _ => None,
        };
        Ok(digest(hash)
            .filter(|hash| mask_hash == Some(*hash) && hash.len_bytes() == usize::from(salt)))
    })
}

fn nested(value: AnyRef<'_>) -> Result<Algorithm<'_>, Fault> {
    let mut reader = SliceReader::new(value.value())?;
    let algorithm = Algorithm::read(&mut reader)?;
    der::Reader::finish(reader)?;
    Ok(algorithm)
}
