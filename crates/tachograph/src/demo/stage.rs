//! Two loopback servers: the scripted model and the scripted help desk.

use super::{MCP_SERVER, MODEL_UPSTREAM, helpdesk, model};
use crate::failure::Failure;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::channel::Channel;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Longest request that the stage reads.
const MAX_REQUEST_BYTES: usize = 4 << 20;

/// Pause between two pieces of a streamed answer: slow enough to be a stream, quick enough to watch.
const BETWEEN_EVENTS: Duration = Duration::from_millis(8);

/// What a scripted server answers.
pub(super) enum Answer {
    /// One body.
    Whole {
        status: StatusCode,
        media: &'static str,
        headers: Vec<(&'static str, String)>,
        body: String,
    },
    /// Server-sent events.
    Events(Vec<String>),
}

impl Answer {
    /// A JSON body with status 200.
    pub(super) fn json(value: &serde_json::Value) -> Self {
        Self::Whole {
            status: StatusCode::OK,
            media: "application/json",
            headers: Vec::new(),
            body: value.to_string(),
        }
    }

    /// A status and an empty body.
    pub(super) const fn empty(status: StatusCode) -> Self {
        Self::Whole {
            status,
            media: "text/plain",
            headers: Vec::new(),
            body: String::new(),
        }
    }
}

type Script = fn(&str, &serde_json::Value) -> Answer;
type Body = BoxBody<Bytes, Infallible>;

/// The running servers. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Stage {
    model: String,
    helpdesk: String,
    _servers: JoinSet<()>,
}

impl Stage {
    /// Starts both servers on free loopback ports.
    pub(crate) async fn start() -> Result<Self, Failure> {
        let mut servers = JoinSet::new();
        let model = start(&mut servers, model::answer).await?;
        let helpdesk = start(&mut servers, helpdesk::answer).await?;
        Ok(Self {
            model,
            helpdesk,
            _servers: servers,
        })
    }

    /// The recorder's configuration that leads to the servers.
    pub(crate) fn configuration(&self) -> String {
        format!(
            "[upstream.{MODEL_UPSTREAM}]\nbase_url = \"{}\"\napi = \"anthropic\"\n\n[mcp.{MCP_SERVER}]\nurl = \"{}/mcp\"\n",
            self.model, self.helpdesk
        )
    }
}

async fn start(servers: &mut JoinSet<()>, script: Script) -> Result<String, Failure> {
    let failed =
        |error: std::io::Error| Failure::new("cannot set up the demo's stage").because(&error);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    servers.spawn(accept(listener, script));
    Ok(format!("http://{address}"))
}

async fn accept(listener: TcpListener, script: Script) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A connection that failed before it began is the client's to try again.
                let Ok((stream, _)) = accepted else { continue };
                let service = service_fn(move |request| serve(request, script));
                connections.spawn(async move {
                    // The recorder closes connections as it likes; that is no event on this stage.
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(request: Request<Incoming>, script: Script) -> Result<Response<Body>, Infallible> {
    let method = request.method().to_string();
    let answer = match Limited::new(request.into_body(), MAX_REQUEST_BYTES)
        .collect()
        .await
    {
        Ok(body) => {
            let message = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
            script(&method, &message)
        }
        Err(_) => Answer::empty(StatusCode::BAD_REQUEST),
    };
    Ok(respond(answer))
}

fn respond(answer: Answer) -> Response<Body> {
    let response = match answer {
        Answer::Whole {
            status,
            media,
            headers,
            body,
        } => {
            let mut builder = Response::builder()
                .status(status)
                .header("content-type", media);
            for (name, value) in headers {
                builder = builder.header(name, value);
            }
            builder.body(Full::new(Bytes::from(body)).boxed())
        }
        Answer::Events(events) => Response::builder()
            .header("content-type", "text/event-stream; charset=utf-8")
            .header("request-id", "req_demo")
            .body(paced(events).boxed()),
    };
    // Every part above is valid by construction; should one not be, the client sees an empty body.
    response.unwrap_or_default()
}

/// The events one by one, with a pause between.
fn paced(events: Vec<String>) -> Channel<Bytes> {
    let (mut sender, body) = Channel::new(1);
    tokio::spawn(async move {
        for event in events {
            // A receiver that is gone wants no more of it.
            if sender.send_data(Bytes::from(event)).await.is_err() {
                return;
            }
            tokio::time::sleep(BETWEEN_EVENTS).await;
        }
    });
    body
}
