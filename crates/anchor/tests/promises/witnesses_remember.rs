//! A witness cosigns what continues what it remembers, across its own ends, and nothing else.

use crate::rig::{Witnessing, policy};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use std::path::Path;
use tlog::cosignature::Cosigner;
use tlog::note::{Note, SigningKey};
use tlog::witness::{AddCheckpoint, checkpoint_path};
use tlog::{Checkpoint, Frontier, Hash, leaf_hash, proof};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const ORIGIN: &str = "example.com/log";

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(ORIGIN, &[n; 32]).unwrap()
}

fn leaves(size: u64, history: &str) -> Vec<Hash> {
    // Histories part after the third leaf.
    (0..size)
        .map(|n| match n {
            0..3 => leaf_hash(&n.to_be_bytes()),
            n => leaf_hash(format!("{history}{n}").as_bytes()),
        })
        .collect()
}

fn checkpoint(size: u64, history: &str, by: u8) -> Note {
    let mut tree = Frontier::new();
    leaves(size, history)
        .iter()
        .for_each(|leaf| tree.push(*leaf));
    Checkpoint::new(ORIGIN, size, tree.root())
        .unwrap()
        .sign(&key(by))
        .unwrap()
}

fn request(old: u64, size: u64, history: &str, by: u8) -> Vec<u8> {
    let leaves = leaves(size, history);
    let node = |level: u8, index: u64| {
        let from = usize::try_from(index << level).ok()?;
        let mut tree = Frontier::new();
        leaves
            .get(from..from + (1 << level))?
            .iter()
            .for_each(|leaf| tree.push(*leaf));
        Some(tree.root())
    };
    let path = proof::consistency(old, size, node).unwrap();
    let request = AddCheckpoint::new(old, path, checkpoint(size, history, by)).unwrap();
    request.to_string().into_bytes()
}

async fn send(witness: &Witnessing, method: &str, path: &str, body: Vec<u8>) -> (u16, String) {
    let address = witness.url.strip_prefix("http://").unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = http::Request::builder()
        .method(method)
        .uri(format!("/{path}"))
        .header("host", address)
        .body(Full::new(bytes::Bytes::from(body)))
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn add(witness: &Witnessing, body: Vec<u8>) -> (u16, String) {
    send(witness, "POST", "add-checkpoint", body).await
}

async fn start(dir: &Path) -> Witnessing {
    Witnessing::start(dir, vec![key(1).verifying_key().clone()]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_refuses_forks_and_rollbacks_also_after_it_was_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let witness = start(dir.path()).await;
    assert_eq!(add(&witness, request(0, 5, "a", 1)).await.0, 200);
    let (status, cosignature) = add(&witness, request(5, 8, "a", 1)).await;
    assert_eq!(status, 200);
    let refused = [
        (request(5, 9, "a", 1), 409, "8\n"),
        (request(8, 9, "b", 1), 422, ""),
        (request(8, 9, "a", 2), 403, ""),
        (b"old 8\n".to_vec(), 400, ""),
    ];
    for (body, status, says) in &refused {
        let answer = add(&witness, body.clone()).await;
        assert!(
            answer.0 == *status && answer.1.starts_with(says),
            "{answer:?}"
        );
    }
    let first = witness.key.clone();
    witness.stop().await;

    let witness = start(dir.path()).await;
    assert_eq!(witness.key, first, "its key is for ever");
    for (body, status, _) in &refused {
        assert_eq!(add(&witness, body.clone()).await.0, *status);
    }
    // Asked again about what it knows, it says so again.
    assert_eq!(add(&witness, request(8, 8, "a", 1)).await.0, 200);
    let (status, stored) = send(&witness, "GET", &checkpoint_path(ORIGIN), Vec::new()).await;
    assert_eq!(status, 200);
    let note = Note::parse(stored.as_bytes()).unwrap();
    let policy = policy(&witness.key, &witness.url).with_log(key(1).verifying_key().clone());
    policy.accept(&note, None).unwrap();
    assert!(cosignature.starts_with("\u{2014} example.com/w "));
    assert_eq!(send(&witness, "GET", "nothing", Vec::new()).await.0, 404);
    assert_eq!(
        send(&witness, "GET", "keys/witness.key", Vec::new())
            .await
            .0,
        404
    );
    witness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_come_at_once_one_continues_and_the_other_conflicts() {
    let dir = tempfile::tempdir().unwrap();
    let witness = start(dir.path()).await;
    assert_eq!(add(&witness, request(0, 4, "a", 1)).await.0, 200);
    for round in 0..20 {
        let old = 4 + round;
        let (a, b) = tokio::join!(
            add(&witness, request(old, old + 1, "a", 1)),
            add(&witness, request(old, old + 1, "a", 1)),
        );
        let mut statuses = [a.0, b.0];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409]);
    }
    witness.stop().await;
}

fn hand_over(number: u64, size: u64, from: u8, to: u8) -> Vec<u8> {
    let second = Cosigner::ml_dsa_44(ORIGIN, &[to; 32]).unwrap();
    let text = format!(
        "tachograph/key-epoch/v1\n{ORIGIN}\nepoch {number}\nsize {size}\nroot {}\nkey {}\nkey {}\n",
        tlog::empty_root(),
        key(to).verifying_key(),
        second.verifying_key()
    );
    Note::sign(text, &[&key(to), &key(from)])
        .unwrap()
        .to_string()
        .into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_the_log_hands_over_to_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let witness = start(dir.path()).await;
    assert_eq!(add(&witness, request(0, 5, "a", 1)).await.0, 200);
    assert_eq!(add(&witness, request(5, 7, "a", 2)).await.0, 403);
    for (body, status) in [
        (hand_over(2, 5, 3, 2), 403),
        (hand_over(2, 5, 1, 2), 200),
        (hand_over(2, 5, 1, 2), 200),
        (hand_over(2, 5, 1, 4), 409),
        (b"nonsense".to_vec(), 400),
    ] {
        assert_eq!(
            send(&witness, "POST", "add-key-epoch", body).await.0,
            status
        );
    }
    witness.stop().await;
    let witness = start(dir.path()).await;
    // The old key says nothing any more, the new one does.
    assert_eq!(add(&witness, request(5, 7, "a", 1)).await.0, 403);
    assert_eq!(add(&witness, request(5, 7, "a", 2)).await.0, 200);
    witness.stop().await;
}

/// A witness that knows a log's keys up to one of them, and counts what it is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_renewed_its_key_often_tells_only_what_is_new() {
    let dir = tempfile::tempdir().unwrap();
    let record = dir.path().join("record");
    crate::rig::begin(&record).await;
    let vkey = std::fs::read_to_string(record.join("log/vkey")).unwrap();
    let vkey: tlog::note::VerifyingKey = vkey.trim_end().parse().unwrap();
    let witness = Witnessing::start(&dir.path().join("w"), vec![vkey]).await;
    let (front, posted) = counting(witness.url.clone()).await;
    let settings = anchor::Settings {
        witnesses: Some(policy(&witness.key, &front.url())),
        ..crate::rig::on_demand()
    };
    let posts = || posted.swap(0, std::sync::atomic::Ordering::SeqCst);
    // Known at once, then one hand-over at a time; then many while the witness was away.
    for (rotations, expected) in [(0, 0), (1, 1), (1, 1), (1, 1), (4, 4 + 3)] {
        let kept = crate::rig::Kept::start(&record, crate::rig::on_demand());
        for _ in 0..rotations {
            kept.append().await;
            kept.recorder.rotate().await.unwrap();
        }
        kept.close().await;
        let kept = crate::rig::Kept::start(&record, settings.clone());
        kept.append().await;
        let standing = kept.handle.anchor_now().await.unwrap();
        assert!(standing.anchors[0].failing.is_none(), "{standing:?}");
        kept.close().await;
        assert_eq!(posts(), expected, "{rotations} rotations");
    }
    witness.stop().await;
}

/// Passes everything on, and counts the hand-overs.
async fn counting(
    to: String,
) -> (
    testkit::Upstream,
    std::sync::Arc<std::sync::atomic::AtomicU64>,
) {
    let posted = std::sync::Arc::<std::sync::atomic::AtomicU64>::default();
    let count = posted.clone();
    let address = to.strip_prefix("http://").unwrap().to_owned();
    let front = testkit::Upstream::start(move |request| {
        if request.route() == "/add-key-epoch" {
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
        // Whoever answers runs beside it.
        tokio::task::block_in_place(|| forward(&address, request))
    });
    (front.await.unwrap(), posted)
}

fn forward(address: &str, request: &testkit::Request) -> testkit::Reply {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let head = format!(
        "{} {} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n\r\n",
        request.method,
        request.route(),
        request.body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&request.body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let media = head.to_lowercase();
    let media = media
        .lines()
        .find_map(|line| line.strip_prefix("content-type: "));
    testkit::Reply::body(status, media.unwrap_or("text/plain"), body.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_remembers_is_its_own_or_it_does_not_start() {
    use anchor::host::{Host, Options};
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let witness = start(dir.path()).await;
    assert_eq!(add(&witness, request(0, 5, "a", 1)).await.0, 200);
    let mode = std::fs::metadata(dir.path().join("keys/witness.key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let open = |name: Option<&str>| {
        Host::open(Options {
            dir: dir.path().to_owned(),
            name: name.map(str::to_owned),
            algorithm: None,
            logs: vec![key(1).verifying_key().clone()],
        })
    };
    assert!(
        open(None)
            .unwrap_err()
            .to_string()
            .contains("another witness")
    );
    witness.stop().await;
    assert!(open(Some("example.com/other")).is_err());
    let file = dir.path().join(checkpoint_path(ORIGIN));
    let good = std::fs::read_to_string(&file).unwrap();
    // An earlier state by another hand, and one that is cut.
    for bad in [
        checkpoint(3, "a", 1).to_string(),
        good[..good.len() / 2].to_owned(),
    ] {
        std::fs::write(&file, bad).unwrap();
        assert!(open(None).is_err());
    }
    std::fs::write(&file, good).unwrap();
    drop(open(None).unwrap());
    std::fs::remove_file(dir.path().join("keys/witness.key")).unwrap();
    assert!(open(None).unwrap_err().to_string().contains("missing"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_half_a_request_keeps_no_log_from_its_witness() {
    let dir = tempfile::tempdir().unwrap();
    let witness = start(dir.path()).await;
    let address = witness.url.strip_prefix("http://").unwrap();
    let mut idle = Vec::new();
    // More than there are places.
    for _ in 0..300 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let half = b"POST /add-checkpoint HTTP/1.1\r\nhost: w\r\ncontent-length: 100\r\n\r\nold";
        stream.write_all(half).await.unwrap();
        idle.push(stream);
    }
    let (status, said) = add(&witness, request(0, 3, "a", 1)).await;
    assert_eq!(status, 200, "{said}");
    for mut stream in idle {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 408 "), "{answer:?}");
    }
    witness.stop().await;
}
