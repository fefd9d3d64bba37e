//! The operator's listener: says that the recorder is alive and how it is. Nothing else yet.
//!
//! Never forwards agent traffic and never shares a port with the gateway. A browser that was
//! lured to a hostile name which resolves to this address (DNS rebinding) sends that name as
//! `Host`: only addresses and `localhost` are answered.
//!
//! On a loopback address every user of the machine may connect, agents too. They learn whether calls are recorded
//! (`/healthz`) and nothing else: the rest is for who can read the token in `DIR/address`. Who asks without it is recorded.

use crate::build;
use crate::standing::View;
use crate::trespass::Trespass;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use bytes::Bytes;
use evidence::Recorder;
use http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST,
    WWW_AUTHENTICATE,
};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Connections at a time; the next one waits.
const MAX_CONNECTIONS: usize = 64;

/// Longest life of one connection. Everything here is answered at once.
const CONNECTION_TIME: Duration = Duration::from_secs(30);

/// Pause after the kernel refused to hand over a connection (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What `GET /status` answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Version of the recorder.
    pub(crate) version: String,
    /// Commit it was built from.
    pub(crate) commit: String,
    /// Process id.
    pub(crate) pid: u32,
    /// Seconds since it was ready.
    pub(crate) uptime_s: u64,
    /// Agent-facing address.
    pub(crate) gateway: String,
    /// Data directory.
    pub(crate) data: String,
    /// Digest of the configuration in effect.
    pub(crate) governance: String,
    /// Events that are durable.
    pub(crate) durable_events: u64,
    /// Events under the newest signed checkpoint.
    pub(crate) signed_events: u64,
    /// Number of the epoch whose key signs.
    pub(crate) epoch: u64,
    /// Bytes of the write-ahead log that are not yet in tiles and volumes.
    pub(crate) backlog_bytes: u64,
    /// Events refused for want of room since the last that was recorded.
    pub(crate) refused_events: u64,
    /// How the log stands with its anchors.
    #[serde(default)]
    pub(crate) anchors: anchor::Standing,
    /// Events that nothing outside this machine knows of.
    #[serde(default)]
    pub(crate) unanchored_events: u64,
}

impl Report {
    /// Whether what agents ask is recorded, and therefore let through.
    pub(crate) const fn is_recording(&self) -> bool {
        self.refused_events == 0
    }
}

/// What does not change while the recorder runs.
#[derive(Debug)]
pub(crate) struct Operator {
    pub(crate) recorder: Recorder,
    pub(crate) anchors: anchor::Handle,
    pub(crate) started: Instant,
    pub(crate) gateway: String,
    pub(crate) data: String,
    pub(crate) governance: String,
    /// What `DIR/address` holds, so that whoever may read the record may ask.
    pub(crate) token: String,
    pub(crate) trespass: Arc<Trespass>,
}

impl Operator {
    /// Answers until it is dropped.
    pub(crate) async fn serve(self, listener: TcpListener) {
        let operator = Arc::new(self);
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "the operator's listener could not accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let operator = Arc::clone(&operator);
            tokio::spawn(async move {
                let service = service_fn(|request| {
                    let answer = operator.answer(&request);
                    async { Ok::<_, std::convert::Infallible>(answer) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(CONNECTION_TIME)
                    .serve_connection(TokioIo::new(stream), service);
                match tokio::time::timeout(CONNECTION_TIME, connection).await {
                    Ok(Ok(())) | Err(_) => {}
                    Ok(Err(error)) => tracing::debug!(%error, "operator connection"),
                }
                drop(permit);
            });
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !request.headers().get(HOST).is_some_and(is_own_name) {
            self.trespass.note(&self.recorder, request, "foreign_host");
            return text(
                StatusCode::MISDIRECTED_REQUEST,
                "this recorder answers only to its address or to localhost\n",
            );
        }
        if request.uri().path() != "/healthz" && !self.is_told_to(request) {
            self.trespass.note(&self.recorder, request, "no_token");
            let mut refusal = text(
                StatusCode::UNAUTHORIZED,
                "this is for the operator, who asks with `tacho status` as the recorder's user\n",
            );
            refusal
                .headers_mut()
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return refusal;
        }
        let report = || self.report();
        let answer = match request.uri().path() {
            "/healthz" if report().is_recording() => text(StatusCode::OK, "ok\n"),
            "/healthz" => text(
                StatusCode::SERVICE_UNAVAILABLE,
                "there is no room to record: calls are refused\n",
            ),
            "/status" => json(&report()),
            "/" => {
                let report = report();
                let anchors = View::told(report.anchors.clone());
                text(StatusCode::OK, &report.to_text(&anchors))
            }
            _ => return text(StatusCode::NOT_FOUND, "there is nothing here\n"),
        };
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered\n");
            refusal
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refusal;
        }
        answer
    }

    /// Whether the request bears the token.
    fn is_told_to<B>(&self, request: &Request<B>) -> bool {
        let borne = request.headers().get(AUTHORIZATION);
        let borne = borne.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        borne.is_some_and(|borne| verify_slices_are_equal(borne, self.token.as_bytes()).is_ok())
    }

    fn report(&self) -> Report {
        let status = self.recorder.status();
        let anchors = self.anchors.standing();
        Report {
            unanchored_events: anchors.unanchored(status.durable),
            anchors,
            version: build::VERSION.to_owned(),
            commit: build::COMMIT.to_owned(),
            pid: std::process::id(),
            uptime_s: self.started.elapsed().as_secs(),
            gateway: self.gateway.clone(),
            data: self.data.clone(),
            governance: self.governance.clone(),
            durable_events: status.durable,
            signed_events: status.checkpoint,
            epoch: status.epoch,
            backlog_bytes: status.backlog_bytes,
            refused_events: status.refused,
        }
    }
}

impl Report {
    /// For people, with what is known of the anchors.
    pub(crate) fn to_text(&self, anchors: &View) -> String {
        let state = if self.is_recording() {
            "is recording"
        } else {
            "is running and RECORDS NOTHING: there is no room on the disk, so calls are refused"
        };
        format!(
            "tachograph {} {state}\n\
             \n\
             gateway     {}\n\
             record      {}\n\
             up          {}\n\
             events      {} durable, {} under a signed checkpoint\n\
             key         epoch {}\n\
             backlog     {} bytes\n\
             refused     {} events\n\
             governance  {}\n\
             commit      {}\n\
             pid         {}\n\
             {}",
            self.version,
            self.gateway,
            self.data,
            crate::when::span_us(self.uptime_s.saturating_mul(1_000_000)),
            self.durable_events,
            self.signed_events,
            self.epoch,
            self.backlog_bytes,
            self.refused_events,
            self.governance,
            self.commit,
            self.pid,
            anchors.to_text(self.durable_events),
        )
    }
}

/// An IP address or `localhost`, with or without a port. No name that a stranger's DNS decides.
fn is_own_name(host: &HeaderValue) -> bool {
    let Ok(host) = host.to_str() else {
        return false;
    };
    let Ok(authority) = host.parse::<http::uri::Authority>() else {
        return false;
    };
    let name = authority.host();
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    !host.contains('@')
        && (name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok())
}

fn text(status: StatusCode, body: &str) -> Response<Full<Bytes>> {
    respond(
        status,
        "text/plain; charset=utf-8",
        Bytes::copy_from_slice(body.as_bytes()),
    )
}

fn json(report: &Report) -> Response<Full<Bytes>> {
    // A struct of strings and numbers always has a JSON form.
    let body = serde_json::to_vec(report).unwrap_or_default();
    respond(StatusCode::OK, "application/json", body.into())
}

fn respond(status: StatusCode, media: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'"),
    );
    headers.insert(
        "x-content-type-options",
        HeaderValue::from_static("nosniff"),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_refuses_calls_does_not_claim_to_record() {
        for (refused_events, recording) in [(0, true), (1, false)] {
            let report = Report {
                version: "1".to_owned(),
                commit: "c".to_owned(),
                pid: 1,
                uptime_s: 1,
                gateway: "http://127.0.0.1:1".to_owned(),
                data: "d".to_owned(),
                governance: "g".to_owned(),
                durable_events: 9,
                signed_events: 9,
                epoch: 1,
                backlog_bytes: 0,
                refused_events,
                anchors: anchor::Standing::default(),
                unanchored_events: 9,
            };
            assert_eq!(report.is_recording(), recording);
            let text = report.to_text(&View::told(report.anchors.clone()));
            assert_eq!(text.contains("is recording"), recording, "{text}");
            assert_eq!(text.contains("no room"), !recording, "{text}");
        }
    }

    #[test]
    fn only_addresses_and_localhost_are_answered() {
        for (host, expected) in [
            ("127.0.0.1:8701", true),
            ("127.0.0.1", true),
            ("[::1]:8701", true),
            ("localhost:8701", true),
            ("LOCALHOST", true),
            ("192.168.1.5:80", true),
            ("evil.example:8701", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("a@127.0.0.1", false),
            ("", false),
        ] {
            let value = HeaderValue::from_str(host).unwrap();
            assert_eq!(is_own_name(&value), expected, "{host}");
        }
    }
}
