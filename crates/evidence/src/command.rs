//! What sources ask of the sequencer.

use crate::dedup::ChunkHash;
use crate::error::Error;
use crate::reach::Weight;
use crate::record::Claim;
use crate::sealed_volume::SealedVolume;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Where an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Index in the log.
    pub seq: u64,
    /// The stream: `seq` of the first event of its run in this recorder session.
    pub stream: u64,
    /// Counter in the stream.
    pub n: u64,
}

pub(crate) type Ack = oneshot::Sender<Result<Appended, Error>>;

/// A queued write; resolves when it is durable.
#[derive(Debug)]
pub struct Pending(pub(crate) oneshot::Receiver<Result<Appended, Error>>);

impl Future for Pending {
    type Output = Result<Appended, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // A sender that was dropped is a recorder that stopped before it wrote.
        Pin::new(&mut self.0)
            .poll(cx)
            .map(|got| got.unwrap_or(Err(Error::Closed)))
    }
}

/// A chunk that the source believes to be new.
#[derive(Debug)]
pub(crate) struct NewChunk {
    pub(crate) hash: ChunkHash,
    pub(crate) raw_len: u32,
    pub(crate) codec: u8,
    /// Encrypted.
    pub(crate) bytes: Vec<u8>,
}

/// A place in a body.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ChunkRef {
    /// In the log already.
    Known(u64),
    /// Sent by this body with this or an earlier command: index among all it ever sent.
    Sent(u32),
}

/// What a body's command does besides adding chunks.
#[derive(Debug)]
pub(crate) enum BodyStep {
    /// Only adds chunks.
    Chunks,
    /// Makes the unfinished body recoverable.
    Part {
        call: u64,
        role: &'static str,
        /// `None`: it only names chunks, another part follows.
        claim: Option<Claim>,
        refs: Vec<ChunkRef>,
        /// Encrypted.
        tail: Vec<u8>,
        ack: Ack,
    },
    /// Ends the body.
    End {
        len: u64,
        commitment: [u8; 32],
        refs: Vec<ChunkRef>,
    },
}

impl BodyStep {
    /// Whom to tell what became of it, if anybody waits.
    pub(crate) fn into_ack(self) -> Option<Ack> {
        match self {
            Self::Part { ack, .. } => Some(ack),
            Self::Chunks | Self::End { .. } => None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct EventCommand {
    pub(crate) run: Option<Arc<str>>,
    pub(crate) flags: u8,
    pub(crate) call: u64,
    /// The line after its opening brace and position.
    pub(crate) sealed: Vec<u8>,
    pub(crate) bodies: Vec<u64>,
    pub(crate) weight: Weight,
    /// It was refused before and is counted as refused.
    pub(crate) counted: bool,
    pub(crate) ack: Ack,
}

#[derive(Debug)]
pub(crate) enum Command {
    Event(EventCommand),
    Body {
        id: u64,
        /// How many chunks the body has sent before these.
        first: u32,
        chunks: Vec<NewChunk>,
        step: BodyStep,
    },
    /// The source gives the body up.
    Abandon {
        id: u64,
    },
    /// Writes a heartbeat if nothing was written since the given event count.
    Heartbeat {
        idle_since: u64,
    },
    /// Writes that a volume is complete.
    Sealed(SealedVolume),
    /// Goes over to the segment after `leaving`, so that this one can be settled.
    NextSegment {
        leaving: u64,
    },
    /// Writes how many events were refused and not yet said to be.
    Refusals,
    /// Finishes what is queued before it and ends the thread.
    Close {
        ack: oneshot::Sender<()>,
    },
}

/// A command and the room it occupies in the queue.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) command: Command,
    pub(crate) room: Option<OwnedSemaphorePermit>,
}
