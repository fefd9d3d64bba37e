//! What a seed did: the record that it left, and how often what happened.

use super::model::Model;
use std::collections::BTreeMap;
use storage::SimDisk;

/// What a seed did.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct History {
    pub(super) lines: Vec<Vec<u8>>,
    pub(super) files: BTreeMap<String, Vec<u8>>,
    pub(super) tally: Tally,
}

/// What happened, to see that a simulation simulates.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    pub(super) fn count(&mut self, what: &'static str, n: u64) {
        *self.0.entry(what).or_default() += n;
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (what, n) in &other.0 {
            self.count(what, *n);
        }
    }

    /// A kind of event that no seed brings about is one that nothing is known of.
    pub(super) fn check_that_everything_happened(&self) {
        for what in [
            "acknowledged",
            "refused",
            "interrupted",
            "ends in order",
            "kills",
            "power cuts",
            "failures",
            "failed starts",
            "checkpoints",
            "published",
            "heartbeats",
            "epochs",
            "revocations",
            "revocations cut short",
            "lives begun late",
            "sealed volumes",
            "torn ends",
            "allocate",
            "look",
            "open_or_create",
            "publish",
            "remove",
            "set_len",
            "sync",
            "sync_all",
            "write",
            "write_at",
        ] {
            assert!(
                self.0.get(what).is_some_and(|n| *n > 0),
                "never: {what}; {self}"
            );
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all: Vec<String> = self
            .0
            .iter()
            .map(|(what, n)| format!("{n} {what}"))
            .collect();
        f.write_str(&all.join(", "))
    }
}

impl History {
    /// The last look at what is left.
    pub(super) fn of(model: &Model, disk: &SimDisk, mut tally: Tally) -> Self {
        let kinds = |kind: &str| {
            let name = format!("\"kind\":\"{kind}\"");
            let lines = model.lines.iter();
            lines
                .filter(|line| memchr::memmem::find(line, name.as_bytes()).is_some())
                .count() as u64
        };
        let refused = model.refused_tags().len() as u64;
        let told = |what: &str| {
            let lines = model.lines.iter();
            lines
                .filter(|line| memchr::memmem::find(line, what.as_bytes()).is_some())
                .count() as u64
        };
        let counts = [
            ("acknowledged", model.acknowledged()),
            ("refused", refused),
            ("interrupted", told("\"state\":\"interrupted\"")),
            ("heartbeats", kinds("heartbeat")),
            ("torn ends", told("discarded_bytes")),
            ("epochs", kinds("key.epoch")),
            ("revocations", kinds("key.revoked")),
            ("sealed volumes", kinds("vault.sealed")),
            ("checkpoints", model.checkpoints.len() as u64),
            ("published", model.published.len() as u64),
            ("events", model.lines.len() as u64),
        ];
        for (what, n) in counts {
            tally.count(what, n);
        }
        let mut files = disk.files();
        for (path, bytes) in &mut files {
            if path.starts_with(crate::published::DIR) {
                // ML-DSA-44 signatures are hedged: their bytes are nobody's choice.
                let text = String::from_utf8(std::mem::take(bytes)).unwrap();
                let kept = text.lines().filter(|line| line.len() < 1_000);
                *bytes = kept.collect::<Vec<_>>().join("\n").into_bytes();
            }
        }
        Self {
            lines: model.lines.clone(),
            files,
            tally,
        }
    }
}
