//! Full verification of a store: every event and every body re-hashed.

use crate::error::Error;
use crate::glance::{Glance, Part};
use crate::store::Store;
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use tlog::tile::{TileBuilder, TileId};
use tlog::{Hash, leaf_hash};

/// Faults listed before the rest is only counted.
const MAX_FAULTS: usize = 100;

/// What a finished verification found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The log's name.
    pub origin: String,
    /// The key that checkpoints were verified with. It lies beside the log: compare it with your own.
    pub verifier_key: String,
    /// Events re-hashed.
    pub events: u64,
    /// Events under the newest valid checkpoint.
    pub signed_events: u64,
    /// Events behind it: durable, not yet signed.
    pub unsigned_tail: u64,
    /// Root hash over the signed events, base64.
    pub root: Option<String>,
    /// Bodies re-hashed.
    pub bodies: u64,
    /// Their plaintext bytes.
    pub body_bytes: u64,
    /// `seq` of the gap events: the record says of itself that something is missing there.
    pub gaps: Vec<u64>,
    /// Calls without a terminal event: open in a live store; left open by a recorder that has ended, which the
    /// next start closes.
    pub open_calls: Vec<u64>,
    /// `seq` of terminal events of calls that are not open at that place: a fault of the recorder, not of storage.
    pub odd_ends: Vec<u64>,
    /// Whether the recorder had ended in order.
    pub ended: bool,
    /// What is wrong, first in the log first; at most the first hundred.
    pub faults: Vec<Fault>,
    /// Faults in all.
    pub fault_count: u64,
    /// What is missing, so that something could not be verified.
    pub missing: Vec<String>,
    /// What this verification does not prove.
    pub not_proven: Vec<String>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// `altered`, `removed`, `order`, `body`, `signature`, `format`, `corrupt`.
    pub what: String,
    /// First event concerned.
    pub seq: Option<u64>,
    /// A sentence.
    pub detail: String,
}

impl Report {
    /// 0: all well; 10: evidence was altered; 11: verified, with recorded gaps; 12: not verifiable.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if self.fault_count > 0 {
            10
        } else if !self.missing.is_empty() {
            12
        } else if !self.gaps.is_empty()
            || !self.odd_ends.is_empty()
            || (self.ended && !self.open_calls.is_empty())
        {
            11
        } else {
            0
        }
    }

    fn fault(&mut self, what: &str, seq: Option<u64>, detail: impl Into<String>) {
        self.fault_count += 1;
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault {
                what: what.into(),
                seq,
                detail: detail.into(),
            });
        }
    }
}

/// How far a verification is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Progress {
    /// Events done.
    pub events: u64,
    /// Events in all.
    pub of_events: u64,
    /// Bodies' plaintext bytes done.
    pub body_bytes: u64,
}

/// Re-hashes everything in the store at `dir`, reporting about every thousand events.
///
/// # Errors
/// Only what keeps verification from starting: no store there, or one of a newer format. Everything
/// else is in the report.
pub fn run(dir: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Report, Error> {
    let store = match Store::open(dir) {
        Ok(store) => store,
        Err(error @ Error::Damaged { .. }) => {
            let mut report = Report::default();
            report.fault("corrupt", None, error.to_string());
            return Ok(report);
        }
        Err(error) => return Err(error),
    };
    Ok(Verifier::new(&store).run(progress))
}

struct Verifier<'a> {
    store: &'a Store,
    report: Report,
    tree: TileBuilder,
    /// Hash tiles that differ from the events, and the first event they differ at.
    bad_tiles: Vec<(TileId, Option<u64>)>,
    streams: HashMap<u64, u64>,
    open: BTreeSet<u64>,
}

impl<'a> Verifier<'a> {
    fn new(store: &'a Store) -> Self {
        let report = Report {
            origin: store.origin().to_owned(),
            verifier_key: store.verifier_key(),
            ..Report::default()
        };
        Self {
            store,
            report,
            tree: TileBuilder::new(),
            bad_tiles: Vec::new(),
            streams: HashMap::new(),
            open: BTreeSet::new(),
        }
    }

    fn run(mut self, progress: &mut dyn FnMut(Progress)) -> Report {
        let store = self.store;
        let checkpoint = match store.checkpoint() {
            Ok(checkpoint) => checkpoint,
            Err(error) => {
                self.report.fault("signature", None, error.to_string());
                None
            }
        };
        let signed = checkpoint.as_ref().map_or(0, tlog::Checkpoint::size);
        let mut root = (signed == 0).then(|| self.tree.root());
        let scanned = store.scan(&mut |seq, line| {
            self.hash(line);
            self.event(seq, line);
            self.report.events += 1;
            if self.tree.size() == signed {
                root = Some(self.tree.root());
            }
            if self.tree.size() == store.settled() {
                self.check_partial_tiles();
            }
            if self.report.events.is_multiple_of(1024) {
                progress(self.progress());
            }
        });
        if let Err(error) = scanned {
            self.unreadable(&error);
        }
        progress(self.progress());
        match (&checkpoint, root) {
            (Some(checkpoint), Some(root)) if root == checkpoint.root() => {
                self.report.signed_events = signed;
                self.report.root = Some(root.to_string());
                // The events are what was signed, so it is the tiles that are wrong.
                for (id, seq) in std::mem::take(&mut self.bad_tiles) {
                    let detail = format!("log/{id} does not hold the hashes of its events");
                    self.report.fault("tile", seq, detail);
                }
            }
            (Some(_), Some(_)) => self.name_first_altered(signed),
            (Some(_), None) => {
                let events = self.report.events;
                let detail = format!("the checkpoint signs {signed} events, the log has {events}");
                self.report.fault("removed", Some(events), detail);
            }
            (None, _) if self.report.fault_count == 0 && self.report.events > 0 => {
                self.report
                    .missing
                    .push("a signed checkpoint (log/checkpoint)".into());
            }
            (None, _) => {}
        }
        for error in store.check_rest_of_vault() {
            self.report.fault("corrupt", None, error.to_string());
        }
        self.report.unsigned_tail =
            self.report.events - self.report.signed_events.min(self.report.events);
        self.report.open_calls = self.open.iter().copied().collect();
        self.report.ended = store.has_ended();
        self.report
            .faults
            .sort_by_key(|fault| fault.seq.unwrap_or(u64::MAX));
        self.report.not_proven = self.not_proven();
        self.report
    }

    fn progress(&self) -> Progress {
        Progress {
            events: self.report.events,
            of_events: self.store.len(),
            body_bytes: self.report.body_bytes,
        }
    }

    fn unreadable(&mut self, error: &Error) {
        let seq = Some(self.report.events);
        match error {
            Error::Missing(what) => self
                .report
                .fault("removed", seq, format!("{what} is missing")),
            other => self.report.fault("corrupt", seq, other.to_string()),
        }
    }

    /// Checks what an event says of itself and re-hashes its bodies.
    fn event(&mut self, seq: u64, line: &[u8]) {
        let glance = match Glance::of(line) {
            Ok(glance) => glance,
            Err(error) => return self.report.fault("format", Some(seq), error),
        };
        if glance.seq != seq {
            let detail = format!("event {} stands at place {seq} of the log", glance.seq);
            self.report.fault("order", Some(seq), detail);
        }
        let next = glance.n.wrapping_add(1);
        let expected = self.streams.insert(glance.stream, next);
        let starts = expected.is_none() && glance.n == 0 && glance.stream == seq;
        if !starts && expected != Some(glance.n) {
            let detail = format!(
                "number {} of stream {} does not follow",
                glance.n, glance.stream
            );
            self.report.fault("order", Some(seq), detail);
        }
        match glance.part {
            Part::Gap => self.report.gaps.push(seq),
            Part::Opens => {
                self.open.insert(seq);
            }
            Part::Closes(Some(call)) if self.open.remove(&call) => {}
            Part::Closes(_) => self.report.odd_ends.push(seq),
            Part::Other => {}
        }
        for body in &glance.bodies {
            match self.store.check_body(body, &mut |_| ()) {
                Ok(()) => {
                    self.report.bodies += 1;
                    self.report.body_bytes += body.len;
                }
                Err(error) => self.report.fault("body", Some(seq), error.to_string()),
            }
        }
    }

    /// Adds an event to the tree and compares each hash tile that it completes with the one on disk.
    fn hash(&mut self, line: &[u8]) {
        let (store, bad) = (self.store, &mut self.bad_tiles);
        self.tree.push(leaf_hash(line), |id, hashes| {
            if store.settled() >= leaves_end(id) {
                compare_tile(store, id, hashes, bad);
            }
        });
    }

    fn check_partial_tiles(&mut self) {
        for (id, hashes) in self.tree.partials() {
            compare_tile(self.store, id, hashes, &mut self.bad_tiles);
        }
    }

    /// The events are not those that were signed. The hash tiles were written with the events: where
    /// they begin to differ is where the change begins.
    fn name_first_altered(&mut self, signed: u64) {
        match self.bad_tiles.iter().filter_map(|(_, seq)| *seq).min() {
            Some(seq) => {
                let detail = format!("event {seq} is not the one that was signed");
                self.report.fault("altered", Some(seq), detail);
            }
            None => self.report.fault(
                "altered",
                None,
                format!(
                    "the first {signed} events are not those that the checkpoint signs; which was \
                     changed cannot be told, because the hash tiles agree with the events"
                ),
            ),
        }
    }

    fn not_proven(&self) -> Vec<String> {
        let mut sentences = vec![
            "That what the upstreams and agents sent is true: the record shows what passed, not whether it was right.".to_owned(),
            "That everything passed the recorder: traffic that went around it is not in this log.".to_owned(),
            "That this is the only log: without a witness, a time stamp or a copy elsewhere, someone who holds the signing key could have written another one, or cut this one back to an earlier checkpoint.".to_owned(),
            "When it happened, beyond the recorder's own clock: no time-stamp authority has vouched for it.".to_owned(),
        ];
        if self.report.unsigned_tail > 0 {
            sentences.push(format!(
                "The last {} events: they are durable but no checkpoint signs them yet.",
                self.report.unsigned_tail
            ));
        }
        if self.store.torn_bytes() > 0 {
            sentences.push(format!(
                "The last {} bytes of the write-ahead log, which are no whole record: a write in progress, or one that was cut off before it was acknowledged.",
                self.store.torn_bytes()
            ));
        }
        sentences
    }
}

/// The tree size from which on a full tile exists.
fn leaves_end(id: TileId) -> u64 {
    (id.index() + 1).saturating_mul(256_u64.saturating_pow(u32::from(id.level()) + 1))
}

/// Notes a tile that is missing or differs from the hashes of the events.
fn compare_tile(store: &Store, id: TileId, hashes: &[Hash], bad: &mut Vec<(TileId, Option<u64>)>) {
    let told = crate::tiles::read_tile(store.disk(), id)
        .ok()
        .flatten()
        .unwrap_or_default();
    if told.starts_with(hashes) || bad.len() >= MAX_FAULTS {
        return;
    }
    let differs = hashes
        .iter()
        .zip(&told)
        .position(|(here, there)| here != there);
    let seq = differs
        .filter(|_| id.level() == 0)
        .map(|at| id.index() * 256 + at as u64);
    bad.push((id, seq));
}
