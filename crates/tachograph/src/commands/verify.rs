//! `tacho verify`: re-hashes the whole record, bodies included, and says in words what that
//! proves, what it found, and what it does not prove.

use crate::auditor::{self, VaultKeyFile};
use crate::commands::Context;
use crate::describe::counted;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::{BAD, DIM, GOOD, HEAD, Out, PLAIN, WARN};
use crate::record;
use crate::summary::grouped;
use crate::when;
use evidence::Error;
use evidence::verify::{Claim, Fault, Options, Progress, Report, Subject, Verdict};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use timestamp::{Certificate, Trust};
use tlog::policy::Policy;

/// A run shorter than this needs no progress bar.
const QUIET_FOR: Duration = Duration::from_secs(1);

/// How many faults and gaps are listed for a person; `--json` has all.
const LISTED: usize = 10;

/// Arguments of `tacho verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes:
   0  everything verified
  10  evidence was altered or damaged: the first bad record is named
  11  everything verified, and the record itself says what is missing from it (gaps)
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
    match &args.log {
        Some(log) => is_of_another_tool(log)?,
        // What stands there and is no file is for the verifier to name.
        None if fs_err::symlink_metadata(context.data.join("format")).is_err() => {
            return Err(missing(
                context,
                &format!("there is no record in {}", context.data.display()),
            ));
        }
        None => {}
    }
    let mut bar = Bar::new(args.quiet || context.json);
    let mut show = |progress| bar.show(progress);
    let result = match &args.log {
        Some(log) => evidence::verify::run_log(log, &options, &mut show),
        None => evidence::verify::run(&context.data, &options, &mut show),
    };
    bar.end();
    let report = result.map_err(|error| cannot(context, &error))?;
    if !args.quiet {
        let mut out = Out::new(context);
        if context.json {
            write_json(&report, &mut out)?;
        } else {
            write(&report, has_checkpoint(context, args), &mut out)?;
        }
        out.flush()?;
    }
    Ok(ExitCode::from(report.exit_code()))
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
        record.display()
    )))
}

/// An error here is a verdict too: what is damaged was altered, what is missing cannot be verified.
fn cannot(context: &Context, error: &Error) -> Failure {
    match error {
        Error::Damaged { .. } | Error::Altered { .. } => Failure::with_exit(
            Exit::Altered,
            format!("the record in {} does not verify", context.data.display()),
        )
        .because(error)
        .hint("keep the directory as it is, and compare it with a copy"),
        Error::Missing(_) => missing(context, &error.to_string()),
        error if error.is_absence() => Failure::with_exit(
            Exit::NotVerifiable,
            format!(
                "the record in {} cannot be verified",
                context.data.display()
            ),
        )
        .because(error)
        .hint("verify it as somebody who may read all of it"),
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
        Error::Newer { .. } => Failure::with_exit(
            Exit::NotVerifiable,
            format!(
                "the record in {} cannot be verified",
                context.data.display()
            ),
        )
        .because(error)
        .hint("use a `tacho` at least as new as the one that wrote the record"),
        _ => record::unreadable(&context.data, error),
    }
}

fn missing(context: &Context, what: &str) -> Failure {
    Failure::with_exit(
        Exit::NotVerifiable,
        format!(
            "the record in {} cannot be verified",
            context.data.display()
        ),
    )
    .cause(what)
    .hint("name the directory of a record with `--data DIR`; what is missing may be in a copy")
}

fn write_json(report: &Report, out: &mut Out) -> Result<(), Failure> {
    let mut value = serde_json::to_value(report)
        .map_err(|error| Failure::new("cannot write the report as JSON").because(&error))?;
    if let Some(object) = value.as_object_mut() {
        object.insert("verdict".to_owned(), verdict(report).0.into());
        object.insert("exit_code".to_owned(), report.exit_code().into());
    }
    out.json(&value)
}

fn verdict(report: &Report) -> (&'static str, anstyle::Style) {
    let is_valid = |subject| report.verdict(subject) == Some(Verdict::Valid);
    let (outside, inside): (Vec<Subject>, Vec<Subject>) = Subject::ALL
        .into_iter()
        .partition(|subject| matches!(subject, Subject::Time | Subject::Witnesses));
    // Green is only what holds whole. Who has only the store can be shown another one that is as consistent.
    let whole = inside.into_iter().all(is_valid);
    let vouched_for = outside.into_iter().any(is_valid);
    match report.exit_code() {
        0 if !whole => (
            "verified in part; what is UNVERIFIABLE could not be told",
            WARN,
        ),
        0 if vouched_for => ("verified", GOOD),
        0 => ("verified in itself; nobody outside vouches for it", WARN),
        10 if report.is_damage_alone() => ("DAMAGED: broken by a failing disk, or on purpose", BAD),
        10 => ("ALTERED", BAD),
        11 => ("verified, with recorded gaps", WARN),
        _ => ("NOT VERIFIABLE", WARN),
    }
}

/// Whether something lies there that signs a head, be it worth what it may.
fn has_checkpoint(context: &Context, args: &Args) -> bool {
    let path = match &args.log {
        Some(log) => log.join("checkpoint"),
        None => context.data.join("log/checkpoint"),
    };
    path.exists()
}

fn write(report: &Report, has_checkpoint: bool, out: &mut Out) -> Result<(), Failure> {
    let (word, style) = verdict(report);
    out.line(&[(style, word)])?;
    out.end()?;
    for claim in &report.claims {
        write_claim(claim, out)?;
    }
    out.end()?;
    let mut row =
        |name: &str, value: &str| out.line(&[(DIM, &format!("  {name:<12}")), (PLAIN, value)]);
    row("log", &report.origin)?;
    row("events", &format!("{} re-hashed", grouped(report.events)))?;
    row("bodies", &bodies(report))?;
    if report.volumes_sealed > 0 {
        let volumes = counted(report.volumes_sealed, "complete volume");
        row(
            "sealed",
            &format!("{volumes}, byte for byte as the log describes"),
        )?;
    }
    match &report.root {
        Some(root) => row(
            "checkpoint",
            &format!(
                "{} events signed, root {root}",
                grouped(report.signed_events)
            ),
        )?,
        None if report.is_damage_alone() => row(
            "checkpoint",
            "not all that it may sign could be read: see what is wrong, below",
        )?,
        None if has_checkpoint => row(
            "checkpoint",
            "there is one, and it does not sign these events: see what is wrong, below",
        )?,
        None => row("checkpoint", "none: nothing is signed yet")?,
    }
    row("key", &report.verifier_key)?;
    row("anchored", &anchored(report))?;
    for cadence in &report.cadence {
        let kind = match cadence.kind {
            evidence::verify::Kind::Timestamp => "time stamps",
            _ => "witnesses",
        };
        row(
            kind,
            &format!(
                "{}, at most {} events and {} apart",
                counted(cadence.heads, "head"),
                grouped(cadence.longest_events),
                when::span_us(cadence.longest_seconds.saturating_mul(1_000_000))
            ),
        )?;
    }
    if !report.open_calls.is_empty() {
        let calls = counted(report.open_calls.len() as u64, "call");
        let why = if report.ended {
            "the recorder stopped before them, and its next start closes them as interrupted"
        } else {
            "a running recorder has such"
        };
        row("open", &format!("{calls} have not ended; {why}"))?;
    }
    if !report.odd_ends.is_empty() {
        let ends = counted(report.odd_ends.len() as u64, "event");
        row("odd", &format!("{ends} end a call that is not open there"))?;
    }
    // Where a checkpoint signs something else, what is behind it is no tail.
    if report.unsigned_tail > 0 && (report.root.is_some() || !has_checkpoint) {
        row(
            "tail",
            &format!(
                "{} events are durable and not yet signed",
                grouped(report.unsigned_tail)
            ),
        )?;
    }
    faults(report, out)?;
    list("missing", &report.missing, WARN, out)?;
    let more = report.missing_count - report.missing.len() as u64;
    if more > 0 {
        out.line(&[(DIM, &format!("  and {} more", grouped(more)))])?;
    }
    if !report.gaps.is_empty() {
        let seqs: Vec<String> = report
            .gaps
            .iter()
            .take(LISTED)
            .map(|s| format!("#{s}"))
            .collect();
        let more = if report.gaps.len() > LISTED {
            ", ..."
        } else {
            ""
        };
        out.end()?;
        out.line(&[
            (
                WARN,
                &format!("{} recorded gaps: ", grouped(report.gaps.len() as u64)),
            ),
            (PLAIN, &format!("{}{more}", seqs.join(", "))),
        ])?;
        out.line(&[(DIM, "  what each says: tacho events --kind gap")])?;
    }
    list("this does not prove", &report.not_proven, HEAD, out)
}

fn write_claim(claim: &Claim, out: &mut Out) -> Result<(), Failure> {
    let style = match claim.verdict {
        Verdict::Valid => GOOD,
        Verdict::Invalid => BAD,
        Verdict::Unverifiable => WARN,
    };
    let detail = crate::escape::line(&claim.detail).into_owned();
    let columns = out.columns().saturating_sub(27);
    let name = claim.claim.name();
    let verdict = claim.verdict.to_string();
    for (at, line) in crate::escape::wrap(&detail, columns).iter().enumerate() {
        let (name, verdict) = if at == 0 {
            (name, verdict.as_str())
        } else {
            ("", "")
        };
        out.line(&[
            (DIM, &format!("  {name:<11}")),
            (style, &format!("{verdict:<14}")),
            (PLAIN, line),
        ])?;
    }
    Ok(())
}

fn bodies(report: &Report) -> String {
    let locked = match report.bodies_locked {
        0 => String::new(),
        locked => format!("; {} not opened, for want of a key", grouped(locked)),
    };
    format!(
        "{} re-hashed, {} bytes{locked}",
        grouped(report.bodies),
        grouped(report.body_bytes)
    )
}

/// How far outsiders' word reaches.
fn anchored(report: &Report) -> String {
    let tail = &report.unanchored_tail;
    match &tail.anchored_at {
        None => "nothing: no outsider has seen a head of this log".to_owned(),
        Some(time) => format!(
            "{} events by {time}{}; the unanchored tail is {} events",
            grouped(tail.from),
            if tail.verified {
                ""
            } else {
                ", by anchors that you have not said you trust"
            },
            grouped(tail.events)
        ),
    }
}

fn faults(report: &Report, out: &mut Out) -> Result<(), Failure> {
    let Some(first) = report.faults.first() else {
        return Ok(());
    };
    out.end()?;
    let place = |fault: &Fault| match fault.seq {
        Some(seq) => format!("event {seq}"),
        None => "the log".to_owned(),
    };
    out.line(&[(BAD, "first bad record: "), (HEAD, &place(first))])?;
    // A name that somebody else chose stands in a sentence: its line feeds must not begin a line of ours.
    let detail = |fault: &Fault| crate::escape::line(&fault.detail).into_owned();
    out.line(&[(PLAIN, &format!("  {}: {}", first.what, detail(first)))])?;
    for fault in report.faults.iter().skip(1).take(LISTED - 1) {
        out.line(&[(
            PLAIN,
            &format!("  {}: {}: {}", place(fault), fault.what, detail(fault)),
        )])?;
    }
    let more = report.fault_count.saturating_sub(LISTED as u64);
    if more > 0 {
        out.line(&[(DIM, &format!("  and {more} more: tacho verify --json"))])?;
    }
    Ok(())
}

fn list(
    heading: &str,
    sentences: &[String],
    style: anstyle::Style,
    out: &mut Out,
) -> Result<(), Failure> {
    if sentences.is_empty() {
        return Ok(());
    }
    out.end()?;
    out.line(&[(style, &format!("{heading}:"))])?;
    let columns = out.columns().saturating_sub(4);
    for sentence in sentences {
        let text = crate::escape::line(sentence).into_owned();
        for (at, line) in crate::escape::wrap(&text, columns).iter().enumerate() {
            out.line(&[
                (PLAIN, if at == 0 { "  - " } else { "    " }),
                (PLAIN, line),
            ])?;
        }
    }
    Ok(())
}

/// A progress bar for a person who waits.
struct Bar {
    began: Instant,
    silent: bool,
    bar: Option<ProgressBar>,
}

impl Bar {
    fn new(silent: bool) -> Self {
        let silent = silent || !std::io::stderr().is_terminal();
        Self {
            began: Instant::now(),
            silent,
            bar: None,
        }
    }

    fn show(&mut self, progress: Progress) {
        if self.silent || self.began.elapsed() < QUIET_FOR {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
            let template = "verifying {bar:30} {human_pos}/{human_len} events, {msg} ({eta})";
            // A template that indicatif does not like costs the looks, not the progress.
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("##-"));
            }
            bar
        });
        bar.set_length(progress.of_events);
        bar.set_position(progress.events);
        bar.set_message(format!("{} MB of bodies", progress.body_bytes / 1_000_000));
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
