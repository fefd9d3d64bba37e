//! Whose key the log's signatures are held against: the auditor's, where there is one.

use super::claims::Subject;
use super::keys::LogKeys;
use super::report::Report;
use tlog::note::VerifyingKey;
use tlog::policy::Policy;

/// Holds the log's keys against those that the policy names for this log, once the events have told all of them; `whole`
/// unless the log could not be read to its end.
///
/// A key beside the log shows only that the log belongs to it: whoever can write there can put another
/// key and another log. The key of a later epoch does as well as the first: it signed the root of the tree that it took over, with
/// the keys before it, and nobody else can have it hand over to the next.
pub(super) fn pin(keys: &LogKeys, whole: bool, policy: Option<&Policy>, report: &mut Report) {
    let Some(policy) = policy else {
        let detail = "under the key that lies beside the log: compare log/vkey with your own copy";
        return report.rests(Subject::Signature, detail);
    };
    let origin = keys.origin();
    let logs = policy.logs().iter().map(|log| &log.key);
    let named: Vec<&VerifyingKey> = logs.filter(|key| key.name() == origin).collect();
    let mut epochs = keys.epochs();
    if named.is_empty() {
        let what = format!("a key of the log {origin} in the policy");
        report.lacks(Subject::Signature, what);
    } else if let Some(epoch) = keys.epochs().find(|one| named.contains(&&one.ed25519)) {
        let detail = match epoch.number {
            1 => "under the key that the policy names".to_owned(),
            number => format!(
                "under the key of epoch {number}, which the policy names, and which signed what it took over"
            ),
        };
        report.rests(Subject::Signature, detail);
    } else if epochs.any(|one| {
        one.ml_dsa_44
            .as_ref()
            .is_some_and(|key| named.contains(&key))
    }) {
        let what = format!(
            "the Ed25519 key of the log {origin} in the policy (its ML-DSA-44 key, which is there, hands nothing over)"
        );
        report.lacks(Subject::Signature, what);
    } else if whole {
        let detail = "log/vkey is not the key that the policy names for this log, and no later one of its keys is";
        report.fault(Subject::Signature, "altered", None, detail);
    } else {
        let why = "the key that the policy names is not among those that the readable part of the log tells of";
        report.doubt(Subject::Signature, why);
    }
}
