//! What the record itself says of who has known its log: so that "I know nothing" is told from "I never did".

use crate::error::Error;
use crate::files::Files;
use crate::standing::{Anchored, Kind, Label};
use event::{Line, Source};
use evidence::Store;
use std::path::Path;
use tlog::note::{Note, VerifyingKey};

/// Newest published checkpoints whose cosignatures are looked at; older ones are told of in the log.
const HEADS: usize = 64;

/// The record of the log that is asked about.
#[derive(Debug)]
pub(crate) struct Known<'a> {
    store: &'a Store,
    files: Files,
}

impl<'a> Known<'a> {
    pub(crate) fn by_record(store: &'a Store, dir: &Path) -> Self {
        Self {
            store,
            files: Files::of(dir),
        }
    }

    /// Witnesses and second places that had a head when the last recorder wrote down whom it knew.
    pub(crate) fn watchers(&self) -> Result<Vec<Anchored>, Error> {
        let mut watchers = self.files.standing()?.unwrap_or_default().anchors;
        watchers.retain(|anchor| anchor.kind != Kind::Timestamp && anchor.size > Some(0));
        Ok(watchers)
    }

    /// Events that this second place had a checkpoint over at some time; `None` where it never had one.
    pub(crate) fn to_place(&self, place: &Label) -> Result<Option<u64>, Error> {
        // The log tells it too, where the hint cannot be read.
        let standing = self.files.standing().ok().flatten();
        let last = standing.and_then(|standing| standing.size_of(place));
        match last {
            Some(size) => Ok(Some(size)),
            None => self.told(event::Kind::AnchorCopy, "place", &place.name),
        }
    }

    /// Events of a checkpoint that the witness with `key` cosigned at some time; `None` where it never did.
    pub(crate) fn to_witness(&self, key: &VerifyingKey) -> Result<Option<u64>, Error> {
        for size in self.store.published_sizes()?.into_iter().rev().take(HEADS) {
            let held = self.files.cosigned_text(size)?;
            let note = held.and_then(|held| Note::parse(&held).ok());
            let keys = std::slice::from_ref(key);
            if note.is_some_and(|note| note.verify(keys).is_ok()) {
                return Ok(Some(size));
            }
        }
        self.told(event::Kind::AnchorWitness, "key", &key.to_string())
    }

    /// The size that the first event of `kind` tells of whose fact `field` is `who`. Reads the log until there: an
    /// anchor that was ever had is mostly told of near the beginning.
    fn told(&self, kind: event::Kind, field: &str, who: &str) -> Result<Option<u64>, Error> {
        let kind = kind.as_str();
        for entry in self.store.events(0) {
            let line = entry?.line;
            // Most lines are of something else, and need no parsing.
            if !std::str::from_utf8(&line).is_ok_and(|line| line.contains(kind)) {
                continue;
            }
            let Ok(line) = Line::parse(&line) else {
                continue;
            };
            let ours = line.kind == kind && line.source == Source::Recorder.as_str();
            let facts = line.facts.filter(|_| ours).unwrap_or_default();
            if facts.get(field).and_then(|fact| fact.as_str()) == Some(who) {
                let size = facts.get("size").and_then(serde_json::Value::as_u64);
                return Ok(size.filter(|size| *size > 0));
            }
        }
        Ok(None)
    }
}
