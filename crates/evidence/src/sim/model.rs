//! What the record must hold: every event that was handed to the recorder, what became of it, and the bytes of
//! every body.

use crate::command::Appended;
use crate::error::Error;
use crate::orders::{Revoked, Rotated};
use event::{BodyRef, Draft};
use std::collections::{BTreeMap, BTreeSet};

/// The fact by which an event is found again.
pub(super) const TAG: &str = "tag";

/// A submitted event.
#[derive(Debug)]
pub(super) struct Event {
    /// The line behind its position.
    pub(super) sealed: Vec<u8>,
    pub(super) bodies: Vec<(BodyRef, Vec<u8>)>,
    pub(super) fate: Fate,
}

/// What its source was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing, or that it is not known.
    Open,
    Acknowledged(Appended),
    /// That nothing was recorded.
    Refused,
}

/// A body of an open call that was flushed.
#[derive(Debug, Default, Clone)]
pub(super) struct Flushed {
    /// Bytes that the recorder acknowledged.
    pub(super) durable: usize,
    /// All that was written.
    pub(super) written: Vec<u8>,
}

#[derive(Debug, Default)]
pub(super) struct Model {
    /// By tag; tags count in the order of submission, which is the order in the log.
    pub(super) events: BTreeMap<u64, Event>,
    pub(super) next_tag: u64,
    /// By call.
    pub(super) flushed: BTreeMap<u64, Flushed>,
    /// The log as it was read last. All of it was durable then.
    pub(super) lines: Vec<Vec<u8>>,
    /// Roots by size, of every checkpoint that was seen.
    pub(super) checkpoints: BTreeMap<u64, String>,
    /// Published heads, which must stay as they are.
    pub(super) published: BTreeMap<String, Vec<u8>>,
    /// Refused since the last start.
    pub(super) refused: u64,
    /// Whether the recorder has tried to go over to another key, of its own accord or because it was asked to.
    pub(super) rotates: bool,
    /// Keys that took over, as whoever asked for it was told.
    pub(super) rotated: Vec<Rotated>,
    /// Keys that count no more, likewise.
    pub(super) revoked: Vec<Revoked>,
    /// How many revocations there were when this was last asked.
    revoked_before: usize,
    /// Orders to revoke a key that are not answered yet.
    pub(super) revoking: u64,
    /// Where the log stood when something happened after which nothing may be acknowledged.
    pub(super) dead_line: Option<u64>,
}

impl Model {
    /// Marks a draft, so that it is found again.
    pub(super) fn tag(&mut self, draft: &mut Draft) -> u64 {
        let tag = self.next_tag;
        self.next_tag += 1;
        let facts = draft.facts.get_or_insert_default();
        facts.insert(TAG.into(), tag.into());
        tag
    }

    pub(super) fn submitted(&mut self, tag: u64, draft: &Draft, bodies: &[(BodyRef, Vec<u8>)]) {
        let event = Event {
            sealed: draft.seal().unwrap(),
            bodies: bodies.to_vec(),
            fate: Fate::Open,
        };
        self.events.insert(tag, event);
    }

    /// What the source of an event was told. `false`: the recorder is at its end.
    pub(super) fn answered(&mut self, tag: u64, answer: &Result<Appended, Error>) -> bool {
        let fate = match answer {
            Ok(appended) => {
                if let Some(line) = self.dead_line {
                    assert!(
                        appended.seq < line,
                        "event {} was acknowledged after a sync had failed",
                        appended.seq
                    );
                }
                Fate::Acknowledged(*appended)
            }
            Err(Error::Full(_)) => {
                self.refused += 1;
                Fate::Refused
            }
            Err(Error::Fatal(_) | Error::Closed) => return false,
            Err(other) => panic!("event {tag}: {other}"),
        };
        self.events.get_mut(&tag).unwrap().fate = fate;
        true
    }

    /// A recorder begins.
    pub(super) fn begin(&mut self) {
        (self.refused, self.dead_line) = (0, None);
    }

    /// Whether a revocation was acknowledged since this was asked.
    pub(super) fn revoked_just_now(&mut self) -> bool {
        let before = std::mem::replace(&mut self.revoked_before, self.revoked.len());
        before < self.revoked.len()
    }

    pub(super) fn acknowledged(&self) -> u64 {
        let fates = self.events.values().map(|event| event.fate);
        fates
            .filter(|fate| matches!(fate, Fate::Acknowledged(_)))
            .count() as u64
    }

    /// The events that were refused.
    pub(super) fn refused_tags(&self) -> BTreeSet<u64> {
        let refused = self
            .events
            .iter()
            .filter(|(_, event)| event.fate == Fate::Refused);
        refused.map(|(tag, _)| *tag).collect()
    }
}
