//! `tacho witness serve`: a witness for logs of other machines.
//!
//! Contract: one line on standard output once connections are accepted, `ready witness=http://HOST:PORT key=VKEY`.
//! SIGTERM, SIGINT or SIGHUP: what is being answered may end, exit 0.

use crate::commands::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::logging;
use crate::signals::Signals;
use anchor::host::{Host, Options};
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use tlog::note::VerifyingKey;
use tokio::net::TcpListener;

/// Arguments of `tacho witness`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Cosign what the logs that are named publish, and refuse forks and rollbacks
    Serve(Serve),
}

/// Arguments of `tacho witness serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
--data names where the witness remembers: not the directory of a record, and on another machine than the log's.
When it accepts connections it prints one line:
  ready witness=http://127.0.0.1:8710 key=NAME+ID+BASE64

The recorder's policy (tlog-policy) names it:
  witness w1 NAME+ID+BASE64 http://127.0.0.1:8710
  quorum w1")]
struct Serve {
    /// Where logs connect; port 0 picks a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8710")]
    listen: SocketAddr,
    /// Verifier key of a log (its `log/vkey`); once for each log
    #[arg(long = "log", value_name = "VKEY", required = true)]
    logs: Vec<VerifyingKey>,
    /// Name of the witness's key, chosen at its first start [default: random]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// Witnesses until it is told to stop.
pub(crate) async fn execute(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    let Verb::Serve(args) = args.verb;
    logging::start();
    let mut signals = Signals::new()?;
    if context.data.join("format").exists() {
        return Err(Failure::usage(format!(
            "{} holds a record: a witness remembers elsewhere, or it forgets when the record is put back",
            context.data.display()
        ))
        .hint("name a directory of its own with `--data DIR`"));
    }
    let cannot_listen = |error: &std::io::Error| {
        Failure::new(format!("cannot listen on {}", args.listen)).because(error)
    };
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|error| cannot_listen(&error))?;
    let address = listener
        .local_addr()
        .map_err(|error| cannot_listen(&error))?;
    let options = Options {
        dir: context.data.clone(),
        name: args.name,
        logs: args.logs,
    };
    let host = Host::open(options).map_err(|error| {
        Failure::new(format!("cannot witness from {}", context.data.display())).because(&error)
    })?;
    let mut stdout = std::io::stdout();
    let line = format!("ready witness=http://{address} key={}\n", host.key());
    stdout
        .write_all(line.as_bytes())
        .and_then(|()| stdout.flush())?;
    host.serve(listener, signals.next()).await;
    Ok(Exit::Done.into())
}
