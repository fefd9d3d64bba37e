//! The client of a witness: C2SP tlog-witness, `add-checkpoint`.

use crate::Error;
use crate::client::Client;
use crate::epochs::Chain;
use crate::head::Head;
use crate::settings::submission_prefix;
use evidence::Proofs;
use jiff::Timestamp;
use tlog::note::{MAX_NOTE_BYTES, Signature, VerifyingKey};
use tlog::proof;
use tlog::witness::{AddCheckpoint, Answer, Refusal, accept};

/// How far ahead of ours a witness's clock may be, in seconds.
const MAX_AHEAD_S: u64 = 600;

/// Questions at a time: it says its size, it is given the log's key epochs, and then it must agree.
const QUESTIONS: usize = 4;

const OCTETS: &str = "text/plain; charset=utf-8";

/// What a witness said.
#[derive(Debug)]
pub(crate) struct Cosigned {
    /// Its signatures, as they stand in a note.
    pub(crate) signatures: Vec<Signature>,
    /// When, as it says.
    pub(crate) time: Option<Timestamp>,
}

/// One witness of the policy.
#[derive(Debug, Clone)]
pub(crate) struct Witness {
    key: VerifyingKey,
    prefix: String,
    proofs: Proofs,
}

impl Witness {
    pub(crate) fn new(witness: &tlog::policy::Witness, proofs: Proofs) -> Result<Self, Error> {
        Ok(Self {
            key: witness.key.clone(),
            prefix: submission_prefix(witness)?,
            proofs,
        })
    }

    pub(crate) fn key(&self) -> &VerifyingKey {
        &self.key
    }

    /// Has `head` cosigned. `known` is the size that the witness is thought to be at: a hint.
    pub(crate) async fn cosign(
        &self,
        client: &Client,
        head: &Head,
        known: Option<u64>,
        keys: &Chain,
    ) -> Result<Cosigned, Error> {
        let mut old = known.filter(|known| *known <= head.size).unwrap_or(0);
        let mut introduced = false;
        for _ in 0..QUESTIONS {
            let refusal = match self.submit(client, head, old).await? {
                Answer::Cosigned(signatures) => return self.judge(head, &signatures),
                Answer::Refused(refusal) => refusal,
            };
            match refusal {
                Refusal::Conflict { size } if size > head.size => {
                    return Err(Error::Doubt(format!(
                        "witness {} knows this log with {size} events, and it has {}: the log lost its end, or another \
                         history of it was shown to the witness",
                        self.key.name(),
                        head.size
                    )));
                }
                Refusal::Conflict { size } if size != old => old = size,
                Refusal::NotSigned if !introduced => {
                    self.introduce(client, &keys.notes()?).await?;
                    introduced = true;
                }
                Refusal::Inconsistent => {
                    return Err(Error::Doubt(format!(
                        "witness {} knows another history of the first {old} events of this log: one of the two was \
                         rewritten",
                        self.key.name()
                    )));
                }
                refusal => {
                    return Err(Error::Refused(format!(
                        "it answered {}: {refusal}",
                        refusal.status()
                    )));
                }
            }
        }
        Err(Error::Lies(
            "it says another size each time it is asked".into(),
        ))
    }

    async fn submit(&self, client: &Client, head: &Head, old: u64) -> Result<Answer, Error> {
        let local = |error: tlog::Error| Error::Local(format!("the proof from {old}: {error}"));
        let path = self.proofs.consistency(old, head.size)?;
        // That a proof of ours is wrong would be our own trouble, and must not look like a fork.
        let old_root = self.proofs.root(old)?;
        proof::verify_consistency(old, head.size, &path, &old_root, &head.root).map_err(local)?;
        let request = AddCheckpoint::new(old, path, head.note.clone()).map_err(local)?;
        let url = format!("{}/add-checkpoint", self.prefix);
        let answer = client
            .post(
                &url,
                OCTETS,
                request.to_string().into_bytes(),
                MAX_NOTE_BYTES,
            )
            .await?;
        Answer::parse(answer.status, answer.content_type.as_deref(), &answer.body)
            .map_err(|error| Error::Refused(error.to_string()))
    }

    /// Shows the witness how the key it knows handed over to the one that signs now. A witness of another make does not
    /// take that: its operator has to tell it.
    async fn introduce(&self, client: &Client, epochs: &[String]) -> Result<(), Error> {
        let url = format!("{}/add-key-epoch", self.prefix);
        for note in epochs {
            let answer = client
                .post(&url, OCTETS, note.clone().into_bytes(), MAX_NOTE_BYTES)
                .await?;
            if answer.status != 200 {
                return Err(Error::Refused(format!(
                    "it knows an earlier key of the log, and answered {} to the note by which that handed over: tell \
                     its operator the log's present key",
                    answer.status
                )));
            }
        }
        Ok(())
    }

    fn judge(&self, head: &Head, signatures: &[Signature]) -> Result<Cosigned, Error> {
        let keys = std::slice::from_ref(&self.key);
        let (_, signers) = accept(head.note.clone(), signatures, keys)
            .map_err(|error| Error::Lies(error.to_string()))?;
        let seconds = signers.iter().filter_map(|signer| signer.time).max();
        let now = u64::try_from(Timestamp::now().as_second()).unwrap_or(0);
        if let Some(ahead) = seconds.filter(|time| time.seconds() > now + MAX_AHEAD_S) {
            return Err(Error::Lies(format!(
                "it cosigned at {ahead}, which is {} s ahead of this machine's clock",
                ahead.seconds().saturating_sub(now)
            )));
        }
        let of_witness = |signature: &&Signature| {
            signature.name() == self.key.name() && signature.id() == self.key.id()
        };
        Ok(Cosigned {
            signatures: signatures.iter().filter(of_witness).cloned().collect(),
            time: seconds
                .and_then(|time| Timestamp::from_second(i64::try_from(time.seconds()).ok()?).ok()),
        })
    }
}
