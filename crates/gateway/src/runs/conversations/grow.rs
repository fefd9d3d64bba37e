//! How conversations grow, and how they are forgotten.

use super::super::branch::{Branch, link};
use super::super::history::Mark;
use super::{Conversations, Place, Sent, Turn};
use protocol::ResponseView;

/// Lines of conversation kept of one run.
const MAX_BRANCHES: usize = 8;

/// Answers, tool calls and response ids kept of one run.
const MAX_FACTS: usize = 4096;

/// Answers kept of one request with several choices.
const MAX_CHOICES: usize = 4;

impl Conversations {
    /// Makes the request the last one of its branch, or the first of a new branch.
    pub(super) fn place(
        &mut self,
        run: u64,
        chosen: Option<u64>,
        sent: &Sent<'_>,
        fresh: usize,
        tick: u64,
    ) -> Turn {
        let asked = sent.marks.len();
        if let Some(branch) = chosen.and_then(|id| self.branch_mut(run, id)) {
            if branch.repeats(&sent.marks) {
                branch.pending += 1;
                branch.tick = tick;
                return Turn {
                    run,
                    branch: branch.id,
                    asked,
                };
            }
            if sent.marks.starts_with(&branch.marks) {
                let (id, from, mut chain) = (branch.id, branch.marks.len(), branch.chain);
                let more = sent.marks.get(from..).unwrap_or_default();
                let links: Vec<u128> = more
                    .iter()
                    .map(|mark| {
                        chain = link(chain, *mark);
                        chain
                    })
                    .collect();
                branch.marks.extend_from_slice(more);
                branch.chain = chain;
                branch.asked = asked;
                branch.settled = fresh;
                branch.pending += 1;
                branch.blind = false;
                branch.tick = tick;
                self.units += more.len();
                for (index, chain) in links.into_iter().enumerate() {
                    self.chains.put(
                        chain,
                        Place {
                            run,
                            branch: id,
                            len: from + index + 1,
                        },
                    );
                }
                return Turn {
                    run,
                    branch: id,
                    asked,
                };
            }
        }
        let branch = self.add(
            run,
            sent.scope,
            sent.system,
            sent.marks.clone(),
            tick,
            |branch| {
                branch.settled = fresh;
                branch.pending = 1;
            },
        );
        Turn { run, branch, asked }
    }

    fn add(
        &mut self,
        run: u64,
        scope: u128,
        system: u128,
        marks: Vec<Mark>,
        tick: u64,
        finish: impl FnOnce(&mut Branch),
    ) -> u64 {
        let known = self.runs.entry(run).or_default();
        let oldest = (known.branches.len() >= MAX_BRANCHES)
            .then(|| {
                let ages = known.branches.iter().enumerate();
                ages.min_by_key(|(_, branch)| (branch.pending > 0, branch.tick))
                    .map(|(at, _)| at)
            })
            .flatten();
        let evicted = oldest.map(|at| known.branches.swap_remove(at));
        if let Some(branch) = evicted {
            self.unlink(run, &branch);
        }

        let id = self.next_branch;
        self.next_branch += 1;
        let mut chain = scope;
        for (index, mark) in marks.iter().enumerate() {
            chain = link(chain, *mark);
            let place = Place {
                run,
                branch: id,
                len: index + 1,
            };
            self.chains.put_first(chain, place);
        }
        self.units += marks.len();
        let asked = marks.len();
        let mut branch = Branch {
            id,
            scope,
            system,
            marks,
            chain,
            asked,
            settled: 0,
            pending: 0,
            blind: false,
            tick,
        };
        finish(&mut branch);
        self.runs.entry(run).or_default().branches.push(branch);
        id
    }

    /// Remembers the answers a request claims, so that each is reported as unseen only once.
    pub(super) fn note_claims(&mut self, turn: Turn, sent: &Sent<'_>, fresh: usize) {
        let place = Place {
            run: turn.run,
            branch: turn.branch,
            len: turn.asked,
        };
        for mark in sent
            .marks
            .iter()
            .skip(fresh)
            .filter(|mark| mark.is_answer())
        {
            let key = self.answer_key(sent.agent, *mark);
            if !self.facts.contains_key(&key) {
                self.note(key, place);
            }
        }
    }

    /// Adds the answer to the history of its turn.
    pub(in crate::runs) fn answered(
        &mut self,
        agent: &str,
        turn: Turn,
        view: Option<&ResponseView>,
        tick: u64,
    ) {
        let Some(branch) = self.branch_mut(turn.run, turn.branch) else {
            return;
        };
        branch.pending = branch.pending.saturating_sub(1);
        branch.tick = tick;
        let Some(view) = view.filter(|view| view.error.is_none()) else {
            return;
        };
        let whole = view.terminated && view.stream_error.is_none();
        if !whole || view.message.is_none() {
            branch.blind = true;
        }
        let question: Vec<Mark> = branch.marks.get(..turn.asked).unwrap_or_default().to_vec();
        let (scope, system) = (branch.scope, branch.system);
        let mut named = None;
        for message in view
            .message
            .iter()
            .chain(&view.alternatives)
            .take(MAX_CHOICES)
        {
            let mark = Mark::of(message);
            let place = if whole {
                self.extend(turn, &question, mark, (scope, system), tick)
            } else {
                Place {
                    run: turn.run,
                    branch: turn.branch,
                    len: turn.asked,
                }
            };
            self.note(self.answer_key(agent, mark), place);
            named.get_or_insert(place);
        }
        let place = Place {
            run: turn.run,
            branch: turn.branch,
            len: turn.asked,
        };
        // An answer that is not there yet (`background`), that has no message, or whose end nobody waited for, can be gone on
        // from by its id as well.
        if let Some(id) = &view.gen_ai.response_id {
            let key = self.key("response", agent, id.as_bytes());
            let named = named.filter(|_| whole);
            let held = self.facts.get_mut(&key);
            match held.filter(|held| held.run == turn.run) {
                Some(held) => *held = named.unwrap_or(*held),
                None => self.note(key, named.unwrap_or(place)),
            }
        }
        for id in view.tool_calls.iter().filter_map(|call| call.id.as_ref()) {
            self.note(self.call_key(agent, id), place);
        }
    }

    /// Puts an answer behind its question: in the branch where there is none yet, else beside it.
    fn extend(
        &mut self,
        turn: Turn,
        question: &[Mark],
        mark: Mark,
        (scope, system): (u128, u128),
        tick: u64,
    ) -> Place {
        let len = turn.asked + 1;
        let held = self.branch_mut(turn.run, turn.branch);
        if let Some(branch) = held {
            let place = Place {
                run: turn.run,
                branch: turn.branch,
                len,
            };
            match branch.marks.get(turn.asked) {
                Some(present) if *present == mark => return place,
                Some(_) => {}
                None => {
                    branch.marks.push(mark);
                    branch.chain = link(branch.chain, mark);
                    branch.settled = len;
                    branch.blind = false;
                    let chain = branch.chain;
                    self.chains.put(chain, place);
                    self.units += 1;
                    return place;
                }
            }
        }
        let mut marks = question.to_vec();
        marks.push(mark);
        let branch = self.add(turn.run, scope, system, marks, tick, |branch| {
            branch.asked = turn.asked;
            branch.settled = len;
        });
        Place {
            run: turn.run,
            branch,
            len,
        }
    }

    fn note(&mut self, key: u128, place: Place) {
        let facts = &mut self.runs.entry(place.run).or_default().facts;
        facts.push_back(key);
        let oldest = if facts.len() > MAX_FACTS {
            facts.pop_front()
        } else {
            None
        };
        self.units += usize::from(oldest.is_none());
        if let Some(oldest) = oldest {
            self.drop_fact(oldest, place.run);
        }
        self.facts.insert(key, place);
    }

    fn drop_fact(&mut self, key: u128, run: u64) {
        if self.facts.get(&key).is_some_and(|place| place.run == run) {
            self.facts.remove(&key);
        }
    }

    /// Forgets everything about a run.
    pub(in crate::runs) fn forget(&mut self, run: u64) {
        let Some(known) = self.runs.remove(&run) else {
            return;
        };
        self.units -= known.facts.len().min(self.units);
        for key in known.facts {
            self.drop_fact(key, run);
        }
        for branch in &known.branches {
            self.unlink(run, branch);
        }
    }

    fn unlink(&mut self, run: u64, branch: &Branch) {
        self.units -= branch.marks.len().min(self.units);
        let mut chain = branch.scope;
        for mark in &branch.marks {
            chain = link(chain, *mark);
            self.chains.remove(chain, run, branch.id);
        }
    }
}
