//! Whose key the log's signatures are held against: the auditor's, where there is one.

use super::claims::Subject;
use super::report::Report;
use tlog::note::VerifyingKey;
use tlog::policy::Policy;

/// Holds the key beside the log against those that the policy names for this log.
///
/// A key beside the log shows only that the log belongs to it: whoever can write there can put another
/// key and another log.
pub(super) fn pin(beside: &VerifyingKey, policy: Option<&Policy>, report: &mut Report) {
    let Some(policy) = policy else {
        let detail = "under the key that lies beside the log: compare log/vkey with your own copy";
        return report.rests(Subject::Signature, detail);
    };
    let mut named = policy
        .logs()
        .iter()
        .filter(|log| log.key.name() == beside.name())
        .peekable();
    if named.peek().is_none() {
        let what = format!("a key of the log {} in the policy", beside.name());
        report.lacks(Subject::Signature, what);
    } else if named.any(|log| log.key == *beside) {
        report.rests(Subject::Signature, "under the key that the policy names");
    } else {
        let detail = "log/vkey is not the key that the policy names for this log";
        report.fault(Subject::Signature, "altered", None, detail);
    }
}
