//! `tacho run`.

use crate::commands::Context;
use crate::failure::Failure;
use std::process::ExitCode;

/// Arguments of `tacho run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the command; returns the exit code of the process.
#[expect(clippy::unused_async, reason = "being filled in")]
pub(crate) async fn execute(_context: &Context, _args: Args) -> Result<ExitCode, Failure> {
    Err(Failure::new("`tacho run` is not part of this build"))
}
