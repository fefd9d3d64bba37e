//! Files that others have put there keep nobody waiting and fill nobody's memory.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
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
        symlink(target, dir.path().join(link)).unwrap();
    }
    symlink("to-itself", dir.path().join("to-itself")).unwrap();
    drop(std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap());
    for path in [
        "pipe",
        "directory",
        "to-pipe",
        "to-device",
        "to-itself",
        "socket",
    ] {
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
fn what_is_no_directory_is_not_listed() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "whole").unwrap();
    symlink("to-itself", dir.path().join("to-itself")).unwrap();
    let disk = LocalDisk::at(dir.path());
    for path in ["file", "file/below", "to-itself"] {
        let refused = disk.list(path).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{path}");
    }
    assert_eq!(disk.list("missing").unwrap(), Vec::<String>::new());
    let below = disk.read("file/below").unwrap_err();
    assert_eq!(below.kind(), ErrorKind::NotADirectory);
}

#[test]
fn what_the_medium_does_not_give_back_is_said_to_be_so() {
    let dir = tempfile::tempdir().unwrap();
    // A regular file of which the first byte cannot be read.
    symlink("/proc/self/mem", dir.path().join("file")).unwrap();
    let disk = LocalDisk::at(dir.path());
    let refused = disk.read("file").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidData);
    let refused = disk.open("file").unwrap().read_at(&mut [0], 0).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidData);
}

#[test]
fn a_file_beyond_the_bound_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = std::fs::File::create(dir.path().join("sparse")).unwrap();
    file.set_len(MAX_READ_BYTES + 1).unwrap();
    let [read, opened] = looked_at(LocalDisk::at(dir.path()), "sparse");
    assert_eq!((read, opened), (Some(ErrorKind::FileTooLarge), None));
}
