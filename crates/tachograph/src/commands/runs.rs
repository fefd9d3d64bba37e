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
    let runs = args.chosen(&summaries);

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

impl Args {
    fn chosen<'a>(&self, summaries: &'a Summaries) -> Vec<&'a RunSummary> {
        let wanted = |run: &&RunSummary| {
            let agent = self.agent.as_ref();
            agent.is_none_or(|agent| run.agents.contains(agent))
        };
        let mut runs: Vec<&RunSummary> = summaries.runs().iter().filter(wanted).collect();
        let skip = self
            .limit
            .map_or(0, |limit| runs.len().saturating_sub(limit));
        runs.drain(..skip);
        runs
    }
}

fn nothing(summaries: &Summaries, args: &Args) -> String {
    if summaries.runs().is_empty() {
        return "no run is recorded yet".to_owned();
    }
    match &args.agent {
        Some(agent) if args.limit != Some(0) => {
            let agents = summaries.agents();
            let hint = record::nearest(agent, &agents, "`tacho runs` lists all agents' runs");
            format!("no run of agent `{agent}`\nhint: {hint}")
        }
        _ => "no run is asked for: `--limit 0`".to_owned(),
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
        let agent = escape::cut(&agent, AGENT_COLUMNS);
        let agent = match run.joined().count() {
            0 => agent.into_owned(),
            more => format!("{agent} +{more}"),
        };
        table.row(vec![
            left(PLAIN, &run.run),
            left(PLAIN, &agent),
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

#[cfg(test)]
mod tests {
    use super::*;
    use event::{Agent, Draft, Kind, Line, Position, Run, Source};

    fn summaries() -> Summaries {
        let mut summaries = Summaries::default();
        for (seq, run, agent) in [(0, "r1", "A"), (1, "r1", "B"), (2, "r2", "A")] {
            let mut draft = Draft::new(Kind::ModelRequest, Source::Gateway);
            draft.run = Some(Run {
                id: run.to_owned(),
                ..Run::default()
            });
            draft.agent = Some(Agent {
                name: agent.to_owned(),
                client: None,
            });
            let position = Position {
                seq,
                time: "2026-11-21T03:07:41Z",
                boot_ns: seq,
                boot: "b",
                stream: 0,
                n: seq,
            };
            let mut bytes = Vec::new();
            position.write_line(&draft.seal().unwrap(), &mut bytes);
            summaries.add(&Line::parse(&bytes).unwrap());
        }
        summaries
    }

    #[test]
    fn an_agent_is_found_in_the_runs_it_joined() {
        let summaries = summaries();
        for (agent, limit, expected) in [
            (None, None, &["r1", "r2"][..]),
            (Some("A"), None, &["r1", "r2"]),
            (Some("B"), None, &["r1"]),
            (Some("C"), None, &[]),
            (Some("A"), Some(1), &["r2"]),
            (None, Some(0), &[]),
        ] {
            let args = Args {
                agent: agent.map(str::to_owned),
                limit,
            };
            let chosen = args.chosen(&summaries);
            let ids: Vec<&str> = chosen.iter().map(|run| run.run.as_str()).collect();
            assert_eq!(ids, expected, "{agent:?} {limit:?}");
        }
    }

    #[test]
    fn an_empty_answer_says_why() {
        let nobody = Summaries::default();
        let some = summaries();
        for (summaries, agent, limit, expected) in [
            (&nobody, None, None, "no run is recorded yet"),
            (&nobody, Some("A"), Some(0), "no run is recorded yet"),
            (&some, None, Some(0), "--limit 0"),
            (&some, Some("A"), Some(0), "--limit 0"),
            (&some, Some("agent"), None, "no run of agent `agent`"),
        ] {
            let args = Args {
                agent: agent.map(str::to_owned),
                limit,
            };
            let told = nothing(summaries, &args);
            assert!(told.contains(expected), "{told}");
        }
    }
}
