//! A directory of the local file system.
//!
//! The happy path of [`Disk::publish`]: open temp, write, fsync, close, rename, open dir, fsync dir.
//! Temporary files lie together in `recorder.tmp/`, which [`LocalDisk::sweep`] empties: a name of a process that was killed
//! may come again. A directory that is created is made durable in its parent before anything in it counts.
//! What remains: a file system that lies about `fsync` is not defended against here; anchors outside
//! the machine are what shows it.

use crate::regular::{is_of_no_file, open_regular, read_regular, unreadable};
use crate::{Disk, DiskFile};
use fs_err as fs;
use std::collections::HashSet;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Files under one directory.
#[derive(Debug)]
pub struct LocalDisk {
    root: PathBuf,
    /// Held open, because a system reports a failed write-back once, to whoever had the file system open then.
    held: Option<std::fs::File>,
    /// Directories whose names are durable.
    durable: Mutex<HashSet<PathBuf>>,
}

const TEMP: &str = "recorder.tmp";

/// Numbers the temporary files of this process: several parts of it may write into one directory.
static TURN: AtomicU64 = AtomicU64::new(0);

/// Zeros are written in pieces of this size when a file is allocated.
const ALLOCATE_PIECE: usize = 1 << 20;

impl LocalDisk {
    /// Opens `root`, creating it (mode 0700) where it is missing.
    ///
    /// # Errors
    /// The directory cannot be created.
    pub fn create(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&root)?;
        if let Some(parent) = root.canonicalize()?.parent() {
            sync_dir(parent)?;
        }
        let held = Some(fs::File::open(&root)?.into_parts().0);
        Ok(Self {
            held,
            ..Self::at(root)
        })
    }

    /// Removes what an earlier process left behind half written. Only whoever holds the directory's lock may.
    ///
    /// # Errors
    /// The system's.
    pub fn sweep(&self) -> io::Result<()> {
        match fs::remove_dir_all(self.root.join(TEMP)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Refers to an existing directory, for reading; nothing is created.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            held: None,
            durable: Mutex::default(),
        }
    }

    /// Takes everybody else's rights to the directory away.
    ///
    /// # Errors
    /// The directory belongs to another user.
    pub fn make_private(&self) -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&self.root, std::fs::Permissions::from_mode(0o700))
    }

    /// The directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn create_parent(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(parent) => std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(parent),
            None => Ok(()),
        }
    }

    /// Makes the names on the way from the root to `path` durable, and the last of them again and again: it is
    /// new each time.
    fn sync_names(&self, path: &Path) -> io::Result<()> {
        let mut synced = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        let dirs: Vec<&Path> = path
            .ancestors()
            .skip(1)
            .take_while(|dir| dir.starts_with(&self.root) && *dir != self.root)
            .filter(|dir| !synced.contains(*dir))
            .collect();
        for dir in dirs.into_iter().rev() {
            dir.parent().map_or(Ok(()), sync_dir)?;
            synced.insert(dir.to_path_buf());
        }
        drop(synced);
        path.parent().map_or(Ok(()), sync_dir)
    }

    /// Writes a temporary file and renames it over `target`.
    fn replace(&self, target: &Path, bytes: &[u8], durable: bool) -> io::Result<()> {
        use std::io::Write as _;
        // Private by default: everything in a store belongs to the recorder's user alone.
        let temp = self.root.join(TEMP).join(format!(
            "{}-{}",
            std::process::id(),
            TURN.fetch_add(1, Ordering::Relaxed)
        ));
        let open = || {
            std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&temp)
        };
        let mut file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.create_parent(&temp)?;
                open()?
            }
            other => other?,
        };
        let written = file
            .write_all(bytes)
            .and_then(|()| if durable { file.sync_all() } else { Ok(()) });
        drop(file);
        let renamed = written.and_then(|()| match fs::rename(&temp, target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.create_parent(target)?;
                fs::rename(&temp, target)
            }
            other => other,
        });
        if renamed.is_err() {
            // The temporary file is ours alone; a failure to remove it leaves litter, not harm.
            std::fs::remove_file(&temp).ok();
        }
        renamed?;
        if durable {
            self.sync_names(target)?;
        }
        Ok(())
    }
}

/// Whether listing failed because of what stands there, or on the way there.
fn is_of_no_directory(error: &io::Error) -> bool {
    is_of_no_file(error) || error.kind() == io::ErrorKind::NotADirectory
}

fn sync_dir(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

impl Disk for LocalDisk {
    fn read_up_to(&self, path: &str, limit: u64) -> io::Result<Vec<u8>> {
        read_regular(&self.path(path), limit)
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.replace(&self.path(path), bytes, false)
    }

    fn publish(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.replace(&self.path(path), bytes, true)
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        // An operator may keep old volumes elsewhere, and leave links.
        let file = open_regular(&self.path(path))?;
        Ok(Box::new(LocalFile { file }))
    }

    fn allocate(&self, path: &str, len: u64) -> io::Result<Box<dyn DiskFile>> {
        let target = self.path(path);
        self.create_parent(&target)?;
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&target)?;
        let allocated = (|| {
            // Real zeros rather than fallocate: unwritten extents would cost a journal commit at
            // every later fdatasync.
            let zeros = vec![0_u8; ALLOCATE_PIECE];
            let mut offset = 0;
            while offset < len {
                let piece = usize::try_from(len - offset)
                    .unwrap_or(ALLOCATE_PIECE)
                    .min(ALLOCATE_PIECE);
                file.write_all_at(zeros.get(..piece).unwrap_or(&zeros), offset)?;
                offset += piece as u64;
            }
            file.sync_all()?;
            self.sync_names(&target)
        })();
        if let Err(error) = allocated {
            std::fs::remove_file(&target).ok();
            return Err(error);
        }
        Ok(Box::new(LocalFile { file }))
    }

    fn open_or_create(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        let target = self.path(path);
        self.create_parent(&target)?;
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&target)?;
        Ok(Box::new(LocalFile { file }))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let target = self.path(path);
        let removed = match fs::symlink_metadata(&target) {
            Ok(meta) if meta.is_dir() => fs::remove_dir_all(&target),
            Ok(_) => fs::remove_file(&target),
            Err(error) => Err(error),
        };
        match removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(self.path(path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) if is_of_no_directory(&error) => {
                let detail = format!("{} is not a directory", self.path(path).display());
                return Err(io::Error::new(io::ErrorKind::InvalidInput, detail));
            }
            other => other?,
        };
        let mut names = Vec::new();
        for entry in entries {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn sync_all(&self) -> io::Result<()> {
        match &self.held {
            Some(held) => rustix::fs::syncfs(held)?,
            None => rustix::fs::syncfs(std::fs::File::open(&self.root)?)?,
        }
        Ok(())
    }
}

#[derive(Debug)]
struct LocalFile {
    file: std::fs::File,
}

impl DiskFile for LocalFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(&error)),
            }
        }
        Ok(done)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
}
