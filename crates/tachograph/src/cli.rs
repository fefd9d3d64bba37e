//! What a person can type.

use crate::failure::Failure;
use crate::{build, commands, exit};
use clap::error::ErrorKind;
use clap::{ColorChoice, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// A flight recorder for AI agents.
#[derive(Debug, Parser)]
#[command(
    name = "tacho",
    version = build::VERSION,
    long_version = build::LONG_VERSION,
    about = "A flight recorder for AI agents",
    long_about = "\
A flight recorder for AI agents: it stands between an agent and everything the agent can touch, forwards every byte
unchanged, and writes each call into a tamper-evident log before the call takes effect.",
    after_help = exit::HELP,
    subcommand_required = true,
    arg_required_else_help = true,
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// Directory of the record [default: $XDG_DATA_HOME/tachograph or ~/.local/share/tachograph]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "TACHO_DATA",
        hide_env_values = true
    )]
    pub(crate) data: Option<PathBuf>,
    /// Print JSON: one document, or one object a line where the answer is a list of events
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// When to colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorChoice,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Record: run the gateway that agents speak to
    Serve(commands::serve::Args),
    /// Run a command as a recorded agent
    Run(commands::run::Args),
    /// Wrap a stdio MCP server and record what passes
    Mcp(commands::mcp::Args),
    /// Play a recorded incident through a real gateway
    Demo(commands::demo::Args),
    /// Say whether a recorder is running, and how it is
    Status(commands::status::Args),
    /// List the runs in the record
    Runs(commands::runs::Args),
    /// List events
    Events(commands::events::Args),
    /// Show one event and its bodies
    Show(commands::show::Args),
    /// Tell one run as a story: model calls, tool calls, results, gaps
    Timeline(commands::timeline::Args),
    /// List the log's keys, change or revoke one
    Keys(commands::keys::Args),
    /// Re-hash the whole record and say what that proves
    Verify(commands::verify::Args),
    /// Write what proves one event to somebody who has nothing else
    Proof(commands::proof::Args),
    /// Have the log's head told outside this machine now
    Anchor(commands::anchor::Args),
    /// Be a witness for the logs of other machines
    Witness(commands::witness::Args),
    /// Print a completion script for a shell
    Completions(commands::completions::Args),
}

impl Cli {
    /// Whether standard output is a script's that reads JSON. That of `run` and `mcp` belongs to the process they wrap.
    pub(crate) const fn answers_in_json(&self) -> bool {
        self.global.json && !matches!(self.command, Command::Run(_) | Command::Mcp(_))
    }
}

/// Tells what was wrong with the command line, or prints the help that was asked for.
pub(crate) fn refuse(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // Nobody is left to tell when the help cannot be printed.
        error.print().ok();
        return if error.use_stderr() {
            exit::Exit::Usage.into()
        } else {
            exit::Exit::Done.into()
        };
    }
    usage(&error.render().to_string()).tell(asked_for_json())
}

/// What clap says, as every other failure is told. It repeats arguments, which may hold anything.
fn usage(text: &str) -> Failure {
    let text = text.trim_end();
    let (message, rest) = text.split_once("\n\n").unwrap_or((text, ""));
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let failure = Failure::usage(message);
    if rest.is_empty() {
        failure.hint("see `tacho --help`")
    } else {
        failure.hint(rest.trim_start())
    }
}

/// As [`Cli::answers_in_json`], for a command line that is not understood.
fn asked_for_json() -> bool {
    let own = || std::env::args_os().skip(1).take_while(|word| word != "--");
    own().any(|word| word == "--json") && !own().any(|word| word == "run" || word == "mcp")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
