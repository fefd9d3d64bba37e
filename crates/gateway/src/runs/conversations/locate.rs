//! Finds the run that a request without an id belongs to.

use super::super::branch::{Branch, Fit, link};
use super::{Conversations, Sent};
use std::collections::HashMap;

/// Messages from the end of a request that are asked for their run.
const MAX_VOTERS: usize = 128;

/// Where a request belongs by what it says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::runs) struct Located {
    /// The run it carries on; `None`: it begins one.
    pub(in crate::runs) run: Option<u64>,
    /// Other runs, the last used first, that the choice was made among. Of a request that begins a run: those that began
    /// with the same words and wait for their first answer, so that nothing tells whether it repeats one of them.
    pub(in crate::runs) twins: Vec<u64>,
}

/// How well a run fits that begins like the request, in the order of what counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// How far they go together, up to the last answer of the model: answers are what tells conversations apart.
    answered: usize,
    /// Under the same system prompt.
    system: bool,
    /// The run stands where the request goes on: it has not gone on by itself.
    stands: bool,
    /// How far they go together.
    same: usize,
}

impl Conversations {
    /// The run that the history of `sent` belongs to: by a beginning that holds an answer, else by
    /// the answers in it, else by its opening words.
    pub(in crate::runs) fn locate(&self, sent: &Sent<'_>) -> Located {
        let (rank, located) = self.by_beginning(sent);
        if rank.is_some_and(|rank| rank.answered > 0) {
            return located;
        }
        match self.by_answers(sent) {
            Some(run) => Located {
                run: Some(run),
                twins: Vec::new(),
            },
            None => located,
        }
    }

    fn by_beginning(&self, sent: &Sent<'_>) -> (Option<Rank>, Located) {
        let mut chain = sent.scope;
        let chains: Vec<u128> = sent
            .marks
            .iter()
            .map(|mark| {
                chain = link(chain, *mark);
                chain
            })
            .collect();
        // The best place of each run, and when it was last used.
        let mut fits: HashMap<u64, (Rank, u64)> = HashMap::new();
        let mut waiting: Vec<(u64, u64)> = Vec::new();
        let mut best = 0;
        for (at, chain) in chains.iter().enumerate().rev() {
            // Whoever is found from here on has fewer answers in common.
            if at + 1 < best {
                break;
            }
            for place in self.chains.of(*chain) {
                let Some(branch) = self.branch(place.run, place.branch) else {
                    continue;
                };
                if waits_with(branch, sent) {
                    waiting.push((branch.tick, place.run));
                } else if let Some(rank) = rank(branch, sent) {
                    best = best.max(rank.answered);
                    let fit = (rank, branch.tick);
                    let held = fits.entry(place.run).or_insert(fit);
                    *held = fit.max(*held);
                }
            }
        }
        let rank = fits.values().map(|(rank, _)| *rank).max();
        let mut runs: Vec<(u64, u64)> = match rank {
            None => waiting,
            Some(best) => fits
                .into_iter()
                .filter(|(_, (rank, _))| *rank == best)
                .map(|(run, (_, tick))| (tick, run))
                .collect(),
        };
        runs.sort_unstable_by(|a, b| b.cmp(a));
        runs.dedup();
        let mut runs = runs.into_iter().map(|(_, run)| run);
        let located = Located {
            run: rank.and_then(|_| runs.next()),
            twins: runs.collect(),
        };
        (rank, located)
    }

    /// The run that most of the answers and tool calls in the request come from, when it is at
    /// least half of them.
    fn by_answers(&self, sent: &Sent<'_>) -> Option<u64> {
        let mut votes: HashMap<u64, usize> = HashMap::new();
        let mut asked = 0;
        for (mark, message) in sent
            .marks
            .iter()
            .zip(&sent.view.messages)
            .rev()
            .take(MAX_VOTERS)
        {
            let answer = mark.is_answer().then(|| self.answer_key(sent.agent, *mark));
            let calls = message
                .tool_call_ids
                .iter()
                .map(|id| self.call_key(sent.agent, id));
            for key in answer.into_iter().chain(calls) {
                asked += 1;
                if let Some(place) = self.facts.get(&key)
                    && self
                        .branch(place.run, place.branch)
                        .is_none_or(|b| b.scope == sent.scope)
                {
                    *votes.entry(place.run).or_default() += 1;
                }
            }
        }
        let (run, count) = votes
            .into_iter()
            .max_by_key(|(run, count)| (*count, *run))?;
        (count * 2 >= asked).then_some(run)
    }
}

/// Whether the branch is a first request that says the same and waits for its answer. That is no reason to believe
/// that `sent` repeats it: agents ask one question of many models, and begin many tasks with the same words at once.
fn waits_with(branch: &Branch, sent: &Sent<'_>) -> bool {
    branch.in_flight()
        && branch.system == sent.system
        && branch.repeats(&sent.marks)
        && !sent.marks.iter().any(|mark| mark.is_answer())
}

fn rank(branch: &Branch, sent: &Sent<'_>) -> Option<Rank> {
    let same = match branch.fits_beginning(&sent.marks)? {
        Fit::Prefix(same) => same,
        // What is in flight may have been said twice.
        Fit::Opening(same) if !branch.in_flight() => same,
        _ => return None,
    };
    let shared = branch.marks.get(..same)?;
    let answered = shared.iter().rposition(|mark| mark.is_answer());
    Some(Rank {
        answered: answered.map_or(0, |at| at + 1),
        system: branch.system == sent.system,
        stands: branch.marks.len() == same && !branch.in_flight(),
        same,
    })
}
