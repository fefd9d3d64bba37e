//! The way to upstreams: pooled connections, and the request as it goes out.
//!
//! Headers go through as they came, but for those that concern one connection only, `Host`, and the recorder's own.

use crate::config::{ConfigError, Limits, Target};
use crate::memory::Reservation;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Request, Uri, Version};
use hyper::body::{Body, Frame, SizeHint};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Idle upstream connections are closed after this time: before servers with short time-outs close them in mid-request.
const POOL_IDLE: Duration = Duration::from_secs(15);

/// Largest read from an upstream connection in bytes, and so the largest chunk; the bound of an answer's head. Each
/// connection may hold as much.
pub(crate) const READ_BYTES: usize = 32 * 1024;

/// What an upstream may send ahead of its being read over HTTP/2, in bytes: of one answer, and of a connection's together.
const HTTP2_WINDOWS: (u32, u32) = (256 * 1024, 1024 * 1024);

type Pool = legacy::Client<HttpsConnector<HttpConnector>, HeldBody>;

/// Pooled connections to all upstreams. A client of HTTP/1.1 gets an upstream connection of HTTP/1.1, so that what the
/// upstream sees is what the client sent; HTTP/2 is offered to the upstream where the client speaks it.
pub(crate) struct Client {
    one: Pool,
    two: Pool,
}

impl Client {
    /// Connections that trust the authorities of `ca` (a name for errors, and PEM), or the system's.
    pub(crate) fn new(limits: &Limits, ca: Option<(&str, &[u8])>) -> Result<Self, ConfigError> {
        let tls = match ca {
            None => system_tls()?,
            Some((name, pem)) => own_tls(name, pem)?,
        };
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(limits.connect_timeout));
        tcp.set_keepalive(Some(Duration::from_mins(1)));
        let builder = || {
            let mut builder = legacy::Client::builder(TokioExecutor::new());
            builder
                .pool_timer(TokioTimer::new())
                .timer(TokioTimer::new())
                .pool_idle_timeout(POOL_IDLE)
                .http1_preserve_header_case(true)
                .http1_max_buf_size(READ_BYTES)
                .http1_max_headers(256)
                .http2_initial_stream_window_size(HTTP2_WINDOWS.0)
                .http2_initial_connection_window_size(HTTP2_WINDOWS.1);
            builder
        };
        let connector = |tls| {
            HttpsConnectorBuilder::new()
                .with_tls_config(tls)
                .https_or_http()
        };
        let one = builder().build(
            connector(tls.clone())
                .enable_http1()
                .wrap_connector(tcp.clone()),
        );
        let two = builder().build(connector(tls).enable_all_versions().wrap_connector(tcp));
        Ok(Self { one, two })
    }

    /// Sends a request; the answer's head resolves the future. Dropping the future, or later the answer's body, gives the
    /// call up and closes its connection.
    pub(crate) fn send(&self, spoken: Version, mut request: Request<HeldBody>) -> ResponseFuture {
        if spoken == Version::HTTP_2 && request.uri().scheme_str() == Some("https") {
            // In HTTP/2 the authority says it; over HTTP/1.1 the connection puts it back.
            request.headers_mut().remove(header::HOST);
            self.two.request(request)
        } else {
            self.one.request(request)
        }
    }
}

/// The system's roots. Without any, every TLS connection fails by itself; plain HTTP goes on.
fn system_tls() -> Result<rustls::ClientConfig, ConfigError> {
    match tls()?.with_native_roots() {
        Ok(builder) => Ok(builder.with_no_client_auth()),
        Err(error) => {
            tracing::warn!(%error, "no root certificates found: https upstreams cannot be reached; install ca-certificates");
            let none = rustls::RootCertStore::empty();
            Ok(tls()?.with_root_certificates(none).with_no_client_auth())
        }
    }
}

/// Roots that were configured, in place of the system's.
fn own_tls(name: &str, pem: &[u8]) -> Result<rustls::ClientConfig, ConfigError> {
    let unusable = |why: &dyn std::fmt::Display| ConfigError::Authorities {
        name: name.to_owned(),
        why: why.to_string(),
    };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| unusable(&error))?;
        roots.add(certificate).map_err(|error| unusable(&error))?;
    }
    if roots.is_empty() {
        return Err(unusable(&"there is no certificate in PEM form"));
    }
    Ok(tls()?.with_root_certificates(roots).with_no_client_auth())
}

fn tls() -> Result<rustls::ConfigBuilder<rustls::ClientConfig, rustls::WantsVerifier>, ConfigError>
{
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConfigError::Tls(error.to_string()))
}

/// A request body that is in memory.
pub(crate) struct HeldBody {
    data: Option<Bytes>,
    trailers: Option<HeaderMap>,
    /// Whether it has an end of its own, also where it is empty.
    chunked: bool,
}

/// Bytes that hold their room in the budget for as long as anybody holds them: the connection until they are sent.
struct Roomed {
    bytes: Bytes,
    _room: Reservation,
}

impl AsRef<[u8]> for Roomed {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HeldBody {
    pub(crate) fn new(data: Bytes, trailers: Option<HeaderMap>, room: Reservation) -> Self {
        let data = Some(data).filter(|data| !data.is_empty());
        let data = data.map(|bytes| Bytes::from_owner(Roomed { bytes, _room: room }));
        Self {
            data,
            trailers,
            chunked: false,
        }
    }
}

impl Body for HeldBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        this.chunked &= this.data.is_some();
        let frame = this
            .data
            .take()
            .map(Frame::data)
            .or_else(|| this.trailers.take().map(Frame::trailers));
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && self.trailers.is_none() && !self.chunked
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.data.as_ref().map_or(0, |data| data.len() as u64))
    }
}

/// The request as it goes to the upstream. `parts` are the client's, `address` is what the upstream is asked for.
pub(crate) fn outgoing(
    target: &Target,
    address: PathAndQuery,
    parts: &http::request::Parts,
    body: HeldBody,
    upgrade: bool,
) -> Result<Request<HeldBody>, http::Error> {
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(target.scheme.clone());
    uri.authority = Some(target.authority.clone());
    uri.path_and_query = Some(address);
    let mut request = Request::new(body);
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = Uri::from_parts(uri)?;
    *request.version_mut() = Version::HTTP_11;
    let mut headers = outgoing_headers(target, parts, upgrade)?;
    if let Some(trailers) = &request.body().trailers {
        announce(&mut headers, trailers)?;
    }
    request.body_mut().chunked = headers.contains_key(header::TRANSFER_ENCODING);
    *request.headers_mut() = headers;
    // Carries the spelling of the header names.
    *request.extensions_mut() = parts.extensions.clone();
    Ok(request)
}

fn outgoing_headers(
    target: &Target,
    parts: &http::request::Parts,
    upgrade: bool,
) -> Result<HeaderMap, http::Error> {
    let named = Named::by(&parts.headers);
    let framed = parts.version == Version::HTTP_11 && is_chunked(&parts.headers);
    let mut headers = HeaderMap::with_capacity(parts.headers.len());
    for (name, value) in &parts.headers {
        let keep = match name {
            name if *name == header::HOST => {
                headers.insert(
                    header::HOST,
                    HeaderValue::from_str(target.authority.as_str())?,
                );
                false
            }
            // The framing of a body whose trailers follow, and what else it is coded with.
            name if *name == header::TRANSFER_ENCODING => framed,
            name if *name == header::TE => value.as_bytes().eq_ignore_ascii_case(b"trailers"),
            name if *name == header::CONNECTION || *name == header::UPGRADE => upgrade,
            name => !is_own(name) && !is_hop_by_hop(name) && !named.contains(name),
        };
        if keep {
            headers.append(name, value.clone());
        }
    }
    if !headers.contains_key(header::HOST) {
        headers.insert(
            header::HOST,
            HeaderValue::from_str(target.authority.as_str())?,
        );
    }
    Ok(headers)
}

/// Gives a request's trailers their place: HTTP/1.1 has one behind chunks only, and the HTTP library leaves out what the
/// head does not announce (RFC 9110, section 6.6.2).
fn announce(headers: &mut HeaderMap, trailers: &HeaderMap) -> Result<(), http::Error> {
    if !is_chunked(headers) {
        headers.remove(header::CONTENT_LENGTH);
        headers.append(
            header::TRANSFER_ENCODING,
            HeaderValue::from_static("chunked"),
        );
    }
    let said: Vec<String> = headers
        .get_all(header::TRAILER)
        .iter()
        .filter_map(|names| names.to_str().ok())
        .flat_map(|names| names.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    for name in trailers.keys() {
        if !said.iter().any(|said| said == name.as_str()) {
            headers.append(header::TRAILER, HeaderValue::from_str(name.as_str())?);
        }
    }
    Ok(())
}

/// Removes from an answer's headers what concerns the upstream's connection only.
pub(crate) fn strip_answer(headers: &mut HeaderMap, upgrade: bool) {
    let named = Named::by(headers);
    // Chunks are passed on as chunks, and any other coding by its name. Nobody may use one unasked, and the recorder does
    // not ask: over HTTP/2, which has no place for the name, such an answer cannot be understood. Where there is a length
    // as well, the chunks tell it (RFC 9112, 6.3).
    let coded = headers.contains_key(header::TRANSFER_ENCODING);
    let drop = |name: &HeaderName| match *name {
        header::CONNECTION | header::UPGRADE => !upgrade,
        header::CONTENT_LENGTH => coded,
        _ => is_hop_by_hop(name) || named.contains(name),
    };
    if !headers.keys().any(drop) {
        return;
    }
    // Built anew: removing would change the order of the others.
    let mut kept = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers.iter().filter(|(name, _)| !drop(name)) {
        kept.append(name, value.clone());
    }
    *headers = kept;
}

/// The transfer codings of a body, in the order they were applied: RFC 9112, section 6.1.
fn codings(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(header::TRANSFER_ENCODING).into_iter();
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}

fn is_chunked(headers: &HeaderMap) -> bool {
    let last = codings(headers).last();
    last.is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"))
}

/// Headers to the recorder itself.
fn is_own(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-tacho-")
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authentication-info"
            | "proxy-authorization"
    )
}

/// The headers that `Connection` names.
struct Named(Vec<String>);

impl Named {
    fn by(headers: &HeaderMap) -> Self {
        let tokens = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let tokens = tokens
            .flat_map(|value| value.split(','))
            .map(|token| token.trim().to_ascii_lowercase());
        // These are decided one by one, or must not be lost to a careless client.
        let kept = [
            "close",
            "keep-alive",
            "te",
            "upgrade",
            "transfer-encoding",
            "content-length",
            "host",
            "",
        ];
        Self(
            tokens
                .filter(|token| !kept.contains(&token.as_str()))
                .take(16)
                .collect(),
        )
    }

    fn contains(&self, name: &HeaderName) -> bool {
        self.0.iter().any(|token| token == name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::UpstreamApi;

    fn sent(pairs: &[(&'static str, &'static str)]) -> Vec<(String, String)> {
        let target = Target::new("u", "http://up.example:8080/base", UpstreamApi::Raw).unwrap();
        let mut request = Request::new(());
        for (name, value) in pairs {
            request
                .headers_mut()
                .append(*name, HeaderValue::from_static(value));
        }
        let parts = request.into_parts().0;
        let body = HeldBody::new(Bytes::new(), None, Reservation::default());
        let request = outgoing(
            &target,
            PathAndQuery::from_static("/x?y=%20"),
            &parts,
            body,
            false,
        )
        .unwrap();
        assert_eq!(request.uri(), "http://up.example:8080/x?y=%20");
        let text = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.to_string(), value.to_str().unwrap().to_owned())
        };
        request.headers().iter().map(text).collect()
    }

    #[test]
    fn headers_go_through_but_for_the_connections_own() {
        let got = sent(&[
            ("host", "127.0.0.1:8700"),
            ("connection", "keep-alive, x-hop"),
            ("x-hop", "1"),
            ("proxy-authorization", "Basic dTpw"),
            ("accept", "*/*"),
            ("x-tacho-run", "r"),
            ("te", "trailers"),
            ("accept-encoding", "gzip, br"),
            ("expect", "100-continue"),
            ("x-dup", "1"),
            ("x-dup", "2"),
            ("content-length", "0"),
        ]);
        let expected = [
            ("host", "up.example:8080"),
            ("accept", "*/*"),
            ("te", "trailers"),
            ("accept-encoding", "gzip, br"),
            ("expect", "100-continue"),
            ("x-dup", "1"),
            ("x-dup", "2"),
            ("content-length", "0"),
        ];
        assert_eq!(
            got,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn an_answer_keeps_its_order() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("a", "1"),
            ("connection", "close"),
            ("b", "2"),
            ("transfer-encoding", "chunked"),
            ("content-length", "7"),
            ("c", "3"),
            ("a", "4"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        strip_answer(&mut headers, false);
        let got: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        assert_eq!(
            got,
            [
                ("a", "1"),
                ("a", "4"),
                ("b", "2"),
                ("transfer-encoding", "chunked"),
                ("c", "3")
            ]
        );
    }
}
