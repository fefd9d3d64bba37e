//! `tacho status`: whether a recorder runs on the data directory, and how it is.

use crate::address::Address;
use crate::commands::Context;
use crate::exit::Exit;
use crate::failure::{Failure, note};
use crate::operator::Report;
use crate::out::{Out, PLAIN, WARN};
use crate::record;
use crate::standing::View;
use crate::summary::grouped;
use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::process::ExitCode;
use std::time::Duration;

/// How long a recorder may take to answer.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// Longest answer that is read.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// Arguments of `tacho status`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Ends with 0 if a recorder is running and has room to record, with 1 otherwise."
)]
pub(crate) struct Args {}

/// Asks the recorder; if none answers, looks at the store.
pub(crate) async fn execute(context: &Context, _args: Args) -> Result<ExitCode, Failure> {
    let address = Address::read(&context.data).map_err(|error| {
        Failure::new(format!(
            "cannot read {}",
            context.data.join("address").display()
        ))
        .because(&error)
        .hint(match error.kind() {
            std::io::ErrorKind::PermissionDenied => {
                "ask as the user that runs the recorder, or as one who may read its files"
            }
            _ => "it is written by `tacho serve`; start the recorder again to renew it",
        })
    })?;
    let mut out = Out::new(context);
    if let Some(address) = &address {
        match tokio::time::timeout(ANSWER_TIME, ask(address)).await {
            Ok(Ok(report)) => {
                running(context, address, &report, &mut out).await?;
                out.flush()?;
                return Ok(if report.is_recording() {
                    Exit::Done.into()
                } else {
                    Exit::Failed.into()
                });
            }
            Ok(Err(why)) => note(&format!("note: {} does not answer: {why}", address.console)),
            Err(_) => note(&format!(
                "note: {} did not answer within {} s",
                address.console,
                ANSWER_TIME.as_secs()
            )),
        }
    }
    stopped(context, address.is_some(), &mut out).await?;
    out.flush()?;
    Ok(Exit::Failed.into())
}

async fn running(
    context: &Context,
    address: &Address,
    report: &Report,
    out: &mut Out,
) -> Result<(), Failure> {
    let view = View::read_back(&context.data, report.anchors.clone()).await;
    if !context.json {
        return out.text(&report.to_text(&view));
    }
    let answer = serde_json::json!({
        "running": true,
        "recording": report.is_recording(),
        "gateway": address.gateway,
        "console": address.console,
        "recorder": report,
    });
    out.json(&with_anchors(answer, &view, report.durable_events))
}

/// What is known of the anchors, for scripts.
fn with_anchors(mut answer: Value, view: &View, durable: u64) -> Value {
    if let Some(members) = answer.as_object_mut() {
        let known = view.to_json(durable);
        members.extend(known.map(|(name, value)| (name.to_owned(), value)));
    }
    answer
}

async fn stopped(context: &Context, unclean: bool, out: &mut Out) -> Result<(), Failure> {
    let store = record::open(&context.data)?;
    let view = View::last_known(&context.data).await;
    if context.json {
        let answer = serde_json::json!({
            "running": false,
            "recording": false,
            "stopped_cleanly": !unclean,
            "data": context.data.display().to_string(),
            "events": store.len(),
            "log": store.origin(),
        });
        return out.json(&with_anchors(answer, &view, store.len()));
    }
    out.line(&[(WARN, "no recorder is running"), (PLAIN, " on this record")])?;
    out.end()?;
    out.text(&format!(
        "record  {}\nlog     {}\nevents  {}\n",
        context.data.display(),
        store.origin(),
        grouped(store.len()),
    ))?;
    out.text(&view.to_text(store.len()))?;
    if unclean {
        out.text(
            "The last recorder did not stop in good order; the next start closes its calls.\n",
        )?;
    }
    Ok(())
}

async fn ask(address: &Address) -> Result<Report, String> {
    let console = &address.console;
    let words = |error: &dyn std::error::Error| error.to_string();
    let uri: Uri = format!("{console}/status")
        .parse()
        .map_err(|_| "no address".to_owned())?;
    let authority = uri.authority().ok_or("no address")?.as_str().to_owned();
    let stream = tokio::net::TcpStream::connect(&authority)
        .await
        .map_err(|error| words(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(|error| words(&error))?;
    let connection = tokio::spawn(connection);
    let request = Request::get("/status")
        .header(http::header::HOST, authority)
        .header(
            http::header::AUTHORIZATION,
            format!("Bearer {}", address.token),
        )
        .body(Empty::new())
        .map_err(|error| words(&error))?;
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| words(&error))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES)
        .collect()
        .await
        .map_err(|error| error.to_string())?
        .to_bytes();
    connection.abort();
    if !status.is_success() {
        return Err(format!("it answered HTTP {}", status.as_u16()));
    }
    serde_json::from_slice(&body).map_err(|_| "something else answers there".to_owned())
}
