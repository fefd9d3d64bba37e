//! The simulated disk forgets at least what a real one may forget, and fails as a real one fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::io::ErrorKind;
use storage::{Disk, Fault, SimDisk};

/// Always the same of the fates: 0 is lost, 3 is whole.
fn all(fate: u64) -> impl FnMut(u64) -> u64 {
    move |n| fate.min(n - 1)
}

fn found(disk: &SimDisk, path: &str) -> Option<Vec<u8>> {
    disk.read(path).ok()
}

#[test]
fn what_is_not_synced_may_be_lost_or_kept() {
    let disk = SimDisk::new();
    disk.write("a", b"new").unwrap();
    disk.publish("b", b"kept").unwrap();
    let file = disk.allocate("c", 8).unwrap();
    file.write_at(b"123", 2).unwrap();
    let lost = disk.lose_power(&mut all(0));
    assert_eq!(found(&lost, "a"), None);
    assert_eq!(found(&lost, "b").unwrap(), b"kept");
    assert_eq!(found(&lost, "c").unwrap(), [0; 8]);
    let kept = disk.lose_power(&mut all(3));
    assert_eq!(found(&kept, "a").unwrap(), b"new");
    assert_eq!(found(&kept, "c").unwrap(), b"\0\x00123\0\0\0");
    file.sync().unwrap();
    assert_eq!(
        found(&disk.lose_power(&mut all(0)), "c").unwrap(),
        b"\0\x00123\0\0\0"
    );
    disk.sync_all().unwrap();
    assert_eq!(found(&disk.lose_power(&mut all(0)), "a").unwrap(), b"new");
}

#[test]
fn what_was_removed_may_come_back() {
    let disk = SimDisk::new();
    disk.publish("dir/a", b"old").unwrap();
    disk.remove("dir").unwrap();
    assert_eq!(found(&disk, "dir/a"), None);
    assert!(disk.list("dir").unwrap().is_empty());
    assert_eq!(
        found(&disk.lose_power(&mut all(0)), "dir/a").unwrap(),
        b"old"
    );
    assert_eq!(found(&disk.lose_power(&mut all(3)), "dir/a"), None);
    disk.sync_all().unwrap();
    assert_eq!(found(&disk.lose_power(&mut all(0)), "dir/a"), None);
}

#[test]
fn a_later_sync_does_not_make_up_for_one_that_failed() {
    let disk = SimDisk::new();
    let file = disk.allocate("a", 4).unwrap();
    file.write_at(b"xy", 0).unwrap();
    disk.arm(0, "sync", ErrorKind::Other, Fault::NotPersisted);
    assert!(file.sync().is_err());
    assert_eq!(found(&disk, "a").unwrap(), b"xy\0\0");
    file.write_at(b"z", 3).unwrap();
    file.sync().unwrap();
    assert_eq!(
        found(&disk.lose_power(&mut all(0)), "a").unwrap(),
        b"\0\0\0z"
    );
}

#[test]
fn a_write_is_torn_at_the_byte_that_was_named() {
    let disk = SimDisk::new();
    let file = disk.allocate("a", 4).unwrap();
    disk.arm(0, "any", ErrorKind::Other, Fault::Torn(2));
    assert!(file.write_at(b"wxyz", 0).is_err());
    assert_eq!(found(&disk, "a").unwrap(), b"wx\0\0");
}

#[test]
fn nothing_happens_after_the_process_has_ended() {
    let disk = SimDisk::new();
    disk.publish("a", b"1").unwrap();
    disk.arm(0, "any", ErrorKind::Other, Fault::Dies);
    assert!(disk.publish("a", b"2").is_err());
    assert!(disk.is_dead());
    assert!(disk.write("b", b"2").is_err() && disk.read("a").is_err());
    let next = disk.restart(&mut all(0));
    assert_eq!(
        next.files().into_iter().collect::<Vec<_>>(),
        [("a".to_owned(), b"1".to_vec())]
    );
}
