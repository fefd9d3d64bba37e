//! The time in a token and how exact it claims to be.

use crate::asn1::{self, Fault, Read};
use der::asn1::UintRef;
use der::{DecodeValue as _, Reader as _, SliceReader, Tag};
use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};

/// How far the true time may be from the stated one, to both sides (RFC 3161 section 2.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Accuracy {
    /// Whole seconds.
    pub seconds: u64,
    /// Milliseconds, 0 to 999.
    pub millis: u16,
    /// Microseconds, 0 to 999.
    pub micros: u16,
}

impl Accuracy {
    /// As one duration; what does not fit is the largest duration.
    #[must_use]
    pub fn as_duration(self) -> SignedDuration {
        let micros = i64::from(self.millis) * 1_000 + i64::from(self.micros);
        i64::try_from(self.seconds)
            .ok()
            .and_then(|seconds| {
                SignedDuration::from_secs(seconds).checked_add(SignedDuration::from_micros(micros))
            })
            .unwrap_or(SignedDuration::MAX)
    }

    /// Reads `SEQUENCE { seconds INTEGER OPTIONAL, millis [0] (1..999), micros [1] (1..999) }`.
    pub(crate) fn read(bytes: &[u8]) -> Read<Self> {
        asn1::all(bytes, |reader| {
            let seconds = match asn1::optional(reader, Tag::Integer)? {
                Some(value) => small(value.decode_as::<UintRef<'_>>()?.as_bytes())?,
                None => 0,
            };
            let millis = fraction(reader, 0)?;
            let micros = fraction(reader, 1)?;
            Ok(Self {
                seconds,
                millis,
                micros,
            })
        })
    }
}

fn small(octets: &[u8]) -> Read<u64> {
    if octets.len() > 8 {
        return Err(Fault::Rule("an accuracy of more seconds than 64 bits hold"));
    }
    Ok(octets
        .iter()
        .fold(0, |value, &octet| value << 8 | u64::from(octet)))
}

fn fraction(reader: &mut SliceReader<'_>, number: u32) -> Read<u16> {
    let Some(value) = asn1::context(reader, number, false)? else {
        return Ok(0);
    };
    let mut content = SliceReader::new(value.value())?;
    let header = value.header();
    let octets = UintRef::decode_value(&mut content, header)?;
    content.finish()?;
    match small(octets.as_bytes())? {
        value @ 1..=999 => u16::try_from(value).map_err(|_| Fault::Rule("accuracy out of range")),
        _ => Err(Fault::Rule("milliseconds or microseconds outside 1 to 999")),
    }
}

/// The interval that a time-stamp puts around the moment it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Bracket {
    /// Not before this.
    pub earliest: Timestamp,
    /// Not after this.
    pub latest: Timestamp,
}

impl Bracket {
    /// `time` less and plus `accuracy`, within what a time can be.
    #[must_use]
    pub fn around(time: Timestamp, accuracy: Accuracy) -> Self {
        let duration = accuracy.as_duration();
        Self {
            earliest: time.checked_sub(duration).unwrap_or(Timestamp::MIN),
            latest: time.checked_add(duration).unwrap_or(Timestamp::MAX),
        }
    }
}

/// Reads GeneralizedTime as RFC 3161 section 2.4.2 restricts it: `YYYYMMDDhhmmss[.s...]Z`, no zero
/// at the end of the fraction; to the nanosecond.
pub(crate) fn gen_time(octets: &[u8]) -> Read<Timestamp> {
    const SHAPE: Fault = Fault::Rule("genTime is not YYYYMMDDhhmmss[.s...]Z");
    let text = str::from_utf8(octets).map_err(|_| SHAPE)?;
    let text = text.strip_suffix('Z').ok_or(SHAPE)?;
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    if whole.len() != 14 || !whole.bytes().all(|b| b.is_ascii_digit()) {
        return Err(SHAPE);
    }
    let part = |from: usize, to: usize| whole.get(from..to).and_then(|digits| digits.parse().ok());
    let two = |from: usize| part(from, from + 2).and_then(|value: i16| i8::try_from(value).ok());
    let (Some(year), Some(month), Some(day), Some(hour), Some(minute), Some(second)) =
        (part(0, 4), two(4), two(6), two(8), two(10), two(12))
    else {
        return Err(SHAPE);
    };
    let nanos = match fraction {
        None => 0,
        Some(fraction) => nanoseconds(fraction)?,
    };
    civil::DateTime::new(year, month, day, hour, minute, second, nanos)
        .and_then(|time| TimeZone::UTC.to_timestamp(time))
        .map_err(|_| Fault::Rule("genTime is no time of the calendar"))
}

fn nanoseconds(fraction: &str) -> Read<i32> {
    if fraction.is_empty() || fraction.ends_with('0') {
        return Err(Fault::Rule(
            "the fraction of genTime is empty or ends with 0",
        ));
    }
    if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Fault::Rule(
            "the fraction of genTime is finer than a nanosecond",
        ));
    }
    format!("{fraction:0<9}")
        .parse()
        .map_err(|_| Fault::Rule("the fraction of genTime is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gen_time_has_one_spelling() {
        let good = [
            ("20240229235959Z", "2024-02-29T23:59:59Z"),
            ("19990609001326.34352Z", "1999-06-09T00:13:26.34352Z"),
            (
                "20260101000000.000000001Z",
                "2026-01-01T00:00:00.000000001Z",
            ),
        ];
        for (text, expected) in good {
            let time = gen_time(text.as_bytes()).ok().map(|time| time.to_string());
            assert_eq!(time.as_deref(), Some(expected), "{text}");
        }
        let bad = [
            "",
            "Z",
            "20240229235959",
            "202402292359Z",
            "20240229235959.Z",
            "20240229235959.10Z",
            "20240229235959.1234567891Z",
            "20240230000000Z",
            "20240229240000Z",
            "20240229235960Z",
            "20240229235959+0000",
            "2024 229235959Z",
            "+0240229235959Z",
            "20240229235959,5Z",
            "20240229235959.-1Z",
        ];
        for text in bad {
            assert!(gen_time(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_bracket_stays_within_time() {
        let accuracy = Accuracy {
            seconds: 1,
            millis: 500,
            micros: 250,
        };
        let bracket = Bracket::around(Timestamp::UNIX_EPOCH, accuracy);
        assert_eq!(bracket.earliest.as_microsecond(), -1_500_250);
        assert_eq!(bracket.latest.as_microsecond(), 1_500_250);
        let endless = Accuracy {
            seconds: u64::MAX,
            ..Accuracy::default()
        };
        let bracket = Bracket::around(Timestamp::UNIX_EPOCH, endless);
        assert_eq!(
            (bracket.earliest, bracket.latest),
            (Timestamp::MIN, Timestamp::MAX)
        );
    }

    #[test]
    fn accuracy_is_bounded() {
        type Case = (&'static [u8], Option<(u64, u16, u16)>);
        let cases: &[Case] = &[
            (&[], Some((0, 0, 0))),
            (&[2, 1, 1], Some((1, 0, 0))),
            (
                &[2, 1, 1, 0x80, 2, 1, 0xf4, 0x81, 1, 100],
                Some((1, 500, 100)),
            ),
            (&[0x81, 1, 1], Some((0, 0, 1))),
            (&[0x80, 1, 0], None),
            (&[0x80, 2, 3, 0xe8], None),
            (&[2, 1, 0xff], None),
            (&[0x81, 1, 1, 0x80, 1, 1], None),
            (&[2, 1, 1, 2, 1, 1], None),
        ];
        for (octets, expected) in cases {
            let read = Accuracy::read(octets)
                .ok()
                .map(|a| (a.seconds, a.millis, a.micros));
            assert_eq!(read, *expected, "{octets:?}");
        }
    }
}
