//! `tacho events`: the log as it stands, filtered, and as it grows.

use crate::commands::Context;
use crate::describe::{counted, describe, style};
use crate::escape;
use crate::exit::Exit;
use crate::failure::{Failure, note};
use crate::out::{DIM, HEAD, Out, PLAIN};
use crate::record::{self, Event};
use crate::summary::Summaries;
use crate::when;
use event::{Kind, Line};
use jiff::Timestamp;
use std::collections::{BTreeSet, VecDeque};
use std::process::ExitCode;
use std::time::Duration;

/// Pause between two looks at a live store.
const POLL: Duration = Duration::from_millis(200);

/// Agents that a hint is looked for among.
const MAX_AGENTS: usize = 1024;

/// Columns of an agent's name, of a run's id.
const AGENT_COLUMNS: usize = 16;
const RUN_COLUMNS: usize = 13;

/// Arguments of `tacho events`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tacho events --since -15m
  tacho events --run last --kind tool.request --kind tool.response
  tacho events --follow --agent support-bot
  tacho events --json | jq -r 'select(.outcome.state == \"denied\") | .seq'

With --json each line is the exact event line: its bytes are the leaf of the log.
At a terminal, characters that could act on it are written as \\uXXXX.")]
pub(crate) struct Args {
    /// Only this run: its id, the beginning of it, or `last`
    #[arg(long, value_name = "R")]
    run: Option<String>,
    /// Only this agent
    #[arg(long, value_name = "A")]
    agent: Option<String>,
    /// Only this kind, or with a dot at the end all kinds that begin so; repeatable
    #[arg(long, value_name = "K")]
    kind: Vec<String>,
    /// Only from here on: RFC 3339, or how long ago (-15m, 2h, 1d)
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    since: Option<String>,
    /// Only the newest N
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Go on as the log grows
    #[arg(long, short)]
    follow: bool,
}

/// Which events are wanted.
struct Filter {
    run: Option<String>,
    agent: Option<String>,
    kinds: Vec<String>,
    since: Option<Timestamp>,
}

/// Prints the events.
pub(crate) fn execute(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    // Wrong usage is told before the store is looked at.
    let since = args.since.as_deref().map(since).transpose()?;
    for kind in &args.kind {
        check_kind(kind)?;
    }
    let mut store = record::open(&context.data)?;
    let filter = Filter {
        run: args
            .run
            .as_deref()
            .map(|run| resolve(context, &store, run))
            .transpose()?,
        agent: args.agent.clone(),
        kinds: args.kind.clone(),
        since,
    };
    let mut out = Out::new(context);
    let mut next = 0;
    let mut found = false;
    let mut agents = Agents::default();
    let mut newest = args.limit.map(|limit| (limit, VecDeque::new()));
    loop {
        let end = store.len();
        for entry in store.events(next) {
            let event = record::parse(&context.data, entry)?;
            next = event.entry.seq.saturating_add(1);
            agents.note(&event.line);
            if !filter.wants(&event.line) {
                continue;
            }
            found = true;
            match &mut newest {
                Some((0, _)) => {}
                Some((limit, kept)) => {
                    if kept.len() >= *limit {
                        kept.pop_front();
                    }
                    kept.push_back(event);
                }
                None => write(context, &event, &mut out)?,
            }
        }
        // The bound is for what was there when the command began; what comes after is followed.
        for event in newest.take().map(|(_, kept)| kept).unwrap_or_default() {
            write(context, &event, &mut out)?;
        }
        out.flush()?;
        if !args.follow {
            break;
        }
        next = next.max(end);
        while store
            .refresh()
            .map_err(|error| record::unreadable(&context.data, &error))?
            <= next
        {
            std::thread::sleep(POLL);
        }
    }
    if !found && !context.json {
        note(&nothing(next, args, &agents));
    }
    Ok(Exit::Done.into())
}

/// Names of agents that were met, up to a bound: what a hint is made of.
#[derive(Debug, Default)]
struct Agents(BTreeSet<String>);

impl Agents {
    fn note(&mut self, line: &Line) {
        if let Some(agent) = &line.agent
            && self.0.len() < MAX_AGENTS
            && !self.0.contains(&agent.name)
        {
            self.0.insert(agent.name.clone());
        }
    }
}

/// Why nothing is printed.
fn nothing(events: u64, args: &Args, agents: &Agents) -> String {
    if events == 0 {
        return "nothing is recorded yet".to_owned();
    }
    let mut text = format!("none of {} fits", counted(events, "event"));
    if let Some(agent) = args
        .agent
        .as_ref()
        .filter(|agent| !agents.0.contains(*agent))
    {
        let names: Vec<&str> = agents.0.iter().map(String::as_str).collect();
        let hint = record::nearest(agent, &names, "`tacho runs` lists the agents");
        text.push_str(&format!("; none is of agent `{agent}`\nhint: {hint}"));
    }
    text
}

fn since(text: &str) -> Result<Timestamp, Failure> {
    when::since(text, Timestamp::now()).ok_or_else(|| {
        Failure::usage(format!("`{text}` is not a time"))
            .hint("write RFC 3339 (2026-11-21T03:07:41Z), or how long ago (-15m, 2h, 1d)")
    })
}

/// A kind that nobody writes is a mistake of the person who asked for it.
fn check_kind(wanted: &str) -> Result<(), Failure> {
    if Kind::ALL.iter().any(|kind| matches(kind.as_str(), wanted)) {
        return Ok(());
    }
    let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    let all = format!("the kinds are {}", kinds.join(", "));
    Err(
        Failure::usage(format!("there is no kind of event `{wanted}`"))
            .hint(record::nearest(wanted, &kinds, &all)),
    )
}

fn matches(kind: &str, wanted: &str) -> bool {
    kind == wanted || (wanted.ends_with('.') && kind.starts_with(wanted))
}

fn resolve(context: &Context, store: &evidence::Store, run: &str) -> Result<String, Failure> {
    let mut summaries = Summaries::default();
    for entry in store.events(0) {
        summaries.add(&record::parse(&context.data, entry)?.line);
    }
    let runs: Vec<&str> = summaries
        .runs()
        .iter()
        .map(|run| run.run.as_str())
        .collect();
    record::resolve_run(run, &runs)
}

impl Filter {
    fn wants(&self, line: &Line) -> bool {
        let run = line.run.as_ref().map(|run| run.id.as_str());
        let agent = line.agent.as_ref().map(|agent| agent.name.as_str());
        let late_enough = self
            .since
            .is_none_or(|since| when::parse(&line.time).is_none_or(|time| time >= since));
        let of_kind =
            self.kinds.is_empty() || self.kinds.iter().any(|kind| matches(&line.kind, kind));
        late_enough
            && of_kind
            && self.run.as_deref().is_none_or(|wanted| run == Some(wanted))
            && self
                .agent
                .as_deref()
                .is_none_or(|wanted| agent == Some(wanted))
    }
}

fn write(context: &Context, event: &Event, out: &mut Out) -> Result<(), Failure> {
    if context.json {
        return out.exact_event(&event.entry.line);
    }
    let line = &event.line;
    let name = line.agent.as_ref().map_or("-", |agent| agent.name.as_str());
    let run = line.run.as_ref().map_or("-", |run| run.id.as_str());
    out.line(&[
        (
            DIM,
            &format!(
                "{:>7}  {}  ",
                line.seq,
                escape::line(&when::shorten(&line.time))
            ),
        ),
        (style(line), &format!("{:<17} ", escape::line(&line.kind))),
        (HEAD, &padded(name, AGENT_COLUMNS)),
        (DIM, &padded(run, RUN_COLUMNS)),
        (PLAIN, &escape::line(&describe(line))),
    ])
}

fn padded(text: &str, columns: usize) -> String {
    let text = escape::line(text);
    let text = escape::cut(&text, columns);
    let pad = columns.saturating_sub(escape::width(&text)) + 1;
    format!("{text}{}", " ".repeat(pad))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_or_a_family_of_kinds() {
        assert!(check_kind("tool.request").is_ok());
        assert!(check_kind("tool.").is_ok());
        assert!(check_kind("tool").is_err());
        assert!(check_kind("tool.requests").is_err());
    }
}
