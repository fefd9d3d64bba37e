//! What is claimed of a record, and how what was found becomes a verdict on each claim.
//!
//! A claim that something speaks against is invalid. One that nothing speaks against is valid only if
//! something speaks for it: what was not looked at, or could not be, is unverifiable, and says why.

use super::report::Fault;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// What is claimed of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// Every event is the one that was signed.
    Content,
    /// Every event stands where it was put.
    Order,
    /// No event is missing between the first and the last that was signed.
    Sequence,
    /// The log's own key signed it.
    Signature,
    /// Each signature is by the key that was in force.
    Epoch,
    /// Somebody outside vouches for when.
    Time,
    /// Somebody outside vouches that this is the only log.
    Witnesses,
    /// Every body is the one that its event commits to.
    Bodies,
}

impl Subject {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 8] = [
        Self::Content,
        Self::Order,
        Self::Sequence,
        Self::Signature,
        Self::Epoch,
        Self::Time,
        Self::Witnesses,
        Self::Bodies,
    ];

    /// The claim that cannot be verified without the file at `path` of a store.
    pub(super) fn resting_on(path: &str) -> Self {
        const FILES: [(&str, Subject); 5] = [
            ("log/checkpoint", Subject::Signature),
            ("log/vkey", Subject::Epoch),
            ("state", Subject::Sequence),
            ("vault/", Subject::Bodies),
            ("anchors", Subject::Time),
        ];
        let found = FILES.iter().find(|(file, _)| path.starts_with(file));
        found.map_or(Self::Content, |(_, claim)| *claim)
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Order => "order",
            Self::Sequence => "sequence",
            Self::Signature => "signature",
            Self::Epoch => "epoch",
            Self::Time => "time",
            Self::Witnesses => "witnesses",
            Self::Bodies => "bodies",
        }
    }
}

/// The verdict on a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It holds.
    Valid,
    /// Something speaks against it.
    Invalid,
    /// It cannot be told from what is there.
    Unverifiable,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Valid => "VALID",
            Self::Invalid => "INVALID",
            Self::Unverifiable => "UNVERIFIABLE",
        })
    }
}

/// One claim and the verdict on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claim {
    /// What is claimed.
    pub claim: Subject,
    /// The verdict.
    pub verdict: Verdict,
    /// What it rests on.
    pub detail: String,
}

/// Of a claim for which nobody said anything.
const NOTHING_FOR_IT: &str = "nothing that was found speaks for it";

/// Sentences of one claim that are told; the faults tell the rest.
const MAX_REASONS: usize = 4;

/// What speaks for and against claims: the first sentences of each sort, and how many there were.
#[derive(Debug, Clone, Default)]
pub(super) struct Notes(BTreeMap<(Subject, Verdict), (Vec<String>, u64)>);

impl Notes {
    pub(super) fn add(&mut self, about: Subject, verdict: Verdict, reason: impl Into<String>) {
        let (told, more) = self.0.entry((about, verdict)).or_default();
        if told.len() < MAX_REASONS {
            told.push(reason.into());
        } else {
            *more += 1;
        }
    }

    fn said(&self, about: Subject, verdict: Verdict) -> String {
        match self.0.get(&(about, verdict)) {
            Some((told, 0)) => told.join("; "),
            Some((told, more)) => format!("{}; and {more} more", told.join("; ")),
            None => String::new(),
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.values().map(|(told, _)| told.len()).sum()
    }
}

/// Comes to a verdict on every claim.
pub(super) fn judge(faults: &[Fault], notes: &Notes) -> Vec<Claim> {
    Subject::ALL
        .into_iter()
        .map(|subject| {
            let fault = faults.iter().find(|fault| fault.claim == subject);
            let said = |verdict| notes.said(subject, verdict);
            let refuted = fault.map_or_else(|| said(Verdict::Invalid), |f| f.detail.clone());
            let (doubts, grounds) = (said(Verdict::Unverifiable), said(Verdict::Valid));
            let (verdict, detail) = if !refuted.is_empty() {
                (Verdict::Invalid, refuted)
            } else if !doubts.is_empty() || grounds.is_empty() {
                let detail = match doubts.is_empty() {
                    true => NOTHING_FOR_IT.to_owned(),
                    false => doubts,
                };
                (Verdict::Unverifiable, detail)
            } else {
                (Verdict::Valid, grounds)
            };
            Claim {
                claim: subject,
                verdict,
                detail,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_valid_only_when_something_speaks_for_it_and_nothing_against() {
        let fault = Fault {
            claim: Subject::Order,
            what: "order".into(),
            seq: Some(3),
            detail: "event 4 stands at place 3".into(),
        };
        let note = |verdict, text: &str| (Subject::Order, verdict, text.to_owned());
        let valid = note(Verdict::Valid, "all follow");
        let doubt = note(Verdict::Unverifiable, "half was read");
        let cases = [
            (vec![], vec![], Verdict::Unverifiable, NOTHING_FOR_IT),
            (vec![], vec![valid.clone()], Verdict::Valid, "all follow"),
            (
                vec![],
                vec![valid.clone(), doubt.clone()],
                Verdict::Unverifiable,
                "half was read",
            ),
            (
                vec![fault],
                vec![valid, doubt],
                Verdict::Invalid,
                "event 4 stands at place 3",
            ),
        ];
        for (faults, said, verdict, detail) in cases {
            let mut notes = Notes::default();
            for (about, verdict, reason) in said {
                notes.add(about, verdict, reason);
            }
            let claims = judge(&faults, &notes);
            assert_eq!(claims.len(), Subject::ALL.len());
            let order = claims
                .iter()
                .find(|claim| claim.claim == Subject::Order)
                .unwrap();
            assert_eq!((order.verdict, order.detail.as_str()), (verdict, detail));
        }
    }
}
