//! `tacho witness serve`: a witness for logs of other machines.
//!
//! Contract: one line on standard output once connections are accepted, `ready witness=http://HOST:PORT key=VKEY`; with
//! `--json` the document `{"ready":{"witness":"http://HOST:PORT","key":"VKEY"}}`.
//! SIGTERM, SIGINT or SIGHUP: what is being answered may end, exit 0. A write that fails: nothing is said any more, exit 1.

use crate::commands::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::logging;
use crate::out::Out;
use crate::signals::Signals;
use anchor::host::{Host, Options};
use serde::Serialize;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use tlog::note::{Algorithm, VerifyingKey};
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
    /// Verifier key of a log (its `log/vkey`); once for each log. Later keys of a log behind its first one
    #[arg(long = "log", value_name = "VKEY", required = true)]
    logs: Vec<VerifyingKey>,
    /// Name of the witness's key, chosen at its first start [default: random]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// How the witness's key cosigns, chosen at its first start [default: ed25519]
    #[arg(long, value_name = "NAME")]
    algorithm: Option<Signs>,
}

/// The ways of cosigning that C2SP tlog-cosignature has.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Signs {
    /// Short signatures, which every client knows
    Ed25519,
    /// FIPS 204: holds against quantum computers; 3.4 KiB a signature
    #[value(name = "ml-dsa-44")]
    MlDsa44,
}

impl From<Signs> for Algorithm {
    fn from(signs: Signs) -> Self {
        match signs {
            Signs::Ed25519 => Self::Ed25519Cosignature,
            Signs::MlDsa44 => Self::MlDsa44Cosignature,
        }
    }
}

/// Where it listens, and what a policy names it by.
#[derive(Debug, Serialize)]
struct Ready {
    witness: String,
    key: String,
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
        algorithm: args.algorithm.map(Into::into),
        logs: args.logs,
    };
    let host = Host::open(options).map_err(|error| cannot_witness(&context.data, &error))?;
    let mut out = Out::new(context);
    if context.json {
        let ready = Ready {
            witness: format!("http://{address}"),
            key: host.key().to_string(),
        };
        out.json(&serde_json::json!({ "ready": ready }))?;
    } else {
        out.text(&format!(
            "ready witness=http://{address} key={}\n",
            host.key()
        ))?;
    }
    out.flush()?;
    host.serve(listener, signals.next())
        .await
        .map_err(|error| {
            Failure::new("the witness stopped, because it cannot store what it decides")
                .because(&error)
                .hint("see to the disk, then start it again: it goes on from what lies there")
        })?;
    Ok(Exit::Done.into())
}

fn cannot_witness(data: &Path, error: &anchor::Error) -> Failure {
    let message = format!("cannot witness from {}", data.display());
    match error {
        // It says what to do.
        anchor::Error::Setting(_) => Failure::usage(message).because(error),
        anchor::Error::Memory(_) => Failure::new(message).because(error).hint(
            "put back what this witness stored, as it was last: an earlier copy would cosign a fork. Where that is lost, \
             begin another in an empty directory (`--data DIR`) and name its key in the policies",
        ),
        _ => Failure::new(message)
            .because(error)
            .hint("name a directory that you may write with `--data DIR`"),
    }
}
