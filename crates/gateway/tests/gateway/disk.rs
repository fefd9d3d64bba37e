//! A disk that can be told to stall, or to have no room.

use std::io;
use std::sync::{Arc, Condvar, Mutex};
use storage::{Disk, DiskFile, LocalDisk};

#[derive(Debug, Default)]
struct Mood {
    stalled: Mutex<bool>,
    changed: Condvar,
    full: Mutex<bool>,
}

/// The switches.
#[derive(Debug, Clone, Default)]
pub(crate) struct Switch(Arc<Mood>);

impl Switch {
    /// No sync returns while stalled.
    pub(crate) fn stall(&self, stalled: bool) {
        *self.0.stalled.lock().unwrap() = stalled;
        self.0.changed.notify_all();
    }

    /// Nothing new can be allocated while full.
    pub(crate) fn fill(&self, full: bool) {
        *self.0.full.lock().unwrap() = full;
    }

    fn wait(&self) {
        let mut stalled = self.0.stalled.lock().unwrap();
        while *stalled {
            stalled = self.0.changed.wait(stalled).unwrap();
        }
    }

    fn room(&self) -> io::Result<()> {
        if *self.0.full.lock().unwrap() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

#[derive(Debug)]
pub(crate) struct MoodyDisk {
    disk: LocalDisk,
    switch: Switch,
}

impl MoodyDisk {
    pub(crate) fn new(dir: &std::path::Path, switch: Switch) -> Self {
        Self {
            disk: LocalDisk::create(dir).unwrap(),
            switch,
        }
    }

    fn moody(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(MoodyFile {
            file,
            switch: self.switch.clone(),
        })
    }
}

impl Disk for MoodyDisk {
    fn read_up_to(&self, path: &str, limit: u64) -> io::Result<Vec<u8>> {
        self.disk.read_up_to(path, limit)
    }
    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.switch.room()?;
        self.disk.write(path, bytes)
    }
    fn publish(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.switch.room()?;
        self.disk.publish(path, bytes)
    }
    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.moody(self.disk.open(path)?))
    }
    fn allocate(&self, path: &str, len: u64) -> io::Result<Box<dyn DiskFile>> {
        self.switch.room()?;
        Ok(self.moody(self.disk.allocate(path, len)?))
    }
    fn open_or_create(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.moody(self.disk.open_or_create(path)?))
    }
    fn remove(&self, path: &str) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.disk.list(path)
    }
    fn sync_all(&self) -> io::Result<()> {
        self.switch.wait();
        self.disk.sync_all()
    }
}

#[derive(Debug)]
struct MoodyFile {
    file: Box<dyn DiskFile>,
    switch: Switch,
}

impl DiskFile for MoodyFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(bytes, offset)
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.switch.wait();
        self.file.sync()
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
}
