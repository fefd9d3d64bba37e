//! Room for what a posted batch becomes: a few bytes of it are an event each, and a call each that waits for its answer.

use super::READ_BYTES;
use protocol::encoding;
use protocol::jsonrpc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Messages of batches that are held at a time, all exchanges together: two of the longest that are read.
const MESSAGES: usize = 8 * 1024;

/// About what a message takes while it is held, in bytes.
const MESSAGE_BYTES: usize = 4 * 1024;

/// The room of all.
#[derive(Debug)]
pub(crate) struct Batches(Arc<Semaphore>);

impl Default for Batches {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MESSAGES)))
    }
}

/// The room of one; given back when dropped.
#[derive(Debug, Default)]
pub(crate) struct Room(Option<OwnedSemaphorePermit>);

impl Room {
    /// Parts the room of so many messages from the rest.
    pub(super) fn split(&mut self, messages: usize) -> Self {
        let held = self.0.as_mut();
        Self(held.and_then(|held| held.split(messages.min(held.num_permits()))))
    }
}

impl Batches {
    /// Room for what is in `body`, where that is a batch; none is needed otherwise. `None`: there was none in time.
    pub(super) async fn room(
        &self,
        content_encoding: Option<&str>,
        body: &[u8],
        patience: Duration,
    ) -> Option<Room> {
        let Some(messages) = messages(content_encoding, body) else {
            return Some(Room::default());
        };
        let permits = u32::try_from(messages.min(MESSAGES)).ok()?;
        let room = self.0.clone().acquire_many_owned(permits);
        let room = tokio::time::timeout(patience, room).await.ok()?;
        Some(Room(room.ok()))
    }
}

/// How many messages a batch counts as: those that are read, or more where it grows when it is decoded.
fn messages(content_encoding: Option<&str>, body: &[u8]) -> Option<usize> {
    let (plain, _) = encoding::decode(content_encoding, body, READ_BYTES as u64);
    if plain.trim_ascii_start().first() != Some(&b'[') {
        return None;
    }
    let read = jsonrpc::read(&plain).map_or(0, |payload| payload.messages.len());
    let grown = plain.len().saturating_sub(body.len()) / MESSAGE_BYTES;
    Some(read.max(grown))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn batches_beyond_the_room_wait_until_others_are_done() {
        let batches = Batches::default();
        let batch = format!("[{}1]", "1,".repeat(8000)).into_bytes();
        let first = batches.room(None, &batch, PATIENCE).await.unwrap();
        let mut second = batches.room(None, &batch, PATIENCE).await.unwrap();
        assert!(batches.room(None, b" [1]", PATIENCE).await.is_none());
        // What is no batch needs none.
        assert!(batches.room(None, b"{}", PATIENCE).await.is_some());
        let waiting = second.split(4000);
        assert!(batches.room(None, b"[1]", PATIENCE).await.is_none());
        drop(second);
        assert!(batches.room(None, b"[1]", PATIENCE).await.is_some());
        assert!(batches.room(None, &batch, PATIENCE).await.is_none());
        drop((first, waiting));
        assert!(batches.room(None, &batch, PATIENCE).await.is_some());
    }

    #[test]
    fn what_grows_counts_for_what_it_becomes() {
        let pad = " ".repeat(8 << 20);
        let packed = std::io::Write::write_all;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packed(&mut encoder, format!("[{pad}1]").as_bytes()).unwrap();
        let body = encoder.finish().unwrap();
        let counted = messages(Some("gzip"), &body).unwrap();
        assert!((2000..=2048).contains(&counted), "{counted}");
        assert_eq!(messages(None, b"[1,2]"), Some(2));
    }
}
