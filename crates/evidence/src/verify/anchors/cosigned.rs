//! The verdict on the witnesses' cosignatures of one published head.

use super::{seconds, sha256_hex};
use crate::verify::keys::LogKeys;
use crate::verify::{Options, Verdict};
use jiff::Timestamp;
use std::collections::HashSet;
use tlog::note::{Note, Signature};

/// What a cosigned head is worth.
#[derive(Debug, Default)]
pub(super) struct Cosigned {
    /// Digests of the cosignatures' lines, as events tell of them.
    pub(super) lines: HashSet<String>,
    /// Each cosignature that is looked at: name, time, verdict, why.
    pub(super) by: Vec<(String, Option<Timestamp>, Verdict, String)>,
    /// Whether those whom the policy asks for vouch for the head.
    pub(super) counts: bool,
}

/// Judges `bytes`, which are the checkpoint's and then the witnesses' lines.
///
/// # Errors
/// A sentence, where the file is not that or holds a signature that is false.
pub(super) fn judge(
    bytes: &[u8],
    checkpoint: &[u8],
    size: u64,
    keys: &LogKeys,
    options: &Options,
) -> Result<Cosigned, String> {
    if !bytes.starts_with(checkpoint) {
        return Err("it does not begin with the checkpoint that was published".into());
    }
    let note = Note::parse(bytes).map_err(|error| error.to_string())?;
    let own = Note::parse(checkpoint).map_or(0, |note| note.signatures().len());
    let witnesses: Vec<&Signature> = note.signatures().iter().skip(own).collect();
    let mut found = Cosigned {
        lines: witnesses
            .iter()
            .map(|signature| sha256_hex(signature.to_string().as_bytes()))
            .collect(),
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
        let known = policy.witnesses().any(|witness| {
            witness.key.name() == signature.name() && witness.key.id() == signature.id()
        });
        if !known {
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

/// The time that a cosignature states, which nothing vouches for.
fn stated(signature: &Signature) -> Option<Timestamp> {
    let seconds = signature.bytes().first_chunk::<8>()?;
    let seconds = i64::try_from(u64::from_be_bytes(*seconds)).ok()?;
    Timestamp::from_second(seconds)
        .ok()
        .filter(|_| seconds != 0)
}
