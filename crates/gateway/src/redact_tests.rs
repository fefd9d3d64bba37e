//! No secret reaches the record; equal secrets stay equal.

use super::*;
use proptest::prelude::*;

/// A digest that a test can read: the length of the secret and a checksum.
struct Fake;

impl Digest for Fake {
    fn digest(&self, secret: &[u8]) -> String {
        format!(
            "<{}:{}>",
            secret.len(),
            secret.iter().fold(0u32, |sum, b| sum
                .wrapping_mul(31)
                .wrapping_add(u32::from(*b)))
        )
    }
}

fn d(secret: &str) -> String {
    Fake.digest(secret.as_bytes())
}

/// What is configured in these tests.
fn names() -> SecretNames {
    SecretNames::new(&["X-Corp-Badge".to_owned(), "sid".to_owned()])
}

fn head(pairs: &[(&str, &str)]) -> (String, Option<Credential>) {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
    }
    let mut out = Vec::new();
    let credential = headers(&map, &names(), &Fake, &mut out);
    (String::from_utf8(out).unwrap(), credential)
}

#[test]
fn headers_that_carry_secrets() {
    let cases: &[(&str, &str, String)] = &[
        ("x-api-key", "sk-1", d("sk-1")),
        ("api-key", "sk-1", d("sk-1")),
        ("x-goog-api-key", "sk-1", d("sk-1")),
        ("cf-aig-token", "sk-1", d("sk-1")),
        (
            "authorization",
            "Bearer sk-1",
            format!("Bearer {}", d("sk-1")),
        ),
        (
            "authorization",
            "bearer  sk-1",
            format!("bearer {}", d("sk-1")),
        ),
        ("authorization", "sk-1", d("sk-1")),
        (
            "proxy-authorization",
            "Basic dTpw",
            format!("Basic {}", d("dTpw")),
        ),
        (
            "authorization",
            "AWS4-HMAC-SHA256 Credential=AKIA1/20260101/r/s/aws4_request, SignedHeaders=host, Signature=abcdef",
            format!(
                "AWS4-HMAC-SHA256 Credential=AKIA1/20260101/r/s/aws4_request, SignedHeaders=host, Signature={}",
                d("abcdef")
            ),
        ),
        (
            "sec-websocket-protocol",
            "realtime, openai-insecure-api-key.sk-1, openai-beta.realtime-v1",
            format!(
                "realtime, openai-insecure-api-key.{}, openai-beta.realtime-v1",
                d("sk-1")
            ),
        ),
        (
            "location",
            "https://h/p?a=b&key=sk-1",
            format!("https://h/p?a=b&key={}", d("sk-1")),
        ),
        ("cookie", "a=b; c=d", d("a=b; c=d")),
        ("apikey", "sk-1", d("sk-1")),
        ("x-auth-key", "sk-1", d("sk-1")),
        ("ocp-apim-subscription-key", "sk-1", d("sk-1")),
        ("x-functions-key", "sk-1", d("sk-1")),
        ("x-rapidapi-key", "sk-1", d("sk-1")),
        ("token", "sk-1", d("sk-1")),
        ("x-amz-security-token", "sk-1", d("sk-1")),
        ("x-goog-iam-authorization-token", "sk-1", d("sk-1")),
        ("x-amzn-oidc-accesstoken", "sk-1", d("sk-1")),
        ("cf-access-jwt-assertion", "sk-1", d("sk-1")),
        ("x-corp-badge", "sk-1", d("sk-1")),
        (
            "location",
            "https://h/cb?code=sk-1&state=2",
            format!("https://h/cb?code={}&state=2", d("sk-1")),
        ),
    ];
    for (name, value, expected) in cases {
        let (text, _) = head(&[(name, value)]);
        assert_eq!(text, format!("{name}: {expected}\r\n"));
    }
}

#[test]
fn what_is_no_secret_stays() {
    for (name, value) in [
        ("idempotency-key", "k"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("anthropic-ratelimit-tokens-remaining", "12"),
        ("anthropic-workspace-id", "w"),
        ("sec-websocket-protocol", "realtime"),
        ("x-ratelimit-remaining-tokens", "12"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-headers", "authorization"),
        ("www-authenticate", "Bearer"),
        ("surrogate-key", "k"),
        ("x-monkey", "m"),
        ("mcp-session-id", "s"),
        ("x-claude-code-session-id", "s"),
    ] {
        assert_eq!(
            head(&[(name, value)]),
            (format!("{name}: {value}\r\n"), None)
        );
    }
}

#[test]
fn the_same_key_has_the_same_digest_wherever_it_stands() {
    let (_, a) = head(&[("authorization", "Bearer sk-1")]);
    let (_, b) = head(&[("x-api-key", "sk-1")]);
    let (_, c) = query("/v1/models?key=sk%2D1", &names(), &Fake);
    let digests: Vec<_> = [a, b, c]
        .into_iter()
        .map(|credential| credential.unwrap().digest)
        .collect();
    assert_eq!(digests, [d("sk-1"), d("sk-1"), d("sk-1")]);
}

#[test]
fn a_vendors_own_header_says_who_acts_before_any_other_does() {
    let (_, credential) = head(&[("x-csrf-token", "a"), ("authorization", "Bearer sk-1")]);
    assert_eq!(credential.unwrap().digest, d("sk-1"));
}

#[test]
fn of_an_aws_signature_the_key_id_identifies() {
    let (_, credential) = head(&[(
        "authorization",
        "AWS4-HMAC-SHA256 Credential=AKIA1/x, Signature=ff",
    )]);
    assert_eq!(
        credential.unwrap(),
        Credential {
            carrier: "authorization".into(),
            digest: d("AKIA1")
        }
    );
}

#[test]
fn queries() {
    let cases = [
        ("/a", "/a".to_owned()),
        ("/a?", "/a?".to_owned()),
        ("/a?key", "/a?key".to_owned()),
        ("/a?key=", "/a?key=".to_owned()),
        ("/a?alt=sse&key=s", format!("/a?alt=sse&key={}", d("s"))),
        ("/a?%6bey=s", format!("/a?%6bey={}", d("s"))),
        (
            "/a?KEY=s&api_key=t",
            format!("/a?KEY={}&api_key={}", d("s"), d("t")),
        ),
        (
            "/a?X-Amz-Signature=s",
            format!("/a?X-Amz-Signature={}", d("s")),
        ),
        ("/a?pageToken=s&%=1&&", "/a?pageToken=s&%=1&&".to_owned()),
        (
            "/a?page_token=s&countryCode=de&signed=1&sortKey=k",
            "/a?page_token=s&countryCode=de&signed=1&sortKey=k".to_owned(),
        ),
        (
            "/a?subscription-key=s&code=t&id_token=u",
            format!(
                "/a?subscription-key={}&code={}&id_token={}",
                d("s"),
                d("t"),
                d("u")
            ),
        ),
        (
            "/a?refresh_token=s&client_assertion=t&accessToken=u&SID=v",
            format!(
                "/a?refresh_token={}&client_assertion={}&accessToken={}&SID={}",
                d("s"),
                d("t"),
                d("u"),
                d("v")
            ),
        ),
        (
            "/a?X-Amz-Credential=AKIA1&sv=1&sig=s",
            format!("/a?X-Amz-Credential=AKIA1&sv=1&sig={}", d("s")),
        ),
    ];
    for (address, expected) in cases {
        assert_eq!(query(address, &names(), &Fake).0, expected, "{address}");
    }
}

proptest! {
    #[test]
    fn a_secret_never_survives(secret in "[a-zA-Z0-9_-]{12,40}", other in "[a-z]{0,8}") {
        let bearer = format!("Bearer {secret}");
        let (text, _) = head(&[("authorization", bearer.as_str()), ("x-api-key", &secret), ("accept", "*/*")]);
        prop_assert!(!text.contains(&secret));
        let address = format!("/p?x={other}&access_token={secret}");
        prop_assert!(!query(&address, &names(), &Fake).0.contains(&secret));
    }

    #[test]
    fn any_query_is_survived(address in "\\PC{0,80}") {
        let _ = query(&address, &names(), &Fake);
    }
}
