//! Anchors as events: names and spellings that verification relies on.

use crate::head::Head;
use crate::standing::{Failing, Kind, Label};
use event::{Draft, Source};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// An event of the recorder about its anchors. What is null is left out.
pub(crate) fn draft(kind: event::Kind, facts: Value) -> Draft {
    let mut draft = Draft::new(kind, Source::Recorder);
    let mut facts = match facts {
        Value::Object(facts) => facts,
        _ => Map::new(),
    };
    facts.retain(|_, fact| !fact.is_null());
    draft.facts = Some(facts);
    draft
}

/// What it took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Attempts since the last success.
    pub(crate) attempts: u64,
    /// Since the first checkpoint after the last success was there to be anchored.
    pub(crate) waited: Duration,
    /// Checkpoints since the last success that a newer one overtook.
    pub(crate) superseded: u64,
}

/// The event of an anchor that was had: what is its own, and what every one states.
pub(crate) fn had(kind: Kind, own: Value, head: &Head, effort: Effort) -> Draft {
    let event = match kind {
        Kind::Timestamp => event::Kind::AnchorTimestamp,
        Kind::Witness => event::Kind::AnchorWitness,
        Kind::Copy => event::Kind::AnchorCopy,
    };
    let mut draft = draft(event, own);
    if let Some(facts) = &mut draft.facts {
        facts.insert("size".to_owned(), head.size.into());
        facts.insert("root".to_owned(), head.root.to_string().into());
        facts.insert("attempts".to_owned(), effort.attempts.into());
        facts.insert("waited_ms".to_owned(), millis(effort.waited).into());
        if effort.superseded > 0 {
            facts.insert("superseded".to_owned(), effort.superseded.into());
        }
    }
    draft
}

/// The event of an anchor that begins to fail.
pub(crate) fn failed(anchor: &Label, failing: &Failing) -> Draft {
    let facts = json!({
        "anchor": anchor.kind.as_str(),
        "name": anchor.name,
        "key_id": anchor.key_id,
        "error": shortened(&failing.error),
        "since": failing.since,
        "incident": failing.incident.then_some(true),
    });
    draft(event::Kind::AnchorFailed, facts)
}

/// Longest error in an event, in characters: part of it is what somebody else says.
const MAX_ERROR: usize = 1000;

/// Foreign text in an event: bounded, without control characters.
pub(crate) fn shortened(text: &str) -> String {
    let plain = text.chars().filter(|c| !c.is_control());
    plain.take(MAX_ERROR).collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
