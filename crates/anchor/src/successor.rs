//! A log that goes on where another one had to be left.

use crate::check::{Checked, Mark};
use crate::error::Error;
use crate::facts::{self, shortened};
use crate::head::sha256;
use event::{Draft, Line, Source};
use evidence::Store;
use serde_json::{Map, Value, json};
use std::path::Path;
use storage::read_regular;
use tlog::note::MAX_NOTE_BYTES;

/// Events of the recorder itself that may stand before the one that names the predecessor: start, key, check.
const FIRST_EVENTS: usize = 64;

/// What was found of the log that is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Successor {
    left: Left,
    checkpoint_sha256: Option<String>,
    mark: Option<Mark>,
    reason: String,
}

impl Successor {
    /// Commits to the record in `old` as it lies there, and to what `checked` found of it.
    ///
    /// # Errors
    /// [`Error::Local`] where it cannot be read.
    pub fn of(old: &Path, checked: Option<&Checked>) -> Result<Self, Error> {
        let store = Store::open(old)?;
        let size = store.len();
        let doubts = checked.map(Checked::in_words).unwrap_or_default();
        let reason = match doubts.is_empty() {
            true => "the operator left the log".to_owned(),
            false => shortened(&doubts.join("; ")),
        };
        Ok(Self {
            left: Left {
                origin: store.origin().to_owned(),
                size,
                root: store.root(size)?.to_string(),
            },
            checkpoint_sha256: read_regular(&old.join("log/checkpoint"), MAX_NOTE_BYTES as u64)
                .ok()
                .map(|bytes| hex::encode(sha256(&bytes))),
            mark: checked.and_then(|checked| checked.doubts().next().cloned()),
            reason,
        })
    }

    /// The event that names it.
    #[must_use]
    pub fn draft(&self) -> Draft {
        facts::draft(
            event::Kind::LogSuccessor,
            json!({
                "origin": self.left.origin,
                "size": self.left.size,
                "root": self.left.root,
                "checkpoint_sha256": self.checkpoint_sha256,
                "mark": self.mark,
                "reason": self.reason,
            }),
        )
    }

    /// The log that is left.
    #[must_use]
    pub fn left(&self) -> &Left {
        &self.left
    }
}

/// A log that was left, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Its name.
    pub origin: String,
    /// How many events it had.
    pub size: u64,
    /// The root over them (RFC 6962, section 2.1), in base64.
    pub root: String,
}

impl Left {
    /// Whether the record in `dir` holds it: the same log, at least as long, with the same root there.
    ///
    /// # Errors
    /// [`Error::Local`] where it cannot be read.
    pub fn is_in(&self, dir: &Path) -> Result<bool, Error> {
        let store = Store::open(dir)?;
        let same = self.origin == store.origin() && self.size <= store.len();
        Ok(same && self.root == store.root(self.size)?.to_string())
    }

    /// As a `log.successor` event says it; `None` where it does not.
    fn said(facts: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| Some(facts.get(name)?.as_str()?.to_owned());
        Some(Self {
            origin: text("origin")?,
            size: facts.get("size")?.as_u64()?,
            root: text("root")?,
        })
    }
}

/// What a record says of a log before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Succession {
    /// It succeeds this log.
    Of(Left),
    /// It began as a log of its own.
    OfNone,
    /// It is too young to have said anything: its first recorder was cut off among its own first events.
    NotSaid,
}

/// What the record in `dir` succeeds.
///
/// # Errors
/// [`Error::Local`] where it cannot be read.
pub fn succession(dir: &Path) -> Result<Succession, Error> {
    let store = Store::open(dir)?;
    for entry in store.events(0).take(FIRST_EVENTS) {
        let entry = entry?;
        let line = Line::parse(&entry.line).map_err(|error| Error::Local(error.to_string()))?;
        if line.kind == event::Kind::LogSuccessor.as_str() {
            let left = Left::said(&line.facts.unwrap_or_default());
            return left.map(Succession::Of).ok_or_else(|| {
                Error::Local(format!(
                    "event {} does not say which log was left",
                    line.seq
                ))
            });
        }
        let ended = line.kind == event::Kind::RecorderStop.as_str();
        if ended || line.source != Source::Recorder.as_str() {
            return Ok(Succession::OfNone);
        }
    }
    Ok(match store.len() <= FIRST_EVENTS as u64 {
        true => Succession::NotSaid,
        false => Succession::OfNone,
    })
}
