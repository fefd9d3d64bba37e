//! Points in time as people and scripts write and read them. Always UTC, always with the `Z`.

use jiff::{SignedDuration, Timestamp};

/// A point in time as a person typed it: RFC 3339, or how long ago (`15m`, `-2h`, `1d`).
///
/// `now` is what "ago" counts from. A date alone (`2026-11-21`) is its first instant in UTC.
pub(crate) fn since(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Some(ago) = ago(text.strip_prefix('-').unwrap_or(text)) {
        return now.checked_sub(ago).ok();
    }
    text.parse()
        .ok()
        .or_else(|| format!("{text}T00:00:00Z").parse().ok())
        .or_else(|| format!("{text}Z").parse().ok())
}

fn ago(text: &str) -> Option<SignedDuration> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(split)?;
    let number: i64 = number.parse().ok()?;
    let seconds = match unit {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    Some(SignedDuration::from_secs(number.checked_mul(seconds)?))
}

/// The time of an event; `None` if it is not RFC 3339.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// `2026-11-21T03:07:41.123Z`.
pub(crate) fn millis(time: Timestamp) -> String {
    format!("{time:.3}")
}

/// An event's time to the millisecond; the text itself where it is no time.
pub(crate) fn shorten(text: &str) -> String {
    parse(text).map_or_else(|| text.to_owned(), millis)
}

/// A duration as a person reads it: `840 us`, `12 ms`, `3.4 s`, `2 min 05 s`, `3 h 04 min`.
pub(crate) fn span_us(us: u64) -> String {
    let tenths = |value: u64, unit: u64| format!("{}.{}", value / unit, value % unit * 10 / unit);
    match us {
        0..1_000 => format!("{us} us"),
        1_000..10_000 => format!("{} ms", tenths(us, 1_000)),
        10_000..1_000_000 => format!("{} ms", us / 1_000),
        1_000_000..60_000_000 => format!("{} s", tenths(us, 1_000_000)),
        60_000_000..3_600_000_000 => {
            let s = us / 1_000_000;
            format!("{} min {:02} s", s / 60, s % 60)
        }
        _ => {
            let min = us / 60_000_000;
            format!("{} h {:02} min", min / 60, min % 60)
        }
    }
}

/// Microseconds from `from` to `to`; nothing where the clock went backwards.
pub(crate) fn between_us(from: Timestamp, to: Timestamp) -> Option<u64> {
    u64::try_from(to.duration_since(from).as_micros()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_people_type_them() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("-15m", Some("2026-11-21T11:45:00Z")),
            ("15m", Some("2026-11-21T11:45:00Z")),
            ("2h", Some("2026-11-21T10:00:00Z")),
            ("1d", Some("2026-11-20T12:00:00Z")),
            ("1w", Some("2026-11-14T12:00:00Z")),
            ("30s", Some("2026-11-21T11:59:30Z")),
            ("2026-11-21T03:07:41Z", Some("2026-11-21T03:07:41Z")),
            ("2026-12-31T23:59:60Z", Some("2026-12-31T23:59:59Z")),
            (
                "2026-11-21T03:07:41.5+02:00",
                Some("2026-11-21T01:07:41.5Z"),
            ),
            ("2026-11-21T03:07:41", Some("2026-11-21T03:07:41Z")),
            ("2026-11-21", Some("2026-11-21T00:00:00Z")),
            ("yesterday", None),
            ("", None),
            ("-", None),
            ("15", None),
            ("15 parsecs", None),
            ("99999999999999999999d", None),
            ("9999999999999999d", None),
        ] {
            let expected = expected.map(|text| text.parse::<Timestamp>().unwrap());
            assert_eq!(since(text, now), expected, "{text}");
        }
    }

    #[test]
    fn durations_as_people_read_them() {
        for (us, expected) in [
            (0, "0 us"),
            (840, "840 us"),
            (1_250, "1.2 ms"),
            (12_345, "12 ms"),
            (3_456_000, "3.4 s"),
            (125_000_000, "2 min 05 s"),
            (11_040_000_000, "3 h 04 min"),
        ] {
            assert_eq!(span_us(us), expected);
        }
    }

    #[test]
    fn times_are_shown_in_utc_to_the_millisecond() {
        assert_eq!(
            shorten("2026-11-21T03:07:41.123456789Z"),
            "2026-11-21T03:07:41.123Z"
        );
        assert_eq!(shorten("no time"), "no time");
    }
}
