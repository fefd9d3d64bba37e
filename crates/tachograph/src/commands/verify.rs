//! `tacho verify`: re-hashes the whole record, bodies included, and says in words what that
//! proves, what it found, and what it does not prove.

mod bar;
mod report;

use crate::auditor::{self, VaultKeyFile};
use crate::commands::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::Out;
use crate::record;
use crate::shell;
use crate::when;
use bar::Bar;
use evidence::Error;
use evidence::verify::Options;
use jiff::Timestamp;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use timestamp::{Certificate, Trust};
use tlog::policy::Policy;

/// Arguments of `tacho verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes:
   0  everything verified
  10  evidence was altered or damaged: the first bad record is named
  11  everything verified, and the record itself says what is missing from it (gaps), or that
      somebody outside knew another history of it (incidents)
  12  something that verification needs is missing

What the record lies beside is not believed: say whom you trust. Without --policy and --roots
the claims about time and witnesses stay UNVERIFIABLE, which is no failure; with them, what
cannot be verified ends with 12. Nothing is asked of the network.

Examples:
  tacho verify
  tacho verify --policy auditor.policy --roots tsa-roots.pem --head head-of-last-month
  tacho verify --log /mnt/another-tools-log --policy its.policy
  tacho verify --data /mnt/copy --json
  tacho verify --data /mnt/copy --vault-key investigator.key
  tacho verify --quiet || page-someone")]
pub(crate) struct Args {
    /// Print nothing, only end with the exit code
    #[arg(long, short)]
    quiet: bool,
    /// Logs and witnesses to trust (C2SP tlog-policy)
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Root certificates of the time-stamp authorities to trust (PEM)
    #[arg(long, value_name = "FILE")]
    roots: Option<PathBuf>,
    /// A checkpoint, cosigned note or receipt that you hold: the log must extend it. May be repeated
    #[arg(long, value_name = "FILE")]
    head: Vec<PathBuf>,
    /// Judge as of this time (RFC 3339, or how long ago: -15m, 2h, 90d): what is stamped or cosigned after it does not count
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    at: Option<String>,
    /// Verify the log of another tool in this directory (C2SP tlog-tiles) instead of the record
    #[arg(long, value_name = "DIR")]
    log: Option<PathBuf>,
    #[command(flatten)]
    vault_key: VaultKeyFile,
}

impl Args {
    fn options(&self) -> Result<Options, Failure> {
        let policy = self.policy.as_deref().map(|path| {
            let bytes = auditor::file(path)?;
            Policy::parse(&bytes).map_err(|error| unusable(path, "a policy", &error))
        });
        let roots = self.roots.as_deref().map(|path| {
            let text = String::from_utf8_lossy(&auditor::file(path)?).into_owned();
            Certificate::from_pem(&text)
                .and_then(Trust::new)
                .map_err(|error| unusable(path, "a file of root certificates", &error))
        });
        let at = self.at.as_deref().map(|text| {
            when::since(text, Timestamp::now()).ok_or_else(|| {
                Failure::usage(format!("`{text}` is no time"))
                    .hint("write it as `2026-11-21T09:30:00Z`, or as an age: `90d`, `-15m`")
            })
        });
        Ok(Options {
            policy: policy.transpose()?,
            roots: roots.transpose()?,
            at: at.transpose()?,
            heads: self
                .head
                .iter()
                .map(|path| auditor::file(path))
                .collect::<Result<_, _>>()?,
            vault_key: self.vault_key.read()?,
        })
    }
}

fn unusable(path: &Path, what: &str, error: &dyn std::error::Error) -> Failure {
    Failure::usage(format!("{} is not {what}", path.display()))
        .because(error)
        .hint("see docs/verify.md for what it looks like")
}

/// Verifies the record.
pub(crate) fn execute(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    if args.log.is_some() && args.vault_key.is_named() {
        return Err(Failure::usage("--log and --vault-key do not go together")
            .hint("the log of another tool has no vault; leave --vault-key out"));
    }
    let options = args.options()?;
    let asked = match &args.log {
        Some(log) => Asked::Log(log),
        None => Asked::Record(&context.data),
    };
    asked.is_there()?;
    let mut bar = Bar::new(args.quiet || context.json);
    let mut show = |progress| bar.show(progress);
    let result = match asked {
        Asked::Log(log) => evidence::verify::run_log(log, &options, &mut show),
        Asked::Record(data) => evidence::verify::run(data, &options, &mut show),
    };
    bar.end();
    let report = result.map_err(|error| asked.cannot(&error))?;
    if !args.quiet {
        let mut out = Out::new(context);
        if context.json {
            report::write_json(&report, &mut out)?;
        } else {
            report::write(&report, asked.has_checkpoint(), &mut out)?;
        }
        out.flush()?;
    }
    Ok(ExitCode::from(report.exit_code()))
}

/// What is to be verified.
#[derive(Debug, Clone, Copy)]
enum Asked<'a> {
    Record(&'a Path),
    /// Of another tool.
    Log(&'a Path),
}

impl Asked<'_> {
    fn name(self) -> String {
        match self {
            Self::Record(data) => format!("the record in {}", data.display()),
            Self::Log(log) => format!("the log in {}", log.display()),
        }
    }

    fn is_there(self) -> Result<(), Failure> {
        let found = match self {
            Self::Log(log) => {
                is_of_another_tool(log)?;
                fs_err::read_dir(log).map(drop)
            }
            // What stands there and is no file is for the verifier to name.
            Self::Record(data) => fs_err::symlink_metadata(data.join("format")).map(drop),
        };
        match found {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                Err(self.not_readable(&error))
            }
            Err(_) => Err(self.missing(&match self {
                Self::Record(data) => format!("there is no record in {}", data.display()),
                Self::Log(log) => format!("{} is not a directory", log.display()),
            })),
        }
    }

    /// An error here is a verdict too: what is damaged was altered, what is missing cannot be verified.
    fn cannot(self, error: &Error) -> Failure {
        match error {
            Error::Damaged { .. } | Error::Altered { .. } => {
                Failure::with_exit(Exit::Altered, format!("{} does not verify", self.name()))
                    .because(error)
                    .hint("keep the directory as it is, and compare it with a copy")
            }
            Error::Missing(_) => self.missing(&error.to_string()),
            error if error.is_absence() => self.not_readable(error),
            // A mistake of whoever asks, or a forgery that calls itself by another name: neither shows here.
            Error::OtherLog { .. } => {
                Failure::with_exit(Exit::NotVerifiable, "--head holds a head of another log")
                    .because(error)
                    .hint(
                        "either the wrong head or the wrong record was named, or another log was put in this one's place: whoever \
                         holds the log's key from elsewhere can tell (`--policy FILE`)",
                    )
            }
            // Nothing speaks against the record; what is missing is a program that can read it.
            Error::Newer { .. } => self
                .unverifiable()
                .because(error)
                .hint("use a `tacho` at least as new as the one that wrote the record"),
            _ => match self {
                Self::Record(place) | Self::Log(place) => record::unreadable(place, error),
            },
        }
    }

    fn unverifiable(self) -> Failure {
        let message = format!("{} cannot be verified", self.name());
        Failure::with_exit(Exit::NotVerifiable, message)
    }

    fn not_readable(self, error: &dyn std::error::Error) -> Failure {
        self.unverifiable()
            .because(error)
            .hint("verify it as somebody who may read all of it")
    }

    fn missing(self, what: &str) -> Failure {
        self.unverifiable().cause(what).hint(match self {
            Self::Record(_) => {
                "name the directory of a record with `--data DIR`; what is missing may be in a copy"
            }
            Self::Log(_) => {
                "name the directory that holds `checkpoint` and `tile/` (C2SP tlog-tiles) with `--log DIR`"
            }
        })
    }

    /// Whether something lies there that signs a head, be it worth what it may.
    fn has_checkpoint(self) -> bool {
        match self {
            Self::Log(log) => log.join("checkpoint").exists(),
            Self::Record(data) => data.join("log/checkpoint").exists(),
        }
    }
}

/// Whether `--log` was meant: a record keeps its entries compressed, and has more to verify.
fn is_of_another_tool(log: &Path) -> Result<(), Failure> {
    let is_record = |dir: &Path| dir.join("format").is_file() && dir.join("log/vkey").is_file();
    let above = log.join("..");
    let above = fs_err::canonicalize(&above).unwrap_or(above);
    let record = match () {
        () if is_record(log) => log,
        () if log.join("vkey").is_file() && is_record(&above) => above.as_path(),
        () => return Ok(()),
    };
    Err(Failure::usage(format!(
        "{} is a record of tacho, not the log of another tool",
        log.display()
    ))
    .hint(format!(
        "verify it with `tacho verify --data {}`",
        shell::word(record)
    )))
}
