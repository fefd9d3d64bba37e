//! DEFLATE (RFC 1951), raw or in its zlib wrapper, in pieces of bounded size.

use super::PIECE;
use flate2::{Decompress, FlushDecompress, Status};

/// The state of one DEFLATE stream.
pub(crate) struct Inflate {
    inner: Decompress,
    ended: bool,
}

/// The bytes are not DEFLATE.
#[derive(Debug)]
pub(crate) struct NotDeflate;

impl Inflate {
    pub(crate) fn new(zlib_wrapped: bool) -> Self {
        Self {
            inner: Decompress::new(zlib_wrapped),
            ended: false,
        }
    }

    /// Whether the final block was read. What follows it is not part of the stream.
    pub(crate) const fn ended(&self) -> bool {
        self.ended
    }

    /// How many bytes were taken in so far.
    pub(super) fn taken(&self) -> u64 {
        self.inner.total_in()
    }

    /// Inflates `bytes`, handing each piece to `sink`.
    pub(crate) fn feed<E>(
        &mut self,
        mut bytes: &[u8],
        sink: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Result<(), NotDeflate>, E> {
        let mut out = Vec::with_capacity(PIECE);
        while !self.ended {
            let before = self.inner.total_in();
            out.clear();
            let inflated = self
                .inner
                .decompress_vec(bytes, &mut out, FlushDecompress::None);
            let Ok(status) = inflated else {
                // What came out before the broken place is read like any other beginning.
                if !out.is_empty() {
                    sink(&out)?;
                }
                return Ok(Err(NotDeflate));
            };
            let taken = usize::try_from(self.inner.total_in() - before).unwrap_or(bytes.len());
            bytes = bytes.get(taken..).unwrap_or_default();
            // Before the piece is handed on: behind it there may be a pause.
            self.ended = status == Status::StreamEnd;
            if !out.is_empty() {
                sink(&out)?;
            }
            // Room was left in the piece and there is nothing more to take: the rest comes with the next bytes.
            if bytes.is_empty() && out.len() < out.capacity() {
                break;
            }
            if taken == 0 && out.is_empty() {
                return Ok(Err(NotDeflate));
            }
        }
        Ok(Ok(()))
    }
}
