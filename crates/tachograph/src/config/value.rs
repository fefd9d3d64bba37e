//! The values a configuration may hold: sizes, times, names, addresses.
//! Each reader says what is wrong in words that complete "KEY ...".

use std::time::Duration;

/// Names that the gateway's addresses use themselves.
const RESERVED: [&str; 3] = ["agent", "mcp", "run"];

/// Longest name of an upstream or a server.
const MAX_NAME: usize = 64;

/// `64MiB`, `1 GB`, `4096`: a number of bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 9] = [
        ("", 1),
        ("B", 1),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
    ];
    with_unit(text, &UNITS).ok_or_else(|| {
        format!("is not a size: `{text}` (write bytes as a number, or like \"64MiB\" or \"1GB\")")
    })
}

/// `30s`, `500ms`, `10m`, `1h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
    let duration = with_unit(text, &UNITS)
        .map(Duration::from_millis)
        .ok_or_else(|| {
            format!(
                "is not a time: `{text}` (write seconds as a number, or like \"500ms\", \"30s\")"
            )
        })?;
    in_bounds(duration)
}

/// Longest time that can be configured: 30 days. Far beyond it, adding to a clock overflows.
const MAX_DURATION: Duration = Duration::from_secs(30 * 86_400);

/// Refuses nothing at all and what is absurdly long.
pub(super) fn in_bounds(duration: Duration) -> Result<Duration, String> {
    if duration.is_zero() {
        return Err("is zero".to_owned());
    }
    if duration > MAX_DURATION {
        return Err("is longer than 30 days".to_owned());
    }
    Ok(duration)
}

fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(split)?;
    let unit = unit.trim_start_matches(' ');
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// A name that can stand in a path of the gateway.
pub(super) fn name(text: &str) -> Result<(), String> {
    if RESERVED.contains(&text) {
        return Err(format!(
            "is reserved: the gateway's own addresses use `{text}`"
        ));
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.len() > MAX_NAME || !text.chars().all(fits) || text.starts_with('.')
    {
        return Err(format!(
            "cannot be a name: use 1 to {MAX_NAME} of A-Z a-z 0-9 - _ . and no dot in front"
        ));
    }
    Ok(())
}

/// An absolute `http` or `https` address that a path can be joined to.
pub(super) fn url(text: &str) -> Result<(), String> {
    let not = |why: &str| Err(format!("is not an address to forward to: {why}"));
    // `http::Uri` drops a fragment without a word.
    if text.contains('#') {
        return not("it has a fragment (`#`)");
    }
    let Ok(uri) = text.parse::<http::Uri>() else {
        return not("it is not a URL");
    };
    match uri.scheme_str() {
        Some("http" | "https") => {}
        Some(_) => return not("only http:// and https:// are forwarded"),
        None => return not("it does not begin with http:// or https://"),
    }
    if uri
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'))
    {
        return not("it holds a user name or password; agents send their own credentials");
    }
    if uri.host().is_none_or(str::is_empty) {
        return not("it names no host");
    }
    // A port that is no number in range reads as no port at all.
    let beyond_host = |a: &http::uri::Authority| a.as_str().len() > a.host().len();
    if uri.authority().is_some_and(beyond_host) && uri.port_u16().is_none_or(|port| port == 0) {
        return not("its port is no port");
    }
    if uri.query().is_some() {
        return not("it has a query (`?`)");
    }
    Ok(())
}

/// A host's name as it stands in `Host`, without a port.
pub(super) fn host(text: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || !text.chars().all(fits) || text.ends_with('.') {
        return Err(
            "is not a host's name (write it like \"recorder.internal\", without a port)".to_owned(),
        );
    }
    Ok(())
}

/// A web page's origin as a browser spells it: RFC 6454, section 6.2.
pub(super) fn origin(text: &str) -> Result<(), String> {
    let bare = |host: &str| !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ', '*']);
    let is_origin = text
        .split_once("://")
        .is_some_and(|(scheme, host)| !scheme.is_empty() && bare(host));
    if text == "null" || is_origin {
        return Ok(());
    }
    Err("is not an origin (write it like \"https://console.example.com\", with nothing after the host and port)".to_owned())
}

/// The name of a header, a query parameter, an option or a variable.
pub(super) fn secret_name(text: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.len() > MAX_NAME || !text.chars().all(fits) {
        return Err(format!(
            "is not the name of a header or parameter (write it like \"x-corp-badge\": 1 to {MAX_NAME} of A-Z a-z 0-9 - _ .)"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("4096", Some(4096)),
            ("64MiB", Some(64 << 20)),
            ("64 MiB", Some(64 << 20)),
            ("1GB", Some(1_000_000_000)),
            ("2kB", Some(2_000)),
            ("64 mib", None),
            ("", None),
            ("MiB", None),
            ("-1", None),
            ("1.5GiB", None),
            ("99999999999TiB", None),
        ] {
            assert_eq!(size(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn durations() {
        for (text, expected) in [
            ("500ms", Some(500)),
            ("30s", Some(30_000)),
            ("10m", Some(600_000)),
            ("1h", Some(3_600_000)),
            ("0s", None),
            ("721h", None),
            ("30", None),
            ("1 fortnight", None),
        ] {
            assert_eq!(
                duration(text).ok(),
                expected.map(Duration::from_millis),
                "{text}"
            );
        }
    }

    #[test]
    fn addresses() {
        for (text, fine) in [
            ("https://api.anthropic.com", true),
            ("http://127.0.0.1:9000/base/", true),
            ("http://[::1]:9000", true),
            ("api.anthropic.com", false),
            ("ftp://x", false),
            ("https://", false),
            ("https://user:secret@host", false),
            ("https://host/#x", false),
            ("https://host/?key=1", false),
            ("http://host:99999", false),
            ("http://host:0", false),
            ("", false),
            ("http://bad host", false),
        ] {
            assert_eq!(url(text).is_ok(), fine, "{text}: {:?}", url(text));
        }
    }

    #[test]
    fn names_and_origins() {
        for (text, is_host, is_origin) in [
            ("recorder.internal", true, false),
            ("https://console.example", false, true),
            ("https://console.example:8443", false, true),
            ("null", true, true),
            ("recorder.internal:8700", false, false),
            ("https://console.example/", false, false),
            ("https://*.example", false, false),
            ("", false, false),
        ] {
            assert_eq!(
                (host(text).is_ok(), origin(text).is_ok()),
                (is_host, is_origin),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_value_panics(text in "\\PC{0,40}") {
            prop_assert!(size(&text).is_ok() || size(&text).is_err());
            prop_assert!(duration(&text).is_ok() || duration(&text).is_err());
            prop_assert!(name(&text).is_ok() || name(&text).is_err());
            prop_assert!(url(&text).is_ok() || url(&text).is_err());
        }
    }
}
