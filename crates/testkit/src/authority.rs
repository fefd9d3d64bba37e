//! A time-stamping authority made of the `openssl` command: a root, an intermediate, an RSA and an EC
//! authority below it, and whatever certificate a test asks for.
//!
//! Foreign on purpose: what it issues and verifies is the judgement of another implementation.

mod server;

pub use server::{AuthorityServer, Fault};

use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Names of the certificates that every authority has.
pub const ROOT: &str = "root";
/// Below [`ROOT`], with room for authorities only.
pub const INTERMEDIATE: &str = "intermediate";
/// Stamps with RSA; below [`INTERMEDIATE`].
pub const RSA: &str = "tsa-rsa";
/// Stamps with ECDSA on P-256; below [`INTERMEDIATE`].
pub const EC: &str = "tsa-ec";

/// Extensions of a certificate that may stamp.
pub const MAY_STAMP: &str = "basicConstraints=critical,CA:FALSE\n\
    keyUsage=critical,digitalSignature\n\
    extendedKeyUsage=critical,timeStamping\n";
/// Extensions of a certificate that may issue.
pub const MAY_ISSUE: &str = "basicConstraints=critical,CA:TRUE\n\
    keyUsage=critical,keyCertSign,cRLSign\n\
    subjectKeyIdentifier=hash\n";

/// What stands before the first section holds for each that does not say otherwise.
const CONFIGURATION: &str = "\
serial = tsa-serial.txt
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
ess_cert_id_chain = no
[ca]
default_ca = here
[here]
database = index.txt
new_certs_dir = .
serial = serial.txt
policy = policy
unique_subject = no
default_md = sha256
preserve = yes
[policy]
organizationName = optional
commonName = supplied
[req]
distinguished_name = name
prompt = no
[name]
[plain]
other_policies = 1.2.3.4.5
signer_digest = sha256
accuracy = secs:1, millisecs:500, microsecs:100
clock_precision_digits = 3
ordering = yes
tsa_name = yes
ess_cert_id_alg = sha256
[chain]
signer_digest = sha256
ess_cert_id_alg = sha512
ess_cert_id_chain = yes
[strong]
signer_digest = sha512
ess_cert_id_alg = sha384
[old]
signer_digest = sha384
ess_cert_id_alg = sha1
[sha1]
digests = sha256
signer_digest = sha1
ess_cert_id_alg = sha1
";

/// How a token is made: a section of the authority's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// SHA-256 throughout, with accuracy, milliseconds, ordering and the authority's name.
    Plain,
    /// SHA-256; every certificate of the chain is bound, by SHA-512; no accuracy.
    Chain,
    /// SHA-512, and the certificate is bound by SHA-384.
    Strong,
    /// SHA-384, and the certificate is bound by SHA-1 (RFC 2634 before RFC 5816).
    Old,
    /// Signed with SHA-1.
    Sha1,
}

impl Style {
    const fn section(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Chain => "chain",
            Self::Strong => "strong",
            Self::Old => "old",
            Self::Sha1 => "sha1",
        }
    }
}

/// A certificate to issue.
#[derive(Debug, Clone)]
pub struct Issue<'a> {
    /// Names its files, `NAME.pem` and `NAME.key`.
    pub name: &'a str,
    /// Its common name.
    pub subject: &'a str,
    /// Whose key signs; its own name for a self-signed one.
    pub issuer: &'a str,
    /// Arguments of `openssl genpkey` after `-algorithm`.
    pub key: &'a [&'a str],
    /// Extensions in the syntax of openssl.
    pub extensions: &'a str,
    /// Validity, `YYMMDDhhmmssZ`.
    pub validity: (&'a str, &'a str),
    /// Serial number in hexadecimal, an even number of digits; the next free one otherwise.
    pub serial: Option<&'a str>,
}

/// A P-256 key.
pub const P256: &[&str] = &["EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
/// A P-384 key.
pub const P384: &[&str] = &["EC", "-pkeyopt", "ec_paramgen_curve:P-384"];
/// An RSA key of 2,048 bits.
pub const RSA2048: &[&str] = &["RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
/// An Ed25519 key.
pub const ED25519: &[&str] = &["ED25519"];

impl<'a> Issue<'a> {
    /// An authority's certificate with a P-256 key under [`INTERMEDIATE`], valid from 2020 to 2049.
    #[must_use]
    pub const fn authority(name: &'a str) -> Self {
        Self {
            name,
            subject: name,
            issuer: INTERMEDIATE,
            key: P256,
            extensions: MAY_STAMP,
            validity: ("200101000000Z", "491231235959Z"),
            serial: None,
        }
    }
}

/// The authority's files, in a directory that goes with it.
#[derive(Debug)]
pub struct Authority {
    dir: tempfile::TempDir,
    // The serial numbers lie in files, and openssl does not lock them.
    turn: Mutex<u64>,
}

impl Authority {
    /// Makes root, intermediate and the two authorities.
    ///
    /// # Errors
    /// When `openssl` is not there, or fails.
    pub fn new() -> io::Result<Self> {
        let authority = Self::with_root()?;
        authority.issue(&Issue {
            issuer: ROOT,
            key: P384,
            extensions: "basicConstraints=critical,CA:TRUE,pathlen:0\n\
                keyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n",
            ..Issue::authority(INTERMEDIATE)
        })?;
        authority.issue(&Issue {
            key: RSA2048,
            ..Issue::authority(RSA)
        })?;
        authority.issue(&Issue::authority(EC))?;
        Ok(authority)
    }

    /// Makes the root alone.
    ///
    /// # Errors
    /// As [`Authority::new`].
    pub fn with_root() -> io::Result<Self> {
        let dir = tempfile::tempdir()?;
        std::fs::write(dir.path().join("openssl.cnf"), CONFIGURATION)?;
        std::fs::write(dir.path().join("tsa-serial.txt"), "01")?;
        let authority = Self {
            dir,
            turn: Mutex::new(0x1000),
        };
        authority.issue(&Issue {
            issuer: ROOT,
            key: RSA2048,
            extensions: MAY_ISSUE,
            ..Issue::authority(ROOT)
        })?;
        Ok(authority)
    }

    /// Where its files lie.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Makes a key and a certificate.
    ///
    /// # Errors
    /// When `openssl` fails; its own words are in the error.
    pub fn issue(&self, issue: &Issue<'_>) -> io::Result<()> {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        *turn += 1;
        let serial = issue
            .serial
            .map_or_else(|| format!("{:04X}", *turn), str::to_owned);
        std::fs::write(self.dir().join("serial.txt"), serial)?;
        // An empty database: a test may want a serial number twice.
        std::fs::write(self.dir().join("index.txt"), "")?;
        std::fs::write(self.dir().join("extensions.txt"), issue.extensions)?;
        let file = |end: &str| format!("{}.{end}", issue.name);
        let (key, csr, pem) = (file("key"), file("csr"), file("pem"));
        let mut generate = vec!["genpkey", "-out", &key, "-algorithm"];
        generate.extend(issue.key);
        self.openssl(&generate)?;
        let subject = format!("/O=Tachograph tests/CN={}", issue.subject);
        let request = [
            "req",
            "-new",
            "-config",
            "openssl.cnf",
            "-utf8",
            "-subj",
            &subject,
            "-key",
            &key,
            "-out",
            &csr,
        ];
        self.openssl(&request)?;
        let (signer, signer_key) = (
            format!("{}.pem", issue.issuer),
            format!("{}.key", issue.issuer),
        );
        let mut sign = vec![
            "ca",
            "-batch",
            "-notext",
            "-config",
            "openssl.cnf",
            "-in",
            &csr,
            "-out",
            &pem,
            "-startdate",
            issue.validity.0,
            "-enddate",
            issue.validity.1,
            "-extfile",
            "extensions.txt",
            "-keyfile",
            &signer_key,
        ];
        if issue.issuer == issue.name {
            sign.push("-selfsign");
        } else {
            sign.extend(["-cert", &signer]);
        }
        self.openssl(&sign).map(drop)
    }

    /// A certificate as PEM.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn pem(&self, name: &str) -> io::Result<String> {
        std::fs::read_to_string(self.dir().join(format!("{name}.pem")))
    }

    /// A private key as PKCS#8 DER, for tests that forge.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn pkcs8(&self, name: &str) -> io::Result<Vec<u8>> {
        let key = format!("{name}.key");
        self.openssl(&[
            "pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-in", &key,
        ])
    }

    /// The answer to a query (both DER) by the authority of that name, with the intermediate in the
    /// token where the query asks for certificates.
    ///
    /// # Errors
    /// When `openssl` fails. A query that it refuses is an answer, not an error.
    pub fn reply(&self, name: &str, style: Style, query: &[u8]) -> io::Result<Vec<u8>> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        std::fs::write(self.dir().join("query.tsq"), query)?;
        let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
        let chain = format!("{INTERMEDIATE}.pem");
        self.openssl(&[
            "ts",
            "-reply",
            "-config",
            "openssl.cnf",
            "-section",
            style.section(),
            "-queryfile",
            "query.tsq",
            "-signer",
            &certificate,
            "-inkey",
            &key,
            "-chain",
            &chain,
            "-out",
            "reply.tsr",
        ])?;
        std::fs::read(self.dir().join("reply.tsr"))
    }

    /// Runs `openssl` in the authority's directory and returns its standard output.
    ///
    /// # Errors
    /// When it cannot be started or fails; its own words are in the error.
    pub fn openssl(&self, arguments: &[&str]) -> io::Result<Vec<u8>> {
        let output = Command::new("openssl")
            .args(arguments)
            .current_dir(self.dir())
            .output()
            .map_err(|error| io::Error::new(error.kind(), format!("openssl: {error}")))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!(
            "openssl {}: {said}",
            arguments.join(" ")
        )))
    }
}
