//! An upstream's base path and what the agent asked for, joined as the client's SDK meant it.
//!
//! SDKs differ in whether the version (`/v1`, `/v1beta`) belongs to the base address. So the version may stand twice or
//! not at all; everything else of path and query goes through byte for byte.

use protocol::UpstreamApi;

/// Versions that stand in the paths of the known APIs.
const VERSIONS: &[&str] = &[
    "v1",
    "v1beta",
    "v1alpha",
    "v1beta1",
    "v1beta2",
    "v1internal",
];

/// Path and query to forward. `base` has no trailing slash; `rest` is empty or begins with `/` or `?`.
pub(crate) fn join(api: UpstreamApi, base: &str, rest: &str) -> String {
    if api == UpstreamApi::Raw {
        return root(format!("{base}{}", single_slash(rest)));
    }
    let mut base = base;
    let mut rest = single_slash(rest);
    // `/v1/v1beta/...`: the client's base address and its SDK both bring a version. The SDK's, which stands last, counts.
    while leading_version(rest).is_some() {
        let after = after_first(rest);
        if leading_version(after).is_none() {
            break;
        }
        rest = after;
    }
    if leading_version(rest).is_some() {
        // The version that the client asks for is the one that counts.
        if let Some(before) = without_trailing_version(base) {
            base = before;
        }
        return root(format!("{base}{rest}"));
    }
    if base.is_empty() && is_versioned_resource(api, rest) {
        return format!("/{}{rest}", home_version(api));
    }
    root(format!("{base}{rest}"))
}

const fn home_version(api: UpstreamApi) -> &'static str {
    match api {
        UpstreamApi::Gemini => "v1beta",
        _ => "v1",
    }
}

/// `rest` with one leading slash where it had several: `http://host/anthropic/` + `/v1/messages`.
fn single_slash(rest: &str) -> &str {
    let mut rest = rest;
    while let Some(shorter) = rest
        .strip_prefix('/')
        .filter(|shorter| shorter.starts_with('/'))
    {
        rest = shorter;
    }
    rest
}

fn first(rest: &str) -> &str {
    rest.strip_prefix('/')
        .unwrap_or_default()
        .split(['/', '?'])
        .next()
        .unwrap_or_default()
}

fn after_first(rest: &str) -> &str {
    let tail = rest
        .strip_prefix('/')
        .and_then(|rest| rest.find(['/', '?']).and_then(|at| rest.get(at..)));
    single_slash(tail.unwrap_or_default())
}

fn leading_version(rest: &str) -> Option<&'static str> {
    let first = first(rest);
    VERSIONS.iter().copied().find(|version| *version == first)
}

fn without_trailing_version(base: &str) -> Option<&str> {
    let (before, last) = base.rsplit_once('/')?;
    VERSIONS.contains(&last).then_some(before)
}

/// Whether the API has this only under a version.
fn is_versioned_resource(api: UpstreamApi, rest: &str) -> bool {
    let names: &[&str] = match api {
        UpstreamApi::Anthropic => &["messages", "complete", "models", "files", "skills"],
        UpstreamApi::OpenAi => &[
            "chat",
            "responses",
            "completions",
            "embeddings",
            "models",
            "files",
            "uploads",
            "batches",
            "images",
            "audio",
            "videos",
            "moderations",
            "conversations",
            "realtime",
            "assistants",
            "threads",
            "vector_stores",
            "containers",
            "fine_tuning",
            "evals",
        ],
        UpstreamApi::Gemini => &[
            "models",
            "tunedModels",
            "files",
            "cachedContents",
            "interactions",
            "batches",
            "fileSearchStores",
        ],
        UpstreamApi::Raw => &[],
    };
    names.contains(&first(rest))
}

/// An address never has an empty path.
fn root(address: String) -> String {
    if address.starts_with('/') {
        address
    } else {
        format!("/{address}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use UpstreamApi::{Anthropic, Gemini, OpenAi, Raw};

    #[test]
    fn versions_and_slashes_are_tolerated() {
        for (api, base, rest, joined) in [
            // As the SDKs are meant to be configured.
            (
                Anthropic,
                "",
                "/v1/messages?beta=true",
                "/v1/messages?beta=true",
            ),
            (OpenAi, "/v1", "/chat/completions", "/v1/chat/completions"),
            (
                Gemini,
                "",
                "/v1beta/models/m:generateContent?alt=sse",
                "/v1beta/models/m:generateContent?alt=sse",
            ),
            // The version twice.
            (Anthropic, "", "/v1/v1/messages", "/v1/messages"),
            (
                OpenAi,
                "/v1",
                "/v1/chat/completions",
                "/v1/chat/completions",
            ),
            (OpenAi, "/v1", "/v1/v1/responses", "/v1/responses"),
            (Gemini, "/v1beta", "/v1beta/models", "/v1beta/models"),
            (Gemini, "", "/v1beta/v1beta/models", "/v1beta/models"),
            (Gemini, "", "/v1/v1beta/models", "/v1beta/models"),
            (Gemini, "/v1", "/v1beta/v1alpha/models", "/v1alpha/models"),
            // The version nowhere.
            (Anthropic, "", "/messages", "/v1/messages"),
            (
                OpenAi,
                "",
                "/chat/completions?x=1",
                "/v1/chat/completions?x=1",
            ),
            (
                Gemini,
                "",
                "/models/m:countTokens",
                "/v1beta/models/m:countTokens",
            ),
            // The client's version counts.
            (Gemini, "/v1beta", "/v1alpha/models", "/v1alpha/models"),
            (OpenAi, "/openai/v1", "/v1/models", "/openai/v1/models"),
            // Doubled and trailing slashes of base addresses.
            (Anthropic, "", "//v1/messages", "/v1/messages"),
            (OpenAi, "/v1", "//chat/completions", "/v1/chat/completions"),
            (OpenAi, "/v1", "/v1//models", "/v1//models"),
            (OpenAi, "/v1", "/", "/v1/"),
            (OpenAi, "/v1", "", "/v1"),
            (Anthropic, "", "", "/"),
            (Anthropic, "", "?x=1", "/?x=1"),
            // What is no versioned resource goes through as it is.
            (Anthropic, "", "/api/hello", "/api/hello"),
            (
                OpenAi,
                "/api/paas/v4",
                "/chat/completions",
                "/api/paas/v4/chat/completions",
            ),
            (
                OpenAi,
                "/v1beta/openai",
                "/chat/completions",
                "/v1beta/openai/chat/completions",
            ),
            (
                Gemini,
                "",
                "/v1beta/openai/chat/completions",
                "/v1beta/openai/chat/completions",
            ),
            // Raw is left alone.
            (Raw, "/v1", "/v1/x", "/v1/v1/x"),
            (Raw, "", "//a//b/?q=%20", "/a//b/?q=%20"),
        ] {
            assert_eq!(join(api, base, rest), joined, "{api} {base} {rest}");
        }
    }
}
