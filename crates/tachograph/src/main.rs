//! `tacho`: command line, configuration and wiring of the recorder.
//!
//! Holds no logic of the record: it parses what a person typed, starts what the crates below
//! offer and shows what they return. Everything recorded is hostile text and passes through
//! [`escape`] before it reaches a terminal.

mod address;
mod anchoring;
mod auditor;
mod body;
mod build;
mod cli;
mod commands;
mod config;
mod control;
mod demo;
mod describe;
mod escape;
mod exit;
mod failure;
mod link;
mod logging;
mod observe;
mod operator;
mod out;
mod pretty;
mod record;
mod shell;
mod signals;
mod standing;
mod summary;
mod table;
mod timeline;
mod trespass;
mod when;
mod wrap;

use clap::Parser as _;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return cli::refuse(&error),
    };
    let json = cli.answers_in_json();
    match commands::dispatch(cli) {
        Ok(code) => code,
        Err(failure) => failure.tell(json),
    }
}
