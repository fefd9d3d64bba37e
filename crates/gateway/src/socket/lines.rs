//! The lines of one direction, recorded as they come in and read when they are whole.

use crate::mcp::READ_BYTES;
use crate::owed::is_gone;
use event::{BodyRef, Role};
use evidence::{BodyWriter, Error, Recorder};
use protocol::jsonrpc::{self, Kind};

/// Collects one line at a time.
#[derive(Debug, Default)]
pub(super) struct Collector {
    line: Option<Line>,
}

/// A line, as far as it has come.
#[derive(Debug)]
pub(super) struct Line {
    /// Its body; an error where the recorder does not take it.
    writer: Result<BodyWriter, Error>,
    /// Its bytes, where it is short enough to be read.
    pub(super) text: Option<Vec<u8>>,
    /// Its length in bytes.
    pub(super) len: u64,
}

impl Collector {
    /// Adds a part of the line.
    ///
    /// # Errors
    /// The recorder takes nothing any more. Any other failure is the line's, and found when it is whole.
    pub(super) async fn add(&mut self, recorder: &Recorder, bytes: &[u8]) -> Result<(), Error> {
        let line = self.line.get_or_insert_with(|| Line {
            writer: recorder.body(),
            text: Some(Vec::new()),
            len: 0,
        });
        line.len += bytes.len() as u64;
        match &mut line.text {
            Some(text) if text.len() + bytes.len() <= READ_BYTES => text.extend_from_slice(bytes),
            _ => line.text = None,
        }
        let written = match &mut line.writer {
            Ok(writer) => writer.write(bytes).await,
            Err(error) => Err(error.clone()),
        };
        match written {
            Err(error) if is_gone(&error) => Err(error),
            Err(error) => {
                line.writer = Err(error);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// The line is whole.
    pub(super) const fn take(&mut self) -> Option<Line> {
        self.line.take()
    }
}

impl Line {
    /// Ends the body; an event that refers to it is durable with it.
    pub(super) async fn finish(self, role: Role) -> Result<BodyRef, Error> {
        self.writer?
            .finish(role, Some("application/json".to_owned()), None)
            .await
    }
}

/// Which body a line is to its events.
pub(super) fn role(kinds: &[Kind<'_>]) -> Role {
    match kinds {
        [Kind::Request { .. }] => Role::Request,
        [Kind::Response { .. } | Kind::Error { .. }] => Role::Response,
        _ => Role::Message,
    }
}

/// Why a line that is there is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// There is nothing in it.
    Empty(&'static str),
    /// What is in it stays unknown.
    NotUnderstood(&'static str),
}

/// Reads a line; there is at least one message in it.
pub(super) fn read(text: Option<&[u8]>) -> Result<jsonrpc::Payload<'_>, Unread> {
    let text = text.ok_or(Unread::NotUnderstood("the line is too long to be read"))?;
    let trimmed = text.trim_ascii();
    if trimmed.is_empty() {
        return Err(Unread::Empty("empty line"));
    }
    let payload = jsonrpc::read(trimmed).map_err(|_| Unread::NotUnderstood("not JSON"))?;
    if payload.messages.is_empty() {
        return Err(Unread::Empty("empty batch"));
    }
    Ok(payload)
}
