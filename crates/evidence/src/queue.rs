//! What waits for the writer.
//!
//! Pieces of a body wake nobody: they lie here until the event that refers to them is pushed, for one write and one
//! waking of the writer's thread.

use crate::command::{BodyStep, Command, Queued};
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Commands without room of their own (heartbeats, bodies given up) are taken up to this length of the queue.
const SPARE: usize = 8192;

/// Body bytes that may lie here with nobody waiting for them.
const UNAWAITED_BYTES: usize = 512 << 10;

/// Pieces of bodies that may lie here with nobody waiting for them.
const UNAWAITED_COMMANDS: usize = 1024;

/// The queue is closed: the writer has ended, or nobody is left who could push.
#[derive(Debug)]
pub(crate) struct Closed;

#[derive(Debug, Default)]
struct Inner {
    commands: VecDeque<Queued>,
    unawaited: usize,
    due: bool,
    closed: bool,
}

/// Bounded by the room that sources take before they push.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    became_due: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a command, and wakes the writer if it is due.
    pub(crate) fn push(&self, queued: Queued, bytes: usize) -> Result<(), Closed> {
        let mut inner = self.lock();
        if inner.closed {
            return Err(Closed);
        }
        let was_due = inner.due;
        if is_awaited(&queued.command) {
            inner.due = true;
        } else {
            inner.unawaited += bytes;
            inner.due |=
                inner.unawaited >= UNAWAITED_BYTES || inner.commands.len() >= UNAWAITED_COMMANDS;
        }
        inner.commands.push_back(queued);
        let became_due = inner.due && !was_due;
        drop(inner);
        if became_due {
            self.became_due.notify_one();
        }
        Ok(())
    }

    /// Adds a command that took no room, unless the queue is long.
    pub(crate) fn push_spare(&self, command: Command) -> bool {
        let mut inner = self.lock();
        if inner.closed || inner.commands.len() >= SPARE {
            return false;
        }
        if is_awaited(&command) {
            inner.due = true;
        }
        inner.commands.push_back(Queued {
            command,
            room: None,
        });
        if inner.due {
            self.became_due.notify_one();
        }
        true
    }

    /// Moves everything into `taken`, which is empty.
    pub(crate) fn take_all(&self, taken: &mut VecDeque<Queued>) {
        let mut inner = self.lock();
        std::mem::swap(&mut inner.commands, taken);
        inner.due = false;
        inner.unawaited = 0;
    }

    /// Waits until there is something to do. `false`: the queue is closed, and what is in it is the last.
    pub(crate) fn wait(&self) -> bool {
        let inner = self.lock();
        let inner = self
            .became_due
            .wait_while(inner, |inner| !inner.due && !inner.closed)
            .unwrap_or_else(PoisonError::into_inner);
        !inner.closed
    }

    /// Whether [`Self::wait`] would return at once.
    #[cfg(test)]
    pub(crate) fn is_due(&self) -> bool {
        let inner = self.lock();
        inner.due || inner.closed
    }

    /// Takes no further command.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.became_due.notify_one();
    }
}

/// Whether somebody waits for what becomes of it.
const fn is_awaited(command: &Command) -> bool {
    match command {
        Command::Event(_)
        | Command::Heartbeat { .. }
        | Command::Sealed(_)
        | Command::NextSegment { .. }
        | Command::Refusals
        | Command::Close { .. } => true,
        Command::Body { step, .. } => matches!(step, BodyStep::Part { .. }),
        Command::Abandon { .. } => false,
    }
}
