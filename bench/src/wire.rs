//! As much of HTTP/1.1 as the ends of a measurement need, and no more.

use crate::error::Error;
use crate::events::Random;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const BUFFER_BYTES: usize = 64 << 10;

/// How long an end waits for the other before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(90);

/// One keep-alive connection, at either end. Messages are not pipelined.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

/// Where a message's parts lie in what was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message {
    head: usize,
    end: usize,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Result<Self, Error> {
        let stream = TcpStream::connect(address).map_err(Error::io("connecting"))?;
        Self::accepted(stream)
    }

    pub(crate) fn accepted(stream: TcpStream) -> Result<Self, Error> {
        stream
            .set_nodelay(true)
            .and_then(|()| stream.set_read_timeout(Some(PATIENCE)))
            .map_err(Error::io("preparing a connection"))?;
        Ok(Self {
            stream,
            buffer: vec![0; BUFFER_BYTES],
            filled: 0,
        })
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.stream.write_all(bytes).map_err(Error::io("sending"))
    }

    /// Everything read of the current message so far.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.filled).unwrap_or_default()
    }

    /// Waits for more of the message; `false` when the other end has closed.
    pub(crate) fn more(&mut self) -> Result<bool, Error> {
        if self.filled == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
        let read = self.stream.read(room).map_err(Error::io("receiving"))?;
        self.filled += read;
        Ok(read > 0)
    }

    /// Reads a whole message; `None` when the other end closed between two.
    pub(crate) fn receive(&mut self) -> Result<Option<Message>, Error> {
        self.filled = 0;
        let head = loop {
            if let Some(head) = head_len(self.bytes()) {
                break head;
            }
            if !self.more()? {
                return if self.filled == 0 {
                    Ok(None)
                } else {
                    Err(broken())
                };
            }
        };
        let length = content_length(self.bytes().get(..head).unwrap_or_default());
        loop {
            let done = match length {
                Some(length) => self.filled >= head + length,
                None => self.bytes().ends_with(LAST_CHUNK),
            };
            if done {
                let end = self.filled;
                return Ok(Some(Message { head, end }));
            }
            if !self.more()? {
                return Err(broken());
            }
        }
    }

    /// Reads a whole answer and returns its status.
    pub(crate) fn answer(&mut self) -> Result<u16, Error> {
        let message = self.receive()?.ok_or_else(broken)?;
        Ok(status(self.head(message)))
    }

    pub(crate) fn head(&self, message: Message) -> &[u8] {
        self.buffer.get(..message.head).unwrap_or_default()
    }

    pub(crate) fn body(&self, message: Message) -> &[u8] {
        self.buffer
            .get(message.head..message.end)
            .unwrap_or_default()
    }

    /// Forgets what was read: the next message begins.
    pub(crate) fn forget(&mut self) {
        self.filled = 0;
    }
}

/// The end of a chunked body without trailers.
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The status in an answer's head; 0 when there is none.
pub(crate) fn status(head: &[u8]) -> u16 {
    head.get(9..12)
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(|digits| digits.parse().ok())
        .unwrap_or_default()
}

/// Length of the head with its empty line, if all of it is there.
pub(crate) fn head_len(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map(|at| at + 4)
}

/// `Content-Length`; `None` for a chunked body. A message with neither has no body.
fn content_length(head: &[u8]) -> Option<usize> {
    for line in head.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        if name.eq_ignore_ascii_case(b"content-length") {
            let value = String::from_utf8_lossy(value.get(1..).unwrap_or_default());
            return value.trim().parse().ok().or(Some(0));
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return None;
        }
    }
    Some(0)
}

fn broken() -> Error {
    Error::Wrong("a connection was closed in the middle of a message".into())
}

/// The head of a request as a common SDK sends it.
pub(crate) fn request_head(path: &str, accept: &str, body_len: usize, more: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\n\
         Host: 127.0.0.1\r\n\
         Accept-Encoding: gzip, deflate\r\n\
         Connection: keep-alive\r\n\
         Accept: {accept}\r\n\
         Content-Type: application/json\r\n\
         User-Agent: OpenAI/Python 1.99.9\r\n\
         X-Stainless-Lang: python\r\n\
         X-Stainless-Package-Version: 1.99.9\r\n\
         X-Stainless-OS: Linux\r\n\
         X-Stainless-Arch: x64\r\n\
         X-Stainless-Runtime: CPython\r\n\
         X-Stainless-Runtime-Version: 3.12.1\r\n\
         X-Stainless-Retry-Count: 0\r\n\
         Authorization: Bearer not-a-secret\r\n\
         {more}Content-Length: {body_len}\r\n\r\n"
    )
    .into_bytes()
}

/// The answer to a chat completion that says `message`.
pub(crate) fn chat_answer(id: u64, message: &Value) -> Vec<u8> {
    let name = Random::new(id).hex(24);
    let body = json!({"id": format!("chatcmpl-{name}"), "object": "chat.completion", "created": 1,
        "model": "gpt-x-2026-08-01",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 410, "completion_tokens": 200, "total_tokens": 610}});
    let request_id = Random::new(id).hex(32);
    json_answer(
        &format!(
            "x-request-id: req_{request_id}\r\nopenai-processing-ms: 412\r\nopenai-version: 2020-10-01\r\n"
        ),
        body.to_string().as_bytes(),
    )
}

/// An answer in JSON; `more` are further header lines.
pub(crate) fn json_answer(more: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut bytes = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{more}content-length: {length}\r\n\r\n"
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_say_how_long_the_body_is() {
        for (head, length) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n", Some(12)),
            ("HTTP/1.1 200 OK\r\ncontent-length:7\r\n\r\n", Some(7)),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
                None,
            ),
            ("HTTP/1.1 204 No Content\r\n\r\n", Some(0)),
        ] {
            assert_eq!(content_length(head.as_bytes()), length, "{head}");
            assert_eq!(head_len(head.as_bytes()), Some(head.len()));
        }
        assert_eq!(status(b"HTTP/1.1 503 No\r\n\r\n"), 503);
    }
}
