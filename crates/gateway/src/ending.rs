//! How relaying an answer ended, and which terminal state that is.

use crate::refusal::Cause;
use crate::relay::Verdict;
use event::{Outcome, State};
use std::io::ErrorKind;

/// How relaying ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The upstream ended it in good order.
    Whole,
    /// It broke off: the recorder's own word for how.
    Broken(&'static str),
    /// The agent went away.
    Gone,
    /// The agent went away after all that the answer says had left on its connection, before the upstream's end.
    Left,
    /// The upstream was silent for too long.
    Idle,
    /// The recorder stops.
    Stopped,
    /// It cannot be recorded, so it is not relayed further.
    Unrecorded,
}

impl End {
    /// Whether there is an agent that has yet to be given what arrived before the end.
    pub(crate) const fn is_broken_off(self) -> bool {
        matches!(self, Self::Broken(_) | Self::Idle | Self::Stopped)
    }

    /// The terminal state of an answer with this status, of which `received` bytes of a body arrived, with the reader's
    /// verdict on them.
    pub(crate) fn outcome(self, status: u16, received: u64, verdict: Verdict) -> Outcome {
        let new = |state, error: Option<String>, reason: Option<&str>| Outcome {
            state,
            error,
            reason: reason.map(str::to_owned),
        };
        let named = |name: &str| Some(name.to_owned());
        match self {
            Self::Gone => new(State::ClientAborted, None, None),
            Self::Idle => new(
                State::Expired,
                named("idle_timeout"),
                Some("the upstream was silent in mid-answer"),
            ),
            Self::Stopped => new(
                State::Expired,
                named("shutdown"),
                Some("the recorder stopped"),
            ),
            Self::Unrecorded => not_recorded(),
            Self::Broken(what) if received == 0 => {
                new(State::UpstreamError, named(what), Some("no body arrived"))
            }
            Self::Broken(what) => new(
                State::StreamError,
                verdict.stream_error.or_else(|| named(what)),
                None,
            ),
            Self::Whole | Self::Left if status >= 400 || verdict.error.is_some() => new(
                State::UpstreamError,
                verdict.error.or_else(|| Some(format!("http_{status}"))),
                None,
            ),
            Self::Whole | Self::Left if verdict.stream_error.is_some() => {
                new(State::StreamError, verdict.stream_error, None)
            }
            Self::Whole if verdict.cut_short => new(
                State::StreamError,
                named("no_terminal_event"),
                Some("the stream ended without the event that ends it"),
            ),
            Self::Left => new(
                State::Completed,
                None,
                Some("the agent left with all of the answer, before the stream ended"),
            ),
            Self::Whole => new(State::Completed, None, None),
        }
    }
}

/// An answer that found no room in the record, so that it is not handed on.
pub(crate) fn not_recorded() -> Outcome {
    Outcome {
        state: State::StreamError,
        error: Some(Cause::NotRecorded.as_str().to_owned()),
        reason: Some("the recorder had no room for the answer".to_owned()),
    }
}

/// A call that found no room in the record, or not all of it, so that it was not forwarded.
pub(crate) fn unforwarded() -> Outcome {
    Outcome {
        state: State::Denied,
        error: Some(Cause::NotRecorded.as_str().to_owned()),
        reason: None,
    }
}

/// The recorder's own word for how a body broke.
pub(crate) fn broken(error: &hyper::Error) -> &'static str {
    let mut source = std::error::Error::source(error);
    let mut io = None;
    while let Some(cause) = source {
        io = cause
            .downcast_ref::<std::io::Error>()
            .map(std::io::Error::kind)
            .or(io);
        source = cause.source();
    }
    match io {
        Some(ErrorKind::UnexpectedEof) => "incomplete_body",
        Some(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => "connection_reset",
        Some(ErrorKind::InvalidData | ErrorKind::InvalidInput) => "malformed_body",
        _ if error.is_incomplete_message() => "incomplete_body",
        _ if error.is_parse() => "malformed_body",
        _ => "broken_body",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            (End::Left, 200, 5, none(), State::Completed, None),
            (
                End::Left,
                200,
                5,
                in_stream(),
                State::StreamError,
                Some("api_error"),
            ),
            (
                End::Left,
                200,
                5,
                error(),
                State::UpstreamError,
                Some("overloaded_error"),
            ),
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
            let got = end.outcome(status, received, verdict);
            assert_eq!(
                (got.state, got.error.as_deref()),
                (state, name),
                "{end:?} {status} {received}"
            );
        }
    }
}
