//! One file a verb.

pub(crate) mod anchor;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod events;
pub(crate) mod keys;
pub(crate) mod mcp;
pub(crate) mod proof;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod serve;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod timeline;
pub(crate) mod verify;
pub(crate) mod witness;

use crate::cli::{Cli, Command, Global};
use crate::failure::Failure;
use clap::ColorChoice;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What every command knows.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// The data directory; it need not exist.
    pub(crate) data: PathBuf,
    /// Whether data is printed as JSON.
    pub(crate) json: bool,
    /// When to colour.
    pub(crate) color: ColorChoice,
}

/// Runs the command that was typed.
pub(crate) fn dispatch(cli: Cli) -> Result<ExitCode, Failure> {
    let named = cli.global.data.is_some();
    let context = context(cli.global)?;
    match cli.command {
        Command::Serve(args) => block_on(serve::execute(&context, args)),
        Command::Run(args) => block_on(run::execute(&context, args)),
        Command::Mcp(args) => block_on(mcp::execute(&context, args)),
        Command::Demo(args) => block_on(demo::execute(&context, named, args)),
        Command::Status(args) => block_on(status::execute(&context, args)),
        Command::Runs(args) => runs::execute(&context, &args),
        Command::Events(args) => events::execute(&context, &args),
        Command::Show(args) => show::execute(&context, &args),
        Command::Timeline(args) => timeline::execute(&context, &args),
        Command::Keys(args) => block_on(keys::execute(&context, args)),
        Command::Verify(args) => verify::execute(&context, &args),
        Command::Proof(args) => proof::execute(&context, &args),
        Command::Anchor(args) => block_on(anchor::execute(&context, args)),
        Command::Witness(args) => block_on(witness::execute(&context, args)),
        Command::Completions(args) => completions::execute(&args),
    }
}

fn block_on(command: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new("cannot start the runtime").because(&error))?;
    let result = runtime.block_on(command);
    // Blocking reads of standard input cannot be cancelled and must not hold up the exit.
    runtime.shutdown_background();
    result
}

fn context(global: Global) -> Result<Context, Failure> {
    let data = match global.data {
        Some(data) => data,
        None => default_data(
            std::env::var_os("XDG_DATA_HOME").map(PathBuf::from),
            std::env::var_os("HOME").map(PathBuf::from),
        )
        .ok_or_else(|| {
            Failure::usage("there is no default place for the record: HOME is not set")
                .hint("name a directory with `--data DIR` or in TACHO_DATA")
        })?,
    };
    Ok(Context {
        data,
        json: global.json,
        color: global.color,
    })
}

/// The XDG base directory specification: a relative path in the variable counts as unset.
fn default_data(xdg: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    xdg.filter(|path| path.is_absolute())
        .or_else(|| {
            home.filter(|path| path.is_absolute())
                .map(|home| home.join(".local/share"))
        })
        .map(|base: PathBuf| base.join(Path::new("tachograph")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_directory_follows_xdg() {
        let path = |text: &str| Some(PathBuf::from(text));
        for (xdg, home, expected) in [
            (path("/x"), path("/h"), path("/x/tachograph")),
            (
                path("relative"),
                path("/h"),
                path("/h/.local/share/tachograph"),
            ),
            (path(""), path("/h"), path("/h/.local/share/tachograph")),
            (None, path("/h"), path("/h/.local/share/tachograph")),
            (None, None, None),
        ] {
            assert_eq!(default_data(xdg, home), expected);
        }
    }
}
