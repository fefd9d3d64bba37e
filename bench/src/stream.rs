//! Streams of tokens: when the first arrives, how long each was on its way, when the end is there.

use crate::error::Error;
use crate::events::Random;
use crate::load::{Target, join, spawn};
use crate::quantiles::Quantiles;
use crate::text;
use crate::upstream::{Cadence, SENT_AT};
use crate::wire::{self, Connection, LAST_CHUNK};
use std::thread::scope;
use std::time::{Duration, Instant};

/// Streams at a time.
const CLIENTS: u32 = 8;

/// What the streams of one load took.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    /// From the request to the first token.
    pub(crate) first: Quantiles,
    /// From each token's sending to its arrival.
    pub(crate) delay: Quantiles,
    /// From the request to the end of the stream.
    pub(crate) whole: Quantiles,
}

/// Streams for `time`, one after the other in each client.
pub(crate) fn measure(target: &Target, cadence: Cadence, time: Duration) -> Result<Streams, Error> {
    let end = Instant::now() + time;
    scope(|scope| {
        let mut threads = Vec::new();
        for client in 0..CLIENTS {
            threads.push(spawn(scope, move || many(target, cadence, client, end))?);
        }
        let mut all = Streams::default();
        for thread in threads {
            let streams = join(thread)??;
            all.first.merge(&streams.first);
            all.delay.merge(&streams.delay);
            all.whole.merge(&streams.whole);
        }
        Ok(all)
    })
}

fn many(target: &Target, cadence: Cadence, client: u32, end: Instant) -> Result<Streams, Error> {
    let mut connection = Connection::open(target.address)?;
    let mut random = Random::new(u64::from(client) + 101);
    let mut streams = Streams::default();
    while Instant::now() < end {
        let question = text::words(&mut random, 1800);
        let body = format!(
            r#"{{"model":"gpt-x","stream":true,"messages":[{{"role":"user","content":"{question}"}}]}}"#
        );
        let mut request = wire::request_head(&target.path, "text/event-stream", body.len(), "");
        request.extend_from_slice(body.as_bytes());
        let start = Instant::now();
        connection.send(&request)?;
        let tokens = one(&mut connection, cadence, start, &mut streams)?;
        streams.whole.push(start.elapsed());
        if tokens != cadence.tokens {
            return Err(Error::Wrong(format!(
                "a stream had {tokens} tokens instead of {}",
                cadence.tokens
            )));
        }
    }
    Ok(streams)
}

/// Reads one stream; returns how many tokens were in it.
fn one(
    connection: &mut Connection,
    cadence: Cadence,
    start: Instant,
    streams: &mut Streams,
) -> Result<u32, Error> {
    connection.forget();
    let (mut seen, mut tokens) = (0, 0);
    while !connection.bytes().ends_with(LAST_CHUNK) {
        if !connection.more()? {
            return Err(Error::Wrong("a stream was cut off".into()));
        }
        let now = cadence.epoch.elapsed();
        while let Some((sent_at, end)) = token(connection.bytes(), seen) {
            streams.delay.push(now.saturating_sub(sent_at));
            if tokens == 0 {
                streams.first.push(start.elapsed());
            }
            (seen, tokens) = (end, tokens + 1);
        }
    }
    if wire::status(connection.bytes()) != 200 {
        return Err(Error::Wrong("a stream was refused".into()));
    }
    Ok(tokens)
}

/// The first token behind `from` that is whole: when it was sent, and where it ends.
fn token(bytes: &[u8], from: usize) -> Option<(Duration, usize)> {
    let rest = bytes.get(from..)?;
    let at = from
        + rest
            .windows(SENT_AT.len())
            .position(|window| window == SENT_AT)?;
    let digits = bytes.get(at + SENT_AT.len()..at + SENT_AT.len() + 20)?;
    let nanos = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((Duration::from_nanos(nanos), at + SENT_AT.len() + 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_say_when_they_were_sent() {
        let bytes = b"x sent-at-00000000000000000042 y sent-at-0000";
        assert_eq!(token(bytes, 0), Some((Duration::from_nanos(42), 30)));
        assert_eq!(token(bytes, 30), None);
    }
}
