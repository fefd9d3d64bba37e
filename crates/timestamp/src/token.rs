//! A time-stamp token: CMS signed-data around a TSTInfo (RFC 3161 section 2.4.2).

use crate::cms::SignedData;
use crate::{Certificate, Claims, Error, MAX_CERTIFICATES};

/// A token as it came, read once. Nothing in it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    der: Vec<u8>,
    claims: Claims,
    certificates: Vec<Certificate>,
}

impl Token {
    /// Reads a token: the ContentInfo alone, as it is stored, without the response around it.
    ///
    /// # Errors
    /// When it is not strict DER, crosses a bound, or is not one signature over one TSTInfo.
    pub fn from_der(bytes: &[u8]) -> Result<Self, Error> {
        let data = SignedData::from_der(bytes)?;
        Ok(Self {
            der: bytes.to_vec(),
            claims: Claims::from_der(data.content)?,
            certificates: data.certificates(),
        })
    }

    /// The token as `openssl ts -verify -token_in` reads it.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// What it says, unverified: to look for the imprint it may be about, and nothing else.
    #[must_use]
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The certificates that came with it, unverified. What is none is left out.
    #[must_use]
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// The same token with exactly these certificates in it: the form to store, once verified, so that
    /// nothing but a pinned root is needed to verify it in ten years. The certificates of a token are
    /// not covered by its signature; nothing that is changes.
    ///
    /// # Errors
    /// [`Error::OverLimit`] for more certificates or bytes than can be read again.
    pub fn with_certificates(&self, certificates: &[Certificate]) -> Result<Self, Error> {
        if certificates.len() > MAX_CERTIFICATES {
            return Err(Error::OverLimit {
                what: "certificates of a token",
                limit: MAX_CERTIFICATES,
            });
        }
        Self::from_der(&self.signed_data()?.with_certificates(certificates))
    }

    pub(crate) fn signed_data(&self) -> Result<SignedData<'_>, Error> {
        SignedData::from_der(&self.der)
    }
}
