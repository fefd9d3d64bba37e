//! What settling and verification need of an event line, read without building the whole of it.

use event::{BodyRef, Line};
use memchr::memmem::Finder;
use std::sync::LazyLock;

const BODIES: &[u8] = br#","bodies":["#;
const CALL: &[u8] = br#""exchange":{"call":"#;

static FIND_BODIES: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(BODIES));
static FIND_CALL: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(CALL));

/// What an event is to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Opens,
    /// Closes the call that the event of this `seq` opened, if it says so.
    Closes(Option<u64>),
    /// Says that something was not recorded.
    Gap,
    /// Tells of the log itself: its keys, anchors, volumes, whom it encrypts to, what it goes on from.
    OfTheLog,
    Other,
}

/// The few fields that verification acts on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Glance {
    pub(crate) seq: u64,
    pub(crate) stream: u64,
    pub(crate) n: u64,
    pub(crate) part: Part,
    pub(crate) bodies: Vec<BodyRef>,
}

impl Glance {
    /// Looks at a line; a line that this version would have written otherwise is parsed whole.
    pub(crate) fn of(line: &[u8]) -> Result<Self, String> {
        Self::fast(line).map_or_else(|| Self::slow(line), Ok)
    }

    /// The fields stand in a fixed order at the head of every line that this version writes; inside
    /// a JSON string their quotes would be escaped, so what is found is a key.
    fn fast(line: &[u8]) -> Option<Self> {
        if line.len() > event::MAX_EVENT_BYTES {
            return None;
        }
        let (seq, rest) = position(line)?;
        let rest = text(rest.strip_prefix(br#","time":""#)?)?.1;
        let (_, rest) = number(rest.strip_prefix(br#","boot_ns":"#)?)?;
        let rest = text(rest.strip_prefix(br#","boot":""#)?)?.1;
        let (stream, rest) = number(rest.strip_prefix(br#","stream":"#)?)?;
        let (n, rest) = number(rest.strip_prefix(br#","n":"#)?)?;
        let (kind, rest) = text(rest.strip_prefix(br#","kind":""#)?)?;
        let (_, rest) = text(rest.strip_prefix(br#","source":""#)?)?;
        let rest = rest.strip_prefix(br#","basis":""#)?;
        let basis = [br#"observed""#.as_slice(), br#"reported""#];
        let rest = basis.iter().find_map(|basis| rest.strip_prefix(*basis))?;
        let list = FIND_BODIES
            .find(rest)
            .map(|at| rest.get(at + BODIES.len() - 1..rest.len() - 1));
        let bodies = match list {
            Some(list) => serde_json::from_slice(list?).ok()?,
            None => Vec::new(),
        };
        let call = || match FIND_CALL.find(rest) {
            Some(at) => Some(Some(number(rest.get(at + CALL.len()..)?)?.0)),
            None => Some(None),
        };
        rest.ends_with(b"}").then_some(Self {
            seq,
            stream,
            n,
            part: part(kind, call)?,
            bodies,
        })
    }

    fn slow(line: &[u8]) -> Result<Self, String> {
        let line = Line::parse(line).map_err(|error| error.to_string())?;
        let call = line.exchange.and_then(|exchange| exchange.call);
        Ok(Self {
            seq: line.seq,
            stream: line.stream,
            n: line.n,
            part: part(line.kind.as_bytes(), || Some(call)).unwrap_or(Part::Other),
            bodies: line.bodies,
        })
    }
}

/// The `seq` that a line of this version begins with; `None` for any other bytes.
pub(crate) fn seq(line: &[u8]) -> Option<u64> {
    let (seq, rest) = position(line)?;
    rest.starts_with(b",").then_some(seq)
}

fn position(line: &[u8]) -> Option<(u64, &[u8])> {
    number(line.strip_prefix(br#"{"v":1,"seq":"#)?)
}

/// `None` only when `call` is.
fn part(kind: &[u8], call: impl FnOnce() -> Option<Option<u64>>) -> Option<Part> {
    Some(match kind {
        b"gap" => Part::Gap,
        b"process.start" => Part::Opens,
        b"process.exit" => Part::Closes(call()?),
        b"vault.sealed" | b"log.successor" | b"recorder.start" => Part::OfTheLog,
        kind if kind.starts_with(b"anchor.") || kind.starts_with(b"key.") => Part::OfTheLog,
        kind if kind.ends_with(b".request") => Part::Opens,
        kind if kind.ends_with(b".response") => Part::Closes(call()?),
        _ => Part::Other,
    })
}

/// A number and what follows it.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    let mut rest = bytes;
    while let Some((digit @ b'0'..=b'9', after)) = rest.split_first() {
        value = value
            .checked_mul(10)?
            .checked_add(u64::from(digit - b'0'))?;
        rest = after;
    }
    (rest.len() < bytes.len()).then_some((value, rest))
}

/// The rest of a JSON string that reads as it is written, and what follows it.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (text, rest) = bytes.split_at_checked(memchr::memchr(b'"', bytes)?)?;
    let plain = |byte: &u8| (b' '..=b'~').contains(byte) & (*byte != b'\\');
    // All of it whatever is found, which takes many bytes at a time.
    let all = text.iter().fold(true, |all, byte| all & plain(byte));
    Some((text, rest.get(1..)?)).filter(|_| all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::{Draft, Exchange, Kind, Position, Role, Source};
    use proptest::prelude::*;

    fn line(draft: &Draft, seq: u64, stream: u64, n: u64) -> Vec<u8> {
        let position = Position {
            seq,
            time: "2026-11-22T03:05:50.123456789Z",
            boot_ns: 12_345_678,
            boot: "0f6c6f4e-8a5c-4d0e-9b7b-6f2d3c1b0a99",
            stream,
            n,
        };
        let mut out = Vec::new();
        position.write_line(&draft.seal().unwrap(), &mut out);
        out
    }

    #[test]
    fn only_a_line_of_this_version_begins_with_a_seq() {
        for (line, expected) in [
            (r#"{"v":1,"seq":0,"time""#, Some(0)),
            (r#"{"v":1,"seq":18446744073709551615,"#, Some(u64::MAX)),
            (r#"{"v":1,"seq":18446744073709551616,"#, None),
            (r#"{"v":1,"seq":7"#, None),
            (r#"{"v":1,"seq":7}"#, None),
            (r#"{"v":1,"seq":,"#, None),
            (r#"{"v":1,"seq":-1,"#, None),
            (r#"{"v":1,"seq":+1,"#, None),
            (r#"{"v":1,"seq":1.0,"#, None),
            (r#"{"v":1,"seq":"1","#, None),
            (r#"{"v":1,"seq": 1,"#, None),
            (r#" {"v":1,"seq":1,"#, None),
            (r#"{"v":,"seq":1,"#, None),
            (r#"{"v":2,"seq":1,"#, None),
            (r#"{"v":11,"seq":1,"#, None),
            (r#"{"seq":1,"v":1,"#, None),
            ("", None),
        ] {
            assert_eq!(seq(line.as_bytes()), expected, "{line}");
        }
    }

    proptest! {
        #[test]
        fn a_line_begins_with_the_seq_it_was_written_with(
            at in any::<u64>(), sealed in prop::collection::vec(any::<u8>(), 0..50), cut in any::<prop::sample::Index>(),
        ) {
            let position = Position { seq: at, time: "t", boot_ns: 1, boot: "b", stream: 0, n: 0 };
            let mut line = Vec::new();
            position.write_line(&sealed, &mut line);
            prop_assert_eq!(seq(&line), Some(at));
            let cut = cut.index(line.len());
            let found = seq(&line[..cut]);
            prop_assert!(found.is_none() || found == Some(at));
        }

        #[test]
        fn the_glance_sees_what_the_parser_sees(
            kind in prop::sample::select(Kind::ALL),
            (seq, stream, n) in any::<(u64, u64, u64)>(),
            call in any::<Option<u64>>(),
            bodies in prop::collection::vec((any::<u64>(), any::<u64>(), "[0-9a-f]{64}"), 0..3),
            text in any::<String>(),
        ) {
            let mut draft = Draft::new(kind, Source::Gateway);
            draft.agent = Some(event::Agent { name: text, client: Some(r#","bodies":[1],"#.into()) });
            draft.exchange = Some(Exchange { call, ..Exchange::default() });
            draft.bodies = bodies
                .into_iter()
                .map(|(id, len, commitment)| BodyRef {
                    role: Role::Request, id, len, commitment, media: None, encoding: None, truncated: 0,
                })
                .collect();
            let line = line(&draft, seq, stream, n);
            let fast = Glance::fast(&line);
            prop_assert!(fast.is_some());
            prop_assert_eq!(fast, Glance::slow(&line).ok());
        }

        #[test]
        fn a_line_that_is_odd_where_it_is_looked_at_is_what_the_parser_says(
            (from, to) in prop::sample::select(vec![
                (r#""kind":"gap""#, r#""kind":"g\u0061p""#),
                (r#""kind":"gap""#, "\"kind\":\"g\u{7}p\""),
                (r#""kind":"gap""#, r#""kind":"g\ap""#),
                (r#""source":"gateway""#, r#""source":7"#),
                (r#""source":"gateway""#, r#""source":"g\ud800""#),
                (r#""basis":"observed""#, r#""basis":"believed""#),
                (r#""basis":"observed""#, r#""basis":null"#),
                (r#","basis":"observed""#, ""),
                (r#""boot":""#, r#""boot":"\x"#),
                ("}", r#","padding":"PADDING"}"#),
            ]),
        ) {
            let line = line(&Draft::new(Kind::Gap, Source::Gateway), 1, 1, 0);
            let text = String::from_utf8(line).unwrap();
            prop_assert!(text.contains(from), "{}", text);
            let odd = text.replacen(from, to, 1).replace("PADDING", &"x".repeat(event::MAX_EVENT_BYTES));
            prop_assert_eq!(Glance::of(odd.as_bytes()).ok(), Glance::slow(odd.as_bytes()).ok());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            Glance::of(&bytes).ok();
            Glance::of(&[br#"{"v":1,"seq":"#, bytes.as_slice()].concat()).ok();
        }
    }
}
