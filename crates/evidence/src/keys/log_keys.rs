//! The log's key in force, and the next one while a rotation is under way: where they are made, kept and destroyed.
//!
//! `keys/log.key` holds the key in force, or says which key of the token it is. `keys/log.next.key` is there from before the
//! next key is made until it has taken its place and the one before is gone; which of the two is in force, the log says.

use super::TokenSettings;
use super::key_file::{KeyFile, KeyName};
use super::seed::random;
use super::token::Token;
use super::{LOG_KEY, LogKey};
use crate::epochs::Epochs;
use crate::error::Error;
use std::sync::Arc;
use storage::Disk;

const NEXT_KEY: &str = "keys/log.next.key";

/// Keeps the private keys of the log.
#[derive(Debug, Clone)]
pub(crate) struct LogKeys {
    place: Place,
    held: Held,
}

/// Where keys are made: files, and the token for Ed25519 where one is configured.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    disk: Arc<dyn Disk>,
    token: Option<Arc<Token>>,
}

/// A key with what its file says.
#[derive(Debug, Clone)]
struct Held {
    file: KeyFile,
    key: Arc<LogKey>,
}

/// A key that is durable and not yet in force.
#[derive(Debug)]
pub(crate) struct NextKey(Held);

impl NextKey {
    pub(crate) fn key(&self) -> &LogKey {
        &self.0.key
    }
}

/// What became of a rotation that an end of the recorder cut short.
#[derive(Debug)]
pub(crate) enum CutShort {
    /// There was none.
    Nothing,
    /// The key that its log names has its place already, or keeps it: what is left of the other one goes.
    Tidy,
    /// The log holds its event: the next key is in force.
    Finish(NextKey),
}

impl Place {
    /// # Errors
    /// [`Error::Signer`]: the token that is configured does not answer.
    pub(crate) fn open(disk: Arc<dyn Disk>, token: Option<&TokenSettings>) -> Result<Self, Error> {
        let token = token.map(Token::open).transpose()?;
        Ok(Self { disk, token })
    }

    /// The key in force as of `keys/log.key`, of the log called `origin`.
    pub(crate) fn load(self, file: KeyFile, origin: &str) -> Result<LogKeys, Error> {
        let held = self.take(file, LOG_KEY, origin)?;
        Ok(LogKeys { place: self, held })
    }

    /// Makes the first key of a log, durably. `begun` is what a first start left that was cut short.
    pub(crate) fn first(
        self,
        begun: Option<KeyFile>,
        new_origin: impl FnOnce() -> Result<String, Error>,
    ) -> Result<LogKeys, Error> {
        let held = match begun {
            Some(file) => match &file.token {
                // The name was durable before the key was made, which perhaps it was. What else keeps it from being
                // found keeps it from being made.
                Some(name) => {
                    let origin = name.origin.clone();
                    match self.take(file.clone(), LOG_KEY, &origin) {
                        Ok(held) => held,
                        Err(_) => self.make(&origin, file)?,
                    }
                }
                None => self.take(file, LOG_KEY, &new_origin()?)?,
            },
            None => {
                let origin = new_origin()?;
                let file = self.propose(&origin, 1)?;
                file.publish(self.disk.as_ref(), LOG_KEY)?;
                self.make(&origin, file)?
            }
        };
        Ok(LogKeys { place: self, held })
    }

    /// What the file of a new key will say.
    fn propose(&self, origin: &str, epoch: u64) -> Result<KeyFile, Error> {
        let name = || KeyName {
            origin: origin.to_owned(),
            epoch,
        };
        Ok(KeyFile {
            seed: random()?,
            token: self.token.as_ref().map(|_| name()),
        })
    }

    /// Makes the key that a durable file names, in place of one that an earlier attempt made.
    fn make(&self, origin: &str, file: KeyFile) -> Result<Held, Error> {
        let key = match &file.token {
            None => LogKey::from_seed(origin, &file.seed)?,
            Some(name) => {
                let token = self.token_of(name)?;
                token.destroy(name)?;
                LogKey::beside(token.make(name)?, &file.seed)?
            }
        };
        let key = Arc::new(key);
        Ok(Held { file, key })
    }

    /// Takes up the key that the file at `path` names.
    fn take(&self, file: KeyFile, path: &str, origin: &str) -> Result<Held, Error> {
        let key = match &file.token {
            None => LogKey::from_seed(origin, &file.seed)?,
            Some(name) if name.origin != origin => {
                let detail = format!("it names a key of another log, {}", name.origin);
                return Err(Error::damaged(path, detail));
            }
            Some(name) => LogKey::beside(self.token_of(name)?.find(name)?, &file.seed)?,
        };
        let key = Arc::new(key);
        Ok(Held { file, key })
    }

    fn token_of(&self, name: &KeyName) -> Result<&Arc<Token>, Error> {
        self.token.as_ref().ok_or_else(|| {
            Error::Signer(format!(
                "`{name}` lies in a token, and none is configured: name it in [signer]"
            ))
        })
    }
}

impl LogKeys {
    /// The key in force.
    pub(crate) fn key(&self) -> &Arc<LogKey> {
        &self.held.key
    }

    /// Whether the key in force lies in a file although a token is configured.
    pub(crate) const fn is_to_move(&self) -> bool {
        self.place.token.is_some() && self.held.file.token.is_none()
    }

    /// Makes the key of `epoch`, durably.
    pub(crate) fn propose(&self, epoch: u64) -> Result<NextKey, Error> {
        let origin = self.key().origin();
        let file = self.place.propose(origin, epoch)?;
        file.publish(self.place.disk.as_ref(), NEXT_KEY)?;
        self.place.make(origin, file).map(NextKey)
    }

    /// Puts the key of `epoch` in the place of the one before, which is gone then.
    pub(crate) fn promote(&mut self, next: &NextKey, epoch: u64) -> Result<(), Error> {
        next.0.file.publish(self.place.disk.as_ref(), LOG_KEY)?;
        self.held = next.0.clone();
        self.tidy(epoch)
    }

    /// Destroys what a rotation left beside the key in force, which is that of `epoch`; last of all the file that tells of it.
    pub(crate) fn tidy(&self, epoch: u64) -> Result<(), Error> {
        let origin = self.key().origin().to_owned();
        let kept = KeyName { origin, epoch };
        if let Some(token) = &self.place.token {
            if self.held.file.token.is_some() {
                // A token that does not show this one may hide others, which would outlive it unseen.
                token.find(&kept)?;
            }
            for name in kept.neighbours() {
                token.destroy(&name)?;
            }
        }
        let removed = self.place.disk.remove(NEXT_KEY);
        removed.map_err(|error| Error::io(NEXT_KEY, &error))
    }

    /// Turns to the key that the log says is in force. Changes nothing on disk yet.
    ///
    /// # Errors
    /// [`Error::Damaged`]: neither file holds it. [`Error::Signer`]: the token does not.
    pub(crate) fn in_force(&mut self, epochs: &Epochs) -> Result<CutShort, Error> {
        let wanted = &epochs.in_force().ed25519;
        let next = KeyFile::read(self.place.disk.as_ref(), NEXT_KEY)?;
        if self.key().verifying_key() == wanted {
            let Some(next) = next else {
                return Ok(CutShort::Nothing);
            };
            // What is left of it in a token can be reached.
            next.token
                .map_or(Ok(()), |name| self.place.token_of(&name).map(drop))?;
            return Ok(CutShort::Tidy);
        }
        let next = next.map(|file| self.place.take(file, NEXT_KEY, epochs.origin()));
        let next = next.transpose()?;
        let Some(next) = next.filter(|next| next.key.verifying_key() == wanted) else {
            let epoch = epochs.in_force().number;
            let detail = match epoch {
                1 => "it is not the key that log/vkey names".to_owned(),
                _ => format!("it is not the key that began epoch {epoch} of the log"),
            };
            return Err(Error::damaged(LOG_KEY, detail));
        };
        self.held = next.clone();
        Ok(CutShort::Finish(NextKey(next)))
    }

    /// Finishes the rotation that was cut short, or undoes it. The key in force is that of `epoch`.
    pub(crate) fn settle(&mut self, cut_short: CutShort, epoch: u64) -> Result<(), Error> {
        match cut_short {
            CutShort::Nothing => Ok(()),
            CutShort::Tidy => self.tidy(epoch),
            CutShort::Finish(next) => self.promote(&next, epoch),
        }
    }
}
