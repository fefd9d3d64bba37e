//! From the signer's certificate to a pinned root (RFC 5280 section 6, at a given time).

use crate::asn1::Algorithm;
use crate::signature::Scheme;
use crate::{Certificate, Digest, Error, MAX_CHAIN};
use der::asn1::{AnyRef, ObjectIdentifier};
use jiff::Timestamp;
use x509_cert::ext::pkix::KeyUsage;

const TIME_STAMPING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.8");
const ANY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");
/// Signatures verified in one search: namesakes in the bag must not cost more than this.
const MAX_SIGNATURE_CHECKS: usize = 64;

/// What the whole chain is judged by.
pub(crate) struct Search<'a> {
    pub(crate) roots: &'a [Certificate],
    /// Certificates that may lie between: the caller's, then those of the token.
    pub(crate) between: Vec<&'a Certificate>,
    /// The times at which every certificate must be valid.
    pub(crate) times: Vec<Timestamp>,
    pub(crate) sha1_allowed: bool,
    checks: usize,
}

impl<'a> Search<'a> {
    pub(crate) const fn new(
        roots: &'a [Certificate],
        between: Vec<&'a Certificate>,
        times: Vec<Timestamp>,
        sha1_allowed: bool,
    ) -> Self {
        Self {
            roots,
            between,
            times,
            sha1_allowed,
            checks: 0,
        }
    }

    /// The chain from `signer` to a pinned root, both included, that `allows` accepts.
    pub(crate) fn chain(
        mut self,
        signer: &'a Certificate,
        allows: &dyn Fn(&[&Certificate]) -> bool,
    ) -> Result<Vec<&'a Certificate>, Error> {
        may_stamp(signer)?;
        self.may_be_used(signer)?;
        let mut path = vec![signer];
        self.extend(&mut path, allows)?;
        Ok(path)
    }

    fn extend(
        &mut self,
        path: &mut Vec<&'a Certificate>,
        allows: &dyn Fn(&[&Certificate]) -> bool,
    ) -> Result<(), Error> {
        let Some(&last) = path.last() else {
            return Err(Error::MissingSignerCertificate);
        };
        if self.roots.contains(last) {
            return if allows(path) {
                Ok(())
            } else {
                Err(Error::SigningCertificateOutsideChain)
            };
        }
        if path.len() == MAX_CHAIN {
            return Err(Error::ChainTooLong);
        }
        let mut why = Error::NoPinnedRoot {
            issuer: last.issuer(),
        };
        let issuers: Vec<&'a Certificate> = self
            .roots
            .iter()
            .chain(self.between.iter().copied())
            .filter(|issuer| issuer.subject_name() == last.issuer_name() && !path.contains(issuer))
            .collect();
        for issuer in issuers {
            // Names are anybody's: one of that name whose key did not sign is not the issuer.
            if !self.signed_by(issuer, last)? {
                continue;
            }
            let length = path.len();
            let found = self.may_issue(issuer, path).and_then(|()| {
                path.push(issuer);
                self.extend(path, allows)
            });
            match found {
                Ok(()) => return Ok(()),
                Err(error @ Error::OverLimit { .. }) => return Err(error),
                Err(error) => {
                    path.truncate(length);
                    // That an issuer was found and may not says more than that none was found.
                    if matches!(why, Error::NoPinnedRoot { .. }) {
                        why = error;
                    }
                }
            }
        }
        Err(why)
    }

    /// Whether `issuer` was entitled to sign what it signed, with `path` below it.
    fn may_issue(&self, issuer: &Certificate, path: &[&Certificate]) -> Result<(), Error> {
        let constraints = issuer.extensions.basic_constraints.as_ref();
        let Some(constraints) = constraints.filter(|constraints| constraints.ca) else {
            return Err(Error::NotAuthority(issuer.subject()));
        };
        if let Some(limit) = constraints.path_len_constraint {
            // Self-issued ones, which renew a key, do not count.
            let between = path
                .iter()
                .skip(1)
                .filter(|certificate| certificate.subject_name() != certificate.issuer_name())
                .count();
            if between > usize::from(limit) {
                return Err(Error::PathLengthExceeded {
                    subject: issuer.subject(),
                    limit,
                });
            }
        }
        if issuer
            .extensions
            .key_usage
            .is_some_and(|usage| !usage.key_cert_sign())
        {
            return Err(Error::KeyUsage(issuer.subject()));
        }
        // An issuer whose usages are restricted passes the restriction on.
        if let Some(usages) = &issuer.extensions.extended_key_usage
            && !usages.purposes.contains(&TIME_STAMPING)
            && !usages.purposes.contains(&ANY_USAGE)
        {
            return Err(Error::NotForTimeStamping(issuer.subject()));
        }
        self.may_be_used(issuer)
    }

    fn signed_by(&mut self, issuer: &Certificate, issued: &Certificate) -> Result<bool, Error> {
        self.checks += 1;
        if self.checks > MAX_SIGNATURE_CHECKS {
            return Err(Error::OverLimit {
                what: "signatures to verify in one chain",
                limit: MAX_SIGNATURE_CHECKS,
            });
        }
        const ROLE: &str = "signature of a certificate";
        let algorithm = issued.x509().signature_algorithm();
        let algorithm = Algorithm {
            oid: algorithm.oid,
            parameters: algorithm.parameters.as_ref().map(AnyRef::from),
        };
        let scheme = Scheme::of(&algorithm, None, ROLE)?;
        if scheme.digest() == Some(Digest::Sha1) && !self.sha1_allowed {
            return Err(Error::WeakAlgorithm(ROLE));
        }
        let signature = issued.x509().signature().as_bytes();
        let Some(signature) = signature else {
            return Ok(false);
        };
        match scheme.verify(issuer, issued.signed_part(), signature) {
            // A key that is not supported here did not sign, as far as can be told.
            Err(Error::UnsupportedAlgorithm { .. }) => Ok(false),
            verified => verified,
        }
    }

    /// What holds for every certificate of a chain.
    fn may_be_used(&self, certificate: &Certificate) -> Result<(), Error> {
        let subject = || certificate.subject();
        if let Some(oid) = certificate.extensions.unknown_critical {
            return Err(Error::UnknownCriticalExtension {
                subject: subject(),
                oid,
            });
        }
        for &at in &self.times {
            if at < certificate.not_before() {
                return Err(Error::NotYetValid {
                    subject: subject(),
                    from: certificate.not_before(),
                    at,
                });
            }
            if at > certificate.not_after() {
                return Err(Error::Expired {
                    subject: subject(),
                    until: certificate.not_after(),
                    at,
                });
            }
        }
        Ok(())
    }
}

/// What RFC 3161 section 2.3 asks of an authority's certificate.
fn may_stamp(signer: &Certificate) -> Result<(), Error> {
    let extensions = &signer.extensions;
    let Some(usages) = &extensions.extended_key_usage else {
        return Err(Error::NotForTimeStamping(signer.subject()));
    };
    if !usages.purposes.contains(&TIME_STAMPING) {
        return Err(Error::NotForTimeStamping(signer.subject()));
    }
    if usages.purposes.len() != 1 {
        return Err(Error::OtherUsages(signer.subject()));
    }
    if !usages.critical {
        return Err(Error::UsageNotCritical(signer.subject()));
    }
    if extensions
        .basic_constraints
        .as_ref()
        .is_some_and(|constraints| constraints.ca)
    {
        return Err(Error::SignerIsAuthority(signer.subject()));
    }
    match extensions.key_usage {
        Some(usage) if !only_signs(usage) => Err(Error::KeyUsage(signer.subject())),
        _ => Ok(()),
    }
}

/// digitalSignature, nonRepudiation, and no other.
fn only_signs(usage: KeyUsage) -> bool {
    let signs = usage.digital_signature() || usage.non_repudiation();
    let more = usage.key_encipherment()
        || usage.data_encipherment()
        || usage.key_agreement()
        || usage.key_cert_sign()
        || usage.crl_sign()
        || usage.encipher_only()
        || usage.decipher_only();
    signs && !more
}
