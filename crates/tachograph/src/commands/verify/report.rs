//! The report of `tacho verify`, as it is shown.

use crate::describe::counted;
use crate::failure::Failure;
use crate::out::{BAD, DIM, GOOD, HEAD, Out, PLAIN, WARN};
use crate::summary::grouped;
use crate::when;
use evidence::verify::{Claim, Fault, Report, Subject, Verdict};

/// How many faults and gaps are listed for a person; `--json` has all.
const LISTED: usize = 10;

/// All of it, for programs.
pub(super) fn write_json(report: &Report, out: &mut Out) -> Result<(), Failure> {
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
        11 if !report.incidents.is_empty() => (
            "verified, but somebody outside knew another history of this log",
            WARN,
        ),
        11 if !whole => (
            "verified in part, with recorded gaps; what is UNVERIFIABLE could not be told",
            WARN,
        ),
        11 if vouched_for => ("verified, with recorded gaps", WARN),
        11 => (
            "verified in itself, with recorded gaps; nobody outside vouches for it",
            WARN,
        ),
        _ => ("NOT VERIFIABLE", WARN),
    }
}

/// Who is named, if anybody is.
fn known(name: &str) -> &str {
    match name {
        "" => "not known",
        name => name,
    }
}

/// What a person reads.
pub(super) fn write(report: &Report, has_checkpoint: bool, out: &mut Out) -> Result<(), Failure> {
    let (word, style) = verdict(report);
    out.line(&[(style, word)])?;
    out.end()?;
    for claim in &report.claims {
        write_claim(claim, out)?;
    }
    out.end()?;
    let mut row =
        |name: &str, value: &str| out.line(&[(DIM, &format!("  {name:<12}")), (PLAIN, value)]);
    row("log", known(&report.origin))?;
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
    row("key", known(&report.verifier_key))?;
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
    told(
        &report.incidents,
        "recorded incidents",
        "anchor.failed",
        out,
    )?;
    told(&report.gaps, "recorded gaps", "gap", out)?;
    list("this does not prove", &report.not_proven, HEAD, out)
}

/// Events in which the record speaks against itself.
fn told(seqs: &[u64], what: &str, kind: &str, out: &mut Out) -> Result<(), Failure> {
    if seqs.is_empty() {
        return Ok(());
    }
    let listed: Vec<String> = seqs.iter().take(LISTED).map(|s| format!("#{s}")).collect();
    let more = if seqs.len() > LISTED { ", ..." } else { "" };
    out.end()?;
    out.line(&[
        (WARN, &format!("{} {what}: ", grouped(seqs.len() as u64))),
        (PLAIN, &format!("{}{more}", listed.join(", "))),
    ])?;
    out.line(&[(
        DIM,
        &format!("  what each says: tacho events --kind {kind}"),
    )])
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
