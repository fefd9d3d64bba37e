//! Where anchors are to be had, as the operator says.

use crate::Error;
use http::Uri;
use std::path::{Path, PathBuf};
use std::time::Duration;
use timestamp::{Certificate, ObjectIdentifier, Trust};
use tlog::policy::Policy;

/// What to anchor with, and how often. The default anchors nowhere.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How often a checkpoint is published to witnesses and to the second place while there is something new.
    pub publish: Duration,
    /// How often one is time-stamped, and published where only time has passed, while there is something new.
    pub timestamp: Duration,
    /// Least time between a time-stamp and one that is asked for out of turn: a run ended, something was lost, somebody
    /// knows another history.
    pub pressing: Duration,
    /// Whether a recorder starts only when everybody who may know the log's head has said it.
    pub require: bool,
    /// Time-stamp authorities.
    pub authorities: Vec<Authority>,
    /// Witnesses, and which of them make a quorum.
    pub witnesses: Option<Policy>,
    /// A directory on another disk or machine that takes the newest checkpoint.
    pub copy: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            publish: Duration::from_secs(10),
            timestamp: Duration::from_mins(10),
            pressing: Duration::from_mins(1),
            require: false,
            authorities: Vec::new(),
            witnesses: None,
            copy: None,
        }
    }
}

impl Settings {
    /// Whether anything outside this machine is told of the log's head.
    #[must_use]
    pub fn anchors_anything(&self) -> bool {
        !self.authorities.is_empty() || self.has_watchers()
    }

    /// Whether somebody follows the log from head to head.
    pub(crate) fn has_watchers(&self) -> bool {
        self.copy.is_some() || self.witnesses().next().is_some()
    }

    /// The witnesses that are asked.
    pub(crate) fn witnesses(&self) -> impl Iterator<Item = &tlog::policy::Witness> {
        self.witnesses.iter().flat_map(Policy::witnesses)
    }

    /// Refuses what cannot work for the record in `data`.
    ///
    /// # Errors
    /// [`Error::Setting`]: somebody without a usable address, a second place within the record, or around it.
    pub fn judge(&self, data: &Path) -> Result<(), Error> {
        for witness in self.witnesses() {
            submission_prefix(witness)?;
        }
        for authority in &self.authorities {
            address(&authority.url).map_err(|why| {
                Error::Setting(format!(
                    "the address of authority {} cannot be used: {why}",
                    authority.name
                ))
            })?;
        }
        if let Some(place) = &self.copy {
            if place.as_os_str().is_empty() {
                return Err(Error::Setting("the second place has no name".into()));
            }
            let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| absolute(path));
            let (there, here) = (real(place), real(data));
            let how = if there.starts_with(&here) {
                "lies within the record"
            } else if here.starts_with(&there) {
                "holds the record itself"
            } else {
                return Ok(());
            };
            return Err(Error::Setting(format!(
                "the second place {} {how}: whoever rewrites the one rewrites the other",
                place.display()
            )));
        }
        Ok(())
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The address to which a witness takes checkpoints, without a slash at its end: the policy's own words.
pub(crate) fn submission_prefix(witness: &tlog::policy::Witness) -> Result<String, Error> {
    let name = witness.key.name();
    let url = witness.url.as_deref().ok_or_else(|| {
        Error::Setting(format!(
            "the policy names no address for witness {name}: write its URL behind its key"
        ))
    })?;
    // Not told as it stands: what is wrong with it may be that it holds a password.
    let unusable = |why: &str| {
        Error::Setting(format!(
            "the address of witness {name} cannot be used: {why}; write http://HOST:PORT or https://HOST"
        ))
    };
    let url = std::str::from_utf8(url).map_err(|_| unusable("it is not text"))?;
    address(url).map_err(unusable)?;
    Ok(url.trim_end_matches('/').to_owned())
}

/// Whether somebody can be asked at `url`.
///
/// # Errors
/// What is wrong with it: also a password or a key in it, which would end up in the log, in events and in `tacho status`.
fn address(url: &str) -> Result<(), &'static str> {
    // `http::Uri` drops a fragment without a word.
    if url.contains('#') {
        return Err("it has a fragment (`#`)");
    }
    let uri = url.parse::<Uri>().map_err(|_| "it is not a URL")?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("it does not begin with http:// or https://");
    }
    let authority = uri.authority().ok_or("it names no host")?;
    if authority.as_str().contains('@') {
        return Err("it holds a user name or password");
    }
    if authority.host().is_empty() {
        return Err("it names no host");
    }
    // A port that is no number in range reads as no port at all.
    let has_port = authority.as_str().len() > authority.host().len();
    if has_port && authority.port_u16().is_none_or(|port| port == 0) {
        return Err("its port is no port");
    }
    if uri.query().is_some() {
        return Err("it has a query (`?`)");
    }
    Ok(())
}

/// A time-stamp authority.
#[derive(Debug, Clone)]
pub struct Authority {
    /// Its name in events and file names: letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// Where it takes queries.
    pub url: String,
    /// Whom to believe.
    pub trusted: Trusted,
    /// The policy to ask for; its own choice without.
    pub policy: Option<ObjectIdentifier>,
}

/// Root certificates, as they were configured.
#[derive(Debug, Clone)]
pub struct Trusted {
    pem: String,
    trust: Trust,
}

impl Trusted {
    /// Believes chains that end in a certificate of `pem`.
    ///
    /// # Errors
    /// [`Error::Setting`] where it holds none.
    pub fn roots(pem: &str) -> Result<Self, Error> {
        let trust = Certificate::from_pem(pem)
            .and_then(Trust::new)
            .map_err(|error| Error::Setting(error.to_string()))?;
        Ok(Self {
            pem: pem.to_owned(),
            trust,
        })
    }

    /// The text they were read from.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    pub(crate) fn trust(&self) -> Trust {
        self.trust.clone()
    }
}

impl Authority {
    /// The policy that `text` names, as numbers with dots.
    ///
    /// # Errors
    /// [`Error::Setting`] where it is none.
    pub fn policy(text: &str) -> Result<ObjectIdentifier, Error> {
        ObjectIdentifier::new(text).map_err(|_| {
            Error::Setting(format!(
                "`{text}` is no object identifier like 1.3.6.1.4.1.4146.2.3"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_leads_somewhere_and_holds_no_secret() {
        let cosigner = tlog::cosignature::Cosigner::ed25519("example.com/w", &[1; 32]).unwrap();
        let key = cosigner.verifying_key();
        for (url, fine) in [
            ("http://127.0.0.1:8710", true),
            ("https://witness.example/w1/", true),
            ("http://[::1]:8710", true),
            ("witness.example", false),
            ("ftp://witness.example", false),
            ("https://", false),
            ("https://user:hunter2@witness.example/", false),
            ("https://hunter2@witness.example/", false),
            ("https://witness.example/?key=hunter2", false),
            ("https://witness.example/#hunter2", false),
            ("http://witness.example:hunter2/", false),
            ("http://witness.example:0/", false),
            ("", false),
        ] {
            let policy = format!("witness w {key} {url}\nquorum w\n");
            let Ok(policy) = Policy::parse(policy.as_bytes()) else {
                assert!(!fine, "{url}");
                continue;
            };
            let settings = Settings {
                witnesses: Some(policy),
                ..Settings::default()
            };
            match settings.judge(Path::new("/nowhere")) {
                Ok(()) => assert!(fine, "{url}"),
                Err(error) => {
                    let told = error.to_string();
                    assert!(!fine && !told.contains("hunter2"), "{url}: {told}");
                }
            }
        }
    }
}
