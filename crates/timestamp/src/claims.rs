//! What a token says: TSTInfo of RFC 3161 section 2.4.2.

use crate::asn1::{self, Fault, Read};
use crate::digest::RawImprint;
use crate::request::Nonce;
use crate::time::{self, Accuracy, Bracket};
use crate::{Error, Imprint};
use der::asn1::ObjectIdentifier;
use der::{Decode as _, Reader as _, SliceReader, Tag};
use jiff::Timestamp;
use std::fmt;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;

/// Longest serial number that is read; RFC 3161 asks for 160 bits.
const MAX_SERIAL_BYTES: usize = 64;
const MAX_EXTENSIONS: usize = 16;

/// A number that the authority gives each token. Printed in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Serial(Vec<u8>);

impl Serial {
    /// The content octets of its INTEGER: big-endian, two's complement, shortest.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

/// What a token says. Worth nothing until [`Token::verify`] returned it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// When the authority saw the imprint.
    pub gen_time: Timestamp,
    /// How exact that is, where the authority says so.
    pub accuracy: Option<Accuracy>,
    /// Any two tokens of this authority can be ordered by their times alone.
    pub ordering: bool,
    /// What was stamped.
    pub imprint: Imprint,
    /// The token's number.
    pub serial: Serial,
    /// The policy under which the authority made it.
    pub policy: ObjectIdentifier,
    /// The nonce of the request.
    pub nonce: Option<Nonce>,
    /// The authority by its name for itself.
    pub authority: Option<AuthorityName>,
}

impl Claims {
    /// Reads a TSTInfo, the content of a token.
    pub(crate) fn from_der(content: &[u8]) -> Result<Self, Error> {
        let (raw, imprint) = asn1::sequence(content, tst_info)
            .map_err(|fault| fault.of("time-stamp information"))?;
        if let Some(oid) = raw.critical_extension {
            return Err(Error::UnknownCriticalExtension {
                subject: "time-stamp".to_owned(),
                oid,
            });
        }
        Ok(Self {
            gen_time: raw.gen_time,
            accuracy: raw.accuracy,
            ordering: raw.ordering,
            imprint: imprint.judge()?,
            serial: raw.serial,
            policy: raw.policy,
            nonce: raw.nonce,
            authority: raw.authority,
        })
    }

    /// The interval in which the moment lies. `unstated` is the accuracy to assume where the authority
    /// states none: its policy document says it, nothing in the token does.
    #[must_use]
    pub fn bracket(&self, unstated: Accuracy) -> Bracket {
        Bracket::around(self.gen_time, self.accuracy.unwrap_or(unstated))
    }
}

/// The name of an authority in its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityName(GeneralName);

impl AuthorityName {
    pub(crate) const fn general(&self) -> &GeneralName {
        &self.0
    }
}

impl fmt::Display for AuthorityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            GeneralName::DirectoryName(name) => write!(f, "{name}"),
            GeneralName::Rfc822Name(text)
            | GeneralName::DnsName(text)
            | GeneralName::UniformResourceIdentifier(text) => f.write_str(text.as_str()),
            GeneralName::RegisteredId(oid) => write!(f, "{oid}"),
            _ => f.write_str("a name of another kind"),
        }
    }
}

struct RawInfo {
    policy: ObjectIdentifier,
    serial: Serial,
    gen_time: Timestamp,
    accuracy: Option<Accuracy>,
    ordering: bool,
    nonce: Option<Nonce>,
    authority: Option<AuthorityName>,
    critical_extension: Option<ObjectIdentifier>,
}

fn tst_info<'a>(reader: &mut SliceReader<'a>) -> Read<(RawInfo, RawImprint<'a>)> {
    if u8::decode(reader)? != 1 {
        return Err(Fault::Rule("the version is not 1"));
    }
    let policy = ObjectIdentifier::decode(reader)?;
    let imprint = RawImprint::read(reader)?;
    let serial = asn1::integer(reader)?;
    if serial.len() > MAX_SERIAL_BYTES {
        return Err(Fault::Rule("the serial number is too long"));
    }
    let gen_time = time::gen_time(asn1::required(reader, Tag::GeneralizedTime)?.value())?;
    let accuracy = asn1::optional(reader, Tag::Sequence)?
        .map(|value| Accuracy::read(value.value()))
        .transpose()?;
    let ordering = asn1::optional(reader, Tag::Boolean)?
        .map(|value| value.decode_as())
        .transpose()?
        .unwrap_or(false);
    let nonce = if !reader.is_finished() && Tag::peek(reader)? == Tag::Integer {
        Some(Nonce::from_content(asn1::integer(reader)?)?)
    } else {
        None
    };
    let authority = asn1::context(reader, 0, true)?
        .map(|value| GeneralName::from_der(value.value()).map(AuthorityName))
        .transpose()?;
    let critical_extension = match asn1::context(reader, 1, true)? {
        Some(extensions) => critical_extension(extensions.value())?,
        None => None,
    };
    let info = RawInfo {
        policy,
        serial: Serial(serial.to_vec()),
        gen_time,
        accuracy,
        ordering,
        nonce,
        authority,
        critical_extension,
    };
    Ok((info, imprint))
}

/// The first critical extension; none is understood. Those of the qualified-statements kind (ETSI EN
/// 319 422) are not critical.
fn critical_extension(bytes: &[u8]) -> Read<Option<ObjectIdentifier>> {
    for bytes in asn1::values(bytes, MAX_EXTENSIONS)? {
        let extension = Extension::from_der(bytes)?;
        if extension.critical {
            return Ok(Some(extension.extn_id));
        }
    }
    Ok(None)
}
