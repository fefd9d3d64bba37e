//! The anchors nearest to one event, as the record tells of them: a glance for readers, not a verdict.

use crate::error::Error;
use crate::published;
use crate::store::Store;
use event::Line;
use memchr::memmem;
use timestamp::Response;
use tlog::note::Note;

/// Events and heads that are looked at on each side.
const MAX_STEPS: usize = 8_192;

/// Largest file of an anchor that is looked at.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Between which outsiders' times an event was recorded. Nothing of it is verified.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nearest {
    /// The newest anchor that an earlier event holds: the event came after it.
    pub not_before: Option<Mark>,
    /// The first anchored head that covers the event: the event came before it.
    pub not_after: Option<Mark>,
}

/// One anchor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// When, RFC 3339, by the outsider's clock.
    pub time: String,
    /// The authority or the witness.
    pub by: String,
    /// The event that holds it (not before), or the size of its head (not after).
    pub at: u64,
}

impl Store {
    /// The anchors nearest to event `seq`, within some thousands of events and heads.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn nearest_anchors(&self, seq: u64) -> Result<Nearest, Error> {
        let mut nearest = Nearest {
            not_after: self.first_head(seq)?,
            ..Nearest::default()
        };
        for earlier in (0..seq).rev().take(MAX_STEPS) {
            let line = self.event(earlier)?;
            if memmem::find(&line, br#","kind":"anchor."#).is_some()
                && let Some(mark) = told(earlier, &line)
            {
                nearest.not_before = Some(mark);
                break;
            }
        }
        Ok(nearest)
    }

    fn first_head(&self, seq: u64) -> Result<Option<Mark>, Error> {
        let sizes = published::sizes(self.disk())?;
        for size in sizes.into_iter().filter(|size| *size > seq).take(MAX_STEPS) {
            let dir = published::dir(size);
            let mut names = self
                .disk()
                .list(&dir)
                .map_err(|error| Error::io(&dir, &error))?;
            names.retain(|name| name.ends_with(".tsr") || name == "cosigned");
            for name in names {
                let path = format!("{dir}/{name}");
                let small = self.disk().open(&path).and_then(|file| file.len());
                if small.is_ok_and(|len| len <= MAX_FILE_BYTES)
                    && let Ok(bytes) = self.disk().read(&path)
                    && let Some((time, by)) = said(&name, &bytes)
                {
                    return Ok(Some(Mark { time, by, at: size }));
                }
            }
        }
        Ok(None)
    }
}

/// What an event tells of an anchor.
fn told(seq: u64, line: &[u8]) -> Option<Mark> {
    let line = Line::parse(line).ok()?;
    let facts = line.facts?;
    let text = |name: &str| facts.get(name)?.as_str().map(str::to_owned);
    let (time, by) = match line.kind.as_str() {
        "anchor.timestamp" => (text("gen_time")?, text("authority")?),
        "anchor.witness" => (text("time")?, text("witness")?),
        _ => return None,
    };
    Some(Mark { time, by, at: seq })
}

/// The time that a file of an anchor states, and who states it.
fn said(name: &str, bytes: &[u8]) -> Option<(String, String)> {
    if let Some(authority) = name.strip_suffix(".tsr") {
        let token = Response::from_der(bytes)
            .and_then(Response::into_token)
            .ok()?;
        return Some((token.claims().gen_time.to_string(), authority.to_owned()));
    }
    let note = Note::parse(bytes).ok()?;
    let witness = note.signatures().last()?;
    let seconds = i64::try_from(u64::from_be_bytes(*witness.bytes().first_chunk::<8>()?)).ok()?;
    let time = jiff::Timestamp::from_second(seconds).ok()?;
    Some((time.to_string(), witness.name().to_owned()))
}
