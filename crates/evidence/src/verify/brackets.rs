//! Between which times each event was recorded, as outsiders' clocks tell.
//!
//! An event that follows one which holds an anchor's unpredictable bytes was recorded after that anchor was
//! made. An event under an anchored head was recorded before it. Both hold whatever the recorder's clock said.

use super::anchors::{Kind, Outside};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::collections::BTreeSet;

/// Ranges listed; where there are more, neighbours are joined and their brackets are the wider.
const MAX_RANGES: usize = 10_000;

/// By how much the clocks of two outsiders may differ before they are said to contradict each other.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_secs(5);

/// The last moment that somebody may mean who states a time in whole seconds.
pub(super) fn end_of_second(time: Timestamp) -> Timestamp {
    time.checked_add(SignedDuration::from_secs(1))
        .unwrap_or(time)
}

/// One side of a bracket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bound {
    /// The time, RFC 3339.
    pub time: String,
    /// How the outsider vouches.
    pub kind: Kind,
    /// Who vouches.
    pub by: String,
    /// The event that holds the anchor (not before), or the size of the anchored head (not after).
    pub at: u64,
    /// Whether the auditor's trust reaches it.
    pub verified: bool,
    #[serde(skip)]
    moment: Timestamp,
}

/// Events that share a bracket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bracket {
    /// First event.
    pub from: u64,
    /// One behind the last.
    pub to: u64,
    /// Recorded after this; `None` where nothing tells.
    pub not_before: Option<Bound>,
    /// Recorded before this; `None` for the unanchored tail.
    pub not_after: Option<Bound>,
}

impl Bracket {
    /// The later side, where the auditor's trust reaches it.
    pub(super) fn trusted_not_after(&self) -> Option<Timestamp> {
        let bound = self.not_after.as_ref().filter(|bound| bound.verified);
        bound.map(|bound| bound.moment)
    }

    /// Whether the two sides contradict each other, by more than clocks may differ.
    pub(super) fn is_empty(&self) -> bool {
        match (&self.not_before, &self.not_after) {
            (Some(before), Some(after)) => {
                before.moment.duration_since(after.moment) > CLOCKS_DIFFER
            }
            _ => false,
        }
    }
}

/// The brackets of events `0 .. events`.
///
/// What the auditor's trust does not reach is left out as soon as it reaches anything.
pub(super) fn brackets(outside: &[Outside], events: u64) -> Vec<Bracket> {
    let trusted = outside.iter().any(|anchor| anchor.verified);
    let anchors = || {
        outside
            .iter()
            .filter(move |anchor| !trusted || anchor.verified)
    };
    let mut before: Vec<Bound> = anchors()
        .flat_map(|anchor| {
            anchor
                .told
                .iter()
                .map(|(seq, earliest)| bound(anchor, *earliest, *seq))
        })
        .collect();
    before.sort_by_key(|bound| bound.at);
    let mut after: Vec<Bound> = anchors()
        .map(|anchor| bound(anchor, anchor.latest, anchor.size))
        .collect();
    after.sort_by_key(|bound| std::cmp::Reverse(bound.at));
    let before = running(before, |new, held| new > held);
    let after = running(after, |new, held| new < held);
    let mut cuts: BTreeSet<u64> = [0, events].into();
    cuts.extend(before.iter().map(|bound| bound.at + 1));
    cuts.extend(after.iter().map(|bound| bound.at));
    let cuts: Vec<u64> = cuts.range(..=events).copied().collect();
    let ranges = cuts.windows(2).filter_map(|pair| {
        let (from, to) = (*pair.first()?, *pair.last()?);
        let held = before.partition_point(|bound| bound.at < from);
        let covering = after.partition_point(|bound| bound.at >= to);
        Some(Bracket {
            from,
            to,
            not_before: held.checked_sub(1).and_then(|at| before.get(at)).cloned(),
            not_after: covering
                .checked_sub(1)
                .and_then(|at| after.get(at))
                .cloned(),
        })
    });
    let mut ranges: Vec<Bracket> = ranges.collect();
    while ranges.len() > MAX_RANGES {
        ranges = joined(ranges);
    }
    ranges
}

fn bound(anchor: &Outside, moment: Timestamp, at: u64) -> Bound {
    Bound {
        time: moment.to_string(),
        kind: anchor.kind,
        by: anchor.name.clone(),
        at,
        verified: anchor.verified,
        moment,
    }
}

/// Only those bounds that are tighter than all before them.
fn running(bounds: Vec<Bound>, tighter: impl Fn(Timestamp, Timestamp) -> bool) -> Vec<Bound> {
    let mut kept: Vec<Bound> = Vec::new();
    for bound in bounds {
        match kept.last_mut() {
            Some(last) if !tighter(bound.moment, last.moment) => {}
            Some(last) if last.at == bound.at => *last = bound,
            _ => kept.push(bound),
        }
    }
    kept
}

/// Every two neighbours as one, within the wider of their brackets.
fn joined(ranges: Vec<Bracket>) -> Vec<Bracket> {
    let pairs = ranges.chunks(2).filter_map(|pair| {
        let (first, last) = (pair.first()?, pair.last()?);
        // Bounds only rise with the events: the wider is the first's before and the last's after.
        Some(Bracket {
            from: first.from,
            to: last.to,
            not_before: first.not_before.clone(),
            not_after: last.not_after.clone(),
        })
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn anchor(size: u64, told: &[u64], earliest: i64, latest: i64, verified: bool) -> Outside {
        Outside {
            kind: Kind::Timestamp,
            name: "authority".into(),
            size,
            latest: Timestamp::from_second(latest).unwrap(),
            told: told
                .iter()
                .map(|seq| (*seq, Timestamp::from_second(earliest).unwrap()))
                .collect(),
            verified,
        }
    }

    /// `from..to not_before..not_after`, in seconds.
    fn told(brackets: &[Bracket]) -> Vec<String> {
        let second = |bound: &Option<Bound>| {
            bound
                .as_ref()
                .map_or("?".to_owned(), |bound| bound.moment.as_second().to_string())
        };
        brackets
            .iter()
            .map(|b| {
                format!(
                    "{}..{} {}..{}",
                    b.from,
                    b.to,
                    second(&b.not_before),
                    second(&b.not_after)
                )
            })
            .collect()
    }

    #[test]
    fn each_event_lies_between_the_anchor_before_it_and_the_first_that_covers_it() {
        let anchors = [
            anchor(10, &[12], 99, 101, true),
            anchor(20, &[21], 199, 201, true),
            anchor(25, &[26], 250, 250, false),
        ];
        assert_eq!(
            told(&brackets(&anchors, 30)),
            [
                "0..10 ?..101",
                "10..13 ?..201",
                "13..20 99..201",
                "20..22 99..?",
                "22..30 199..?",
            ]
        );
        assert_eq!(told(&brackets(&[], 4)), ["0..4 ?..?"]);
        assert!(brackets(&[], 0).is_empty());
        assert_eq!(
            told(&brackets(&anchors[2..], 30)),
            ["0..25 ?..250", "25..27 ?..?", "27..30 250..?"]
        );
    }

    #[test]
    fn two_outsiders_contradict_each_other_by_more_than_their_clocks_may_differ() {
        for (earliest, latest, contradict) in [(100, 101, false), (100, 95, false), (100, 94, true)]
        {
            let anchors = [
                anchor(10, &[12], earliest, earliest, true),
                anchor(20, &[21], latest, latest, true),
            ];
            let found = brackets(&anchors, 30);
            let empty = found.iter().any(Bracket::is_empty);
            assert_eq!(empty, contradict, "{earliest} {latest}");
        }
    }

    proptest! {
        #[test]
        fn a_bracket_is_what_a_search_of_all_anchors_finds(
            anchors in proptest::collection::vec((1..60_u64, 0..60_u64, 0..500_i64, any::<bool>()), 0..20),
            events in 1..60_u64,
        ) {
            let anchors: Vec<Outside> = anchors
                .into_iter()
                .map(|(size, told, time, verified)| anchor(size, &[told], time - 1, time + 1, verified))
                .collect();
            let trusted = anchors.iter().any(|anchor| anchor.verified);
            let counted = || anchors.iter().filter(|anchor| !trusted || anchor.verified);
            let ranges = brackets(&anchors, events);
            prop_assert_eq!(ranges.first().map(|range| range.from), Some(0));
            prop_assert_eq!(ranges.last().map(|range| range.to), Some(events));
            for range in ranges {
                for event in range.from..range.to {
                    let before = counted().filter(|a| a.told[0].0 < event).map(|a| a.told[0].1).max();
                    let after = counted().filter(|a| a.size > event).map(|a| a.latest).min();
                    prop_assert_eq!(range.not_before.as_ref().map(|b| b.moment), before);
                    prop_assert_eq!(range.not_after.as_ref().map(|b| b.moment), after);
                }
            }
        }
    }
}
