//! The keys that a recorder or a reader has, and what they open.
//!
//! Owns every key of the vault. Never replaces one that is missing, never takes a key that does not open for none: what
//! cannot be opened is [`Error::Locked`], with the names of the keys that would open it.

use super::wal::{self, SALT_BYTES, WalSessions};
use super::wrapped::{self, Way, Wrap};
use super::{DataKey, Recipient, VaultKey, short_id};
use crate::error::Error;
use crate::keys::{Seed, parse_seed, publish_seed, random};
use crate::stored;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use storage::Disk;

/// The keyring key.
pub(crate) const VAULT_KEY: &str = "keys/vault.key";

/// Derived keys of the write-ahead log that are kept; each start of a recorder makes one.
const MAX_WAL_KEYS: usize = 64;

/// Files of one sort that none of the keys at hand opens and that are remembered; the first tell enough.
const MAX_STRANGERS: usize = 16;

/// Sets of recipients that are remembered; a recorder has few in its life.
const MAX_RECIPIENTS: usize = 1024;

/// What a wrapped key protects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protects {
    Volume(u64),
    /// A seed of body salts.
    Seed(u64),
}

impl Protects {
    pub(crate) fn path(self) -> String {
        match self {
            Self::Volume(number) => format!("vault/{number:010}.key"),
            Self::Seed(index) => format!("vault/salts/{index:08}.seed"),
        }
    }

    /// What the wrap is bound to.
    fn context(self, origin: &str) -> String {
        match self {
            Self::Volume(number) => format!("tachograph volume {number} {origin}"),
            Self::Seed(index) => format!("tachograph seed {index} {origin}"),
        }
    }

    fn named(self) -> String {
        match self {
            Self::Volume(number) => format!("volume {number}"),
            Self::Seed(index) => format!("the seed of salts {index}"),
        }
    }
}

/// The keys at hand.
pub(crate) struct Keyring {
    disk: Arc<dyn Disk>,
    origin: Arc<str>,
    /// The keyring key, or why it is not at hand.
    local: Result<Seed, String>,
    reads: Option<VaultKey>,
    writes: Option<Recipient>,
    opened: Mutex<Opened>,
}

#[derive(Debug, Default)]
struct Opened {
    volumes: HashMap<u64, Arc<DataKey>>,
    wal: HashMap<[u8; SALT_BYTES], Arc<DataKey>>,
    /// Whether the keyring key at hand has opened anything of this store.
    fits: bool,
    /// Files that hold a key under some other keyring key, and none that is at hand opens.
    strangers: BTreeSet<String>,
    /// Files that hold no key for anybody.
    emptied: BTreeSet<String>,
    /// Investigators to whom alone files hold a key, and the first such file.
    wrapped_to: BTreeMap<Vec<String>, String>,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring").finish_non_exhaustive()
    }
}

fn key_id(key: &[u8; 32]) -> String {
    short_id(&[b"tachograph vault key v1", key])
}

fn read(disk: &dyn Disk) -> Result<Option<Seed>, Error> {
    stored::read(disk, VAULT_KEY)?
        .map(|bytes| parse_seed(VAULT_KEY, &bytes))
        .transpose()
}

impl Keyring {
    /// The keys of a recorder. The keyring key is made where the store never had one.
    ///
    /// # Errors
    /// [`Error::Missing`] when the store had one.
    pub(crate) fn of_recorder(
        disk: Arc<dyn Disk>,
        origin: &str,
        writes: Option<Recipient>,
        had_one: bool,
    ) -> Result<Self, Error> {
        let key = match read(disk.as_ref())? {
            Some(key) => key,
            None if had_one => return Err(Error::Missing(VAULT_KEY.into())),
            None => {
                let key = random()?;
                publish_seed(disk.as_ref(), VAULT_KEY, &key)?;
                key
            }
        };
        Ok(Self {
            writes,
            ..Self::with(disk, origin, Ok(key), None)
        })
    }

    /// The keys of a reader: the keyring key if it lies there and may be read, and an investigator's.
    pub(crate) fn of_reader(disk: Arc<dyn Disk>, origin: &str, reads: Option<VaultKey>) -> Self {
        let local = match read(disk.as_ref()) {
            Ok(Some(key)) => Ok(key),
            Ok(None) => Err(format!("{VAULT_KEY} is not here")),
            Err(error) => Err(error.to_string()),
        };
        Self::with(disk, origin, local, reads)
    }

    fn with(
        disk: Arc<dyn Disk>,
        origin: &str,
        local: Result<Seed, String>,
        reads: Option<VaultKey>,
    ) -> Self {
        Self {
            disk,
            origin: origin.into(),
            local,
            reads,
            writes: None,
            opened: Mutex::default(),
        }
    }

    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether the recorder cannot read what it has settled.
    pub(crate) const fn is_write_only(&self) -> bool {
        self.writes.is_some()
    }

    fn opened(&self) -> MutexGuard<'_, Opened> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The keys that sources encrypt with.
    pub(crate) fn wal_sessions(&self) -> Result<WalSessions, Error> {
        let key = self.local.as_ref().map_err(|why| self.no_wal_key(why))?;
        WalSessions::new(self.origin.clone(), key.clone())
    }

    fn no_wal_key(&self, why: &str) -> Error {
        Error::Locked {
            what: "the write-ahead log".into(),
            why: why.into(),
            recipient: None,
        }
    }

    /// A new key, durable in its file before anything is encrypted with it.
    pub(crate) fn make(&self, protects: Protects) -> Result<Seed, Error> {
        let key = random()?;
        let context = protects.context(&self.origin);
        let wrap = match (&self.writes, &self.local) {
            (Some(recipient), _) => Wrap {
                way: Way::Hpke,
                id: recipient.id(),
                sealed: recipient
                    .seal(context.as_bytes(), key.as_slice())
                    .ok_or_else(|| {
                        Error::Fatal("nothing can be encrypted to [vault] recipient".into())
                    })?,
            },
            (None, Ok(local)) => Wrap {
                way: Way::Local,
                id: key_id(local),
                sealed: DataKey::new(local)?.seal(context.as_bytes(), key.as_slice())?,
            },
            (None, Err(why)) => return Err(self.no_wal_key(why)),
        };
        let path = protects.path();
        self.disk
            .publish(&path, wrapped::encode(&[wrap]).as_bytes())
            .map_err(|error| Error::io(path, &error))?;
        Ok(key)
    }

    /// Opens a wrapped key from the bytes of its file.
    pub(crate) fn open(&self, protects: Protects, bytes: &[u8]) -> Result<[u8; 32], Error> {
        let path = protects.path();
        let wraps = wrapped::parse(&path, bytes)?;
        let context = protects.context(&self.origin);
        for wrap in &wraps {
            let Some(plain) = self.unwrap(wrap, context.as_bytes())? else {
                continue;
            };
            return plain.and_then(|plain| plain.try_into().ok()).ok_or_else(|| {
                Error::altered(
                    &path,
                    format!(
                        "what it holds for key {} does not open: it is another, or belongs to another place or log",
                        wrap.id
                    ),
                )
            });
        }
        self.remember_unopened(&path, &wraps);
        let needed: Vec<String> = wraps
            .iter()
            .map(|wrap| match wrap.way {
                Way::Local => format!("{VAULT_KEY} {}", wrap.id),
                Way::Hpke => format!("the investigator's key {}", wrap.id),
            })
            .collect();
        let why = if needed.is_empty() {
            format!("its key was destroyed ({path} holds none)")
        } else {
            format!("it needs {}; {}", needed.join(" or "), self.at_hand())
        };
        Err(Error::Locked {
            what: protects.named(),
            why,
            recipient: wraps
                .into_iter()
                .find(|wrap| wrap.way == Way::Hpke)
                .map(|wrap| wrap.id),
        })
    }

    fn remember_unopened(&self, path: &str, wraps: &[Wrap]) {
        let opened = &mut *self.opened();
        let files = if wraps.is_empty() {
            &mut opened.emptied
        } else if wraps.iter().all(|wrap| wrap.way == Way::Hpke) {
            if opened.wrapped_to.len() < MAX_RECIPIENTS {
                let recipients = wraps.iter().map(|wrap| wrap.id.clone()).collect();
                let first = opened.wrapped_to.entry(recipients);
                first.or_insert_with(|| path.to_owned());
            }
            return;
        } else if self.local.is_ok() {
            &mut opened.strangers
        } else {
            return;
        };
        if files.len() < MAX_STRANGERS {
            files.insert(path.to_owned());
        }
    }

    /// Outer `None`: the key for it is not at hand. Inner `None`: the wrap does not open.
    fn unwrap(&self, wrap: &Wrap, context: &[u8]) -> Result<Option<Option<Vec<u8>>>, Error> {
        Ok(match wrap.way {
            Way::Local => match &self.local {
                Ok(key) if key_id(key) == wrap.id => {
                    let mut sealed = wrap.sealed.clone();
                    let plain = DataKey::new(key)?
                        .open(context, &mut sealed)
                        .map(<[u8]>::to_vec);
                    self.opened().fits |= plain.is_some();
                    Some(plain)
                }
                _ => None,
            },
            Way::Hpke => self
                .reads
                .as_ref()
                .filter(|key| key.recipient().id() == wrap.id)
                .map(|key| key.open(context, &wrap.sealed)),
        })
    }

    fn at_hand(&self) -> String {
        let local = match &self.local {
            Ok(key) => format!("{VAULT_KEY} is {}", key_id(key)),
            Err(why) => why.clone(),
        };
        match &self.reads {
            Some(key) => format!("{local}, the key given is {}", key.recipient().id()),
            None => local,
        }
    }

    fn read(&self, protects: Protects) -> Result<[u8; 32], Error> {
        let bytes = stored::need(self.disk.as_ref(), &protects.path())?;
        self.open(protects, &bytes)
    }

    /// The key of a volume that exists.
    pub(crate) fn volume(&self, number: u64) -> Result<Arc<DataKey>, Error> {
        if let Some(key) = self.opened().volumes.get(&number) {
            return Ok(key.clone());
        }
        let key = Arc::new(DataKey::new(&self.read(Protects::Volume(number))?)?);
        self.opened().volumes.insert(number, key.clone());
        Ok(key)
    }

    /// The key of a volume of which nothing is settled: one that this process made, or a new one.
    pub(crate) fn begin_volume(&self, number: u64) -> Result<Arc<DataKey>, Error> {
        if let Some(key) = self.opened().volumes.get(&number) {
            return Ok(key.clone());
        }
        let key = self.make(Protects::Volume(number))?;
        let key = Arc::new(DataKey::new(&key)?);
        self.opened().volumes.insert(number, key.clone());
        Ok(key)
    }

    /// The key of a volume that a recorder could go on with; `None` where it has to begin the next, because the key was
    /// never meant for it.
    pub(crate) fn resume_volume(&self, number: u64) -> Result<Option<Arc<DataKey>>, Error> {
        if let Some(key) = self.opened().volumes.get(&number) {
            return Ok(Some(key.clone()));
        }
        if self.is_write_only() {
            return Ok(None);
        }
        let path = Protects::Volume(number).path();
        match self.disk.read(&path) {
            Ok(bytes) => {
                let meant = wrapped::parse(&path, &bytes)?
                    .iter()
                    .any(|wrap| wrap.way == Way::Local);
                meant.then(|| self.volume(number)).transpose()
            }
            // The error names it.
            Err(_) => self.volume(number).map(Some),
        }
    }

    fn open_wal<'a>(&self, aad: &[u8], sealed: &'a mut [u8]) -> Result<Option<&'a [u8]>, Error> {
        let local = self.local.as_ref().map_err(|why| self.no_wal_key(why))?;
        let Some((salt, rest)) = sealed.split_first_chunk_mut::<SALT_BYTES>() else {
            return Ok(None);
        };
        let cached = self.opened().wal.get(salt).cloned();
        let key = match cached {
            Some(key) => key,
            None => {
                let key = Arc::new(wal::derive(local, salt)?);
                let mut opened = self.opened();
                if opened.wal.len() >= MAX_WAL_KEYS {
                    opened.wal.clear();
                }
                opened.wal.insert(*salt, key.clone());
                key
            }
        };
        let plain = key.open(aad, rest);
        self.opened().fits |= plain.is_some();
        Ok(plain)
    }

    /// Files that were to be opened and hold no key for anybody.
    pub(crate) fn emptied(&self) -> Vec<String> {
        self.opened().emptied.iter().cloned().collect()
    }

    /// Investigators to whom alone files that were to be opened hold a key, and the first such file.
    pub(crate) fn wrapped_to(&self) -> Vec<(Vec<String>, String)> {
        let found = &self.opened().wrapped_to;
        found
            .iter()
            .map(|(to, path)| (to.clone(), path.clone()))
            .collect()
    }

    /// Files of keys that were put in the place of this store's own: those under another keyring key, where the one at
    /// hand opens others. A store has one keyring key all its life.
    pub(crate) fn strangers(&self) -> Vec<String> {
        let found: Vec<String> = self.opened().strangers.iter().cloned().collect();
        if found.is_empty() {
            return found;
        }
        for own in [Protects::Seed(0), Protects::Volume(1)] {
            if !self.opened().fits {
                // Whatever else is wrong with them is told elsewhere: what matters is whether one opens.
                self.read(own).ok();
            }
        }
        if self.opened().fits {
            found
        } else {
            Vec::new()
        }
    }

    /// The stored bytes of a chunk in the write-ahead log. `Ok(None)`: it was altered, or is not of this log and key.
    pub(crate) fn open_chunk<'a>(
        &self,
        raw_len: u32,
        codec: u8,
        sealed: &'a mut [u8],
    ) -> Result<Option<&'a [u8]>, Error> {
        self.open_wal(&wal::chunk_aad(&self.origin, raw_len, codec), sealed)
    }

    /// The tail of unfinished body `id`.
    ///
    /// # Errors
    /// [`Error::Damaged`] or [`Error::Locked`].
    pub(crate) fn open_tail(&self, id: u64, mut sealed: Vec<u8>) -> Result<Vec<u8>, Error> {
        if sealed.is_empty() {
            return Ok(sealed);
        }
        self.open_wal(&wal::tail_aad(&self.origin, id), &mut sealed)?
            .map(<[u8]>::to_vec)
            .ok_or_else(|| {
                Error::damaged(
                    format!("the end of body {id}"),
                    format!("it does not open with {VAULT_KEY}: it was altered, or the key is of another store"),
                )
            })
    }
}
