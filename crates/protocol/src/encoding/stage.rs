//! One decoder for each content encoding, behind one way to feed it.

use super::{Inflate, PIECE, Problem, Sink, Stop};
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState, HeapAlloc, HuffmanCode};
use std::borrow::Cow;
use std::io::{self, Write as _};
use zstd::stream::raw::{DParameter, Decoder as ZstdDecoder, InBuffer, Operation as _, OutBuffer};

/// Largest zstd window, as a power of two: RFC 9659 limits the content coding to 8 MiB.
const ZSTD_WINDOW_LOG: u32 = 23;

/// One decoder, and the bytes that it has yet to take, where it paused.
pub(super) struct Stage {
    coder: Coder,
    held: Vec<u8>,
}

enum Coder {
    Gzip(Box<Gzip>),
    Deflate(Deflate),
    Brotli(Box<Brotli>),
    Zstd(Box<Zstd>),
    /// The library could not make its state.
    Failed(&'static str),
}

impl Stage {
    /// The decoder of this name, as the registry of content codings spells it.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(Self {
            coder: Coder::named(name)?,
            held: Vec::new(),
        })
    }

    pub(super) const fn name(&self) -> &'static str {
        self.coder.name()
    }

    /// Decodes what is held and then `bytes`. What a pause leaves of them is held.
    pub(super) fn feed(&mut self, bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), Stop> {
        let mut held = std::mem::take(&mut self.held);
        let bytes = if held.is_empty() {
            Cow::Borrowed(bytes)
        } else {
            held.extend_from_slice(bytes);
            Cow::Owned(held)
        };
        let mut rest = &*bytes;
        let fed = self.coder.feed(&mut rest, sink);
        if matches!(fed, Err(Stop::Paused)) {
            self.held = rest.to_vec();
        }
        fed
    }

    /// Whether the stream may end here; asked once, at the end. An empty body is whole in every encoding.
    pub(super) fn at_rest(&mut self) -> bool {
        self.coder.at_rest()
    }
}

impl Coder {
    fn named(name: &str) -> Option<Self> {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if is("gzip") || is("x-gzip") {
            Some(Self::Gzip(Box::new(Gzip {
                inner: flate2::write::MultiGzDecoder::new(Vec::new()),
                fed: false,
            })))
        } else if is("deflate") {
            Some(Self::Deflate(Deflate {
                start: Vec::new(),
                inner: None,
            }))
        } else if is("br") {
            Some(Self::Brotli(Box::new(Brotli::new())))
        } else if is("zstd") {
            Some(Zstd::new().map_or(Self::Failed("zstd"), |zstd| Self::Zstd(Box::new(zstd))))
        } else {
            None
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Gzip(_) => "gzip",
            Self::Deflate(_) => "deflate",
            Self::Brotli(_) => "br",
            Self::Zstd(_) => "zstd",
            Self::Failed(name) => name,
        }
    }

    /// Takes bytes off the front and hands on what they decode to; what a pause leaves is still there.
    fn feed(&mut self, bytes: &mut &[u8], sink: &mut Sink<'_>) -> Result<(), Stop> {
        match self {
            Self::Gzip(gzip) => gzip.feed(bytes, sink),
            Self::Deflate(deflate) => deflate.feed(bytes, sink),
            Self::Brotli(brotli) => brotli.feed(bytes, sink),
            Self::Zstd(zstd) => zstd.feed(bytes, sink),
            Self::Failed(name) => Err(Problem::Corrupt(name).into()),
        }
    }

    fn at_rest(&mut self) -> bool {
        match self {
            Self::Gzip(gzip) => !gzip.fed || gzip.inner.try_finish().is_ok(),
            Self::Deflate(deflate) => deflate
                .inner
                .as_ref()
                .map_or(deflate.start.is_empty(), Inflate::ended),
            Self::Brotli(brotli) => !brotli.fed || brotli.ended,
            Self::Zstd(zstd) => zstd.at_frame_end,
            Self::Failed(_) => false,
        }
    }
}

/// Leaves of `bytes` what is behind the first `count`.
fn take(bytes: &mut &[u8], count: usize) {
    *bytes = bytes.get(count..).unwrap_or_default();
}

struct Gzip {
    inner: flate2::write::MultiGzDecoder<Vec<u8>>,
    fed: bool,
}

impl Gzip {
    fn feed(&mut self, bytes: &mut &[u8], sink: &mut Sink<'_>) -> Result<(), Stop> {
        let corrupt = |_: io::Error| Problem::Corrupt("gzip");
        self.fed |= !bytes.is_empty();
        while !bytes.is_empty() {
            // One write makes at most one buffer of output, whatever the input could expand to.
            let taken = self.inner.write(bytes).map_err(corrupt)?;
            take(bytes, taken);
            self.drain(sink)?;
            if taken == 0 {
                return Err(Problem::Corrupt("gzip").into());
            }
        }
        self.inner.flush().map_err(corrupt)?;
        self.drain(sink)
    }

    /// Hands on all that came out, also where a pause is asked for in between.
    fn drain(&mut self, sink: &mut Sink<'_>) -> Result<(), Stop> {
        let out = self.inner.get_mut();
        let mut result = Ok(());
        for piece in out.chunks(PIECE) {
            match sink(piece) {
                Ok(()) => {}
                Err(Stop::Paused) => result = Err(Stop::Paused),
                Err(problem) => {
                    result = Err(problem);
                    break;
                }
            }
        }
        out.clear();
        result
    }
}

/// `deflate` means zlib, and in the wild also raw DEFLATE: the first two bytes tell.
struct Deflate {
    start: Vec<u8>,
    inner: Option<Inflate>,
}

impl Deflate {
    fn feed(&mut self, bytes: &mut &[u8], sink: &mut Sink<'_>) -> Result<(), Stop> {
        if self.inner.is_none() {
            while self.start.len() < 2
                && let Some(&first) = bytes.first()
            {
                self.start.push(first);
                take(bytes, 1);
            }
            let [method, flags] = *self.start.as_slice() else {
                return Ok(());
            };
            // RFC 1950: method 8, and the two bytes as one number divisible by 31.
            let zlib = method & 0x0F == 8 && u16::from_be_bytes([method, flags]).is_multiple_of(31);
            let inflate = self.inner.insert(Inflate::new(zlib));
            inflate
                .feed(&self.start, sink)?
                .map_err(|_| Problem::Corrupt("deflate"))?;
        }
        let Some(inflate) = &mut self.inner else {
            return Ok(());
        };
        let before = inflate.taken();
        let fed = inflate.feed(bytes, sink);
        let taken = inflate.taken() - before;
        take(bytes, usize::try_from(taken).unwrap_or(bytes.len()));
        Ok(fed?.map_err(|_| Problem::Corrupt("deflate"))?)
    }
}

struct Brotli {
    state: BrotliState<HeapAlloc<u8>, HeapAlloc<u32>, HeapAlloc<HuffmanCode>>,
    fed: bool,
    ended: bool,
}

impl Brotli {
    fn new() -> Self {
        Self {
            state: BrotliState::new(
                HeapAlloc::new(0),
                HeapAlloc::new(0),
                HeapAlloc::new(HuffmanCode::default()),
            ),
            fed: false,
            ended: false,
        }
    }

    fn feed(&mut self, bytes: &mut &[u8], sink: &mut Sink<'_>) -> Result<(), Stop> {
        self.fed |= !bytes.is_empty();
        let mut out = vec![0; PIECE];
        let mut total = 0;
        while !self.ended {
            let (mut available_in, mut at_in) = (bytes.len(), 0);
            let (mut available_out, mut at_out) = (out.len(), 0);
            let result = BrotliDecompressStream(
                &mut available_in,
                &mut at_in,
                bytes,
                &mut available_out,
                &mut at_out,
                &mut out,
                &mut total,
                &mut self.state,
            );
            take(bytes, at_in);
            self.ended = matches!(result, BrotliResult::ResultSuccess);
            if let Some(piece) = out.get(..at_out)
                && !piece.is_empty()
            {
                sink(piece)?;
            }
            match result {
                BrotliResult::NeedsMoreInput => return Ok(()),
                BrotliResult::ResultFailure => return Err(Problem::Corrupt("br").into()),
                BrotliResult::NeedsMoreOutput | BrotliResult::ResultSuccess => {}
            }
        }
        Ok(())
    }
}

struct Zstd {
    inner: ZstdDecoder<'static>,
    /// True before the first byte and behind each whole frame.
    at_frame_end: bool,
}

impl Zstd {
    fn new() -> io::Result<Self> {
        let mut inner = ZstdDecoder::new()?;
        inner.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG))?;
        Ok(Self {
            inner,
            at_frame_end: true,
        })
    }

    fn feed(&mut self, bytes: &mut &[u8], sink: &mut Sink<'_>) -> Result<(), Stop> {
        let mut out = vec![0; PIECE];
        loop {
            let mut input = InBuffer::around(bytes);
            let mut output = OutBuffer::around(out.as_mut_slice());
            let left = self
                .inner
                .run(&mut input, &mut output)
                .map_err(|_| Problem::Corrupt("zstd"))?;
            let (taken, piece) = (input.pos(), output.as_slice());
            take(bytes, taken);
            let full = piece.len() == PIECE;
            // Neither in nor out: nothing was said of the frame.
            if taken > 0 || !piece.is_empty() {
                self.at_frame_end = left == 0;
            }
            if !piece.is_empty() {
                sink(piece)?;
            }
            if bytes.is_empty() && !full {
                return Ok(());
            }
        }
    }
}
