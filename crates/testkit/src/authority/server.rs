//! The authority on the network, and what it does wrong there.

use super::{Authority, Style};
use crate::{Framing, Reply, Request, Step, Upstream};
use bytes::Bytes;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What an authority on the network does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Ends the connection with a reset before it answers.
    Reset,
    /// Takes the request and never answers.
    Silent,
    /// Answers after this time.
    Slow(Duration),
    /// HTTP 500.
    ServerError,
    /// HTTP 200 and bytes that are no time-stamp.
    Garbage,
    /// HTTP 200, and the connection ends within the token.
    Cut,
    /// A proper answer to another nonce.
    WrongNonce,
    /// A proper answer to another imprint.
    WrongImprint,
    /// The first proper answer again.
    Replay,
    /// A proper refusal.
    Rejection,
    /// More bytes than any token has.
    Endless,
}

/// A time-stamping authority over HTTP on a free loopback port, with faults at a switch.
#[derive(Debug)]
pub struct AuthorityServer {
    upstream: Upstream,
    fault: Arc<Mutex<Fault>>,
}

impl AuthorityServer {
    /// Serves the authority's certificate of that name.
    ///
    /// # Errors
    /// When no loopback port can be bound.
    pub async fn start(authority: Arc<Authority>, name: &'static str) -> io::Result<Self> {
        let fault = Arc::new(Mutex::new(Fault::None));
        let switch = fault.clone();
        let first = Mutex::new(None::<Vec<u8>>);
        let upstream = Upstream::start(move |request| {
            let fault = *switch.lock().unwrap_or_else(PoisonError::into_inner);
            let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
            answer(&authority, name, fault, &mut first, request)
        })
        .await?;
        Ok(Self { upstream, fault })
    }

    /// Where to POST a query.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/tsa", self.upstream.url())
    }

    /// Everything it received and sent.
    #[must_use]
    pub const fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// From the next request on it does this wrong.
    pub fn set_fault(&self, fault: Fault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }
}

const MEDIA: &str = "application/timestamp-reply";

fn answer(
    authority: &Authority,
    name: &str,
    fault: Fault,
    first: &mut Option<Vec<u8>>,
    request: &Request,
) -> Reply {
    if request.method != "POST"
        || request.header("content-type") != Some("application/timestamp-query")
    {
        return Reply::body(415, "text/plain", "a time-stamp query is expected");
    }
    let mut query = request.body.to_vec();
    let length = query.len();
    match fault {
        Fault::ServerError => return Reply::body(500, "text/plain", "out of time"),
        Fault::Garbage => return Reply::body(200, MEDIA, "this is no time-stamp"),
        Fault::Endless => return Reply::body(200, MEDIA, vec![0x30_u8; 8 * 1024 * 1024]),
        Fault::Reset => return before(Step::Reset),
        Fault::Silent => return before(Step::Hang),
        // In a query of ours the nonce ends before certReq, and the digest ends before the nonce.
        Fault::WrongNonce => flip(&mut query, length.wrapping_sub(4)),
        Fault::WrongImprint => flip(&mut query, 30),
        // A hash function that the authority does not know.
        Fault::Rejection => flip(&mut query, 19),
        Fault::None | Fault::Slow(_) | Fault::Cut | Fault::Replay => {}
    }
    let token = match (fault, &first) {
        (Fault::Replay, Some(first)) => first.clone(),
        _ => match authority.reply(name, Style::Plain, &query) {
            Ok(reply) => reply,
            Err(error) => return Reply::body(500, "text/plain", error.to_string()),
        },
    };
    first.get_or_insert_with(|| token.clone());
    let reply = Reply::body(200, MEDIA, token.clone());
    match fault {
        Fault::Slow(pause) => Reply {
            before: vec![Step::Pause(pause)],
            ..reply
        },
        Fault::Cut => {
            let bytes = Bytes::from(token);
            let half = bytes.slice(..bytes.len() / 2);
            Reply {
                framing: Framing::Claims(bytes.len() as u64),
                steps: vec![Step::Send(half), Step::Cut],
                ..reply
            }
        }
        _ => reply,
    }
}

fn before(step: Step) -> Reply {
    Reply {
        before: vec![step],
        ..Reply::empty(200)
    }
}

fn flip(query: &mut [u8], at: usize) {
    if let Some(byte) = query.get_mut(at) {
        *byte ^= 1;
    }
}
