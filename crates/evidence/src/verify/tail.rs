//! How far outsiders' word reaches, and how often it was sought.

use super::anchors::{Kind, Outside};
use jiff::Timestamp;
use serde::Serialize;

/// The events behind the last anchored head: whoever holds the log's key could still replace them unseen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tail {
    /// First event of the tail; 0 where nothing is anchored.
    pub from: u64,
    /// Events in it.
    pub events: u64,
    /// When the newest anchored head was vouched for, RFC 3339.
    pub anchored_at: Option<String>,
    /// Whether the auditor's trust reaches that anchor.
    pub verified: bool,
}

/// How often one kind of outsider vouched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cadence {
    /// The kind.
    pub kind: Kind,
    /// Heads vouched for.
    pub heads: u64,
    /// Most events between two of them, the beginning of the log counting as one.
    pub longest_events: u64,
    /// Most seconds between two of them by the outsiders' clocks.
    pub longest_seconds: u64,
    /// Events under the newest of them.
    pub newest: u64,
}

/// The tail of a log of `events` events. Anchors that the auditor's trust does not reach count only where
/// it reaches none.
pub(super) fn tail(outside: &[Outside], events: u64) -> Tail {
    let verified = outside.iter().any(|anchor| anchor.verified);
    let newest = outside
        .iter()
        .filter(|anchor| anchor.verified == verified)
        .max_by_key(|anchor| anchor.size);
    let from = newest.map_or(0, |anchor| anchor.size.min(events));
    Tail {
        from,
        events: events - from,
        anchored_at: newest.map(|anchor| anchor.latest.to_string()),
        verified,
    }
}

/// The cadence of each kind of outsider that vouched.
pub(super) fn cadences(outside: &[Outside]) -> Vec<Cadence> {
    [Kind::Timestamp, Kind::Witness]
        .into_iter()
        .filter_map(|kind| {
            let mut heads: Vec<(u64, Timestamp)> = outside
                .iter()
                .filter(|anchor| anchor.kind == kind)
                .map(|anchor| (anchor.size, anchor.latest))
                .collect();
            heads.sort_unstable();
            heads.dedup_by_key(|(size, _)| *size);
            let steps = || heads.iter().zip(heads.iter().skip(1));
            let (first, last) = (heads.first()?, heads.last()?);
            let longest_events = steps().map(|(a, b)| b.0 - a.0).max().unwrap_or_default();
            let seconds = steps().map(|(a, b)| b.1.as_second() - a.1.as_second());
            Some(Cadence {
                kind,
                heads: heads.len() as u64,
                longest_events: longest_events.max(first.0),
                longest_seconds: seconds
                    .max()
                    .and_then(|seconds| u64::try_from(seconds).ok())
                    .unwrap_or_default(),
                newest: last.0,
            })
        })
        .collect()
}
