//! What callers ask of the settler, one of them at a time.
//!
//! The queue is short: an order waits for the settler, a caller for the queue, and nobody for a caller.

use crate::error::Error;
use crate::progress::Progress;
use crate::published::Published;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Orders that may wait. Further callers wait for room.
const WAITING_MAX: usize = 16;

pub(crate) type Answer<T> = oneshot::Sender<Result<T, Error>>;

/// A key that has taken over from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotated {
    /// The epoch that has begun.
    pub epoch: u64,
    /// The size of the log that the key before closed with.
    pub size: u64,
    /// `seq` of the event that handed over.
    pub seq: u64,
}

/// A key that does not count any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoked {
    /// Its epoch.
    pub epoch: u64,
    /// The largest size for which its signatures still count.
    pub size: u64,
    /// `seq` of the event that says so.
    pub seq: u64,
}

/// Which key is to be revoked.
#[derive(Debug)]
pub(crate) struct Revocation {
    pub(crate) epoch: u64,
    /// The largest size that still counts; `None`: the epoch's beginning, so that none does.
    pub(crate) size: Option<u64>,
    pub(crate) reason: String,
}

/// Something that the settler does between two looks at the log.
#[derive(Debug)]
pub(crate) enum Order {
    /// Publish a checkpoint of everything that is durable.
    Publish(Answer<Published>),
    /// Change the log's key.
    Rotate(Answer<Rotated>),
    /// Revoke a key, after a change where it is the one in force.
    Revoke(Revocation, Answer<Revoked>),
}

impl Order {
    /// Tells whoever asked that it came to nothing. A caller that no longer waits has lost nothing.
    pub(crate) fn refuse(self, error: Error) {
        match self {
            Self::Publish(answer) => drop(answer.send(Err(error))),
            Self::Rotate(answer) => drop(answer.send(Err(error))),
            Self::Revoke(_, answer) => drop(answer.send(Err(error))),
        }
    }
}

/// The callers' end.
#[derive(Debug)]
pub(crate) struct Orders {
    queue: mpsc::Sender<Order>,
    progress: Arc<Progress>,
}

impl Orders {
    /// Both ends. Dropping the settler's end refuses what waits in it.
    pub(crate) fn new(progress: Arc<Progress>) -> (Self, mpsc::Receiver<Order>) {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        (Self { queue, progress }, waiting)
    }

    /// Gives an order and waits for the answer.
    ///
    /// # Errors
    /// [`Error::Closed`] when the settler has ended before it answered; or its answer.
    pub(crate) async fn give<T>(&self, order: impl FnOnce(Answer<T>) -> Order) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        self.queue
            .send(order(answer))
            .await
            .map_err(|_| Error::Closed)?;
        self.progress.ask();
        answered.await.unwrap_or(Err(Error::Closed))
    }
}
