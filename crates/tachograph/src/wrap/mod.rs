//! Wrapping a process: what `tacho mcp` and `tacho run` have in common.

pub(crate) mod child;
mod lane;
pub(crate) mod lines;
pub(crate) mod refuse;
pub(crate) mod relay;
mod stage;

use crate::commands::Context;
use crate::exit::Exit;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Longest environment and argument list that is told to the recorder, in entries.
const MAX_ENTRIES: usize = 2048;

/// Longest single entry in bytes.
const ENTRY_BYTES: usize = 4096;

/// Longest of all entries together, in bytes: a greeting is one frame.
const TOTAL_BYTES: usize = 96 * 1024;

/// The socket of the recorder: as typed, else of the data directory that was typed, else of the wrapper around us
/// (`TACHO_SOCKET`), else of the data directory by default.
pub(crate) fn socket(context: &Context, typed: Option<PathBuf>) -> PathBuf {
    let own = std::env::args_os().take_while(|argument| argument != "--");
    let data_is_typed = own
        .map(|argument| argument.to_string_lossy().into_owned())
        .any(|argument| argument == "--data" || argument.starts_with("--data="));
    let around = std::env::var_os("TACHO_SOCKET").filter(|path| !path.is_empty() && !data_is_typed);
    typed
        .or_else(|| around.map(PathBuf::from))
        .unwrap_or_else(|| context.data.join(gateway::socket::FILE_NAME))
}

/// The name of an agent or a server, as the recorder takes it.
pub(crate) fn name(text: &str) -> Result<String, &'static str> {
    if gateway::socket::acceptable_name(text) {
        Ok(text.to_owned())
    } else {
        Err("a name has 1 to 128 bytes and no control characters")
    }
}

/// The command line as it is told to the recorder.
pub(crate) fn argv(command: &[OsString]) -> Vec<String> {
    bounded(
        command
            .iter()
            .map(|argument| argument.to_string_lossy().into_owned()),
    )
}

/// Names of the environment's variables.
pub(crate) fn environment() -> Vec<String> {
    let mut names: Vec<String> = std::env::vars_os()
        .map(|(name, _)| name.to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    bounded(names.into_iter())
}

fn bounded(entries: impl Iterator<Item = String>) -> Vec<String> {
    let mut total = 0;
    let mut kept = Vec::new();
    for mut entry in entries.take(MAX_ENTRIES) {
        entry.truncate(entry.floor_char_boundary(ENTRY_BYTES));
        total += entry.len();
        if total > TOTAL_BYTES {
            break;
        }
        kept.push(entry);
    }
    kept
}

/// The working directory.
pub(crate) fn directory() -> Option<String> {
    std::env::current_dir()
        .ok()
        .map(|directory| directory.to_string_lossy().into_owned())
}

/// The exit code of a process as a shell tells it: its code, or 128 and the signal that ended it.
pub(crate) fn exit_code(status: std::process::ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    match code.and_then(|code| u8::try_from(code).ok()) {
        Some(code) => ExitCode::from(code),
        None => Exit::Failed.into(),
    }
}
