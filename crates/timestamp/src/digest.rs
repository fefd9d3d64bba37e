//! Hash functions, and the digest that is stamped.

use crate::Error;
use crate::asn1::{self, Algorithm, Read};
use aws_lc_rs::digest;
use der::asn1::{ObjectIdentifier, OctetStringRef};
use der::{Decode as _, Reader as _, SliceReader};
use std::fmt;

/// A hash function that this crate knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Digest {
    /// Named here to be refused by its name.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

const SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");

impl Digest {
    /// Its object identifier.
    #[must_use]
    pub const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Sha1 => SHA1,
            Self::Sha256 => SHA256,
            Self::Sha384 => SHA384,
            Self::Sha512 => SHA512,
        }
    }

    /// Length of its output in bytes.
    #[must_use]
    pub const fn len_bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    pub(crate) fn hash(self, data: &[u8]) -> digest::Digest {
        let function = match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(function, data)
    }

    pub(crate) fn from_oid(oid: ObjectIdentifier) -> Option<Self> {
        [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512]
            .into_iter()
            .find(|digest| digest.oid() == oid)
    }

    pub(crate) fn of(algorithm: &Algorithm<'_>, role: &'static str) -> Result<Self, Error> {
        match Self::from_oid(algorithm.oid) {
            Some(digest) if algorithm.is_plain() => Ok(digest),
            Some(_) => Err(Error::malformed(role, "a hash function with parameters")),
            None => Err(Error::UnsupportedAlgorithm {
                role,
                oid: algorithm.oid,
            }),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha1 => "SHA-1",
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
        })
    }
}

/// The digest that is stamped: MessageImprint of RFC 3161 section 2.4.1.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Imprint {
    algorithm: Digest,
    bytes: Vec<u8>,
}

impl Imprint {
    /// The imprint of data whose SHA-256 this is.
    #[must_use]
    pub fn sha256(digest: [u8; 32]) -> Self {
        Self {
            algorithm: Digest::Sha256,
            bytes: digest.to_vec(),
        }
    }

    /// An imprint by any of the hash functions.
    ///
    /// # Errors
    /// When `bytes` is not as long as the function's output.
    pub fn new(algorithm: Digest, bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() != algorithm.len_bytes() {
            let why = "the digest does not have its function's length";
            return Err(Error::malformed("message imprint", why));
        }
        Ok(Self {
            algorithm,
            bytes: bytes.to_vec(),
        })
    }

    /// The hash function.
    #[must_use]
    pub const fn algorithm(&self) -> Digest {
        self.algorithm
    }

    /// The digest.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn to_der(&self) -> Vec<u8> {
        let oid = asn1::encode(asn1::OBJECT_IDENTIFIER, &[self.algorithm.oid().as_bytes()]);
        asn1::encode(
            asn1::SEQUENCE,
            &[
                &asn1::encode(asn1::SEQUENCE, &[&oid, asn1::NULL]),
                &asn1::encode(asn1::OCTET_STRING, &[&self.bytes]),
            ],
        )
    }
}

/// A MessageImprint before its algorithm is known to be one of ours.
pub(crate) struct RawImprint<'a>(Algorithm<'a>, &'a [u8]);

impl<'a> RawImprint<'a> {
    pub(crate) fn read(reader: &mut SliceReader<'a>) -> Read<Self> {
        reader.sequence(|reader| {
            let algorithm = Algorithm::read(reader)?;
            let digest = <&OctetStringRef>::decode(reader)?;
            Ok(Self(algorithm, digest.as_bytes()))
        })
    }

    pub(crate) fn judge(&self) -> Result<Imprint, Error> {
        Imprint::new(Digest::of(&self.0, "message imprint")?, self.1)
    }
}
