//! Content encodings (RFC 9110, section 8.4): gzip, deflate, br and zstd, decoded as the bytes arrive.
//!
//! Output leaves in pieces of at most [`PIECE`] bytes and its total is bounded, so that a small body cannot become a large
//! one in memory. A body that cannot be decoded is named, never an error to the caller.

mod inflate;
mod stage;

pub(crate) use inflate::Inflate;
use stage::Stage;
use std::borrow::Cow;
use std::fmt;
use std::ops::ControlFlow;

/// Longest piece that a decoder hands out.
pub const PIECE: usize = 32 * 1024;

/// Encodings that one body may be wrapped in. More than this is an attack, not a use.
const CHAIN: usize = 4;

/// Why a body could not be decoded, or not in full.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// An encoding that no decoder knows; its name, cut.
    #[error("content encoding {0:?} is not known")]
    Unknown(String),
    /// More encodings on one body than are followed.
    #[error("more than {CHAIN} content encodings on one body")]
    Chain,
    /// The bytes are not of the encoding that the header names.
    #[error("the body is not valid {0}")]
    Corrupt(&'static str),
    /// The body ended inside an encoded stream.
    #[error("the body ends inside its {0} stream")]
    Truncated(&'static str),
    /// The plain text crossed the bound.
    #[error("the decoded body is over the limit of {0} bytes")]
    TooLarge(u64),
}

/// A decoder for one body.
pub struct Decoder {
    /// In the order of undoing: the last encoding of the header first.
    stages: Vec<Stage>,
    limit: u64,
    emitted: u64,
    problem: Option<Problem>,
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stages: Vec<_> = self.stages.iter().map(Stage::name).collect();
        f.debug_struct("Decoder")
            .field("stages", &stages)
            .field("emitted", &self.emitted)
            .field("problem", &self.problem)
            .finish_non_exhaustive()
    }
}

impl Decoder {
    /// A decoder for the value of a `Content-Encoding` header, emitting at most `limit` bytes.
    #[must_use]
    pub fn new(content_encoding: Option<&str>, limit: u64) -> Self {
        let mut decoder = Self {
            stages: Vec::new(),
            limit,
            emitted: 0,
            problem: None,
        };
        let names = content_encoding
            .unwrap_or_default()
            .split(',')
            .map(str::trim);
        for name in names
            .rev()
            .filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity"))
        {
            if decoder.stages.len() == CHAIN {
                decoder.problem = Some(Problem::Chain);
                break;
            }
            match Stage::named(name) {
                Some(stage) => decoder.stages.push(stage),
                None => decoder.problem = Some(Problem::Unknown(crate::text::name(name))),
            }
        }
        decoder
    }

    /// Whether the bytes pass as they are.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        self.stages.is_empty() && self.problem.is_none()
    }

    /// Decodes the next bytes; hands the plain bytes to `sink` in pieces. After a problem nothing more is handed out.
    pub fn feed(&mut self, bytes: &[u8], sink: &mut dyn FnMut(&[u8])) {
        let mut all = |piece: &[u8]| {
            sink(piece);
            ControlFlow::Continue(())
        };
        // What never pauses has nothing left behind.
        let _whole = self.feed_some(bytes, &mut all);
    }

    /// As [`Self::feed`], but `sink` may ask for a pause: it then gets at most a piece or two more. What is left of the
    /// bytes is kept, and [`Self::resume`] is to be called until it does not break, before the next bytes are fed.
    pub fn feed_some(&mut self, bytes: &[u8], sink: &mut SomeSink<'_>) -> ControlFlow<()> {
        self.advance(sink, |stages, sink| run(stages, bytes, sink))
    }

    /// Goes on with what a pause left.
    pub fn resume(&mut self, sink: &mut SomeSink<'_>) -> ControlFlow<()> {
        self.advance(sink, resume)
    }

    fn advance(
        &mut self,
        sink: &mut SomeSink<'_>,
        step: impl FnOnce(&mut [Stage], &mut Sink<'_>) -> Result<(), Stop>,
    ) -> ControlFlow<()> {
        if self.problem.is_some() {
            return ControlFlow::Continue(());
        }
        let (limit, emitted) = (self.limit, &mut self.emitted);
        let mut bounded = |piece: &[u8]| {
            let room = limit.saturating_sub(*emitted);
            let fits =
                usize::try_from(room).map_or(piece, |room| piece.get(..room).unwrap_or(piece));
            *emitted += fits.len() as u64;
            let goes_on = fits.is_empty() || sink(fits).is_continue();
            if fits.len() < piece.len() {
                Err(Problem::TooLarge(limit).into())
            } else if goes_on {
                Ok(())
            } else {
                Err(Stop::Paused)
            }
        };
        match step(&mut self.stages, &mut bounded) {
            Ok(()) => ControlFlow::Continue(()),
            Err(Stop::Paused) => ControlFlow::Break(()),
            Err(Stop::Problem(problem)) => {
                self.problem = Some(problem);
                ControlFlow::Continue(())
            }
        }
    }

    /// Ends the body. A stream that is not whole becomes the problem, unless there is one already.
    pub fn finish(&mut self) {
        if self.problem.is_none() {
            let open = self
                .stages
                .iter_mut()
                .find_map(|stage| (!stage.at_rest()).then(|| stage.name()));
            self.problem = open.map(Problem::Truncated);
        }
    }

    /// Why decoding stopped, or what is missing at the end.
    #[must_use]
    pub const fn problem(&self) -> Option<&Problem> {
        self.problem.as_ref()
    }
}

/// Decodes a whole body. What was decoded before a problem is kept. Borrows the body where it is not encoded.
#[must_use]
pub fn decode<'a>(
    content_encoding: Option<&str>,
    bytes: &'a [u8],
    limit: u64,
) -> (Cow<'a, [u8]>, Option<Problem>) {
    let mut decoder = Decoder::new(content_encoding, limit);
    if decoder.is_identity() && bytes.len() as u64 <= limit {
        return (Cow::Borrowed(bytes), None);
    }
    let mut out = Vec::new();
    decoder.feed(bytes, &mut |piece| out.extend_from_slice(piece));
    decoder.finish();
    (Cow::Owned(out), decoder.problem)
}

/// Takes pieces, and says whether more may come now.
pub type SomeSink<'a> = dyn FnMut(&[u8]) -> ControlFlow<()> + 'a;

/// Why a stage stops before its input ends.
#[derive(Debug)]
enum Stop {
    /// Whoever takes the pieces wants no more for now.
    Paused,
    Problem(Problem),
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

type Sink<'a> = dyn FnMut(&[u8]) -> Result<(), Stop> + 'a;

/// Passes bytes through every stage, piece by piece: no stage's output is ever held whole.
fn run(stages: &mut [Stage], bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), Stop> {
    match stages.split_first_mut() {
        None => sink(bytes),
        Some((stage, rest)) => stage.feed(bytes, &mut |piece| run(rest, piece, sink)),
    }
}

/// Has every stage go on with what it holds, the last first: what an earlier one hands on comes behind it.
fn resume(stages: &mut [Stage], sink: &mut Sink<'_>) -> Result<(), Stop> {
    let Some((stage, rest)) = stages.split_first_mut() else {
        return Ok(());
    };
    resume(rest, sink)?;
    stage.feed(&[], &mut |piece| run(rest, piece, sink))
}

#[cfg(test)]
#[path = "../encoding_tests.rs"]
mod tests;
