//! Recorded exchanges: VCR cassettes, one YAML file for each test of the project they come from.

use protocol::UpstreamApi;
use serde_norway::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One recorded HTTP exchange.
pub(crate) struct Exchange {
    pub(crate) cassette: String,
    pub(crate) number: usize,
    pub(crate) upstream: UpstreamApi,
    pub(crate) host: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) request: Vec<u8>,
    pub(crate) status: u16,
    pub(crate) content_type: Option<String>,
    pub(crate) response: Vec<u8>,
}

/// The recordings, or `None` with a printed reason where they are absent.
pub(crate) fn load() -> Option<Vec<Exchange>> {
    let shared = std::env::var_os("TACHO_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let archive = shared.join("data/cassettes/pydantic-ai.tar.xz");
    if !archive.exists() {
        println!(
            "skipped: no recorded exchanges at {} (set TACHO_SHARED)",
            archive.display()
        );
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let unpacked = Command::new("tar")
        .arg("-xJf")
        .arg(&archive)
        .arg("-C")
        .arg(dir.path())
        .status();
    if !unpacked.is_ok_and(|status| status.success()) {
        println!(
            "skipped: tar and xz are needed to unpack {}",
            archive.display()
        );
        return None;
    }
    let mut files = Vec::new();
    yaml_files(dir.path(), &mut files);
    files.sort();
    assert_eq!(files.len(), 651, "cassettes");
    Some(
        files
            .iter()
            .flat_map(|file| exchanges(file, dir.path()))
            .collect(),
    )
}

fn yaml_files(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            yaml_files(&path, files);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            files.push(path);
        }
    }
}

fn exchanges(file: &Path, root: &Path) -> Vec<Exchange> {
    let document: Value = serde_norway::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let interactions = document["interactions"]
        .as_sequence()
        .cloned()
        .unwrap_or_default();
    let cassette = file.strip_prefix(root).unwrap().display().to_string();
    interactions
        .iter()
        .enumerate()
        .filter_map(|(number, value)| exchange(&cassette, number, value))
        .collect()
}

/// Interactions without a request are recordings of gRPC, which is none of HTTP's business.
fn exchange(cassette: &str, number: usize, value: &Value) -> Option<Exchange> {
    let (request, response) = (value.get("request")?, value.get("response")?);
    let uri = request["uri"].as_str().unwrap();
    let rest = uri.split_once("://").unwrap().1;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let content_type = header(response, "content-type");
    Some(Exchange {
        cassette: cassette.to_owned(),
        number,
        upstream: upstream(host),
        host: host.to_owned(),
        method: request["method"].as_str().unwrap().to_owned(),
        path: path.to_owned(),
        request: body(request, None),
        status: u16::try_from(response["status"]["code"].as_u64().unwrap()).unwrap(),
        response: body(response, content_type.as_deref()),
        content_type,
    })
}

fn upstream(host: &str) -> UpstreamApi {
    match host {
        "api.anthropic.com" => UpstreamApi::Anthropic,
        _ if host.ends_with("googleapis.com") => UpstreamApi::Gemini,
        _ if host.starts_with("bedrock-runtime") => UpstreamApi::Raw,
        _ => UpstreamApi::OpenAi,
    }
}

fn header(message: &Value, name: &str) -> Option<String> {
    let headers = message["headers"].as_mapping()?;
    let value = headers
        .iter()
        .find(|(key, _)| {
            key.as_str()
                .is_some_and(|key| key.eq_ignore_ascii_case(name))
        })?
        .1;
    value.get(0).unwrap_or(value).as_str().map(str::to_owned)
}

/// A body is recorded parsed, as text, or (what is not text) in base64.
fn body(message: &Value, content_type: Option<&str>) -> Vec<u8> {
    if let Some(parsed) = message.get("parsed_body") {
        return serde_json::to_vec(parsed).unwrap();
    }
    let body = &message["body"];
    let text = body
        .as_str()
        .or_else(|| body["string"].as_str())
        .unwrap_or_default();
    if content_type.is_some_and(|media| media.contains("eventstream")) {
        use base64::Engine as _;
        let packed: String = text.split_whitespace().collect();
        return base64::engine::general_purpose::STANDARD
            .decode(packed)
            .unwrap();
    }
    text.as_bytes().to_vec()
}
