//! Measures the recorder on the machine it runs on, beside the direct connection and the bare disk.
//!
//! Every figure is taken from the product as it ships: the recorder's library, or the release binary
//! as a process of its own. Goals are stated with the figures, met or not. Nothing is asserted.

mod agentdyn;
mod anchored;
mod append;
mod conversation;
mod disk;
mod docs;
mod error;
mod events;
mod footprint;
mod gateway;
mod load;
mod machine;
mod memory;
mod mersenne;
mod quantiles;
mod replay;
mod report;
mod restart;
mod serve;
mod stream;
mod text;
mod upstream;
mod verify;
mod wire;

use clap::{Parser, Subcommand};
use error::Error;
use report::Report;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Measure Tachograph on this machine.
#[derive(Debug, Parser)]
#[command(name = "bench", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Directory on the disk to be measured [default: bench-data in the target directory]
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Print one JSON document instead of a table
    #[arg(long, global = true)]
    json: bool,
    /// Put the table into this Markdown file too, between its marks
    #[arg(long, global = true, value_name = "FILE")]
    docs: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything, in less than twelve minutes
    All,
    /// Durable appends a second, and how long an acknowledgement takes
    Append(append::Args),
    /// Events and bodies re-hashed a second
    Verify(verify::Args),
    /// What the gateway adds to a call, beside the direct connection
    Gateway(gateway::Args),
    /// Bytes on disk for agents that resend their context
    Disk,
    /// Memory under large bodies, and with a stalled disk
    Memory(memory::Args),
    /// Ready again after a kill, and proofs, on a large log
    Restart(restart::Args),
    /// What `restart` kills
    #[command(hide = true)]
    Fill(restart::FillArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(report) => {
            let text = if cli.json {
                report.to_json()
            } else {
                report.to_table()
            };
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench: {error}");
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                eprintln!("  {cause}");
                source = cause.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<Report, Error> {
    let dir = match &cli.dir {
        Some(dir) => dir.clone(),
        None => machine::default_dir()?,
    };
    std::fs::create_dir_all(&dir).map_err(Error::io("creating the directory to measure in"))?;
    let mut report = Report::new(machine::describe(&dir));
    measure(&cli.command, &dir, &mut report)?;
    report.finish();
    if let Some(file) = &cli.docs {
        docs::update(file, &report.to_table())?;
    }
    Ok(report)
}

fn measure(command: &Command, dir: &Path, report: &mut Report) -> Result<(), Error> {
    match command {
        Command::All => {
            append::run(&append::Args::default(), dir, report)?;
            verify::run(&verify::Args::default(), dir, report)?;
            gateway::run(&gateway::Args::default(), dir, report)?;
            footprint::run(dir, report)?;
            memory::run(&memory::Args::default(), dir, report)?;
            restart::run(&restart::Args::default(), dir, report)
        }
        Command::Append(args) => append::run(args, dir, report),
        Command::Verify(args) => verify::run(args, dir, report),
        Command::Gateway(args) => gateway::run(args, dir, report),
        Command::Disk => footprint::run(dir, report),
        Command::Memory(args) => memory::run(args, dir, report),
        Command::Restart(args) => restart::run(args, dir, report),
        Command::Fill(args) => restart::fill(args),
    }
}
