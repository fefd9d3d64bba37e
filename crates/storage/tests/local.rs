//! Files that others have put there keep nobody waiting and fill nobody's memory.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::io::ErrorKind;
use std::sync::mpsc;
use std::time::Duration;
use storage::{Disk as _, LocalDisk, MAX_READ_BYTES};

/// What comes of reading and of opening a file; a test that would wait for ever fails instead.
fn looked_at(disk: LocalDisk, path: &'static str) -> [Option<ErrorKind>; 2] {
    let (done, outcome) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let read = disk.read(path).err().map(|error| error.kind());
        let opened = disk.open(path).err().map(|error| error.kind());
        done.send([read, opened]).unwrap();
    });
    let outcome = outcome.recv_timeout(Duration::from_secs(60));
    outcome.unwrap_or_else(|_| panic!("{path} keeps its reader waiting"))
}

#[test]
fn only_a_regular_file_is_read() {
    let dir = tempfile::tempdir().unwrap();
    mknodat(
        CWD,
        dir.path().join("pipe"),
        FileType::Fifo,
        Mode::RUSR | Mode::WUSR,
        0,
    )
    .unwrap();
    std::fs::create_dir(dir.path().join("directory")).unwrap();
    std::fs::write(dir.path().join("file"), "whole").unwrap();
    for (link, target) in [
        ("to-pipe", "pipe"),
        ("to-device", "/dev/zero"),
        ("to-file", "file"),
    ] {
        std::os::unix::fs::symlink(target, dir.path().join(link)).unwrap();
    }
    for path in ["pipe", "directory", "to-pipe", "to-device"] {
        let refused = [Some(ErrorKind::InvalidInput); 2];
        assert_eq!(
            looked_at(LocalDisk::at(dir.path()), path),
            refused,
            "{path}"
        );
    }
    let disk = LocalDisk::at(dir.path());
    assert_eq!(disk.read("to-file").unwrap(), b"whole");
    assert_eq!(
        disk.open("missing").unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(
        disk.read("missing").unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[test]
fn a_file_beyond_the_bound_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = std::fs::File::create(dir.path().join("sparse")).unwrap();
    file.set_len(MAX_READ_BYTES + 1).unwrap();
    let [read, opened] = looked_at(LocalDisk::at(dir.path()), "sparse");
    assert_eq!((read, opened), (Some(ErrorKind::FileTooLarge), None));
}
