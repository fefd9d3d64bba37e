//! How the log gets its next key.
//!
//! The old key signs the tree as it stands; the next key is made and becomes durable beside it; the event that hands
//! over, signed by both, goes to the writer like any other. From then on nothing is signed until that event has been
//! read back from the log: then the next key takes the old one's place, which is gone with that, and signs. Whatever
//! ends the recorder in between, the log itself says which of the two keys is in force.

use super::SettlerThread;
use crate::ambient;
use crate::command::{Appended, Command, Queued};
use crate::epochs::{EpochNote, Facts, RevocationNote};
use crate::error::Error;
use crate::keys::NextKey;
use crate::orders::{Answer, Order, Revocation, Revoked, Rotated};
use event::{Draft, Kind, Source};
use std::time::Duration;
use tokio::sync::oneshot;

/// How often the log is looked at for a statement that was given to the writer.
pub(super) const STATEMENT_PATIENCE: Duration = Duration::from_millis(5);

/// How long to wait before a rotation that came to nothing is tried again.
const ROTATION_RETRY: Duration = Duration::from_secs(60);

/// Something about the log's keys that the writer was given and that has not been read back yet.
#[derive(Debug)]
pub(super) struct Statement {
    /// Statements in the log before it.
    before: usize,
    ack: oneshot::Receiver<Result<Appended, Error>>,
    about: About,
}

#[derive(Debug)]
enum About {
    Epoch(NextKey, Asked),
    Revocation(Revocation, Answer<Revoked>),
}

/// Who wants the next key.
#[derive(Debug)]
enum Asked {
    /// It is time.
    Time,
    Caller(Answer<Rotated>),
    /// A key that is in force cannot revoke itself.
    Revocation(Revocation, Answer<Revoked>),
}

impl Asked {
    fn refuse(self, error: Error) {
        match self {
            Self::Time => {
                tracing::warn!(%error, "the log's key could not be changed; it will be tried again")
            }
            Self::Caller(answer) => drop(answer.send(Err(error))),
            Self::Revocation(_, answer) => drop(answer.send(Err(error))),
        }
    }
}

impl SettlerThread {
    /// Whether nothing may be signed for now: which key is in force will be known later.
    pub(super) fn is_stating(&self) -> bool {
        self.statement.is_some() || self.undecided
    }

    /// Looks whether the statement that is under way has arrived. `ended`: the writer takes nothing any more.
    pub(super) fn look_for_statement(&mut self, ended: bool) -> Result<(), Error> {
        let Some(Statement {
            before,
            mut ack,
            about,
        }) = self.statement.take()
        else {
            return Ok(());
        };
        let keys = &self.settler.state().keys;
        if let Some(&seq) = keys.last().filter(|_| keys.len() > before) {
            return self.arrived(seq, Statement { before, ack, about });
        }
        let refused = match ack.try_recv() {
            Ok(Err(error)) => Some(error),
            // Durable; the settler is still on its way there.
            Ok(Ok(_)) => None,
            Err(oneshot::error::TryRecvError::Empty) if !ended => None,
            Err(_) => Some(Error::Closed),
        };
        match refused {
            None => self.statement = Some(Statement { before, ack, about }),
            // Whether it is in the log is not known: the next start finds out.
            Some(error) if self.progress.has_failed() || matches!(error, Error::Fatal(_)) => {
                self.undecided = true;
                about.refuse(error);
            }
            Some(error) => return self.came_to_nothing(about, error),
        }
        Ok(())
    }

    /// The statement is not in the log and will not be.
    fn came_to_nothing(&mut self, about: About, error: Error) -> Result<(), Error> {
        let mut tidied = Ok(());
        if let About::Epoch(..) = &about {
            self.rotate_at = ambient::now() + ROTATION_RETRY.min(self.epoch);
            // What cannot be destroyed now, the next rotation or the next start destroys.
            tidied = self.keys.tidy(self.settler.epochs().in_force().number);
        }
        about.refuse(error);
        tidied
    }

    fn arrived(&mut self, seq: u64, statement: Statement) -> Result<(), Error> {
        let Statement { before, ack, about } = statement;
        let (next, asked) = match about {
            About::Revocation(Revocation { epoch, size, .. }, answer) => {
                let size = size.unwrap_or_default();
                answer.send(Ok(Revoked { epoch, size, seq })).ok();
                return Ok(());
            }
            About::Epoch(next, asked) => (next, asked),
        };
        let (epoch, size) = {
            let in_force = self.settler.epochs().in_force();
            (in_force.number, in_force.start)
        };
        if let Err(error) = self.keys.promote(&next, epoch) {
            // A full disk, a token that is away: there will be another look. Anything else ends the recorder.
            let about = About::Epoch(next, asked);
            self.statement = Some(Statement { before, ack, about });
            return Err(error);
        }
        self.progress.epoch(epoch);
        self.rotate_at = ambient::now() + self.epoch;
        tracing::info!(epoch, size, "the log has its next key");
        match asked {
            Asked::Time => {}
            Asked::Caller(answer) => drop(answer.send(Ok(Rotated { epoch, size, seq }))),
            Asked::Revocation(what, answer) => self.waiting.push_front(Order::Revoke(what, answer)),
        }
        Ok(())
    }

    /// Begins a rotation if it is time for one.
    pub(super) fn rotate_in_time(&mut self) -> Result<(), Error> {
        if ambient::now() < self.rotate_at {
            return Ok(());
        }
        self.rotate_at = ambient::now() + ROTATION_RETRY.min(self.epoch);
        self.rotate(Asked::Time)
    }

    pub(super) fn rotate_for(&mut self, answer: Answer<Rotated>) -> Result<(), Error> {
        self.rotate(Asked::Caller(answer))
    }

    /// Begins a rotation. The tree as it stands is signed.
    fn rotate(&mut self, asked: Asked) -> Result<(), Error> {
        match self.propose() {
            Ok((next, note)) => self.state(Kind::KeyEpoch, note, About::Epoch(next, asked)),
            Err(error) => {
                asked.refuse(error.clone());
                Err(error)
            }
        }
    }

    /// Makes the next key and what both keys say of it.
    fn propose(&mut self) -> Result<(NextKey, Facts), Error> {
        let (size, root) = self.settler.head();
        let epoch = self.settler.epochs().in_force().number + 1;
        let next = self.keys.propose(epoch)?;
        let said = EpochNote {
            origin: self.keys.key().origin().to_owned(),
            epoch,
            size,
            root,
            ed25519: next.key().verifying_key().clone(),
            ml_dsa_44: next.key().cosigner_key().clone(),
        };
        let note = said.sign(next.key().signer(), Some(self.keys.key().signer()))?;
        Ok((next, said.facts(&note)))
    }

    /// Revokes the key of an epoch, after a rotation where it is the one in force.
    pub(super) fn revoke(
        &mut self,
        mut what: Revocation,
        answer: Answer<Revoked>,
    ) -> Result<(), Error> {
        let epochs = self.settler.epochs();
        if what.epoch == epochs.in_force().number {
            // What would be refused afterwards is refused before a key is destroyed for it.
            let (start, end) = (epochs.in_force().start, self.progress.figures().0.events);
            if let Some(size) = what.size.filter(|size| !(start..=end).contains(size)) {
                let why = format!(
                    "the key of epoch {} signs for sizes above {start}, and there are {end} events: it cannot be revoked from size {size} on",
                    what.epoch
                );
                answer.send(Err(Error::Event(why))).ok();
                return Ok(());
            }
            return self.rotate(Asked::Revocation(what, answer));
        }
        let start = epochs.get(what.epoch).map_or(0, |epoch| epoch.start);
        let size = *what.size.get_or_insert(start);
        let revoked = epochs
            .get(what.epoch)
            .and_then(|epoch| epoch.revoked.as_ref());
        let may = match revoked.filter(|revoked| revoked.size <= size) {
            Some(already) => Err(format!(
                "the key of epoch {} was revoked by event {}, and counts for sizes up to {} only: nothing gives that back",
                what.epoch, already.event, already.size
            )),
            None => epochs.may_revoke(what.epoch, size),
        };
        if let Err(why) = may {
            answer.send(Err(Error::Event(why))).ok();
            return Ok(());
        }
        // Once the revocation is in the log, a checkpoint by the key that it names is one that no start goes on from:
        // before, the key in force has signed.
        if let Err(error) = self.sign() {
            answer.send(Err(error.clone())).ok();
            return Err(error);
        }
        let said = RevocationNote {
            origin: self.keys.key().origin().to_owned(),
            epoch: what.epoch,
            size,
            reason: what.reason.clone(),
        };
        let note = match said.sign(self.keys.key().signer()) {
            Ok(note) => note,
            Err(error) => {
                answer.send(Err(error.clone())).ok();
                return Err(error);
            }
        };
        self.state(
            Kind::KeyRevoked,
            said.facts(&note),
            About::Revocation(what, answer),
        )
    }

    /// Gives a statement to the writer.
    fn state(&mut self, kind: Kind, facts: Facts, about: About) -> Result<(), Error> {
        let mut draft = Draft::new(kind, Source::Recorder);
        draft.facts = Some(facts);
        let (acknowledge, ack) = oneshot::channel();
        let given =
            crate::recorder::event_command(&draft, acknowledge).and_then(|(command, bytes)| {
                // At most one statement is under way, so the queue stays bounded without taking room.
                let queued = Queued {
                    command: Command::Event(command),
                    room: None,
                };
                self.queue.push(queued, bytes).map_err(|_| Error::Closed)
            });
        let before = self.settler.state().keys.len();
        let statement = Statement { before, ack, about };
        match given {
            Ok(()) => {
                self.statement = Some(statement);
                Ok(())
            }
            Err(error) => self.came_to_nothing(statement.about, error),
        }
    }
}

impl About {
    fn refuse(self, error: Error) {
        match self {
            Self::Epoch(_, asked) => asked.refuse(error),
            Self::Revocation(_, answer) => drop(answer.send(Err(error))),
        }
    }
}
