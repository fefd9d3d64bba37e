//! How long to wait before asking again.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(5);

/// Doubles from a second to five minutes.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// The wait before the next attempt. `chance` is any number: recorders that lost the same authority at the same
    /// time come back over half as much time again.
    pub(crate) fn next(&mut self, chance: u64) -> Duration {
        let wait = self.next;
        self.next = (self.next * 2).min(LONGEST);
        let spread = u64::try_from(wait.as_millis() / 2)
            .unwrap_or(u64::MAX)
            .max(1);
        wait + Duration::from_millis(chance % spread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_to_a_bound() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..11).map(|_| backoff.next(0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert!(backoff.next(u64::MAX) < Duration::from_secs(450));
    }
}
