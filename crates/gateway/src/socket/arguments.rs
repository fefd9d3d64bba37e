//! Command lines without their secrets: what looks like one is replaced by a keyed digest, so that equality stays
//! visible. Better one replaced too many than one too few.

use crate::redact::Digest;
use crate::secret_names::SecretNames;
use std::borrow::Cow;

/// How values begin that are secrets by their form.
const SECRET_STARTS: &[&str] = &[
    "sk-",
    "pk-",
    "ghp_",
    "gho_",
    "ghs_",
    "ghu_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "xapp-",
    "AKIA",
    "ASIA",
    "AIza",
    "ya29.",
    "eyJ",
    "hf_",
    "npm_",
    "pypi-",
    "sntrys_",
    "rk_live_",
    "sk_live_",
    "Bearer ",
    "Basic ",
];

/// Shortest run of letters and digits that counts as a secret for its looks alone.
const OPAQUE_BYTES: usize = 32;

/// The arguments as they may be recorded.
pub(super) fn redacted(argv: &[String], names: &SecretNames, digest: &impl Digest) -> Vec<String> {
    let mut out = Vec::with_capacity(argv.len());
    let mut secret_next = false;
    for argument in argv {
        let was_named = std::mem::take(&mut secret_next);
        if was_named && !argument.starts_with('-') {
            out.push(digest.digest(argument.as_bytes()));
            continue;
        }
        match argument.split_once('=') {
            Some((name, value))
                if (name.starts_with('-') || is_variable(name))
                    && names.covers(name)
                    && !value.is_empty() =>
            {
                out.push(format!("{name}={}", digest.digest(value.as_bytes())));
            }
            Some((name, value)) if name.starts_with('-') || is_variable(name) => {
                out.push(format!("{name}={}", value_redacted(value, names, digest)));
            }
            _ => {
                secret_next = argument.starts_with('-') && names.covers(argument);
                out.push(value_redacted(argument, names, digest).into_owned());
            }
        }
    }
    out
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn value_redacted<'a>(value: &'a str, names: &SecretNames, digest: &impl Digest) -> Cow<'a, str> {
    if SECRET_STARTS.iter().any(|start| value.starts_with(start)) || is_opaque(value) {
        return Cow::Owned(digest.digest(value.as_bytes()));
    }
    // `Authorization: Bearer ...` as one argument.
    if let Some((name, secret)) = value.split_once(':')
        && names.covers(name.trim())
        && !secret.starts_with("//")
        && !secret.trim().is_empty()
    {
        return Cow::Owned(format!(
            "{name}: {}",
            digest.digest(secret.trim().as_bytes())
        ));
    }
    url_redacted(value, names, digest)
}

/// User information and secret parameters of an address.
fn url_redacted<'a>(value: &'a str, names: &SecretNames, digest: &impl Digest) -> Cow<'a, str> {
    let Some((scheme, rest)) = value.split_once("://") else {
        return Cow::Borrowed(value);
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let tail = rest.get(authority.len()..).unwrap_or_default();
    let (path, _) = crate::redact::query(tail, names, digest);
    let user = user
        .map(|user| format!("{}@", digest.digest(user.as_bytes())))
        .unwrap_or_default();
    Cow::Owned(format!("{scheme}://{user}{host}{path}"))
}

/// Long, of one piece, with both letters and digits: nothing a person types.
fn is_opaque(value: &str) -> bool {
    value.len() >= OPAQUE_BYTES
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'+' | b'='))
        && value.bytes().any(|b| b.is_ascii_digit())
        && value.bytes().any(|b| b.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Digest for Fixed {
        fn digest(&self, _: &[u8]) -> String {
            "#".to_owned()
        }
    }

    #[test]
    fn secrets_on_a_command_line_are_replaced() {
        for (argv, expected) in [
            (
                &["npx", "-y", "@scope/server", "/home/u"][..],
                &["npx", "-y", "@scope/server", "/home/u"][..],
            ),
            (&["s", "--token", "abc"], &["s", "--token", "#"]),
            (
                &["s", "--token", "--verbose"],
                &["s", "--token", "--verbose"],
            ),
            (
                &["s", "--api-key=abc", "--apiKey", "x"],
                &["s", "--api-key=#", "--apiKey", "#"],
            ),
            (
                &["env", "GITHUB_TOKEN=abc", "LANG=C"],
                &["env", "GITHUB_TOKEN=#", "LANG=C"],
            ),
            (&["s", "ghp_abcdef"], &["s", "#"]),
            (&["s", "--config=sk-ant-123"], &["s", "--config=#"]),
            (
                &["s", "postgres://u:p@host/db?x=1"],
                &["s", "postgres://#@host/db?x=1"],
            ),
            (
                &["s", "https://h/p?api_key=abc&x=1"],
                &["s", "https://h/p?api_key=#&x=1"],
            ),
            (
                &["s", "-H", "Authorization: Bearer abc"],
                &["s", "-H", "Authorization: #"],
            ),
            (&["s", "-H", "X-Api-Key: abc"], &["s", "-H", "X-Api-Key: #"]),
            (&["s", "0123456789abcdef0123456789abcdef"], &["s", "#"]),
            (&["s", "--keyboard", "de"], &["s", "--keyboard", "de"]),
            (&["s", "--privateKey", "x"], &["s", "--privateKey", "#"]),
            (&["s", "--corp-badge", "x"], &["s", "--corp-badge", "#"]),
            (
                &["s", "a-perfectly-ordinary-file-name-of-length.txt"],
                &["s", "a-perfectly-ordinary-file-name-of-length.txt"],
            ),
        ] {
            let argv: Vec<String> = argv.iter().map(|s| (*s).to_owned()).collect();
            let names = SecretNames::new(&["corp_badge".to_owned()]);
            assert_eq!(redacted(&argv, &names, &Fixed), expected, "{argv:?}");
        }
    }
}
