//! What a verification found, and the exit code that it comes to.

use super::anchors::Anchor;
use super::brackets::Bracket;
use super::claims::{Claim, Notes, Subject, Verdict};
use super::tail::{Cadence, Tail};
use serde::Serialize;

/// Faults listed before the rest is only counted.
pub(crate) const MAX_FAULTS: usize = 100;

/// The word for bytes that are not as they were written.
pub(super) const CORRUPT: &str = "corrupt";

/// What is missing, listed before the rest is only counted.
const MAX_MISSING: usize = 100;

/// What a finished verification found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The log's name.
    pub origin: String,
    /// The key that checkpoints were verified with. It lies beside the log: compare it with your own.
    pub verifier_key: String,
    /// What is claimed of the record, and the verdict on each claim.
    pub claims: Vec<Claim>,
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
    /// Bodies that no key at hand opens.
    pub bodies_locked: u64,
    /// Complete volumes that are, byte for byte, what the log says they are.
    pub volumes_sealed: u64,
    /// `seq` of the gap events: the record says of itself that something is missing there.
    pub gaps: Vec<u64>,
    /// `seq` of the events which tell that a witness, an authority or a second place knew another history of the log. Whose
    /// is the true one the log cannot say.
    pub incidents: Vec<u64>,
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
    /// What is missing, so that something could not be verified; at most the first hundred.
    pub missing: Vec<String>,
    /// How much is missing in all.
    pub missing_count: u64,
    /// Anchors, smallest head first; the newest ten thousand.
    pub anchors: Vec<Anchor>,
    /// Between which times events were recorded, by outsiders' clocks; ranges that follow each other.
    pub brackets: Vec<Bracket>,
    /// The events that no outsider vouches for.
    pub unanchored_tail: Tail,
    /// How often outsiders vouched.
    pub cadence: Vec<Cadence>,
    /// What this verification does not prove.
    pub not_proven: Vec<String>,
    /// What keeps a claim from being verified, and what a valid claim rests on, while verification runs.
    #[serde(skip)]
    pub(super) notes: Notes,
    /// Whether the log could not be read to its end.
    #[serde(skip)]
    pub(super) is_cut: bool,
    /// Events that the log says it has, whether they could be read or not.
    #[serde(skip)]
    pub(super) said_events: u64,
    /// Faults in another word than `corrupt`.
    #[serde(skip)]
    pub(super) other_faults: u64,
    /// The logs that heads are of which the auditor holds and which are not of this one.
    #[serde(skip)]
    pub(super) other_logs: Vec<String>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The claim that it refutes.
    pub claim: Subject,
    /// `corrupt`: a checksum is broken, as a failing disk breaks it; `altered`: what is there is whole and
    /// is not what was signed or committed to; `removed`, `order`, `signature`, `format`, `tile`.
    pub what: String,
    /// First event concerned.
    pub seq: Option<u64>,
    /// A sentence.
    pub detail: String,
}

impl Report {
    /// 0: all well; 10: evidence was altered or damaged; 11: verified, with recorded gaps or incidents; 12: not verifiable.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if self.fault_count > 0 {
            10
        } else if self.missing_count > 0 {
            12
        } else if !self.gaps.is_empty()
            || !self.incidents.is_empty()
            || !self.odd_ends.is_empty()
            || (self.ended && !self.open_calls.is_empty())
        {
            11
        } else {
            0
        }
    }

    /// Whether all that is wrong is broken bytes. A failing disk breaks them, and so may anybody.
    #[must_use]
    pub const fn is_damage_alone(&self) -> bool {
        self.fault_count > 0 && self.other_faults == 0
    }

    /// The verdict on one claim.
    #[must_use]
    pub fn verdict(&self, subject: Subject) -> Option<Verdict> {
        self.claims
            .iter()
            .find(|claim| claim.claim == subject)
            .map(|claim| claim.verdict)
    }

    /// Refutes a claim.
    pub(super) fn fault(
        &mut self,
        claim: Subject,
        what: &str,
        seq: Option<u64>,
        detail: impl Into<String>,
    ) {
        self.fault_count += 1;
        self.other_faults += u64::from(what != CORRUPT);
        let detail = detail.into();
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault {
                claim,
                what: what.into(),
                seq,
                detail,
            });
        } else {
            // The list is full, and the claim is refuted all the same.
            self.notes.add(claim, Verdict::Invalid, detail);
        }
    }

    /// Says what keeps a claim from being verified.
    pub(super) fn doubt(&mut self, claim: Subject, detail: impl Into<String>) {
        self.notes.add(claim, Verdict::Unverifiable, detail);
    }

    /// Says that something which a claim needs, or which the caller asked for, is not there.
    pub(super) fn lacks(&mut self, claim: Subject, what: impl Into<String>) {
        let what = what.into();
        self.doubt(claim, format!("{what} is missing"));
        self.missing_count += 1;
        if self.missing.len() < MAX_MISSING {
            // A clause that goes on where it stands in the sentence of the claim.
            self.missing.push(what.trim_end_matches(',').to_owned());
        }
    }

    /// Why nothing can be said of what lies behind the events that could be read; `None` where all of them were.
    pub(super) fn unread(&self) -> Option<String> {
        self.is_cut.then(|| match self.events {
            0 => "none of the events could be read".to_owned(),
            events => format!("only the first {events} events could be read"),
        })
    }

    /// Events that the log has, read or not.
    pub(super) fn has(&self) -> u64 {
        self.events.max(self.said_events)
    }

    /// Whether a head of `size` events covers some that are there and could not be read. One that is of more than the log says
    /// it has is of events that are gone, whatever could be read.
    pub(super) fn is_out_of_reach(&self, size: u64) -> bool {
        self.is_cut && self.events < size && size <= self.said_events
    }

    /// Says that a head which the auditor holds is of another log.
    pub(super) fn of_another_log(&mut self, theirs: &str) {
        let ours = &self.origin;
        let what =
            format!("a head of the log {ours} (the one that you hold is of the log {theirs})");
        self.lacks(Subject::Witnesses, what);
        self.other_logs.push(theirs.to_owned());
    }

    /// The log that a head is of which the auditor holds, where that it is another is all that is wrong.
    pub(super) fn other_log(&self) -> Option<&str> {
        let alone = self.fault_count == 0 && self.missing_count == self.other_logs.len() as u64;
        self.other_logs
            .first()
            .filter(|_| alone)
            .map(String::as_str)
    }

    /// Says what a claim rests on, should nothing speak against it.
    pub(super) fn rests(&mut self, claim: Subject, detail: impl Into<String>) {
        self.notes.add(claim, Verdict::Valid, detail);
    }

    /// Comes to a verdict on every claim and puts the faults in the order of the log.
    pub(super) fn conclude(&mut self) {
        self.faults
            .sort_by_key(|fault| fault.seq.unwrap_or(u64::MAX));
        self.claims = super::claims::judge(&self.faults, &self.notes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_stays_small_whatever_is_wrong_with_a_store() {
        let mut report = Report::default();
        for seq in 0..10_000 {
            report.fault(Subject::Content, "altered", Some(seq), "it is another");
            report.fault(Subject::Bodies, "body", Some(seq), "it is none");
            report.doubt(Subject::Time, format!("nobody vouches for {seq}"));
            report.lacks(Subject::Witnesses, format!("anchor {seq}"));
            report.rests(Subject::Order, format!("event {seq}"));
        }
        // A claim that only faults behind the listed ones refute is refuted.
        report.fault(Subject::Epoch, "epoch", None, "it is not its key's");
        report.conclude();
        assert_eq!(
            (report.faults.len(), report.fault_count),
            (MAX_FAULTS, 20_001)
        );
        assert_eq!(
            (report.missing.len(), report.missing_count),
            (MAX_MISSING, 10_000)
        );
        assert_eq!(report.verdict(Subject::Epoch), Some(Verdict::Invalid));
        assert!(report.notes.len() < 50, "{}", report.notes.len());
        let time = report
            .claims
            .iter()
            .find(|claim| claim.claim == Subject::Time);
        assert!(time.is_some_and(|time| time.detail.ends_with("; and 9996 more")));
    }
}
