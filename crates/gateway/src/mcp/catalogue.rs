//! What each server said of its tools: the digest of every description, so that a changed one shows.

use protocol::mcp::ToolEntry;
use std::collections::{HashMap, VecDeque};

/// Tools remembered over all servers.
const MAX_TOOLS: usize = 16 * 1024;

/// The latest description of every tool, as a digest. The oldest is forgotten first.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    tools: HashMap<(String, String), String>,
    order: VecDeque<(String, String)>,
}

impl Catalogue {
    /// Takes in a `tools/list` result; returns the tools whose description is not the one seen before.
    pub(crate) fn listed(&mut self, server: &str, entries: &[ToolEntry]) -> Vec<String> {
        let mut changed = Vec::new();
        for entry in entries {
            let key = (server.to_owned(), entry.name.clone());
            let digest = format!("sha256:{}", entry.digest);
            match self.tools.insert(key.clone(), digest.clone()) {
                Some(before) if before != digest => changed.push(entry.name.clone()),
                Some(_) => {}
                None => self.order.push_back(key),
            }
        }
        while self.tools.len() > MAX_TOOLS {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            self.tools.remove(&oldest);
        }
        changed
    }

    /// The digest of the tool's latest description.
    pub(crate) fn digest(&self, server: &str, tool: &str) -> Option<String> {
        self.tools
            .get(&(server.to_owned(), tool.to_owned()))
            .cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::Fingerprint;

    fn tool(name: &str, digest: u8) -> ToolEntry {
        ToolEntry {
            name: name.into(),
            digest: Fingerprint([digest; 32]),
        }
    }

    #[test]
    fn a_changed_description_shows() {
        let mut catalogue = Catalogue::default();
        assert_eq!(
            catalogue.listed("s", &[tool("a", 1), tool("b", 1)]),
            [""; 0]
        );
        assert_eq!(catalogue.listed("other", &[tool("a", 9)]), [""; 0]);
        assert_eq!(catalogue.listed("s", &[tool("a", 1), tool("b", 2)]), ["b"]);
        assert_eq!(
            catalogue.digest("s", "b").unwrap(),
            format!("sha256:{}", "02".repeat(32))
        );
        assert_eq!(catalogue.digest("s", "c"), None);
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut catalogue = Catalogue::default();
        for n in 0..2 * MAX_TOOLS {
            catalogue.listed("s", &[tool(&n.to_string(), 1)]);
        }
        assert_eq!(
            (catalogue.tools.len(), catalogue.order.len()),
            (MAX_TOOLS, MAX_TOOLS)
        );
    }
}
