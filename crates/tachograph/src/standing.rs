//! How the log stands with its anchors, for people.

use crate::summary::grouped;
use crate::when;
use anchor::{Anchored, Kind, Standing};
use jiff::Timestamp;
use std::fmt::Write as _;

/// How to have the head told outside, where nobody is told.
const NOWHERE: &str = "\
nowhere: NOTHING OUTSIDE THIS MACHINE KNOWS THE LOG'S HEAD. Whoever holds the machine and its key can write
            another history unseen. Name a second place (a directory on another disk or machine) in the configuration:
              [copy]
              directory = \"/mnt/elsewhere/tachograph\"
            or witnesses and time-stamp authorities: docs/anchors.md
";

/// Lines of `tacho status`, the first after its heading.
pub(crate) fn to_text(standing: &Standing, durable: u64) -> String {
    let mut text = String::from("anchored    ");
    if !standing.is_anchored() {
        text.push_str(NOWHERE);
        return text;
    }
    let incidents = incidents(standing);
    let tail = standing.unanchored(durable);
    // Writing to a string does not fail.
    let mut line = |line: String| writeln!(text, "{line}").unwrap_or_default();
    line(match tail {
        0 => "all events are known outside".to_owned(),
        tail => format!(
            "the newest {} events are known to nobody outside yet",
            grouped(tail)
        ),
    });
    for kind in [Kind::Witness, Kind::Timestamp, Kind::Copy] {
        if let Some(newest) = standing.newest(kind) {
            line(format!("  {:<10}{}", heading(kind), reach(newest, durable)));
        }
    }
    if let Some(quorum) = &standing.quorum {
        line(format!(
            "  {:<10}{}",
            "quorum",
            match quorum.size {
                0 => "not met yet".to_owned(),
                size => format!("met for {} events", grouped(size)),
            }
        ));
    }
    if let Some(failing) = &standing.unpublished {
        line(format!(
            "  FAILING   no checkpoint is published since {}: {}",
            failing.since, failing.error
        ));
    }
    for anchor in &standing.anchors {
        let Some(failing) = &anchor.failing else {
            continue;
        };
        line(format!(
            "  FAILING   {} {} since {}, {} attempts: {}",
            anchor.kind.as_str(),
            anchor.name,
            failing.since,
            failing.attempts,
            failing.error
        ));
    }
    for incident in incidents {
        line(format!("  INCIDENT  {incident}"));
    }
    text
}

/// What says that a history was rewritten.
fn incidents(standing: &Standing) -> Vec<String> {
    let failing = standing
        .anchors
        .iter()
        .filter_map(|anchor| anchor.failing.as_ref());
    failing
        .chain(&standing.unpublished)
        .filter(|failing| failing.incident)
        .map(|failing| failing.error.clone())
        .collect()
}

const fn heading(kind: Kind) -> &'static str {
    match kind {
        Kind::Witness => "witnessed",
        Kind::Timestamp => "stamped",
        Kind::Copy => "copied",
    }
}

/// How far an anchor reaches, and how long ago that was.
fn reach(anchor: &Anchored, durable: u64) -> String {
    let Some(size) = anchor.size else {
        return format!("nothing yet ({})", anchor.name);
    };
    let age = anchor.at.as_deref().and_then(age).unwrap_or_default();
    let behind = durable.saturating_sub(size);
    format!(
        "{} events, {} behind{age} ({})",
        grouped(size),
        grouped(behind),
        anchor.name
    )
}

fn age(at: &str) -> Option<String> {
    let at: Timestamp = at.parse().ok()?;
    let us = Timestamp::now().duration_since(at).as_micros();
    Some(format!(
        ", {} ago",
        when::span_us(u64::try_from(us).unwrap_or(0))
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_anchors_nowhere_is_told_what_that_means_and_what_to_do() {
        let text = to_text(&Standing::default(), 7);
        assert!(
            text.contains("NOTHING OUTSIDE THIS MACHINE KNOWS"),
            "{text}"
        );
        assert!(
            text.contains("[copy]") && text.contains("docs/anchors.md"),
            "{text}"
        );
    }
}
