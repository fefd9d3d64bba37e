//! `tacho keys`: which keys the log had, the next one, and one that does not count any more; and a key pair for whoever is
//! to read the bodies.

use crate::commands::Context;
use crate::control::{KeyChange, Order, ask};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::{BAD, DIM, GOOD, Out, PLAIN};
use crate::record;
use crate::summary::grouped;
use crate::table::{Table, left, right};
use evidence::VaultKey;
use evidence::epochs::{Epoch, Epochs};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `tacho keys`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List the keys that the log had, the first one first
    List,
    /// Give the log its next key now; the private key that ends is destroyed
    Rotate,
    /// Let signatures of an epoch's key count for nothing
    #[command(after_help = "\
Signatures that something outside vouched for before (a time-stamp, a witness) go on counting. Where the key is the one
in force, the log gets its next key first.")]
    Revoke {
        /// Number of the epoch
        epoch: u64,
        /// Why, in a line; it stands in the record
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Largest size of the log for which they still count [default: the epoch's beginning, so that none does]
        #[arg(long, value_name = "S")]
        from_size: Option<u64>,
    },
    /// Make a key pair for an investigator, who alone reads what a recorder with `[vault] recipient` has settled
    #[command(after_help = "\
The public line goes to standard output, the private key into FILE and nowhere else. Keep FILE away from the recorder's
machine, and a copy of it: without it nobody opens those bodies any more.

Example:
  tacho keys recipient --out investigator.key > investigator.pub")]
    Recipient {
        /// New file for the private key
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

/// Lists, or asks the running recorder.
pub(crate) async fn execute(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    let order = match args.verb {
        Verb::List => return list(context),
        Verb::Recipient { out } => return recipient(context, &out),
        Verb::Rotate => Order::Rotate,
        Verb::Revoke {
            epoch,
            reason,
            from_size,
        } => Order::Revoke {
            epoch,
            from_size,
            reason,
        },
    };
    let done = ask(&context.data, &order).await?;
    let mut out = Out::new(context);
    if context.json {
        out.json(&done)?;
    } else {
        let change: KeyChange = serde_json::from_value(done).map_err(|error| {
            Failure::new("the recorder speaks another protocol")
                .because(&error)
                .hint("use the same `tacho` for both")
        })?;
        out.text(&told(&order, change))?;
    }
    out.flush()?;
    Ok(Exit::Done.into())
}

fn told(order: &Order, change: KeyChange) -> String {
    let (epoch, size, event) = (change.epoch, grouped(change.size), change.event);
    if matches!(order, Order::Rotate) {
        format!(
            "epoch {epoch} has begun: the key before it closed {size} events, event {event} hands over\n"
        )
    } else {
        format!("the key of epoch {epoch} counts for sizes up to {size} only, says event {event}\n")
    }
}

/// The private key is durable before anybody can encrypt to its public half.
fn recipient(context: &Context, file: &Path) -> Result<ExitCode, Failure> {
    let key = VaultKey::generate()
        .map_err(|error| Failure::new("cannot make a key pair").because(&error))?;
    write_private(file, &format!("{}\n", key.secret_line())).map_err(|error| {
        let here = file.display();
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            return Failure::new(format!("{here} exists already"))
                .hint("a private key is never replaced; name another file");
        }
        Failure::new(format!("cannot write the private key to {here}"))
            .because(&error)
            .hint("name a new file in a directory that you may write")
    })?;
    let recipient = key.recipient();
    let mut out = Out::new(context);
    if context.json {
        out.json(&serde_json::json!({
            "recipient": recipient.to_string(),
            "id": recipient.id(),
            "private": file,
        }))?;
    } else {
        out.text(&format!("{recipient}\n"))?;
    }
    out.flush()?;
    Ok(Exit::Done.into())
}

/// Writes a new file that only its owner reads, durably; leaves none where that fails.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = std::fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| {
            let folder = path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        });
    written.inspect_err(|_| {
        // What stays behind is of no use to anybody; the first error is the one that is told.
        std::fs::remove_file(path).ok();
    })
}

fn list(context: &Context) -> Result<ExitCode, Failure> {
    let store = record::open(&context.data)?;
    let epochs = store
        .epochs()
        .map_err(|error| record::unreadable(&context.data, &error))?;
    let mut out = Out::new(context);
    if context.json {
        let all: Vec<_> = epochs.iter().map(|epoch| json(&epochs, epoch)).collect();
        out.json(&serde_json::json!({ "log": epochs.origin(), "epochs": all }))?;
    } else {
        let mut table = Table::new(&["EPOCH", "SIGNS FROM", "TO", "BEGAN", "KEY", "STATE"]);
        for epoch in epochs.iter() {
            let end = epochs.end_of(epoch.number);
            let state = match (&epoch.revoked, end) {
                (Some(revoked), _) => {
                    let text = format!("revoked from {}: {}", revoked.size, revoked.reason);
                    left(BAD, &text)
                }
                (None, None) => left(GOOD, "in force"),
                (None, Some(_)) => left(DIM, "ended"),
            };
            table.row(vec![
                right(PLAIN, &epoch.number.to_string()),
                right(PLAIN, &grouped(epoch.start)),
                right(PLAIN, &end.map(grouped).unwrap_or_default()),
                left(PLAIN, epoch.began.as_deref().map_or("", to_seconds)),
                left(PLAIN, &epoch.ed25519.id().to_string()),
                state,
            ]);
        }
        table.write(&mut out)?;
    }
    out.flush()?;
    Ok(Exit::Done.into())
}

/// A time without its fraction of a second.
fn to_seconds(time: &str) -> &str {
    time.split_once('.').map_or(time, |(seconds, _)| seconds)
}

fn json(epochs: &Epochs, epoch: &Epoch) -> serde_json::Value {
    serde_json::json!({
        "epoch": epoch.number,
        "start": epoch.start,
        "end": epochs.end_of(epoch.number),
        "root": epoch.root.to_string(),
        "ed25519": epoch.ed25519.to_string(),
        "ml_dsa_44": epoch.ml_dsa_44.as_ref().map(ToString::to_string),
        "event": epoch.event,
        "began": epoch.began,
        "revoked": epoch.revoked.as_ref().map(|revoked| serde_json::json!({
            "event": revoked.event,
            "size": revoked.size,
            "reason": revoked.reason,
        })),
    })
}
