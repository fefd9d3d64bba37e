//! Full verification of a record: every event and every body re-hashed, every signature and every anchor
//! checked, and a verdict on each [`claims::Subject`].
//!
//! Reads and never writes; never asks the network. What it trusts comes from [`Options`], never from the
//! directory that it judges.

pub mod claims;
mod limits;
pub mod report;
mod sequence;
mod signature;
mod tiles;

pub use claims::{Claim, Subject, Verdict};
pub use report::{Fault, Report};

use crate::error::Error;
use crate::glance::Glance;
use crate::store::Store;
use sequence::Sequence;
use std::path::Path;
use tiles::Tree;
use tlog::Hash;

/// What the auditor brings: whom to trust, what to hold the record against.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The logs and witnesses to trust. Without it the key that lies beside the log is used, and said.
    pub policy: Option<tlog::policy::Policy>,
    /// The roots of time-stamp authorities. Without them time-stamps are checked for consistency only.
    pub roots: Option<timestamp::Trust>,
    /// The time to judge as of; what lies after it does not count. Without it any time counts.
    pub at: Option<jiff::Timestamp>,
    /// Checkpoints, cosigned notes or receipts that the auditor holds: the log must extend each.
    pub heads: Vec<Vec<u8>>,
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
pub fn run(
    dir: &Path,
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, Error> {
    let store = match Store::open(dir) {
        Ok(store) => store,
        Err(error @ Error::Damaged { .. }) => {
            let mut report = Report::default();
            report.fault(Subject::Content, "corrupt", None, error.to_string());
            report.conclude();
            return Ok(report);
        }
        Err(error) => return Err(error),
    };
    Ok(Verifier::new(&store, options).run(progress))
}

struct Verifier<'a> {
    store: &'a Store,
    options: &'a Options,
    report: Report,
    tree: Tree<'a>,
    sequence: Sequence,
}

impl<'a> Verifier<'a> {
    fn new(store: &'a Store, options: &'a Options) -> Self {
        let report = Report {
            origin: store.origin().to_owned(),
            verifier_key: store.verifier_key(),
            ..Report::default()
        };
        Self {
            store,
            options,
            report,
            tree: Tree::new(store),
            sequence: Sequence::default(),
        }
    }

    fn run(mut self, progress: &mut dyn FnMut(Progress)) -> Report {
        let store = self.store;
        signature::pin(store.key(), self.options.policy.as_ref(), &mut self.report);
        let checkpoint = match store.checkpoint() {
            Ok(checkpoint) => checkpoint,
            Err(error) => {
                let detail = error.to_string();
                self.report
                    .fault(Subject::Signature, "signature", None, detail);
                None
            }
        };
        let signed = checkpoint.as_ref().map_or(0, tlog::Checkpoint::size);
        let mut root = (signed == 0).then(|| self.tree.root());
        let scanned = store.scan(&mut |seq, line| {
            self.tree.push(line);
            self.event(seq, line);
            self.report.events += 1;
            if self.tree.size() == signed {
                root = Some(self.tree.root());
            }
            if self.report.events.is_multiple_of(1024) {
                progress(self.progress());
            }
        });
        if let Err(error) = scanned {
            self.unreadable(&error);
        }
        progress(self.progress());
        self.signed(checkpoint.as_ref(), root);
        for error in store.check_rest_of_vault() {
            let detail = error.to_string();
            self.report.fault(Subject::Bodies, "corrupt", None, detail);
        }
        self.finish()
    }

    fn progress(&self) -> Progress {
        Progress {
            events: self.report.events,
            of_events: self.store.len(),
            body_bytes: self.report.body_bytes,
        }
    }

    /// The log could not be read to its end.
    fn unreadable(&mut self, error: &Error) {
        let events = self.report.events;
        let (what, detail) = match error {
            Error::Missing(what) => ("removed", format!("{what} is missing")),
            other => ("corrupt", other.to_string()),
        };
        self.report
            .fault(Subject::Content, what, Some(events), detail);
        for subject in [Subject::Order, Subject::Sequence, Subject::Bodies] {
            let why = format!("only the first {events} events could be read");
            self.report.doubt(subject, why);
        }
    }

    /// Checks what an event says of itself and re-hashes its bodies.
    fn event(&mut self, seq: u64, line: &[u8]) {
        let glance = match Glance::of(line) {
            Ok(glance) => glance,
            Err(error) => {
                return self
                    .report
                    .fault(Subject::Content, "format", Some(seq), error);
            }
        };
        self.sequence.event(seq, &glance, &mut self.report);
        for body in &glance.bodies {
            match self.store.check_body(body, &mut |_| ()) {
                Ok(()) => {
                    self.report.bodies += 1;
                    self.report.body_bytes += body.len;
                }
                Err(error) => {
                    let detail = error.to_string();
                    self.report
                        .fault(Subject::Bodies, "body", Some(seq), detail);
                }
            }
        }
    }

    /// Holds the events against the log's own checkpoint; `root` is theirs at its size.
    fn signed(&mut self, checkpoint: Option<&tlog::Checkpoint>, root: Option<Hash>) {
        let signed = checkpoint.map_or(0, tlog::Checkpoint::size);
        let report = &mut self.report;
        match (checkpoint, root) {
            (Some(checkpoint), Some(root)) if root == checkpoint.root() => {
                report.signed_events = signed;
                report.root = Some(root.to_string());
                let detail =
                    format!("{signed} events are those of the root that the checkpoint signs");
                report.rests(Subject::Content, detail);
                let detail = "the log's key signed the checkpoint".to_owned();
                report.rests(Subject::Signature, detail);
                // The events are what was signed, so it is the tiles that are wrong.
                for (id, seq) in self.tree.bad() {
                    let detail = format!("log/{id} does not hold the hashes of its events");
                    report.fault(Subject::Content, "tile", *seq, detail);
                }
            }
            (Some(_), Some(_)) => self.name_first_altered(signed),
            (Some(_), None) => {
                let events = report.events;
                let detail = format!("the checkpoint signs {signed} events, the log has {events}");
                report.fault(Subject::Sequence, "removed", Some(events), detail);
            }
            (None, _) if report.fault_count == 0 && report.events > 0 => {
                report.lacks(Subject::Signature, "a signed checkpoint (log/checkpoint)");
                report.doubt(Subject::Content, "no checkpoint signs the events");
            }
            (None, _) => {}
        }
    }

    /// The events are not those that were signed. The hash tiles were written with the events: where
    /// they begin to differ is where the change begins.
    fn name_first_altered(&mut self, signed: u64) {
        let seq = self.tree.first_difference();
        let detail = match seq {
            Some(seq) => format!("event {seq} is not the one that was signed"),
            None => format!(
                "the first {signed} events are not those that the checkpoint signs; which was \
                 changed cannot be told, because the hash tiles agree with the events"
            ),
        };
        self.report.fault(Subject::Content, "altered", seq, detail);
    }

    fn finish(self) -> Report {
        let Self {
            store,
            mut report,
            sequence,
            ..
        } = self;
        let (open, streams) = sequence.finish();
        report.open_calls = open;
        report.unsigned_tail = report.events - report.signed_events.min(report.events);
        report.ended = store.has_ended();
        let detail = format!("{} events stand at the places they name", report.events);
        report.rests(Subject::Order, detail);
        let detail = format!("the counters of {streams} streams have no hole");
        report.rests(Subject::Sequence, detail);
        let detail = format!("{} bodies match what their events commit to", report.bodies);
        report.rests(Subject::Bodies, detail);
        report.not_proven = limits::not_proven(&report, store);
        report.conclude();
        report
    }
}
