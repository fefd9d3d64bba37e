//! Full verification of a record: every event and every body re-hashed, every signature and every anchor
//! checked, and a verdict on each [`claims::Subject`].
//!
//! Reads and never writes; never asks the network. What it trusts comes from [`Options`], never from the
//! directory that it judges.

mod anchors;
mod brackets;
pub mod claims;
mod foreign;
mod heads;
mod keys;
mod limits;
pub mod report;
mod sequence;
mod signature;
mod tail;
mod tiles;
mod vault;

pub use anchors::{Anchor, Kind};
pub use brackets::{Bound, Bracket};
pub use claims::{Claim, Subject, Verdict};
pub use foreign::run_log;
use report::CORRUPT;
pub use report::{Fault, Report};
pub use tail::{Cadence, Tail};

use crate::cipher::VaultKey;
use crate::error::Error;
use crate::glance::{Glance, Part};
use crate::published;
use crate::store::Store;
use crate::tiles::CHECKPOINT;
use anchors::{Judge, Outside, Told};
use event::Line;
use heads::{Head, Held};
use keys::LogKeys;
use sequence::Sequence;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use storage::{Disk, LocalDisk};
use tiles::Tree;
use tlog::note::Note;
use tlog::{Checkpoint, Hash};

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
    /// An investigator's key to open bodies with, besides the keyring key where that lies in the directory.
    pub vault_key: Option<VaultKey>,
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
    run_on(Arc::new(LocalDisk::at(dir)), options, progress)
}

/// As [`run`], on any disk.
///
/// # Errors
/// As [`run`].
pub fn run_on(
    disk: Arc<dyn Disk>,
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, Error> {
    let (published, store) = match looked_at(&disk, options) {
        Ok(found) => found,
        Err(error @ (Error::Damaged { .. } | Error::Altered { .. })) => {
            return Ok(nothing_read(&error));
        }
        Err(error) => return Err(error),
    };
    let report = Verifier::new(&store, options, published).run(progress);
    of_the_log_meant(report)
}

/// The report on a store that cannot be opened for what lies in it.
fn nothing_read(error: &Error) -> Report {
    let mut report = Report::default();
    let refuted = Subject::resting_on(error.place());
    report.fault(refuted, word(error), None, error.to_string());
    for subject in Subject::ALL.into_iter().filter(|other| *other != refuted) {
        report.doubt(subject, format!("nothing was read, for {error}"));
    }
    report.conclude();
    report
}

/// Whether the auditor asked about this log. A head of another is held against nothing; where anything else is amiss that is
/// told and not this, so that no log gets away with calling itself another.
fn of_the_log_meant(report: Report) -> Result<Report, Error> {
    match report.other_log() {
        None => Ok(report),
        Some(theirs) => Err(Error::OtherLog {
            theirs: theirs.to_owned(),
            ours: report.origin,
        }),
    }
}

/// The sizes of the published heads and the store with its checkpoint, as they go together: a recorder may be at work.
fn looked_at(disk: &Arc<dyn Disk>, options: &Options) -> Result<(Vec<u64>, Store), Error> {
    let look = || {
        // First what was published, as the store looks at its checkpoint first: no head may be newer than the events.
        let published = published::sizes(disk.as_ref())?;
        let store = Store::open_left_on(disk.clone(), options.vault_key.clone())?;
        Ok::<_, Error>((published, store))
    };
    let (mut published, mut store) = look()?;
    if store.has_ended() && claimed(&store) != Some(store.len()) {
        // Of a recorder that has ended everything is signed, if it had not ended only just now.
        (published, store) = look()?;
    }
    // What events tell of was published before them, and maybe after the first look.
    let events = store.len();
    let since = published::sizes(disk.as_ref())?;
    let since = since.into_iter().filter(|size| *size <= events);
    published.extend(since);
    published.sort_unstable();
    published.dedup();
    Ok((published, store))
}

/// The size that the checkpoint claims to sign; believed only once its signature is.
fn claimed(store: &Store) -> Option<u64> {
    let note = Note::parse(store.checkpoint_bytes()?).ok()?;
    note.text().parse().ok().map(|head: Checkpoint| head.size())
}

struct Verifier<'a> {
    store: &'a Store,
    options: &'a Options,
    /// Sizes of the published heads.
    published: Vec<u64>,
    heads: Vec<Head>,
    report: Report,
    tree: Tree<'a>,
    sequence: Sequence,
    told: Vec<Told>,
    keys: LogKeys,
    /// Sizes at which a root is needed, ascending.
    wanted: Vec<u64>,
    roots: BTreeMap<u64, Hash>,
    vault: vault::Vault,
}

impl<'a> Verifier<'a> {
    fn new(store: &'a Store, options: &'a Options, published: Vec<u64>) -> Self {
        let mut report = Report {
            origin: store.origin().to_owned(),
            verifier_key: store.verifier_key(),
            said_events: store.len(),
            ..Report::default()
        };
        let heads = heads::read(&options.heads, &mut report);
        let mut wanted = published.clone();
        wanted.extend(claimed(store));
        wanted.extend(heads.iter().map(Head::size));
        wanted.extend(LogKeys::begun(store));
        // From the back, so that the next one is popped.
        wanted.sort_unstable_by(|a, b| b.cmp(a));
        wanted.dedup();
        Self {
            store,
            options,
            published,
            heads,
            report,
            tree: Tree::new(store.settled(), |id| {
                crate::tiles::read_tile(store.disk(), id).ok().flatten()
            }),
            sequence: Sequence::default(),
            told: Vec::new(),
            keys: LogKeys::new(store.key().clone()),
            wanted,
            roots: BTreeMap::new(),
            vault: vault::Vault::default(),
        }
    }

    fn run(mut self, progress: &mut dyn FnMut(Progress)) -> Report {
        let store = self.store;
        self.note_root();
        let scanned = store.scan(&mut |seq, line, leaf| {
            self.tree.push(leaf);
            self.event(seq, line);
            self.report.events += 1;
            self.note_root();
            if self.report.events.is_multiple_of(1024) {
                progress(self.progress());
            }
        });
        if let Err(error) = &scanned {
            self.unreadable(error);
        }
        progress(self.progress());
        let keys = self.keys.clone();
        keys.conclude(store, &self.roots, &mut self.report);
        let (whole, policy) = (scanned.is_ok(), self.options.policy.as_ref());
        signature::pin(&keys, whole, policy, &mut self.report);
        self.own_checkpoint(&keys);
        for error in store.check_rest_of_vault() {
            self.vault.fault(&error, None, &mut self.report);
        }
        let outside = self.outside(&keys);
        self.finish(&outside)
    }

    fn progress(&self) -> Progress {
        Progress {
            events: self.report.events,
            of_events: self.store.len(),
            body_bytes: self.report.body_bytes,
        }
    }

    /// Keeps the root where somebody signed one.
    fn note_root(&mut self) {
        let size = self.tree.size();
        if self.wanted.last() == Some(&size) {
            self.wanted.pop();
            self.roots.insert(size, self.tree.root());
        }
    }

    /// The log could not be read to its end.
    fn unreadable(&mut self, error: &Error) {
        let events = self.report.events;
        let detail = error.to_string();
        self.report
            .fault(Subject::Content, word(error), Some(events), detail);
        self.report.is_cut = true;
        let why = self.report.unread().unwrap_or_default();
        for subject in [
            Subject::Order,
            Subject::Sequence,
            Subject::Epoch,
            Subject::Bodies,
        ] {
            self.report.doubt(subject, why.clone());
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
        if glance.part == Part::OfTheLog
            && let Err(why) = self.of_the_log(seq, line)
        {
            self.report
                .fault(Subject::Content, "format", Some(seq), why);
        }
        for body in &glance.bodies {
            match self.store.check_body(body, &mut |_| ()) {
                Ok(()) => {
                    self.report.bodies += 1;
                    self.report.body_bytes += body.len;
                }
                Err(error) => self.vault.body(seq, error, self.store, &mut self.report),
            }
        }
    }

    /// Keeps what an event tells of the log itself.
    fn of_the_log(&mut self, seq: u64, bytes: &[u8]) -> Result<(), String> {
        let line = Line::parse(bytes).map_err(|error| error.to_string())?;
        self.vault.told(&line)?;
        if Told::is_of_incident(&line) {
            self.report.incidents.push(seq);
        }
        if line.kind.starts_with("key.") {
            self.keys.event(seq, bytes, &mut self.report);
        }
        self.told.extend(Told::of(&line)?);
        Ok(())
    }

    /// Holds the events against the log's own checkpoint.
    fn own_checkpoint(&mut self, keys: &LogKeys) {
        let report = &mut self.report;
        let Some(bytes) = self.store.checkpoint_bytes() else {
            // Whatever else is amiss, nobody has signed anything that is there.
            if report.has() > 0 {
                report.lacks(Subject::Signature, "a signed checkpoint (log/checkpoint)");
                report.doubt(Subject::Content, "no checkpoint signs the events");
            }
            return;
        };
        let checkpoint = match keys.open(bytes) {
            Ok(signed) if signed.revoked.is_some() => {
                let epoch = signed.epoch;
                let detail =
                    format!("{CHECKPOINT}: the key of epoch {epoch}, which signed it, was revoked");
                let first = signed.revoked.map(|revoked| revoked.size);
                report.fault(Subject::Signature, "signature", first, detail);
                report.doubt(Subject::Content, "no valid checkpoint signs the events");
                return;
            }
            Ok(signed) => signed.checkpoint,
            Err(refusal) => {
                let detail = format!("{CHECKPOINT}: {refusal}");
                let size = claimed(self.store).unwrap_or_default();
                keys::refuse(report, size, &refusal, &detail);
                report.doubt(Subject::Content, "no valid checkpoint signs the events");
                return;
            }
        };
        report.rests(Subject::Signature, "the log's key signed the checkpoint");
        let signed = checkpoint.size();
        match self.roots.get(&signed) {
            Some(root) if *root == checkpoint.root() => {
                report.signed_events = signed;
                report.root = Some(root.to_string());
                let detail = format!("{signed} events are those that the checkpoint signs");
                report.rests(Subject::Content, detail);
                if self.store.has_ended() && signed < report.events {
                    let detail = format!(
                        "{CHECKPOINT} signs {signed} events, but a recorder that has ended in order has signed all of its {}: \
                         an earlier checkpoint was put in its place",
                        report.events
                    );
                    report.fault(Subject::Signature, "signature", Some(signed), detail);
                }
                // The events are what was signed, so it is the tiles that are wrong.
                for (id, seq) in self.tree.bad() {
                    let detail = format!("log/{id} does not hold the hashes of its events");
                    report.fault(Subject::Content, "tile", *seq, detail);
                }
            }
            Some(_) => self.name_first_altered(signed),
            // It has been said that they could not be read.
            None if report.is_out_of_reach(signed) => {}
            None => {
                let has = report.has();
                let detail = format!("the checkpoint signs {signed} events, the log has {has}");
                report.fault(Subject::Sequence, "removed", Some(has), detail);
                let why = "not all of the events that the checkpoint signs are there";
                report.doubt(Subject::Content, why);
            }
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

    /// What outsiders say of the log.
    fn outside(&mut self, keys: &LogKeys) -> Vec<Outside> {
        let roots = &self.roots;
        let judge = Judge {
            disk: self.store.disk(),
            options: self.options,
            keys,
            roots,
            report: &mut self.report,
            outside: Vec::new(),
            out_of_reach: 0,
        };
        let outside = judge.all(&self.published, std::mem::take(&mut self.told));
        anchors::conclude(&outside, self.options, &mut self.report);
        let held = Held {
            origin: keys.origin(),
            roots,
            report: &mut self.report,
        };
        held.judge(&self.heads, keys, self.options);
        outside
    }

    fn finish(self, outside: &[Outside]) -> Report {
        let Self {
            store,
            mut report,
            sequence,
            vault,
            options,
            ..
        } = self;
        vault.finish(store, options.vault_key.is_some(), &mut report);
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
        report.not_proven = limits::not_proven(&report, outside, store.torn_bytes());
        report.not_proven.extend(limits::open_end(&report));
        report.conclude();
        report
    }
}

/// What an error says of the bytes: broken, or whole and other than they should be.
fn word(error: &Error) -> &'static str {
    match error {
        Error::Altered { .. } => "altered",
        error if error.is_absence() => "removed",
        _ => CORRUPT,
    }
}

#[cfg(test)]
mod tests;
