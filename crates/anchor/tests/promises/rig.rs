//! A recorder with a keeper, and whoever it is anchored with.

use anchor::host::{Host, Options as HostOptions};
use anchor::{Authority, Handle, Keeper, Settings, Standing, Trusted};
use event::{Draft, Kind, Line, Source};
use evidence::{Options, Recorder, Store};
use serde_json::{Map, Value};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::authority::{Authority as OpenSsl, AuthorityServer, EC, ROOT};
use tlog::note::{Algorithm, VerifyingKey};
use tlog::policy::Policy;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long a state may take to come about.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Settings under which nothing is done but on demand and at the end.
pub(crate) fn on_demand() -> Settings {
    Settings {
        publish: Duration::from_secs(86_400),
        timestamp: Duration::from_secs(86_400),
        ..Settings::default()
    }
}

/// A running recorder that is kept anchored.
pub(crate) struct Kept {
    pub(crate) recorder: Recorder,
    pub(crate) handle: Handle,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Kept {
    pub(crate) fn start(dir: &Path, settings: Settings) -> Self {
        // No event but those of the test.
        Self::start_idling(dir, settings, Duration::from_secs(86_400))
    }

    /// With a heartbeat so often.
    pub(crate) fn start_idling(dir: &Path, settings: Settings, heartbeat: Duration) -> Self {
        let mut options = Options::new(dir);
        options.heartbeat = heartbeat;
        let recorder = Recorder::open(options).unwrap();
        let (keeper, handle) = Keeper::new(recorder.clone(), dir, settings).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(keeper.run(async { drop(stopped.await) }));
        Self {
            recorder,
            handle,
            stop,
            task,
        }
    }

    pub(crate) async fn append(&self) -> u64 {
        let draft = Draft::new(Kind::McpMessage, Source::Gateway);
        self.recorder.append(&draft).await.unwrap().seq
    }

    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Standing) -> bool) -> Standing {
        let begun = Instant::now();
        loop {
            let standing = self.handle.standing();
            if holds(&standing) {
                return standing;
            }
            assert!(begun.elapsed() < PATIENCE, "{what}: {standing:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn close(self) {
        drop(self.stop);
        self.task.await.unwrap();
        self.recorder.close().await.unwrap();
    }
}

/// The facts of every event of `kind`, in order.
pub(crate) fn facts(dir: &Path, kind: Kind) -> Vec<Map<String, Value>> {
    lines(dir)
        .into_iter()
        .filter(|line| line.kind == kind.as_str())
        .filter_map(|line| line.facts)
        .collect()
}

pub(crate) fn lines(dir: &Path) -> Vec<Line> {
    let store = Store::open(dir).unwrap();
    store
        .events(0)
        .map(|entry| Line::parse(&entry.unwrap().line).unwrap())
        .collect()
}

/// Makes an empty record with a log of its own and returns its key.
pub(crate) async fn begin(dir: &Path) -> VerifyingKey {
    let recorder = Recorder::open(Options::new(dir)).unwrap();
    recorder.close().await.unwrap();
    let vkey = std::fs::read_to_string(dir.join("log/vkey")).unwrap();
    vkey.trim_end().parse().unwrap()
}

/// A witness of this crate on a free port.
pub(crate) struct Witnessing {
    pub(crate) url: String,
    pub(crate) key: VerifyingKey,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Witnessing {
    pub(crate) async fn start(dir: &Path, logs: Vec<VerifyingKey>) -> Self {
        Self::start_by(dir, logs, None).await
    }

    /// One whose key signs so.
    pub(crate) async fn start_by(
        dir: &Path,
        logs: Vec<VerifyingKey>,
        algorithm: Option<Algorithm>,
    ) -> Self {
        let host = Host::open(HostOptions {
            dir: dir.to_owned(),
            name: Some("example.com/w".to_owned()),
            algorithm,
            logs,
        })
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let key = host.key().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = host.serve(listener, async { drop(stopped.await) });
        let task = tokio::spawn(async { served.await.unwrap() });
        Self {
            url,
            key,
            stop,
            task,
        }
    }

    pub(crate) async fn stop(self) {
        drop(self.stop);
        self.task.await.unwrap();
    }

    pub(crate) fn policy(&self) -> Policy {
        policy(&self.key, &self.url)
    }
}

pub(crate) fn policy(key: &VerifyingKey, url: &str) -> Policy {
    let text = format!("witness w {key} {url}\nquorum w\n");
    Policy::parse(text.as_bytes()).unwrap()
}

/// An authority of `openssl` on a free port, and how to trust it.
pub(crate) async fn authority(name: &str) -> (Arc<OpenSsl>, AuthorityServer, Authority) {
    let openssl = Arc::new(OpenSsl::new().unwrap());
    let server = AuthorityServer::start(openssl.clone(), EC).await.unwrap();
    let authority = Authority {
        name: name.to_owned(),
        url: server.url(),
        trusted: Trusted::roots(&openssl.pem(ROOT).unwrap()).unwrap(),
        policy: None,
    };
    (openssl, server, authority)
}

/// Copies a directory with all that is in it.
pub(crate) fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
