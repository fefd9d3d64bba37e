//! `tacho completions`: a completion script for a shell.

use crate::cli::Cli;
use crate::exit::Exit;
use crate::failure::Failure;
use clap::CommandFactory as _;
use clap_complete::Shell;
use std::io::Write as _;
use std::process::ExitCode;

/// Arguments of `tacho completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tacho completions bash > ~/.local/share/bash-completion/completions/tacho
  tacho completions zsh  > ~/.zfunc/_tacho
  tacho completions fish > ~/.config/fish/completions/tacho.fish")]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub(crate) fn execute(args: &Args) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tacho", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(Exit::Done.into())
}
