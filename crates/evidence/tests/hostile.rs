//! A store from somebody who means harm: whoever verifies it is not kept waiting and does not run out of memory, and what
//! stands in the place of a file and is none weighs as much wherever it stands.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use event::{Draft, Kind, Role, Source};
use evidence::verify::{Options as Brings, Subject, Verdict};
use evidence::{Error, Options, Recorder, verify};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use storage::{Disk, DiskFile, LocalDisk};

async fn recorded(dir: &Path) {
    let recorder = Recorder::open(Options {
        segment_bytes: 1 << 18,
        ..Options::new(dir)
    })
    .unwrap();
    let mut draft = Draft::new(Kind::McpMessage, Source::Gateway);
    let body = recorder.put(Role::Request, None, None, b"body").await;
    draft.bodies.push(body.unwrap());
    recorder.append(&draft).await.unwrap();
    recorder.publish().await.unwrap();
    recorder.close().await.unwrap();
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// The exit code of a verification, and the claim that the first fault refutes, by the fault's word.
type Judged = (u8, Option<(Subject, String)>);

fn judged(disk: Arc<dyn Disk>) -> Judged {
    match verify::run_on(disk, &Brings::default(), &mut |_| ()) {
        Ok(report) => {
            let first = report.faults.first();
            // What is wrong with the vault hides nothing of the events.
            let content = report.verdict(Subject::Content);
            let of_bodies = first.is_some_and(|fault| fault.claim == Subject::Bodies);
            assert!(!of_bodies || content == Some(Verdict::Valid), "{report:?}");
            let first = first.map(|fault| (fault.claim, fault.what.clone()));
            for claim in &report.claims {
                // Whatever is not valid says why.
                assert!(!claim.detail.is_empty(), "{claim:?}");
            }
            (report.exit_code(), first)
        }
        Err(error) if error.is_absence() => (12, None),
        Err(Error::Newer { .. }) => (12, None),
        Err(error) => panic!("no verdict: {error}"),
    }
}

/// As [`judged`]. A test that would wait for ever fails instead.
fn judged_in_time(dir: &Path) -> Judged {
    let (done, outcome) = mpsc::sync_channel(1);
    let disk = Arc::new(LocalDisk::at(dir));
    std::thread::spawn(move || done.send(judged(disk)).unwrap());
    let outcome = outcome.recv_timeout(Duration::from_secs(60));
    outcome.unwrap_or_else(|_| panic!("verification of {} waits, or panicked", dir.display()))
}

fn put(path: &Path, kind: &str) {
    match kind {
        "pipe" => mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap(),
        "directory" => std::fs::create_dir(path).unwrap(),
        "loop" => symlink(path, path).unwrap(),
        "socket" => drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
        "endless" => std::fs::File::create(path)
            .unwrap()
            .set_len(1 << 40)
            .unwrap(),
        device => symlink(device, path).unwrap(),
    }
}

const KINDS: [&str; 9] = [
    "pipe",
    "directory",
    "loop",
    "socket",
    "endless",
    "/dev/zero",
    "/dev/null",
    "/dev/tty",
    // A regular file whose first byte cannot be read.
    "/proc/self/mem",
];

/// Where something may stand, and what it speaks against.
fn places(dir: &Path) -> Vec<(String, Option<Subject>)> {
    let anchor = std::fs::read_dir(dir.join("anchors")).unwrap();
    let anchor = anchor.map(|entry| entry.unwrap().path()).next().unwrap();
    let below = |path: PathBuf| path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
    let mut found = vec![
        ("format".to_owned(), Some(Subject::Content)),
        ("state".to_owned(), Some(Subject::Sequence)),
        ("log/checkpoint".to_owned(), Some(Subject::Signature)),
        ("log/vkey".to_owned(), Some(Subject::Epoch)),
        (below(anchor.join("checkpoint")), Some(Subject::Signature)),
        (below(anchor.join("cosigned")), Some(Subject::Witnesses)),
        (below(anchor.join("tsa.tsr")), Some(Subject::Time)),
        ("vault/0000000001.vol".to_owned(), Some(Subject::Bodies)),
        ("vault/0000000001.key".to_owned(), Some(Subject::Bodies)),
        (
            "vault/salts/00000000.seed".to_owned(),
            Some(Subject::Bodies),
        ),
        // A key is no evidence.
        ("keys/vault.key".to_owned(), None),
    ];
    let mut tiles = Vec::new();
    files(&dir.join("log/tile"), &mut tiles);
    assert_eq!(tiles.len(), 2, "{tiles:?}");
    found.extend(
        tiles
            .into_iter()
            .map(|path| (below(path), Some(Subject::Content))),
    );
    found
}

#[tokio::test]
async fn what_is_no_file_weighs_alike_wherever_it_stands() {
    let dir = tempfile::tempdir().unwrap();
    recorded(dir.path()).await;
    for (name, claim) in places(dir.path()) {
        let path = dir.path().join(&name);
        let whole = std::fs::read(&path).ok();
        for kind in KINDS {
            std::fs::remove_file(&path).ok();
            put(&path, kind);
            let found = judged_in_time(dir.path());
            let word = match kind {
                // The events say what it held.
                _ if name.starts_with("log/tile/0/") => "tile",
                "endless" | "/proc/self/mem" => "corrupt",
                _ => "altered",
            };
            let code = if claim.is_some() { 10 } else { 0 };
            let refuted = claim.map(|claim| (claim, word.to_owned()));
            assert_eq!(found, (code, refuted), "{kind} as {name}");
            if kind == "directory" {
                std::fs::remove_dir(&path).unwrap();
            } else {
                std::fs::remove_file(&path).unwrap();
            }
        }
        if let Some(whole) = whole {
            std::fs::write(&path, whole).unwrap();
        }
    }
    assert_eq!(judged_in_time(dir.path()), (0, None));
}

#[tokio::test]
async fn what_is_no_directory_is_an_alteration() {
    for (name, claim) in [
        ("anchors", Subject::Time),
        ("anchors/00000000000000000001", Subject::Time),
        ("wal", Subject::Content),
        ("log", Subject::Epoch),
        ("log/tile/entries", Subject::Content),
        ("vault", Subject::Bodies),
        ("vault/salts", Subject::Bodies),
    ] {
        for kind in ["file", "pipe", "loop", "/dev/zero"] {
            let dir = tempfile::tempdir().unwrap();
            recorded(dir.path()).await;
            let path = dir.path().join(name);
            std::fs::remove_dir_all(&path).ok();
            match kind {
                "file" => std::fs::write(&path, "no directory").unwrap(),
                kind => put(&path, kind),
            }
            let found = judged_in_time(dir.path());
            let refuted = Some((claim, "altered".to_owned()));
            assert_eq!(found, (10, refuted), "{kind} as {name}");
        }
    }
}

/// A disk on which one file may not be read, or is not there.
#[derive(Debug)]
struct Without {
    disk: LocalDisk,
    path: String,
    kind: std::io::ErrorKind,
}

impl Without {
    fn look(&self, path: &str) -> std::io::Result<()> {
        if path == self.path {
            return Err(self.kind.into());
        }
        Ok(())
    }
}

impl Disk for Without {
    fn read_up_to(&self, path: &str, limit: u64) -> std::io::Result<Vec<u8>> {
        self.look(path)?;
        self.disk.read_up_to(path, limit)
    }
    fn open(&self, path: &str) -> std::io::Result<Box<dyn DiskFile>> {
        self.look(path).and_then(|()| self.disk.open(path))
    }
    fn list(&self, path: &str) -> std::io::Result<Vec<String>> {
        let names = self.disk.list(path)?;
        let is_there = |name: &String| {
            let here = format!("{path}/{name}") == self.path;
            !here || self.kind != std::io::ErrorKind::NotFound
        };
        Ok(names.into_iter().filter(is_there).collect())
    }
    fn write(&self, path: &str, _: &[u8]) -> std::io::Result<()> {
        panic!("verification writes {path}")
    }
    fn publish(&self, path: &str, _: &[u8]) -> std::io::Result<()> {
        panic!("verification writes {path}")
    }
    fn allocate(&self, path: &str, _: u64) -> std::io::Result<Box<dyn DiskFile>> {
        panic!("verification writes {path}")
    }
    fn open_or_create(&self, path: &str) -> std::io::Result<Box<dyn DiskFile>> {
        panic!("verification writes {path}")
    }
    fn remove(&self, path: &str) -> std::io::Result<()> {
        panic!("verification removes {path}")
    }
    fn sync_all(&self) -> std::io::Result<()> {
        panic!("verification writes")
    }
}

#[tokio::test]
async fn what_may_not_be_read_weighs_as_much_as_what_is_missing() {
    use std::io::ErrorKind::{NotFound, PermissionDenied};
    let dir = tempfile::tempdir().unwrap();
    recorded(dir.path()).await;
    // A directory with nothing in it is what is left of a publication that broke off.
    for entry in std::fs::read_dir(dir.path().join("anchors")).unwrap() {
        std::fs::write(entry.unwrap().path().join("more"), "").unwrap();
    }
    for (path, _) in places(dir.path()) {
        let code = |kind| {
            let disk = LocalDisk::at(dir.path());
            let path = path.clone();
            judged(Arc::new(Without { disk, path, kind })).0
        };
        assert_eq!(code(PermissionDenied), code(NotFound), "{path}");
    }
}
