//! What a person is told when a command cannot do what it was asked: one sentence on what
//! happened, the causes below it, one hint on what to do.

use crate::escape;
use crate::exit::Exit;
use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

/// Why a command stopped early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something to tell.
    Told(Box<Told>),
    /// Whoever read our output has enough of it. Nothing to tell.
    BrokenPipe,
}

/// What is told.
#[derive(Debug)]
pub(crate) struct Told {
    exit: Exit,
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
}

impl Failure {
    /// A failure with exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::with_exit(Exit::Failed, message)
    }

    /// Wrong usage, exit code 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::with_exit(Exit::Usage, message)
    }

    /// A failure with an exit code of its own.
    pub(crate) fn with_exit(exit: Exit, message: impl Into<String>) -> Self {
        Self::Told(Box::new(Told {
            exit,
            message: message.into(),
            causes: Vec::new(),
            hint: None,
        }))
    }

    /// Adds one line below the message.
    pub(crate) fn cause(mut self, cause: impl Into<String>) -> Self {
        if let Self::Told(told) = &mut self {
            told.causes.push(cause.into());
        }
        self
    }

    /// Adds `error` and everything beneath it.
    pub(crate) fn because(mut self, error: &dyn Error) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            self = self.cause(error.to_string());
            next = error.source();
        }
        self
    }

    /// Says what to do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Self::Told(told) = &mut self {
            told.hint = Some(hint.into());
        }
        self
    }

    /// Writes the failure to standard error, for a script that asked for JSON also to standard output, and returns the
    /// exit code.
    pub(crate) fn tell(&self, json: bool) -> ExitCode {
        let Self::Told(told) = self else {
            return Exit::Done.into();
        };
        if json {
            told.write_json();
        }
        let mut text = format!("error: {}\n", told.message);
        for cause in &told.causes {
            for line in cause.lines() {
                text.push_str("  ");
                text.push_str(line);
                text.push('\n');
            }
        }
        if let Some(hint) = &told.hint {
            text.push_str("\nhint: ");
            text.push_str(hint);
            text.push('\n');
        }
        // Standard error that cannot be written to leaves nobody to tell.
        std::io::stderr()
            .write_all(escape::block(&text).as_bytes())
            .ok();
        told.exit.into()
    }
}

impl Told {
    /// The one document of a command that has no answer.
    fn write_json(&self) {
        let error = serde_json::json!({
            "error": {
                "message": self.message,
                "causes": self.causes,
                "hint": self.hint,
                "exit_code": self.exit.code(),
            }
        });
        let line = format!("{}\n", escape::json(&error.to_string()));
        // Standard error has it too.
        std::io::stdout().write_all(line.as_bytes()).ok();
    }
}

/// An error while writing to standard output.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::BrokenPipe;
        }
        Self::new("cannot write to standard output").because(&error)
    }
}

/// One line on standard error that is neither data nor an error.
pub(crate) fn note(text: &str) {
    let line = format!("{}\n", escape::block(text));
    // Standard error that cannot be written to leaves nobody to tell.
    std::io::stderr().write_all(line.as_bytes()).ok();
}
