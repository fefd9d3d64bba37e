//! From a request's address to who asks whom: `/agent/{agent}/{upstream}/...` and its shorter and longer forms.
//!
//! Pure: an address in, names and the untouched rest out. Which names exist is not known here.

use crate::redact::{cut, decoded};

/// The agent's name where the address names none.
pub(crate) const UNNAMED: &str = "unnamed";

/// Longest agent or run name in bytes; longer ones are cut.
const NAME_BYTES: usize = 128;

/// Where an address leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// `/`: a person looks.
    Home,
    /// An HTTP upstream.
    Upstream(Place<'a>),
    /// An MCP server over HTTP.
    Mcp(Place<'a>),
}

/// One agent's way to one upstream or server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    /// Who asks.
    pub agent: String,
    /// The run, where the address names it.
    pub run: Option<String>,
    /// The name of the upstream or server as it stands in the address; empty where there is none.
    pub name: &'a str,
    /// What follows, path and query, unchanged: empty or beginning with `/` or `?`.
    pub rest: &'a str,
}

impl<'a> Route<'a> {
    /// Reads a path with its query.
    pub(crate) fn read(address: &'a str) -> Self {
        let Some((first, rest)) = segment(address) else {
            return Self::Home;
        };
        if first != "agent" {
            return place(UNNAMED.to_owned(), None, first, rest);
        }
        let (agent, rest) = segment(rest).unwrap_or(("", rest));
        let agent = name(agent);
        let (next, rest) = segment(rest).unwrap_or(("", rest));
        if next != "run" {
            return place(agent, None, next, rest);
        }
        let (run, rest) = segment(rest).unwrap_or(("", rest));
        let run = Some(run).filter(|run| !run.is_empty()).map(name);
        let (next, rest) = segment(rest).unwrap_or(("", rest));
        place(agent, run, next, rest)
    }
}

fn place<'a>(agent: String, run: Option<String>, first: &'a str, rest: &'a str) -> Route<'a> {
    let agent = if agent.is_empty() {
        UNNAMED.to_owned()
    } else {
        agent
    };
    if first != "mcp" {
        return Route::Upstream(Place {
            agent,
            run,
            name: first,
            rest,
        });
    }
    let (server, rest) = segment(rest).unwrap_or(("", rest));
    Route::Mcp(Place {
        agent,
        run,
        name: server,
        rest,
    })
}

/// The first segment and what follows it; any number of slashes before it is skipped.
fn segment(path: &str) -> Option<(&str, &str)> {
    let path = path.trim_start_matches('/');
    let end = path.find(['/', '?']).unwrap_or(path.len());
    let (first, rest) = path.split_at_checked(end)?;
    (!first.is_empty()).then_some((first, rest))
}

/// A name as a person wrote it: percent-decoded, bounded.
fn name(segment: &str) -> String {
    let decoded = decoded(segment);
    cut(&String::from_utf8_lossy(&decoded), NAME_BYTES).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up(
        agent: &str,
        run: Option<&str>,
        name: &'static str,
        rest: &'static str,
    ) -> Route<'static> {
        Route::Upstream(Place {
            agent: agent.into(),
            run: run.map(Into::into),
            name,
            rest,
        })
    }

    fn mcp(
        agent: &str,
        run: Option<&str>,
        name: &'static str,
        rest: &'static str,
    ) -> Route<'static> {
        Route::Mcp(Place {
            agent: agent.into(),
            run: run.map(Into::into),
            name,
            rest,
        })
    }

    #[test]
    fn addresses_lead_where_they_say() {
        for (address, route) in [
            ("/", Route::Home),
            ("", Route::Home),
            ("//", Route::Home),
            ("/?x=1", Route::Home),
            (
                "/anthropic/v1/messages?beta=true",
                up(UNNAMED, None, "anthropic", "/v1/messages?beta=true"),
            ),
            ("/anthropic", up(UNNAMED, None, "anthropic", "")),
            ("/anthropic?x", up(UNNAMED, None, "anthropic", "?x")),
            ("//anthropic//v1", up(UNNAMED, None, "anthropic", "//v1")),
            (
                "/agent/mailer/openai/chat/completions",
                up("mailer", None, "openai", "/chat/completions"),
            ),
            ("/agent//mailer/openai/", up("mailer", None, "openai", "/")),
            (
                "/agent/a%20b/openai/x%2Fy",
                up("a b", None, "openai", "/x%2Fy"),
            ),
            (
                "/agent/a/run/r-1/openai/x",
                up("a", Some("r-1"), "openai", "/x"),
            ),
            (
                "/agent/a/run/r-1/mcp/files",
                mcp("a", Some("r-1"), "files", ""),
            ),
            ("/agent/a/mcp/files", mcp("a", None, "files", "")),
            (
                "/agent/a/mcp/files/message?s=1",
                mcp("a", None, "files", "/message?s=1"),
            ),
            ("/mcp/files", mcp(UNNAMED, None, "files", "")),
            ("/mcp", mcp(UNNAMED, None, "", "")),
            ("/agent", up(UNNAMED, None, "", "")),
            ("/agent/a", up("a", None, "", "")),
            ("/agent/a?x", up("a", None, "", "?x")),
        ] {
            assert_eq!(Route::read(address), route, "{address}");
        }
    }

    #[test]
    fn a_name_is_bounded() {
        let address = format!("/agent/{}/openai/x", "é".repeat(500));
        let Route::Upstream(place) = Route::read(&address) else {
            panic!()
        };
        assert!(place.agent.len() <= NAME_BYTES);
    }
}
