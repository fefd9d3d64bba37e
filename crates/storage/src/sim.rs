//! A disk in memory that forgets what was not synced and fails on demand.

mod content;

use crate::{Disk, DiskFile};
pub use content::Choose;
use content::{Change, Content};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How the next matching operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The error is reported and nothing happened.
    NotPersisted,
    /// The error is reported although the operation took full effect.
    Persisted,
    /// The error is reported; the running system sees the effect, a power cut may undo it.
    NotDurable,
    /// The error is reported; of the bytes to be written, so many are (all, where there are fewer).
    Torn(usize),
    /// The thread that asked unwinds, as when the standard library finds that a directory cannot be closed.
    Unwinds,
    /// This operation and all after it fail and have no effect: the process has been killed at this point.
    Dies,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Content>,
    /// Operations until the fault strikes, the operation's name, the error, the fault.
    armed: Option<(u64, &'static str, io::ErrorKind, Fault)>,
    operations: u64,
    /// Bytes that may still be written; `None` for no bound.
    room: Option<u64>,
    /// A file that cannot be read.
    unreadable: Option<String>,
    /// The operation that failed last.
    struck: Option<&'static str>,
    dead: bool,
}

/// A disk in memory. Clones share the same medium.
#[derive(Debug, Default, Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the `after`-th matching operation from now fail. `operation` is `write`, `publish`, `allocate`,
    /// `open_or_create`, `remove`, `write_at`, `set_len`, `sync` or `sync_all`, `any` of these, or `look` for
    /// those that change nothing.
    pub fn arm(&self, after: u64, operation: &'static str, kind: io::ErrorKind, fault: Fault) {
        self.lock().armed = Some((after, operation, kind, fault));
    }

    /// Takes the fault back if it has not struck.
    pub fn disarm(&self) {
        self.lock().armed = None;
    }

    /// Whether the armed fault has not struck yet.
    #[must_use]
    pub fn is_armed(&self) -> bool {
        self.lock().armed.is_some()
    }

    /// The operation that an armed fault has struck last.
    #[must_use]
    pub fn struck(&self) -> Option<&'static str> {
        self.lock().struck
    }

    /// Whether [`Fault::Dies`] has struck.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.lock().dead
    }

    /// Changing operations so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Bounds the bytes that further allocations and growth may take.
    pub fn set_room(&self, room: Option<u64>) {
        self.lock().room = room;
    }

    /// Lets a file, or none, fail to be read or opened.
    pub fn set_unreadable(&self, path: Option<&str>) {
        self.lock().unreadable = path.map(str::to_owned);
    }

    /// Paths of all files, sorted.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        self.files().into_keys().collect()
    }

    /// A power cut: a new disk that holds what was durable. `keep` decides for each file what part
    /// of its unsynced bytes reached the medium all the same: it receives path, durable and volatile
    /// bytes and returns what is found afterwards.
    #[must_use]
    pub fn power_cut(&self, mut keep: impl FnMut(&str, &[u8], &[u8]) -> Vec<u8>) -> Self {
        self.next(|path, content| {
            let (durable, volatile) = content.both()?;
            Some(Content::durable(keep(path, durable, volatile)))
        })
    }

    /// A power cut: a new disk that holds what was durable, and of everything since what `choose` lets survive,
    /// each write, each removal and each new name by itself.
    #[must_use]
    pub fn lose_power(&self, choose: Choose<'_>) -> Self {
        self.next(|_, content| content.after_power_loss(choose).map(Content::durable))
    }

    /// The same medium as the next process finds it, when only this one has ended.
    #[must_use]
    pub fn restart(&self, choose: Choose<'_>) -> Self {
        self.next(|_, content| Some(content.restarted(choose)))
    }

    fn next(&self, mut found: impl FnMut(&str, &Content) -> Option<Content>) -> Self {
        let state = self.lock();
        let files = state
            .files
            .iter()
            .filter_map(|(path, content)| Some((path.clone(), found(path, content)?)))
            .collect();
        let state = State {
            files,
            ..State::default()
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// The bytes of a file as a running reader sees them, for tests that damage them.
    #[must_use]
    pub fn edit(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut state = self.lock();
        let Ok(content) = state.file(path) else {
            return false;
        };
        let mut bytes = content.seen().cloned().unwrap_or_default();
        change(&mut bytes);
        *content = Content::durable(bytes);
        true
    }

    /// The files below a directory that are there and survive a power cut as they are, whatever fault is armed.
    #[must_use]
    pub fn durable(&self, below: &str) -> BTreeMap<String, Vec<u8>> {
        let state = self.lock();
        let files = state.files.iter();
        files
            .filter(|(path, _)| path.starts_with(below))
            .filter_map(|(path, content)| Some((path, content.both()?)))
            .filter(|(_, (durable, seen))| durable == seen)
            .map(|(path, (durable, _))| (path.clone(), durable.to_vec()))
            .collect()
    }

    /// Every file that a reader sees, with its bytes.
    #[must_use]
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.lock();
        let files = state.files.iter();
        files
            .filter_map(|(path, content)| Some((path.clone(), content.seen()?.clone())))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a changing operation does: to the running system alone, and to the medium too.
trait Effect {
    fn run(self, state: &mut State, durably: bool, torn: Option<usize>) -> io::Result<()>;
}

impl<F: FnOnce(&mut State, bool, Option<usize>) -> io::Result<()>> Effect for F {
    fn run(self, state: &mut State, durably: bool, torn: Option<usize>) -> io::Result<()> {
        self(state, durably, torn)
    }
}

impl State {
    /// The fault that strikes now, if one does.
    fn strikes(
        &mut self,
        operation: &'static str,
        any: &str,
    ) -> Result<Option<(io::ErrorKind, Fault)>, io::Error> {
        if self.dead {
            return Err(io::Error::other("the process has ended"));
        }
        let Some((after, name, kind, fault)) = self
            .armed
            .filter(|(_, name, ..)| *name == operation || *name == any)
        else {
            return Ok(None);
        };
        if after > 0 {
            self.armed = Some((after - 1, name, kind, fault));
            return Ok(None);
        }
        self.armed = None;
        self.struck = Some(operation);
        self.dead = fault == Fault::Dies;
        Ok(Some((kind, fault)))
    }

    /// Counts an operation and lets it take effect unless a fault forbids it.
    fn apply(&mut self, operation: &'static str, effect: impl Effect) -> io::Result<()> {
        self.operations += 1;
        let Some((kind, fault)) = self.strikes(operation, "any")? else {
            return effect.run(self, true, None);
        };
        match fault {
            Fault::Persisted => effect.run(self, true, None)?,
            Fault::NotDurable => effect.run(self, false, None)?,
            Fault::Torn(bytes) if operation == "write_at" => effect.run(self, true, Some(bytes))?,
            Fault::Unwinds => std::panic::resume_unwind(Box::new("as armed")),
            Fault::Dies => {}
            Fault::NotPersisted | Fault::Torn(_) => match operation {
                "sync_all" => self.files.values_mut().for_each(Content::lose),
                // Of which file is known to the effect alone.
                "sync" => effect.run(self, false, None)?,
                _ => {}
            },
        }
        Err(kind.into())
    }

    /// As [`Self::look`], at one file.
    fn look_at(&mut self, path: &str) -> io::Result<&mut Content> {
        if self.unreadable.as_deref() == Some(path) {
            return Err(io::Error::other("it cannot be read"));
        }
        self.look()?.file(path)
    }

    fn look(&mut self) -> io::Result<&mut Self> {
        match self.strikes("look", "look")? {
            Some((kind, _)) => Err(kind.into()),
            None => Ok(self),
        }
    }

    fn take_room(&mut self, bytes: u64) -> io::Result<()> {
        match &mut self.room {
            Some(room) if *room < bytes => Err(io::ErrorKind::StorageFull.into()),
            Some(room) => {
                *room -= bytes;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// A file that a reader sees.
    fn file(&mut self, path: &str) -> io::Result<&mut Content> {
        self.files
            .get_mut(path)
            .filter(|content| content.seen().is_some())
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change(&mut self, path: &str, change: Change) {
        self.files.entry(path.into()).or_default().change(change);
    }

    /// Gives a name to bytes that are on the medium.
    fn rename(&mut self, path: &str, bytes: Vec<u8>, durably: bool) {
        if durably {
            self.files.insert(path.into(), Content::durable(bytes));
        } else {
            self.change(path, Change::Renamed(bytes));
        }
    }
}

impl SimDisk {
    fn at(&self, path: &str) -> Box<dyn DiskFile> {
        Box::new(SimFile {
            disk: self.clone(),
            path: path.into(),
        })
    }
}

impl Disk for SimDisk {
    fn read_up_to(&self, path: &str, limit: u64) -> io::Result<Vec<u8>> {
        let mut state = self.lock();
        let content = state.look_at(path)?;
        let bytes = content.seen().cloned().unwrap_or_default();
        if bytes.len() as u64 > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(bytes)
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.lock().apply("write", |state: &mut State, _, _| {
            state.take_room(bytes.len() as u64)?;
            state.change(path, Change::Replaced(bytes.to_vec()));
            Ok(())
        })
    }

    fn publish(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.lock()
            .apply("publish", |state: &mut State, durably, _| {
                state.take_room(bytes.len() as u64)?;
                state.rename(path, bytes.to_vec(), durably);
                Ok(())
            })
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        self.lock().look_at(path)?;
        Ok(self.at(path))
    }

    fn allocate(&self, path: &str, len: u64) -> io::Result<Box<dyn DiskFile>> {
        // Made first and filled then, and who dies in between leaves it empty.
        self.lock().apply("allocate", |state: &mut State, _, _| {
            state.change(path, Change::Replaced(Vec::new()));
            Ok(())
        })?;
        let filled = self
            .lock()
            .apply("allocate", |state: &mut State, durably, _| {
                state.take_room(len)?;
                let zeros = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
                state.rename(path, zeros, durably);
                Ok(())
            });
        if let Err(error) = filled {
            self.remove(path).ok();
            return Err(error);
        }
        Ok(self.at(path))
    }

    fn open_or_create(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        self.lock()
            .apply("open_or_create", |state: &mut State, _, _| {
                if state.file(path).is_err() {
                    state.change(path, Change::Replaced(Vec::new()));
                }
                Ok(())
            })?;
        Ok(self.at(path))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.lock().apply("remove", |state: &mut State, _, _| {
            let below = format!("{path}/");
            let gone = |name: &str| name == path || name.starts_with(&below);
            for (_, content) in state.files.iter_mut().filter(|(name, _)| gone(name)) {
                content.change(Change::Removed);
            }
            Ok(())
        })
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let below = match path {
            "" => String::new(),
            path => format!("{path}/"),
        };
        let mut names: Vec<String> = self
            .lock()
            .look()?
            .files
            .iter()
            .filter(|(_, content)| content.seen().is_some())
            .filter_map(|(name, _)| name.strip_prefix(&below))
            .map(|rest| rest.split('/').next().unwrap_or(rest).to_owned())
            .collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.lock()
            .apply("sync_all", |state: &mut State, durably, _| {
                if durably {
                    state.files.values_mut().for_each(Content::sync_name);
                    state.files.retain(|_, content| !content.is_gone());
                } else {
                    state.files.values_mut().for_each(Content::lose);
                }
                Ok(())
            })
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    path: String,
}

impl DiskFile for SimFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let effect = |state: &mut State, _, torn: Option<usize>| {
            let bytes = torn.and_then(|n| bytes.get(..n)).unwrap_or(bytes);
            let offset = usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
            let held = state.file(&self.path)?.seen().map_or(0, Vec::len);
            let grown = (offset + bytes.len()).saturating_sub(held);
            state.take_room(grown as u64)?;
            let bytes = bytes.to_vec();
            state
                .file(&self.path)?
                .change(Change::Written { bytes, offset });
            Ok(())
        };
        self.disk.lock().apply("write_at", effect)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.lock();
        let bytes = state.look()?.file(&self.path)?.seen();
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let from = bytes
            .and_then(|bytes| bytes.get(offset..))
            .unwrap_or_default();
        let n = from.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..n), from.get(..n)) {
            to.copy_from_slice(from);
        }
        Ok(n)
    }

    fn sync(&self) -> io::Result<()> {
        let effect = |state: &mut State, durably, _| {
            let content = state.file(&self.path)?;
            if durably {
                content.sync();
            } else {
                content.lose();
            }
            Ok(())
        };
        self.disk.lock().apply("sync", effect)
    }

    fn len(&self) -> io::Result<u64> {
        let mut state = self.disk.lock();
        let bytes = state.look()?.file(&self.path)?.seen();
        Ok(bytes.map_or(0, |bytes| bytes.len() as u64))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let effect = |state: &mut State, _, _| {
            let len = usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
            state.file(&self.path)?.change(Change::Cut(len));
            Ok(())
        };
        self.disk.lock().apply("set_len", effect)
    }
}
