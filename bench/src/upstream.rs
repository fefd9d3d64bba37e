//! A scripted upstream on loopback: a thread a connection, answers prepared beforehand.

use crate::error::Error;
use crate::wire::{Connection, LAST_CHUNK, Message};
use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What an upstream answers.
#[derive(Debug, Clone)]
pub(crate) enum Script {
    /// The same bytes every time.
    Fixed(Arc<[u8]>),
    /// A stream of tokens; each says when it was sent.
    Stream(Cadence),
    /// The answer that the book holds for the request's bytes.
    Book(Arc<Book>),
}

/// How a stream's tokens are spaced.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cadence {
    /// Times in tokens are nanoseconds since then.
    pub(crate) epoch: Instant,
    /// From the request to the first token.
    pub(crate) first: Duration,
    /// From token to token.
    pub(crate) every: Duration,
    /// How many.
    pub(crate) tokens: u32,
}

/// Stands before the time in a token.
pub(crate) const SENT_AT: &[u8] = b"sent-at-";

/// Answers by the bytes of their request. The same request asked again takes the next answer, and
/// the last one for ever.
#[derive(Debug, Default)]
pub(crate) struct Book {
    answers: Mutex<HashMap<u64, VecDeque<Vec<u8>>>>,
}

impl Book {
    pub(crate) fn add(&mut self, request: &[u8], answer: Vec<u8>) {
        let answers = self
            .answers
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        answers.entry(key(request)).or_default().push_back(answer);
    }

    fn take(&self, request: &[u8]) -> Vec<u8> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        match answers.get_mut(&key(request)) {
            Some(queue) if queue.len() > 1 => queue.pop_front(),
            Some(queue) => queue.front().cloned(),
            None => None,
        }
        .unwrap_or_else(|| b"HTTP/1.1 404 Not In The Book\r\ncontent-length: 0\r\n\r\n".to_vec())
    }
}

fn key(request: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    request.hash(&mut hasher);
    hasher.finish()
}

/// Starts an upstream; it lives as long as the process.
pub(crate) fn start(script: Script) -> Result<SocketAddr, Error> {
    let what = Error::io("starting the upstream");
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(&what)?;
    let address = listener.local_addr().map_err(&what)?;
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let script = script.clone();
            // Without a thread the connection is closed, and the client's measurement fails.
            thread::Builder::new()
                .stack_size(256 << 10)
                .spawn(move || {
                    // A client that goes away ends its connection; nothing is to be told.
                    Connection::accepted(stream)
                        .and_then(|connection| serve(connection, &script))
                        .ok();
                })
                .ok();
        }
    });
    Ok(address)
}

fn serve(mut connection: Connection, script: &Script) -> Result<(), Error> {
    while let Some(request) = connection.receive()? {
        answer(&mut connection, request, script)?;
    }
    Ok(())
}

fn answer(connection: &mut Connection, request: Message, script: &Script) -> Result<(), Error> {
    match script {
        Script::Fixed(bytes) => connection.send(bytes),
        Script::Book(book) => {
            let answer = book.take(connection.body(request));
            connection.send(&answer)
        }
        Script::Stream(cadence) => stream(connection, *cadence),
    }
}

fn stream(connection: &mut Connection, cadence: Cadence) -> Result<(), Error> {
    let start = Instant::now() + cadence.first;
    connection.send(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
    )?;
    for token in 0..cadence.tokens {
        sleep_until(start + cadence.every * token);
        let sent_at = cadence.epoch.elapsed().as_nanos();
        send_event(
            connection,
            &format!(
                r#"{{"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1,"model":"gpt-x","choices":[{{"index":0,"delta":{{"content":"sent-at-{sent_at:020} "}},"finish_reason":null}}]}}"#
            ),
        )?;
    }
    send_event(
        connection,
        r#"{"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1,"model":"gpt-x","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
    )?;
    send_event(connection, "[DONE]")?;
    connection.send(LAST_CHUNK)
}

fn send_event(connection: &mut Connection, data: &str) -> Result<(), Error> {
    // `data: `, the data, two line feeds.
    let length = data.len() + 8;
    connection.send(format!("{length:x}\r\ndata: {data}\n\n\r\n").as_bytes())
}

/// Sleeps until a moment; returns at once when it is over.
pub(crate) fn sleep_until(moment: Instant) {
    thread::sleep(moment.saturating_duration_since(Instant::now()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_book_gives_its_answers_in_order_and_the_last_for_ever() {
        let mut book = Book::default();
        book.add(b"q", b"1".to_vec());
        book.add(b"q", b"2".to_vec());
        assert_eq!(
            [b"q", b"q", b"q"].map(|request| book.take(request)),
            [b"1", b"2", b"2"].map(|answer| answer.to_vec())
        );
        assert!(book.take(b"?").starts_with(b"HTTP/1.1 404"));
    }
}
