//! What is asked of an authority: TimeStampReq of RFC 3161 section 2.4.1.

use crate::asn1::{self, Fault, Read};
use crate::digest::RawImprint;
use crate::{Error, Imprint, MAX_REQUEST_BYTES};
use der::asn1::ObjectIdentifier;
use der::{Decode as _, Reader as _, SliceReader, Tag};

/// Longest nonce that is read, in bytes.
const MAX_NONCE_BYTES: usize = 64;

/// A number used once: an answer that carries it was made after the request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Nonce(Vec<u8>);

impl Nonce {
    /// A nonce from random bytes, which the caller draws. 64 bits are what every authority takes.
    #[must_use]
    pub fn new(random: [u8; 8]) -> Self {
        let zeros = random.iter().take_while(|&&octet| octet == 0).count();
        let mut octets: Vec<u8> = random.iter().skip(zeros.min(7)).copied().collect();
        if octets.first().is_some_and(|&first| first >= 0x80) {
            octets.insert(0, 0);
        }
        Self(octets)
    }

    pub(crate) fn from_content(octets: &[u8]) -> Read<Self> {
        if octets.len() > MAX_NONCE_BYTES {
            return Err(Fault::Rule("the nonce is too long"));
        }
        Ok(Self(octets.to_vec()))
    }
}

/// A request for a time-stamp, with the authority's certificate in the answer (certReq).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    imprint: Imprint,
    policy: Option<ObjectIdentifier>,
    nonce: Option<Nonce>,
    with_certificate: bool,
}

impl Request {
    /// Asks when `imprint` was seen. The nonce comes from the caller's source of randomness.
    #[must_use]
    pub const fn new(imprint: Imprint, nonce: Nonce) -> Self {
        Self {
            imprint,
            policy: None,
            nonce: Some(nonce),
            with_certificate: true,
        }
    }

    /// Asks for a time-stamp under this policy.
    #[must_use]
    pub const fn under_policy(mut self, policy: ObjectIdentifier) -> Self {
        self.policy = Some(policy);
        self
    }

    /// What is to be stamped.
    #[must_use]
    pub const fn imprint(&self) -> &Imprint {
        &self.imprint
    }

    /// The policy asked for.
    #[must_use]
    pub const fn policy(&self) -> Option<ObjectIdentifier> {
        self.policy
    }

    /// The nonce.
    #[must_use]
    pub const fn nonce(&self) -> Option<&Nonce> {
        self.nonce.as_ref()
    }

    /// The body of a POST with the media type `application/timestamp-query`.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        let part = |tag: u8, content: Option<&[u8]>| {
            content.map_or_else(Vec::new, |content| asn1::encode(tag, &[content]))
        };
        let nonce = self.nonce.as_ref().map(|nonce| nonce.0.as_slice());
        asn1::encode(
            asn1::SEQUENCE,
            &[
                &[asn1::INTEGER, 1, 1],
                &self.imprint.to_der(),
                &part(
                    asn1::OBJECT_IDENTIFIER,
                    self.policy.as_ref().map(ObjectIdentifier::as_bytes),
                ),
                &part(asn1::INTEGER, nonce),
                // DER leaves out what equals its default, FALSE.
                if self.with_certificate {
                    &[0x01, 0x01, 0xff]
                } else {
                    &[]
                },
            ],
        )
    }

    /// Reads a request, as an authority does.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::UnsupportedAlgorithm`], [`Error::OverLimit`]. Extensions are
    /// not understood and refused.
    pub fn from_der(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_REQUEST_BYTES {
            return Err(Error::OverLimit {
                what: "bytes of a time-stamp request",
                limit: MAX_REQUEST_BYTES,
            });
        }
        let (imprint, policy, nonce, with_certificate) =
            asn1::sequence(bytes, fields).map_err(|fault| fault.of("time-stamp request"))?;
        Ok(Self {
            imprint: imprint.judge()?,
            policy,
            nonce,
            with_certificate,
        })
    }
}

type Fields<'a> = (
    RawImprint<'a>,
    Option<ObjectIdentifier>,
    Option<Nonce>,
    bool,
);

fn fields<'a>(reader: &mut SliceReader<'a>) -> Read<Fields<'a>> {
    if u8::decode(reader)? != 1 {
        return Err(Fault::Rule("the version is not 1"));
    }
    let imprint = RawImprint::read(reader)?;
    let policy = asn1::optional(reader, Tag::ObjectIdentifier)?
        .map(|value| value.decode_as())
        .transpose()?;
    let nonce = if !reader.is_finished() && Tag::peek(reader)? == Tag::Integer {
        Some(Nonce::from_content(asn1::integer(reader)?)?)
    } else {
        None
    };
    let with_certificate = asn1::optional(reader, Tag::Boolean)?
        .map(|value| value.decode_as())
        .transpose()?
        .unwrap_or(false);
    Ok((imprint, policy, nonce, with_certificate))
}
