//! `[vault]`.

use super::{Reader, Section};
use crate::config::vault::VaultSettings;
use evidence::Recipient;

const VAULT: &[&str] = &["recipient", "seal"];

impl Reader<'_> {
    pub(super) fn vault(&mut self, section: &Section<'_, '_>, vault: &mut VaultSettings) {
        self.known_keys(section, VAULT);
        let read = |text: &str| {
            Recipient::parse("the file", text.as_bytes()).map_err(|error| error.to_string())
        };
        vault.recipient = self.file(section, "recipient", read);
        let default = vault
            .recipient
            .is_some()
            .then_some(evidence::WRITE_ONLY_SEAL);
        vault.seal = self.duration(section, "seal").or(default);
    }
}
