//! The `endpoint` event of the HTTP+SSE transport (revision 2024-11-05): the server tells the client, as the
//! first event of the GET stream, where to post.
//!
//! It must lead through the gateway whatever it says. A reference without a host resolves against the
//! address the client used, so its bytes stay as they are: the gateway remembers which of its own paths the
//! client will ask for, and answers there. A reference with a host would lead around the gateway: the host
//! is taken out of the released bytes, and a comment of the same length stands in for it, so that the stream keeps its
//! length. That is the one place where released bytes differ from received ones; the record holds what the server sent. A host
//! other than the server's own is not followed.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::Uri;

/// Longest beginning of a stream that is held back until its first event is whole.
const HELD_BYTES: usize = 16 * 1024;

/// What the server announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Announced {
    /// `scheme://host:port`, where there is one.
    pub(crate) origin: Option<String>,
    /// The rest of the reference.
    pub(crate) reference: String,
}

/// Watches the beginning of one GET stream.
#[derive(Debug, Default)]
pub(crate) struct Opening {
    held: BytesMut,
    done: bool,
}

impl Opening {
    /// What of the stream may be released now, and what was announced. Until the first event is whole, or is known not to
    /// be an announcement, it is held back.
    pub(crate) fn pass(&mut self, data: Bytes) -> (Bytes, Option<Announced>) {
        if self.done {
            return (data, None);
        }
        self.held.extend_from_slice(&data);
        match first_event(&self.held) {
            First::Partial if self.held.len() <= HELD_BYTES => (Bytes::new(), None),
            First::Announcement { data: at, end } if end <= self.held.len() => {
                self.done = true;
                let line = self.held.get(at.clone()).unwrap_or_default();
                let announced = read(&String::from_utf8_lossy(line));
                let (line_start, value_start) = (line_start(&self.held, at.start), at.start);
                let host = announced.origin.as_ref().map_or(0, String::len);
                let released = without_host(&self.held, line_start, value_start, host);
                (released, Some(announced))
            }
            _ => {
                self.done = true;
                (std::mem::take(&mut self.held).freeze(), None)
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum First {
    /// Not whole yet.
    Partial,
    /// An announcement: where its value lies, and where the event ends.
    Announcement {
        data: std::ops::Range<usize>,
        end: usize,
    },
    /// Something else.
    Other,
}

/// Looks at the first event of a stream; comments and empty lines before it do not count.
fn first_event(bytes: &[u8]) -> First {
    let (mut at, mut named, mut value) = (0, false, None);
    if bytes.starts_with(b"\xEF\xBB\xBF") {
        at = 3;
    }
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(len) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
            return First::Partial;
        };
        let line = rest.get(..len).unwrap_or_default();
        let ends_crlf = rest.get(len..len + 2) == Some(b"\r\n");
        let next = at + len + if ends_crlf { 2 } else { 1 };
        if line.is_empty() {
            match (named, value.clone()) {
                (true, Some(data)) => return First::Announcement { data, end: next },
                (false, None) => {}
                _ => return First::Other,
            }
        } else if let Some(name) = field(line, b"event") {
            if line.get(name) != Some(b"endpoint") {
                return First::Other;
            }
            named = true;
        } else if let Some(data) = field(line, b"data") {
            if value.is_some() {
                return First::Other;
            }
            value = Some(at + data.start..at + data.end);
        }
        at = next;
    }
}

/// Where the value of a field lies in its line.
fn field(line: &[u8], name: &[u8]) -> Option<std::ops::Range<usize>> {
    let rest = line.strip_prefix(name)?.strip_prefix(b":")?;
    let value = rest.strip_prefix(b" ").unwrap_or(rest);
    Some(line.len() - value.len()..line.len())
}

fn line_start(bytes: &[u8], at: usize) -> usize {
    let before = bytes.get(..at).unwrap_or_default();
    before
        .iter()
        .rposition(|byte| matches!(byte, b'\n' | b'\r'))
        .map_or(0, |newline| newline + 1)
}

/// Replaces the first `host` bytes of the value by a comment line of the same length before its line.
fn without_host(bytes: &[u8], line: usize, value: usize, host: usize) -> Bytes {
    let part = |range: std::ops::Range<usize>| bytes.get(range).unwrap_or_default();
    let mut out = BytesMut::with_capacity(bytes.len());
    out.put_slice(part(0..line));
    if host >= 2 {
        out.put_u8(b':');
        out.put_bytes(b' ', host - 2);
        out.put_u8(b'\n');
    }
    out.put_slice(part(line..value));
    out.put_slice(part(value + host..bytes.len()));
    out.freeze()
}

/// Takes a reference apart: RFC 3986, section 4.2.
fn read(value: &str) -> Announced {
    let after_scheme = value.find("://").map(|at| at + 3).filter(|at| {
        value.get(..at - 3).is_some_and(|scheme| {
            !scheme.is_empty()
                && scheme
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'+')
        })
    });
    let authority = after_scheme.or_else(|| value.starts_with("//").then_some(2));
    let Some(authority) = authority else {
        return Announced {
            origin: None,
            reference: value.to_owned(),
        };
    };
    let rest = value.get(authority..).unwrap_or_default();
    let host = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (origin, reference) = value
        .split_at_checked(authority + host)
        .unwrap_or((value, ""));
    Announced {
        origin: Some(origin.to_owned()),
        reference: reference.to_owned(),
    }
}

impl Announced {
    /// The path and query that the reference means, seen from `base`: RFC 3986, section 5.2.
    pub(crate) fn resolve(&self, base: &str) -> String {
        let reference = self.reference.split('#').next().unwrap_or_default();
        let base_path = base.split('?').next().unwrap_or_default();
        let (path, query) = match reference.find('?') {
            Some(at) => reference.split_at_checked(at).unwrap_or((reference, "")),
            None => (reference, ""),
        };
        let whole = if self.origin.is_some() || path.starts_with('/') {
            path.to_owned()
        } else if path.is_empty() {
            base_path.to_owned()
        } else {
            let directory = base_path
                .rfind('/')
                .and_then(|at| base_path.get(..=at))
                .unwrap_or("/");
            format!("{directory}{path}")
        };
        format!("{}{query}", without_dots(&whole))
    }

    /// Whether the reference stays with the server at `destination` (`scheme://host:port`).
    pub(crate) fn stays_with(&self, destination: &str) -> bool {
        let Some(origin) = &self.origin else {
            return true;
        };
        let scheme = destination.split(':').next().unwrap_or_default();
        let absolute = if origin.starts_with("//") {
            format!("{scheme}:{origin}")
        } else {
            origin.clone()
        };
        let Ok(uri) = absolute.parse::<Uri>() else {
            return false;
        };
        let (Some(of), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return false;
        };
        let port = uri
            .port_u16()
            .unwrap_or(if of == "https" { 443 } else { 80 });
        format!("{of}://{host}:{port}").eq_ignore_ascii_case(destination)
    }
}

fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.split('/').collect();
    let last = segments.len().saturating_sub(1);
    for (index, segment) in segments.iter().enumerate() {
        match *segment {
            "." | ".." => {
                if *segment == ".." && kept.len() > 1 {
                    kept.pop();
                }
                if index == last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    let joined = kept.join("/");
    if joined.starts_with('/') {
        joined
    } else {
        format!("/{joined}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds in pieces of `step` bytes.
    fn feed(stream: &[u8], step: usize) -> (Vec<u8>, Vec<Announced>) {
        let mut opening = Opening::default();
        let (mut out, mut found) = (Vec::new(), Vec::new());
        for piece in stream.chunks(step.max(1)) {
            let (bytes, announced) = opening.pass(Bytes::copy_from_slice(piece));
            out.extend_from_slice(&bytes);
            found.extend(announced);
        }
        (out, found)
    }

    #[test]
    fn a_reference_without_a_host_stays_as_it_is() {
        let stream = b": hi\n\nevent: endpoint\r\ndata: /messages/?session_id=1\r\n\r\nevent: message\r\ndata: {}\r\n\r\n";
        for step in 1..stream.len() {
            let (out, found) = feed(stream, step);
            assert_eq!(out, stream);
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].origin, None);
            assert_eq!(found[0].reference, "/messages/?session_id=1");
        }
    }

    #[test]
    fn a_host_is_taken_out_and_the_length_kept() {
        let stream =
            b"event: endpoint\ndata: http://127.0.0.1:9/m?s=1\n\nevent: message\ndata: {}\n\n";
        for step in 1..stream.len() {
            let (out, found) = feed(stream, step);
            assert_eq!(out.len(), stream.len());
            let mut events = Vec::new();
            let mut reader = protocol::sse::Reader::default();
            reader.feed(&out, &mut |event| {
                events.push((event.name.into_owned(), event.data.into_owned()))
            });
            assert_eq!(
                events,
                [
                    ("endpoint".into(), "/m?s=1".to_owned()),
                    ("message".into(), "{}".into())
                ]
            );
            assert_eq!(found[0].origin.as_deref(), Some("http://127.0.0.1:9"));
        }
    }

    #[test]
    fn what_is_no_announcement_passes_at_once() {
        for stream in [
            &b"event: message\ndata: {}\n\n"[..],
            b"data: {}\n\n",
            b"id: 1\ndata: x\n\n",
        ] {
            assert_eq!(feed(stream, stream.len()), (stream.to_vec(), vec![]));
        }
        let endless = vec![b'x'; HELD_BYTES + 1];
        assert_eq!(feed(&endless, 1000).0, endless);
    }

    #[test]
    fn references_resolve_as_the_standard_says() {
        for (value, base, expected) in [
            ("/messages/?s=1", "/agent/a/mcp/s", "/messages/?s=1"),
            (
                "messages?s=1",
                "/agent/a/mcp/s",
                "/agent/a/mcp/messages?s=1",
            ),
            (
                "messages?s=1",
                "/agent/a/mcp/s/sse?x",
                "/agent/a/mcp/s/messages?s=1",
            ),
            ("?s=1", "/agent/a/mcp/s?old", "/agent/a/mcp/s?s=1"),
            ("../m", "/a/b/c/d", "/a/b/m"),
            ("./m/.", "/a/b", "/a/m/"),
            ("../../../m", "/a/b", "/m"),
            ("http://h/m?s=1#f", "/a", "/m?s=1"),
            ("http://h?s=1", "/a", "/?s=1"),
            ("//h/m", "/a", "/m"),
        ] {
            assert_eq!(read(value).resolve(base), expected, "{value} {base}");
        }
    }

    #[test]
    fn another_host_is_told_from_the_servers_own() {
        for (value, stays) in [
            ("/m", true),
            ("http://127.0.0.1:80/m", true),
            ("http://127.0.0.1/m", true),
            ("//127.0.0.1/m", true),
            ("https://127.0.0.1/m", false),
            ("http://127.0.0.1:81/m", false),
            ("http://evil.example/m", false),
            ("http://127.0.0.1@evil.example/m", false),
        ] {
            assert_eq!(
                read(value).stays_with("http://127.0.0.1:80"),
                stays,
                "{value}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_or_added(stream in prop::collection::vec(any::<u8>(), 0..300), step in 1usize..50) {
            let mut closed = stream.clone();
            closed.extend_from_slice(b"\n\ndata: end\n\n");
            let (out, found) = feed(&closed, step);
            prop_assert_eq!(out.len(), closed.len());
            if found.iter().all(|announced| announced.origin.is_none()) {
                prop_assert_eq!(out, closed);
            }
        }
    }
}
