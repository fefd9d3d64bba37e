//! A disk in memory that forgets what was not synced and fails on demand.

use crate::{Disk, DiskFile};
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
    /// The thread that asked unwinds, as when the standard library finds that a directory cannot be closed.
    Unwinds,
}

#[derive(Debug, Default, Clone)]
struct Content {
    /// What a reader of the running system sees.
    volatile: Vec<u8>,
    /// What survives a power cut.
    durable: Vec<u8>,
    /// Whether the name itself survives a power cut.
    named: bool,
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

    /// Lets the `after`-th matching operation from now fail. `operation` is `write`, `publish`,
    /// `allocate`, `write_at`, `sync`, `sync_all` or `any`.
    pub fn arm(&self, after: u64, operation: &'static str, kind: io::ErrorKind, fault: Fault) {
        self.lock().armed = Some((after, operation, kind, fault));
    }

    /// Whether the armed fault has not struck yet.
    #[must_use]
    pub fn is_armed(&self) -> bool {
        self.lock().armed.is_some()
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
        self.lock().files.keys().cloned().collect()
    }

    /// A power cut: a new disk that holds what was durable. `keep` decides for each file what part
    /// of its unsynced bytes reached the medium all the same: it receives path, durable and volatile
    /// bytes and returns what is found afterwards.
    #[must_use]
    pub fn power_cut(&self, mut keep: impl FnMut(&str, &[u8], &[u8]) -> Vec<u8>) -> Self {
        let state = self.lock();
        let mut files = BTreeMap::new();
        for (path, content) in &state.files {
            if content.named {
                let found = keep(path, &content.durable, &content.volatile);
                files.insert(
                    path.clone(),
                    Content {
                        volatile: found.clone(),
                        durable: found,
                        named: true,
                    },
                );
            }
        }
        Self {
            state: Arc::new(Mutex::new(State {
                files,
                ..State::default()
            })),
        }
    }

    /// The bytes of a file as a running reader sees them, for tests that damage them.
    #[must_use]
    pub fn edit(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut state = self.lock();
        let Some(content) = state.files.get_mut(path) else {
            return false;
        };
        change(&mut content.volatile);
        content.durable.clone_from(&content.volatile);
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check_readable(&self, path: &str) -> io::Result<()> {
        match &self.unreadable {
            Some(unreadable) if unreadable == path => Err(io::Error::other("it cannot be read")),
            _ => Ok(()),
        }
    }

    /// Counts an operation and applies `effect` unless a fault forbids it.
    fn apply<T>(
        &mut self,
        operation: &'static str,
        effect: impl FnOnce(&mut Self) -> io::Result<T>,
    ) -> io::Result<T> {
        self.operations += 1;
        if let Some((after, name, kind, fault)) = self.armed
            && (name == operation || name == "any")
        {
            if after > 0 {
                self.armed = Some((after - 1, name, kind, fault));
            } else {
                self.armed = None;
                match fault {
                    Fault::NotPersisted => {}
                    Fault::Persisted => drop(effect(self)?),
                    Fault::Unwinds => std::panic::resume_unwind(Box::new("as armed")),
                }
                return Err(kind.into());
            }
        }
        effect(self)
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

    fn file(&mut self, path: &str) -> io::Result<&mut Content> {
        self.files
            .get_mut(path)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for SimDisk {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let mut state = self.lock();
        state.check_readable(path)?;
        Ok(state.file(path)?.volatile.clone())
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.lock().apply("write", |state| {
            state.take_room(bytes.len() as u64)?;
            let content = state.files.entry(path.into()).or_default();
            content.volatile = bytes.to_vec();
            Ok(())
        })
    }

    fn publish(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.lock().apply("publish", |state| {
            state.take_room(bytes.len() as u64)?;
            let content = Content {
                volatile: bytes.to_vec(),
                durable: bytes.to_vec(),
                named: true,
            };
            state.files.insert(path.into(), content);
            Ok(())
        })
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.lock();
        state.check_readable(path)?;
        state.file(path)?;
        drop(state);
        Ok(Box::new(SimFile {
            disk: self.clone(),
            path: path.into(),
        }))
    }

    fn allocate(&self, path: &str, len: u64) -> io::Result<Box<dyn DiskFile>> {
        self.lock().apply("allocate", |state| {
            state.take_room(len)?;
            let zeros = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
            state.files.insert(
                path.into(),
                Content {
                    volatile: zeros.clone(),
                    durable: zeros,
                    named: true,
                },
            );
            Ok(())
        })?;
        Ok(Box::new(SimFile {
            disk: self.clone(),
            path: path.into(),
        }))
    }

    fn open_or_create(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        self.lock().files.entry(path.into()).or_default();
        Ok(Box::new(SimFile {
            disk: self.clone(),
            path: path.into(),
        }))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut state = self.lock();
        let below = format!("{path}/");
        state
            .files
            .retain(|name, _| name != path && !name.starts_with(&below));
        Ok(())
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let below = match path {
            "" => String::new(),
            path => format!("{path}/"),
        };
        let mut names: Vec<String> = self
            .lock()
            .files
            .keys()
            .filter_map(|name| name.strip_prefix(&below))
            .map(|rest| rest.split('/').next().unwrap_or(rest).to_owned())
            .collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.lock().apply("sync_all", |state| {
            for content in state.files.values_mut() {
                content.durable.clone_from(&content.volatile);
                content.named = true;
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
        self.disk.lock().apply("write_at", |state| {
            let offset = usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
            let end = offset + bytes.len();
            let grown = end.saturating_sub(state.file(&self.path)?.volatile.len());
            state.take_room(grown as u64)?;
            let content = state.file(&self.path)?;
            if content.volatile.len() < end {
                content.volatile.resize(end, 0);
            }
            match content.volatile.get_mut(offset..end) {
                Some(slot) => slot.copy_from_slice(bytes),
                None => return Err(io::ErrorKind::InvalidInput.into()),
            }
            Ok(())
        })
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.lock();
        let content = state.file(&self.path)?;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let from = content.volatile.get(offset..).unwrap_or_default();
        let n = from.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(from) {
            *to = *from;
        }
        Ok(n)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.lock().apply("sync", |state| {
            let content = state.file(&self.path)?;
            content.durable.clone_from(&content.volatile);
            content.named = true;
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().file(&self.path)?.volatile.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.lock().apply("set_len", |state| {
            let len = usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
            state.file(&self.path)?.volatile.resize(len, 0);
            Ok(())
        })
    }
}
