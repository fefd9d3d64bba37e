//! One decoder for each content encoding, behind one way to feed it.

use super::{Inflate, PIECE, Problem, Sink};
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState, HeapAlloc, HuffmanCode};
use std::io::{self, Write as _};
use zstd::stream::raw::{DParameter, Decoder as ZstdDecoder, InBuffer, Operation as _, OutBuffer};

/// Largest zstd window, as a power of two: RFC 9659 limits the content coding to 8 MiB.
const ZSTD_WINDOW_LOG: u32 = 23;

pub(super) enum Stage {
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

    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Gzip(_) => "gzip",
            Self::Deflate(_) => "deflate",
            Self::Brotli(_) => "br",
            Self::Zstd(_) => "zstd",
            Self::Failed(name) => name,
        }
    }

    pub(super) fn feed(&mut self, bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), Problem> {
        match self {
            Self::Gzip(gzip) => gzip.feed(bytes, sink),
            Self::Deflate(deflate) => deflate.feed(bytes, sink),
            Self::Brotli(brotli) => brotli.feed(bytes, sink),
            Self::Zstd(zstd) => zstd.feed(bytes, sink),
            Self::Failed(name) => Err(Problem::Corrupt(name)),
        }
    }

    /// Whether the stream may end here; asked once, at the end. An empty body is whole in every encoding.
    pub(super) fn at_rest(&mut self) -> bool {
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

pub(super) struct Gzip {
    inner: flate2::write::MultiGzDecoder<Vec<u8>>,
    fed: bool,
}

impl Gzip {
    fn feed(&mut self, mut bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), Problem> {
        let corrupt = |_: io::Error| Problem::Corrupt("gzip");
        self.fed |= !bytes.is_empty();
        while !bytes.is_empty() {
            // One write makes at most one buffer of output, whatever the input could expand to.
            let taken = self.inner.write(bytes).map_err(corrupt)?;
            self.drain(sink)?;
            if taken == 0 {
                return Err(Problem::Corrupt("gzip"));
            }
            bytes = bytes.get(taken..).unwrap_or_default();
        }
        self.inner.flush().map_err(corrupt)?;
        self.drain(sink)
    }

    fn drain(&mut self, sink: &mut Sink<'_>) -> Result<(), Problem> {
        let out = self.inner.get_mut();
        let result = out.chunks(PIECE).try_for_each(sink);
        out.clear();
        result
    }
}

/// `deflate` means zlib, and in the wild also raw DEFLATE: the first two bytes tell.
pub(super) struct Deflate {
    start: Vec<u8>,
    inner: Option<Inflate>,
}

impl Deflate {
    fn feed(&mut self, mut bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), Problem> {
        if self.inner.is_none() {
            while self.start.len() < 2
                && let Some((&first, rest)) = bytes.split_first()
            {
                self.start.push(first);
                bytes = rest;
            }
            let [method, flags] = *self.start.as_slice() else {
                return Ok(());
            };
            // RFC 1950: method 8, and the two bytes as one number divisible by 31.
            let zlib = method & 0x0F == 8 && u16::from_be_bytes([method, flags]).is_multiple_of(31);
            let mut inflate = Inflate::new(zlib);
            let start = inflate.feed(&self.start, sink)?;
            self.inner = Some(inflate);
            start.map_err(|_| Problem::Corrupt("deflate"))?;
        }
        let Some(inflate) = &mut self.inner else {
            return Ok(());
        };
        inflate
            .feed(bytes, sink)?
            .map_err(|_| Problem::Corrupt("deflate"))
    }
}

pub(super) struct Brotli {
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

    fn feed(&mut self, bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), Problem> {
        self.fed |= !bytes.is_empty();
        let mut out = vec![0; PIECE];
        let (mut available_in, mut at_in, mut total) = (bytes.len(), 0, 0);
        while !self.ended {
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
            if let Some(piece) = out.get(..at_out)
                && !piece.is_empty()
            {
                sink(piece)?;
            }
            match result {
                BrotliResult::NeedsMoreOutput => {}
                BrotliResult::NeedsMoreInput => return Ok(()),
                BrotliResult::ResultSuccess => self.ended = true,
                BrotliResult::ResultFailure => return Err(Problem::Corrupt("br")),
            }
        }
        Ok(())
    }
}

pub(super) struct Zstd {
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

    fn feed(&mut self, bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), Problem> {
        let mut out = vec![0; PIECE];
        let mut input = InBuffer::around(bytes);
        loop {
            let mut output = OutBuffer::around(out.as_mut_slice());
            let left = self
                .inner
                .run(&mut input, &mut output)
                .map_err(|_| Problem::Corrupt("zstd"))?;
            let piece = output.as_slice();
            if !piece.is_empty() {
                sink(piece)?;
            }
            let full = piece.len() == PIECE;
            if !bytes.is_empty() {
                self.at_frame_end = left == 0;
            }
            if input.pos() == bytes.len() && !full {
                return Ok(());
            }
        }
    }
}
