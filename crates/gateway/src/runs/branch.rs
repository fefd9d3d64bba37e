//! One line of conversation within a run.

use super::history::{self, Comparison, Mark, Part};
use std::collections::HashSet;

/// The messages of the last request of one line of conversation, and the answer to it.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) id: u64,
    /// Agent and wire format: histories of different formats do not compare.
    pub(super) scope: u128,
    /// The system prompt it stands under.
    pub(super) system: u128,
    pub(super) marks: Vec<Mark>,
    /// Chain value over all of `marks`.
    pub(super) chain: u128,
    /// How many of `marks` the last request carried; what stands behind them is its answer.
    pub(super) asked: usize,
    /// How many of `marks` an agent must carry on, even while the last request is in flight.
    pub(super) settled: usize,
    /// Requests in flight.
    pub(super) pending: u32,
    /// The last answer reached the agent in part or unread: what the agent makes of it was not seen.
    pub(super) blind: bool,
    /// When it was last used.
    pub(super) tick: u64,
}

/// How a request meets a branch, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// Nothing in common but the place: it takes the branch's place in the run.
    Replaces,
    /// Begins with the same words of the user, and goes on from there.
    Opening(usize),
    /// So many answers of the branch stand in the request, though not from the beginning.
    Overlaps(usize),
    /// Begins with so many messages of the branch, an answer of the model among them.
    Prefix(usize),
}

impl Branch {
    /// Whether the last request has no answer yet, and none has failed to come.
    pub(super) fn in_flight(&self) -> bool {
        self.pending > 0 && !self.is_answered()
    }

    pub(super) fn is_answered(&self) -> bool {
        self.marks.len() > self.asked
    }

    /// Whether the last request carried an answer: the conversation had gone on for more than a turn.
    fn went_on(&self) -> bool {
        self.question().iter().any(|mark| mark.is_answer())
    }

    /// The messages of the last request.
    pub(super) fn question(&self) -> &[Mark] {
        self.marks.get(..self.asked).unwrap_or(&self.marks)
    }

    /// The history that a next request has to carry on.
    pub(super) fn binding(&self) -> &[Mark] {
        if self.in_flight() {
            return self.marks.get(..self.settled).unwrap_or_default();
        }
        &self.marks
    }

    /// How `sent` meets the branch by its beginning.
    pub(super) fn fits_beginning(&self, sent: &[Mark]) -> Option<Fit> {
        let same = history::common_prefix(&self.marks, sent);
        let (shared, more) = sent.split_at_checked(same)?;
        if shared.iter().any(|mark| mark.is_answer()) {
            return Some(Fit::Prefix(same));
        }
        if !shared.iter().any(|mark| mark.part() == Part::Input) {
            return None;
        }
        // Equal opening words are not a conversation in common: many tasks begin alike. They are
        // when the request repeats one that has no answer, or claims to have had one.
        let unanswered = same == self.asked && !self.is_answered();
        let goes_on = if more.is_empty() {
            unanswered
        } else {
            !self.in_flight() && (unanswered || more.iter().any(|mark| mark.is_answer()))
        };
        goes_on.then_some(Fit::Opening(same))
    }

    /// How `sent`, which holds `answers`, meets the branch in any way.
    pub(super) fn fits(&self, sent: &[Mark], answers: &HashSet<Mark>, system: u128) -> Option<Fit> {
        let beginning = self.fits_beginning(sent);
        if matches!(beginning, Some(Fit::Prefix(_))) {
            return beginning;
        }
        let shared = self
            .marks
            .iter()
            .filter(|mark| answers.contains(mark))
            .count();
        if shared > 0 {
            return Some(Fit::Overlaps(shared));
        }
        let replaces = self.system == system && !self.in_flight() && self.went_on();
        beginning.or(replaces.then_some(Fit::Replaces))
    }

    /// Whether `sent` is the last request once more: a retry, or another sample.
    pub(super) fn repeats(&self, sent: &[Mark]) -> bool {
        self.question() == sent
    }

    /// Lays `sent` beside what must be carried on.
    pub(super) fn compare(&self, sent: &[Mark]) -> Comparison {
        if self.repeats(sent) {
            return Comparison {
                departures: Vec::new(),
                fresh: sent.len(),
            };
        }
        history::compare(self.binding(), sent)
    }
}

/// Extends a chain by one message. Only a key for looking up: what is found is compared in full.
pub(super) const fn link(chain: u128, mark: Mark) -> u128 {
    (chain ^ mark.bits())
        .wrapping_mul(0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645)
        .rotate_left(59)
}
