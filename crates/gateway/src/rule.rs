//! When a chunk of an answer is released to the agent, decided by the answer's head.

use crate::relay::Pace;
use http::HeaderMap;

/// The rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// At once; durable soon after.
    Stream,
    /// Each when it is durable.
    Strict,
    /// Gathered while it comes without a pause; released when durable.
    Gather,
}

impl Rule {
    /// Which rule an answer is released under. `declared`: the length its head declares.
    pub(crate) fn of(pace: Pace, strict: bool, headers: &HeaderMap, declared: Option<u64>) -> Rule {
        let (streams, strict) = match pace {
            Pace::Strict => (false, true),
            Pace::Auto { streams } => (streams, strict),
        };
        let media = headers
            .get(http::header::CONTENT_TYPE)
            .map_or(&b""[..], http::HeaderValue::as_bytes);
        let media = media
            .split(|byte| *byte == b';')
            .next()
            .unwrap_or_default()
            .trim_ascii()
            .to_ascii_lowercase();
        let is_json = media == b"application/json" || media.ends_with(b"+json");
        let is_stream = matches!(
            media.as_slice(),
            b"text/event-stream"
                | b"application/x-ndjson"
                | b"application/jsonl"
                | b"application/vnd.amazon.eventstream"
        );
        if !(is_stream || streams || (declared.is_none() && !is_json)) {
            Rule::Gather
        } else if strict {
            Rule::Strict
        } else {
            Rule::Stream
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{CONTENT_TYPE, HeaderValue};

    #[test]
    fn the_rule_follows_from_the_head() {
        let auto = Pace::Auto { streams: false };
        let asked = Pace::Auto { streams: true };
        for (pace, strict, media, declared, expected) in [
            (
                auto,
                false,
                "text/event-stream; charset=utf-8",
                None,
                Rule::Stream,
            ),
            (auto, false, "Text/Event-Stream", Some(10), Rule::Stream),
            (auto, true, "text/event-stream", None, Rule::Strict),
            (auto, false, "application/json", None, Rule::Gather),
            (auto, false, "application/json", Some(10), Rule::Gather),
            (asked, false, "application/json", None, Rule::Stream),
            (auto, false, "application/problem+json", None, Rule::Gather),
            (
                auto,
                false,
                "application/octet-stream",
                Some(10),
                Rule::Gather,
            ),
            (auto, false, "application/octet-stream", None, Rule::Stream),
            (
                auto,
                false,
                "application/vnd.amazon.eventstream",
                None,
                Rule::Stream,
            ),
            (auto, true, "application/json", Some(10), Rule::Gather),
            (
                Pace::Strict,
                false,
                "application/json",
                Some(10),
                Rule::Gather,
            ),
            (Pace::Strict, false, "text/event-stream", None, Rule::Strict),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(media))]);
            assert_eq!(
                Rule::of(pace, strict, &headers, declared),
                expected,
                "{pace:?} {strict} {media} {declared:?}"
            );
        }
    }
}
