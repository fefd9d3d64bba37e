//! HTTP/1.1 as bytes on a socket: a request read to its end.
//!
//! Hand-made on purpose. A server library would hide what these tests are about: the spelling of a
//! header, the cut of a chunk, a length that lies, a reset in mid-body.

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const MAX_HEAD_BYTES: usize = 256 * 1024;
const MAX_BODY_BYTES: usize = 512 * 1024 * 1024;

/// A request as it arrived.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Request method.
    pub method: String,
    /// Request target as it stood on the request line.
    pub path: String,
    /// Header fields in their order and spelling.
    pub headers: Vec<(String, String)>,
    /// Body without transfer coding.
    pub body: Bytes,
    /// The body arrived whole.
    pub complete: bool,
}

impl Request {
    /// The first header field of that name, whatever its case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The path without its query.
    #[must_use]
    pub fn route(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }

    /// The body as JSON; `null` where it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or(serde_json::Value::Null)
    }
}

/// One accepted connection and what was read from it ahead of need.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    read: BytesMut,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            read: BytesMut::with_capacity(16 * 1024),
        }
    }

    /// The next request; `None` when the client closed between requests or sent no HTTP.
    pub(crate) async fn request(&mut self) -> std::io::Result<Option<Request>> {
        let head = loop {
            if let Some(end) = find(&self.read, b"\r\n\r\n") {
                let head = self.read.split_to(end);
                self.read.advance(4);
                break head;
            }
            if self.read.len() > MAX_HEAD_BYTES || !self.more().await? {
                return Ok(None);
            }
        };
        let Some(mut request) = parse_head(&head) else {
            return Ok(None);
        };
        if request
            .header("expect")
            .is_some_and(|v| v.eq_ignore_ascii_case("100-continue"))
        {
            self.stream
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                .await?;
        }
        let chunked = request
            .header("transfer-encoding")
            .is_some_and(|v| v.to_ascii_lowercase().contains("chunked"));
        let (body, complete) = if chunked {
            self.chunked().await?
        } else {
            let length = request
                .header("content-length")
                .and_then(|v| v.trim().parse().ok())
                .unwrap_or(0);
            self.counted(length).await?
        };
        request.body = body;
        request.complete = complete;
        Ok(Some(request))
    }

    /// Resolves when the client has closed or broken the connection.
    pub(crate) async fn gone(&mut self) {
        // A pipelined request may wait in the buffer; only the end of the stream is news here.
        while self.read.len() < MAX_HEAD_BYTES && matches!(self.more().await, Ok(true)) {}
    }

    async fn counted(&mut self, length: usize) -> std::io::Result<(Bytes, bool)> {
        while self.read.len() < length.min(MAX_BODY_BYTES) {
            if !self.more().await.unwrap_or(false) {
                return Ok((self.read.split().freeze(), false));
            }
        }
        Ok((
            self.read.split_to(length.min(MAX_BODY_BYTES)).freeze(),
            length <= MAX_BODY_BYTES,
        ))
    }

    async fn chunked(&mut self) -> std::io::Result<(Bytes, bool)> {
        let mut body = BytesMut::new();
        loop {
            let Some(line) = self.line().await? else {
                return Ok((body.freeze(), false));
            };
            let size = line
                .split(|b| *b == b';')
                .next()
                .unwrap_or_default()
                .trim_ascii();
            let Some(size) = std::str::from_utf8(size)
                .ok()
                .and_then(|text| usize::from_str_radix(text, 16).ok())
            else {
                return Ok((body.freeze(), false));
            };
            if size == 0 {
                // Trailers, if any, then the empty line.
                while let Some(line) = self.line().await? {
                    if line.is_empty() {
                        return Ok((body.freeze(), true));
                    }
                }
                return Ok((body.freeze(), false));
            }
            let (chunk, whole) = self.counted(size).await?;
            body.extend_from_slice(&chunk);
            if !whole || body.len() > MAX_BODY_BYTES || self.line().await?.is_none() {
                return Ok((body.freeze(), false));
            }
        }
    }

    async fn line(&mut self) -> std::io::Result<Option<Bytes>> {
        loop {
            if let Some(end) = find(&self.read, b"\r\n") {
                let line = self.read.split_to(end).freeze();
                self.read.advance(2);
                return Ok(Some(line));
            }
            if self.read.len() > MAX_HEAD_BYTES || !self.more().await? {
                return Ok(None);
            }
        }
    }

    async fn more(&mut self) -> std::io::Result<bool> {
        Ok(self.stream.read_buf(&mut self.read).await? > 0)
    }
}

fn parse_head(head: &[u8]) -> Option<Request> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, path, version) = (first.next()?, first.next()?, first.next()?);
    if !version.starts_with("HTTP/1.") {
        return None;
    }
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    Some(Request {
        method: method.to_owned(),
        path: path.to_owned(),
        headers,
        ..Request::default()
    })
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn read(bytes: &'static [u8]) -> Vec<Request> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        client.write_all(bytes).await.unwrap();
        drop(client);
        let mut connection = Connection::new(stream);
        let mut out = Vec::new();
        while let Some(request) = connection.request().await.unwrap() {
            out.push(request);
        }
        out
    }

    #[tokio::test]
    async fn bodies_are_read_by_length_and_by_chunks() {
        let all = read(
            b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcPOST /b?x=1 HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2;x=y\r\nde\r\n1\r\nf\r\n0\r\n\r\nGET /c HTTP/1.1\r\n\r\n",
        )
        .await;
        let seen: Vec<_> = all
            .iter()
            .map(|r| (r.path.as_str(), r.body.as_ref(), r.complete))
            .collect();
        assert_eq!(
            seen,
            [
                ("/a", &b"abc"[..], true),
                ("/b?x=1", b"def", true),
                ("/c", b"", true)
            ]
        );
        assert_eq!(all[1].route(), "/b");
    }

    #[tokio::test]
    async fn a_body_cut_short_is_marked() {
        let all = read(b"POST /a HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc").await;
        assert_eq!(
            (all[0].body.as_ref(), all[0].complete),
            (&b"abc"[..], false)
        );
        assert!(read(b"\x16\x03\x01 not http\r\n\r\n").await.is_empty());
    }
}
