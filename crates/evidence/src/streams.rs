//! Contiguous counters per run, so that a hole in any extract of the log is visible.

use std::collections::HashMap;
use std::sync::Arc;

/// Streams remembered in each of the two generations.
const GENERATION: usize = 1 << 15;

/// The next counter of each run. A run that was forgotten, or that goes on after a restart, begins a
/// new stream: streams are named by the `seq` of their first event.
#[derive(Debug)]
pub(crate) struct Streams {
    own: (u64, u64),
    young: HashMap<Arc<str>, (u64, u64)>,
    old: HashMap<Arc<str>, (u64, u64)>,
}

impl Streams {
    /// `first` is the `seq` of this session's first event, which names the recorder's own stream.
    pub(crate) fn new(first: u64) -> Self {
        Self {
            own: (first, 0),
            young: HashMap::new(),
            old: HashMap::new(),
        }
    }

    /// Stream and counter for an event with this `seq`.
    pub(crate) fn next(&mut self, run: Option<&Arc<str>>, seq: u64) -> (u64, u64) {
        let Some(run) = run else {
            let at = self.own;
            self.own.1 += 1;
            return at;
        };
        if let Some(entry) = self.young.get_mut(run) {
            let at = *entry;
            entry.1 += 1;
            return at;
        }
        let (stream, n) = self.old.remove(run).unwrap_or((seq, 0));
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(run.clone(), (stream, n + 1));
        (stream, n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_counts_from_zero_without_holes() {
        let mut streams = Streams::new(5);
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let got: Vec<_> = [
            (None, 5),
            (Some(&a), 6),
            (Some(&b), 7),
            (Some(&a), 8),
            (None, 9),
        ]
        .into_iter()
        .map(|(run, seq)| streams.next(run, seq))
        .collect();
        assert_eq!(got, [(5, 0), (6, 0), (7, 0), (6, 1), (5, 1)]);
    }
}
