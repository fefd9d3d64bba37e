//! `tacho timeline`: one run as a person wants to read it.

use crate::auditor::VaultKeyFile;
use crate::commands::Context;
use crate::exit::Exit;
use crate::failure::{Failure, note};
use crate::out::Out;
use crate::record;
use crate::summary::Summaries;
use crate::timeline::{Collector, Timeline, tell};
use evidence::Store;
use std::process::ExitCode;

/// Arguments of `tacho timeline`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tacho timeline last
  tacho timeline 01JD3X7K --json | jq '.steps[] | select(.step == \"tool\")'

What a step shows is abbreviated; `tacho show EVENT` has the rest, under the number after #.")]
pub(crate) struct Args {
    /// The run: its id, the beginning of it, or `last`
    #[arg(value_name = "RUN")]
    run: String,
    #[command(flatten)]
    vault_key: VaultKeyFile,
}

/// Tells the run.
pub(crate) fn execute(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let store = record::open_with(&context.data, args.vault_key.read()?)?;
    let mut collector = Collector::new(find(context, &store, &args.run)?);
    for entry in store.events(0) {
        collector.add(record::parse(&context.data, entry)?.line);
    }
    let mut hint = None;
    let timeline = Timeline::new(collector.finish(), &mut |reference| {
        store.body(reference).map_err(|error| {
            hint = hint.take().or_else(|| record::how_to_open(&error));
            error.to_string()
        })
    });
    let mut out = Out::new(context);
    if context.json {
        out.json(&timeline)?;
    } else {
        tell(&timeline, &mut out)?;
    }
    out.flush()?;
    if let Some(hint) = hint {
        note(&format!("note: {hint}"));
    }
    Ok(Exit::Done.into())
}

fn find(
    context: &Context,
    store: &Store,
    wanted: &str,
) -> Result<crate::summary::RunSummary, Failure> {
    let mut summaries = Summaries::default();
    for entry in store.events(0) {
        summaries.add(&record::parse(&context.data, entry)?.line);
    }
    let runs: Vec<&str> = summaries
        .runs()
        .iter()
        .map(|run| run.run.as_str())
        .collect();
    let run = record::resolve_run(wanted, &runs)?;
    summaries
        .runs()
        .iter()
        .find(|summary| summary.run == run)
        .cloned()
        .ok_or_else(|| Failure::new(format!("no run `{wanted}` in the record")))
}
