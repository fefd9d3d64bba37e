//! Who may ask at all: a web page may not, unless it was configured.
//!
//! A browser lets a page of any site send requests to a loopback address, either openly, with an `Origin`, or after its
//! host's name was made to point there (DNS rebinding), which its `Host` shows. Both are refused before anything else is
//! looked at. MCP, Streamable HTTP, Security Warning: servers must validate `Origin` and answer 403.
//!
//! Pure: a request's head in, a verdict out. Not an authentication: whatever is no browser may say what it likes.

use crate::refusal::Cause;
use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, Uri};
use std::net::IpAddr;

/// Which names and pages were configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Names that may stand in `Host`, without a port, beside `localhost` and addresses. Empty: where the listener is not
    /// on a loopback address, any.
    pub hosts: Vec<String>,
    /// Pages that may ask, as `Origin` spells them, beside those of this machine.
    pub origins: Vec<String>,
}

/// The rule of one listener.
#[derive(Debug)]
pub(crate) struct Admission {
    access: Access,
    /// The address it listens on.
    address: Option<IpAddr>,
}

impl Admission {
    pub(crate) const fn new(access: Access, address: Option<IpAddr>) -> Self {
        Self { access, address }
    }

    /// Why the request is refused by its head, if it is.
    pub(crate) fn refuses(&self, uri: &Uri, headers: &HeaderMap) -> Option<Cause> {
        let named = uri
            .authority()
            .map(|authority| authority.as_str().as_bytes());
        let stated = headers.get_all(HOST).iter();
        let mut hosts = named
            .into_iter()
            .chain(stated.map(http::HeaderValue::as_bytes));
        if !hosts.all(|host| self.admits_host(host)) {
            return Some(Cause::ForeignHost);
        }
        let mut origins = headers.get_all(ORIGIN).iter().peekable();
        // A page's plain link or image comes without an `Origin`; every browser says then where it stands.
        let site = headers
            .get("sec-fetch-site")
            .map(http::HeaderValue::as_bytes);
        if origins.peek().is_none() && matches!(site, Some(b"cross-site" | b"same-site")) {
            return Some(Cause::ForeignOrigin);
        }
        (!origins.all(|origin| self.admits_origin(origin.as_bytes())))
            .then_some(Cause::ForeignOrigin)
    }

    fn admits_host(&self, host: &[u8]) -> bool {
        let checked = self.address.is_none_or(|address| address.is_loopback());
        if !checked && self.access.hosts.is_empty() {
            return true;
        }
        // What a browser sends is an authority always.
        let Some(host) = authority(host) else {
            return false;
        };
        is_local_name(&host) || address(&host).is_some() || self.names(&host)
    }

    fn admits_origin(&self, origin: &[u8]) -> bool {
        let Ok(origin) = std::str::from_utf8(origin) else {
            return false;
        };
        if self
            .access
            .origins
            .iter()
            .any(|known| known.eq_ignore_ascii_case(origin))
        {
            return true;
        }
        let Some((_, host)) = origin.split_once("://") else {
            return false;
        };
        let Some(host) = authority(host.as_bytes()) else {
            return false;
        };
        is_local_name(&host)
            || address(&host).is_some_and(|ip| ip.is_loopback() || Some(ip) == self.address)
            || self.names(&host)
    }

    fn names(&self, host: &str) -> bool {
        let name = host.trim_end_matches('.');
        self.access
            .hosts
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// The host of `host[:port]`, without its brackets.
fn authority(text: &[u8]) -> Option<String> {
    let authority = Authority::try_from(text).ok()?;
    if authority.as_str().contains('@') {
        return None;
    }
    let host = authority.host();
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    Some(bare.unwrap_or(host).to_owned())
}

fn address(host: &str) -> Option<IpAddr> {
    host.parse().ok()
}

/// RFC 6761, section 6.3: never resolved to anything but a loopback address.
fn is_local_name(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn verdict(listens: &str, access: &Access, headers: &[(&str, &str)]) -> Option<Cause> {
        let mut request = http::Request::builder().uri("/anthropic/v1/messages");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let admission = Admission::new(access.clone(), Some(listens.parse().unwrap()));
        let request = request.body(()).unwrap();
        admission.refuses(request.uri(), request.headers())
    }

    #[test]
    fn a_name_that_is_not_this_machines_is_refused_on_loopback() {
        let known = Access {
            hosts: vec!["recorder.test".to_owned()],
            origins: Vec::new(),
        };
        for (listens, host, refused) in [
            ("127.0.0.1", "127.0.0.1:8700", false),
            ("127.0.0.1", "localhost:8700", false),
            ("127.0.0.1", "LOCALHOST", false),
            ("127.0.0.1", "tacho.localhost:8700", false),
            ("127.0.0.1", "10.0.0.1", false),
            ("127.0.0.1", "Recorder.test:1", false),
            ("127.0.0.1", "recorder.test.:1", false),
            ("::1", "[::1]:8700", false),
            ("127.0.0.1", "evil.example:8700", true),
            ("127.0.0.1", "127.0.0.1.evil.example", true),
            ("127.0.0.1", "localhost.evil.example", true),
            ("127.0.0.1", "localhost@evil.example", true),
            ("127.0.0.1", "evil.example@localhost", true),
            ("127.0.0.1", "", true),
            ("127.0.0.1", "a b", true),
            ("0.0.0.0", "evil.example", true),
            ("0.0.0.0", "recorder.test", false),
        ] {
            let got = verdict(listens, &known, &[("host", host)]);
            assert_eq!(
                got,
                refused.then_some(Cause::ForeignHost),
                "{listens} {host}"
            );
        }
        let open = Access::default();
        assert_eq!(
            verdict("0.0.0.0", &open, &[("host", "gateway.internal")]),
            None
        );
        assert_eq!(verdict("127.0.0.1", &open, &[]), None);
    }

    #[test]
    fn a_page_that_is_not_this_machines_is_refused_everywhere() {
        let known = Access {
            hosts: vec!["recorder.test".to_owned()],
            origins: vec!["https://console.example".to_owned(), "null".to_owned()],
        };
        for (origin, refused) in [
            ("http://localhost:6274", false),
            ("http://127.0.0.1:3000", false),
            ("http://[::1]:3000", false),
            ("tauri://localhost", false),
            ("http://recorder.test:8700", false),
            ("https://console.example", false),
            ("null", false),
            ("https://console.example:444", true),
            ("http://console.example", true),
            ("https://evil.example", true),
            ("http://localhost.evil.example", true),
            ("http://10.0.0.9", true),
            ("chrome-extension://abcdef", true),
            ("", true),
            ("localhost", true),
        ] {
            for listens in ["127.0.0.1", "10.0.0.1"] {
                let got = verdict(listens, &known, &[("host", "10.0.0.1"), ("origin", origin)]);
                assert_eq!(
                    got,
                    refused.then_some(Cause::ForeignOrigin),
                    "{listens} {origin}"
                );
            }
        }
        let open = Access::default();
        for (origin, refused) in [("null", true), ("http://10.0.0.1:8700", false)] {
            let got = verdict("10.0.0.1", &open, &[("origin", origin)]);
            assert_eq!(got, refused.then_some(Cause::ForeignOrigin), "{origin}");
        }
    }

    #[test]
    fn a_pages_link_is_refused_and_a_persons_is_not() {
        for (site, refused) in [
            ("cross-site", true),
            ("same-site", true),
            ("same-origin", false),
            ("none", false),
        ] {
            let got = verdict("127.0.0.1", &Access::default(), &[("sec-fetch-site", site)]);
            assert_eq!(got, refused.then_some(Cause::ForeignOrigin), "{site}");
        }
    }

    proptest! {
        #[test]
        fn no_header_breaks_it(host in "[ -~]{0,40}", origin in "[ -~]{0,40}") {
            let got = verdict("127.0.0.1", &Access::default(), &[("host", &host), ("origin", &origin)]);
            // Whatever was admitted ends in a name or an address of this machine.
            if got.is_none() {
                prop_assert!(origin.contains("://"));
            }
        }
    }
}
