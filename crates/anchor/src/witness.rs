//! The client of a witness: C2SP tlog-witness, `add-checkpoint`.

use crate::Error;
use crate::client::Client;
use crate::epochs::Chain;
use crate::head::Head;
use crate::offset;
use crate::settings::submission_prefix;
use evidence::Proofs;
use jiff::Timestamp;
use tlog::note::{MAX_NOTE_BYTES, Signature, VerifyingKey};
use tlog::proof;
use tlog::witness::{AddCheckpoint, Answer, Refusal, accept};

/// Questions at a time: it says its size, it is given the log's key epochs, and then it must agree.
const QUESTIONS: usize = 4;

const OCTETS: &str = "text/plain; charset=utf-8";

/// What a witness said.
#[derive(Debug)]
pub(crate) struct Cosigned {
    /// Its one signature, as it stands in a note.
    pub(crate) signature: Signature,
    /// When, as it says.
    pub(crate) time: Timestamp,
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
    ///
    /// It begins with the newest hand-over, which is all that is new to a witness that was there for the others, and goes
    /// back to one that the witness can follow.
    async fn introduce(&self, client: &Client, epochs: &[String]) -> Result<(), Error> {
        let mut refusal = None;
        for (index, note) in epochs.iter().enumerate().rev() {
            match self.hand_over(client, note).await? {
                200 => {
                    for note in epochs.iter().skip(index + 1) {
                        let status = self.hand_over(client, note).await?;
                        if status != 200 {
                            return Err(unknown_key(status));
                        }
                    }
                    return Ok(());
                }
                // It does not follow from what the witness knows yet.
                status @ (403 | 409) => refusal = Some(status),
                status => return Err(unknown_key(status)),
            }
        }
        refusal.map_or(Ok(()), |status| Err(unknown_key(status)))
    }

    async fn hand_over(&self, client: &Client, note: &str) -> Result<u16, Error> {
        let url = format!("{}/add-key-epoch", self.prefix);
        let note = note.to_owned().into_bytes();
        let answer = client.post(&url, OCTETS, note, MAX_NOTE_BYTES).await?;
        Ok(answer.status)
    }

    /// Verifies what this witness said of `head`, and takes its one line out. A witness that says two things at once is
    /// believed neither: an event tells of one line, and verification looks for that.
    pub(crate) fn judge(&self, head: &Head, said: &[Signature]) -> Result<Cosigned, Error> {
        let lies = |error: tlog::Error| Error::Lies(error.to_string());
        let keys = std::slice::from_ref(&self.key);
        let (_, signers) = accept(head.note.clone(), said, keys).map_err(lies)?;
        let its_own =
            |line: &&Signature| line.name() == self.key.name() && line.id() == self.key.id();
        let lines: Vec<&Signature> = said.iter().filter(its_own).collect();
        let [signature] = lines.as_slice() else {
            return Err(Error::Lies(format!(
                "it sent {} signatures of its key, where one is asked for",
                lines.len()
            )));
        };
        let time = signers.iter().filter_map(|signer| signer.time).max();
        let time = time
            .and_then(|time| Timestamp::from_second(i64::try_from(time.seconds()).ok()?).ok())
            .ok_or_else(|| Error::Lies("it cosigned at no time that there is".into()))?;
        offset::of_clock(time, Timestamp::now())?;
        Ok(Cosigned {
            signature: (*signature).clone(),
            time,
        })
    }
}

fn unknown_key(status: u16) -> Error {
    Error::Refused(format!(
        "it knows an earlier key of the log, and answered {status} to the notes by which that handed over: tell its \
         operator the log's present key"
    ))
}
