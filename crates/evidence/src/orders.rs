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

/// Something that the settler does between two looks at the log.
#[derive(Debug)]
pub(crate) enum Order {
    /// Publish a checkpoint of everything that is durable.
    Publish(Answer<Published>),
}

impl Order {
    /// Tells whoever asked that it came to nothing. A caller that no longer waits has lost nothing.
    pub(crate) fn refuse(self, error: Error) {
        match self {
            Self::Publish(answer) => drop(answer.send(Err(error))),
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
