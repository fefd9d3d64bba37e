//! `tacho runs`: every run in the record, one row each.

use crate::commands::Context;
use crate::escape;
use crate::exit::Exit;
use crate::failure::{Failure, note};
use crate::out::{BAD, DIM, GOOD, Out, PLAIN, WARN};
use crate::summary::{RunSummary, Summaries, grouped};
use crate::table::{Table, left, right};
use crate::{record, when};
use std::process::ExitCode;

/// Widest agent name in the table.
const AGENT_COLUMNS: usize = 24;

/// Arguments of `tacho runs`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tacho runs
  tacho runs --agent support-bot --limit 20
  tacho runs --json | jq '.runs[] | select(.open > 0)'")]
pub(crate) struct Args {
    /// Only runs of this agent
    #[arg(long, value_name = "A")]
    agent: Option<String>,
    /// Only the newest N
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// Lists the runs, the newest last.
pub(crate) fn execute(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let store = record::open(&context.data)?;
    let mut summaries = Summaries::default();
    for entry in store.events(0) {
        summaries.add(&record::parse(&context.data, entry)?.line);
    }
    let mut runs: Vec<&RunSummary> = summaries
        .runs()
        .iter()
        .filter(|run| args.agent.is_none() || run.agent == args.agent)
        .collect();
    let skip = args
        .limit
        .map_or(0, |limit| runs.len().saturating_sub(limit));
    runs.drain(..skip);

    let mut out = Out::new(context);
    if context.json {
        out.json(&serde_json::json!({ "events": store.len(), "runs": runs }))?;
    } else if runs.is_empty() {
        note(&nothing(&summaries, args));
    } else {
        write(&runs, &mut out)?;
    }
    out.flush()?;
    Ok(Exit::Done.into())
}

fn nothing(summaries: &Summaries, args: &Args) -> String {
    match &args.agent {
        Some(agent) if !summaries.runs().is_empty() => {
            let mut agents: Vec<&str> = summaries
                .runs()
                .iter()
                .filter_map(|run| run.agent.as_deref())
                .collect();
            agents.sort_unstable();
            agents.dedup();
            let hint = record::nearest(agent, &agents, "`tacho runs` lists all agents' runs");
            format!("no run of agent `{agent}`\nhint: {hint}")
        }
        _ => "no run is recorded yet".to_owned(),
    }
}

fn write(runs: &[&RunSummary], out: &mut Out) -> Result<(), Failure> {
    let mut table = Table::new(&[
        "RUN", "AGENT", "STARTED", "LASTED", "CALLS", "TOOLS", "TOKENS", "GAPS", "STATE",
    ]);
    for run in runs {
        let loud = |count: u64| if count > 0 { WARN } else { DIM };
        let state = if !run.is_clean() {
            BAD
        } else if run.open > 0 {
            PLAIN
        } else {
            GOOD
        };
        let agent = escape::line(run.agent.as_deref().unwrap_or("-"));
        table.row(vec![
            left(PLAIN, &run.run),
            left(PLAIN, &escape::cut(&agent, AGENT_COLUMNS)),
            left(DIM, &when::shorten(&run.started)),
            right(PLAIN, &lasted(run)),
            right(PLAIN, &grouped(run.model_calls)),
            right(PLAIN, &grouped(run.tool_calls)),
            right(
                PLAIN,
                &grouped(run.tokens.input.saturating_add(run.tokens.output)),
            ),
            right(loud(run.gaps), &grouped(run.gaps)),
            left(state, &run.state()),
        ]);
    }
    table.write(out)
}

fn lasted(run: &RunSummary) -> String {
    when::parse(&run.started)
        .zip(when::parse(&run.last))
        .and_then(|(from, to)| when::between_us(from, to))
        .map_or_else(|| "?".to_owned(), when::span_us)
}
