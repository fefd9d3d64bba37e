//! Which rule an answer is released under, and which terminal state its end means.

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
            rule(pace, strict, &headers, declared),
            expected,
            "{pace:?} {strict} {media} {declared:?}"
        );
    }
}

#[test]
fn every_end_has_its_state() {
    let none = Verdict::default;
    let error = || Verdict {
        error: Some("overloaded_error".into()),
        ..none()
    };
    let in_stream = || Verdict {
        stream_error: Some("api_error".into()),
        ..none()
    };
    let cut_short = || Verdict {
        cut_short: true,
        ..none()
    };
    for (end, status, received, verdict, state, name) in [
        (End::Whole, 200, 5, none(), State::Completed, None),
        (End::Whole, 302, 0, none(), State::Completed, None),
        (
            End::Whole,
            529,
            5,
            error(),
            State::UpstreamError,
            Some("overloaded_error"),
        ),
        (
            End::Whole,
            404,
            0,
            none(),
            State::UpstreamError,
            Some("http_404"),
        ),
        (
            End::Whole,
            200,
            5,
            in_stream(),
            State::StreamError,
            Some("api_error"),
        ),
        (
            End::Whole,
            200,
            5,
            cut_short(),
            State::StreamError,
            Some("no_terminal_event"),
        ),
        (
            End::Broken("incomplete_body"),
            200,
            0,
            none(),
            State::UpstreamError,
            Some("incomplete_body"),
        ),
        (
            End::Broken("incomplete_body"),
            200,
            5,
            none(),
            State::StreamError,
            Some("incomplete_body"),
        ),
        (End::Gone, 200, 5, none(), State::ClientAborted, None),
        (End::Gone, 500, 5, error(), State::ClientAborted, None),
        (
            End::Idle,
            200,
            5,
            none(),
            State::Expired,
            Some("idle_timeout"),
        ),
        (
            End::Stopped,
            200,
            5,
            none(),
            State::Expired,
            Some("shutdown"),
        ),
        (
            End::Unrecorded,
            200,
            5,
            none(),
            State::StreamError,
            Some("not_recorded"),
        ),
    ] {
        let got = outcome(end, status, received, verdict);
        assert_eq!(
            (got.state, got.error.as_deref()),
            (state, name),
            "{end:?} {status} {received}"
        );
    }
}
