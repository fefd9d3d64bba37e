//! `./x attack`: does to a store what somebody would do who wants it to say something else, and shows what notices.

mod attacks;
mod files;
mod flips;
mod forge;
mod judge;
mod process;
mod scene;
mod table;
mod token;
mod untouched;

use clap::Parser;
use judge::{View, look};
use process::Tacho;
use scene::Scene;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use table::Row;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Attacks a store in every way and says what notices.
#[derive(Debug, Parser)]
struct Args {
    /// The `tacho` to attack [default: the one beside this program]
    #[arg(long)]
    tacho: Option<PathBuf>,
    /// Put the table into this document
    #[arg(long, value_name = "FILE")]
    docs: Option<PathBuf>,
    /// Bits to flip: how many, spread over every file, of the store with all anchors; `all` flips each bit of the smallest
    /// store and one of each byte of the other
    #[arg(long, default_value = "1000")]
    flips: flips::Extent,
    /// Untouched stores to verify
    #[arg(long, default_value_t = 50)]
    untouched: u32,
    /// Only attacks whose name holds this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("attack: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<bool, Failure> {
    let tacho = match args.tacho {
        Some(path) => path,
        None => std::env::current_exe()?.with_file_name("tacho"),
    };
    let scene = Scene::build(Tacho(tacho)).await?;
    let mut complaints = Vec::new();
    for view in View::ALL {
        let finding = look(&scene, view, &scene.victim)?;
        if !finding.passes() {
            complaints.push(format!(
                "the untouched store, with {}: {finding:?}",
                view.name()
            ));
        }
    }
    let all = attacks::all();
    let mut rows = Vec::new();
    for attack in &all {
        if args
            .only
            .as_ref()
            .is_some_and(|only| !attack.name.contains(only.as_str()))
        {
            continue;
        }
        let copy = scene.dir.path().join("attacked");
        files::copy(&scene.victim, &copy)?;
        (attack.make)(&scene, &copy).map_err(|error| format!("{}: {error}", attack.name))?;
        let findings: Result<_, Failure> = View::ALL
            .into_iter()
            .map(|view| Ok((view, look(&scene, view, &copy)?)))
            .collect();
        fs_err::remove_dir_all(&copy)?;
        let row = Row {
            attack,
            findings: findings?,
        };
        let noticed = row.noticed_by().map_or("NOTHING", View::name);
        println!("{:<90} {noticed}", attack.name);
        if let Some(complaint) = row.complaint() {
            complaints.push(format!("{}: {complaint}: {:?}", attack.name, row.findings));
        }
        rows.push(row);
    }
    let smallest = tempfile::tempdir()?;
    untouched::smallest(smallest.path()).await?;
    let alone = evidence::verify::Options::default();
    let every = flips::run(
        smallest.path(),
        &alone,
        args.flips.of_smallest(),
        &mut complaints,
    )?;
    println!("smallest store, alone: {every}");
    let spread = flips::run(
        &scene.victim,
        &scene.options()?,
        args.flips,
        &mut complaints,
    )?;
    println!("store with anchors: {spread}");
    let flipped =
        format!("The smallest store, by itself: {every}\n\nThe store with all anchors: {spread}");
    let untouched = untouched::run(args.untouched, &mut complaints).await?;
    println!("{untouched}");
    if let Some(document) = &args.docs {
        let mut text = table::rows(&rows);
        // Writing to a String cannot fail.
        write!(text, "\n{flipped}\n\n{untouched}\n").ok();
        table::put(Path::new(document), &text)?;
    }
    for complaint in &complaints {
        eprintln!("NOT AS IT SHOULD BE: {complaint}");
    }
    println!("{} attacks, {} complaints", rows.len(), complaints.len());
    Ok(complaints.is_empty())
}
