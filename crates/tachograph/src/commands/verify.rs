//! `tacho verify`: re-hashes the whole record, bodies included, and says in words what that
//! proves, what it found, and what it does not prove.

use crate::commands::Context;
use crate::describe::counted;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::{BAD, DIM, GOOD, HEAD, Out, PLAIN, WARN};
use crate::record;
use crate::summary::grouped;
use evidence::Error;
use evidence::verify::{Fault, Options, Progress, Report};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// A run shorter than this needs no progress bar.
const QUIET_FOR: Duration = Duration::from_secs(1);

/// How many faults and gaps are listed for a person; `--json` has all.
const LISTED: usize = 10;

/// Arguments of `tacho verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes:
   0  everything verified
  10  evidence was altered: the first bad record is named
  11  everything verified, and the record itself says what is missing from it (gaps)
  12  something that verification needs is missing

Examples:
  tacho verify
  tacho verify --data /mnt/copy --json
  tacho verify --quiet || page-someone")]
pub(crate) struct Args {
    /// Print nothing, only end with the exit code
    #[arg(long, short)]
    quiet: bool,
}

/// Verifies the record.
pub(crate) fn execute(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    if !context.data.join("format").exists() {
        return Err(missing(
            context,
            &format!("there is no record in {}", context.data.display()),
        ));
    }
    let mut bar = Bar::new(args.quiet || context.json);
    let result = evidence::verify::run(&context.data, &Options::default(), &mut |progress| {
        bar.show(progress)
    });
    bar.end();
    let report = result.map_err(|error| cannot(context, &error))?;
    if !args.quiet {
        let mut out = Out::new(context);
        if context.json {
            write_json(&report, &mut out)?;
        } else {
            write(&report, &mut out)?;
        }
        out.flush()?;
    }
    Ok(ExitCode::from(report.exit_code()))
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
    match report.exit_code() {
        0 => ("verified", GOOD),
        10 => ("ALTERED", BAD),
        11 => ("verified, with recorded gaps", WARN),
        _ => ("NOT VERIFIABLE", WARN),
    }
}

fn write(report: &Report, out: &mut Out) -> Result<(), Failure> {
    let (word, style) = verdict(report);
    out.line(&[(style, word)])?;
    out.end()?;
    let mut row =
        |name: &str, value: &str| out.line(&[(DIM, &format!("  {name:<12}")), (PLAIN, value)]);
    row("log", &report.origin)?;
    row("events", &format!("{} re-hashed", grouped(report.events)))?;
    row(
        "bodies",
        &format!(
            "{} re-hashed, {} bytes",
            grouped(report.bodies),
            grouped(report.body_bytes)
        ),
    )?;
    match &report.root {
        Some(root) => row(
            "checkpoint",
            &format!(
                "{} events signed, root {root}",
                grouped(report.signed_events)
            ),
        )?,
        None => row("checkpoint", "none: nothing is signed yet")?,
    }
    row("key", &report.verifier_key)?;
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
    if report.unsigned_tail > 0 {
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
    out.line(&[(PLAIN, &format!("  {}: {}", first.what, first.detail))])?;
    for fault in report.faults.iter().skip(1).take(LISTED - 1) {
        out.line(&[(
            PLAIN,
            &format!("  {}: {}: {}", place(fault), fault.what, fault.detail),
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
