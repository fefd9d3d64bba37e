//! `tacho run`: starts an agent with its surroundings set so that it speaks through the recorder.

use crate::address::Address;
use crate::commands::Context;
use crate::commands::mcp::{end, not_started};
use crate::exit::Exit;
use crate::failure::{Failure, note};
use crate::link::{Link, LinkError};
use crate::shell;
use crate::wrap::child::{Manner, Process, Signals};
use crate::wrap::{self, exit_code};
use gateway::socket::{Ended, Hello, PROTOCOL, Role};
use rustix::process::Signal;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

/// Arguments of `tacho run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Sets for the command: ANTHROPIC_BASE_URL, OPENAI_BASE_URL, GOOGLE_GEMINI_BASE_URL (to the recorder's gateway),
TACHO_AGENT, TACHO_RUN, TACHO_SOCKET (for `tacho mcp` within), ENABLE_TOOL_SEARCH=true. Credentials stay the agent's own.
Ends with the exit code of the command.")]
pub(crate) struct Args {
    /// Name of the agent
    #[arg(long, value_name = "NAME", value_parser = wrap::name)]
    agent: String,
    /// Run to record into [default: a new run]
    #[arg(long, value_name = "ID")]
    run: Option<String>,
    /// Seconds to wait for a recorder that does not answer
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    patience: u16,
    /// The agent's command
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Runs the agent to its end.
pub(crate) async fn execute(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    let mut signals = Signals::new()
        .map_err(|error| Failure::new("signals cannot be received").because(&error))?;
    let socket = wrap::socket(context, None);
    let socket = std::path::absolute(&socket).unwrap_or(socket);
    let patience = Duration::from_secs(args.patience.into());
    let mut hello = Hello {
        protocol: PROTOCOL,
        role: Role::Run,
        agent: args.agent.clone(),
        server: None,
        argv: wrap::argv(&args.command),
        cwd: wrap::directory(),
        env: wrap::environment(),
        run: args.run,
        resumed: false,
    };
    let mut link = Link::open_within(&socket, &hello, patience)
        .await
        .map_err(|error| unreachable(&context.data, &error))?;
    let gateway = match Address::read(&context.data) {
        Ok(Some(address)) => address.gateway,
        Ok(None) => return Err(no_address(&mut link, &context.data, None).await),
        Err(error) => return Err(no_address(&mut link, &context.data, Some(&error)).await),
    };
    let environment = environment(&gateway, &args.agent, &link.run, &socket);
    announce(&args.agent, &link.run, &gateway, &environment);
    let mut process = match Process::start(&args.command, &environment, Manner::Attached) {
        Ok(process) => process,
        Err(error) => return not_started(&mut link, &args.command, &error).await,
    };
    let status = attend(&mut process, &mut signals).await;
    let ended = Ended {
        pid: process.pid(),
        code: status.as_ref().ok().and_then(ExitStatus::code),
        signal: status.as_ref().ok().and_then(|status| status.signal()),
        duration_us: u64::try_from(process.age().as_micros()).unwrap_or(u64::MAX),
        not_started: None,
    };
    end(&mut link, &mut hello, &socket, patience, &ended).await;
    Ok(status.map_or_else(|_| Exit::Failed.into(), exit_code))
}

/// Waits for the agent's end and passes signals on.
async fn attend(process: &mut Process, signals: &mut Signals) -> std::io::Result<ExitStatus> {
    // At a terminal, Ctrl-C reaches the agent without us; passing it on would be a second one.
    let at_terminal = std::io::stdin().is_terminal();
    loop {
        let signal = tokio::select! {
            status = process.wait() => return status,
            signal = signals.next() => signal,
        };
        if !at_terminal || !matches!(signal, Signal::INT | Signal::QUIT) {
            process.signal(signal);
        }
    }
}

/// What the agent's environment gets.
fn environment(gateway: &str, agent: &str, run: &str, socket: &Path) -> Vec<(String, String)> {
    let base = format!("{gateway}/agent/{}/run/{}", segment(agent), segment(run));
    [
        ("ANTHROPIC_BASE_URL", format!("{base}/anthropic")),
        ("OPENAI_BASE_URL", format!("{base}/openai/v1")),
        ("GOOGLE_GEMINI_BASE_URL", format!("{base}/gemini")),
        ("TACHO_AGENT", agent.to_owned()),
        ("TACHO_RUN", run.to_owned()),
        ("TACHO_SOCKET", socket.to_string_lossy().into_owned()),
        // Claude Code turns tool search off where it does not know the host.
        ("ENABLE_TOOL_SEARCH", "true".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// One segment of a path: RFC 3986, unreserved characters stay.
fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            write!(out, "%{byte:02X}").ok();
        }
    }
    out
}

fn announce(agent: &str, run: &str, gateway: &str, environment: &[(String, String)]) {
    for (name, value) in environment {
        if name.ends_with("_BASE_URL")
            && std::env::var_os(name).is_some_and(|before| before.to_string_lossy() != *value)
        {
            note(&format!(
                "warning: {name} is set and is replaced, so that calls are recorded; configure its upstream for the recorder instead"
            ));
        }
    }
    note(&format!(
        "tacho: recording agent `{agent}`, run {run}: captured are model calls to the Anthropic, OpenAI and Gemini base URLs \
         (through {gateway}); not captured are other addresses and tools without `tacho mcp` or /agent/{agent}/mcp/SERVER"
    ));
}

fn unreachable(data: &Path, error: &LinkError) -> Failure {
    Failure::new("the agent is not started, because nothing would be recorded")
        .because(error)
        .hint(format!(
            "start the recorder with `tacho serve --data {}`",
            shell::word(data)
        ))
}

/// A recorder that says nowhere where its gateway is: the process's record is closed.
async fn no_address(link: &mut Link, data: &Path, error: Option<&std::io::Error>) -> Failure {
    let ended = Ended {
        pid: None,
        code: None,
        signal: None,
        duration_us: 0,
        not_started: Some("no gateway address".to_owned()),
    };
    if let Err(error) = link.ended(&ended, crate::commands::mcp::END_PATIENCE).await {
        note(&format!(
            "warning: the failed start is not recorded: {error}"
        ));
    }
    let path: PathBuf = data.join("address");
    let failure = Failure::new(format!(
        "the gateway's address is not in {}",
        path.display()
    ));
    match error {
        Some(error) => failure.because(error),
        None => failure,
    }
    .hint(format!(
        "restart the recorder with `tacho serve --data {}`",
        shell::word(data)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_name_agent_and_run() {
        let set = environment(
            "http://127.0.0.1:8700",
            "a b/c",
            "01R",
            Path::new("/d/recorder.sock"),
        );
        let get = |name: &str| {
            set.iter()
                .find(|(n, _)| n == name)
                .map(|(_, value)| value.as_str())
        };
        assert_eq!(
            get("ANTHROPIC_BASE_URL"),
            Some("http://127.0.0.1:8700/agent/a%20b%2Fc/run/01R/anthropic")
        );
        assert_eq!(
            get("OPENAI_BASE_URL"),
            Some("http://127.0.0.1:8700/agent/a%20b%2Fc/run/01R/openai/v1")
        );
        assert_eq!(get("TACHO_AGENT"), Some("a b/c"));
        assert_eq!(get("TACHO_SOCKET"), Some("/d/recorder.sock"));
        assert_eq!(get("ENABLE_TOOL_SEARCH"), Some("true"));
    }
}
