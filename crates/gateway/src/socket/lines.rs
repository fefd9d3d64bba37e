//! The lines of one direction, recorded as they come in and read when they are whole.

use crate::mcp::READ_BYTES;
use event::{BodyRef, Role};
use evidence::{BodyWriter, Error, Recorder};
use protocol::jsonrpc::{self, Kind};

/// Collects one line at a time.
#[derive(Debug, Default)]
pub(super) struct Collector {
    writer: Option<BodyWriter>,
    /// The line for reading; `None` when it is over the bound.
    text: Option<Vec<u8>>,
}

/// A whole line.
#[derive(Debug)]
pub(super) struct Line {
    writer: BodyWriter,
    /// Its bytes, where it is short enough to be read.
    pub(super) text: Option<Vec<u8>>,
}

impl Collector {
    /// Adds a part of the line.
    pub(super) async fn add(&mut self, recorder: &Recorder, bytes: &[u8]) -> Result<(), Error> {
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                self.text = Some(Vec::new());
                recorder.body()?
            }
        };
        match &mut self.text {
            Some(text) if text.len() + bytes.len() <= READ_BYTES => text.extend_from_slice(bytes),
            _ => self.text = None,
        }
        writer.write(bytes).await?;
        self.writer = Some(writer);
        Ok(())
    }

    /// The line is whole.
    pub(super) fn take(&mut self) -> Option<Line> {
        let writer = self.writer.take()?;
        Some(Line {
            writer,
            text: self.text.take(),
        })
    }
}

impl Line {
    /// Ends the body; an event that refers to it is durable with it.
    pub(super) async fn finish(self, role: Role) -> Result<BodyRef, Error> {
        self.writer
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
pub(super) fn read(text: Option<&[u8]>) -> Result<jsonrpc::Payload<'_>, &'static str> {
    let Some(text) = text else {
        return Err("the line is too long to be read");
    };
    let trimmed = text.trim_ascii();
    if trimmed.is_empty() {
        return Err("empty line");
    }
    jsonrpc::read(trimmed).map_err(|_| "not JSON")
}
