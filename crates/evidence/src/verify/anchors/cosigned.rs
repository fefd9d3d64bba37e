//! The verdict on the witnesses' cosignatures of one published head.

use super::{seconds, sha256_hex};
use crate::verify::keys::LogKeys;
use crate::verify::{Options, Verdict};
use jiff::Timestamp;
use std::collections::HashMap;
use tlog::note::{Note, Signature};
use tlog::policy::{Policy, Witness};

/// What a cosigned head is worth.
#[derive(Debug, Default)]
pub(super) struct Cosigned<'a> {
    /// The cosignatures by the digests of their lines, as events tell of them.
    pub(super) lines: HashMap<String, Cosignature<'a>>,
    /// Each cosignature that is looked at: name, time, verdict, why.
    pub(super) by: Vec<(String, Option<Timestamp>, Verdict, String)>,
    /// Whether those whom the policy asks for vouch for the head.
    pub(super) counts: bool,
    policy: Option<&'a Policy>,
}

/// One line of the file.
#[derive(Debug)]
pub(super) struct Cosignature<'a> {
    pub(super) name: String,
    /// The second that it states and whose it is, where that counts. Without a policy it is nobody's.
    counts: Option<(Option<&'a Witness>, Timestamp)>,
}

impl Cosigned<'_> {
    /// From which events on a time holds, given the events that tell of cosignatures and the digests of their lines, in
    /// the order of the log.
    ///
    /// A signature that somebody else makes cannot be known before it is made; that it was made no earlier than it
    /// states is the witness's word. A time therefore counts once the quorum has given it: of each witness the newest
    /// line that an event has told of, and of these the latest time that enough of them reach.
    pub(super) fn told<'l>(
        &self,
        told: impl Iterator<Item = (u64, &'l String)>,
    ) -> Vec<(u64, Timestamp)> {
        let mut newest: Vec<(Option<&Witness>, Timestamp)> = Vec::new();
        let mut bounds: Vec<(u64, Timestamp)> = Vec::new();
        for (seq, line) in told {
            let Some((by, time)) = self.lines.get(line).and_then(|line| line.counts) else {
                continue;
            };
            match newest.iter_mut().find(|(who, _)| *who == by) {
                Some((_, held)) if *held >= time => continue,
                Some((_, held)) => *held = time,
                None => newest.push((by, time)),
            }
            let reach = |from: Timestamp| {
                let by = |witness: &Witness| {
                    newest
                        .iter()
                        .any(|(who, time)| *who == Some(witness) && *time >= from)
                };
                self.policy.is_none_or(|policy| policy.is_quorum(by))
            };
            let reached = newest.iter().map(|(_, time)| *time);
            let bound = reached.filter(|time| reach(*time)).max();
            if let Some(bound) = bound
                && bounds.last().is_none_or(|(_, held)| bound > *held)
            {
                bounds.push((seq, bound));
            }
        }
        bounds
    }
}

/// Judges `bytes`, which are the checkpoint's and then the witnesses' lines.
///
/// # Errors
/// A sentence, where the file is not that or holds a signature that is false.
pub(super) fn judge<'a>(
    bytes: &[u8],
    checkpoint: &[u8],
    size: u64,
    keys: &LogKeys,
    options: &'a Options,
) -> Result<Cosigned<'a>, String> {
    if !bytes.starts_with(checkpoint) {
        return Err("it does not begin with the checkpoint that was published".into());
    }
    let note = Note::parse(bytes).map_err(|error| error.to_string())?;
    let own = Note::parse(checkpoint).map_or(0, |note| note.signatures().len());
    let witnesses: Vec<&Signature> = note.signatures().iter().skip(own).collect();
    let mut found = Cosigned {
        lines: witnesses
            .iter()
            .map(|signature| {
                let line = Cosignature {
                    name: signature.name().to_owned(),
                    counts: counts(signature, options),
                };
                (sha256_hex(signature.to_string().as_bytes()), line)
            })
            .collect(),
        policy: options.policy.as_ref(),
        ..Cosigned::default()
    };
    let Some(policy) = &options.policy else {
        for signature in witnesses {
            let why = "without a policy (--policy FILE) nobody says that this witness counts";
            let name = signature.name().to_owned();
            found
                .by
                .push((name, stated(signature), Verdict::Unverifiable, why.into()));
        }
        return Ok(found);
    };
    // A policy for other logs is named once, with the log's key.
    let Some(policy) = keys.known_to(policy, size) else {
        return Ok(found);
    };
    let now = options.at.and_then(seconds);
    let findings = match policy.weigh(&note, now) {
        Ok(findings) => findings,
        Err(tlog::Error::Unsigned) => return Ok(found),
        Err(error) => return Err(error.to_string()),
    };
    for (witness, time) in &findings.cosigned {
        let time =
            time.and_then(|time| Timestamp::from_second(i64::try_from(time.seconds()).ok()?).ok());
        let name = witness.key.name().to_owned();
        found.by.push((
            name,
            time,
            Verdict::Valid,
            "the policy names this witness".into(),
        ));
    }
    for witness in &findings.ahead {
        let why = "its time lies after the time judged as of";
        let name = witness.key.name().to_owned();
        found
            .by
            .push((name, None, Verdict::Unverifiable, why.into()));
    }
    for signature in witnesses {
        if !policy.witnesses().any(|witness| is_by(signature, witness)) {
            let why = "the policy does not name this witness";
            let name = signature.name().to_owned();
            found
                .by
                .push((name, stated(signature), Verdict::Unverifiable, why.into()));
        }
    }
    found.counts = if policy.asks_for_witnesses() {
        findings.meets_quorum()
    } else {
        !findings.cosigned.is_empty()
    };
    Ok(found)
}

/// Whose a line is and when it was made, should it verify; `None` where that counts for nothing.
fn counts<'a>(
    signature: &Signature,
    options: &'a Options,
) -> Option<(Option<&'a Witness>, Timestamp)> {
    let time = stated(signature).filter(|time| options.at.is_none_or(|at| *time <= at))?;
    let Some(policy) = &options.policy else {
        return Some((None, time));
    };
    let mut witnesses = policy.witnesses();
    let by = witnesses.find(|witness| is_by(signature, witness))?;
    Some((Some(by), time))
}

fn is_by(signature: &Signature, witness: &Witness) -> bool {
    witness.key.name() == signature.name() && witness.key.id() == signature.id()
}

/// The time that a cosignature states, which nothing vouches for.
fn stated(signature: &Signature) -> Option<Timestamp> {
    let seconds = signature.bytes().first_chunk::<8>()?;
    let seconds = i64::try_from(u64::from_be_bytes(*seconds)).ok()?;
    Timestamp::from_second(seconds)
        .ok()
        .filter(|_| seconds != 0)
}
