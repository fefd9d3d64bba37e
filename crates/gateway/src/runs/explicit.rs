//! Ids that a request carries by itself: which run it says it belongs to.
//!
//! An id from the wire is used only when it is short and printable; anything else is ignored and
//! counted, never repaired, so that two different ids cannot become one.

use http::HeaderMap;

/// Longest id that is accepted from the wire, in bytes.
pub const MAX_ID_BYTES: usize = 128;

/// The ids of one request, as they stood on the wire. Nothing is validated here.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ids<'a> {
    /// The run that a wrapper named when it connected to the local socket.
    pub process: Option<&'a [u8]>,
    /// `x-tacho-run`.
    pub header: Option<&'a [u8]>,
    /// The id in `/run/{id}/` of the path.
    pub path: Option<&'a [u8]>,
    /// `x-claude-code-session-id`.
    pub claude_session: Option<&'a [u8]>,
    /// `x-claude-code-agent-id`: a sub-agent of the session.
    pub claude_agent: Option<&'a [u8]>,
    /// `x-claude-code-parent-agent-id`: the sub-agent that started it.
    pub claude_parent: Option<&'a [u8]>,
    /// `Mcp-Session-Id`, or the session in the query of a 2024-11-05 endpoint.
    pub mcp_session: Option<&'a [u8]>,
    /// W3C `traceparent`.
    pub traceparent: Option<&'a [u8]>,
}

impl<'a> Ids<'a> {
    /// The ids in a request's headers; `path` is the id the router found in the address.
    #[must_use]
    pub fn of(headers: &'a HeaderMap, path: Option<&'a str>) -> Self {
        let get = |name: &str| {
            let mut values = headers
                .get_all(name)
                .iter()
                .map(http::HeaderValue::as_bytes);
            let first = values.next()?;
            // Of two that differ neither is believed: the empty id is not acceptable.
            Some(if values.all(|value| value == first) {
                first
            } else {
                b""
            })
        };
        Self {
            process: None,
            header: get("x-tacho-run"),
            path: path.map(str::as_bytes),
            claude_session: get("x-claude-code-session-id"),
            claude_agent: get("x-claude-code-agent-id"),
            claude_parent: get("x-claude-code-parent-agent-id"),
            mcp_session: get("mcp-session-id"),
            traceparent: get("traceparent"),
        }
    }
}

/// What the ids say, validated.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// The run, by an id that is the run's name.
    pub(super) run: Option<Named>,
    /// The MCP session: it names a run, but is a credential and never becomes the run's id.
    pub(super) mcp_session: Option<String>,
    /// The trace id of `traceparent`.
    pub(super) trace: Option<String>,
    /// Ids that were ignored because they are not acceptable.
    pub(super) ignored: u32,
}

/// A run that was named.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) id: String,
    pub(super) by: &'static str,
    pub(super) parent: Option<String>,
}

/// Reads the ids in the order of their weight.
pub(super) fn read(ids: &Ids<'_>) -> Said {
    let mut ignored = 0;
    let process = accept(ids.process, &mut ignored);
    let header = accept(ids.header, &mut ignored);
    let path = accept(ids.path, &mut ignored);
    let session = accept(ids.claude_session, &mut ignored);
    let agent = accept(ids.claude_agent, &mut ignored);
    let parent = accept(ids.claude_parent, &mut ignored);
    let mcp_session = accept(ids.mcp_session, &mut ignored);
    let trace = match ids.traceparent {
        Some(bytes) => {
            let id = trace_id(bytes);
            ignored += u32::from(id.is_none());
            id
        }
        None => None,
    };

    let root = process
        .map(|id| (id, "process"))
        .or_else(|| header.map(|id| (id, "header")))
        .or_else(|| path.map(|id| (id, "path")))
        .or_else(|| session.map(|id| (id, "claude-code-session")));
    // A sub-agent is a run of its own beneath the run that the root id names.
    let run = root.map(|(root, by)| match agent {
        Some(agent) => Named {
            id: format!("{root}.{agent}"),
            by: "claude-code-session",
            parent: Some(parent.map_or_else(|| root.to_owned(), |p| format!("{root}.{p}"))),
        },
        None => Named {
            id: root.to_owned(),
            by,
            parent: None,
        },
    });
    Said {
        run,
        mcp_session: mcp_session.map(str::to_owned),
        trace,
        ignored,
    }
}

fn accept<'a>(bytes: Option<&'a [u8]>, ignored: &mut u32) -> Option<&'a str> {
    let id = acceptable(bytes?);
    *ignored += u32::from(id.is_none());
    id
}

/// An id that may name a run: visible ASCII, not empty, not longer than [`MAX_ID_BYTES`].
#[must_use]
pub fn acceptable(bytes: &[u8]) -> Option<&str> {
    if bytes.is_empty() || bytes.len() > MAX_ID_BYTES || !bytes.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    std::str::from_utf8(bytes).ok()
}

/// The trace-id of a W3C Trace Context `traceparent`: 32 lower-case hexadecimal digits, not all zero.
fn trace_id(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let mut parts = text.split('-');
    let (version, trace, parent) = (parts.next()?, parts.next()?, parts.next()?);
    let hex = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let valid = hex(version, 2)
        && version != "ff"
        && hex(trace, 32)
        && hex(parent, 16)
        && trace.bytes().any(|b| b != b'0');
    valid.then(|| trace.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(id: &str, by: &'static str, parent: Option<&str>) -> Option<Named> {
        Some(Named {
            id: id.into(),
            by,
            parent: parent.map(Into::into),
        })
    }

    #[test]
    fn the_weightiest_id_names_the_run() {
        let all = Ids {
            process: None,
            header: Some(b"h"),
            path: Some(b"p"),
            claude_session: Some(b"s"),
            ..Ids::default()
        };
        assert_eq!(read(&all).run, named("h", "header", None));
        assert_eq!(
            read(&Ids {
                header: None,
                ..all
            })
            .run,
            named("p", "path", None)
        );
        let session = Ids {
            header: None,
            path: None,
            ..all
        };
        assert_eq!(read(&session).run, named("s", "claude-code-session", None));
        let sub = Ids {
            claude_agent: Some(b"a"),
            ..session
        };
        assert_eq!(
            read(&sub).run,
            named("s.a", "claude-code-session", Some("s"))
        );
        let deeper = Ids {
            claude_parent: Some(b"b"),
            ..sub
        };
        assert_eq!(
            read(&deeper).run,
            named("s.a", "claude-code-session", Some("s.b"))
        );
        let wrapped = Ids {
            path: Some(b"p"),
            ..sub
        };
        assert_eq!(
            read(&wrapped).run,
            named("p.a", "claude-code-session", Some("p"))
        );
    }

    #[test]
    fn an_id_that_is_given_twice_counts_when_it_is_one() {
        for (second, expected) in [("one", named("one", "header", None)), ("two", None)] {
            let mut headers = HeaderMap::new();
            headers.append("x-tacho-run", http::HeaderValue::from_static("one"));
            headers.append("x-tacho-run", second.parse().unwrap());
            let said = read(&Ids::of(&headers, None));
            assert_eq!(said.ignored, u32::from(expected.is_none()), "{second}");
            assert_eq!(said.run, expected, "{second}");
        }
    }

    #[test]
    fn what_is_not_acceptable_is_ignored_and_counted() {
        let long = [b'x'; MAX_ID_BYTES + 1];
        for bad in [
            &b""[..],
            b"a b",
            b"a\x07",
            b"\xff",
            "\u{202e}".as_bytes(),
            &long,
        ] {
            let said = read(&Ids {
                header: Some(bad),
                ..Ids::default()
            });
            assert_eq!((said.run, said.ignored), (None, 1), "{bad:?}");
        }
        let longest = [b'x'; MAX_ID_BYTES];
        assert!(
            read(&Ids {
                header: Some(&longest),
                ..Ids::default()
            })
            .run
            .is_some()
        );
    }

    #[test]
    fn a_trace_id_is_read_as_the_standard_says() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        for (text, expected) in [
            (format!("00-{trace}-00f067aa0ba902b7-01"), Some(trace)),
            (format!("cc-{trace}-00f067aa0ba902b7-01-more"), Some(trace)),
            (format!("ff-{trace}-00f067aa0ba902b7-01"), None),
            (format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), None),
            (
                format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase()),
                None,
            ),
            ("00-abc".into(), None),
            (String::new(), None),
        ] {
            assert_eq!(trace_id(text.as_bytes()).as_deref(), expected, "{text}");
        }
    }
}
