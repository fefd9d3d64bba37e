//! An agent's connection below HTTP: what has left on it, and the trailers of its answers.
//!
//! The HTTP library throws away what it still holds when a body breaks off, and writes trailers only where they are asked
//! for and announced. A body learns here when all that came before has left, and leaves its trailers here. It also hides
//! that a request declared its length twice (RFC 9112, 6.3), which only the bytes tell. And it keeps what all connections
//! have read ahead within a bound: the HTTP library's buffers are as long as its reads.

use crate::figures::Figures;
use crate::listener::READ_BYTES;
use bytes::{Buf as _, Bytes, BytesMut};
use http::HeaderMap;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, Take};

/// The last chunk of a body, as the HTTP library writes it: there is room for trailers before its last line.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Most bytes of a head that are looked at.
const HEAD_BYTES: usize = 64 * 1024;

/// What all agents' connections together may read at a time, in bytes, beside the budget of bodies.
const READ_AHEAD_BYTES: u64 = 8 << 20;

/// The least that a connection reads at a time, in bytes: what the HTTP library begins with.
const LEAST_READ_BYTES: u64 = 8 << 10;

/// How many bytes a connection of so many may read at a time. A read that fills the HTTP library's buffer makes that twice
/// as long: one that is to stay as it is must not.
fn share(connections: u64) -> u64 {
    let share = (READ_AHEAD_BYTES / connections.max(1)).max(LEAST_READ_BYTES);
    if share >= READ_BYTES as u64 {
        READ_BYTES as u64
    } else {
        (1 << share.ilog2()) - 1
    }
}

/// A request that has both `Content-Length` and `Transfer-Encoding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TwoLengths;

/// The head that is being read, as far as it can be told from what comes before and after it.
enum Head {
    Arriving(Vec<u8>),
    Arrived(Option<TwoLengths>),
}

impl Default for Head {
    fn default() -> Self {
        Self::Arriving(Vec::new())
    }
}

impl Head {
    fn read(&mut self, bytes: &[u8]) {
        let Self::Arriving(head) = self else { return };
        let room = HEAD_BYTES.saturating_sub(head.len());
        let from = head.len().saturating_sub(3);
        head.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        let fresh = head.get(from..).unwrap_or_default();
        let ends = [&b"\n\r\n"[..], b"\n\n"];
        let end = ends
            .iter()
            .filter_map(|end| memchr::memmem::find(fresh, end))
            .min();
        if let Some(end) = end {
            *self = Self::Arrived(two_lengths(head.get(..from + end).unwrap_or_default()));
        } else if head.len() >= HEAD_BYTES {
            *self = Self::Arrived(None);
        }
    }
}

fn two_lengths(head: &[u8]) -> Option<TwoLengths> {
    let has = |name: &[u8]| {
        head.split(|byte| *byte == b'\n').any(|line| {
            let field = line.split(|byte| *byte == b':').next();
            field.is_some_and(|field| field.trim_ascii().eq_ignore_ascii_case(name))
        })
    };
    (has(b"content-length") && has(b"transfer-encoding")).then_some(TwoLengths)
}

/// What a body has to know of the connection it leaves on. HTTP/1 only: one body at a time.
#[derive(Clone, Default)]
pub(crate) struct Outflow(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    head: Head,
    /// How often the HTTP library had nothing left to write.
    emptied: u64,
    waiting: Option<Waker>,
    /// What is written in the place of the next last chunk.
    last_chunk: Option<Bytes>,
}

impl Outflow {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the last head had. A request that was sent before the answer to the one before it is not looked at: there, the
    /// chunks tell the length.
    pub(crate) fn two_lengths(&self) -> Option<TwoLengths> {
        match self.state().head {
            Head::Arriving(_) => None,
            Head::Arrived(two) => two,
        }
    }

    /// A request was taken: what is read next is another head.
    pub(crate) fn expect_head(&self) {
        self.state().head = Head::default();
    }

    /// Now, to be waited for with [`Self::poll_left`].
    pub(crate) fn mark(&self) -> u64 {
        self.state().emptied
    }

    /// Resolves when all that was given to the HTTP library before `mark` has left. To be asked by a body that is asked
    /// for more: after that, the HTTP library writes what it holds.
    pub(crate) fn poll_left(&self, mark: u64, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.emptied != mark {
            return Poll::Ready(());
        }
        state.waiting = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Lets `trailers` follow the chunked body whose end is written next, once all before its end has left.
    pub(crate) fn trail(&self, trailers: &HeaderMap) {
        let mut last = BytesMut::from(&b"0\r\n"[..]);
        for (name, value) in trailers {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                last.extend_from_slice(part);
            }
        }
        last.extend_from_slice(b"\r\n");
        self.state().last_chunk = Some(last.freeze());
    }
}

/// An agent's connection.
pub(crate) struct Wire<S> {
    stream: Take<S>,
    outflow: Outflow,
    figures: Arc<Figures>,
}

impl<S: AsyncRead> Wire<S> {
    /// `figures` tell how many connections there are.
    pub(crate) fn new(stream: S, outflow: Outflow, figures: Arc<Figures>) -> Self {
        Self {
            stream: stream.take(0),
            outflow,
            figures,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Writes the last chunk with its trailers, where `next` is a last chunk and trailers wait for one. Resolves to how
    /// much of `next` that is.
    fn poll_last_chunk(&mut self, cx: &mut Context<'_>, next: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.outflow.state();
        let Some(mut last) = state.last_chunk.take() else {
            return Poll::Ready(Ok(0));
        };
        if !next.starts_with(LAST_CHUNK) {
            // The body is not chunked: it ends with the connection, and there is no place for trailers.
            return Poll::Ready(Ok(0));
        }
        while last.has_remaining() {
            match Pin::new(self.stream.get_mut()).poll_write(cx, &last) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => last.advance(n),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    state.last_chunk = Some(last);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(LAST_CHUNK.len()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let connections = self.figures.connections.load(Relaxed);
        self.stream.set_limit(share(connections));
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let read = buf.filled().get(before..).unwrap_or_default();
        self.outflow.state().head.read(read);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match ready!(self.poll_last_chunk(cx, buf))? {
            0 => Pin::new(self.stream.get_mut()).poll_write(cx, buf),
            written => Poll::Ready(Ok(written)),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let next = bufs.iter().find(|buf| !buf.is_empty());
        match ready!(self.poll_last_chunk(cx, next.map_or(&[], |buf| buf)))? {
            0 => Pin::new(self.stream.get_mut()).poll_write_vectored(cx, bufs),
            written => Poll::Ready(Ok(written)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.get_ref().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(self.stream.get_mut()).poll_flush(cx))?;
        let waiting = {
            let mut state = self.outflow.state();
            state.emptied += 1;
            state.waiting.take()
        };
        if let Some(waiting) = waiting {
            waiting.wake();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream.get_mut()).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_share_what_may_be_read_ahead() {
        for (connections, bytes) in [
            (0, 32 << 10),
            (1, 32 << 10),
            (256, 32 << 10),
            (257, (16 << 10) - 1),
            (512, (16 << 10) - 1),
            (513, (8 << 10) - 1),
            (1024, (8 << 10) - 1),
            (u64::MAX, (8 << 10) - 1),
        ] {
            assert_eq!(share(connections), bytes, "{connections}");
        }
    }
}
