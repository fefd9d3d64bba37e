//! `tacho mcp`.

use crate::commands::Context;
use crate::failure::Failure;
use std::process::ExitCode;

/// Arguments of `tacho mcp`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the command; returns the exit code of the process.
#[expect(clippy::unused_async, reason = "being filled in")]
pub(crate) async fn execute(_context: &Context, _args: Args) -> Result<ExitCode, Failure> {
    Err(Failure::new("`tacho mcp` is not part of this build"))
}
