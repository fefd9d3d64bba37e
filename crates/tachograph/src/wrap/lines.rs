//! Lines of a stream, byte for byte.

use bytes::{Bytes, BytesMut};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Longest line that is taken in, in bytes.
pub(crate) const MAX_LINE: usize = 64 * 1024 * 1024;

/// How much is read at a time.
const READ_BYTES: usize = 64 * 1024;

/// Cuts a stream into lines. A line keeps its line feed; the last may have none.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    from: R,
    buffer: BytesMut,
    searched: usize,
    ended: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(crate) fn new(from: R) -> Self {
        Self {
            from,
            buffer: BytesMut::new(),
            searched: 0,
            ended: false,
        }
    }

    /// The next line; `None` at the end. Nothing is lost when the wait is given up.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
            if let Some(at) = memchr::memchr(b'\n', unsearched) {
                let line = self.buffer.split_to(self.searched + at + 1).freeze();
                self.searched = 0;
                return Ok(Some(line));
            }
            self.searched = self.buffer.len();
            if self.ended {
                self.searched = 0;
                let rest = self.buffer.split().freeze();
                return Ok(Some(rest).filter(|rest| !rest.is_empty()));
            }
            if self.buffer.len() > MAX_LINE {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("a line is longer than {MAX_LINE} bytes"),
                ));
            }
            self.buffer.reserve(READ_BYTES);
            self.ended = self.from.read_buf(&mut self.buffer).await? == 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(bytes: &[u8]) -> Vec<Bytes> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut lines = Lines::new(bytes);
            let mut all = Vec::new();
            while let Some(line) = lines.next().await.unwrap() {
                all.push(line);
            }
            all
        })
    }

    #[test]
    fn a_line_keeps_every_byte() {
        assert_eq!(
            lines(b"a\r\n\n\xff\xfe\nlast"),
            [&b"a\r\n"[..], b"\n", b"\xff\xfe\n", b"last"]
        );
        assert_eq!(lines(b""), [&b""[..]; 0]);
    }

    proptest! {
        #[test]
        fn lines_put_together_are_the_stream(
            bytes in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..5000),
        ) {
            let lines = lines(&bytes);
            prop_assert_eq!(lines.concat(), bytes);
            prop_assert!(lines.iter().rev().skip(1).all(|line| line.ends_with(b"\n")));
        }
    }
}
