//! What verification finds of the vault: bodies that no key at hand opens, and whether complete volumes are the files that
//! the log says they are, which needs no key.

use super::claims::Subject;
use super::report::{CORRUPT, Report};
use super::word;
use crate::cipher::RECIPIENT_FACT;
use crate::error::Error;
use crate::sealed_volume::{Differs, SealedVolume};
use crate::store::Store;
use crate::volume::volume_path;
use event::Line;
use serde_json::Value;
use std::collections::BTreeSet;

/// Reasons that are kept apart; one a volume at most, and the first tell enough.
const MAX_REASONS: usize = 16;

/// Broken files that are remembered.
const MAX_BROKEN: usize = 1024;

/// Recipients that are remembered.
const MAX_RECIPIENTS: usize = 1024;

/// Gathers while the log is read.
#[derive(Debug, Default)]
pub(super) struct Vault {
    /// Why bodies could not be opened.
    locked: BTreeSet<String>,
    /// Files of keys that should be there.
    missing: BTreeSet<String>,
    sealed: Vec<(u64, SealedVolume)>,
    /// Files of which something is broken.
    broken: BTreeSet<String>,
    recipients: Recipients,
}

/// To whom the log says that the recorder wraps the vault's keys.
#[derive(Debug, Default)]
struct Recipients {
    told: BTreeSet<String>,
    starts: u64,
    /// Starts that say it; those of recorders from before it was told do not.
    telling: u64,
}

impl Recipients {
    /// Whether the log names each of those to whom keys were ever wrapped.
    const fn are_known(&self) -> bool {
        self.starts > 0 && self.starts == self.telling
    }

    fn start(&mut self, line: &Line) -> Result<(), String> {
        self.starts += 1;
        let fact = line
            .facts
            .as_ref()
            .and_then(|facts| facts.get(RECIPIENT_FACT));
        match fact {
            None => {}
            Some(Value::Null) => self.telling += 1,
            Some(Value::String(id)) if self.told.len() < MAX_RECIPIENTS => {
                self.told.insert(id.clone());
                self.telling += 1;
            }
            Some(Value::String(_)) => {}
            Some(_) => return Err(format!("event {}: {RECIPIENT_FACT} is no name", line.seq)),
        }
        Ok(())
    }
}

/// Whether a file that is missing is one of a key, without which bodies cannot be opened and nothing is refuted.
fn is_key(path: &str) -> bool {
    path.ends_with(".key") || path.ends_with(".seed")
}

fn names_a_key(error: &Error) -> bool {
    matches!(error, Error::Missing(path) if is_key(path))
}

impl Vault {
    /// A body could not be checked, or is not what event `seq` says.
    pub(super) fn body(&mut self, seq: u64, error: Error, store: &Store, report: &mut Report) {
        // That volume is named once.
        if store.is_of_lost_volume(&error) && !names_a_key(&error) {
            return;
        }
        let kept = match &error {
            Error::Locked { .. } => &mut self.locked,
            Error::Missing(path) if is_key(path) => &mut self.missing,
            Error::Io { what, .. } if error.is_absence() && is_key(what) => &mut self.missing,
            _ => return self.fault(&error, Some(seq), report),
        };
        if kept.len() < MAX_REASONS {
            kept.insert(match error {
                Error::Missing(path) => path,
                Error::Io { what, .. } => format!("permission to read {what}"),
                error => error.to_string(),
            });
        }
        report.bodies_locked += 1;
    }

    /// Something is wrong with the vault, at event `seq` if that leads there.
    pub(super) fn fault(&mut self, error: &Error, seq: Option<u64>, report: &mut Report) {
        if let Error::Damaged { what, .. } = error
            && self.broken.len() < MAX_BROKEN
        {
            // Behind the file stands where in it.
            let path = what.split(' ').next().unwrap_or_default();
            self.broken.insert(path.to_owned());
        }
        report.fault(Subject::Bodies, word(error), seq, error.to_string());
    }

    /// Keeps what an event says of the vault.
    pub(super) fn told(&mut self, line: &Line) -> Result<(), String> {
        if line.kind == "recorder.start" && line.source == "recorder" {
            return self.recipients.start(line);
        }
        if line.kind != "vault.sealed" {
            return Ok(());
        }
        let facts = line.facts.clone().unwrap_or_default();
        let volume = serde_json::from_value(serde_json::Value::Object(facts)).map_err(|error| {
            format!(
                "event {} does not say which volume is complete: {error}",
                line.seq
            )
        })?;
        self.sealed.push((line.seq, volume));
        Ok(())
    }

    /// Holds the volumes against what the log says of them, and says what could not be opened. `asked`: the auditor brought
    /// a key to open them with.
    pub(super) fn finish(mut self, store: &Store, asked: bool, report: &mut Report) {
        let (missing, broken) = (store.missing_volumes(), store.broken_volumes());
        for error in &broken {
            self.fault(error, None, report);
        }
        for (seq, told) in &self.sealed {
            let number = told.number;
            if broken
                .iter()
                .any(|error| error.place() == volume_path(number))
            {
                continue;
            }
            match told.differs(store.disk()) {
                Ok(None) => report.volumes_sealed += 1,
                Ok(Some(differs)) => {
                    let (what, how) = match differs {
                        Differs::Length(bytes) => (
                            "altered",
                            format!("it has {bytes} bytes, not {}", told.bytes),
                        ),
                        // What is broken in it has been said, and it is another file for that.
                        Differs::Content(_) if self.broken.contains(&volume_path(number)) => {
                            (CORRUPT, "its checksums are broken".to_owned())
                        }
                        Differs::Content(sha256) => (
                            "altered",
                            format!("its SHA-256 is {sha256}, not {}", told.sha256),
                        ),
                    };
                    let detail = format!(
                        "volume {number} is not the file that event {seq} describes: {how}"
                    );
                    report.fault(Subject::Bodies, what, Some(*seq), detail);
                }
                Err(error) if error.is_absence() && missing.contains(&volume_path(number)) => {}
                Err(error) if error.is_absence() => {
                    let path = volume_path(number);
                    let detail = format!("{path}, which event {seq} describes, is missing");
                    report.fault(Subject::Bodies, "removed", Some(*seq), detail);
                }
                Err(error) => {
                    report.fault(Subject::Bodies, word(&error), Some(*seq), error.to_string());
                }
            }
        }
        for path in store.keys().strangers() {
            let detail = format!(
                "{path} holds a key under another keyring key than the one that opens the others: it is of another store"
            );
            report.fault(Subject::Bodies, "altered", None, detail);
        }
        for path in missing {
            report.lacks(Subject::Bodies, path);
        }
        self.unopened(store, report);
        for path in self.missing {
            report.lacks(Subject::Bodies, path);
        }
        for reason in self.locked {
            if asked {
                report.lacks(Subject::Bodies, format!("a key that fits ({reason})"));
            } else {
                report.doubt(Subject::Bodies, reason);
            }
        }
        if report.bodies_locked > 0 {
            let (count, sealed) = (report.bodies_locked, report.volumes_sealed);
            report.doubt(
                Subject::Bodies,
                format!(
                    "{count} bodies could not be opened; of their ciphertext, {sealed} complete volumes are the files that the log \
                     describes, and the rest has only its checksums, which show damage and no forgery"
                ),
            );
        }
    }

    /// Files of keys which nobody can open whom the log says they are for: as good as gone, and they weigh the same.
    fn unopened(&self, store: &Store, report: &mut Report) {
        for path in store.keys().emptied() {
            let what = format!("the key in {path}, which holds none for anybody,");
            report.lacks(Subject::Bodies, what);
        }
        for (recipients, path) in store.keys().wrapped_to() {
            let told = recipients
                .iter()
                .any(|id| self.recipients.told.contains(id));
            // Events that could not be read may name more.
            if self.recipients.are_known() && !told && !report.is_cut {
                let what = format!(
                    "the key in {path}, which is for {} and for nobody whom the log names,",
                    recipients.join(", ")
                );
                report.lacks(Subject::Bodies, what);
            }
        }
    }
}
