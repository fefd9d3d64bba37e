//! Secrets out of what is recorded: each is replaced by a keyed digest, so that equal secrets stay visibly equal.
//!
//! Knows where secrets stand in heads and addresses; which names they have, [`SecretNames`] knows. Never touches what is forwarded.

use crate::secret_names::SecretNames;
use event::Credential;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use std::borrow::Cow;

/// The keyed digest of a secret.
pub(crate) trait Digest {
    /// Equal secrets give equal text; nothing else can be learnt from it.
    fn digest(&self, secret: &[u8]) -> String;
}

impl Digest for evidence::Recorder {
    fn digest(&self, secret: &[u8]) -> String {
        self.digest_secret(secret)
    }
}

/// Headers by which vendors know who acts. Where there is one, no other secret is taken for the caller's credential.
const CREDENTIAL_HEADERS: &[&str] = &[
    "authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "sec-websocket-protocol",
];

/// Headers that carry `SCHEME secret`.
const SCHEME_HEADERS: &[&str] = &["authorization", "proxy-authorization"];

/// Sub-protocols by which browsers hand a key to a WebSocket server.
const SECRET_PROTOCOLS: &[&str] = &["openai-insecure-api-key.", "openai-ephemeral-user-api-key."];

/// Writes `headers` as lines `name: value\r\n`, secrets replaced, and returns the credential that was found.
///
/// Values are those of the wire. Names are in lower case, and the lines of one name stand together, in the order they came,
/// where the first of them stood: what the HTTP library keeps of a head, and HTTP gives the same meaning.
pub(crate) fn headers(
    headers: &HeaderMap,
    names: &SecretNames,
    digest: &impl Digest,
    out: &mut Vec<u8>,
) -> Option<Credential> {
    let mut credential: Option<Credential> = None;
    for (name, value) in headers {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        match replaced(name, value, names, digest) {
            Replaced::Nothing => out.extend_from_slice(value.as_bytes()),
            Replaced::Part(text) => out.extend_from_slice(text.as_bytes()),
            Replaced::Credential { text, digest } => {
                out.extend_from_slice(text.as_bytes());
                let vendors = |name: &str| CREDENTIAL_HEADERS.contains(&name);
                if credential
                    .as_ref()
                    .is_none_or(|found| vendors(name.as_str()) && !vendors(&found.carrier))
                {
                    credential = Some(Credential {
                        carrier: name.as_str().to_owned(),
                        digest,
                    });
                }
            }
        }
        out.extend_from_slice(b"\r\n");
    }
    credential
}

enum Replaced {
    Nothing,
    /// Something secret that does not say who acts.
    Part(String),
    /// What identifies the caller.
    Credential {
        text: String,
        digest: String,
    },
}

fn replaced(
    name: &HeaderName,
    value: &HeaderValue,
    names: &SecretNames,
    digest: &impl Digest,
) -> Replaced {
    let bytes = value.as_bytes();
    let name = name.as_str();
    if SCHEME_HEADERS.contains(&name) {
        return authorization(bytes, digest);
    }
    if matches!(name, "cookie" | "set-cookie") {
        return Replaced::Part(digest.digest(bytes));
    }
    if names.covers(name) {
        let text = digest.digest(bytes);
        return Replaced::Credential {
            digest: text.clone(),
            text,
        };
    }
    if name == "sec-websocket-protocol" {
        return sub_protocols(bytes, digest);
    }
    if memchr::memchr(b'?', bytes).is_some()
        && let Ok(text) = std::str::from_utf8(bytes)
        && let (Cow::Owned(text), _) = query(text, names, digest)
    {
        return Replaced::Part(text);
    }
    Replaced::Nothing
}

/// `SCHEME secret`: the scheme stays. Of an AWS signature, version 4, everything but the signature stays; the access
/// key id says who acts.
fn authorization(bytes: &[u8], digest: &impl Digest) -> Replaced {
    let Ok(text) = std::str::from_utf8(bytes) else {
        let text = digest.digest(bytes);
        return Replaced::Credential {
            digest: text.clone(),
            text,
        };
    };
    let Some((scheme, secret)) = text.trim_start().split_once(' ') else {
        let text = digest.digest(bytes);
        return Replaced::Credential {
            digest: text.clone(),
            text,
        };
    };
    let secret = secret.trim();
    if scheme.starts_with("AWS4-")
        && let Some((before, signature)) = secret.split_once("Signature=")
    {
        let (signature, after) = signature
            .split_once(',')
            .map_or((signature, ""), |(s, rest)| (s, rest));
        let comma = if after.is_empty() { "" } else { "," };
        let text = format!(
            "{scheme} {before}Signature={}{comma}{after}",
            digest.digest(signature.trim().as_bytes())
        );
        let key_id = before
            .split_once("Credential=")
            .map_or(before, |(_, rest)| rest);
        let key_id = key_id.split(['/', ',']).next().unwrap_or_default();
        return Replaced::Credential {
            text,
            digest: digest.digest(key_id.as_bytes()),
        };
    }
    let digest = digest.digest(secret.as_bytes());
    Replaced::Credential {
        text: format!("{scheme} {digest}"),
        digest,
    }
}

fn sub_protocols(bytes: &[u8], digest: &impl Digest) -> Replaced {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Replaced::Part(digest.digest(bytes));
    };
    let mut found = None;
    let items: Vec<Cow<'_, str>> = text
        .split(',')
        .map(|item| {
            let name = item.trim();
            let Some((prefix, secret)) = SECRET_PROTOCOLS
                .iter()
                .find_map(|prefix| name.strip_prefix(prefix).map(|secret| (*prefix, secret)))
            else {
                return Cow::Borrowed(name);
            };
            let secret = digest.digest(secret.as_bytes());
            let item = format!("{prefix}{secret}");
            found = Some(secret);
            Cow::Owned(item)
        })
        .collect();
    match found {
        Some(digest) => Replaced::Credential {
            text: items.join(", "),
            digest,
        },
        None => Replaced::Nothing,
    }
}

/// An address with the secrets of its query replaced, and the first of them.
pub(crate) fn query<'a>(
    address: &'a str,
    names: &SecretNames,
    digest: &impl Digest,
) -> (Cow<'a, str>, Option<Credential>) {
    let Some((path, query)) = address.split_once('?') else {
        return (Cow::Borrowed(address), None);
    };
    let secret = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let name = decoded(name);
        let secret = !value.is_empty() && names.covers_parameter(&String::from_utf8_lossy(&name));
        secret.then(|| decoded(value).into_owned())
    };
    if !query.split('&').any(|pair| secret(pair).is_some()) {
        return (Cow::Borrowed(address), None);
    }
    let mut credential = None;
    let mut out = format!("{path}?");
    for (at, pair) in query.split('&').enumerate() {
        if at > 0 {
            out.push('&');
        }
        let (Some(value), Some((name, _))) = (secret(pair), pair.split_once('=')) else {
            out.push_str(pair);
            continue;
        };
        let digest = digest.digest(&value);
        out.push_str(name);
        out.push('=');
        out.push_str(&digest);
        credential.get_or_insert_with(|| Credential {
            carrier: format!("query:{}", cut(name, 64)),
            digest,
        });
    }
    (Cow::Owned(out), credential)
}

/// The text's first `most` bytes, cut at a character.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most))
        .unwrap_or_default()
}

/// Percent-decoded bytes; a broken escape stays as it is.
pub(crate) fn decoded(text: &str) -> Cow<'_, [u8]> {
    if !text.contains('%') {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes().iter();
    while let Some(byte) = bytes.next() {
        let rest = bytes.as_slice();
        match (byte, rest.first(), rest.get(1)) {
            (b'%', Some(high), Some(low))
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                out.push(hex_value(*high) << 4 | hex_value(*low));
                bytes.nth(1);
            }
            _ => out.push(*byte),
        }
    }
    Cow::Owned(out)
}

const fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit.wrapping_sub(b'A').wrapping_add(10),
    }
}

#[cfg(test)]
#[path = "redact_tests.rs"]
mod tests;
