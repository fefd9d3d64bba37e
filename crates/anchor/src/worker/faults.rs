//! Storing an anchor fails, in every way in which that can: what is recorded then is what lies there.

use super::{Shared, cosigned, stamped};
use crate::client::Client;
use crate::epochs::{Chain, first_key};
use crate::files::Files;
use crate::head::{Head, sha256};
use crate::settings::{Authority, Trusted};
use crate::standing::Board;
use crate::witness::Witness;
use evidence::{Options, Proofs, Recorder};
use jiff::Timestamp;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use storage::{Fault, SimDisk};
use testkit::authority::{Authority as OpenSsl, AuthorityServer, EC, ROOT};
use testkit::{Reply, Upstream};
use tlog::cosignature::{self, Cosigner};
use tlog::note::Note;
use tlog::policy::Policy;
use tlog::witness::AddCheckpoint;

/// Every way in which storing fails and the process goes on.
const FAULTS: [Fault; 3] = [Fault::NotPersisted, Fault::Persisted, Fault::NotDurable];

/// A log with a published head, whose anchors lie on `disk`.
async fn published(dir: &Path, disk: &SimDisk) -> (Recorder, Shared, Head) {
    let recorder = Recorder::open(Options::new(dir)).unwrap();
    let head = Head::from(recorder.publish().await.unwrap());
    let files = Files::on(Arc::new(disk.clone()));
    let log = first_key(dir).unwrap();
    let shared = Shared {
        keys: Chain::of(dir),
        origin: log.name().to_owned(),
        client: Client::new().unwrap(),
        board: Board::new(files.clone(), [], false),
        recorder: recorder.clone(),
        incident: AtomicBool::default(),
        files,
        policy: None,
    };
    (recorder, shared, head)
}

/// The one file of that name, as a power cut leaves it.
fn durable(disk: &SimDisk, name: &str) -> Vec<u8> {
    let mut files = disk.durable("anchors/").into_iter();
    let (_, bytes) = files.find(|(path, _)| path.ends_with(name)).unwrap();
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_that_is_told_of_is_the_one_that_lies_there() {
    let openssl = Arc::new(OpenSsl::new().unwrap());
    let server = AuthorityServer::start(openssl.clone(), EC).await.unwrap();
    let authority = Authority {
        name: "acme".into(),
        url: server.url(),
        trusted: Trusted::roots(&openssl.pem(ROOT).unwrap()).unwrap(),
        policy: None,
    };
    for fault in FAULTS {
        let (dir, disk) = (tempfile::tempdir().unwrap(), SimDisk::new());
        let (recorder, shared, head) = published(dir.path(), &disk).await;
        disk.arm(0, "publish", ErrorKind::Other, fault);
        assert!(stamped(&shared, &authority, &head).await.is_err());
        let first = disk
            .files()
            .remove(&format!("anchors/{:020}/acme.tsr", head.size));
        let had = stamped(&shared, &authority, &head).await.unwrap();
        let token = durable(&disk, "acme.tsr");
        assert_eq!(
            had.facts["token_sha256"],
            hex::encode(sha256(&token)),
            "{fault:?}"
        );
        assert!(
            first.is_none_or(|first| first == token),
            "{fault:?}: it was replaced"
        );
        // One that is not of this head is no answer, and is not replaced either.
        assert!(
            disk.edit(&format!("anchors/{:020}/acme.tsr", head.size), |bytes| {
                bytes.truncate(9)
            })
        );
        assert!(stamped(&shared, &authority, &head).await.is_err());
        assert_eq!(durable(&disk, "acme.tsr").len(), 9);
        recorder.close().await.unwrap();
    }
}

/// Cosigns whatever it is asked, a second later each time.
async fn witness_of_many_words() -> (Upstream, Cosigner) {
    let cosigner = || Cosigner::ed25519("example.com/w", &[1; 32]).unwrap();
    let start = u64::try_from(Timestamp::now().as_second()).unwrap();
    let seconds = AtomicU64::new(start);
    let upstream = Upstream::start(move |request| {
        let request = AddCheckpoint::parse(&request.body).unwrap();
        let now = seconds.fetch_add(1, Ordering::Relaxed);
        let now = cosignature::Timestamp::new(now).unwrap();
        let checkpoint = request.note().text().parse().unwrap();
        let line = cosigner().cosign(&checkpoint, now).unwrap();
        Reply::body(200, "text/plain", format!("{line}\n"))
    });
    (upstream.await.unwrap(), cosigner())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cosignature_that_is_told_of_is_the_one_that_lies_there() {
    let (upstream, cosigner) = witness_of_many_words().await;
    let policy = format!(
        "witness w {} {}\nquorum w\n",
        cosigner.verifying_key(),
        upstream.url()
    );
    let policy = Policy::parse(policy.as_bytes()).unwrap();
    for fault in FAULTS {
        let (dir, disk) = (tempfile::tempdir().unwrap(), SimDisk::new());
        let (recorder, shared, head) = published(dir.path(), &disk).await;
        let named = policy.witnesses().next().unwrap();
        let witness = Witness::new(named, Proofs::of(dir.path())).unwrap();
        // Another witness was there before: its line stays.
        let other = Cosigner::ed25519("example.com/other", &[2; 32]).unwrap();
        let checkpoint = head.note.text().parse().unwrap();
        let now = cosignature::Timestamp::new(1_700_000_000).unwrap();
        let other = other.cosign(&checkpoint, now).unwrap();
        shared.files.store_cosignature(&head, &other).unwrap();

        disk.arm(0, "publish", ErrorKind::Other, fault);
        assert!(cosigned(&shared, &witness, &head).await.is_err());
        let had = cosigned(&shared, &witness, &head).await.unwrap();
        let told = had.facts["signature"].as_str().unwrap();
        let note = Note::parse(&durable(&disk, "cosigned")).unwrap();
        let lines = note.signatures().iter().map(ToString::to_string);
        let lines: Vec<String> = lines.skip(head.note.signatures().len()).collect();
        assert_eq!(lines, [other.to_string(), told.to_owned()], "{fault:?}");
        recorder.close().await.unwrap();
    }
}
