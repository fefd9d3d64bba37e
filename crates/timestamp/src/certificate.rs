//! X.509 certificates (RFC 5280): read once, into what a chain is judged by.

use crate::asn1::{self, Fault};
use crate::{Error, MAX_CERTIFICATE_BYTES};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::asn1::ObjectIdentifier;
use der::{Decode as _, Reader as _};
use jiff::Timestamp;
use std::fmt;
use std::ops::Range;
use std::time::Duration;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName, SubjectKeyIdentifier,
};
use x509_cert::name::Name;
use x509_cert::time::Time;

/// Most certificates in one PEM file: a bundle of roots.
const MAX_PEM_CERTIFICATES: usize = 1_024;

const SUBJECT_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
/// Understood in that any policy is accepted, and the names and keys it repeats decide nothing.
const WITHOUT_EFFECT: [ObjectIdentifier; 3] = [
    ObjectIdentifier::new_unwrap("2.5.29.18"),
    ObjectIdentifier::new_unwrap("2.5.29.32"),
    ObjectIdentifier::new_unwrap("2.5.29.35"),
];

/// A certificate. That it reads says nothing about who made it.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    /// Where in `der` the part lies that the issuer signed.
    signed: Range<usize>,
    x509: x509_cert::Certificate,
    pub(crate) extensions: Extensions,
    not_before: Timestamp,
    not_after: Timestamp,
}

/// The extensions that decide something.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Extensions {
    pub(crate) basic_constraints: Option<BasicConstraints>,
    pub(crate) key_usage: Option<KeyUsage>,
    pub(crate) extended_key_usage: Option<Usages>,
    pub(crate) key_id: Option<Vec<u8>>,
    pub(crate) alternative_names: Vec<GeneralName>,
    pub(crate) unknown_critical: Option<ObjectIdentifier>,
}

/// Extended key usage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Usages {
    pub(crate) critical: bool,
    pub(crate) purposes: Vec<ObjectIdentifier>,
}

impl Certificate {
    /// Reads one certificate.
    ///
    /// # Errors
    /// [`Error::Malformed`], also when an extension occurs twice; [`Error::OverLimit`].
    pub fn from_der(bytes: &[u8]) -> Result<Self, Error> {
        const WHAT: &str = "certificate";
        if bytes.len() > MAX_CERTIFICATE_BYTES {
            return Err(Error::OverLimit {
                what: "bytes of a certificate",
                limit: MAX_CERTIFICATE_BYTES,
            });
        }
        let signed = asn1::sequence(bytes, |reader| {
            let from = usize::try_from(reader.offset()).map_err(|_| Fault::Rule("too long"))?;
            let signed = reader.tlv_bytes()?.len();
            // The algorithm and the signature.
            reader.tlv_bytes()?;
            reader.tlv_bytes()?;
            Ok(from..from + signed)
        })
        .map_err(|fault| fault.of(WHAT))?;
        let x509 = x509_cert::Certificate::from_der(bytes)
            .map_err(|error| Error::malformed(WHAT, error))?;
        let tbs = x509.tbs_certificate();
        if tbs.signature() != x509.signature_algorithm() {
            let why = "the signature algorithm is named twice, differently";
            return Err(Error::malformed(WHAT, why));
        }
        let extensions = tbs.extensions().map_or(&[][..], Vec::as_slice);
        let validity = tbs.validity();
        Ok(Self {
            der: bytes.to_vec(),
            signed,
            extensions: Extensions::read(extensions).map_err(|fault| fault.of(WHAT))?,
            not_before: time(validity.not_before)?,
            not_after: time(validity.not_after)?,
            x509,
        })
    }

    /// Reads every certificate of a PEM file (RFC 7468); text between them is skipped.
    ///
    /// # Errors
    /// When one of them does not read, or there is none.
    pub fn from_pem(text: &str) -> Result<Vec<Self>, Error> {
        const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
        const END: &str = "-----END CERTIFICATE-----";
        let malformed = |why| Error::malformed("PEM file", why);
        let mut certificates = Vec::new();
        let mut rest = text;
        while let Some((_, after)) = rest.split_once(BEGIN) {
            let (body, after) = after
                .split_once(END)
                .ok_or_else(|| malformed("a certificate without an end"))?;
            rest = after;
            if certificates.len() == MAX_PEM_CERTIFICATES {
                return Err(Error::OverLimit {
                    what: "certificates in a PEM file",
                    limit: MAX_PEM_CERTIFICATES,
                });
            }
            let body: String = body.split_ascii_whitespace().collect();
            let bytes = STANDARD
                .decode(body)
                .map_err(|_| malformed("a certificate that is not base64"))?;
            certificates.push(Self::from_der(&bytes)?);
        }
        if certificates.is_empty() {
            return Err(malformed("no certificate"));
        }
        Ok(certificates)
    }

    /// The certificate, encoded.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// The certificate as PEM, with a line feed at the end.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let base64 = STANDARD.encode(&self.der);
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        for (at, letter) in base64.chars().enumerate() {
            if at > 0 && at % 64 == 0 {
                pem.push('\n');
            }
            pem.push(letter);
        }
        pem.push_str("\n-----END CERTIFICATE-----\n");
        pem
    }

    /// Whom it names, as RFC 4514 writes it.
    #[must_use]
    pub fn subject(&self) -> String {
        self.subject_name().to_string()
    }

    /// Who issued it, as RFC 4514 writes it.
    #[must_use]
    pub fn issuer(&self) -> String {
        self.issuer_name().to_string()
    }

    /// Its serial number: big-endian, two's complement.
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        self.x509.tbs_certificate().serial_number().as_bytes()
    }

    /// First moment of its validity.
    #[must_use]
    pub const fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// Last moment of its validity.
    #[must_use]
    pub const fn not_after(&self) -> Timestamp {
        self.not_after
    }

    pub(crate) fn subject_name(&self) -> &Name {
        self.x509.tbs_certificate().subject()
    }

    pub(crate) fn issuer_name(&self) -> &Name {
        self.x509.tbs_certificate().issuer()
    }

    pub(crate) const fn x509(&self) -> &x509_cert::Certificate {
        &self.x509
    }

    /// What the issuer signed.
    pub(crate) fn signed_part(&self) -> &[u8] {
        self.der.get(self.signed.clone()).unwrap_or_default()
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Certificate({}, {})",
            self.subject(),
            hex::encode(self.serial())
        )
    }
}

fn time(time: Time) -> Result<Timestamp, Error> {
    let since_epoch: Duration = time.to_unix_duration();
    i64::try_from(since_epoch.as_secs())
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .ok_or_else(|| Error::malformed("certificate", "a validity beyond the calendar"))
}

impl Extensions {
    fn read(extensions: &[Extension]) -> Result<Self, Fault> {
        let mut read = Self::default();
        for (at, extension) in extensions.iter().enumerate() {
            let oid = extension.extn_id;
            if extensions
                .iter()
                .skip(at + 1)
                .any(|other| other.extn_id == oid)
            {
                return Err(Fault::Rule("an extension occurs twice"));
            }
            let value = extension.extn_value.as_bytes();
            match oid {
                BASIC_CONSTRAINTS => {
                    read.basic_constraints = Some(BasicConstraints::from_der(value)?);
                }
                KEY_USAGE => read.key_usage = Some(KeyUsage::from_der(value)?),
                EXTENDED_KEY_USAGE => {
                    read.extended_key_usage = Some(Usages {
                        critical: extension.critical,
                        purposes: ExtendedKeyUsage::from_der(value)?.0,
                    });
                }
                SUBJECT_KEY_ID => {
                    let id = SubjectKeyIdentifier::from_der(value)?;
                    read.key_id = Some(id.0.as_bytes().to_vec());
                }
                SUBJECT_ALT_NAME => read.alternative_names = SubjectAltName::from_der(value)?.0,
                _ if extension.critical && !WITHOUT_EFFECT.contains(&oid) => {
                    read.unknown_critical.get_or_insert(oid);
                }
                _ => {}
            }
        }
        Ok(read)
    }
}
