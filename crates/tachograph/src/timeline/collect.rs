//! Picks one run's events out of the log, and what happened around them that concerns it.

use super::Child;
use crate::describe::counted;
use crate::summary::{RunSummary, grouped};
use event::{Kind, Line, State};
use std::collections::BTreeMap;

/// Changes of a message history that bring in what never passed the recorder. The others (an agent
/// that drops or edits what it said before) change what the model sees, not what was recorded.
const UNSEEN: [&str; 2] = ["unseen", "inserted"];

/// Everything in the log that one run's story needs.
#[derive(Debug)]
pub(crate) struct Collected {
    /// The run, added up.
    pub(super) summary: RunSummary,
    /// Its events, and gaps that concern all runs, in the order of the log.
    pub(super) lines: Vec<Line>,
    /// Runs it delegated to.
    pub(super) children: Vec<Child>,
    /// What speaks against the record being whole.
    pub(super) doubts: Vec<String>,
}

/// Takes the log event by event.
#[derive(Debug)]
pub(crate) struct Collector {
    summary: RunSummary,
    lines: Vec<Line>,
    children: Vec<Child>,
    /// Per stream, the counter that comes next, and how many are missing before it.
    streams: BTreeMap<u64, (u64, u64)>,
    truncated_bytes: u64,
    gaps_around: u64,
    unseen: u64,
}

impl Collector {
    /// A collector of the run that `summary` describes.
    pub(crate) const fn new(summary: RunSummary) -> Self {
        Self {
            summary,
            lines: Vec::new(),
            children: Vec::new(),
            streams: BTreeMap::new(),
            truncated_bytes: 0,
            gaps_around: 0,
            unseen: 0,
        }
    }

    /// The next event of the log.
    pub(crate) fn add(&mut self, line: Line) {
        let kind = line.kind.parse().ok();
        match &line.run {
            Some(run) if run.id == self.summary.run => self.own(line),
            Some(run) if run.parent.as_ref() == Some(&self.summary.run) => self.child(&line),
            None if kind == Some(Kind::Gap) && self.spans(line.seq) => {
                self.gaps_around += 1;
                self.lines.push(line);
            }
            _ => {}
        }
    }

    fn spans(&self, seq: u64) -> bool {
        (self.summary.first_seq..=self.summary.last_seq).contains(&seq)
    }

    fn child(&mut self, line: &Line) {
        let Some(run) = &line.run else {
            return;
        };
        if self.children.iter().all(|child| child.run != run.id) {
            self.children.push(Child {
                run: run.id.clone(),
                agent: line.agent.as_ref().map(|agent| agent.name.clone()),
                seq: line.seq,
                time: line.time.clone(),
            });
        }
    }

    fn own(&mut self, line: Line) {
        let (next, missing) = self.streams.entry(line.stream).or_default();
        *missing += line.n.saturating_sub(*next);
        *next = line.n.saturating_add(1);
        self.truncated_bytes = line.bodies.iter().fold(self.truncated_bytes, |sum, body| {
            sum.saturating_add(body.truncated)
        });
        let change = line.history.as_ref().map(|history| history.change.as_str());
        self.unseen += u64::from(change.is_some_and(|change| UNSEEN.contains(&change)));
        self.lines.push(line);
    }

    /// The run with what speaks against its record being whole.
    pub(crate) fn finish(self) -> Collected {
        let missing = self
            .streams
            .values()
            .fold(0_u64, |sum, (_, n)| sum.saturating_add(*n));
        let ended = |state: State| self.summary.ended.get(state.as_str()).copied().unwrap_or(0);
        let doubts = [
            (
                missing,
                format!(
                    "{} missing from the run's own count",
                    counted(missing, "event")
                ),
            ),
            (
                self.summary.gaps,
                format!("{} in this run", counted(self.summary.gaps, "recorded gap")),
            ),
            (
                self.gaps_around,
                format!(
                    "{} of the recorder while it ran",
                    counted(self.gaps_around, "recorded gap")
                ),
            ),
            (
                ended(State::Interrupted),
                format!(
                    "{} cut off because the recorder died",
                    counted(ended(State::Interrupted), "call")
                ),
            ),
            (
                self.truncated_bytes,
                format!(
                    "{} bytes of bodies passed and were not kept",
                    grouped(self.truncated_bytes)
                ),
            ),
            (
                self.unseen,
                format!(
                    "{} with messages that the recorder did not see arise",
                    counted(self.unseen, "request")
                ),
            ),
        ];
        Collected {
            summary: self.summary,
            lines: self.lines,
            children: self.children,
            doubts: doubts
                .into_iter()
                .filter(|(n, _)| *n > 0)
                .map(|(_, text)| text)
                .collect(),
        }
    }
}
