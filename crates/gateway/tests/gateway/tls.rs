//! HTTP/2 over real TLS to the upstream: streams flow, trailers pass, and a connection that the upstream is done with is
//! replaced.

use crate::rig::*;
use bytes::Bytes;
use event::{Role, State};
use gateway::Config;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::PrivateKeyDer;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

type Sender = hyper::client::conn::http2::SendRequest<Full<Bytes>>;
type Told = mpsc::Receiver<Frame<Bytes>>;

/// An HTTPS server of its own authority, which speaks HTTP/2 alone and answers with the frames it is told.
struct Secure {
    addr: SocketAddr,
    /// The authority's certificate.
    ca: Vec<u8>,
    connections: Arc<AtomicUsize>,
    tell: Vec<mpsc::Sender<Frame<Bytes>>>,
    /// Tells the newest connection that it takes no more requests.
    go_away: Arc<Notify>,
    /// Ends the newest connection without a word.
    cut: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Drop for Secure {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Secure {
    /// A server that answers this many requests.
    async fn new(answers: usize) -> Self {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (tell, told): (Vec<_>, Vec<_>) = (0..answers).map(|_| mpsc::channel(8)).unzip();
        let told: Arc<Mutex<Vec<Told>>> = Arc::new(Mutex::new(told.into_iter().rev().collect()));
        let (go_away, cut) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn({
            let (connections, go_away, cut) = (connections.clone(), go_away.clone(), cut.clone());
            async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let (acceptor, told) = (acceptor.clone(), told.clone());
                    let (connections, go_away, cut) =
                        (connections.clone(), go_away.clone(), cut.clone());
                    tokio::spawn(async move {
                        // A client that does not trust the certificate goes away.
                        let Ok(stream) = acceptor.accept(stream).await else {
                            return;
                        };
                        connections.fetch_add(1, Ordering::Relaxed);
                        let service = service_fn(move |request| answer(told.clone(), request));
                        let connection =
                            hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                                .serve_connection(TokioIo::new(stream), service);
                        let mut connection = std::pin::pin!(connection);
                        tokio::select! {
                            _ = &mut connection => return,
                            () = cut.notified() => return,
                            () = go_away.notified() => {}
                        }
                        connection.as_mut().graceful_shutdown();
                        connection.await.ok();
                    });
                }
            }
        });
        Self {
            addr,
            ca: cert.pem().into_bytes(),
            connections,
            tell,
            go_away,
            cut,
            task,
        }
    }

    fn trusted(&self, config: &mut Config) {
        let raw = config.upstreams.get_mut("raw").unwrap();
        raw.base_url = format!("https://localhost:{}", self.addr.port());
        raw.ca = Some(self.ca.clone());
    }
}

async fn answer(
    told: Arc<Mutex<Vec<Told>>>,
    request: http::Request<Incoming>,
) -> Result<http::Response<ToldBody>, Infallible> {
    assert_eq!(request.version(), http::Version::HTTP_2);
    let body = request.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "{}");
    let frames = told.lock().unwrap().pop().expect("a request too many");
    let response = http::Response::builder().header("content-type", "text/event-stream");
    Ok(response.body(ToldBody(frames)).unwrap())
}

/// A body of the frames that come through a channel.
struct ToldBody(Told);

impl Body for ToldBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

async fn agent(rig: &Rig) -> Sender {
    let (sender, connection) = hyper::client::conn::http2::handshake(
        TokioExecutor::new(),
        TokioIo::new(rig.connect().await),
    )
    .await
    .unwrap();
    tokio::spawn(connection);
    sender
}

fn ask(rig: &Rig) -> http::Request<Full<Bytes>> {
    http::Request::post(format!("http://{}/raw/h2", rig.addr))
        .body(Full::new(Bytes::from("{}")))
        .unwrap()
}

fn data(n: usize) -> Frame<Bytes> {
    Frame::data(Bytes::from(format!("data: {n}\n\n")))
}

fn trailers() -> Frame<Bytes> {
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-sum", http::HeaderValue::from_static("6"));
    Frame::trailers(trailers)
}

async fn next(answer: &mut Incoming) -> Frame<Bytes> {
    within(answer.frame()).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_and_its_trailers_pass() {
    let mut upstream = Secure::new(1).await;
    let rig = Rig::with(upstream.addr, |config| upstream.trusted(config)).await;
    let tell = upstream.tell.remove(0);
    let mut sender = agent(&rig).await;
    let answered = tokio::spawn(sender.send_request(ask(&rig)));
    tell.send(data(0)).await.unwrap();
    let mut answer = within(answered).await.unwrap().unwrap().into_body();
    assert_eq!(next(&mut answer).await.into_data().unwrap(), "data: 0\n\n");
    for n in 1..4 {
        // Each chunk comes before the next is sent.
        tell.send(data(n)).await.unwrap();
        let got = next(&mut answer).await.into_data().unwrap();
        assert_eq!(got, format!("data: {n}\n\n"));
    }
    tell.send(trailers()).await.unwrap();
    drop(tell);
    let got = next(&mut answer).await.into_trailers().unwrap();
    assert_eq!(got["x-sum"], "6");
    let (request, end) = rig.one().await;
    let http = request.http.as_ref().unwrap();
    let destination = format!("https://localhost:{}", upstream.addr.port());
    assert_eq!(http.destination.as_deref(), Some(destination.as_str()));
    assert_eq!(end.outcome.as_ref().unwrap().state, State::Completed);
    assert_eq!(
        text(&rig.body(&end, Role::Response)),
        "data: 0\n\ndata: 1\n\ndata: 2\n\ndata: 3\n\n"
    );
    assert_eq!(text(&rig.body(&end, Role::Trailers)), "x-sum: 6\r\n");
    assert!(text(&rig.body(&end, Role::ResponseHead)).starts_with("HTTP/2.0 200"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_goes_away_ends_what_it_began_and_is_asked_anew() {
    let mut upstream = Secure::new(2).await;
    let rig = Rig::with(upstream.addr, |config| upstream.trusted(config)).await;
    let mut sender = agent(&rig).await;
    let first = upstream.tell.remove(0);
    let answered = tokio::spawn(sender.send_request(ask(&rig)));
    first.send(data(0)).await.unwrap();
    let mut answer = within(answered).await.unwrap().unwrap().into_body();
    next(&mut answer).await;
    upstream.go_away.notify_one();
    first.send(data(1)).await.unwrap();
    assert_eq!(next(&mut answer).await.into_data().unwrap(), "data: 1\n\n");
    drop(first);
    let rest = within(answer.collect()).await.unwrap();
    assert_eq!(rest.to_bytes(), "");

    let second = upstream.tell.remove(0);
    let answered = tokio::spawn(sender.send_request(ask(&rig)));
    second.send(data(2)).await.unwrap();
    drop(second);
    let answer = within(answered).await.unwrap().unwrap().into_body();
    let body = within(answer.collect()).await.unwrap().to_bytes();
    assert_eq!(body, "data: 2\n\n");
    for (_, end) in rig.closed(2).await {
        assert_eq!(end.outcome.unwrap().state, State::Completed);
    }
    assert_eq!(upstream.connections.load(Ordering::Relaxed), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_is_reset_in_mid_stream_is_a_stream_error() {
    let mut upstream = Secure::new(1).await;
    let rig = Rig::with(upstream.addr, |config| upstream.trusted(config)).await;
    let mut sender = agent(&rig).await;
    let tell = upstream.tell.remove(0);
    let answered = tokio::spawn(sender.send_request(ask(&rig)));
    tell.send(data(0)).await.unwrap();
    let mut answer = within(answered).await.unwrap().unwrap().into_body();
    next(&mut answer).await;
    upstream.cut.notify_one();
    assert!(within(answer.frame()).await.unwrap().is_err());
    let (_, end) = rig.one().await;
    assert_eq!(end.outcome.as_ref().unwrap().state, State::StreamError);
    assert_eq!(rig.body_ref(&end, Role::Response).unwrap().len, 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let upstream = Secure::new(0).await;
    let rig = Rig::with(upstream.addr, |config| {
        upstream.trusted(config);
        config.upstreams.get_mut("raw").unwrap().ca = None;
    })
    .await;
    let mut sender = agent(&rig).await;
    let answer = within(sender.send_request(ask(&rig))).await.unwrap();
    assert_eq!(answer.status(), 502);
    let (_, end) = rig.one().await;
    let outcome = end.outcome.unwrap();
    assert_eq!(
        (outcome.error.as_deref(), outcome.reason.as_deref()),
        (
            Some("connect_failed"),
            Some("its certificate is not trusted")
        )
    );
}

#[test]
fn an_authority_that_is_none_is_an_error_before_anything_is_served() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    for pem in [
        "",
        "no certificate",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let recorder = evidence::Recorder::open(evidence::Options::new(dir.path())).unwrap();
        let mut config = Config::default();
        config.upstreams.get_mut("openai").unwrap().ca = Some(pem.as_bytes().to_vec());
        let error = gateway::Gateway::new(config, recorder.clone()).unwrap_err();
        assert!(error.to_string().contains("`openai`"), "{error}");
        runtime.block_on(recorder.close()).unwrap();
    }
}
