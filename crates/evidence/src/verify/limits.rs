//! What a verification does not prove, said every time and no more than is true.

use super::anchors::{Kind, Outside};
use super::report::Report;

/// The sentences, as what was found leaves them.
pub(super) fn not_proven(report: &Report, outside: &[Outside], torn_bytes: u64) -> Vec<String> {
    let mut sentences = vec![
        "That what the upstreams and agents sent is true: the record shows what passed, not whether it was right.".to_owned(),
        "That everything passed the recorder: traffic that went around it is not in this log.".to_owned(),
    ];
    let newest = |kind| {
        outside
            .iter()
            .filter(|anchor| anchor.verified && anchor.kind == kind)
            .max_by_key(|anchor| anchor.size)
    };
    match newest(Kind::Witness) {
        Some(anchor) if anchor.size >= report.events => {}
        Some(anchor) => sentences.push(format!(
            "That this is the only log from event {} on: witnesses vouch for what lies before it; behind it, someone who holds the signing key could have written another one.",
            anchor.size
        )),
        None => sentences.push("That this is the only log: no witness that you trust has vouched for it, and someone who holds the signing key could have written another one, or cut this one back to an earlier head. A head that you hold yourself (--head FILE) shows whether it is the log that you saw.".to_owned()),
    }
    match newest(Kind::Timestamp) {
        Some(anchor) => sentences.push(format!(
            "When an event happened, within its bracket: inside it the time is the recorder's own word. The newest time stamp that you trust is of {}, over {} events.",
            anchor.latest, anchor.size
        )),
        None => sentences.push("When it happened, beyond the recorder's own clock: no time-stamp authority that you trust has vouched for it.".to_owned()),
    }
    // Where the checkpoint is not of these events, the fault says so.
    if report.unsigned_tail > 0 && (report.root.is_some() || report.fault_count == 0) {
        sentences.push(format!(
            "The last {} events: they are durable but no checkpoint signs them yet.",
            report.unsigned_tail
        ));
    }
    if torn_bytes > 0 {
        sentences.push(format!(
            "The last {torn_bytes} bytes of the write-ahead log, which are no whole record: a write in progress, or one that was cut off before it was acknowledged."
        ));
    }
    sentences
}

/// What of a store may be missing unseen; `None` where its recorder has ended in order, and signed its last event.
pub(super) fn open_end(report: &Report) -> Option<String> {
    let signed = report.signed_events;
    (!report.ended).then(|| {
        format!(
            "That this is all of it: the recorder has not ended in order, and what it recorded behind the {signed} events \
             that a checkpoint signs could have been changed or cut off."
        )
    })
}
