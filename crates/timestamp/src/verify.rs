//! The verdict on a token.

use crate::chain::Search;
use crate::signature::Scheme;
use crate::signer::Signed;

use crate::{AuthorityName, Certificate, Claims, Digest, Error, Imprint, Nonce, Request, Token};
use der::asn1::ObjectIdentifier;
use jiff::Timestamp;
use x509_cert::ext::pkix::name::GeneralName;

/// Whom to believe. Comes from the verifier's own configuration, never with the evidence.
#[derive(Debug, Clone)]
pub struct Trust {
    roots: Vec<Certificate>,
    intermediates: Vec<Certificate>,
    policies: Vec<ObjectIdentifier>,
    also_valid_at: Option<Timestamp>,
    sha1_allowed: bool,
}

impl Trust {
    /// Believes chains that end in one of these certificates. An authority's own certificate may be
    /// pinned too.
    ///
    /// # Errors
    /// [`Error::NoRoots`].
    pub fn new(roots: Vec<Certificate>) -> Result<Self, Error> {
        if roots.is_empty() {
            return Err(Error::NoRoots);
        }
        Ok(Self {
            roots,
            intermediates: Vec::new(),
            policies: Vec::new(),
            also_valid_at: None,
            sha1_allowed: false,
        })
    }

    /// Certificates to build chains with besides those in the token: intermediates, or the signer's
    /// own where the token has none. They are not believed for being here.
    #[must_use]
    pub fn with_intermediates(mut self, certificates: Vec<Certificate>) -> Self {
        self.intermediates.extend(certificates);
        self
    }

    /// Accepts these policies only. Without this any policy is accepted, and reported.
    #[must_use]
    pub fn with_policies(mut self, policies: Vec<ObjectIdentifier>) -> Self {
        self.policies = policies;
        self
    }

    /// Asks every certificate to be valid at this time too, not only at the time in the token: what
    /// `openssl ts -verify` does with the present time.
    #[must_use]
    pub const fn also_valid_at(mut self, time: Timestamp) -> Self {
        self.also_valid_at = Some(time);
        self
    }

    /// Accepts signatures that rest on SHA-1, for tokens of long ago.
    #[must_use]
    pub const fn allowing_sha1(mut self) -> Self {
        self.sha1_allowed = true;
        self
    }
}

/// What the token must be about.
#[derive(Debug, Clone)]
pub struct Expected {
    imprint: Imprint,
    nonce: Option<Nonce>,
    policy: Option<ObjectIdentifier>,
    latest: Option<Timestamp>,
}

impl Expected {
    /// A stored token: its imprint is known, its request is not any more.
    #[must_use]
    pub const fn imprint(imprint: Imprint) -> Self {
        Self {
            imprint,
            nonce: None,
            policy: None,
            latest: None,
        }
    }

    /// A fresh answer: imprint, nonce and policy as asked for.
    #[must_use]
    pub fn answer_to(request: &Request) -> Self {
        Self {
            imprint: request.imprint().clone(),
            nonce: request.nonce().cloned(),
            policy: request.policy(),
            latest: None,
        }
    }

    /// Refuses a time after this one: the present, with what the clocks may differ by.
    #[must_use]
    pub const fn no_later_than(mut self, latest: Timestamp) -> Self {
        self.latest = Some(latest);
        self
    }
}

/// The algorithms that a verdict rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Algorithms {
    /// What the stamped digest is made with.
    pub imprint: Digest,
    /// What the time-stamp is hashed with before it is signed.
    pub digest: Digest,
    /// How the authority signed.
    pub signature: Scheme,
}

/// A token whose every claim is the authority's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What the authority says.
    pub claims: Claims,
    /// The authority's certificate, those between, the pinned root.
    pub chain: Vec<Certificate>,
    /// What the verdict rests on.
    pub algorithms: Algorithms,
}

impl Token {
    /// Verifies everything there is to verify: the content, the signed attributes, the signature, the
    /// signer's certificate, its chain to a pinned root at the time in the token, and that the token is
    /// about what is expected.
    ///
    /// Certificates that came with the token are used only where the chain needs them; others, and
    /// unsigned attributes and revocation lists, have no influence. Revocation is not judged.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn verify(&self, expected: &Expected, trust: &Trust) -> Result<Verified, Error> {
        let data = self.signed_data()?;
        let signed = Signed::read(&data, trust.sha1_allowed)?;
        let claims = self.claims();

        let candidates = || trust.intermediates.iter().chain(self.certificates());
        let signer = signed.certificate(&data.signer.id, candidates().chain(trust.roots.iter()))?;
        signed.verify(&data, signer)?;
        let times = [claims.gen_time].into_iter().chain(trust.also_valid_at);
        let search = Search::new(
            &trust.roots,
            candidates().collect(),
            times.collect(),
            trust.sha1_allowed,
        );
        let chain = search.chain(signer, &|chain| signed.allows(chain))?;

        named(claims.authority.as_ref(), signer)?;
        expected.judge(claims)?;
        if !trust.policies.is_empty() && !trust.policies.contains(&claims.policy) {
            return Err(Error::PolicyNotAccepted(claims.policy));
        }
        if claims.imprint.algorithm() == Digest::Sha1 && !trust.sha1_allowed {
            return Err(Error::WeakAlgorithm("the imprint"));
        }
        Ok(Verified {
            claims: claims.clone(),
            chain: chain.into_iter().cloned().collect(),
            algorithms: Algorithms {
                imprint: claims.imprint.algorithm(),
                digest: signed.digest,
                signature: signed.scheme,
            },
        })
    }
}

impl Expected {
    fn judge(&self, claims: &Claims) -> Result<(), Error> {
        let (expected, found) = (self.imprint.algorithm(), claims.imprint.algorithm());
        if expected != found {
            return Err(Error::ImprintAlgorithmMismatch { expected, found });
        }
        if self.imprint != claims.imprint {
            return Err(Error::ImprintMismatch);
        }
        match (&self.nonce, &claims.nonce) {
            (Some(_), None) => return Err(Error::NonceMismatch("missing")),
            (Some(expected), Some(found)) if expected != found => {
                return Err(Error::NonceMismatch("another"));
            }
            _ => {}
        }
        if self.policy.is_some_and(|policy| policy != claims.policy) {
            return Err(Error::PolicyNotAccepted(claims.policy));
        }
        match self.latest {
            Some(latest) if claims.gen_time > latest => Err(Error::TooLate {
                gen_time: claims.gen_time,
                latest,
            }),
            _ => Ok(()),
        }
    }
}

/// RFC 3161 section 2.4.2: the name in the token, if there is one, is a subject name of the
/// certificate. Directory names are compared as they read, for authorities that spell them in another
/// string type.
fn named(authority: Option<&AuthorityName>, signer: &Certificate) -> Result<(), Error> {
    let Some(authority) = authority else {
        return Ok(());
    };
    let is_subject = match authority.general() {
        GeneralName::DirectoryName(name) => name.to_string() == signer.subject(),
        _ => false,
    };
    if is_subject
        || signer
            .extensions
            .alternative_names
            .contains(authority.general())
    {
        return Ok(());
    }
    Err(Error::AuthorityNameMismatch(authority.to_string()))
}
