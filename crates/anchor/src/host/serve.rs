//! The witness on the network.

use super::Host;
use crate::Error;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::sync::Arc;
use std::time::Duration;
use tlog::witness::MAX_REQUEST_BYTES;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Connections at a time; the next one waits.
const MAX_CONNECTIONS: usize = 256;

/// Longest life of one connection: storing waits for a disk.
const CONNECTION_TIME: Duration = Duration::from_secs(60);

/// How long a request's head may take, and its body after that. Who sends neither keeps a place from those who do.
const ARRIVAL_TIME: Duration = Duration::from_secs(5);

/// Pause after the kernel refused to hand over a connection (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long requests may go on after the witness was told to stop.
const DRAIN_TIME: Duration = Duration::from_secs(5);

const TEXT: &str = "text/plain; charset=utf-8";

impl Host {
    /// Answers until `stop` resolves; what was being answered then may end.
    ///
    /// # Errors
    /// What it could not store. It says nothing any more, and the process must end: the next one finds out what lies
    /// on the disk.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<(), Error> {
        let mut failure = self.failure();
        let trouble = self.failure();
        // A sender that is gone means that nobody answers any more.
        let failed = async { drop(failure.wait_for(Option::is_some).await) };
        let host = Arc::new(self);
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut was_full = false;
        let mut open = JoinSet::new();
        tokio::pin!(stop, failed);
        loop {
            while open.try_join_next().is_some() {}
            let accepted = tokio::select! {
                accepted = accept(&listener, &room, &mut was_full) => accepted,
                () = &mut failed => break,
                () = &mut stop => break,
            };
            let Some((stream, permit)) = accepted else {
                continue;
            };
            let host = host.clone();
            open.spawn(async move {
                connection(host, stream).await;
                drop(permit);
            });
        }
        drop(listener);
        let drained = async { while open.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_TIME, drained).await.is_err() {
            tracing::debug!("connections were cut off");
        }
        let trouble = trouble.borrow().clone();
        trouble.map_or(Ok(()), Err)
    }
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
    was_full: &mut bool,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let is_full = room.available_permits() == 0;
    // Once for as long as it lasts: whoever fills the places does not fill the log.
    if is_full && !*was_full {
        tracing::warn!(
            connections = MAX_CONNECTIONS,
            "all places are taken: logs have to wait"
        );
    }
    *was_full = is_full;
    let permit = room.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, permit)),
        Err(error) => {
            tracing::warn!(%error, "the witness could not accept");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn connection(host: Arc<Host>, stream: TcpStream) {
    let service = service_fn(move |request| {
        let host = host.clone();
        async move { Ok::<_, std::convert::Infallible>(answer(host, request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(ARRIVAL_TIME)
        // One exchange a connection: a log comes back every few seconds at most.
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_TIME, connection).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => tracing::debug!(%error, "connection"),
    }
}

async fn answer(host: Arc<Host>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let method = request.method().clone();
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let body = Limited::new(request.into_body(), MAX_REQUEST_BYTES).collect();
    let Ok(body) = tokio::time::timeout(ARRIVAL_TIME, body).await else {
        return respond(StatusCode::REQUEST_TIMEOUT, TEXT, "too slow\n");
    };
    let Ok(body) = body.map(|body| body.to_bytes()) else {
        return respond(
            StatusCode::PAYLOAD_TOO_LARGE,
            TEXT,
            "too long, or cut off\n",
        );
    };
    // Storing waits for a disk. Whoever hangs up does not stop it half way.
    let answered = tokio::task::spawn_blocking(move || route(&host, &method, &path, &body)).await;
    match answered {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            tracing::error!(%error, "the witness cannot answer");
            trouble()
        }
        Err(error) => {
            tracing::error!(%error, "a request was cut off");
            trouble()
        }
    }
}

fn route(
    host: &Host,
    method: &Method,
    path: &str,
    body: &[u8],
) -> Result<Response<Full<Bytes>>, Error> {
    Ok(match (method, path) {
        (&Method::POST, "add-checkpoint") => {
            let answer = host.add_checkpoint(body)?;
            let status = StatusCode::from_u16(answer.status());
            respond(
                status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                answer.content_type(),
                answer.body(),
            )
        }
        (&Method::POST, "add-key-epoch") => {
            let status = StatusCode::from_u16(host.add_key_epoch(body)?);
            let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            respond(status, TEXT, "")
        }
        (&Method::GET, path) => match host.checkpoint(path)? {
            Some(checkpoint) => respond(StatusCode::OK, TEXT, checkpoint),
            None => respond(StatusCode::NOT_FOUND, TEXT, "there is nothing here\n"),
        },
        _ => respond(StatusCode::NOT_FOUND, TEXT, "there is nothing here\n"),
    })
}

fn trouble() -> Response<Full<Bytes>> {
    respond(
        StatusCode::INTERNAL_SERVER_ERROR,
        TEXT,
        "the witness cannot store what it decides\n",
    )
}

fn respond(
    status: StatusCode,
    media: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media));
    response
}
