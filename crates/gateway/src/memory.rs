//! The budget of request bytes held in memory, all calls together.
//!
//! Promises that nobody waits for room while holding room that somebody else waits for: a body of declared length
//! reserves all of it before its first byte is read, and a body of unknown length that finds no room to grow takes its
//! turn, one call at a time, to grow beyond the budget. Memory is bounded by the budget and the longest body.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The unit of the budget in bytes.
const UNIT: u64 = 1024;

/// What a body of unknown length reserves before its first byte is read.
pub(crate) const FIRST_BYTES: u64 = 64 * 1024;

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

    /// Waits for room for `bytes`. More than the whole budget waits for the whole budget.
    pub(crate) async fn reserve(&self, bytes: u64) -> Reservation {
        let units = self.units(bytes);
        if units == 0 {
            return Reservation::default();
        }
        // The semaphore is never closed; were it, the body would pass without a reservation.
        let held = self.units.clone().acquire_many_owned(units).await.ok();
        Reservation {
            held,
            turn: None,
            bytes,
        }
    }

    /// Makes `reservation` cover `bytes`: at once where there is room, else when its turn comes.
    pub(crate) async fn grow(&self, reservation: &mut Reservation, bytes: u64) {
        if bytes <= reservation.bytes || reservation.turn.is_some() {
            return;
        }
        let wanted = bytes.max(reservation.bytes.saturating_mul(2));
        let more = self
            .units(wanted)
            .saturating_sub(self.units(reservation.bytes));
        match self.units.clone().try_acquire_many_owned(more) {
            Ok(permit) => {
                match &mut reservation.held {
                    Some(held) => held.merge(permit),
                    None => reservation.held = Some(permit),
                }
                reservation.bytes = wanted;
            }
            Err(_) => reservation.turn = self.turn.clone().acquire_owned().await.ok(),
        }
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

    #[test]
    fn room_is_given_and_taken_back() {
        let memory = Memory::new(10 * UNIT);
        let first = now(memory.reserve(9 * UNIT)).unwrap();
        assert!(now(memory.reserve(2 * UNIT)).is_none());
        assert_eq!(memory.in_use(), 9 * UNIT);
        drop(first);
        assert!(now(memory.reserve(2 * UNIT)).is_some());
        assert_eq!(memory.in_use(), 0);
    }

    #[test]
    fn a_body_longer_than_the_budget_gets_all_of_it() {
        let memory = Memory::new(10 * UNIT);
        let all = now(memory.reserve(1000 * UNIT)).unwrap();
        assert!(now(memory.reserve(1)).is_none());
        drop(all);
    }

    #[test]
    fn growing_bodies_never_wait_for_each_other_in_a_ring() {
        let memory = Memory::new(4 * UNIT);
        let mut one = now(memory.reserve(2 * UNIT)).unwrap();
        let mut two = now(memory.reserve(2 * UNIT)).unwrap();
        // No room is left: one grows beyond the budget, two waits for its turn.
        assert!(now(memory.grow(&mut one, 100 * UNIT)).is_some());
        assert!(now(memory.grow(&mut two, 100 * UNIT)).is_none());
        drop(one);
        assert!(now(memory.grow(&mut two, 100 * UNIT)).is_some());
    }
}
