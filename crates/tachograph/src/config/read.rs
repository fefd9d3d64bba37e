//! Reads the TOML text. Walks the tables with their places in the file, so that every mistake
//! can be named with its line, and goes on after a mistake to find the next one.

mod anchors;
mod recorder;
mod signer;
mod values;
mod vault;

use super::{Authorities, Config, McpServer, Problem, Problems, Upstream, value};
use protocol::UpstreamApi;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use storage::read_regular;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

const SECTIONS: &[&str] = &[
    "anchor",
    "copy",
    "gateway",
    "keys",
    "limits",
    "mcp",
    "recorder",
    "signer",
    "timestamp",
    "upstream",
    "vault",
    "witness",
];
const GATEWAY: &[&str] = &["allowed_hosts", "allowed_origins"];
const KEYS: &[&str] = &["epoch"];
const UPSTREAM: &[&str] = &["api", "base_url", "ca_file"];
const MCP: &[&str] = &["ca_file", "url"];
const LIMITS: &[&str] = &[
    "connect_timeout",
    "connections",
    "drain_timeout",
    "head_timeout",
    "idle_timeout",
    "memory",
    "memory_timeout",
    "request_body",
    "request_idle_timeout",
    "request_rate",
    "response_body",
    "tunnel_idle_timeout",
];

/// How much worse than a perfect match a suggestion may be (Jaro-Winkler, 1 is perfect).
const SIMILAR: f64 = 0.7;

/// Reads the text of the file called `name`; relative paths in it begin at `folder`.
pub(super) fn read(text: &str, name: &str, folder: &Path) -> Result<Config, Problems> {
    let mut reader = Reader {
        text,
        folder,
        problems: Vec::new(),
    };
    let mut config = Config::default();
    match DeTable::parse(text) {
        Ok(root) => reader.root(root.get_ref(), &mut config),
        Err(error) => {
            let what = error.message().lines().collect::<Vec<_>>().join("; ");
            reader.problem(
                error.span().unwrap_or(0..0),
                format!("not TOML: {what}"),
                None,
            );
        }
    }
    if reader.problems.is_empty() {
        Ok(config)
    } else {
        Err(Problems::new(name, reader.problems))
    }
}

struct Reader<'t> {
    text: &'t str,
    folder: &'t Path,
    problems: Vec<Problem>,
}

/// A table with the name it has in messages, `[upstream.acme]`.
struct Section<'a, 'i> {
    title: String,
    place: Range<usize>,
    table: &'a DeTable<'i>,
}

impl Reader<'_> {
    fn root(&mut self, root: &DeTable<'_>, config: &mut Config) {
        let root = Section {
            title: "the file".to_owned(),
            place: 0..0,
            table: root,
        };
        self.known_keys(&root, SECTIONS);
        if let Some(section) = self.section(&root, "gateway") {
            self.gateway(&section, &mut config.gateway);
        }
        if let Some(section) = self.section(&root, "keys") {
            self.known_keys(&section, KEYS);
            if let Some(epoch) = self.duration(&section, "epoch") {
                config.keys.epoch = epoch;
            }
        }
        if let Some(section) = self.section(&root, "limits") {
            self.limits(&section, &mut config.limits);
        }
        if let Some(section) = self.section(&root, "recorder") {
            self.recorder(&section, &mut config.recorder);
        }
        if let Some(section) = self.section(&root, "signer") {
            config.signer = self.signer(&section);
        }
        if let Some(section) = self.section(&root, "vault") {
            self.vault(&section, &mut config.vault);
        }
        self.anchors(&root, config);
        for (name, section) in self.named(&root, "upstream") {
            self.upstream(name, &section, &mut config.upstream);
        }
        for (name, section) in self.named(&root, "mcp") {
            self.known_keys(&section, MCP);
            let ca_file = self.authorities(&section);
            match self.url(&section, "url") {
                Some(url) => {
                    config.mcp.insert(name, McpServer { ca_file, url });
                }
                None => self.required(&section, "url"),
            }
        }
    }

    fn upstream(
        &mut self,
        name: String,
        section: &Section<'_, '_>,
        upstreams: &mut BTreeMap<String, Upstream>,
    ) {
        self.known_keys(section, UPSTREAM);
        let vendor = upstreams.get(&name).cloned();
        let api = self.string(section, "api").and_then(|(api, place)| {
            let found = api.parse::<UpstreamApi>().ok();
            if found.is_none() {
                let names: Vec<&str> = UpstreamApi::ALL.iter().map(|api| api.as_str()).collect();
                let what = format!("unknown api \"{api}\" in {}", section.title);
                self.problem(place, what, Some(suggest(&api, &names, "apis")));
            }
            found
        });
        let base_url = self.url(section, "base_url");
        if base_url.is_none() && vendor.is_none() {
            self.required(section, "base_url");
        }
        if api.is_none() && vendor.is_none() {
            self.required(section, "api");
        }
        let api = api.or(vendor.as_ref().map(|vendor| vendor.api));
        let ca_file = self.authorities(section);
        let base_url = base_url.or(vendor.map(|vendor| vendor.base_url));
        if let (Some(api), Some(base_url)) = (api, base_url) {
            let upstream = Upstream {
                api,
                base_url,
                ca_file,
            };
            upstreams.insert(name, upstream);
        }
    }

    fn gateway(&mut self, section: &Section<'_, '_>, gateway: &mut super::GatewaySettings) {
        self.known_keys(section, GATEWAY);
        if let Some(hosts) = self.strings(section, "allowed_hosts", value::host) {
            gateway.allowed_hosts = hosts;
        }
        if let Some(origins) = self.strings(section, "allowed_origins", value::origin) {
            gateway.allowed_origins = origins;
        }
    }

    fn limits(&mut self, section: &Section<'_, '_>, limits: &mut super::Limits) {
        self.known_keys(section, LIMITS);
        for (key, target, least) in [
            ("request_body", &mut limits.request_body, 1 << 10),
            ("response_body", &mut limits.response_body, 1 << 10),
            ("memory", &mut limits.memory, 1 << 20),
            ("request_rate", &mut limits.request_rate, 1),
        ] {
            if let Some(bytes) = self.size(section, key, least) {
                *target = bytes;
            }
        }
        if let Some((connections, place)) = self.integer(section, "connections") {
            if connections == 0 {
                let what = format!(
                    "`connections` in {} is 0: no agent could connect",
                    section.title
                );
                self.problem(place, what, None);
            }
            limits.connections = connections;
        }
        for (key, target) in [
            ("connect_timeout", &mut limits.connect_timeout),
            ("idle_timeout", &mut limits.idle_timeout),
            ("head_timeout", &mut limits.head_timeout),
            ("request_idle_timeout", &mut limits.request_idle_timeout),
            ("memory_timeout", &mut limits.memory_timeout),
            ("drain_timeout", &mut limits.drain_timeout),
            ("tunnel_idle_timeout", &mut limits.tunnel_idle_timeout),
        ] {
            if let Some(duration) = self.duration(section, key) {
                *target = duration;
            }
        }
    }

    fn section<'a, 'i>(&mut self, parent: &Section<'a, 'i>, key: &str) -> Option<Section<'a, 'i>> {
        let value = parent.table.get(key)?;
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_type(parent, key, value, "a table");
            return None;
        };
        Some(Section {
            title: format!("[{key}]"),
            place: value.span(),
            table,
        })
    }

    /// The tables `[key.NAME]`, those with a name that cannot be used left out.
    fn named<'a, 'i>(
        &mut self,
        parent: &Section<'a, 'i>,
        key: &str,
    ) -> Vec<(String, Section<'a, 'i>)> {
        let Some(section) = self.section(parent, key) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for (name, value) in section.table {
            let title = format!("[{key}.{}]", name.get_ref());
            if let Err(why) = value::name(name.get_ref()) {
                self.problem(name.span(), format!("the name of {title} {why}"), None);
                continue;
            }
            match value.get_ref().as_table() {
                Some(table) => {
                    let section = Section {
                        title,
                        place: name.span(),
                        table,
                    };
                    found.push((name.get_ref().to_string(), section));
                }
                None => {
                    let what = format!("`{}` in [{key}] must be a table: {title}", name.get_ref());
                    self.problem(name.span(), what, None);
                }
            }
        }
        found
    }

    fn known_keys(&mut self, section: &Section<'_, '_>, known: &[&str]) {
        for key in section.table.keys() {
            if !known.contains(&key.get_ref().as_ref()) {
                let what = format!("unknown key `{}` in {}", key.get_ref(), section.title);
                self.problem(
                    key.span(),
                    what,
                    Some(suggest(key.get_ref(), known, "keys")),
                );
            }
        }
    }

    fn required(&mut self, section: &Section<'_, '_>, key: &str) {
        if section.table.get(key).is_none() {
            let what = format!("{} has no `{key}`", section.title);
            let example = match key {
                "api" => r#"api = "anthropic" | "openai" | "gemini" | "raw""#,
                "directory" => r#"directory = "/mnt/elsewhere""#,
                "module" => r#"module = "/usr/lib/softhsm/libsofthsm2.so""#,
                "pin_file" => r#"pin_file = "token.pin""#,
                "policy" => r#"policy = "witnesses.policy""#,
                "roots" => r#"roots = "authority.pem""#,
                "token" => r#"token = "LABEL""#,
                "url" if section.title.starts_with("[timestamp.") => {
                    r#"url = "http://timestamp.example.com/tsa""#
                }
                "url" => r#"url = "http://127.0.0.1:9000/mcp""#,
                _ => r#"base_url = "https://api.example.com""#,
            };
            self.problem(section.place.clone(), what, Some(format!("add {example}")));
        }
    }

    fn authorities(&mut self, section: &Section<'_, '_>) -> Option<Authorities> {
        let (path, place) = self.path(section, "ca_file")?;
        let pem = match read_regular(&self.folder.join(&path), super::MAX_FILE_BYTES) {
            Ok(pem) => pem,
            Err(error) => {
                let what = format!("`ca_file` in {} cannot be read: {error}", section.title);
                self.problem(place, what, None);
                return None;
            }
        };
        if memchr::memmem::find(&pem, b"-----BEGIN CERTIFICATE-----").is_none() {
            let what = format!(
                "`ca_file` in {} holds no certificate in PEM form",
                section.title
            );
            self.problem(place, what, None);
            return None;
        }
        let sha256 = super::sha256(&pem);
        Some(Authorities { path, sha256, pem })
    }

    fn wrong_type(
        &mut self,
        section: &Section<'_, '_>,
        key: &str,
        found: &Spanned<DeValue<'_>>,
        expected: &str,
    ) {
        let kind = found.get_ref().type_str();
        let what = format!(
            "`{key}` in {} must be {expected}, and is of type {kind}",
            section.title
        );
        self.problem(found.span(), what, None);
    }

    fn problem(&mut self, place: Range<usize>, what: String, hint: Option<String>) {
        let before = self.text.get(..place.start).unwrap_or(self.text);
        let line = 1 + before.bytes().filter(|byte| *byte == b'\n').count();
        self.problems.push(Problem { line, what, hint });
    }
}

/// The nearest valid name first, then all of them.
fn suggest(wrong: &str, valid: &[&str], plural: &str) -> String {
    let nearest = valid
        .iter()
        .map(|name| (strsim::jaro_winkler(&wrong.to_lowercase(), name), *name))
        .filter(|(score, _)| *score >= SIMILAR)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let list = valid.join(", ");
    match nearest {
        Some((_, name)) => format!("did you mean `{name}`? valid {plural}: {list}"),
        None => format!("valid {plural}: {list}"),
    }
}
