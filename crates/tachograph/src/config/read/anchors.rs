//! `[anchor]`, `[copy]`, `[timestamp.NAME]`, `[witness]`.

use super::{Reader, Section};
use crate::config::Config;
use crate::config::anchors::TimestampAuthority;
use tlog::policy::Policy;

const ANCHOR: &[&str] = &["publish", "require", "timestamp"];
const COPY: &[&str] = &["directory"];
const TIMESTAMP: &[&str] = &["digest", "policy", "roots", "url"];
const WITNESS: &[&str] = &["policy"];

/// The one digest that time-stamps are asked over: that of the log's tree.
const DIGEST: &str = "sha256";

impl Reader<'_> {
    pub(super) fn anchors(&mut self, root: &Section<'_, '_>, config: &mut Config) {
        if let Some(section) = self.section(root, "anchor") {
            self.known_keys(&section, ANCHOR);
            for (key, target) in [
                ("publish", &mut config.anchor.publish),
                ("timestamp", &mut config.anchor.timestamp),
            ] {
                if let Some(duration) = self.duration(&section, key) {
                    *target = duration;
                }
            }
            if let Some(require) = self.boolean(&section, "require") {
                config.anchor.require = require;
            }
        }
        if let Some(section) = self.section(root, "copy") {
            self.known_keys(&section, COPY);
            self.required(&section, "directory");
            config.copy.directory = self.place(&section, "directory");
        }
        if let Some(section) = self.section(root, "witness") {
            self.known_keys(&section, WITNESS);
            let read =
                |text: &str| Policy::parse(text.as_bytes()).map_err(|error| error.to_string());
            config.witness.policy = self.file(&section, "policy", read);
            self.required(&section, "policy");
        }
        for (name, section) in self.named(root, "timestamp") {
            self.known_keys(&section, TIMESTAMP);
            if let Some(authority) = self.timestamp_authority(&section) {
                config.timestamp.insert(name, authority);
            }
        }
    }

    fn timestamp_authority(&mut self, section: &Section<'_, '_>) -> Option<TimestampAuthority> {
        self.required(section, "url");
        self.required(section, "roots");
        if let Some((digest, place)) = self.string(section, "digest")
            && digest != DIGEST
        {
            let what = format!("unknown digest \"{digest}\" in {}", section.title);
            self.problem(
                place,
                what,
                Some(format!("write \"{DIGEST}\" or leave it out")),
            );
        }
        let policy = self.string(section, "policy").map(|(policy, place)| {
            if let Err(error) = anchor::Authority::policy(&policy) {
                let what = format!("`policy` in {}: {error}", section.title);
                self.problem(place, what, None);
            }
            policy
        });
        let read = |pem: &str| anchor::Trusted::roots(pem).map_err(|error| error.to_string());
        let roots = self.file(section, "roots", read);
        Some(TimestampAuthority {
            url: self.url(section, "url")?,
            policy,
            roots: roots?,
        })
    }
}
