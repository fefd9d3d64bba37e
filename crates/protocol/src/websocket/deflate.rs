//! `permessage-deflate`: RFC 7692.

use super::Direction;
use crate::encoding::Inflate;
use std::fmt;

/// `permessage-deflate` as the answer's `Sec-WebSocket-Extensions` settles it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deflate {
    /// The server compresses each message by itself.
    pub server_no_context_takeover: bool,
    /// The client compresses each message by itself.
    pub client_no_context_takeover: bool,
}

impl Deflate {
    /// Reads the header value of the answer; `None` where compression was not agreed. Window sizes need no care: a reader
    /// with the largest window reads every smaller one.
    #[must_use]
    pub fn negotiated(header: &str) -> Option<Self> {
        let extension = header.split(',').find(|extension| {
            extension
                .split(';')
                .next()
                .is_some_and(|name| name.trim().eq_ignore_ascii_case("permessage-deflate"))
        })?;
        let has = |name: &str| {
            extension.split(';').skip(1).any(|parameter| {
                parameter
                    .split('=')
                    .next()
                    .is_some_and(|key| key.trim().eq_ignore_ascii_case(name))
            })
        };
        Some(Self {
            server_no_context_takeover: has("server_no_context_takeover"),
            client_no_context_takeover: has("client_no_context_takeover"),
        })
    }

    pub(super) const fn context_takeover(self, direction: Direction) -> bool {
        match direction {
            Direction::ClientToServer => !self.client_no_context_takeover,
            Direction::ServerToClient => !self.server_no_context_takeover,
        }
    }
}

/// Section 7.2.2: what a sender takes off the end of each message.
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// Undoes the compression of one direction.
pub(super) struct Inflater {
    inner: Inflate,
    context_takeover: bool,
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater")
            .field("context_takeover", &self.context_takeover)
            .finish_non_exhaustive()
    }
}

impl Inflater {
    pub(super) fn new(context_takeover: bool) -> Self {
        Self {
            inner: Inflate::new(false),
            context_takeover,
        }
    }

    /// The plain message, at most `limit` bytes of it, and how many bytes went beyond. `None` where it is not DEFLATE.
    pub(super) fn message(&mut self, payload: &[u8], limit: usize) -> Option<(Vec<u8>, u64)> {
        if !self.context_takeover || self.inner.ended() {
            // A sender may end the stream with a final block; the next message then begins a new one.
            self.inner = Inflate::new(false);
        }
        let mut plain = Vec::new();
        let mut over = 0;
        for bytes in [payload, &TAIL[..]] {
            let mut keep = |piece: &[u8]| -> Result<(), std::convert::Infallible> {
                let room = limit.saturating_sub(plain.len()).min(piece.len());
                let (kept, rest) = piece.split_at(room);
                plain.extend_from_slice(kept);
                over += rest.len() as u64;
                Ok(())
            };
            let Ok(result) = self.inner.feed(bytes, &mut keep);
            result.ok()?;
        }
        Some((plain, over))
    }
}
