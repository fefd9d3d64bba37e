//! The AgentDyn runs as an agent would have sent them: the whole context again at every model call,
//! and each tool call to an MCP server.

use crate::error::Error;
use crate::replay::{Call, To};
use crate::wire;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A run, in the order in which the agent made its calls.
#[derive(Debug)]
pub(crate) struct Run {
    /// The agent: the suite's name.
    pub(crate) agent: String,
    pub(crate) calls: Vec<Call>,
}

/// All runs, and their distinct messages as they stood in the requests.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    pub(crate) runs: Vec<Run>,
    pub(crate) unique: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct File {
    suite_name: String,
    messages: Vec<Recorded>,
}

#[derive(Debug, Deserialize)]
struct Recorded {
    role: String,
    #[serde(default)]
    content: Option<Vec<Part>>,
    #[serde(default)]
    tool_calls: Option<Vec<ToolCall>>,
    #[serde(default)]
    tool_call_id: Option<String>,
    #[serde(default)]
    tool_call: Option<ToolCall>,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Part {
    content: String,
}

#[derive(Debug, Deserialize)]
struct ToolCall {
    function: String,
    args: Value,
    #[serde(default)]
    id: Option<String>,
}

/// Where the archive lies, if it is there.
pub(crate) fn archive() -> Option<PathBuf> {
    let shared = std::env::var_os("TACHO_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")),
        PathBuf::from,
    );
    let archive = shared.join("data/agentdyn/runs.tar.xz");
    archive.exists().then_some(archive)
}

/// Unpacks and converts the runs.
pub(crate) fn load(archive: &Path, dir: &Path) -> Result<Runs, Error> {
    let unpacked = tempfile::tempdir_in(dir).map_err(Error::io("unpacking the runs"))?;
    let status = Command::new("tar")
        .arg("-xJf")
        .arg(archive)
        .arg("-C")
        .arg(unpacked.path())
        .status()
        .map_err(Error::io("running tar"))?;
    if !status.success() {
        return Err(Error::Wrong(format!("tar ended with {status}")));
    }
    let mut files = Vec::new();
    find(unpacked.path(), &mut files)?;
    files.sort_unstable();
    let mut seen = HashSet::new();
    let mut runs = Runs::default();
    for file in files {
        let bytes = std::fs::read(&file).map_err(Error::io("reading a run"))?;
        let file: File = serde_json::from_slice(&bytes)
            .map_err(|error| Error::Wrong(format!("{}: {error}", file.display())))?;
        let number = runs.runs.len() as u64;
        runs.runs
            .push(convert(&file, number, &mut seen, &mut runs.unique));
    }
    Ok(runs)
}

fn find(dir: &Path, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    let what = Error::io("listing the runs");
    for entry in std::fs::read_dir(dir).map_err(&what)? {
        let path = entry.map_err(&what)?.path();
        if path.is_dir() {
            find(&path, files)?;
        } else if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            files.push(path);
        }
    }
    Ok(())
}

fn convert(file: &File, number: u64, seen: &mut HashSet<String>, unique: &mut Vec<String>) -> Run {
    let mut calls = Vec::new();
    let mut context = String::new();
    for (index, recorded) in file.messages.iter().enumerate() {
        let id = (number << 16) + index as u64;
        let message = message(recorded);
        if recorded.role == "assistant" {
            calls.push(Call {
                to: To::Model,
                body: format!(r#"{{"model":"gpt-x","messages":[{context}],"temperature":0}}"#)
                    .into_bytes(),
                answer: wire::chat_answer(id, &message),
            });
        }
        if let Some(call) = recorded
            .tool_call
            .as_ref()
            .filter(|_| recorded.role == "tool")
        {
            calls.push(tool_call(call, recorded, id));
        }
        let text = message.to_string();
        if !context.is_empty() {
            context.push(',');
        }
        context.push_str(&text);
        if seen.insert(text.clone()) {
            unique.push(text);
        }
    }
    Run {
        agent: file.suite_name.clone(),
        calls,
    }
}

/// The message in the form of OpenAI's chat completions.
fn message(recorded: &Recorded) -> Value {
    let mut message = Map::new();
    message.insert("role".into(), recorded.role.as_str().into());
    message.insert("content".into(), text(recorded).into());
    let calls = recorded.tool_calls.as_deref().unwrap_or_default();
    if !calls.is_empty() {
        let calls: Vec<Value> = calls
            .iter()
            .map(|call| {
                json!({"id": call.id, "type": "function",
                    "function": {"name": call.function, "arguments": call.args.to_string()}})
            })
            .collect();
        message.insert("tool_calls".into(), calls.into());
    }
    if let Some(id) = &recorded.tool_call_id {
        message.insert("tool_call_id".into(), id.as_str().into());
    }
    Value::Object(message)
}

fn text(recorded: &Recorded) -> String {
    let parts = recorded.content.as_deref().unwrap_or_default();
    parts.iter().map(|part| part.content.as_str()).collect()
}

fn tool_call(call: &ToolCall, recorded: &Recorded, id: u64) -> Call {
    let body = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
        "params": {"name": call.function, "arguments": call.args}});
    let text = recorded.error.clone().unwrap_or_else(|| text(recorded));
    let answer = json!({"jsonrpc": "2.0", "id": id,
        "result": {"content": [{"type": "text", "text": text}], "isError": recorded.error.is_some()}});
    Call {
        to: To::Tools,
        body: body.to_string().into_bytes(),
        answer: wire::json_answer("", answer.to_string().as_bytes()),
    }
}
