//! `tacho serve`: the recorder with its gateway and its operator's listener.
//!
//! Contract: one line on standard output once connections are accepted,
//! `ready gateway=http://HOST:PORT console=http://HOST:PORT`; with `--json` the document
//! `{"ready":{"gateway":"http://HOST:PORT","console":"http://HOST:PORT"}}`. SIGTERM, SIGINT or SIGHUP: no new calls, open
//! calls may end within a bound, the log is sealed, exit 0. A second signal cuts the wait short.

use crate::address::Address;
use crate::anchoring::{Anchored, Anchoring};
use crate::commands::Context;
use crate::config::Config;
use crate::control::Control;
use crate::exit::Exit;
use crate::failure::{Failure, note};
use crate::observe::{observe, traffic};
use crate::operator::Operator;
use crate::signals::Signals;
use crate::{build, logging, record, shell};
use evidence::Recorder;
use gateway::Gateway;
use gateway::socket::Listener;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Arguments of `tacho serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
When it accepts connections it prints one line:
  ready gateway=http://127.0.0.1:8700 console=http://127.0.0.1:8701
with --json {\"ready\":{\"gateway\":...,\"console\":...}}.

Point an agent at it:
  ANTHROPIC_BASE_URL=http://127.0.0.1:8700/agent/NAME/anthropic
  OPENAI_BASE_URL=http://127.0.0.1:8700/agent/NAME/openai/v1
  an MCP server: http://127.0.0.1:8700/agent/NAME/mcp/SERVER")]
pub(crate) struct Args {
    /// Configuration (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where agents connect; port 0 picks a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8700")]
    gateway: SocketAddr,
    /// Where the operator connects; port 0 picks a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8701")]
    console: SocketAddr,
    /// Begin a new record that commits to the one in DIR, which is left as it is
    #[arg(long, value_name = "DIR")]
    successor_of: Option<PathBuf>,
}

/// Records until it is told to stop.
pub(crate) async fn execute(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    logging::start();
    let config = match &args.config {
        Some(file) => Config::load(file)?,
        None => Config::default(),
    };
    let mut signals = Signals::new()?;
    // Listen before the record is opened: an address that is taken must leave no trace in it.
    let agents = listen("--gateway", args.gateway, &context.data).await?;
    let operators = listen("--console", args.console, &context.data).await?;
    let address = Address {
        gateway: url(&agents)?,
        console: url(&operators)?,
        pid: std::process::id(),
        token: Address::new_token()
            .map_err(|error| Failure::new("cannot make a token").because(&error))?,
    };
    // Before the record is opened, which recovers and begins to write.
    let successor_of = args.successor_of.as_deref();
    let anchoring = Anchoring::before_start(&context.data, &config, successor_of).await?;
    let recorder = open(context, &config, &address)?;
    anchoring.record(&recorder).await?;
    let anchored = anchoring.start(&recorder)?;
    let result = record(
        context,
        &config,
        &address,
        (&recorder, &anchored),
        (agents, operators),
        &mut signals,
    )
    .await;
    // Whatever ended it, nobody listens any more.
    if let Err(error) = Address::withdraw(&context.data) {
        note(&format!(
            "warning: cannot remove the recorder's address: {error}"
        ));
    }
    let last = anchored.stop().await;
    let closed = recorder.close().await;
    result?;
    closed.map_err(|error| record::unreadable(&context.data, &error))?;
    last.lay_down();
    Ok(Exit::Done.into())
}

/// Everything that runs beside each other, from the first connection to the last.
async fn record(
    context: &Context,
    config: &Config,
    address: &Address,
    (recorder, anchored): (&Recorder, &Anchored),
    (agents, operators): (TcpListener, TcpListener),
    signals: &mut Signals,
) -> Result<(), Failure> {
    let gateway = Gateway::new(config.into(), recorder.clone()).map_err(|error| {
        Failure::usage("the gateway cannot use the configuration").because(&error)
    })?;
    let figures = gateway.figures();
    let operator = Operator {
        recorder: recorder.clone(),
        anchors: anchored.handle.clone(),
        started: Instant::now(),
        gateway: address.gateway.clone(),
        data: absolute(&context.data).display().to_string(),
        governance: config.digest(),
        token: address.token.clone(),
        trespass: Arc::default(),
    };
    let mut beside = JoinSet::new();
    beside.spawn(operator.serve(operators));
    beside.spawn(observe(
        recorder.clone(),
        context.data.clone(),
        config.recorder.environment_interval,
        Box::new(move || traffic(&figures.sample())),
    ));
    let control = Control::bind(&context.data, anchored.handle.clone(), recorder.clone())
        .map_err(|error| Failure::new("nobody could give the recorder orders").because(&error))?;
    beside.spawn(control.serve());
    let socket = Listener::bind(&context.data)
        .await
        .map_err(|error| Failure::new("wrappers could not reach the recorder").because(&error))?;
    let (stop, stopped) = watch::channel(());
    let mut plane = tokio::spawn(async move {
        // A sender that is gone means the same as one that spoke.
        let stopping = || {
            let mut stopped = stopped.clone();
            async move { drop(stopped.changed().await) }
        };
        tokio::join!(
            gateway.serve(agents, stopping()),
            socket.serve(&gateway, stopping())
        );
    });
    announce(context, address)?;

    let failed = tokio::select! {
        () = signals.next() => None,
        error = recorder.failed() => Some(error),
    };
    drop(stop);
    let failed = match failed {
        Some(error) => Some(error),
        None => {
            note("stopping: open calls may end; a second signal cuts them off");
            tokio::select! {
                _ = &mut plane => None,
                () = signals.next() => None,
                error = recorder.failed() => Some(error),
            }
        }
    };
    plane.abort();
    beside.shutdown().await;
    match failed {
        None => Ok(()),
        Some(error) => Err(
            Failure::new("the recorder stopped, because it cannot record any more")
                .because(&error)
                .hint("see to the disk, then start it again: what was acknowledged is recovered"),
        ),
    }
}

async fn listen(option: &str, address: SocketAddr, data: &Path) -> Result<TcpListener, Failure> {
    if !address.ip().is_loopback() {
        note(&format!(
            "warning: {option} {address} is reachable from other machines; whoever reaches it is not asked who they are"
        ));
    }
    TcpListener::bind(address).await.map_err(|error| {
        let hint = match Address::read(data) {
            Ok(Some(running)) => {
                format!(
                    "a recorder may be running as process {}: see `tacho status --data {}`",
                    running.pid,
                    shell::word(data)
                )
            }
            _ => format!("choose another with `{option} HOST:PORT`; port 0 picks a free one"),
        };
        Failure::new(format!("cannot listen on {address}"))
            .because(&error)
            .hint(hint)
    })
}

fn url(listener: &TcpListener) -> Result<String, Failure> {
    let address = listener
        .local_addr()
        .map_err(|error| Failure::new("cannot learn the listener's address").because(&error))?;
    Ok(format!("http://{address}"))
}

fn open(context: &Context, config: &Config, address: &Address) -> Result<Recorder, Failure> {
    let data = &context.data;
    // What agents send is confidential: nobody else on this machine reads it.
    let mut builder = std::fs::DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o700)
        .create(data)
        .map_err(|error| {
            Failure::new(format!("cannot make the data directory {}", data.display()))
                .because(&error)
                .hint("name a directory that you may write with `--data DIR`")
        })?;
    let mut options = evidence::Options::new(data);
    options.governance = config.digest();
    options.heartbeat = config.recorder.heartbeat;
    options.epoch = config.keys.epoch;
    options.token = config.signer.as_ref().map(Into::into);
    let recipient = config.vault.recipient.as_ref();
    options.recipient = recipient.map(|recipient| recipient.value.clone());
    options.seal = config.vault.seal;
    options.facts = build::facts();
    options
        .facts
        .insert("gateway".to_owned(), address.gateway.clone().into());
    options
        .facts
        .insert("console".to_owned(), address.console.clone().into());
    options.facts.insert("pid".to_owned(), address.pid.into());
    // The whole configuration holds no secret: agents bring their own credentials.
    options
        .facts
        .insert("configuration".to_owned(), config.facts());
    let recorder = Recorder::open(options).map_err(|error| record::unreadable(data, &error))?;
    warn_if_open(data);
    Ok(recorder)
}

/// Whoever opened a record to others has to know what that means; closing it again is up to them.
fn warn_if_open(data: &Path) {
    let Ok(meta) = std::fs::metadata(data) else {
        // The recorder has just opened it; if it is gone, that will be told.
        return;
    };
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        note(&format!(
            "warning: {here} is open to other users of this machine (mode {mode:04o}), and what agents send is confidential: `chmod 700 {word}`",
            here = data.display(),
            word = shell::word(data)
        ));
    }
    // The kernel says who this process is; root is above every user anyway.
    let me = std::fs::metadata("/proc/self").map(|me| me.uid());
    if meta.uid() != 0 && me.is_ok_and(|me| me != meta.uid()) {
        note(&format!(
            "warning: {here} belongs to another user ({owner}), who can take away and replace what lies in it: give it to the recorder's own",
            here = data.display(),
            owner = meta.uid()
        ));
    }
}

/// The directory as someone elsewhere has to name it.
fn absolute(data: &Path) -> PathBuf {
    std::path::absolute(data).unwrap_or_else(|_| data.to_owned())
}

fn announce(context: &Context, address: &Address) -> Result<(), Failure> {
    address
        .publish(&context.data)
        .map_err(|error| Failure::new("cannot write the recorder's address").because(&error))?;
    let (gateway, console) = (&address.gateway, &address.console);
    let line = match context.json {
        true => {
            let ready = serde_json::json!({ "gateway": gateway, "console": console });
            format!("{}\n", serde_json::json!({ "ready": ready }))
        }
        false => format!("ready gateway={gateway} console={console}\n"),
    };
    let mut stdout = std::io::stdout();
    let written = stdout
        .write_all(line.as_bytes())
        .and_then(|()| stdout.flush());
    if let Err(error) = written {
        // Who started the recorder went away; what it records still counts.
        note(&format!(
            "warning: cannot write to standard output: {error}"
        ));
    }
    Ok(())
}
