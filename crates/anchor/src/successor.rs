//! A log that goes on where another one had to be left.

use crate::check::{Checked, Mark};
use crate::error::Error;
use crate::facts::{self, shortened};
use crate::head::sha256;
use event::{Draft, Line, Source};
use evidence::Store;
use serde_json::json;
use std::path::Path;

/// Events of the recorder itself that may stand before the one that names the predecessor: start, key, check.
const FIRST_EVENTS: usize = 64;

/// What was found of the log that is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Successor {
    origin: String,
    size: u64,
    root: String,
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
            origin: store.origin().to_owned(),
            size,
            root: store.root(size)?.to_string(),
            checkpoint_sha256: std::fs::read(old.join("log/checkpoint"))
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
                "origin": self.origin,
                "size": self.size,
                "root": self.root,
                "checkpoint_sha256": self.checkpoint_sha256,
                "mark": self.mark,
                "reason": self.reason,
            }),
        )
    }

    /// The log that is left.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }
}

/// Whether the record in `dir` says that it succeeds the log `origin`; `None` where it is too young to have said
/// anything: its first recorder was cut off among its own first events.
///
/// # Errors
/// [`Error::Local`] where it cannot be read.
pub fn is_successor_of(dir: &Path, origin: &str) -> Result<Option<bool>, Error> {
    let store = Store::open(dir)?;
    if store.origin() == origin {
        return Ok(Some(false));
    }
    for entry in store.events(0).take(FIRST_EVENTS) {
        let entry = entry?;
        let line = Line::parse(&entry.line).map_err(|error| Error::Local(error.to_string()))?;
        if line.kind == event::Kind::LogSuccessor.as_str() {
            let named = line.facts.as_ref().and_then(|facts| facts.get("origin"));
            return Ok(Some(named.and_then(|name| name.as_str()) == Some(origin)));
        }
        let ended = line.kind == event::Kind::RecorderStop.as_str();
        if ended || line.source != Source::Recorder.as_str() {
            return Ok(Some(false));
        }
    }
    let young = store.len() <= FIRST_EVENTS as u64;
    Ok(if young { None } else { Some(false) })
}
