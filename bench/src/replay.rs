//! Recorded conversations, sent once more through the real gateway.

use crate::error::Error;
use crate::load::{join, spawn};
use crate::serve::{Serve, Stopped};
use crate::upstream::{self, Book, Script};
use crate::wire::{self, Connection};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::scope;

/// Agents at a time.
const AGENTS: usize = 8;

/// Whom a call goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    Model,
    Tools,
}

/// One call and its answer.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) to: To,
    pub(crate) body: Vec<u8>,
    /// Head and body.
    pub(crate) answer: Vec<u8>,
}

impl Call {
    /// Bytes of both bodies.
    pub(crate) fn body_bytes(&self) -> u64 {
        let head = wire::head_len(&self.answer).unwrap_or_default();
        (self.body.len() + self.answer.len() - head) as u64
    }
}

/// Plays the conversations, each by its agent, and returns the store they left.
pub(crate) fn play(
    dir: &Path,
    conversations: &[(&str, &[Call])],
) -> Result<(PathBuf, Stopped), Error> {
    let (mut model, mut tools) = (Book::default(), Book::default());
    for call in conversations.iter().flat_map(|(_, calls)| *calls) {
        let book = match call.to {
            To::Model => &mut model,
            To::Tools => &mut tools,
        };
        book.add(&call.body, call.answer.clone());
    }
    let model = upstream::start(Script::Book(Arc::new(model)))?;
    let tools = upstream::start(Script::Book(Arc::new(tools)))?;
    let serve = Serve::start(dir, model, tools)?;
    let next = AtomicUsize::new(0);
    scope(|scope| {
        let agents: Vec<_> = (0..AGENTS)
            .map(|_| spawn(scope, || agent(&serve, conversations, &next)))
            .collect();
        agents.into_iter().try_for_each(|agent| join(agent?)?)
    })?;
    serve.stop()
}

fn agent(
    serve: &Serve,
    conversations: &[(&str, &[Call])],
    next: &AtomicUsize,
) -> Result<(), Error> {
    let mut connection = Connection::open(serve.gateway())?;
    while let Some((agent, calls)) = conversations.get(next.fetch_add(1, Ordering::Relaxed)) {
        for call in *calls {
            let (path, accept, more) = match call.to {
                To::Model => (
                    format!("/agent/{agent}/bench/v1/chat/completions"),
                    "application/json",
                    "",
                ),
                To::Tools => (
                    format!("/agent/{agent}/mcp/tools"),
                    "application/json, text/event-stream",
                    "MCP-Protocol-Version: 2025-06-18\r\n",
                ),
            };
            let mut request = wire::request_head(&path, accept, call.body.len(), more);
            request.extend_from_slice(&call.body);
            connection.send(&request)?;
            let status = connection.answer()?;
            if status != 200 {
                return Err(Error::Wrong(format!(
                    "a replayed call was answered with {status}"
                )));
            }
        }
    }
    Ok(())
}
