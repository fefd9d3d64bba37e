//! Whom to trust: C2SP tlog-policy.
//!
//! A policy names logs, witnesses and the quorum of witnesses that must vouch for a checkpoint. It
//! comes from the verifier, never from whoever presents the evidence. It says nothing about what a
//! log contains.

mod parse;

pub use parse::{MAX_DEFINITIONS, MAX_POLICY_BYTES};

use crate::{
    Checkpoint, Error,
    cosignature::Timestamp,
    note::{Note, Signature, Signer, VerifyingKey},
};

/// A log whose checkpoints are accepted. Its key's name is its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The key that signs its checkpoints.
    pub key: VerifyingKey,
    /// Where it is reached, as the policy says: any bytes, meant for the application.
    pub url: Option<Vec<u8>>,
}

/// A witness whose cosignatures count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Its name within the policy: any bytes but space and tab. Not its key's name.
    pub name: Vec<u8>,
    /// The key that it cosigns with.
    pub key: VerifyingKey,
    /// Where it is reached, as the policy says: any bytes; tlog-witness's submission prefix, if
    /// followed as recommended.
    pub url: Option<Vec<u8>>,
}

/// What a name of the policy stands for, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Definition {
    Witness(Witness),
    Group {
        name: Vec<u8>,
        threshold: usize,
        /// Positions of earlier definitions.
        members: Vec<usize>,
    },
}

impl Definition {
    fn name(&self) -> &[u8] {
        match self {
            Self::Witness(witness) => &witness.name,
            Self::Group { name, .. } => name,
        }
    }
}

/// Logs, witnesses and a quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<Log>,
    definitions: Vec<Definition>,
    /// Position of the definition that must have cosigned; none is needed without.
    quorum: Option<usize>,
}

/// What a policy finds in a checkpoint whose log signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings<'p> {
    /// The checkpoint. It is the log's; whether it may be relied on is [`Findings::require_quorum`]'s.
    pub checkpoint: Checkpoint,
    /// The log's signatures, at least one.
    pub log: Vec<Signer<'p>>,
    /// Witnesses that vouch for it, with the newest time that each states, in the order of the
    /// policy.
    pub cosigned: Vec<(&'p Witness, Option<Timestamp>)>,
    /// Witnesses that count for nothing, because every time that they state lies in the future.
    pub ahead: Vec<&'p Witness>,
    /// Signatures by keys that the policy does not know for this log. They say nothing.
    pub unknown: Vec<Signature>,
    /// Name of the quorum, if the policy asks for one, and whether it is met.
    quorum: Option<(&'p [u8], bool)>,
    witnesses: usize,
}

impl Findings<'_> {
    /// Whether the witnesses that vouch for the checkpoint are the quorum, or none is asked for.
    #[must_use]
    pub const fn meets_quorum(&self) -> bool {
        matches!(self.quorum, None | Some((_, true)))
    }

    /// Refuses a checkpoint without its quorum.
    ///
    /// # Errors
    /// [`Error::NoQuorum`] when too few witnesses vouch for it.
    pub fn require_quorum(&self) -> Result<(), Error> {
        match self.quorum {
            Some((name, false)) => Err(Error::NoQuorum {
                quorum: parse::display(name),
                cosigned: self.cosigned.len(),
                witnesses: self.witnesses,
            }),
            _ => Ok(()),
        }
    }
}

impl Policy {
    /// The policy that accepts one log and asks for no witness.
    #[must_use]
    pub fn of_log(key: VerifyingKey) -> Self {
        Self {
            logs: vec![Log { key, url: None }],
            definitions: Vec::new(),
            quorum: None,
        }
    }

    /// The policy with one more log, which is known from elsewhere. A key that the policy has
    /// already is not added again.
    #[must_use]
    pub fn with_log(mut self, key: VerifyingKey) -> Self {
        if self.logs.iter().all(|log| log.key != key) {
            self.logs.push(Log { key, url: None });
        }
        self
    }

    /// The logs, in the order of the file.
    #[must_use]
    pub fn logs(&self) -> &[Log] {
        &self.logs
    }

    /// The witnesses, in the order of the file, whether the quorum needs them or not.
    pub fn witnesses(&self) -> impl Iterator<Item = &Witness> {
        self.definitions
            .iter()
            .filter_map(|definition| match definition {
                Definition::Witness(witness) => Some(witness),
                Definition::Group { .. } => None,
            })
    }

    /// Whether the policy asks for any witness at all.
    #[must_use]
    pub const fn asks_for_witnesses(&self) -> bool {
        self.quorum.is_some()
    }

    /// Whether those witnesses that `vouches` says yes to are the quorum, or none is asked for.
    pub fn is_quorum(&self, vouches: impl FnMut(&Witness) -> bool) -> bool {
        self.quorum_of(vouches).is_none_or(|(_, met)| met)
    }

    /// The name of the quorum, if the policy asks for one, and whether the witnesses that `holds` says yes to
    /// are it. Every witness is asked about once, in the order of the file. A definition refers only to earlier
    /// ones, so that one pass in order suffices, however deep groups nest.
    fn quorum_of<'p>(
        &'p self,
        mut holds: impl FnMut(&'p Witness) -> bool,
    ) -> Option<(&'p [u8], bool)> {
        let mut met: Vec<bool> = Vec::with_capacity(self.definitions.len());
        for definition in &self.definitions {
            let holds = match definition {
                Definition::Witness(witness) => holds(witness),
                Definition::Group {
                    threshold, members, ..
                } => {
                    let of_members = members.iter().filter_map(|at| met.get(*at));
                    of_members.filter(|met| **met).count() >= *threshold
                }
            };
            met.push(holds);
        }
        self.quorum.map(|at| {
            let name = self.definitions.get(at).map(Definition::name);
            let met = met.get(at).copied();
            (name.unwrap_or_default(), met.unwrap_or(false))
        })
    }

    /// Reads a checkpoint, and believes it only when it is of a log of the policy, signed by it, and
    /// cosigned by the quorum. Cosignatures of a time after `now` do not count; without `now`, any
    /// time does.
    ///
    /// # Errors
    /// Those of [`Policy::weigh`], and [`Error::NoQuorum`] when too few witnesses vouch for it.
    pub fn accept<'p>(
        &'p self,
        note: &Note,
        now: Option<Timestamp>,
    ) -> Result<Findings<'p>, Error> {
        let findings = self.weigh(note, now)?;
        findings.require_quorum()?;
        Ok(findings)
    }

    /// Reads a checkpoint of a log of the policy, signed by it, and finds who vouches for it, as
    /// [`Policy::accept`] does, but leaves to the caller what a quorum that is not met means.
    ///
    /// # Errors
    /// [`Error::Malformed`] for what is not a checkpoint or has extension lines that the log's
    /// signature does not cover; [`Error::UnknownLog`] for another log's; [`Error::Unsigned`] when
    /// the log did not sign it; [`Error::BadSignature`] when a signature in the name of one of the
    /// log's or witnesses' keys does not verify, whatever else signed.
    pub fn weigh<'p>(&'p self, note: &Note, now: Option<Timestamp>) -> Result<Findings<'p>, Error> {
        // The origin only chooses the keys: nothing of the text is believed before they verify it.
        let claimed = Checkpoint::read(note.text())?.possible()?;
        let of_log = |key: &VerifyingKey| {
            self.logs
                .iter()
                .any(|log| log.key == *key && key.name() == claimed.origin())
        };
        let mut known: Vec<&VerifyingKey> = self.logs.iter().map(|log| &log.key).collect();
        known.retain(|key| of_log(key));
        if known.is_empty() {
            return Err(Error::UnknownLog(claimed.origin().to_owned()));
        }
        let witness_keys = self.witnesses().map(|witness| &witness.key);
        known.extend(witness_keys);
        let verified = note.verify_among(&known)?;
        // Of a key that is the log's and a witness's, a signature is both's.
        let log: Vec<Signer<'p>> = verified
            .signers
            .iter()
            .filter(|signer| of_log(signer.key))
            .copied()
            .collect();
        if log.is_empty() {
            return Err(Error::Unsigned);
        }
        let checkpoint = claimed.clone().covered_by(&log)?;
        let mut findings = Findings {
            checkpoint,
            log,
            cosigned: Vec::new(),
            ahead: Vec::new(),
            unknown: verified.unknown.into_iter().cloned().collect(),
            quorum: None,
            witnesses: self.witnesses().count(),
        };
        self.evaluate(&verified.signers, now, &mut findings);
        Ok(findings)
    }

    /// Who of the witnesses is among `signers`, and what that makes of the quorum.
    fn evaluate<'p>(
        &'p self,
        signers: &[Signer<'_>],
        now: Option<Timestamp>,
        findings: &mut Findings<'p>,
    ) {
        findings.quorum = self.quorum_of(|witness| {
            let of_witness = signers.iter().filter(|signer| *signer.key == witness.key);
            let in_time = of_witness
                .clone()
                .filter(|signer| now.is_none_or(|now| signer.time <= Some(now)))
                .map(|signer| signer.time)
                .max();
            match in_time {
                Some(time) => findings.cosigned.push((witness, time)),
                None if of_witness.count() != 0 => findings.ahead.push(witness),
                None => {}
            }
            in_time.is_some()
        });
    }
}
