//! How a wrapped server ends: asked by the end of its input, then by signals, each with its time.

use rustix::process::Signal;
use std::time::Duration;
use tokio::time::Instant;

/// How long a server may go on in silence after its input has ended.
const GRACE: Duration = Duration::from_secs(5);

/// The same, while it still owes an answer.
const GRACE_ASKED: Duration = Duration::from_secs(60);

/// How long a server that was asked to terminate may take.
pub(super) const GRACE_TERMINATED: Duration = Duration::from_secs(5);

/// How long what is left of an ended server's output is waited for: others may hold its pipes.
const GRACE_EXITED: Duration = Duration::from_secs(1);

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Running,
    InputEnded,
    Terminated(Instant),
    Killed,
    Exited(Instant),
}

/// What is to be done about a deadline that has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    /// The server gets a signal, and its end is at this stage.
    Server(Signal, Stage),
    /// Its pipes are not waited for any longer.
    Pipes,
}

impl Stage {
    pub(super) const fn is_exited(self) -> bool {
        matches!(self, Self::Exited(_))
    }

    /// Until when this stage may last. `owes`: an answer of the server is awaited.
    pub(super) fn deadline(self, last_output: Instant, owes: bool) -> Option<Instant> {
        match self {
            Self::Running | Self::Killed => None,
            Self::InputEnded if owes => Some(last_output + GRACE_ASKED),
            Self::InputEnded => Some(last_output + GRACE),
            Self::Terminated(at) => Some(at + GRACE_TERMINATED),
            Self::Exited(at) => Some(at + GRACE_EXITED),
        }
    }

    /// What follows when the deadline has passed.
    pub(super) const fn overdue(self, now: Instant) -> Option<Overdue> {
        match self {
            Self::InputEnded => Some(Overdue::Server(Signal::TERM, Self::Terminated(now))),
            Self::Terminated(_) => Some(Overdue::Server(Signal::KILL, Self::Killed)),
            Self::Exited(_) => Some(Overdue::Pipes),
            Self::Running | Self::Killed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_does_not_end_is_terminated_and_then_killed() {
        let start = Instant::now();
        for (stage, owes, wait, then) in [
            (Stage::Running, true, None, None),
            (
                Stage::InputEnded,
                true,
                Some(GRACE_ASKED),
                Some(Overdue::Server(Signal::TERM, Stage::Terminated(start))),
            ),
            (
                Stage::InputEnded,
                false,
                Some(GRACE),
                Some(Overdue::Server(Signal::TERM, Stage::Terminated(start))),
            ),
            (
                Stage::Terminated(start),
                true,
                Some(GRACE_TERMINATED),
                Some(Overdue::Server(Signal::KILL, Stage::Killed)),
            ),
            (Stage::Killed, true, None, None),
            (
                Stage::Exited(start),
                false,
                Some(GRACE_EXITED),
                Some(Overdue::Pipes),
            ),
        ] {
            let deadline = wait.map(|wait| start + wait);
            assert_eq!(stage.deadline(start, owes), deadline, "{stage:?}");
            assert_eq!(stage.overdue(start), then, "{stage:?}");
        }
    }
}
