//! The heads that the auditor holds: whatever else the directory says, the log must extend them.

use super::anchors::seconds;
use super::brackets::Bracket;
use super::keys::{LogKeys, refuse};
use super::{Options, Report, Subject};
use crate::epochs::Signed;
use jiff::Timestamp;
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
                let what =
                    format!("a head that can be read, in a file that was given for one ({error}),");
                report.lacks(Subject::Witnesses, what);
                None
            }
        })
        .collect()
}

/// What the heads are held against.
#[derive(Debug)]
pub(super) struct Held<'a> {
    /// Name of the log.
    pub(super) origin: &'a str,
    /// Its roots at the sizes of the heads.
    pub(super) roots: &'a BTreeMap<u64, Hash>,
    pub(super) report: &'a mut Report,
}

impl Held<'_> {
    /// Holds a store against each head. Needs the brackets: they tell when outsiders knew of a revocation.
    pub(super) fn judge(mut self, heads: &[Head], keys: &LogKeys, options: &Options) {
        for head in heads {
            if !self.is_of_this_log(head) {
                continue;
            }
            match keys.open(head.note.to_string().as_bytes()) {
                Ok(Signed {
                    revoked: Some(revoked),
                    ..
                }) => {
                    let known_since = known_since(&self.report.brackets, revoked.event);
                    let counts = is_vouched_for(head, keys, options, known_since);
                    self.compare(head, counts);
                }
                Ok(_) => self.compare(head, true),
                Err(refusal) => {
                    let size = head.size();
                    let detail = format!(
                        "the head of {size} events that you hold is not signed by this log's key: {refusal}"
                    );
                    refuse(self.report, size, &refusal, &detail);
                }
            }
        }
    }

    /// Holds the log of another tool against each head: its keys are those that the policy names.
    pub(super) fn judge_by_policy(mut self, heads: &[Head], options: &Options) {
        for head in heads {
            if !self.is_of_this_log(head) {
                continue;
            }
            let size = head.size();
            let signed = options
                .policy
                .as_ref()
                .map(|policy| policy.weigh(&head.note, None));
            match signed {
                Some(Ok(_)) => self.compare(head, true),
                None | Some(Err(tlog::Error::UnknownLog(_))) => {
                    let why = format!(
                        "who may sign the head of {size} events that you hold is not known without a policy that names the log's key"
                    );
                    self.report.doubt(Subject::Witnesses, why);
                }
                Some(Err(error)) => {
                    let detail = format!(
                        "the head of {size} events that you hold is not signed by this log's key: {error}"
                    );
                    self.report
                        .fault(Subject::Signature, "signature", None, detail);
                }
            }
        }
    }

    fn is_of_this_log(&mut self, head: &Head) -> bool {
        let (theirs, ours) = (head.checkpoint.origin(), self.origin);
        if theirs != ours {
            self.report.of_another_log(theirs);
        }
        theirs == ours
    }

    /// Whether the log extends a head that its key signed. `counts`: nobody but the log itself can have signed it, or
    /// somebody vouches that it was the log's.
    fn compare(&mut self, head: &Head, counts: bool) {
        let size = head.size();
        let report = &mut *self.report;
        let has = report.has();
        match self.roots.get(&size) {
            Some(root) if *root == head.checkpoint.root() => {
                let detail = format!("the log extends the head of {size} events that you hold");
                report.rests(Subject::Witnesses, detail);
            }
            None if report.is_out_of_reach(size) => {
                let why = format!("the log could not be read up to the {size} events of your head");
                report.doubt(Subject::Witnesses, why);
            }
            _ if !counts => {
                let what = format!(
                    "the head of {size} events that you hold is not of this log, and its key was revoked for it: word of \
                     somebody outside, from before the revocation, that it was the log's (--policy FILE)"
                );
                report.lacks(Subject::Witnesses, what);
            }
            _ if size > has => {
                let detail = format!(
                    "you hold a head of {size} events, and the log has {has}: its end was cut off"
                );
                report.fault(Subject::Sequence, "removed", Some(has), detail);
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

/// By when outsiders that the auditor trusts had seen a head with event `seq`.
fn known_since(brackets: &[Bracket], seq: u64) -> Option<Timestamp> {
    brackets
        .iter()
        .find(|range| (range.from..range.to).contains(&seq))
        .and_then(Bracket::trusted_not_after)
}

/// Whether those whom the auditor trusts cosigned a head, whose key was revoked for it, while the key was still good.
///
/// Whoever writes the log can revoke its keys and state any time for that. So a cosignature counts for nothing only
/// where it states a time by which outsiders had seen the revocation: a thief of the key could have asked for it.
fn is_vouched_for(
    head: &Head,
    keys: &LogKeys,
    options: &Options,
    known_since: Option<Timestamp>,
) -> bool {
    let policy = options.policy.as_ref();
    let Some(policy) = policy.and_then(|policy| keys.known_to(policy, head.size())) else {
        return false;
    };
    let latest = [options.at, known_since].into_iter().flatten().min();
    policy
        .weigh(&head.note, latest.and_then(seconds))
        .is_ok_and(|findings| !findings.cosigned.is_empty() && findings.meets_quorum())
}
