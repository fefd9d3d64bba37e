//! Calls that asked for input and come again (Multi Round-Trip Requests, revision 2026-07-28).
//!
//! The retry has a new id. It is the same logical call when agent, server, method and arguments are the same
//! and it hands back the `requestState` of the answer.

use super::Party;
use protocol::mcp::View;
use std::collections::{HashMap, VecDeque, hash_map::RandomState};
use std::hash::BuildHasher as _;

/// Unfinished calls that are remembered.
const MAX_CALLS: usize = 4096;

/// What is the same in all rounds of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Gist(u64);

/// Which round a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Round {
    /// From 1.
    pub(crate) number: u32,
    /// `seq` of the first round's request event; `None` on the first.
    pub(crate) first: Option<u64>,
}

/// The memory of calls that wait for their next round. Bounded; the oldest is forgotten first.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    waiting: HashMap<u64, (u64, u32)>,
    order: VecDeque<u64>,
    hasher: RandomState,
}

impl Retries {
    pub(crate) fn gist(&self, party: &Party, view: &View<'_>) -> Gist {
        Gist(self.hasher.hash_one((
            &party.agent.name,
            &party.server,
            &view.method,
            &view.target,
            view.arguments,
        )))
    }

    /// Which round the request is.
    pub(crate) fn round(&mut self, gist: Gist, view: &View<'_>) -> Round {
        if !view.input_responses && view.request_state.is_none() {
            return Round {
                number: 1,
                first: None,
            };
        }
        let key = self.key(gist, view);
        match self.waiting.remove(&key) {
            Some((first, rounds)) => Round {
                number: rounds.saturating_add(1),
                first: Some(first),
            },
            None => Round {
                number: 1,
                first: None,
            },
        }
    }

    /// The answer to a request asked for input: the next round will hand back its state.
    pub(crate) fn asked_for_input(
        &mut self,
        gist: Gist,
        answer: &View<'_>,
        seq: u64,
        round: Round,
    ) {
        let key = self.key(gist, answer);
        let call = (round.first.unwrap_or(seq), round.number);
        if self.waiting.insert(key, call).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > MAX_CALLS {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            self.waiting.remove(&oldest);
        }
    }

    fn key(&self, gist: Gist, view: &View<'_>) -> u64 {
        self.hasher.hash_one((gist, view.request_state))
    }
}
