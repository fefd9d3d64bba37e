//! The index of histories: a chain value over messages, to the places that have had it.

use super::Place;
use std::collections::{HashMap, VecDeque};

/// Runs remembered of one history. Of more that stand at the same words, the oldest are not found by them.
const MAX_PLACES: usize = 64;

/// Places by chain value, of each run one, the newest first. Most histories have one place; only
/// those of conversations that begin alike have more.
#[derive(Debug, Default)]
pub(super) struct Chains {
    newest: HashMap<u128, Place>,
    older: HashMap<u128, VecDeque<Place>>,
}

impl Chains {
    /// The places that have had this history.
    pub(super) fn of(&self, chain: u128) -> impl Iterator<Item = Place> + '_ {
        let older = self.older.get(&chain).into_iter().flatten();
        self.newest.get(&chain).into_iter().chain(older).copied()
    }

    /// Makes `place` the one of its run.
    pub(super) fn put(&mut self, chain: u128, place: Place) {
        self.remove_where(chain, |held| held.run == place.run);
        let Some(before) = self.newest.insert(chain, place) else {
            return;
        };
        let older = self.older.entry(chain).or_default();
        older.push_front(before);
        older.truncate(MAX_PLACES - 1);
    }

    /// As [`Self::put`], unless its run has one: a branch that had this beginning before keeps it,
    /// and is found by what follows.
    pub(super) fn put_first(&mut self, chain: u128, place: Place) {
        if !self.of(chain).any(|held| held.run == place.run) {
            self.put(chain, place);
        }
    }

    /// Forgets a branch's place.
    pub(super) fn remove(&mut self, chain: u128, run: u64, branch: u64) {
        self.remove_where(chain, |held| held.run == run && held.branch == branch);
    }

    fn remove_where(&mut self, chain: u128, gone: impl Fn(&Place) -> bool) {
        let Some(newest) = self.newest.get(&chain) else {
            return;
        };
        let first = gone(newest);
        let next = match self.older.get_mut(&chain) {
            Some(older) => {
                older.retain(|held| !gone(held));
                let next = if first { older.pop_front() } else { None };
                if older.is_empty() {
                    self.older.remove(&chain);
                }
                next
            }
            None => None,
        };
        match next {
            Some(next) => {
                self.newest.insert(chain, next);
            }
            None if first => {
                self.newest.remove(&chain);
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn place(run: u64, branch: u64) -> Place {
        Place {
            run,
            branch,
            len: 1,
        }
    }

    fn held(chains: &Chains) -> Vec<(u64, u64)> {
        chains
            .of(7)
            .map(|place| (place.run, place.branch))
            .collect()
    }

    #[test]
    fn a_history_has_one_place_a_run_and_forgets_the_oldest() {
        let mut chains = Chains::default();
        assert_eq!(held(&chains), []);
        chains.put(7, place(1, 1));
        chains.put(7, place(2, 2));
        chains.put_first(7, place(1, 9));
        assert_eq!(held(&chains), [(2, 2), (1, 1)]);
        chains.put(7, place(1, 9));
        assert_eq!(held(&chains), [(1, 9), (2, 2)]);
        chains.remove(7, 1, 1);
        assert_eq!(held(&chains), [(1, 9), (2, 2)]);
        chains.remove(7, 1, 9);
        assert_eq!(held(&chains), [(2, 2)]);
        chains.remove(7, 2, 2);
        assert!(chains.newest.is_empty() && chains.older.is_empty());
        for run in 0..200 {
            chains.put(7, place(run, run));
        }
        assert_eq!(held(&chains).len(), MAX_PLACES);
        assert_eq!(held(&chains).first(), Some(&(199, 199)));
    }
}
