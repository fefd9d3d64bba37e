//! What outsiders vouch for: the published heads under `anchors/`, the time-stamps and cosignatures on them,
//! and the events that tell of them.
//!
//! The files and the events are held against each other and both against the log. Whether an outsider counts is
//! the auditor's choice ([`Options`]): without it, what is there is checked for damage and is worth no more.

mod conclude;
mod cosigned;
mod stamp;
mod told;

pub(super) use conclude::conclude;
pub(super) use told::Told;

use super::brackets::end_of_second;
use super::keys::{LogKeys, refuse};
use super::{Options, Report, Subject, Verdict, word};
use crate::error::Error;
use crate::published;
use crate::stored;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use storage::Disk;
use tlog::Hash;
use told::Mark;

/// Anchors listed; where there are more, the newest are.
const MAX_LISTED: usize = 10_000;

/// Files of one head that are looked at.
const MAX_FILES: usize = 256;

/// How an outsider vouches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A time-stamp authority's token.
    Timestamp,
    /// A witness's cosignature.
    Witness,
    /// A head at another place.
    Copy,
}

/// One anchor and the verdict on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Anchor {
    /// How it vouches.
    pub kind: Kind,
    /// Who vouches: the authority's or the witness's name, or the place.
    pub name: String,
    /// Events that the anchored head covers.
    pub size: u64,
    /// When, RFC 3339, by the outsider's clock.
    pub time: Option<String>,
    /// The event that tells of it.
    pub told_at: Option<u64>,
    /// The verdict.
    pub verdict: Verdict,
    /// What it rests on.
    pub detail: String,
}

/// What an anchor says about when events were: the head of `size` events existed by `latest`, and events behind
/// each of those in `told` came after the time beside it.
#[derive(Debug, Clone)]
pub(super) struct Outside {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) latest: Timestamp,
    /// Events that commit to the anchor's own bytes, and the time before which nobody could know these.
    pub(super) told: Vec<(u64, Timestamp)>,
    /// Whether the auditor's trust reaches it.
    pub(super) verified: bool,
}

/// Holds files, events and log against each other.
#[derive(Debug)]
pub(super) struct Judge<'a> {
    pub(super) disk: &'a dyn Disk,
    pub(super) options: &'a Options,
    pub(super) keys: &'a LogKeys,
    /// Roots of the log at the sizes of the published heads.
    pub(super) roots: &'a BTreeMap<u64, Hash>,
    pub(super) report: &'a mut Report,
    pub(super) outside: Vec<Outside>,
    /// Published heads that cover events which could not be read.
    pub(super) out_of_reach: u64,
}

impl Judge<'_> {
    /// Judges the heads of `sizes`, which have a directory, and what events tell of; returns what anchors say
    /// about times.
    pub(super) fn all(mut self, sizes: &[u64], told: Vec<Told>) -> Vec<Outside> {
        let mut by_size: BTreeMap<u64, Vec<Told>> = BTreeMap::new();
        for size in sizes {
            by_size.entry(*size).or_default();
        }
        for told in told {
            by_size.entry(told.size).or_default().push(told);
        }
        // The last head that is the log's: where a later one is not, what was changed lies between.
        let mut good = 0;
        for (size, told) in by_size {
            good = self.head(size, &told, good);
        }
        if let Some(why) = self.report.unread().filter(|_| self.out_of_reach > 0) {
            let why = format!(
                "{why}, and {} published heads are of more",
                self.out_of_reach
            );
            self.report.doubt(Subject::Time, why.clone());
            self.report.doubt(Subject::Witnesses, why);
        }
        self.outside
    }

    fn head(&mut self, size: u64, told: &[Told], good: u64) -> u64 {
        let Some(checkpoint) = self.checkpoint(size, told, good) else {
            return good;
        };
        let digest = sha256_hex(&checkpoint);
        let root = self.roots.get(&size);
        for told in told {
            let differs = match &told.mark {
                Mark::Timestamp { checkpoint, .. } | Mark::Copy { checkpoint, .. } => {
                    *checkpoint != digest
                }
                Mark::Witness { .. } => false,
            };
            if differs || root.is_some_and(|root| *root != told.root) {
                let detail = format!(
                    "event {} tells of an anchor of {size} events that is not on this log's head",
                    told.seq
                );
                self.report
                    .fault(told.subject(), "altered", Some(told.seq), detail);
            }
        }
        self.stamps(size, &checkpoint, told);
        self.witnesses(size, &checkpoint, told);
        for told in told {
            if let Mark::Copy { place, .. } = &told.mark {
                self.list(Anchor {
                    kind: Kind::Copy,
                    name: place.clone(),
                    size,
                    time: None,
                    told_at: Some(told.seq),
                    verdict: Verdict::Unverifiable,
                    detail: "the head lies at that place: fetch it and hold it against the log (--head FILE)".into(),
                });
            }
        }
        size
    }

    /// The published head of `size`, if it is the log's.
    fn checkpoint(&mut self, size: u64, told: &[Told], good: u64) -> Option<Vec<u8>> {
        let path = format!("{}/checkpoint", published::dir(size));
        if self.report.is_out_of_reach(size) {
            self.out_of_reach += 1;
            return None;
        }
        let has = self.report.has();
        if size > has {
            let detail = format!(
                "a head of {size} events was published ({path}), and the log has {has}: its end was cut off"
            );
            self.report
                .fault(Subject::Sequence, "removed", Some(has), detail);
            return None;
        }
        match stored::list(self.disk, &published::dir(size)) {
            Ok(_) => {}
            // Whatever is sought in it says that it is not there.
            Err(error) if error.is_absence() => {}
            Err(error) => {
                let subject = told.first().map_or(Subject::Time, Told::subject);
                self.report
                    .fault(subject, word(&error), None, error.to_string());
                return None;
            }
        }
        let bytes = match self.read(&path, tlog::note::MAX_NOTE_BYTES) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                let subject = told.first().map_or(Subject::Time, Told::subject);
                let by = told.first().map(|told| told.seq);
                self.report.lacks(subject, as_told(&path, by));
                return None;
            }
            Err(error) => {
                self.report
                    .fault(Subject::Signature, word(&error), None, error.to_string());
                return None;
            }
        };
        let checkpoint = match self.keys.open(&bytes) {
            Ok(signed) if !signed.cosigned => {
                let detail = format!("{path}: the signature of the log's ML-DSA-44 key is missing");
                self.report
                    .fault(Subject::Signature, "signature", None, detail);
                return None;
            }
            Ok(signed) => signed.checkpoint,
            Err(refusal) => {
                let detail = format!("{path}: {refusal}");
                refuse(self.report, size, &refusal, &detail);
                return None;
            }
        };
        if checkpoint.size() != size {
            let detail = format!("{path} is the head of {} events", checkpoint.size());
            self.report
                .fault(Subject::Signature, "altered", None, detail);
            return None;
        }
        match self.roots.get(&size) {
            Some(root) if *root == checkpoint.root() => Some(bytes),
            Some(_) => {
                let detail = format!(
                    "the head of {size} events that was published ({path}) is not that of these events: the change \
                     lies at event {good} or behind it, before event {size}"
                );
                self.report
                    .fault(Subject::Content, "altered", Some(good), detail);
                None
            }
            None => {
                let why = format!("the log could not be read up to {size} events");
                self.report.doubt(Subject::Content, why);
                None
            }
        }
    }

    fn stamps(&mut self, size: u64, checkpoint: &[u8], told: &[Told]) {
        let dir = published::dir(size);
        let mut names: Vec<String> = match stored::list(self.disk, &dir) {
            Ok(names) => names
                .into_iter()
                .filter_map(|name| Some(name.strip_suffix(".tsr")?.to_owned()))
                .take(MAX_FILES)
                .collect(),
            Err(error) => return self.report.lacks(Subject::Time, format!("{dir} ({error})")),
        };
        for told in told {
            if let Mark::Timestamp { authority, .. } = &told.mark
                && !names.contains(authority)
            {
                names.push(authority.clone());
            }
        }
        for name in names {
            self.stamp(size, checkpoint, &name, told);
        }
    }

    fn stamp(&mut self, size: u64, checkpoint: &[u8], name: &str, told: &[Told]) {
        let path = format!("{}/{name}.tsr", published::dir(size));
        let of_name = || {
            told.iter().filter_map(|told| match &told.mark {
                Mark::Timestamp {
                    authority,
                    gen_time,
                    token,
                    ..
                } if authority == name => Some((told.seq, *gen_time, token)),
                _ => None,
            })
        };
        let first = of_name().next().map(|(seq, ..)| seq);
        if name.contains(['/', '\0']) || name.is_empty() {
            let detail = format!("an authority cannot be called {name:?}");
            return self.report.fault(Subject::Time, "format", first, detail);
        }
        let bytes = match self.read(&path, timestamp::MAX_RESPONSE_BYTES) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return self.report.lacks(Subject::Time, as_told(&path, first)),
            Err(error) => {
                return self
                    .report
                    .fault(Subject::Time, word(&error), first, error.to_string());
            }
        };
        let mut found = stamp::judge(&bytes, checkpoint, self.options);
        let digest = sha256_hex(&bytes);
        if let Some((seq, ..)) = of_name().find(|(_, gen_time, token)| {
            **token != digest || found.time.is_some_and(|time| time != *gen_time)
        }) {
            found.verdict = Verdict::Invalid;
            found.detail = format!("it is not the one that event {seq} tells of");
        }
        if found.verdict == Verdict::Invalid {
            let detail = format!("{path}: {}", found.detail);
            self.report.fault(Subject::Time, "altered", first, detail);
        } else if let Some((earliest, latest)) = found.bracket
            && self.options.at.is_none_or(|at| earliest <= at)
        {
            self.outside.push(Outside {
                kind: Kind::Timestamp,
                name: name.to_owned(),
                size,
                latest,
                told: of_name().map(|(seq, ..)| (seq, earliest)).collect(),
                verified: found.verdict == Verdict::Valid,
            });
        }
        self.list(Anchor {
            kind: Kind::Timestamp,
            name: name.to_owned(),
            size,
            time: found.time.map(|time| time.to_string()),
            told_at: first,
            verdict: found.verdict,
            detail: found.detail,
        });
    }

    fn witnesses(&mut self, size: u64, checkpoint: &[u8], told: &[Told]) {
        let path = format!("{}/cosigned", published::dir(size));
        let lines = || {
            told.iter().filter_map(|told| match &told.mark {
                Mark::Witness { key, line } => Some((told.seq, key, line)),
                _ => None,
            })
        };
        let first = lines().next().map(|(seq, ..)| seq);
        let bytes = match self.read(&path, tlog::note::MAX_NOTE_BYTES) {
            Ok(Some(bytes)) => bytes,
            Ok(None) if first.is_none() => return,
            Ok(None) => {
                return self.report.lacks(Subject::Witnesses, as_told(&path, first));
            }
            Err(error) => {
                return self.report.fault(
                    Subject::Witnesses,
                    word(&error),
                    first,
                    error.to_string(),
                );
            }
        };
        let found = match cosigned::judge(&bytes, checkpoint, size, self.keys, self.options) {
            Ok(found) => found,
            Err(why) => {
                let detail = format!("{path}: {why}");
                return self
                    .report
                    .fault(Subject::Witnesses, "signature", first, detail);
            }
        };
        for (seq, key, line) in lines() {
            if !found.lines.contains_key(line) {
                let name = key.split('+').next().unwrap_or_default();
                let what = format!("the cosignature by {name} in {path}");
                self.report
                    .lacks(Subject::Witnesses, as_told(&what, Some(seq)));
            }
        }
        // Without a policy everybody counts, and is worth nothing.
        let counting = || {
            found.by.iter().filter(|(_, time, verdict, _)| {
                let in_time = time.is_none_or(|time| self.options.at.is_none_or(|at| time <= at));
                in_time && (*verdict == Verdict::Valid || self.options.policy.is_none())
            })
        };
        let latest = counting().filter_map(|(_, time, ..)| *time).max();
        if let Some(latest) = latest
            && (found.counts || self.options.policy.is_none())
        {
            let names: Vec<&str> = counting().map(|(name, ..)| name.as_str()).collect();
            let told = found.told(lines().map(|(seq, _, line)| (seq, line)));
            self.outside.push(Outside {
                kind: Kind::Witness,
                name: names.join(", "),
                size,
                latest: end_of_second(latest),
                told,
                verified: found.counts,
            });
        }
        for (name, time, verdict, detail) in &found.by {
            let told_at = lines()
                .find(|(.., line)| found.lines.get(*line).is_some_and(|l| l.name == *name))
                .map(|(seq, ..)| seq);
            self.list(Anchor {
                kind: Kind::Witness,
                name: name.clone(),
                size,
                time: time.map(|time| time.to_string()),
                told_at,
                verdict: *verdict,
                detail: detail.clone(),
            });
        }
    }

    fn list(&mut self, anchor: Anchor) {
        let anchors = &mut self.report.anchors;
        if anchors.len() >= 2 * MAX_LISTED {
            anchors.drain(..MAX_LISTED);
        }
        anchors.push(anchor);
    }

    /// A small file: `None` where there is none, or none that may be read.
    fn read(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, Error> {
        match stored::read_up_to(self.disk, path, limit as u64) {
            Err(error) if error.is_absence() => Ok(None),
            read => read,
        }
    }
}

impl Told {
    const fn subject(&self) -> Subject {
        match self.mark {
            Mark::Timestamp { .. } => Subject::Time,
            Mark::Witness { .. } | Mark::Copy { .. } => Subject::Witnesses,
        }
    }
}

fn as_told(what: &str, by: Option<u64>) -> String {
    by.map_or_else(
        || what.to_owned(),
        |seq| format!("{what}, which event {seq} tells of,"),
    )
}

/// A time as cosignatures state it; `None` for one that none can state.
pub(super) fn seconds(time: Timestamp) -> Option<tlog::cosignature::Timestamp> {
    let seconds = u64::try_from(time.as_second()).unwrap_or_default();
    tlog::cosignature::Timestamp::new(seconds.max(1)).ok()
}

/// SHA-256 in lower-case hexadecimal.
fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(crate::body::sha256(bytes))
}
