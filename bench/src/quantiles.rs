//! Order statistics of measured times.

use std::time::Duration;

/// Times in nanoseconds, sorted when asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Quantiles {
    nanos: Vec<u64>,
    sorted: bool,
}

impl Quantiles {
    pub(crate) fn push(&mut self, time: Duration) {
        self.nanos
            .push(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        self.sorted = false;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.nanos.extend_from_slice(&other.nanos);
        self.sorted = false;
    }

    pub(crate) fn len(&self) -> u64 {
        self.nanos.len() as u64
    }

    /// The value below which the share `q` (0 to 1) of the times lies, in milliseconds; 0 without times.
    pub(crate) fn ms(&mut self, q: f64) -> f64 {
        if !self.sorted {
            self.nanos.sort_unstable();
            self.sorted = true;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank: within the count of samples"
        )]
        let rank = (self.nanos.len() as f64 * q) as usize;
        let rank = rank.min(self.nanos.len().saturating_sub(1));
        self.nanos.get(rank).map_or(0.0, |nanos| ms(*nanos))
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn ms(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

/// The middle of an odd count of values, the upper middle of an even one; 0 of none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_ranks_of_the_sorted_times() {
        let mut quantiles = Quantiles::default();
        assert_eq!(quantiles.ms(0.5), 0.0);
        for ms in (1..=100).rev() {
            quantiles.push(Duration::from_millis(ms));
        }
        assert_eq!(
            [0.0, 0.5, 0.99, 1.0].map(|q| quantiles.ms(q)),
            [1.0, 51.0, 100.0, 100.0]
        );
    }

    #[test]
    fn the_median_ignores_order() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([]), 0.0);
    }
}
