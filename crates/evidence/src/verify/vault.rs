//! What verification finds of the vault: bodies that no key at hand opens, and whether complete volumes are the files that
//! the log says they are, which needs no key.

use super::claims::Subject;
use super::report::Report;
use super::word;
use crate::error::Error;
use crate::sealed_volume::SealedVolume;
use crate::store::Store;
use event::Line;
use std::collections::BTreeSet;

/// Reasons that are kept apart; one a volume at most, and the first tell enough.
const MAX_REASONS: usize = 16;

/// Gathers while the log is read.
#[derive(Debug, Default)]
pub(super) struct Vault {
    /// Why bodies could not be opened.
    locked: BTreeSet<String>,
    /// Files of keys that should be there.
    missing: BTreeSet<String>,
    sealed: Vec<(u64, SealedVolume)>,
}

/// Whether a file that is missing is one of a key, without which bodies cannot be opened and nothing is refuted.
fn is_key(path: &str) -> bool {
    path.ends_with(".key") || path.ends_with(".seed")
}

impl Vault {
    /// A body could not be checked, or is not what event `seq` says.
    pub(super) fn body(&mut self, seq: u64, error: Error, report: &mut Report) {
        let kept = match &error {
            Error::Locked { .. } => &mut self.locked,
            Error::Missing(path) if is_key(path) => &mut self.missing,
            _ => return report.fault(Subject::Bodies, word(&error), Some(seq), error.to_string()),
        };
        if kept.len() < MAX_REASONS {
            kept.insert(match error {
                Error::Missing(path) => path,
                error => error.to_string(),
            });
        }
        report.bodies_locked += 1;
    }

    /// Keeps what a `vault.sealed` event says.
    pub(super) fn told(&mut self, line: &Line) -> Result<(), String> {
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
    pub(super) fn finish(self, store: &Store, asked: bool, report: &mut Report) {
        for (seq, told) in &self.sealed {
            match SealedVolume::read(store.disk(), told.number) {
                Ok(found) if found == *told => report.volumes_sealed += 1,
                Ok(found) => {
                    let detail = format!(
                        "volume {} is not the file that event {seq} describes: {} bytes with SHA-256 {}, not {} with {}",
                        told.number, found.bytes, found.sha256, told.bytes, told.sha256
                    );
                    report.fault(Subject::Bodies, "altered", Some(*seq), detail);
                }
                Err(Error::Missing(path)) => {
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
            let count = report.bodies_locked;
            report.doubt(
                Subject::Bodies,
                format!(
                    "{count} bodies could not be opened; that their ciphertext is whole was checked"
                ),
            );
        }
    }
}
