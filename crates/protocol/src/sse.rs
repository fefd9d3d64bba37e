//! Server-sent events: the parsing rules of the WHATWG HTML standard, section 9.2, as a push parser.
//!
//! The same bytes give the same events however they are cut into chunks. An event larger than the bound is counted and
//! skipped; the stream goes on behind it.

use crate::limits::DOCUMENT_BYTES;
use std::borrow::Cow;

/// One dispatched event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// The `event` field, `message` where there was none.
    pub name: Cow<'a, str>,
    /// The `data` lines joined by line feeds. Invalid UTF-8 reads as U+FFFD.
    pub data: Cow<'a, str>,
    /// The last `id` seen on the stream, empty when there was none.
    pub last_event_id: Cow<'a, str>,
    /// A `retry` value in milliseconds that arrived with this event.
    pub retry_ms: Option<u64>,
}

/// The parser of one stream.
#[derive(Debug)]
pub struct Reader {
    limit: usize,
    start: Start,
    /// The line so far. Never longer than what is left of the limit.
    line: Vec<u8>,
    /// Where the parser stands between bytes.
    after_cr: bool,
    name: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    last_event_id: Vec<u8>,
    retry_ms: Option<u64>,
    /// The event in hand crossed the limit: dropped up to its blank line.
    oversize: bool,
    skipped: u64,
    comments: u64,
}

/// How much of a byte order mark has been seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    Mark(usize),
    Passed,
}

const BYTE_ORDER_MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];

impl Default for Reader {
    fn default() -> Self {
        Self::new(DOCUMENT_BYTES)
    }
}

impl Reader {
    /// A reader at the beginning of a stream, for events of at most `limit` bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self {
            limit,
            start: Start::Mark(0),
            line: Vec::new(),
            after_cr: false,
            name: Vec::new(),
            data: Vec::new(),
            has_data: false,
            last_event_id: Vec::new(),
            retry_ms: None,
            oversize: false,
            skipped: 0,
            comments: 0,
        }
    }

    /// The last `id` seen on the stream, empty when there was none: what a client hands back to go on behind it.
    #[must_use]
    pub fn last_event_id(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.last_event_id)
    }

    /// Reads the next bytes and hands each event that they complete to `sink`.
    pub fn feed(&mut self, mut bytes: &[u8], sink: &mut dyn FnMut(Event<'_>)) {
        while let Start::Mark(seen) = self.start {
            let Some((&first, rest)) = bytes.split_first() else {
                return;
            };
            if BYTE_ORDER_MARK.get(seen) == Some(&first) {
                bytes = rest;
                self.start = if seen == 2 {
                    Start::Passed
                } else {
                    Start::Mark(seen + 1)
                };
            } else {
                // Not a mark after all: what looked like one belongs to the first line.
                self.start = Start::Passed;
                self.extend_line(BYTE_ORDER_MARK.get(..seen).unwrap_or_default());
            }
        }
        while !bytes.is_empty() {
            if self.after_cr {
                self.after_cr = false;
                if let Some(rest) = bytes.strip_prefix(b"\n") {
                    bytes = rest;
                    continue;
                }
            }
            let Some(end) = memchr::memchr2(b'\n', b'\r', bytes) else {
                self.extend_line(bytes);
                return;
            };
            let (head, tail) = bytes.split_at(end);
            self.after_cr = tail.first() == Some(&b'\r');
            bytes = tail.get(1..).unwrap_or_default();
            if self.line.is_empty() && !self.oversize {
                if head.len().saturating_add(self.data.len()) > self.limit {
                    self.drop_event();
                } else {
                    self.take_line(head, sink);
                }
            } else {
                self.extend_line(head);
                let line = std::mem::take(&mut self.line);
                self.take_line(&line, sink);
                self.line = line;
                self.line.clear();
                self.line.shrink_to(64 * 1024);
            }
        }
    }

    /// Events that were larger than the limit.
    #[must_use]
    pub const fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Comment lines, the keep-alives of many servers.
    #[must_use]
    pub const fn comments(&self) -> u64 {
        self.comments
    }

    /// Whether the stream stands inside an event: if it ends here, that event is lost, as the standard wants it.
    #[must_use]
    pub const fn in_event(&self) -> bool {
        !self.line.is_empty() || self.has_data || self.oversize
    }

    fn extend_line(&mut self, bytes: &[u8]) {
        if self.oversize {
            // Only whether the line is empty still matters.
            if self.line.is_empty() && !bytes.is_empty() {
                self.line.push(b':');
            }
            return;
        }
        if self
            .line
            .len()
            .saturating_add(bytes.len())
            .saturating_add(self.data.len())
            > self.limit
        {
            self.drop_event();
            self.line.push(b':');
            return;
        }
        self.line.extend_from_slice(bytes);
    }

    fn drop_event(&mut self) {
        self.oversize = true;
        self.skipped += 1;
        self.line = Vec::new();
        self.data = Vec::new();
    }

    fn take_line(&mut self, line: &[u8], sink: &mut dyn FnMut(Event<'_>)) {
        if line.is_empty() {
            self.dispatch(sink);
            return;
        }
        if self.oversize {
            return;
        }
        let (field, value) = match memchr::memchr(b':', line) {
            Some(0) => {
                self.comments += 1;
                return;
            }
            Some(colon) => {
                let (field, value) = line.split_at(colon);
                let value = value.get(1..).unwrap_or_default();
                (field, value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &[][..]),
        };
        match field {
            b"data" => {
                if self
                    .data
                    .len()
                    .saturating_add(value.len())
                    .saturating_add(1)
                    > self.limit
                {
                    self.drop_event();
                    return;
                }
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.has_data = true;
                self.data.extend_from_slice(value);
            }
            b"event" => value.clone_into(&mut self.name),
            b"id" if !value.contains(&0) => value.clone_into(&mut self.last_event_id),
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                self.retry_ms = std::str::from_utf8(value)
                    .ok()
                    .and_then(|text| text.parse().ok());
            }
            _ => {}
        }
    }

    fn dispatch(&mut self, sink: &mut dyn FnMut(Event<'_>)) {
        if self.has_data && !self.oversize {
            let name = String::from_utf8_lossy(&self.name);
            sink(Event {
                name: if name.is_empty() {
                    Cow::Borrowed("message")
                } else {
                    name
                },
                data: String::from_utf8_lossy(&self.data),
                last_event_id: String::from_utf8_lossy(&self.last_event_id),
                retry_ms: self.retry_ms,
            });
        }
        self.name.clear();
        self.data.clear();
        self.data.shrink_to(64 * 1024);
        self.has_data = false;
        self.retry_ms = None;
        self.oversize = false;
    }
}

#[cfg(test)]
#[path = "sse_tests.rs"]
mod tests;
