//! Accepting agents: connections, their bound, and the orderly end.

use crate::admission::Admission;
use crate::body::{Broken, RelayBody, Reply};
use crate::config::{Config, ConfigError};
use crate::context::Context;
use crate::figures::{Figures, Gauge};
use crate::malformed;
use crate::route::Route;
use crate::wire::{Outflow, Wire};
use bytes::Bytes;
use evidence::Recorder;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use rustix::net::sockopt;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Largest read from an agent's connection in bytes, and the bound of a request's head. Each connection may hold as much
/// beside the budget of bodies; many read less at a time.
pub(crate) const READ_BYTES: usize = 32 * 1024;

/// What an agent may send ahead of its being read over HTTP/2, in bytes: of one request, and of a connection's together.
const HTTP2_WINDOWS: (u32, u32) = (128 * 1024, 256 * 1024);

/// How long a connection may be idle between requests, or take for a request's head.
const HEAD_PATIENCE: Duration = Duration::from_mins(2);

/// How long calls that were ended by force have to be recorded.
const LAST_CALLS: Duration = Duration::from_secs(5);

/// How long connections have to pass on what is released, after the last call was ended by force.
const LAST_BYTES: Duration = Duration::from_millis(250);

/// The agent-facing data plane.
#[derive(Clone)]
pub struct Gateway {
    ctx: Arc<Context>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway")
            .field("upstreams", &self.ctx.upstreams.keys())
            .finish_non_exhaustive()
    }
}

impl Gateway {
    /// A data plane that records into `recorder`.
    ///
    /// # Errors
    /// The configuration names or addresses something that cannot be served.
    pub fn new(config: Config, recorder: Recorder) -> Result<Self, ConfigError> {
        Ok(Self {
            ctx: Arc::new(Context::new(config, recorder)?),
        })
    }

    /// Live figures.
    #[must_use]
    pub fn figures(&self) -> Arc<Figures> {
        self.ctx.figures.clone()
    }

    /// What the local socket shares with the listener.
    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.ctx
    }

    /// Serves HTTP/1.1 and HTTP/2 (by prior knowledge) on one port until `shutdown` resolves. Then accepts nothing more,
    /// lets open calls end within `limits.drain`, and ends the others: they are recorded as `expired`.
    pub async fn serve(&self, listener: TcpListener, shutdown: impl Future<Output = ()> + Send) {
        let graceful = GracefulShutdown::new();
        let (open, mut all_closed) = mpsc::channel::<()>(1);
        let places = Arc::new(Semaphore::new(
            self.ctx.limits.connections.clamp(1, Semaphore::MAX_PERMITS),
        ));
        let address = listener.local_addr().ok().map(|address| address.ip());
        let admission = Arc::new(Admission::new(self.ctx.access.clone(), address));
        let accepting = async {
            loop {
                let Ok(place) = places.clone().acquire_owned().await else {
                    return;
                };
                match listener.accept().await {
                    Ok((stream, peer)) => {
                        let life = Life {
                            admission: admission.clone(),
                            asked: Arc::default(),
                            place: Arc::new(place),
                            open: open.downgrade(),
                        };
                        self.connect(stream, peer.ip(), &graceful, life);
                    }
                    Err(error) => {
                        // The descriptor limit, or a connection that was gone before it was taken.
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            }
        };
        tokio::select! {
            () = accepting => {}
            () = shutdown => {}
        }
        drop(listener);
        drop(open);
        let mut closing = pin!(graceful.shutdown());
        let drained = async {
            // Resolves when the last call's task has dropped its sender.
            all_closed.recv().await;
            closing.as_mut().await;
        };
        if tokio::time::timeout(self.ctx.limits.drain, drained)
            .await
            .is_err()
        {
            self.ctx.stop();
            let ended = async {
                all_closed.recv().await;
                // What the last calls were told leaves as well, unless nobody reads it.
                tokio::time::timeout(LAST_BYTES, closing).await.ok();
            };
            if tokio::time::timeout(LAST_CALLS, ended).await.is_err() {
                tracing::warn!("calls are still open; the next start closes them as interrupted");
            }
        }
        let closed = tokio::time::timeout(LAST_CALLS, crate::mcp::finish(&self.ctx));
        if closed.await.is_err() {
            tracing::warn!("calls without an answer could not be closed; the next start does");
        }
        malformed::finish(&self.ctx).await;
    }

    fn connect(&self, stream: TcpStream, peer: IpAddr, graceful: &GracefulShutdown, life: Life) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was refused");
        }
        if let Err(error) = keep_alive(&stream) {
            tracing::debug!(%error, "keep-alive was refused");
        }
        let ctx = self.ctx.clone();
        let (place, asked) = (life.place.clone(), life.asked.clone());
        let outflow = Outflow::default();
        let stream = Wire::new(stream, outflow.clone(), ctx.figures.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let outflow = Some(&outflow).filter(|_| request.version() != Version::HTTP_2);
            answer(ctx.clone(), request, outflow.cloned(), life.clone())
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_PATIENCE)
            .preserve_header_case(true)
            .auto_date_header(false)
            .max_buf_size(READ_BYTES)
            .max_headers(256);
        builder
            .http2()
            .timer(TokioTimer::new())
            .auto_date_header(false)
            .initial_stream_window_size(HTTP2_WINDOWS.0)
            .initial_connection_window_size(HTTP2_WINDOWS.1)
            .max_concurrent_streams(256);
        let connection = builder
            .serve_connection_with_upgrades(TokioIo::new(stream), service)
            .into_owned();
        let connection = graceful.watch(connection);
        let ctx = self.ctx.clone();
        tokio::spawn(async move {
            let _one = Gauge::up(&ctx.figures.connections);
            let ended = tokio::select! {
                ended = connection => ended,
                () = silent(&asked) => Ok(()),
            };
            if let Err(error) = ended {
                if let Some(finding) = malformed::finding(error.as_ref(), asked.load(Relaxed)) {
                    malformed::note(&ctx, peer, &finding);
                }
                tracing::debug!(error, "a connection ended early");
            }
            drop(place);
        });
    }
}

/// Finds out that an agent's host is gone, also where a stream is silent for as long as it likes.
fn keep_alive(stream: &TcpStream) -> rustix::io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, Duration::from_mins(1))
}

/// What a connection and its calls share.
#[derive(Clone)]
struct Life {
    admission: Arc<Admission>,
    /// A request was understood.
    asked: Arc<AtomicBool>,
    /// A connection keeps its place until its last call has ended, an upgraded one until it is closed.
    place: Arc<OwnedSemaphorePermit>,
    /// Each call holds one; the listener waits until the last of them is gone.
    open: mpsc::WeakSender<()>,
}

/// Resolves when a connection has brought no request in time. Later requests have the HTTP library's own bound.
async fn silent(asked: &AtomicBool) {
    tokio::time::sleep(HEAD_PATIENCE).await;
    if asked.load(Relaxed) {
        std::future::pending::<()>().await;
    }
}

/// Answers one request. The call lives in its own task, so that it is recorded to its end even when the connection is gone.
async fn answer(
    ctx: Arc<Context>,
    mut request: Request<Incoming>,
    outflow: Option<Outflow>,
    life: Life,
) -> Result<Response<RelayBody>, Broken> {
    let started = Instant::now();
    life.asked.store(true, Relaxed);
    let looked = matches!(*request.method(), Method::GET | Method::HEAD);
    if looked && Route::read(request.uri().path()) == Route::Home {
        return Ok(home());
    }
    let Some(open) = life.open.upgrade() else {
        // The listener has seen the last call.
        return Err(Broken);
    };
    if let Some(two) = outflow.as_ref().and_then(Outflow::two_lengths) {
        request.extensions_mut().insert(two);
    }
    let (reply, answer) = Reply::channel();
    tokio::spawn(async move {
        let _one = Gauge::up(&ctx.figures.open_calls);
        crate::proxy::handle(ctx.clone(), &life.admission, request, started, reply).await;
        drop((life, open));
    });
    let answer = answer.await.map_err(|_| Broken)?;
    Ok(match outflow {
        Some(outflow) => {
            outflow.expect_head();
            answer.map(|body| body.leaving_on(outflow))
        }
        None => answer,
    })
}

/// What a person sees who opens the gateway's address.
fn home() -> Response<RelayBody> {
    const PAGE: &str = "<!doctype html><meta charset=\"utf-8\"><title>Tachograph</title>\
        <h1>You reached the recorder</h1>\
        <p>This address is for agents. Point an agent's base URL at it, with a name for the agent:</p>\
        <pre>ANTHROPIC_BASE_URL=http://THIS-ADDRESS/agent/NAME/anthropic\n\
        OPENAI_BASE_URL=http://THIS-ADDRESS/agent/NAME/openai/v1\n\
        GOOGLE_GEMINI_BASE_URL=http://THIS-ADDRESS/agent/NAME/gemini</pre>\
        <p>Nothing that was recorded can be read here. Use <code>tacho runs</code> on this machine, or the console.</p>\n";
    let mut response = Response::new(RelayBody::whole(
        [Bytes::from_static(PAGE.as_bytes())],
        None,
        Some(PAGE.len() as u64),
    ));
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    response
}
