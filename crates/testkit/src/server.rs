//! The listening side: accepts, reads a request, plays the script's answer, writes the ledger.

use crate::ledger::{Ledger, Running, Sent};
use crate::reply::{Framing, Reply, Step};
use crate::wire::{Connection, Request};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

type Script = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

/// A scripted HTTP/1.1 server on a free loopback port. Stops when dropped.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    ledger: Ledger,
    accepting: JoinHandle<()>,
}

impl Upstream {
    /// Starts a server that answers each request as `script` says.
    ///
    /// # Errors
    /// When no loopback port can be bound.
    pub async fn start(
        script: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        Self::start_with(Ledger::default(), script).await
    }

    /// As [`Upstream::start`], writing to a ledger that the caller made.
    ///
    /// # Errors
    /// When no loopback port can be bound.
    pub async fn start_with(
        ledger: Ledger,
        script: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(accept(listener, Arc::new(script), ledger.clone()));
        Ok(Self {
            address,
            ledger,
            accepting,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it received and sent.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, script: Script, ledger: Ledger) {
    let connections = AtomicU64::new(0);
    // The set ends every connection with the server.
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let number = connections.fetch_add(1, Ordering::Relaxed);
                    tasks.spawn(serve(stream, number, script.clone(), ledger.clone()));
                }
                // Out of descriptors, or the peer left while it waited: the next one may do.
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            },
            Some(_) = tasks.join_next() => {}
        }
    }
}

/// Whether the connection can carry another request.
enum After {
    Reuse,
    Close,
}

async fn serve(stream: TcpStream, number: u64, script: Script, ledger: Ledger) {
    // Latency tests must not wait for Nagle; where the option is refused they are merely slow.
    stream.set_nodelay(true).ok();
    let mut connection = Connection::new(stream);
    while let Ok(Some(request)) = connection.request().await {
        if request.route() == "/ledger" {
            let reply = Reply::body(200, "application/x-ndjson", ledger.json_lines());
            if write_plain(&mut connection.stream, &reply).await.is_err() {
                return;
            }
            continue;
        }
        let index = ledger.open(number, &request);
        if !request.complete {
            return;
        }
        let reply = script(&request);
        let head_only = request.method == "HEAD";
        let mut play = Play {
            connection: &mut connection,
            sent: Running::new(),
            chunked: false,
        };
        let (complete, after) = play.run(&reply, head_only).await;
        let body = play.sent.digest();
        ledger.answer(
            index,
            Sent {
                status: reply.status,
                body,
                complete,
            },
        );
        if matches!(after, After::Close) {
            return;
        }
    }
}

async fn write_plain(stream: &mut TcpStream, reply: &Reply) -> std::io::Result<()> {
    stream.write_all(&head(reply)).await?;
    stream.write_all(&reply.body_bytes()).await
}

fn head(reply: &Reply) -> Vec<u8> {
    let reason = http::StatusCode::from_u16(reply.status)
        .ok()
        .and_then(|s| s.canonical_reason())
        .unwrap_or("Scripted");
    let mut out = format!("HTTP/1.1 {} {reason}\r\n", reply.status);
    for (name, value) in &reply.headers {
        out.push_str(name);
        out.push_str(": ");
        out.push_str(value);
        out.push_str("\r\n");
    }
    match reply.framing {
        Framing::Length if matches!(reply.status, 204 | 304) => {}
        Framing::Length => {
            out.push_str(&format!("content-length: {}\r\n", reply.body_bytes().len()))
        }
        Framing::Claims(length) => out.push_str(&format!("content-length: {length}\r\n")),
        Framing::Chunked => out.push_str("transfer-encoding: chunked\r\n"),
        Framing::UntilClose => out.push_str("connection: close\r\n"),
    }
    out.push_str("\r\n");
    out.into_bytes()
}

/// An answer on its way.
struct Play<'a> {
    connection: &'a mut Connection,
    sent: Running,
    chunked: bool,
}

impl Play<'_> {
    async fn run(&mut self, reply: &Reply, head_only: bool) -> (bool, After) {
        for step in &reply.before {
            if let Err(ended) = self.step(step).await {
                return ended;
            }
        }
        if self
            .connection
            .stream
            .write_all(&head(reply))
            .await
            .is_err()
        {
            return (false, After::Close);
        }
        if head_only {
            return (true, After::Reuse);
        }
        self.chunked = reply.framing == Framing::Chunked;
        for step in &reply.steps {
            if let Err(ended) = self.step(step).await {
                return ended;
            }
        }
        if self.chunked
            && self
                .connection
                .stream
                .write_all(b"0\r\n\r\n")
                .await
                .is_err()
        {
            return (false, After::Close);
        }
        let reuse = match reply.framing {
            Framing::Length | Framing::Chunked => After::Reuse,
            Framing::Claims(_) | Framing::UntilClose => After::Close,
        };
        (true, reuse)
    }

    async fn step(&mut self, step: &Step) -> Result<(), (bool, After)> {
        const BROKEN: (bool, After) = (false, After::Close);
        match step {
            Step::Send(bytes) if bytes.is_empty() => {}
            Step::Send(bytes) => {
                let mut framed;
                let out = if self.chunked {
                    framed = format!("{:x}\r\n", bytes.len()).into_bytes();
                    framed.extend_from_slice(bytes);
                    framed.extend_from_slice(b"\r\n");
                    &framed
                } else {
                    bytes.as_ref()
                };
                self.connection
                    .stream
                    .write_all(out)
                    .await
                    .map_err(|_| BROKEN)?;
                self.sent.update(bytes);
            }
            Step::Pause(pause) => tokio::time::sleep(*pause).await,
            Step::Wait(gate) => {
                tokio::select! {
                    () = gate.passed() => {}
                    () = self.connection.gone() => return Err(BROKEN),
                }
            }
            Step::Hang => {
                self.connection.gone().await;
                return Err(BROKEN);
            }
            Step::Reset => {
                // Linger 0 turns the close into a reset; where it is refused the close is a plain
                // one, which the test that asked for a reset will notice.
                self.connection.stream.set_zero_linger().ok();
                return Err(BROKEN);
            }
            Step::Cut => return Err(BROKEN),
        }
        Ok(())
    }
}
