//! The exit codes of `tacho`: published, never reused.

use std::process::ExitCode;

/// How a command ended, as a script sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(
    dead_code,
    reason = "every published code stands here, whoever returns it"
)]
pub(crate) enum Exit {
    /// Done, all well.
    Done,
    /// It did not work.
    Failed,
    /// The command line or the configuration is wrong.
    Usage,
    /// Something was to be captured and nothing was.
    NothingCaptured,
    /// Integrity failure: evidence was altered or damaged.
    Altered,
    /// Verified, with recorded gaps or incidents.
    Gaps,
    /// Something that verification needs is missing.
    NotVerifiable,
}

impl Exit {
    /// The number the process ends with.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NothingCaptured => 6,
            Self::Altered => 10,
            Self::Gaps => 11,
            Self::NotVerifiable => 12,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The table of `tacho --help`. `run` and `mcp` end with the exit code of what they wrapped.
pub(crate) const HELP: &str = "\
Exit codes:
   0  done, all well
   1  failed
   2  wrong usage: the command line or the configuration file
   6  nothing was captured
  10  integrity failure: evidence was altered or damaged
  11  verified, with recorded gaps or incidents
  12  not verifiable: something needed is missing
  `run` and `mcp` end with the exit code of the process they wrap.

Data goes to standard output, everything else to standard error. Times are UTC.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_in_the_help() {
        for exit in [
            Exit::Done,
            Exit::Failed,
            Exit::Usage,
            Exit::NothingCaptured,
            Exit::Altered,
            Exit::Gaps,
            Exit::NotVerifiable,
        ] {
            let row = format!("\n  {:>2}  ", exit.code());
            assert!(HELP.contains(&row), "{exit:?} is not documented");
        }
    }
}
