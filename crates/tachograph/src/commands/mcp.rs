//! `tacho mcp`: wraps a stdio MCP server and records what passes, byte for byte.

use crate::commands::Context;
use crate::exit::Exit;
use crate::failure::{Failure, note};
use crate::link::{Link, LinkError};
use crate::wrap::child::{Manner, Process, Signals};
use crate::wrap::refuse::refuse_all;
use crate::wrap::relay::{Recorder, Relay, Relayed};
use crate::wrap::{self, exit_code};
use gateway::socket::{Ended, Hello, PROTOCOL, Role};
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// How long the end of a process may take to be recorded.
pub(crate) const END_PATIENCE: Duration = Duration::from_secs(10);

/// Arguments of `tacho mcp`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
In an MCP client's configuration, put `tacho mcp` before the server's command:
  \"command\": \"tacho\",
  \"args\": [\"mcp\", \"--agent\", \"coder\", \"--server\", \"files\", \"--\", \"npx\", \"-y\", \"server-filesystem\", \"/srv\"]

A message passes only when it is recorded. While no recorder answers, nothing passes: requests are answered with a
JSON-RPC error (-32000), and after --patience the command ends with exit code 1. Otherwise it ends as the server does.")]
pub(crate) struct Args {
    /// Name of the agent that speaks to the server
    #[arg(long, value_name = "NAME", env = "TACHO_AGENT", value_parser = wrap::name)]
    agent: String,
    /// Name of the server
    #[arg(long, value_name = "NAME", value_parser = wrap::name)]
    server: String,
    /// Run to record into [default: a run of its own]
    #[arg(long, value_name = "ID", env = "TACHO_RUN")]
    run: Option<String>,
    /// The recorder's socket [default: $TACHO_SOCKET, or DIR/recorder.sock where --data is given]
    #[arg(long, value_name = "FILE")]
    socket: Option<PathBuf>,
    /// Seconds to wait for a recorder that does not answer
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    patience: u16,
    /// The server's command
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Relays until the server ends.
pub(crate) async fn execute(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    let signals = Signals::new()
        .map_err(|error| Failure::new("signals cannot be received").because(&error))?;
    let recorder = Recorder {
        socket: wrap::socket(context, args.socket),
        hello: Hello {
            protocol: PROTOCOL,
            role: Role::Mcp,
            agent: args.agent,
            server: Some(args.server),
            argv: wrap::argv(&args.command),
            cwd: wrap::directory(),
            env: wrap::environment(),
            run: args.run,
            resumed: false,
        },
        patience: Duration::from_secs(args.patience.into()),
    };
    let opened = Link::open_within(&recorder.socket, &recorder.hello, recorder.patience).await;
    let mut link = match opened {
        Ok(link) => link,
        Err(error) => {
            refuse_all(&error).await;
            return Ok(Exit::Failed.into());
        }
    };
    let process = match Process::start(&args.command, &[], Manner::Piped) {
        Ok(process) => process,
        Err(error) => return not_started(&mut link, &args.command, &error).await,
    };
    match Relay::new(recorder, link, process, signals).run().await {
        Ok(relayed) => Ok(conclude(relayed).await),
        // It was told already.
        Err(_) => Ok(Exit::Failed.into()),
    }
}

async fn conclude(relayed: Relayed) -> ExitCode {
    let Relayed {
        mut link,
        process,
        mut recorder,
        status,
    } = relayed;
    let ended = Ended {
        pid: process.pid(),
        code: status.and_then(|status| status.code()),
        signal: status.and_then(|status| status.signal()),
        duration_us: u64::try_from(process.age().as_micros()).unwrap_or(u64::MAX),
        not_started: None,
    };
    end(
        &mut link,
        &mut recorder.hello,
        &recorder.socket,
        recorder.patience,
        &ended,
    )
    .await;
    status.map_or_else(|| Exit::Failed.into(), exit_code)
}

/// Has the end recorded; if need be by a recorder that came back.
pub(crate) async fn end(
    link: &mut Link,
    hello: &mut Hello,
    socket: &std::path::Path,
    patience: Duration,
    ended: &Ended,
) {
    let Err(error) = link.ended(ended, END_PATIENCE).await else {
        return;
    };
    hello.run = Some(link.run.clone());
    hello.resumed = true;
    let again = async {
        let mut link = Link::open_within(socket, hello, patience).await?;
        link.ended(ended, END_PATIENCE).await
    };
    if matches!(error, LinkError::Refused(_)) || again.await.is_err() {
        note(&format!(
            "warning: the end of the process is not recorded: {error}"
        ));
    }
}

/// A command that cannot be started: recorded, told, and the exit code a shell gives it.
pub(crate) async fn not_started(
    link: &mut Link,
    command: &[OsString],
    error: &io::Error,
) -> Result<ExitCode, Failure> {
    let ended = Ended {
        pid: None,
        code: None,
        signal: None,
        duration_us: 0,
        not_started: Some(error.kind().to_string()),
    };
    if let Err(error) = link.ended(&ended, END_PATIENCE).await {
        note(&format!(
            "warning: the failed start is not recorded: {error}"
        ));
    }
    let program = command
        .first()
        .map(|program| program.to_string_lossy())
        .unwrap_or_default();
    note(&format!("error: `{program}` cannot be started: {error}"));
    Ok(ExitCode::from(match error.kind() {
        io::ErrorKind::NotFound => 127,
        _ => 126,
    }))
}
