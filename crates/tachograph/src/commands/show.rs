//! `tacho show`: one event with its bodies, or the exact bytes of one body.

use crate::auditor::VaultKeyFile;
use crate::body::{self, Decoded};
use crate::commands::Context;
use crate::describe::{describe, style};
use crate::escape;
use crate::exit::Exit;
use crate::failure::{Failure, note};
use crate::out::{DIM, HEAD, Out, WARN};
use crate::pretty::pretty;
use crate::record::{self, Event};
use crate::summary::grouped;
use event::{BodyRef, Role};
use evidence::Store;
use std::process::ExitCode;

/// How much of a body is shown with its event; the rest is one command away.
const SHOWN_BYTES: usize = 8 * 1024;

/// Arguments of `tacho show`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tacho show 142
  tacho show 142 --body response > answer.bin      the bytes as they passed
  tacho show 142 --body response --decoded | jq .  without their Content-Encoding
  tacho show 142 --json | sha256sum

ROLE is one of request.head, request, response.head, response, trailers, message,
stderr, detail. At a terminal a body with control bytes is escaped, unless --raw.")]
pub(crate) struct Args {
    /// Number of the event (`seq`)
    #[arg(value_name = "EVENT")]
    event: u64,
    /// Write the exact bytes of this body to standard output
    #[arg(long, value_name = "ROLE")]
    body: Option<String>,
    /// Undo the body's Content-Encoding
    #[arg(long, requires = "body")]
    decoded: bool,
    /// Write control bytes even to a terminal
    #[arg(long, requires = "body")]
    raw: bool,
    #[command(flatten)]
    vault_key: VaultKeyFile,
}

/// Shows the event, or writes the body.
pub(crate) fn execute(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let role = args.body.as_deref().map(role).transpose()?;
    if role.is_some() && context.json {
        return Err(Failure::usage("--json and --body do not go together")
            .hint("--body writes the body's bytes as they are; leave --json out"));
    }
    let store = record::open_with(&context.data, args.vault_key.read()?)?;
    let event = find(context, &store, args.event)?;
    let mut out = Out::new(context);
    match role {
        Some(role) => write_body(context, args, &store, &event, role, &mut out)?,
        None if context.json => out.exact_event(&event.entry.line)?,
        None => write_event(context, &store, &event, &mut out)?,
    }
    out.flush()?;
    Ok(Exit::Done.into())
}

fn role(text: &str) -> Result<Role, Failure> {
    text.parse().map_err(|()| {
        let roles: Vec<&str> = Role::ALL.iter().map(|role| role.as_str()).collect();
        let all = format!("the roles are {}", roles.join(", "));
        Failure::usage(format!("there is no body role `{text}`"))
            .hint(record::nearest(text, &roles, &all))
    })
}

fn find(context: &Context, store: &Store, seq: u64) -> Result<Event, Failure> {
    if seq >= store.len() {
        let failure = Failure::new(format!("there is no event {seq} in the record"));
        return Err(match store.len().checked_sub(1) {
            Some(last) => failure.hint(format!("events are numbered from 0 to {last} by now")),
            None => failure.hint("nothing is recorded yet"),
        });
    }
    let line = store.event(seq);
    record::parse(
        &context.data,
        line.map(|line| evidence::Entry { seq, line }),
    )
}

fn write_body(
    context: &Context,
    args: &Args,
    store: &Store,
    event: &Event,
    role: Role,
    out: &mut Out,
) -> Result<(), Failure> {
    let mut fitting = event.line.bodies.iter().filter(|body| body.role == role);
    let Some(reference) = fitting.next() else {
        return Err(no_such_body(event, role));
    };
    let more = fitting.count();
    if more > 0 {
        note(&format!(
            "note: the event has {more} more of role {role}; this is the first"
        ));
    }
    if reference.truncated > 0 {
        note(&format!(
            "note: {} bytes of this body passed and were not kept",
            grouped(reference.truncated)
        ));
    }
    let stored = store
        .body(reference)
        .map_err(|error| record::body_unreadable(&context.data, store, event.line.seq, &error))?;
    let bytes = if args.decoded {
        decoded(reference, stored)?
    } else {
        stored
    };
    if out.is_terminal() && !args.raw && !escape::is_plain(&bytes) {
        note("note: control and invisible characters are escaped; --raw writes them as they are");
        out.text(&escape::bytes(&bytes))?;
        return out.end();
    }
    out.exact_bytes(&bytes)
}

fn no_such_body(event: &Event, role: Role) -> Failure {
    let roles: Vec<&str> = event
        .line
        .bodies
        .iter()
        .map(|body| body.role.as_str())
        .collect();
    let seq = event.line.seq;
    Failure::new(format!("event {seq} has no body `{role}`")).hint(if roles.is_empty() {
        format!("it has no body at all; `tacho show {seq}` shows the event")
    } else {
        format!("it has {}", roles.join(", "))
    })
}

fn decoded(reference: &BodyRef, stored: Vec<u8>) -> Result<Vec<u8>, Failure> {
    match body::decode(reference, stored) {
        Decoded::Whole(bytes) => Ok(bytes),
        Decoded::Part { bytes, problem } => {
            note(&format!("warning: decoded in part only: {problem}"));
            Ok(bytes)
        }
        Decoded::Not(problem) => Err(Failure::new("the body cannot be decoded")
            .cause(problem)
            .hint("leave --decoded out to get the bytes as they passed")),
    }
}

fn write_event(
    context: &Context,
    store: &Store,
    event: &Event,
    out: &mut Out,
) -> Result<(), Failure> {
    let line = &event.line;
    out.line(&[
        (HEAD, &format!("event {}  ", line.seq)),
        (style(line), &escape::line(&line.kind)),
        (DIM, &format!("  {}", escape::line(&describe(line)))),
    ])?;
    let json = String::from_utf8_lossy(&event.entry.line);
    let json = pretty(&json).unwrap_or_else(|| json.into_owned());
    out.text(&escape::json(&json))?;
    out.end()?;
    for reference in &line.bodies {
        out.end()?;
        write_excerpt(store, line.seq, reference, out)?;
    }
    let missing = store.missing_volumes();
    if !missing.is_empty() && !line.bodies.is_empty() {
        out.end()?;
        out.line(&[(WARN, &record::affected(&context.data, store))])?;
        out.line(&[(DIM, &record::put_back(&missing))])?;
    }
    Ok(())
}

fn write_excerpt(
    store: &Store,
    seq: u64,
    reference: &BodyRef,
    out: &mut Out,
) -> Result<(), Failure> {
    let media = reference.media.as_deref().unwrap_or("no media type");
    let encoding = reference
        .encoding
        .as_ref()
        .map(|name| format!(", {name}"))
        .unwrap_or_default();
    out.line(&[
        (HEAD, &format!("body {}", reference.role)),
        (
            DIM,
            &escape::line(&format!(
                "  {} bytes, {media}{encoding}",
                grouped(reference.len)
            )),
        ),
    ])?;
    if reference.truncated > 0 {
        let lost = grouped(reference.truncated);
        out.line(&[(
            WARN,
            &format!("!! {lost} more bytes passed and were not kept"),
        )])?;
    }
    let bytes = match store.body(reference) {
        Ok(bytes) => bytes,
        Err(error) => {
            let text = format!("!! the body cannot be read: {error}");
            out.line(&[(WARN, &escape::line(&text))])?;
            return match record::how_to_open(&error) {
                Some(hint) => out.line(&[(DIM, &format!("   {hint}"))]),
                None => Ok(()),
            };
        }
    };
    let (bytes, problem) = match body::decode(reference, bytes) {
        Decoded::Whole(bytes) => (bytes, None),
        Decoded::Part { bytes, problem } => (bytes, Some(problem)),
        Decoded::Not(problem) => (Vec::new(), Some(problem)),
    };
    if let Some(problem) = problem {
        out.line(&[(WARN, &escape::line(&format!("!! {problem}")))])?;
    }
    let text = readable(&bytes);
    let shown = body::prefix(&text, SHOWN_BYTES);
    out.text(shown)?;
    if !shown.ends_with('\n') && !shown.is_empty() {
        out.end()?;
    }
    let rest = text.len() - shown.len();
    if rest > 0 {
        let whole = format!("tacho show {seq} --body {} --decoded", reference.role);
        out.line(&[(
            DIM,
            &format!("... {} more bytes: {whole}", grouped(rest as u64)),
        )])?;
    }
    Ok(())
}

/// JSON laid out, other text as it is, anything else with its bytes escaped.
fn readable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => pretty(text).unwrap_or_else(|| text.to_owned()),
        Err(_) => escape::bytes(bytes),
    }
}
