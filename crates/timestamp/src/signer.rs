//! Who signed a token: the signed attributes (RFC 5652 section 5.4) and the certificate that they bind
//! (RFC 2634 section 5.4, RFC 5816).

use crate::asn1::{self, Algorithm, Fault, Read};
use crate::cms::{SignedData, SignerId, TST_INFO};
use crate::signature::Scheme;
use crate::{Certificate, Digest, Error, MAX_CERTIFICATES};
use der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef};
use der::{Decode as _, Reader as _, SliceReader, Tag};
use x509_cert::ext::pkix::name::GeneralName;

const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const SIGNING_CERTIFICATE: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.12");
const SIGNING_CERTIFICATE_V2: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");
const MAX_ATTRIBUTES: usize = 32;

/// What the authority signed besides the time-stamp's digest, and how.
pub(crate) struct Signed {
    pub(crate) digest: Digest,
    pub(crate) scheme: Scheme,
    bindings: Vec<Binding>,
}

/// One signing-certificate attribute: the certificates it names, the signer's first.
struct Binding(Vec<CertificateId>);

/// ESSCertID and ESSCertIDv2.
struct CertificateId {
    digest: Digest,
    hash: Vec<u8>,
    issuer_and_serial: Option<(Vec<GeneralName>, Vec<u8>)>,
}

impl Signed {
    /// Reads the signed attributes and checks that they are about this content.
    pub(crate) fn read(data: &SignedData<'_>, sha1_allowed: bool) -> Result<Self, Error> {
        let signer = &data.signer;
        let digest = Digest::of(&signer.digest_algorithm, "signer's digest")?;
        let scheme = Scheme::of(&signer.signature_algorithm, Some(digest), "signature")?;
        if let Some(signature) = scheme.digest().filter(|signature| *signature != digest) {
            return Err(Error::AlgorithmsDisagree { digest, signature });
        }
        if digest == Digest::Sha1 && !sha1_allowed {
            return Err(Error::WeakAlgorithm("the signature of the token"));
        }
        let attributes = signer
            .signed_attributes
            .ok_or(Error::MissingAttribute("content-type"))?;
        let attributes = Attributes::read(attributes).map_err(|fault| fault.of(ATTRIBUTES))?;

        let content_type = attributes
            .one(CONTENT_TYPE, "content-type")?
            .decode_as::<ObjectIdentifier>()
            .map_err(|error| Error::malformed(ATTRIBUTES, error))?;
        if content_type != TST_INFO {
            return Err(Error::ContentTypeMismatch(content_type));
        }
        let message_digest = attributes
            .one(MESSAGE_DIGEST, "message-digest")?
            .decode_as::<&OctetStringRef>()
            .map_err(|error| Error::malformed(ATTRIBUTES, error))?;
        if message_digest.as_bytes() != digest.hash(data.content).as_ref() {
            return Err(Error::MessageDigestMismatch);
        }
        let bindings = attributes.bindings()?;
        Ok(Self {
            digest,
            scheme,
            bindings,
        })
    }

    /// The signer's certificate among `candidates`: the one that the signer's identifier names and that
    /// every signing-certificate attribute binds by hash. Where it stands among them means nothing.
    pub(crate) fn certificate<'a>(
        &self,
        id: &SignerId<'_>,
        candidates: impl Iterator<Item = &'a Certificate>,
    ) -> Result<&'a Certificate, Error> {
        let mut named = false;
        for candidate in candidates.filter(|candidate| id.names(candidate)) {
            named = true;
            let bound = |Binding(ids): &Binding| ids.first().is_some_and(|id| id.is(candidate));
            if self.bindings.iter().all(bound) {
                return Ok(candidate);
            }
        }
        Err(if named {
            Error::SignerCertificateMismatch
        } else {
            Error::MissingSignerCertificate
        })
    }

    /// Verifies the signature over the signed attributes with the key of `certificate`.
    pub(crate) fn verify(
        &self,
        data: &SignedData<'_>,
        certificate: &Certificate,
    ) -> Result<(), Error> {
        let attributes = data.signer.signed_attributes.unwrap_or_default();
        // Signed as the SET OF that they are, not under the tag they travel with.
        let message = asn1::encode(asn1::SET, &[attributes]);
        if self
            .scheme
            .verify(certificate, &message, data.signer.signature)?
        {
            return Ok(());
        }
        Err(Error::BadSignature {
            signer: certificate.subject(),
        })
    }

    /// Certificates named after the signer's restrict the chain to themselves (RFC 5035 section 4).
    pub(crate) fn allows(&self, chain: &[&Certificate]) -> bool {
        self.bindings.iter().all(|Binding(ids)| {
            ids.iter()
                .all(|id| chain.iter().any(|certificate| id.is(certificate)))
        })
    }
}

impl SignerId<'_> {
    fn names(&self, certificate: &Certificate) -> bool {
        match self {
            Self::IssuerAndSerial(issuer, serial) => {
                **issuer == *certificate.issuer_name() && *serial == certificate.serial()
            }
            Self::KeyId(id) => certificate.extensions.key_id.as_deref() == Some(*id),
        }
    }
}

const ATTRIBUTES: &str = "signed attributes";

/// Attributes by type, each with its values.
struct Attributes<'a>(Vec<(ObjectIdentifier, Vec<&'a [u8]>)>);

impl<'a> Attributes<'a> {
    fn read(bytes: &'a [u8]) -> Read<Self> {
        asn1::sorted_values(bytes, MAX_ATTRIBUTES)?
            .into_iter()
            .map(|attribute| {
                asn1::sequence(attribute, |reader| {
                    let kind = ObjectIdentifier::decode(reader)?;
                    let values = asn1::required(reader, Tag::Set)?;
                    Ok((kind, asn1::sorted_values(values.value(), MAX_ATTRIBUTES)?))
                })
            })
            .collect::<Read<_>>()
            .map(Self)
    }

    /// The one value of the one attribute of that type, or none.
    fn optional(
        &self,
        kind: ObjectIdentifier,
        name: &'static str,
    ) -> Result<Option<AnyRef<'a>>, Error> {
        let mut found = self.0.iter().filter(|(found, _)| *found == kind);
        let Some((_, values)) = found.next() else {
            return Ok(None);
        };
        let ([value], None) = (values.as_slice(), found.next()) else {
            return Err(Error::RepeatedAttribute(name));
        };
        AnyRef::from_der(value)
            .map(Some)
            .map_err(|error| Error::malformed(ATTRIBUTES, error))
    }

    fn one(&self, kind: ObjectIdentifier, name: &'static str) -> Result<AnyRef<'a>, Error> {
        self.optional(kind, name)?
            .ok_or(Error::MissingAttribute(name))
    }

    /// Both versions where both are there: each must hold.
    fn bindings(&self) -> Result<Vec<Binding>, Error> {
        const NAME: &str = "signing-certificate";
        let mut bindings = Vec::new();
        for (kind, version) in [(SIGNING_CERTIFICATE, 1), (SIGNING_CERTIFICATE_V2, 2)] {
            if let Some(value) = self.optional(kind, NAME)? {
                let ids = certificate_ids(value, version)?;
                bindings.push(Binding(ids));
            }
        }
        if bindings.is_empty() {
            return Err(Error::MissingAttribute(NAME));
        }
        Ok(bindings)
    }
}

/// SigningCertificate and SigningCertificateV2: the ids, and policies that decide nothing here.
fn certificate_ids(value: AnyRef<'_>, version: u8) -> Result<Vec<CertificateId>, Error> {
    const WHAT: &str = "signing-certificate attribute";
    let raw = read_ids(value, version).map_err(|fault| fault.of(WHAT))?;
    if raw.is_empty() {
        return Err(Error::malformed(WHAT, "it names no certificate"));
    }
    raw.into_iter()
        .map(|(algorithm, hash, issuer_and_serial)| {
            let digest = match algorithm {
                Some(algorithm) => Digest::of(&algorithm, "certificate hash")?,
                None if version == 1 => Digest::Sha1,
                None => Digest::Sha256,
            };
            Ok(CertificateId {
                digest,
                hash: hash.to_vec(),
                issuer_and_serial,
            })
        })
        .collect()
}

type RawId<'a> = (
    Option<Algorithm<'a>>,
    &'a [u8],
    Option<(Vec<GeneralName>, Vec<u8>)>,
);

fn read_ids(value: AnyRef<'_>, version: u8) -> Read<Vec<RawId<'_>>> {
    value.header().tag().assert_eq(Tag::Sequence)?;
    asn1::all(value.value(), |reader| {
        let ids = asn1::required(reader, Tag::Sequence)?;
        // PolicyInformation; any policy is accepted here.
        asn1::optional(reader, Tag::Sequence)?;
        asn1::values(ids.value(), MAX_CERTIFICATES)?
            .into_iter()
            .map(|id| {
                asn1::sequence(id, |reader| {
                    let algorithm = if version == 2 && Tag::peek(reader)? == Tag::Sequence {
                        Some(Algorithm::read(reader)?)
                    } else {
                        None
                    };
                    let hash = <&OctetStringRef>::decode(reader)?.as_bytes();
                    let issuer_and_serial = if reader.is_finished() {
                        None
                    } else {
                        Some(reader.sequence(issuer_and_serial)?)
                    };
                    Ok((algorithm, hash, issuer_and_serial))
                })
            })
            .collect()
    })
}

fn issuer_and_serial(reader: &mut SliceReader<'_>) -> Read<(Vec<GeneralName>, Vec<u8>)> {
    let issuer = asn1::values(
        asn1::required(reader, Tag::Sequence)?.value(),
        MAX_CERTIFICATES,
    )?
    .into_iter()
    .map(|name| Ok::<_, Fault>(GeneralName::from_der(name)?))
    .collect::<Read<_>>()?;
    Ok((issuer, asn1::integer(reader)?.to_vec()))
}

impl CertificateId {
    fn is(&self, certificate: &Certificate) -> bool {
        let named = match &self.issuer_and_serial {
            None => true,
            Some((issuer, serial)) => {
                let [GeneralName::DirectoryName(issuer)] = issuer.as_slice() else {
                    return false;
                };
                issuer == certificate.issuer_name() && serial == certificate.serial()
            }
        };
        named && self.digest.hash(certificate.as_der()).as_ref() == self.hash
    }
}
