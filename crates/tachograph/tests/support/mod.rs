//! What the end-to-end tests share: a client that notices a broken answer, and the record read call by call.

use bytes::Bytes;
use event::{Kind, Line, Role};
use evidence::Store;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::collections::HashMap;
use std::path::Path;
use testkit::Digest;

/// The built binary.
pub(crate) const TACHO: &str = env!("CARGO_BIN_EXE_tacho");

/// An agent's HTTP client.
#[derive(Clone)]
pub(crate) struct Client {
    inner: legacy::Client<HttpConnector, Full<Bytes>>,
}

impl Client {
    pub(crate) fn new() -> Self {
        Self {
            inner: legacy::Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    /// Status and body of the answer; `None` unless it arrived in full.
    pub(crate) async fn post(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Option<(u16, Bytes)> {
        let mut request = Request::post(url).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let response = self.inner.request(request).await.ok()?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.ok()?;
        Some((status, body.to_bytes()))
    }
}

/// A call as the record has it.
pub(crate) struct Call {
    pub(crate) request: Line,
    pub(crate) response: Option<Line>,
}

/// The record of a [`testkit::Recorder`] that was started over `dir`.
pub(crate) fn open(dir: &Path) -> Store {
    Store::open(&dir.join("record")).unwrap()
}

/// All calls in the order of their requests, and every event that is neither end of a call.
pub(crate) fn read(store: &Store) -> (Vec<Call>, Vec<Line>) {
    let (mut calls, mut others) = (Vec::<Call>::new(), Vec::new());
    let mut by_seq = HashMap::new();
    for entry in store.events(0) {
        let line = Line::parse(&entry.unwrap().line).unwrap();
        let kind: Kind = line.kind.parse().unwrap();
        if kind.closed_by().is_some() {
            by_seq.insert(line.seq, calls.len());
            calls.push(Call {
                request: line,
                response: None,
            });
        } else if kind.is_terminal() {
            let seq = line.exchange.as_ref().unwrap().call.unwrap();
            let call = &mut calls[by_seq[&seq]];
            assert!(
                call.response.is_none(),
                "call {seq} is closed twice: {line:?}"
            );
            call.response = Some(line);
        } else {
            others.push(line);
        }
    }
    (calls, others)
}

/// The stored bytes of the event's body in this role, checked against its commitment.
pub(crate) fn body(store: &Store, line: &Line, role: Role) -> Option<Vec<u8>> {
    let reference = line.bodies.iter().find(|body| body.role == role)?;
    Some(store.body(reference).unwrap())
}

/// The digest of that body; of no bytes where there is none.
#[allow(dead_code, reason = "not every test compares digests alone")]
pub(crate) fn digest(store: &Store, line: &Line, role: Role) -> Digest {
    Digest::of(&body(store, line, role).unwrap_or_default())
}
