//! `./x attack`: does to a store what somebody would do who wants it to say something else, and shows what notices.

mod attacks;
mod export;
mod files;
mod flips;
mod forge;
mod judge;
mod process;
mod scene;
mod stage;
mod table;
mod token;
mod untouched;
mod wal;

use attacks::Attack;
use clap::Parser;
use judge::{View, look};
use process::Tacho;
use scene::{Base, Scene};
use stage::Stage;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use table::{Findings, Row};

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
    /// Leave the attacked stores, and what was said of them, in this directory
    #[arg(long, value_name = "DIR")]
    export: Option<PathBuf>,
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
    let scene = Scene::build(Stage::set(Tacho(tacho)).await?)?;
    let mut complaints = Vec::new();
    let all = attacks::all();
    let named = |attack: &&Attack| {
        let only = args.only.as_ref();
        only.is_none_or(|only| attack.name.contains(only.as_str()))
    };
    let rows = attack(
        &scene,
        all.iter().filter(named),
        &mut complaints,
        args.export.as_deref(),
    )?;
    let flipped = flip(&scene, args.flips, &mut complaints).await?;
    println!("{flipped}");
    let untouched = untouched::run(&scene.stage, args.untouched, &mut complaints).await?;
    println!("{untouched}");
    if let Some(document) = &args.docs {
        let table = table::rows(&rows);
        table::put(
            Path::new(document),
            &format!("{table}\n{flipped}\n\n{untouched}\n"),
        )?;
    }
    for complaint in &complaints {
        eprintln!("NOT AS IT SHOULD BE: {complaint}");
    }
    println!("{} attacks, {} complaints", rows.len(), complaints.len());
    Ok(complaints.is_empty())
}

/// Does each attack to a copy of its base, and lets everybody look.
fn attack<'a>(
    scene: &Scene,
    attacks: impl Iterator<Item = &'a Attack>,
    complaints: &mut Vec<String>,
    export: Option<&Path>,
) -> Result<Vec<Row<'a>>, Failure> {
    let look_at = |base: Base, store: &Path| -> Result<Findings, Failure> {
        let views = View::ALL.into_iter();
        views
            .map(|view| Ok((view, look(scene, base, view, store)?)))
            .collect()
    };
    let mut export = export.map(export::Export::begin).transpose()?;
    let mut untouched: BTreeMap<Base, Findings> = BTreeMap::new();
    for base in Base::ALL {
        let findings = look_at(base, scene.base(base))?;
        for (view, finding) in &findings {
            // Where nobody cosigned, whoever asks for it is told.
            let unseen = base == Base::Unwitnessed && *view == View::Outside;
            if unseen == finding.passes() {
                let with = view.name();
                complaints.push(format!("the untouched {base:?}, with {with}: {finding:?}"));
            }
        }
        untouched.insert(base, findings);
    }
    let copy = scene.stage.dir.path().join("attacked");
    let mut rows = Vec::new();
    for attack in attacks {
        let base = attack.base;
        files::copy(scene.base(base), &copy)?;
        (attack.make)(scene, &copy).map_err(|error| format!("{}: {error}", attack.name))?;
        let findings = look_at(base, &copy)?;
        if let Some(export) = &mut export {
            export.add(scene, attack, &copy, &findings)?;
        }
        fs_err::remove_dir_all(&copy)?;
        let row = Row {
            attack,
            findings,
            untouched: untouched.get(&base).cloned().unwrap_or_default(),
        };
        let noticed = row.noticed_by().map_or("NOTHING", View::name);
        println!("{:<90} {noticed}", attack.name);
        if let Some(complaint) = row.complaint() {
            complaints.push(format!("{}: {complaint}: {:?}", attack.name, row.findings));
        }
        rows.push(row);
    }
    export.map_or(Ok(()), export::Export::end)?;
    Ok(rows)
}

/// Flips bits of a small store that nobody vouches for, and of the victim.
async fn flip(
    scene: &Scene,
    extent: flips::Extent,
    complaints: &mut Vec<String>,
) -> Result<String, Failure> {
    let smallest = tempfile::tempdir()?;
    untouched::smallest(smallest.path()).await?;
    let alone = evidence::verify::Options::default();
    let every = flips::run(smallest.path(), &alone, extent.of_smallest(), complaints)?;
    let spread = flips::run(&scene.victim, &scene.options()?, extent, complaints)?;
    Ok(format!(
        "The smallest store, by itself: {every}\n\nThe store with all anchors: {spread}"
    ))
}
