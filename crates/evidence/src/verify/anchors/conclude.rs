//! What all anchors together say of times and witnesses.

use super::{Kind, Outside};
use crate::verify::brackets::{Bracket, brackets};
use crate::verify::tail::{cadences, tail};
use crate::verify::{Options, Report, Subject};

/// What the anchors come to: times, witnesses, the tail that they do not reach.
pub(in crate::verify) fn conclude(outside: &[Outside], options: &Options, report: &mut Report) {
    let events = report.events;
    report.brackets = brackets(outside, events);
    report.unanchored_tail = tail(outside, events);
    report.cadence = cadences(outside);
    let newest = |kind| {
        outside
            .iter()
            .filter(|anchor| anchor.verified && anchor.kind == kind)
            .max_by_key(|anchor| anchor.size)
    };
    let (stamp, witness) = (newest(Kind::Timestamp), newest(Kind::Witness));
    for (anchor, by) in [(stamp, "time-stamped"), (witness, "cosigned")] {
        if let Some(Outside {
            size, name, latest, ..
        }) = anchor
        {
            let detail = format!("{size} of {events} events were {by} by {latest} ({name})");
            report.rests(Subject::Time, detail);
        }
    }
    if options.roots.is_some() && stamp.is_none() {
        report.lacks(
            Subject::Time,
            "a time-stamp that verifies under the roots given",
        );
    } else if stamp.is_none() && witness.is_none() {
        let why = if outside.is_empty() {
            "no outsider has vouched for a time"
        } else {
            "time-stamps or cosignatures are there; whom to trust was not said (--roots, --policy)"
        };
        report.doubt(Subject::Time, why);
    }
    if report.brackets.iter().any(Bracket::is_empty) {
        let why = "outsiders contradict each other: an event lies behind an anchor and before an earlier one";
        report.doubt(Subject::Time, why);
        if options.roots.is_some() {
            report.lacks(Subject::Time, "a time that the outsiders agree on");
        }
    }
    let asked = options
        .policy
        .as_ref()
        .is_some_and(|policy| policy.asks_for_witnesses());
    if let Some(Outside { size, name, .. }) = witness {
        let detail = format!("{size} of {events} events are cosigned ({name})");
        report.rests(Subject::Witnesses, detail);
    } else if asked {
        report.lacks(
            Subject::Witnesses,
            "a head cosigned by the quorum that the policy asks for",
        );
    } else if options.heads.is_empty() {
        report.doubt(
            Subject::Witnesses,
            "no witness that was named (--policy FILE) has vouched for it",
        );
    }
}
