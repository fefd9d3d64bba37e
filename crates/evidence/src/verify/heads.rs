//! The heads that the auditor holds: whatever else the directory says, the log must extend them.

use super::keys::{LogKeys, refuse};
use super::{Report, Subject};
use std::collections::BTreeMap;
use tlog::note::Note;
use tlog::receipt::Receipt;
use tlog::{Checkpoint, Hash};

/// A head as the auditor brought it.
#[derive(Debug)]
pub(super) struct Head {
    note: Note,
    checkpoint: Checkpoint,
}

impl Head {
    /// Reads a checkpoint, a cosigned note, or a receipt, which holds a checkpoint.
    fn read(bytes: &[u8]) -> Result<Self, tlog::Error> {
        let note = match Receipt::parse(bytes) {
            Ok(receipt) => receipt.checkpoint().clone(),
            Err(_) => Note::parse(bytes)?,
        };
        let checkpoint = note.text().parse()?;
        Ok(Self { note, checkpoint })
    }

    /// Events that it covers.
    pub(super) const fn size(&self) -> u64 {
        self.checkpoint.size()
    }
}

/// Reads the heads; one that is none is said to be missing, for the auditor asked to hold the log against it.
pub(super) fn read(heads: &[Vec<u8>], report: &mut Report) -> Vec<Head> {
    heads
        .iter()
        .filter_map(|bytes| match Head::read(bytes) {
            Ok(head) => Some(head),
            Err(error) => {
                let what = format!("a head of the log in the file given ({error})");
                report.lacks(Subject::Witnesses, what);
                None
            }
        })
        .collect()
}

/// Holds the log, which has `events` events and `roots`, against each head.
pub(super) fn judge(
    heads: &[Head],
    keys: &LogKeys,
    roots: &BTreeMap<u64, Hash>,
    events: u64,
    report: &mut Report,
) {
    for head in heads {
        let size = head.size();
        if head.checkpoint.origin() != keys.origin() {
            let detail = format!(
                "the head that you hold is of the log {}, and this is {}",
                head.checkpoint.origin(),
                keys.origin()
            );
            report.fault(Subject::Signature, "altered", None, detail);
            continue;
        }
        let revoked = match keys.open(head.note.to_string().as_bytes()) {
            Ok(signed) => signed.revoked.is_some(),
            Err(refusal) => {
                let detail = format!(
                    "the head of {size} events that you hold is not signed by this log's key: {refusal}"
                );
                refuse(report, &refusal, &detail);
                continue;
            }
        };
        match roots.get(&size) {
            Some(root) if *root == head.checkpoint.root() => {
                let detail = format!("the log extends the head of {size} events that you hold");
                report.rests(Subject::Witnesses, detail);
            }
            _ if revoked => {
                let why = format!(
                    "the head of {size} events that you hold is not of this log, but the key that signed it was revoked"
                );
                report.doubt(Subject::Witnesses, why);
            }
            _ if size > events => {
                let detail = format!(
                    "you hold a head of {size} events, and the log has {events}: its end was cut off"
                );
                report.fault(Subject::Sequence, "removed", Some(events), detail);
            }
            Some(_) => {
                let detail = format!(
                    "the first {size} events are not those of the head that you hold: it is another history"
                );
                report.fault(Subject::Content, "altered", None, detail);
            }
            None => {
                let why = format!("the log could not be read up to the {size} events of your head");
                report.doubt(Subject::Witnesses, why);
            }
        }
    }
}
