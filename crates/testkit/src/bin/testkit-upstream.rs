//! The scripted upstreams as a program, for tests that are not written in Rust.
//!
//! Prints `ready URL` and serves until standard input ends. `GET /ledger` gives the ledger as JSON
//! lines and is itself not in it. A time-stamping authority says behind its URL in which file its root
//! certificate lies.

use base64::Engine as _;
use serde::Deserialize;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use testkit::authority::{Authority, AuthorityServer, EC, ROOT};
use testkit::mcp::{Answer, Server};
use testkit::model::Model;
use testkit::{Book, Framing, Reply, Request, Step, Upstream};
use tokio::io::AsyncReadExt as _;

const USAGE: &str = "usage: testkit-upstream model | mcp [--events] | replay FILE | authority";

type Failure = Box<dyn std::error::Error>;

/// One answer in a replay file: a JSON object a line.
#[derive(Deserialize)]
struct Recorded {
    key: String,
    status: u16,
    headers: Vec<(String, String)>,
    /// Base64. Each element leaves as one chunk; a single one goes under its length.
    chunks: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With standard error gone too, the exit code has to do.
            writeln!(std::io::stderr(), "testkit-upstream: {error}").ok();
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["model"] => {
            let model = Model::new();
            serve(move |request| model.answer(request)).await
        }
        ["mcp"] => {
            let server = Server::new(Answer::Json);
            serve(move |request| server.answer(request)).await
        }
        ["mcp", "--events"] => {
            let server = Server::new(Answer::Events);
            serve(move |request| server.answer(request)).await
        }
        ["replay", file] => {
            let book = read_book(file)?;
            serve(move |request| book.answer(request)).await
        }
        ["authority"] => {
            let authority = Arc::new(Authority::new()?);
            let roots = authority.dir().join(format!("{ROOT}.pem"));
            let server = AuthorityServer::start(authority, EC).await?;
            serve_until_end(&format!("{} {}", server.url(), roots.display())).await
        }
        _ => Err(USAGE.into()),
    }
}

async fn serve(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Result<(), Failure> {
    let upstream = Upstream::start(script).await?;
    serve_until_end(&upstream.url()).await
}

/// Says where it serves, and waits for standard input to end.
async fn serve_until_end(ready: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    writeln!(out, "ready {ready}")?;
    out.flush()?;
    let mut ignored = Vec::new();
    tokio::io::stdin().read_to_end(&mut ignored).await?;
    Ok(())
}

fn read_book(file: &str) -> Result<Book, Failure> {
    let mut book = Book::default();
    for line in std::fs::read_to_string(file)?.lines() {
        let recorded: Recorded = serde_json::from_str(line)?;
        let chunks: Result<Vec<_>, _> = recorded
            .chunks
            .iter()
            .map(|chunk| {
                base64::engine::general_purpose::STANDARD
                    .decode(chunk)
                    .map(|b| Step::Send(b.into()))
            })
            .collect();
        let steps = chunks?;
        let framing = if steps.len() > 1 {
            Framing::Chunked
        } else {
            Framing::Length
        };
        let reply = Reply {
            status: recorded.status,
            headers: recorded.headers,
            framing,
            steps,
            before: Vec::new(),
        };
        book.insert(recorded.key, reply);
    }
    Ok(book)
}
