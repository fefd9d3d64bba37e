//! Measures the recorder on the machine it runs on, beside the direct connection and the bare disk.
//!
//! Every figure is taken from the product as it ships: the recorder's library, or the release binary
//! as a process of its own. Goals are stated with the figures, met or not. Nothing is asserted.

mod append;
mod disk;
mod error;
mod events;
mod machine;
mod quantiles;
mod report;

use clap::{Parser, Subcommand};
use error::Error;
use report::Report;
use std::path::PathBuf;
use std::process::ExitCode;

/// Measure Tachograph on this machine.
#[derive(Debug, Parser)]
#[command(name = "bench", arg_required_else_help = false)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Directory on the disk to be measured [default: bench-data in the target directory]
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Print one JSON document instead of a table
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Durable appends a second, and how long an acknowledgement takes
    Append(append::Args),
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
    match cli.command.as_ref() {
        Some(Command::Append(args)) => append::run(args, &dir, &mut report)?,
        None => append::run(&append::Args::default(), &dir, &mut report)?,
    }
    report.finish();
    Ok(report)
}
