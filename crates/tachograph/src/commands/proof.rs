//! `tacho proof`: what proves one event to somebody who has nothing else of the record.

use crate::commands::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::{DIM, HEAD, Out, PLAIN};
use crate::record;
use crate::shell;
use crate::summary::grouped;
use evidence::{Error, Exhibit, Store};
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `tacho proof`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The receipt (C2SP tlog-proof) shows that the log holds the event; with --out there is also the
event itself, the signed head, what witnesses and time-stamp authorities said of it, and
verify.sh, which checks all of it with bash, openssl, sha256sum and xxd.

Examples:
  tacho proof 142 > event-142.tlog-proof
  tacho proof 142 --out event-142 && event-142/verify.sh --vkey KEY --roots tsa-roots.pem")]
pub(crate) struct Args {
    /// Number of the event (`seq`)
    #[arg(value_name = "EVENT")]
    event: u64,
    /// Write everything that proves the event into this new directory
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Writes the receipt, or the whole exhibit.
pub(crate) fn execute(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let store = record::open(&context.data)?;
    let exhibit = exhibit(context, &store, args.event)?;
    let mut out = Out::new(context);
    let Some(dir) = &args.out else {
        let receipt = exhibit.receipt().to_string();
        if context.json {
            out.json(&serde_json::json!({
                "event": args.event,
                "size": exhibit.size(),
                "receipt": receipt,
            }))?;
        } else {
            out.exact_bytes(receipt.as_bytes())?;
        }
        out.flush()?;
        return Ok(Exit::Done.into());
    };
    exhibit.write(dir).map_err(|error| {
        Failure::new(format!("cannot write into {}", dir.display()))
            .because(&error)
            .hint("name a directory that does not exist yet, where you may write")
    })?;
    let names: Vec<String> = exhibit.files().into_iter().map(|(name, _)| name).collect();
    if context.json {
        out.json(&serde_json::json!({
            "event": args.event,
            "size": exhibit.size(),
            "directory": dir,
            "files": names,
        }))?;
    } else {
        write(args.event, &exhibit, dir, &names, &mut out)?;
    }
    out.flush()?;
    Ok(Exit::Done.into())
}

fn exhibit(context: &Context, store: &Store, seq: u64) -> Result<Exhibit, Failure> {
    Exhibit::of(store, seq).map_err(|error| match error {
        Error::Missing(_) => {
            let failure =
                Failure::with_exit(Exit::NotVerifiable, format!("event {seq} cannot be proven"));
            failure.because(&error).hint(
                "a running recorder signs a head soon after each event; `tacho events` lists what there is",
            )
        }
        Error::Damaged { .. } | Error::Altered { .. } => {
            Failure::with_exit(Exit::Altered, format!("event {seq} cannot be proven"))
                .because(&error)
                .hint("find out what is wrong: `tacho verify`")
        }
        _ => record::unreadable(&context.data, &error),
    })
}

fn write(
    seq: u64,
    exhibit: &Exhibit,
    dir: &std::path::Path,
    names: &[String],
    out: &mut Out,
) -> Result<(), Failure> {
    let here = dir.display();
    out.line(&[
        (HEAD, &format!("event {seq}")),
        (
            PLAIN,
            &format!(" under the head of {} events", grouped(exhibit.size())),
        ),
    ])?;
    for name in names {
        out.line(&[(DIM, &format!("  {here}/")), (PLAIN, name)])?;
    }
    out.line(&[(
        DIM,
        &format!(
            "check it: {} --vkey KEY --roots FILE.pem --witnesses POLICY",
            shell::word(&dir.join("verify.sh"))
        ),
    )])
}
