//! What a verification does not prove, said every time.

use super::report::Report;
use crate::store::Store;

/// The sentences, as what was found leaves them.
pub(super) fn not_proven(report: &Report, store: &Store) -> Vec<String> {
    let mut sentences = vec![
        "That what the upstreams and agents sent is true: the record shows what passed, not whether it was right.".to_owned(),
        "That everything passed the recorder: traffic that went around it is not in this log.".to_owned(),
        "That this is the only log: without a witness, a time stamp or a copy elsewhere, someone who holds the signing key could have written another one, or cut this one back to an earlier checkpoint.".to_owned(),
        "When it happened, beyond the recorder's own clock: no time-stamp authority has vouched for it.".to_owned(),
    ];
    if report.unsigned_tail > 0 {
        sentences.push(format!(
            "The last {} events: they are durable but no checkpoint signs them yet.",
            report.unsigned_tail
        ));
    }
    if store.torn_bytes() > 0 {
        sentences.push(format!(
            "The last {} bytes of the write-ahead log, which are no whole record: a write in progress, or one that was cut off before it was acknowledged.",
            store.torn_bytes()
        ));
    }
    sentences
}
