//! A simulated disk as a directory, for those who read only such.

use std::path::Path;
use storage::{Disk, SimDisk};

/// Everything on the disk, in a directory.
fn unpack(disk: &dyn Disk, at: &str, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for name in disk.list(at.trim_end_matches('/')).unwrap() {
        let path = format!("{at}{name}");
        match disk.read(&path) {
            Ok(bytes) => std::fs::write(to.join(name), bytes).unwrap(),
            Err(_) => unpack(disk, &format!("{path}/"), &to.join(name)),
        }
    }
}

/// Where a store has files.
pub(crate) const ROOTS: [&str; 6] = ["anchors", "keys", "log", "vault", "wal", "recorder.tmp"];

/// The store on the disk, in a directory.
pub(crate) fn store(disk: &SimDisk, to: &Path) {
    for root in ROOTS {
        unpack(disk, &format!("{root}/"), &to.join(root));
    }
    for name in ["format", "state"] {
        if let Ok(bytes) = disk.read(name) {
            std::fs::write(to.join(name), bytes).unwrap();
        }
    }
}
