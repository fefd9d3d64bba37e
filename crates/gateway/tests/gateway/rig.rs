//! A gateway with its recorder, a scripted upstream, and a client that speaks raw bytes.

use crate::disk::{MoodyDisk, Switch};
use event::{BodyRef, Line, Role};
use evidence::{Options, Recorder, Store};
use gateway::{Config, Gateway, Sample, Upstream as Configured};
use hyper_util::rt::{TokioExecutor, TokioIo};
use protocol::UpstreamApi;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long anything may take before a test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct Rig {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) addr: SocketAddr,
    pub(crate) gateway: Gateway,
    pub(crate) recorder: Recorder,
    shutdown: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
}

impl Rig {
    /// A gateway with the upstreams `anthropic`, `openai`, `gemini` and `raw`, all at `upstream`.
    pub(crate) async fn new(upstream: SocketAddr) -> Self {
        Self::with(upstream, |_| {}).await
    }

    pub(crate) async fn with(upstream: SocketAddr, change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let recorder = Recorder::open(options(&dir)).unwrap();
        Self::recording(upstream, dir, recorder, change).await
    }

    /// As [`Self::with`], on a disk with switches.
    pub(crate) async fn on_disk(
        upstream: SocketAddr,
        switch: &Switch,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let disk = MoodyDisk::new(dir.path(), switch.clone());
        let recorder = Recorder::open_on(Arc::new(disk), None, &options(&dir)).unwrap();
        Self::recording(upstream, dir, recorder, change).await
    }

    async fn recording(
        upstream: SocketAddr,
        dir: tempfile::TempDir,
        recorder: Recorder,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = Config::default();
        for (name, path, api) in [
            ("anthropic", "", UpstreamApi::Anthropic),
            ("openai", "/v1", UpstreamApi::OpenAi),
            ("gemini", "", UpstreamApi::Gemini),
            ("raw", "/base", UpstreamApi::Raw),
        ] {
            let base_url = format!("http://{upstream}{path}");
            config.upstreams.insert(
                name.to_owned(),
                Configured {
                    base_url,
                    api,
                    ca: None,
                },
            );
        }
        config.limits.drain = Duration::from_millis(200);
        // The names that the tests' requests are for.
        config.access.hosts = ["g", "gateway"].map(str::to_owned).to_vec();
        change(&mut config);
        let gateway = Gateway::new(config, recorder.clone()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (shutdown, stop) = oneshot::channel::<()>();
        let serving = tokio::spawn({
            let gateway = gateway.clone();
            async move {
                gateway
                    .serve(listener, async {
                        stop.await.ok();
                    })
                    .await;
            }
        });
        Self {
            dir,
            addr,
            gateway,
            recorder,
            shutdown: Some(shutdown),
            serving: Some(serving),
        }
    }

    /// Stops accepting and waits for the end.
    pub(crate) async fn stop(&mut self) {
        self.shutdown.take().unwrap().send(()).unwrap();
        within(self.serving.take().unwrap()).await.unwrap();
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    /// A connection of HTTP/2, by prior knowledge.
    pub(crate) async fn http2<B>(&self) -> hyper::client::conn::http2::SendRequest<B>
    where
        B: hyper::body::Body<Data: Send, Error: std::error::Error + Send + Sync>
            + Send
            + Unpin
            + 'static,
    {
        let io = TokioIo::new(self.connect().await);
        let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
            .await
            .unwrap();
        tokio::spawn(connection);
        sender
    }

    /// Waits until the gateway's figures are as `wanted`.
    pub(crate) async fn shows(&self, wanted: impl Fn(&Sample) -> bool) {
        let figures = self.gateway.figures();
        within(async {
            while !wanted(&figures.sample()) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }

    /// Sends a request on a connection of its own and returns all that comes back until the connection ends.
    pub(crate) async fn exchange(&self, request: &[u8]) -> Vec<u8> {
        let mut stream = self.connect().await;
        stream.write_all(request).await.unwrap();
        to_end(&mut stream).await
    }

    /// Every event of the store.
    pub(crate) fn lines(&self) -> Vec<Line> {
        lines(self.dir.path())
    }

    /// Events of these kinds, in order.
    pub(crate) fn of(&self, kinds: &[&str]) -> Vec<Line> {
        self.lines()
            .into_iter()
            .filter(|line| kinds.contains(&line.kind.as_str()))
            .collect()
    }

    /// Waits until `count` calls are closed, and returns their requests and ends.
    pub(crate) async fn closed(&self, count: usize) -> Vec<(Line, Line)> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let lines = self.lines();
            let ends: Vec<_> = lines
                .iter()
                .filter(|line| {
                    line.exchange
                        .as_ref()
                        .is_some_and(|exchange| exchange.call.is_some())
                })
                .filter(|line| line.outcome.is_some())
                .collect();
            if ends.len() >= count {
                let request = |end: &Line| {
                    let call = end.exchange.as_ref().unwrap().call.unwrap();
                    lines.iter().find(|line| line.seq == call).unwrap().clone()
                };
                assert_eq!(ends.len(), count, "more calls were closed than expected");
                return ends
                    .into_iter()
                    .map(|end| (request(end), end.clone()))
                    .collect();
            }
            assert!(
                Instant::now() < deadline,
                "{} of {count} calls closed",
                ends.len()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The one call's request and end.
    pub(crate) async fn one(&self) -> (Line, Line) {
        self.closed(1).await.remove(0)
    }

    /// The bytes of an event's body.
    pub(crate) fn body(&self, line: &Line, role: Role) -> Vec<u8> {
        let Some(body) = self.body_ref(line, role) else {
            return Vec::new();
        };
        Store::open(self.dir.path()).unwrap().body(&body).unwrap()
    }

    pub(crate) fn body_ref(&self, line: &Line, role: Role) -> Option<BodyRef> {
        line.bodies.iter().find(|body| body.role == role).cloned()
    }
}

fn options(dir: &tempfile::TempDir) -> Options {
    let mut options = Options::new(dir.path());
    options.segment_bytes = 4 << 20;
    options
}

/// Waits until the upstream has seen as many requests.
pub(crate) async fn until_seen(upstream: &Upstream, count: usize) {
    within(async {
        while upstream.seen().len() < count {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// Bytes that no text survives: every value, in no order.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
    .take(len)
    .collect()
}

/// Every event of a store.
pub(crate) fn lines(dir: &Path) -> Vec<Line> {
    let store = Store::open(dir).unwrap();
    store
        .events(0)
        .map(|entry| Line::parse(&entry.unwrap().line).unwrap())
        .collect()
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .expect("took too long")
}

/// Reads until the connection ends, in whichever way.
pub(crate) async fn to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match within(stream.read(&mut buffer)).await {
            Ok(0) | Err(_) => return all,
            Ok(n) => all.extend_from_slice(&buffer[..n]),
        }
    }
}

/// Reads until `wanted` has arrived.
pub(crate) async fn until(stream: &mut TcpStream, got: &mut Vec<u8>, wanted: &[u8]) {
    let mut buffer = vec![0; 64 * 1024];
    while find(got, wanted).is_none() {
        let n = within(stream.read(&mut buffer)).await.unwrap();
        assert!(n > 0, "ended before {:?}: {:?}", text(wanted), text(got));
        got.extend_from_slice(&buffer[..n]);
    }
}

pub(crate) fn find(all: &[u8], part: &[u8]) -> Option<usize> {
    all.windows(part.len()).position(|window| window == part)
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A request as an upstream received it, to the byte.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// An upstream that does as it is told.
pub(crate) struct Upstream {
    pub(crate) addr: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Upstream {
    /// Reads a request on each connection, then hands the connection to the script.
    pub(crate) async fn scripted<F, R>(script: F) -> Self
    where
        F: Fn(Seen, TcpStream) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = ()> + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn({
            let seen = seen.clone();
            async move {
                loop {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    stream.set_nodelay(true).unwrap();
                    let (script, seen) = (script.clone(), seen.clone());
                    tokio::spawn(async move {
                        let Some(request) = read_request(&mut stream).await else {
                            return;
                        };
                        seen.lock().unwrap().push(request.clone());
                        script(request, stream).await;
                    });
                }
            }
        });
        Self { addr, seen, task }
    }

    /// Answers every request with these bytes and closes.
    pub(crate) async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Arc<[u8]> = answer.into().into();
        Self::scripted(move |_, mut stream| {
            let answer = answer.clone();
            async move {
                stream.write_all(&answer).await.ok();
                stream.shutdown().await.ok();
                // The other side closes when it has read all: nothing is lost to a reset.
                to_end(&mut stream).await;
            }
        })
        .await
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// Closes a connection with a reset.
pub(crate) fn reset(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
    drop(stream);
}

async fn read_request(stream: &mut TcpStream) -> Option<Seen> {
    let mut got = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let head_end = loop {
        if let Some(at) = find(&got, b"\r\n\r\n") {
            break at + 4;
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(n) => got.extend_from_slice(&buffer[..n]),
        }
    };
    let head = text(&got[..head_end]);
    let mut body = got.split_off(head_end);
    let lower = head.to_ascii_lowercase();
    let length = lower
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .map(|value| value.trim().parse::<usize>().unwrap());
    let chunked = is_chunked(&lower);
    loop {
        let done = match length {
            Some(length) => body.len() >= length,
            None => {
                !chunked
                    || find(&body, b"0\r\n\r\n").is_some()
                    || find(&body, b"\r\n0\r\n").is_some()
            }
        };
        if done {
            return Some(Seen { head, body });
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(n) => body.extend_from_slice(&buffer[..n]),
        }
    }
}

/// Whether a head in lower case says that its body is chunked.
fn is_chunked(head: &str) -> bool {
    let mut lines = head.lines();
    lines.any(|line| line.starts_with("transfer-encoding:") && line.ends_with("chunked"))
}

/// A request with a body, on a connection that is closed after it.
pub(crate) fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// An answer with a length.
pub(crate) fn ok(media: &str, body: &[u8]) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {media}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(body);
    answer
}

/// One chunk of a chunked body.
pub(crate) fn chunk(data: &[u8]) -> Vec<u8> {
    let mut out = format!("{:x}\r\n", data.len()).into_bytes();
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
    out
}

/// The head of a chunked answer.
pub(crate) fn chunked_head(media: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Type: {media}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
        .into_bytes()
}

/// Takes a raw answer apart: its head, and its body with chunked framing undone. `None` where the framing has no end.
pub(crate) fn parted(answer: &[u8]) -> (String, Vec<u8>, bool) {
    let at =
        find(answer, b"\r\n\r\n").unwrap_or_else(|| panic!("no head in {:?}", text(answer))) + 4;
    let head = text(&answer[..at]);
    let body = &answer[at..];
    let lower = head.to_ascii_lowercase();
    if !is_chunked(&lower) {
        let length = lower
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"));
        let whole = length.is_none_or(|value| value.trim().parse::<usize>().unwrap() == body.len());
        return (head, body.to_vec(), whole);
    }
    let (mut out, mut rest) = (Vec::new(), body);
    loop {
        let Some(at) = find(rest, b"\r\n") else {
            return (head, out, false);
        };
        let size = usize::from_str_radix(text(&rest[..at]).trim(), 16).unwrap();
        rest = &rest[at + 2..];
        if size == 0 {
            return (head, out, rest.ends_with(b"\r\n"));
        }
        if rest.len() < size + 2 {
            return (head, out, false);
        }
        out.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
}
