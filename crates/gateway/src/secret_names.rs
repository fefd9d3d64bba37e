//! Names that say that the value beside them is a secret: of headers, query parameters, command-line options, variables.
//!
//! One judgement for all of them. It goes by the words of a name, so that `x-functions-key` is covered without being
//! listed and `--keyboard` is not. Better one too many than one too few.

use std::borrow::Cow;

/// Words that say so wherever they stand in a name.
const WORDS: &[&str] = &[
    "assertion",
    "auth",
    "authorization",
    "bearer",
    "cookie",
    "credential",
    "credentials",
    "dsn",
    "jwt",
    "key",
    "pass",
    "passcode",
    "passphrase",
    "passwd",
    "password",
    "pat",
    "pwd",
    "secret",
    "token",
];

/// Endings by which such words are known where nothing separates them from the word before.
const ENDINGS: &[&str] = &[
    "accesskey",
    "apikey",
    "assertion",
    "authkey",
    "password",
    "privatekey",
    "secret",
    "secretkey",
    "subscriptionkey",
    "token",
];

/// Pairs of words that name no secret, though the second alone would: identifiers, positions in lists, permissions.
const HARMLESS: &[(&str, &str)] = &[
    ("allow", "credentials"),
    ("amz", "credential"),
    ("cache", "key"),
    ("continuation", "token"),
    ("goog", "credential"),
    ("idempotency", "key"),
    ("next", "token"),
    ("page", "token"),
    ("partition", "key"),
    ("public", "key"),
    ("sort", "key"),
    ("surrogate", "key"),
    ("websocket", "key"),
];

/// Words that name a secret in a query, where a signature is as good as a password. In a header it is none.
const PARAMETER_WORDS: &[&str] = &["sig", "signature"];

/// Whole names that do so in a query: OAuth 2.0, and keys of functions in a cloud.
const PARAMETERS: &[&str] = &["code", "code_verifier", "device_code", "user_code"];

/// Which names are covered: those that their words give away, and those that were configured.
#[derive(Debug, Default)]
pub(crate) struct SecretNames {
    configured: Vec<String>,
}

impl SecretNames {
    /// With these beside those that their words give away.
    pub(crate) fn new(configured: &[String]) -> Self {
        Self {
            configured: configured.iter().map(|name| plain(name)).collect(),
        }
    }

    /// Whether the value of a header, an option or a variable of this name is a secret.
    pub(crate) fn covers(&self, name: &str) -> bool {
        self.is_configured(name) || words_any(name, is_secret)
    }

    /// Whether the value of a query parameter of this name is a secret.
    pub(crate) fn covers_parameter(&self, name: &str) -> bool {
        self.covers(name)
            || PARAMETERS
                .iter()
                .any(|known| name.eq_ignore_ascii_case(known))
            || words_any(name, |_, word| PARAMETER_WORDS.contains(&word))
    }

    fn is_configured(&self, name: &str) -> bool {
        !self.configured.is_empty() && self.configured.contains(&plain(name))
    }
}

/// A name by which it is compared: without an option's dashes, in lower case, `_` for `-`.
fn plain(name: &str) -> String {
    name.trim_start_matches('-')
        .to_ascii_lowercase()
        .replace('-', "_")
}

fn is_secret(before: &str, word: &str) -> bool {
    let harmless = HARMLESS.iter().any(|(first, second)| {
        (before == *first && word == *second) || word.strip_suffix(*second) == Some(*first)
    });
    !harmless && (WORDS.contains(&word) || ENDINGS.iter().any(|ending| word.ends_with(ending)))
}

/// Whether `matches` holds of any word of a name, in lower case and without a number at its end, and the word before it.
fn words_any(name: &str, mut matches: impl FnMut(&str, &str) -> bool) -> bool {
    let mut before = Cow::Borrowed("");
    name.split(|c: char| !c.is_ascii_alphanumeric())
        .flat_map(humps)
        .any(|word| {
            let word = word.trim_end_matches(|c: char| c.is_ascii_digit());
            let word = if word.bytes().any(|byte| byte.is_ascii_uppercase()) {
                Cow::Owned(word.to_ascii_lowercase())
            } else {
                Cow::Borrowed(word)
            };
            let found = matches(&before, &word);
            before = word;
            found
        })
}

/// `accessToken` as `access` and `Token`.
fn humps(mut rest: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let follows = rest.bytes().zip(rest.bytes().skip(1));
        let mut hump = follows.map(|(a, b)| !a.is_ascii_uppercase() && b.is_ascii_uppercase());
        let end = hump.position(|hump| hump).map_or(rest.len(), |at| at + 1);
        let (word, tail) = rest.split_at_checked(end)?;
        rest = tail;
        Some(word).filter(|word| !word.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_judged_by_their_words() {
        let names = SecretNames::new(&["X-Corp-Badge".to_owned()]);
        for (name, anywhere, in_query) in [
            ("key", true, true),
            ("KEY", true, true),
            ("api_key", true, true),
            ("apikey", true, true),
            ("--api-key", true, true),
            ("accessToken", true, true),
            ("OAuthToken", true, true),
            ("APIKey", true, true),
            ("API_KEY_2", true, true),
            ("token2", true, true),
            ("AWS_SECRET_ACCESS_KEY", true, true),
            ("x-amzn-oidc-accesstoken", true, true),
            ("x_corp_badge", true, true),
            ("--x-corp-badge", true, true),
            ("sig", false, true),
            ("X-Amz-Signature", false, true),
            ("x-hub-signature-256", false, true),
            ("code", false, true),
            ("Code", false, true),
            ("country_code", false, false),
            ("keyboard", false, false),
            ("monkey", false, false),
            ("author", false, false),
            ("authority", false, false),
            ("tokens", false, false),
            ("max_tokens", false, false),
            ("pageToken", false, false),
            ("nextPageToken", false, false),
            ("continuationtoken", false, false),
            ("idempotency-key", false, false),
            ("", false, false),
            ("-", false, false),
            ("ключ", false, false),
        ] {
            assert_eq!(
                (names.covers(name), names.covers_parameter(name)),
                (anywhere, in_query),
                "{name}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_name_is_survived(name in "\\PC{0,60}") {
            let names = SecretNames::default();
            prop_assert!(!names.covers(&name) || names.covers_parameter(&name));
        }
    }
}
