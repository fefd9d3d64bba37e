//! Message histories of the runs, and the index that finds the run a history belongs to.
//!
//! Lookup costs a step a message, and one more for each run that begins alike, up to a bound. Everything an entry of an
//! index points to is compared before it is believed.

mod chains;
mod grow;
mod locate;

pub(super) use locate::Located;

use super::branch::Branch;
use super::history::{Change, Departure, MAX_DEPARTURES, Mark, Part};
use chains::Chains;
use event::History;
use protocol::{MessageView, RequestView};
use std::collections::{HashMap, HashSet, VecDeque, hash_map::RandomState};
use std::hash::BuildHasher as _;

/// A request whose answer is awaited. Give it back to [`super::Tracker::answered`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    pub(super) run: u64,
    branch: u64,
    asked: usize,
}

/// A place in a conversation.
#[derive(Debug, Clone, Copy)]
struct Place {
    run: u64,
    branch: u64,
    len: usize,
}

/// What following a request found.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) turn: Turn,
    pub(super) history: Vec<History>,
    /// The other run whose history this run's first request carries on.
    pub(super) origin: Option<u64>,
}

/// One request, prepared.
#[derive(Debug)]
pub(super) struct Sent<'a> {
    agent: &'a str,
    scope: u128,
    system: u128,
    marks: Vec<Mark>,
    view: &'a RequestView,
}

#[derive(Debug, Default)]
struct Conversation {
    branches: Vec<Branch>,
    facts: VecDeque<u128>,
}

/// All conversations. Bounded by its owner through [`Self::units`] and [`Self::forget`].
#[derive(Debug, Default)]
pub(super) struct Conversations {
    runs: HashMap<u64, Conversation>,
    /// Chain over a history to the branch that had it.
    chains: Chains,
    /// Digest of an answer, a tool call id or a response id to the place where it was seen.
    facts: HashMap<u128, Place>,
    hasher: [RandomState; 2],
    next_branch: u64,
    units: usize,
}

impl Conversations {
    /// Messages and facts held.
    pub(super) const fn units(&self) -> usize {
        self.units
    }

    pub(super) fn prepare<'a>(&self, agent: &'a str, view: &'a RequestView) -> Sent<'a> {
        let marks: Vec<Mark> = view.messages.iter().map(Mark::of).collect();
        let outside = view.system.as_ref().map(Mark::of);
        let system =
            outside.or_else(|| marks.first().copied().filter(|m| m.part() == Part::System));
        Sent {
            agent,
            scope: self.key("scope", agent, view.gen_ai.api.as_bytes()),
            system: system.map_or(0, Mark::bits),
            marks,
            view,
        }
    }

    /// The run that gave the answer with this id.
    pub(super) fn run_of_response(&self, agent: &str, id: &str) -> Option<u64> {
        self.facts
            .get(&self.key("response", agent, id.as_bytes()))
            .map(|place| place.run)
    }

    /// The turn whose answer has this id, where it has not come yet.
    pub(super) fn go_back_to(&mut self, run: u64, agent: &str, id: &str) -> Option<Turn> {
        let key = self.key("response", agent, id.as_bytes());
        let place = *self.facts.get(&key).filter(|place| place.run == run)?;
        let branch = self.branch_mut(run, place.branch)?;
        let last = place.len.checked_sub(1).and_then(|at| branch.marks.get(at));
        if last.is_some_and(|mark| mark.is_answer()) {
            return None;
        }
        branch.pending += 1;
        Some(Turn {
            run,
            branch: place.branch,
            asked: place.len,
        })
    }

    /// Puts the request into `run`, and says how its history departs from what the run has seen.
    pub(super) fn follow(&mut self, run: u64, mut sent: Sent<'_>, tick: u64) -> Followed {
        let is_new = self
            .runs
            .get(&run)
            .is_none_or(|known| known.branches.is_empty());
        let base = self.base(run, &sent);
        let named = sent.view.previous_response_id.as_ref();
        let gone_on_from = named.map(|id| self.run_of_response(sent.agent, id));
        let off_wire = sent.view.context_off_wire && base.is_none();
        let offset = base.as_ref().map_or(0, Vec::len);
        let chosen = match base {
            Some(mut marks) => {
                marks.append(&mut sent.marks);
                sent.marks = marks;
                None
            }
            None if off_wire => None,
            None => self.choose(run, &sent),
        };
        let branch = chosen.and_then(|id| self.branch(run, id));
        let seen = branch.map_or(offset, |branch| branch.marks.len());
        let blind_at = branch
            .filter(|branch| branch.blind)
            .map(|branch| branch.asked);
        let (mut departures, fresh) = match branch {
            Some(branch) => {
                let found = branch.compare(&sent.marks);
                (found.departures, found.fresh)
            }
            None => (Vec::new(), offset),
        };
        let (unseen, origin) = self.unseen(run, &sent, fresh, offset, blind_at);
        // An answer that is known by its id alone and never passed here is as unseen as one that is sent along.
        let unseen = unseen.or(gone_on_from.filter(Option::is_none).map(|_| offset));
        let origin = origin.or(gone_on_from.flatten().filter(|other| *other != run));
        if let Some(at) = unseen.filter(|_| departures.len() < MAX_DEPARTURES) {
            departures.push(Departure {
                change: Change::Unseen,
                at,
            });
        }
        let history = departures
            .into_iter()
            .map(|departure| History {
                change: departure.change.as_str().to_owned(),
                at: (departure.at - offset.min(departure.at)) as u64,
                seen: seen as u64,
                sent: (sent.marks.len() - offset) as u64,
            })
            .collect();
        let turn = self.place(run, chosen, &sent, fresh, tick);
        self.note_claims(turn, &sent, fresh);
        Followed {
            turn,
            history,
            origin: origin.filter(|_| is_new),
        }
    }

    /// The history that `previous_response_id` stands for.
    fn base(&self, run: u64, sent: &Sent<'_>) -> Option<Vec<Mark>> {
        let id = sent.view.previous_response_id.as_ref()?;
        let place = self
            .facts
            .get(&self.key("response", sent.agent, id.as_bytes()))?;
        let branch = self
            .branch(place.run, place.branch)
            .filter(|_| place.run == run)?;
        branch.marks.get(..place.len).map(<[Mark]>::to_vec)
    }

    /// The branch of the run that the request goes on from, or departs from.
    fn choose(&self, run: u64, sent: &Sent<'_>) -> Option<u64> {
        let answers: HashSet<Mark> = sent
            .marks
            .iter()
            .copied()
            .filter(|m| m.is_answer())
            .collect();
        self.runs
            .get(&run)?
            .branches
            .iter()
            .filter(|branch| branch.scope == sent.scope)
            .filter_map(|branch| Some((branch.fits(&sent.marks, &answers, sent.system)?, branch)))
            .max_by_key(|(fit, branch)| (*fit, branch.tick))
            .map(|(_, branch)| branch.id)
    }

    /// The first new message that claims to come from the model or from a tool it called, and
    /// never passed here; and the run that the others were seen in.
    fn unseen(
        &self,
        run: u64,
        sent: &Sent<'_>,
        fresh: usize,
        offset: usize,
        blind_at: Option<usize>,
    ) -> (Option<usize>, Option<u64>) {
        let mut calls: HashSet<&str> = HashSet::new();
        let (mut unseen, mut origin) = (None, None);
        let messages = sent
            .marks
            .iter()
            .enumerate()
            .skip(offset)
            .zip(&sent.view.messages);
        for ((index, mark), message) in messages {
            calls.extend(message.tool_call_ids.iter().map(String::as_str));
            if index < fresh {
                continue;
            }
            let known = match mark.part() {
                Part::System | Part::Input => continue,
                Part::Answer => {
                    let place = self.facts.get(&self.answer_key(sent.agent, *mark));
                    origin = origin.or(place.map(|place| place.run).filter(|from| *from != run));
                    place.is_some() || blind_at == Some(index)
                }
                Part::ToolResult => self.is_known_result(sent, message, &calls),
            };
            if !known && unseen.is_none() {
                unseen = Some(index);
            }
        }
        (unseen, origin)
    }

    fn is_known_result(
        &self,
        sent: &Sent<'_>,
        message: &MessageView,
        calls: &HashSet<&str>,
    ) -> bool {
        // A result without an id, and one whose call lies with the provider, cannot be judged.
        message.tool_result_ids.is_empty()
            || sent.view.context_off_wire
            || message.tool_result_ids.iter().any(|id| {
                calls.contains(id.as_str())
                    || self.facts.contains_key(&self.call_key(sent.agent, id))
            })
    }

    fn branch(&self, run: u64, id: u64) -> Option<&Branch> {
        self.runs
            .get(&run)?
            .branches
            .iter()
            .find(|branch| branch.id == id)
    }

    fn branch_mut(&mut self, run: u64, id: u64) -> Option<&mut Branch> {
        self.runs
            .get_mut(&run)?
            .branches
            .iter_mut()
            .find(|branch| branch.id == id)
    }

    fn answer_key(&self, agent: &str, mark: Mark) -> u128 {
        self.key("answer", agent, &mark.bits().to_be_bytes())
    }

    fn call_key(&self, agent: &str, id: &str) -> u128 {
        self.key("call", agent, id.as_bytes())
    }

    /// 128 bits over what a fact is about, keyed so that nobody outside can choose collisions.
    fn key(&self, of: &str, agent: &str, bytes: &[u8]) -> u128 {
        let [high, low] = &self.hasher;
        let parts = (of, agent, bytes);
        (u128::from(high.hash_one(parts)) << 64) | u128::from(low.hash_one(parts))
    }
}
