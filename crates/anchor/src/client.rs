//! HTTP as anchors speak it: one request, one bounded answer, no redirects, no cookies, no waiting for ever.

use crate::Error;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::sync::Arc;
use std::time::Duration;

/// How long a server may take to accept a connection.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// How long the whole exchange may take.
const TOTAL_TIME: Duration = Duration::from_secs(30);

/// Longest head of an answer in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;

const AGENT: &str = concat!("tachograph/", env!("CARGO_PKG_VERSION"));

/// Asks over http and https; TLS trusts the system's authorities.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    inner: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// What was answered, whatever it was.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn new() -> Result<Self, Error> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIME));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(system_tls()?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let inner = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            // A connection that lies idle for seconds is a connection that is gone when it is needed.
            .pool_max_idle_per_host(0)
            .http1_max_buf_size(MAX_HEAD_BYTES)
            .build(connector);
        Ok(Self { inner })
    }

    /// Sends `body` and reads at most `limit` bytes of the answer.
    pub(crate) async fn post(
        &self,
        url: &str,
        media: &str,
        body: Vec<u8>,
        limit: usize,
    ) -> Result<Answer, Error> {
        self.exchange(Method::POST, url, Some(media), body.into(), limit)
            .await
    }

    /// Reads at most `limit` bytes from an address.
    pub(crate) async fn get(&self, url: &str, limit: usize) -> Result<Answer, Error> {
        self.exchange(Method::GET, url, None, Bytes::new(), limit)
            .await
    }

    async fn exchange(
        &self,
        method: Method,
        url: &str,
        media: Option<&str>,
        body: Bytes,
        limit: usize,
    ) -> Result<Answer, Error> {
        let uri: Uri = url
            .parse()
            .map_err(|_| Error::Setting("what is configured is no address".into()))?;
        let server = server(&uri);
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .header(USER_AGENT, AGENT);
        if let Some(media) = media {
            request = request.header(CONTENT_TYPE, media);
        }
        let request = request
            .body(Full::new(body))
            .map_err(|error| Error::Setting(error.to_string()))?;
        match tokio::time::timeout(TOTAL_TIME, self.read(request, limit)).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::Unreachable(format!(
                "{server} did not answer within {} s",
                TOTAL_TIME.as_secs()
            ))),
        }
    }

    async fn read(&self, request: Request<Full<Bytes>>, limit: usize) -> Result<Answer, Error> {
        let server = server(request.uri());
        let response = self
            .inner
            .request(request)
            .await
            .map_err(|error| Error::Unreachable(format!("{server}: {}", chain(&error))))?;
        let status = response.status().as_u16();
        let content_type = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let body = Limited::new(response.into_body(), limit)
            .collect()
            .await
            .map_err(|error| match error.downcast_ref::<LengthLimitError>() {
                Some(_) => Error::Lies(format!("{server} sends more than {limit} bytes")),
                None => {
                    Error::Unreachable(format!("{server} broke off: {}", chain(error.as_ref())))
                }
            })?;
        Ok(Answer {
            status,
            content_type,
            body: body.to_bytes().to_vec(),
        })
    }
}

/// Whom an address leads to, for errors: they go into the log, and what stands behind the host is nobody's business.
fn server(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or_default();
    let host = uri.host().unwrap_or_default();
    match uri.port() {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    }
}

/// An error with everything beneath it: what an HTTP client says by itself is next to nothing.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(": ");
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}

/// The system's roots. Without any, every TLS connection fails by itself; plain HTTP goes on.
fn system_tls() -> Result<rustls::ClientConfig, Error> {
    let builder = || {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Local(format!("TLS: {error}")))
    };
    match builder()?.with_native_roots() {
        Ok(builder) => Ok(builder.with_no_client_auth()),
        Err(error) => {
            tracing::warn!(%error, "no root certificates found: anchors over https cannot be reached; install ca-certificates");
            let none = rustls::RootCertStore::empty();
            Ok(builder()?
                .with_root_certificates(none)
                .with_no_client_auth())
        }
    }
}
