//! Strict DER, read field by field.
//!
//! The structures of CMS and RFC 3161 are read by hand and not into ready types: what is signed must
//! be hashed as it came, and a decoder that sorts a SET or keeps whole seconds only loses that.

use crate::Error;
use der::asn1::{AnyRef, IntRef, ObjectIdentifier};
use der::{Decode as _, Reader as _, SliceReader, Tag, TagNumber};

/// Why a structure was refused, before it is known which one.
pub(crate) enum Fault {
    Der(der::Error),
    Rule(&'static str),
    /// More elements than this.
    TooMany(usize),
}

impl From<der::Error> for Fault {
    fn from(error: der::Error) -> Self {
        Self::Der(error)
    }
}

impl Fault {
    pub(crate) fn of(self, what: &'static str) -> Error {
        match self {
            Self::Der(error) => Error::malformed(what, error),
            Self::Rule(rule) => Error::malformed(what, rule),
            Self::TooMany(limit) => Error::OverLimit { what, limit },
        }
    }
}

pub(crate) type Read<T> = Result<T, Fault>;

/// Reads all of `bytes`; anything left over is refused.
pub(crate) fn all<'a, T>(
    bytes: &'a [u8],
    read: impl FnOnce(&mut SliceReader<'a>) -> Read<T>,
) -> Read<T> {
    let mut reader = SliceReader::new(bytes)?;
    let value = read(&mut reader)?;
    reader.finish()?;
    Ok(value)
}

/// Reads the one SEQUENCE that `bytes` is.
pub(crate) fn sequence<'a, T>(
    bytes: &'a [u8],
    read: impl FnOnce(&mut SliceReader<'a>) -> Read<T>,
) -> Read<T> {
    all(bytes, |reader| reader.sequence(read))
}

/// The next value, when it has this tag.
pub(crate) fn optional<'a>(reader: &mut SliceReader<'a>, tag: Tag) -> Read<Option<AnyRef<'a>>> {
    if reader.is_finished() || Tag::peek(reader)? != tag {
        return Ok(None);
    }
    Ok(Some(AnyRef::decode(reader)?))
}

/// The next value, when it is `[number]`.
pub(crate) fn context<'a>(
    reader: &mut SliceReader<'a>,
    number: u32,
    constructed: bool,
) -> Read<Option<AnyRef<'a>>> {
    optional(reader, TagNumber(number).context_specific(constructed))
}

/// The next value, which must have this tag.
pub(crate) fn required<'a>(reader: &mut SliceReader<'a>, tag: Tag) -> Read<AnyRef<'a>> {
    let value = AnyRef::decode(reader)?;
    value.header().tag().assert_eq(tag)?;
    Ok(value)
}

/// The values within `bytes`, each whole, at most `limit`.
pub(crate) fn values(bytes: &[u8], limit: usize) -> Read<Vec<&[u8]>> {
    all(bytes, |reader| {
        let mut values = Vec::new();
        while !reader.is_finished() {
            if values.len() == limit {
                return Err(Fault::TooMany(limit));
            }
            values.push(reader.tlv_bytes()?);
        }
        Ok(values)
    })
}

/// As [`values`], of a SET OF: in the order that DER demands, no element twice.
pub(crate) fn sorted_values(bytes: &[u8], limit: usize) -> Read<Vec<&[u8]>> {
    let values = values(bytes, limit)?;
    if values.is_sorted_by(|a, b| a < b) {
        return Ok(values);
    }
    Err(Fault::Rule("a SET OF is not in the order of DER"))
}

/// The content octets of an INTEGER in its shortest form: big-endian, two's complement.
pub(crate) fn integer<'a>(reader: &mut SliceReader<'a>) -> Read<&'a [u8]> {
    Ok(IntRef::decode(reader)?.as_bytes())
}

/// An AlgorithmIdentifier.
#[derive(Clone, Copy)]
pub(crate) struct Algorithm<'a> {
    pub(crate) oid: ObjectIdentifier,
    pub(crate) parameters: Option<AnyRef<'a>>,
}

impl<'a> Algorithm<'a> {
    pub(crate) fn read(reader: &mut SliceReader<'a>) -> Read<Self> {
        reader.sequence(Self::read_fields)
    }

    pub(crate) fn read_fields(reader: &mut SliceReader<'a>) -> Read<Self> {
        let oid = ObjectIdentifier::decode(reader)?;
        let parameters = if reader.is_finished() {
            None
        } else {
            Some(AnyRef::decode(reader)?)
        };
        Ok(Self { oid, parameters })
    }

    /// No parameters, or NULL: what hash functions and most signatures have.
    pub(crate) fn is_plain(&self) -> bool {
        self.parameters.is_none_or(AnyRef::is_null)
    }
}

/// One DER value of the given identifier octet.
pub(crate) fn encode(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 6);
    out.push(tag);
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let octets = length.to_be_bytes();
            let zeros = octets.iter().take_while(|&&octet| octet == 0).count();
            out.push(0x80 | u8::try_from(octets.len() - zeros).unwrap_or(8));
            out.extend(octets.iter().skip(zeros));
        }
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const NULL: &[u8] = &[0x05, 0x00];
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;
