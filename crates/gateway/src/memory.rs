//! The budget of body bytes held in memory, all calls together: what came and is not sent on, and what is handed to the
//! recorder of it.
//!
//! Promises that room is held for what has arrived, never for what is only announced, and that somebody always gets on: a
//! request that finds no room to grow waits for room, or for its turn, which one call at a time has, to grow beyond the
//! budget. Memory is bounded by the budget, the longest body, and a chunk of each connection. An answer never waits for
//! room: it is read a little at a time where there is none.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The unit of the budget in bytes.
const UNIT: u64 = 1024;

/// What of a body the recorder holds beside it, at most, until it is durable.
const HANDED_ON_BYTES: u64 = 256 * 1024;

/// Room for a body of `len` bytes that is to be recorded.
pub(crate) const fn recorded(len: u64) -> u64 {
    let copy = if len < HANDED_ON_BYTES {
        len
    } else {
        HANDED_ON_BYTES
    };
    len.saturating_add(copy)
}

/// The budget.
#[derive(Debug)]
pub(crate) struct Memory {
    units: Arc<Semaphore>,
    total: u32,
    turn: Arc<Semaphore>,
}

/// Room in the budget, given back when dropped.
#[derive(Debug, Default)]
pub(crate) struct Reservation {
    held: Option<OwnedSemaphorePermit>,
    turn: Option<OwnedSemaphorePermit>,
    bytes: u64,
}

impl Reservation {
    fn add(&mut self, permit: OwnedSemaphorePermit, covers: u64) {
        match &mut self.held {
            Some(held) => held.merge(permit),
            None => self.held = Some(permit),
        }
        self.bytes = covers;
    }
}

impl Memory {
    /// A budget of `bytes`.
    pub(crate) fn new(bytes: u64) -> Self {
        let total = u32::try_from(bytes / UNIT)
            .unwrap_or(u32::MAX >> 4)
            .clamp(1, u32::MAX >> 4);
        Self {
            units: Arc::new(Semaphore::new(total as usize)),
            total,
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    fn units(&self, bytes: u64) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT))
            .unwrap_or(u32::MAX)
            .min(self.total)
    }

    /// Makes `reservation` cover `bytes`, of `most` that it may come to need: at once where there is room, else when there is
    /// or its turn comes. More than the whole budget is covered by the whole budget. Nothing is lost when the wait is given up.
    pub(crate) async fn grow(&self, reservation: &mut Reservation, bytes: u64, most: u64) {
        if bytes <= reservation.bytes || reservation.turn.is_some() {
            return;
        }
        let ahead = reservation.bytes.saturating_mul(2).min(most);
        if self.try_grow(reservation, ahead.max(bytes)) || self.try_grow(reservation, bytes) {
            return;
        }
        let more = self
            .units(bytes)
            .saturating_sub(self.units(reservation.bytes));
        // The semaphores are never closed; were they, the body would pass without a reservation.
        tokio::select! {
            biased;
            room = self.units.clone().acquire_many_owned(more) => {
                if let Ok(permit) = room {
                    reservation.add(permit, bytes);
                }
            }
            turn = self.turn.clone().acquire_owned() => reservation.turn = turn.ok(),
        }
    }

    /// Whether `reservation` would cover `bytes` without a wait.
    pub(crate) fn has_room(&self, reservation: &Reservation, bytes: u64) -> bool {
        let more = self
            .units(bytes)
            .saturating_sub(self.units(reservation.bytes));
        reservation.turn.is_some() || more as usize <= self.units.available_permits()
    }

    /// Makes `reservation` cover `bytes` if there is room now. Returns whether it does.
    pub(crate) fn try_grow(&self, reservation: &mut Reservation, bytes: u64) -> bool {
        let more = self
            .units(bytes)
            .saturating_sub(self.units(reservation.bytes));
        if bytes <= reservation.bytes || more == 0 {
            return true;
        }
        let Ok(permit) = self.units.clone().try_acquire_many_owned(more) else {
            return false;
        };
        reservation.add(permit, bytes);
        true
    }

    /// Gives back what `reservation` was grown by since it covered `bytes`, and the turn that it may have got by that.
    pub(crate) fn give_back(&self, reservation: &mut Reservation, bytes: u64) {
        reservation.turn = None;
        self.shrink(reservation, bytes);
    }

    /// Gives back what of `reservation` is more than `bytes`.
    pub(crate) fn shrink(&self, reservation: &mut Reservation, bytes: u64) {
        if bytes >= reservation.bytes {
            return;
        }
        let less = self.units(reservation.bytes) - self.units(bytes);
        if let Some(held) = &mut reservation.held {
            drop(held.split(less as usize));
        }
        reservation.bytes = bytes;
    }

    /// Bytes reserved at this moment.
    #[cfg(test)]
    pub(crate) fn in_use(&self) -> u64 {
        (self.total as usize).saturating_sub(self.units.available_permits()) as u64 * UNIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn now<F: Future>(future: F) -> Option<F::Output> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    fn grown(memory: &Memory, bytes: u64) -> Option<Reservation> {
        let mut reservation = Reservation::default();
        now(memory.grow(&mut reservation, bytes, bytes)).map(|()| reservation)
    }

    #[test]
    fn room_is_given_and_taken_back() {
        let memory = Memory::new(10 * UNIT);
        let first = grown(&memory, 9 * UNIT).unwrap();
        assert_eq!(memory.in_use(), 9 * UNIT);
        drop(first);
        assert!(grown(&memory, 2 * UNIT).is_some());
        assert_eq!(memory.in_use(), 0);
    }

    #[test]
    fn room_is_taken_ahead_but_not_beyond_what_may_be_needed() {
        let memory = Memory::new(100 * UNIT);
        let mut body = Reservation::default();
        for (bytes, expected) in [(3, 3), (4, 6), (6, 6), (7, 12), (13, 20), (20, 20)] {
            now(memory.grow(&mut body, bytes * UNIT, 20 * UNIT)).unwrap();
            assert_eq!(memory.in_use(), expected * UNIT, "{bytes}");
        }
    }

    #[test]
    fn a_body_longer_than_the_budget_gets_all_of_it() {
        let memory = Memory::new(10 * UNIT);
        let all = grown(&memory, 1000 * UNIT).unwrap();
        assert_eq!(memory.in_use(), 10 * UNIT);
        drop(all);
        assert_eq!(memory.in_use(), 0);
    }

    #[test]
    fn one_call_at_a_time_grows_beyond_the_budget_and_the_others_go_on_as_there_is_room() {
        let memory = Memory::new(4 * UNIT);
        let all = grown(&memory, 4 * UNIT).unwrap();
        let turn = grown(&memory, 2 * UNIT).unwrap();
        assert!(grown(&memory, UNIT).is_none());
        drop(all);
        assert!(grown(&memory, UNIT).is_some());
        drop(turn);
        assert_eq!(memory.in_use(), 0);
    }

    #[test]
    fn what_grows_only_where_there_is_room_never_waits() {
        let memory = Memory::new(4 * UNIT);
        let mut one = Reservation::default();
        let mut two = Reservation::default();
        assert!(memory.try_grow(&mut one, 3 * UNIT));
        assert!(memory.try_grow(&mut two, UNIT));
        assert!(!memory.try_grow(&mut two, UNIT + 1));
        memory.shrink(&mut one, UNIT);
        assert_eq!(memory.in_use(), 2 * UNIT);
        assert!(memory.try_grow(&mut two, 3 * UNIT));
        drop((one, two));
        assert_eq!(memory.in_use(), 0);
    }

    #[test]
    fn room_or_a_turn_that_was_not_needed_is_there_for_others() {
        let memory = Memory::new(4 * UNIT);
        let mut one = grown(&memory, UNIT).unwrap();
        let another = grown(&memory, UNIT).unwrap();
        assert!(memory.has_room(&one, 3 * UNIT));
        assert!(!memory.has_room(&one, 4 * UNIT));
        drop(another);
        now(memory.grow(&mut one, 4 * UNIT, 4 * UNIT)).unwrap();
        let mut two = Reservation::default();
        // By its turn, beyond the budget.
        now(memory.grow(&mut two, UNIT, UNIT)).unwrap();
        assert!(memory.has_room(&two, 9 * UNIT));
        assert!(grown(&memory, UNIT).is_none());
        memory.give_back(&mut two, 0);
        assert!(grown(&memory, UNIT).is_some());
        memory.give_back(&mut one, UNIT);
        assert_eq!(memory.in_use(), UNIT);
        assert!(grown(&memory, 3 * UNIT).is_some());
        drop(one);
        assert_eq!(memory.in_use(), 0);
    }

    #[test]
    fn growing_bodies_never_wait_for_each_other_in_a_ring() {
        let memory = Memory::new(4 * UNIT);
        let mut one = grown(&memory, 2 * UNIT).unwrap();
        let mut two = grown(&memory, 2 * UNIT).unwrap();
        // No room is left: one grows beyond the budget, two waits for room or its turn.
        let long = 100 * UNIT;
        assert!(now(memory.grow(&mut one, long, long)).is_some());
        assert!(now(memory.grow(&mut two, long, long)).is_none());
        drop(one);
        assert!(now(memory.grow(&mut two, long, long)).is_some());
    }
}
