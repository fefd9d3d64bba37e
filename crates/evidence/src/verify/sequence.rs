//! Whether events follow each other as they say: places, streams' counters, calls and their ends.

use super::claims::Subject;
use super::report::Report;
use crate::glance::{Glance, Part};
use std::collections::{BTreeSet, HashMap};

/// What must follow, after the events seen so far.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    /// The next number of each stream.
    streams: HashMap<u64, u64>,
    /// Calls that have not ended.
    open: BTreeSet<u64>,
}

impl Sequence {
    /// Checks what the event at place `seq` of the log says of its own place.
    pub(super) fn event(&mut self, seq: u64, glance: &Glance, report: &mut Report) {
        if glance.seq != seq {
            let detail = format!("event {} stands at place {seq} of the log", glance.seq);
            report.fault(Subject::Order, "order", Some(seq), detail);
        }
        let next = glance.n.wrapping_add(1);
        let expected = self.streams.insert(glance.stream, next);
        let starts = expected.is_none() && glance.n == 0 && glance.stream == seq;
        if !starts && expected != Some(glance.n) {
            let detail = format!(
                "number {} of stream {} does not follow",
                glance.n, glance.stream
            );
            report.fault(Subject::Sequence, "order", Some(seq), detail);
        }
        match glance.part {
            Part::Gap => report.gaps.push(seq),
            Part::Opens => {
                self.open.insert(seq);
            }
            Part::Closes(Some(call)) if self.open.remove(&call) => {}
            Part::Closes(_) => report.odd_ends.push(seq),
            Part::OfTheLog | Part::Other => {}
        }
    }

    /// Calls that have not ended, and on how many streams the events lie.
    pub(super) fn finish(self) -> (Vec<u64>, usize) {
        (self.open.into_iter().collect(), self.streams.len())
    }
}
