//! CMS signed-data (RFC 5652), as far as a token is made of it; borrowed from the token's bytes.

use crate::asn1::{self, Algorithm, Fault, Read};
use crate::{Certificate, Error, MAX_CERTIFICATES, MAX_TOKEN_BYTES};
use der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef};
use der::{Decode as _, Reader as _, SliceReader, Tag, TagNumber};
use x509_cert::name::Name;

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
pub(crate) const TST_INFO: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
const MAX_DIGESTS: usize = 8;

/// RFC 5652 section 5.1, with one signer and a TSTInfo.
pub(crate) struct SignedData<'a> {
    /// Version, digest algorithms and content, encoded.
    head: Vec<&'a [u8]>,
    /// The encoded TSTInfo: what is hashed.
    pub(crate) content: &'a [u8],
    certificates: Vec<&'a [u8]>,
    /// Revocation lists and signers, encoded.
    tail: Vec<&'a [u8]>,
    pub(crate) signer: SignerInfo<'a>,
}

/// RFC 5652 section 5.3. Unsigned attributes are skipped: nobody vouches for them.
pub(crate) struct SignerInfo<'a> {
    pub(crate) id: SignerId<'a>,
    pub(crate) digest_algorithm: Algorithm<'a>,
    /// The content octets of `[0] IMPLICIT SET OF`.
    pub(crate) signed_attributes: Option<&'a [u8]>,
    pub(crate) signature_algorithm: Algorithm<'a>,
    pub(crate) signature: &'a [u8],
}

pub(crate) enum SignerId<'a> {
    IssuerAndSerial(Box<Name>, &'a [u8]),
    KeyId(&'a [u8]),
}

impl<'a> SignedData<'a> {
    pub(crate) fn from_der(bytes: &'a [u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_TOKEN_BYTES {
            return Err(Error::OverLimit {
                what: "bytes of a time-stamp token",
                limit: MAX_TOKEN_BYTES,
            });
        }
        let (kind, content) = asn1::sequence(bytes, |reader| {
            let kind = ObjectIdentifier::decode(reader)?;
            let content = asn1::context(reader, 0, true)?;
            Ok((kind, content.ok_or(Fault::Rule("no content"))?))
        })
        .map_err(|fault| fault.of("time-stamp token"))?;
        if kind != SIGNED_DATA {
            return Err(Error::NotSignedData(kind));
        }
        let outer = asn1::sequence(content.value(), Outer::read)
            .map_err(|fault| fault.of("CMS signed-data"))?;
        if outer.content_type != TST_INFO {
            return Err(Error::NotTimestampInfo(outer.content_type));
        }
        let [signer] = outer.signers.as_slice() else {
            return Err(Error::SignerCount(outer.signers.len()));
        };
        let signer = asn1::sequence(signer, SignerInfo::read)
            .map_err(|fault| fault.of("CMS signer information"))?;
        if !outer.digests.contains(&signer.digest_algorithm.oid) {
            let why = "the signer's digest is not among the digest algorithms";
            return Err(Error::malformed("CMS signed-data", why));
        }
        Ok(Self {
            head: outer.head,
            content: outer.content,
            certificates: outer.certificates,
            tail: outer.tail,
            signer,
        })
    }

    /// The certificates in the bag. Anybody can put anything there: what does not read as one is no
    /// error, it only cannot be chosen.
    pub(crate) fn certificates(&self) -> Vec<Certificate> {
        self.certificates
            .iter()
            .filter_map(|bytes| Certificate::from_der(bytes).ok())
            .collect()
    }

    pub(crate) fn with_certificates(&self, certificates: &[Certificate]) -> Vec<u8> {
        let mut bag: Vec<&[u8]> = certificates.iter().map(Certificate::as_der).collect();
        bag.sort_unstable();
        bag.dedup();
        let bag = if bag.is_empty() {
            Vec::new()
        } else {
            asn1::encode(0xa0, &bag)
        };
        let mut parts = self.head.clone();
        parts.push(&bag);
        parts.extend(&self.tail);
        let signed_data = asn1::encode(asn1::SEQUENCE, &parts);
        asn1::encode(
            asn1::SEQUENCE,
            &[
                &asn1::encode(asn1::OBJECT_IDENTIFIER, &[SIGNED_DATA.as_bytes()]),
                &asn1::encode(0xa0, &[&signed_data]),
            ],
        )
    }
}

/// [`SignedData`] before it is known to be about a time-stamp.
struct Outer<'a> {
    head: Vec<&'a [u8]>,
    digests: Vec<ObjectIdentifier>,
    content_type: ObjectIdentifier,
    content: &'a [u8],
    certificates: Vec<&'a [u8]>,
    tail: Vec<&'a [u8]>,
    signers: Vec<&'a [u8]>,
}

impl<'a> Outer<'a> {
    fn read(reader: &mut SliceReader<'a>) -> Read<Self> {
        let version = reader.tlv_bytes()?;
        if !(3..=5).contains(&u8::from_der(version)?) {
            return Err(Fault::Rule("the version is not 3, 4 or 5"));
        }
        let digests = reader.tlv_bytes()?;
        let encapsulated = reader.tlv_bytes()?;
        let (content_type, content) = asn1::sequence(encapsulated, encapsulated_content)?;
        let certificates = match asn1::context(reader, 0, true)? {
            Some(bag) => asn1::values(bag.value(), MAX_CERTIFICATES)?,
            None => Vec::new(),
        };
        let mut tail = Vec::new();
        // Revocation lists are kept and not used.
        if !reader.is_finished() && Tag::peek(reader)? != Tag::Set {
            let lists = reader.tlv_bytes()?;
            all_of(lists, TagNumber(1).context_specific(true))?;
            tail.push(lists);
        }
        let signers = reader.tlv_bytes()?;
        tail.push(signers);
        Ok(Self {
            head: vec![version, digests, encapsulated],
            digests: asn1::values(all_of(digests, Tag::Set)?.value(), MAX_DIGESTS)?
                .into_iter()
                .map(plain_algorithm)
                .collect::<Read<_>>()?,
            content_type,
            content,
            certificates,
            tail,
            // A second signer is counted, not read.
            signers: asn1::values(all_of(signers, Tag::Set)?.value(), MAX_CERTIFICATES)?,
        })
    }
}

/// `bytes` as one value with that tag.
fn all_of(bytes: &[u8], tag: Tag) -> Read<AnyRef<'_>> {
    asn1::all(bytes, |reader| asn1::required(reader, tag))
}

fn plain_algorithm(bytes: &[u8]) -> Read<ObjectIdentifier> {
    let algorithm = asn1::all(bytes, Algorithm::read)?;
    if algorithm.is_plain() {
        return Ok(algorithm.oid);
    }
    Err(Fault::Rule("a digest algorithm with parameters"))
}

fn encapsulated_content<'a>(reader: &mut SliceReader<'a>) -> Read<(ObjectIdentifier, &'a [u8])> {
    let kind = ObjectIdentifier::decode(reader)?;
    let content = asn1::context(reader, 0, true)?
        .ok_or(Fault::Rule("the signed content is not in the token"))?;
    let content = asn1::all(content.value(), |reader| {
        Ok(<&OctetStringRef>::decode(reader)?.as_bytes())
    })?;
    Ok((kind, content))
}

impl<'a> SignerInfo<'a> {
    fn read(reader: &mut SliceReader<'a>) -> Read<Self> {
        let version = u8::decode(reader)?;
        let id = match asn1::context(reader, 0, false)? {
            Some(key) => SignerId::KeyId(key.value()),
            None => reader.sequence(|reader| {
                let issuer = Name::decode(reader)?;
                Ok::<_, Fault>(SignerId::IssuerAndSerial(
                    Box::new(issuer),
                    asn1::integer(reader)?,
                ))
            })?,
        };
        match (&id, version) {
            (SignerId::IssuerAndSerial(..), 1) | (SignerId::KeyId(_), 3) => {}
            _ => {
                return Err(Fault::Rule(
                    "the version does not fit the signer's identifier",
                ));
            }
        }
        let digest_algorithm = Algorithm::read(reader)?;
        let signed_attributes = asn1::context(reader, 0, true)?.map(AnyRef::value);
        let signature_algorithm = Algorithm::read(reader)?;
        let signature = <&OctetStringRef>::decode(reader)?.as_bytes();
        asn1::context(reader, 1, true)?;
        Ok(Self {
            id,
            digest_algorithm,
            signed_attributes,
            signature_algorithm,
            signature,
        })
    }
}
