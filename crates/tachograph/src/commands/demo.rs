//! `tacho demo`: plays a recorded incident through a real gateway and shows what the record says.

use crate::commands::Context;
use crate::demo::{AGENT, Agent, Change, MCP_SERVER, Places, RUN, Stage, Step, alter_one_letter};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::{BAD, DIM, HEAD, MODEL, Out, PLAIN, TOOL};
use crate::shell;
use serde::Serialize;
use serde_json::Value;
use std::io::IsTerminal as _;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long the recorder may take to start and to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// Most characters of a tool's arguments that the narration shows.
const SHOWN_ARGUMENTS: usize = 72;

/// Arguments of `tacho demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The incident: a support agent reads a ticket with hidden instructions in it, exports the customer
table and mails it to a stranger. The model and the tools are scripted; the recorder between them
and the agent is the real one. Nothing leaves this machine.

At a terminal the recorder goes on until Ctrl-C, so that you can point an agent of your own at it.
With --data the record lies in DIR, and what --tamper alters in DIR-altered. With --json the demo
prints one document when it is over: the steps, the timeline, what verification says.")]
pub(crate) struct Args {
    /// Leave the recorder running after the incident, also where nobody watches
    #[arg(long)]
    stay: bool,
    /// Stop the recorder after the incident, also at a terminal
    #[arg(long, conflicts_with = "stay")]
    no_stay: bool,
    /// Afterwards change one letter in a copy of the record, and verify the copy
    #[arg(long)]
    tamper: bool,
}

/// Plays the incident. `named` says whether the directory was chosen by the person who asked.
pub(crate) async fn execute(
    context: &Context,
    named: bool,
    args: Args,
) -> Result<ExitCode, Failure> {
    if context.json && args.stay {
        return Err(Failure::usage("--json and --stay do not go together")
            .hint("the document is printed when the demo is over; leave --stay out"));
    }
    let places = Places::prepare(context, named, args.tamper)?;
    let mut out = Out::new(context);
    let stage = Stage::start().await?;
    let recorder = Recorder::start(&places, &stage).await?;
    if context.json {
        let document = gathered(recorder, &places, args.tamper).await?;
        out.json(&document)?;
    } else {
        tell(recorder, &places, &args, &mut out).await?;
    }
    out.flush()?;
    places.clear();
    Ok(Exit::Done.into())
}

/// Plays and tells it, for a person.
async fn tell(
    mut recorder: Recorder,
    places: &Places,
    args: &Args,
    out: &mut Out,
) -> Result<(), Failure> {
    let data = &places.record;
    out.line(&[
        (HEAD, "An incident, recorded. "),
        (
            PLAIN,
            "A support agent works on a ticket; it knows no address but the recorder's.",
        ),
    ])?;
    out.end()?;
    Agent::new(&recorder.gateway)
        .work(|step| narrate(out, &step))
        .await?;

    if args.stay || (std::io::stdout().is_terminal() && !args.no_stay) {
        recorder.until_signed(data).await?;
        look(out, data).await?;
        // Listened for before it is asked for: who reads the invitation may act on it at once.
        let mut interrupt = signal(SignalKind::interrupt())
            .map_err(|error| Failure::new("cannot listen for Ctrl-C").because(&error))?;
        invite(out, &recorder, data)?;
        recorder.until(&mut interrupt).await?;
        recorder.stop().await?;
    } else {
        recorder.stop().await?;
        look(out, data).await?;
    }
    if args.tamper {
        tamper(out, places).await?;
    }
    out.end()?;
    out.line(&[
        (DIM, "The recorder has stopped. The record stays in "),
        (PLAIN, &data.display().to_string()),
    ])
}

/// The demo as a script gets it.
#[derive(Debug, Serialize)]
struct Document {
    /// Directory of the record.
    record: String,
    /// What the agent did.
    steps: Vec<Step>,
    /// The answer to `tacho timeline RUN --json`.
    timeline: Value,
    /// The answer to `tacho verify --json`.
    verify: Value,
    /// What was altered in a copy, where that was asked for.
    altered: Option<Altered>,
}

/// An altered copy.
#[derive(Debug, Serialize)]
struct Altered {
    /// Directory of the copy.
    record: String,
    #[serde(flatten)]
    change: Change,
    /// The answer to `tacho verify --json` of the copy.
    verify: Value,
}

/// Plays and gathers it, for a script.
async fn gathered(
    recorder: Recorder,
    places: &Places,
    tampered: bool,
) -> Result<Document, Failure> {
    let mut steps = Vec::new();
    Agent::new(&recorder.gateway)
        .work(|step| {
            steps.push(step);
            Ok(())
        })
        .await?;
    recorder.stop().await?;
    let data = &places.record;
    let (_, timeline) = answer(data, &["timeline", RUN]).await?;
    let (code, verify) = answer(data, &["verify"]).await?;
    verified(code)?;
    let altered = match tampered {
        true => {
            let change = alter_one_letter(data, &places.altered)?;
            let (code, verify) = answer(&places.altered, &["verify"]).await?;
            noticed(code)?;
            Some(Altered {
                record: places.altered.display().to_string(),
                change,
                verify,
            })
        }
        false => None,
    };
    Ok(Document {
        record: data.display().to_string(),
        steps,
        timeline,
        verify,
        altered,
    })
}

/// What one of our own commands answers a script, with its exit code.
async fn answer(data: &Path, words: &[&str]) -> Result<(i32, Value), Failure> {
    let failed = |error: &dyn std::error::Error| {
        Failure::new(format!("cannot run `tacho {}`", words.join(" "))).because(error)
    };
    let done = tacho(data)?
        .arg("--json")
        .args(words)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .await
        .map_err(|error| failed(&error))?;
    let value = serde_json::from_slice(&done.stdout).map_err(|error| failed(&error))?;
    Ok((done.status.code().unwrap_or(-1), value))
}

fn verified(code: i32) -> Result<(), Failure> {
    if code == i32::from(Exit::Done.code()) {
        return Ok(());
    }
    Err(Failure::new(format!(
        "the record does not verify: exit {code}"
    )))
}

fn noticed(code: i32) -> Result<(), Failure> {
    if code == i32::from(Exit::Altered.code()) {
        return Ok(());
    }
    Err(Failure::new(
        "the change went unnoticed: this is a fault of Tachograph",
    ))
}

/// What a person would type next, and what it shows.
async fn look(out: &mut Out, data: &Path) -> Result<(), Failure> {
    show(out, data, &["timeline", RUN]).await?;
    verified(show(out, data, &["verify"]).await?)
}

fn narrate(out: &mut Out, step: &Step) -> Result<(), Failure> {
    match step {
        Step::Asked { task } => out.line(&[(MODEL, "  user   "), (PLAIN, task)])?,
        Step::Called {
            tool,
            arguments,
            result_bytes,
        } => {
            let mut shown: String = arguments.chars().take(SHOWN_ARGUMENTS).collect();
            if shown.len() < arguments.len() {
                shown.push_str("...");
            }
            out.line(&[
                (TOOL, "  tool   "),
                (HEAD, tool),
                (PLAIN, &format!(" {shown}")),
                (DIM, &format!("  -> {result_bytes} bytes")),
            ])?;
        }
        Step::Said { words } => out.line(&[(MODEL, "  model  "), (PLAIN, words)])?,
    }
    out.flush()
}

/// Runs one of our own commands on the record, as a person would, and returns its exit code.
async fn show(out: &mut Out, data: &Path, words: &[&str]) -> Result<i32, Failure> {
    out.end()?;
    out.line(&[
        (DIM, "$ "),
        (
            HEAD,
            &format!("tacho {} --data {}", words.join(" "), shell::word(data)),
        ),
    ])?;
    out.flush()?;
    let status = tacho(data)?
        .args(words)
        .stdin(Stdio::null())
        .status()
        .await
        .map_err(|error| {
            Failure::new(format!("cannot run `tacho {}`", words.join(" "))).because(&error)
        })?;
    Ok(status.code().unwrap_or(-1))
}

fn tacho(data: &Path) -> Result<Command, Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::new("cannot find this program again").because(&error))?;
    let mut command = Command::new(program);
    command
        .arg("--data")
        .arg(data)
        .env_remove("TACHO_DATA")
        .kill_on_drop(true);
    Ok(command)
}

async fn tamper(out: &mut Out, places: &Places) -> Result<(), Failure> {
    let change = alter_one_letter(&places.record, &places.altered)?;
    out.end()?;
    out.line(&[
        (BAD, "One letter changed "),
        (
            PLAIN,
            &format!(
                "in a copy: {} now says {:?} instead of {:?}, and no checksum but the log's own is in the way.",
                change.file, change.after, change.before
            ),
        ),
    ])?;
    let code = show(out, &places.altered, &["verify"]).await?;
    out.line(&[(DIM, &format!("exit {code}"))])?;
    noticed(code)
}

fn invite(out: &mut Out, recorder: &Recorder, data: &Path) -> Result<(), Failure> {
    let gateway = &recorder.gateway;
    out.end()?;
    out.line(&[
        (HEAD, "The recorder goes on. "),
        (PLAIN, "Point an agent of your own at it:"),
    ])?;
    for (name, value) in [
        (
            "ANTHROPIC_BASE_URL",
            format!("{gateway}/agent/mine/anthropic"),
        ),
        ("OPENAI_BASE_URL", format!("{gateway}/agent/mine/openai/v1")),
        (
            "GOOGLE_GEMINI_BASE_URL",
            format!("{gateway}/agent/mine/gemini"),
        ),
    ] {
        out.line(&[(PLAIN, &format!("  export {name}={value}"))])?;
    }
    out.line(&[(
        PLAIN,
        &format!("  an MCP server over HTTP: {gateway}/agent/{AGENT}/mcp/{MCP_SERVER}"),
    )])?;
    out.line(&[(
        PLAIN,
        &format!(
            "  an MCP server over stdio: tacho mcp --agent mine --server NAME --data {} -- COMMAND",
            shell::word(data)
        ),
    )])?;
    out.line(&[(
        PLAIN,
        &format!(
            "and watch: tacho events --follow --data {}",
            shell::word(data)
        ),
    )])?;
    out.line(&[(DIM, "Ctrl-C stops it.")])?;
    out.flush()
}

/// `tacho serve` as a process of its own, on free ports.
struct Recorder {
    process: Child,
    gateway: String,
}

impl Recorder {
    async fn start(places: &Places, stage: &Stage) -> Result<Self, Failure> {
        let failed = |error: &dyn std::error::Error| {
            Failure::new("cannot start the recorder").because(error)
        };
        let (file, log) = (
            places.own.join("tacho.toml"),
            places.own.join("recorder.log"),
        );
        fs_err::write(&file, stage.configuration()).map_err(|error| failed(&error))?;
        let stderr = std::fs::File::create(&log).map_err(|error| failed(&error))?;
        let mut process = tacho(&places.record)?
            .args([
                "serve",
                "--gateway",
                "127.0.0.1:0",
                "--console",
                "127.0.0.1:0",
                "--config",
            ])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            // Ctrl-C at the terminal is for the demo, which then stops the recorder in good order.
            .process_group(0)
            .spawn()
            .map_err(|error| failed(&error))?;
        let Some(stdout) = process.stdout.take() else {
            return Err(Failure::new("cannot listen to the recorder"));
        };
        let mut lines = BufReader::new(stdout).lines();
        let ready = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        let line = match ready {
            Ok(Ok(Some(line))) => line,
            Ok(Err(error)) => return Err(failed(&error)),
            Ok(Ok(None)) | Err(_) => {
                return Err(Failure::new("the recorder did not start")
                    .hint(format!("see {}", log.display())));
            }
        };
        let gateway = line
            .split(' ')
            .find_map(|word| word.strip_prefix("gateway="));
        let gateway = gateway.ok_or_else(|| {
            Failure::new("the recorder said something else than ready").cause(line.clone())
        })?;
        Ok(Self {
            gateway: gateway.to_owned(),
            process,
        })
    }

    /// Waits for the first signed checkpoint, so that there is something to verify.
    async fn until_signed(&self, data: &Path) -> Result<(), Failure> {
        let checkpoint = data.join("log").join("checkpoint");
        let signed = async {
            while !checkpoint.exists() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, signed)
            .await
            .map_err(|_| Failure::new("the recorder has signed no checkpoint"))
    }

    /// Waits for Ctrl-C; an error if the recorder ends before.
    async fn until(&mut self, interrupt: &mut Signal) -> Result<(), Failure> {
        tokio::select! {
            _ = interrupt.recv() => Ok(()),
            _ = self.process.wait() => Err(Failure::new("the recorder has stopped by itself")),
        }
    }

    async fn stop(mut self) -> Result<(), Failure> {
        let failed =
            |error: &dyn std::error::Error| Failure::new("cannot stop the recorder").because(error);
        let pid = self
            .process
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)
                .map_err(|error| failed(&error))?;
        }
        match tokio::time::timeout(PATIENCE, self.process.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(Failure::new(format!("the recorder ended with {status}"))),
            Ok(Err(error)) => Err(failed(&error)),
            Err(_) => Err(Failure::new("the recorder did not stop")),
        }
    }
}
