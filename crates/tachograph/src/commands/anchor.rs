//! `tacho anchor`: have the log's head told outside now.

use crate::commands::Context;
use crate::control::{self, Order};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::Out;
use crate::standing::View;
use anchor::Standing;
use std::process::ExitCode;

/// Arguments of `tacho anchor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Ends with 0 if every anchor that is configured has the log's newest checkpoint, with 10 if one of them knows another
history of the log, and with 1 otherwise.")]
pub(crate) struct Args {}

/// Asks the running recorder, and waits for its anchors.
pub(crate) async fn execute(context: &Context, _args: Args) -> Result<ExitCode, Failure> {
    let done = control::ask(&context.data, &Order::Anchor).await?;
    let standing: Standing = serde_json::from_value(done).map_err(|error| {
        Failure::new("the recorder speaks another protocol")
            .because(&error)
            .hint("use the same `tacho` for both")
    })?;
    let mut out = Out::new(context);
    if context.json {
        out.json(&standing)?;
    } else {
        let view = View::read_back(&context.data, standing.clone()).await;
        out.text(&view.to_text(standing.published))?;
    }
    out.flush()?;
    Ok(exit(&standing).into())
}

fn exit(standing: &Standing) -> Exit {
    let failing = || {
        standing
            .anchors
            .iter()
            .filter_map(|anchor| anchor.failing.as_ref())
    };
    let has = |anchor: &anchor::Anchored| anchor.size >= Some(standing.published);
    if failing().any(|failing| failing.incident) {
        Exit::Altered
    } else if standing.is_anchored() && standing.anchors.iter().all(has) {
        Exit::Done
    } else {
        Exit::Failed
    }
}
