//! A signer that signs anything: tokens as an attacker, or a broken authority, would make them.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self as aws, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use testkit::authority::Authority;
use timestamp::{Certificate, Digest, Expected, Imprint, ObjectIdentifier, Token, Trust};
use x509_cert::der::{Decode as _, Encode as _};

pub(crate) const TST_INFO: &str = "1.2.840.113549.1.9.16.1.4";
pub(crate) const SIGNED_DATA: &str = "1.2.840.113549.1.7.2";
pub(crate) const CONTENT_TYPE: &str = "1.2.840.113549.1.9.3";
pub(crate) const MESSAGE_DIGEST: &str = "1.2.840.113549.1.9.4";
pub(crate) const SIGNING_CERTIFICATE: &str = "1.2.840.113549.1.9.16.2.12";
pub(crate) const SIGNING_CERTIFICATE_V2: &str = "1.2.840.113549.1.9.16.2.47";
pub(crate) const SHA256: &str = "2.16.840.1.101.3.4.2.1";
/// The imprint of every forged token.
pub(crate) const IMPRINT: [u8; 32] = [0x5a; 32];

pub(crate) fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut out = vec![tag];
    match content.len() {
        n if n < 0x80 => out.push(n as u8),
        n if n < 0x100 => out.extend([0x81, n as u8]),
        n => out.extend([0x82, (n >> 8) as u8, n as u8]),
    }
    out.extend(content);
    out
}

pub(crate) fn seq(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, parts)
}

pub(crate) fn set(mut parts: Vec<Vec<u8>>) -> Vec<u8> {
    parts.sort();
    tlv(0x31, &[&parts.concat()])
}

pub(crate) fn oid(text: &str) -> Vec<u8> {
    tlv(0x06, &[ObjectIdentifier::new_unwrap(text).as_bytes()])
}

pub(crate) fn attribute(kind: &str, value: &[u8]) -> Vec<u8> {
    seq(&[&oid(kind), &tlv(0x31, &[value])])
}

pub(crate) fn hash(digest: &'static aws_lc_rs::digest::Algorithm, data: &[u8]) -> Vec<u8> {
    aws_lc_rs::digest::digest(digest, data).as_ref().to_vec()
}

fn sha256(data: &[u8]) -> Vec<u8> {
    hash(&aws_lc_rs::digest::SHA256, data)
}

/// How the forger signs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Key {
    Ec,
    RsaPss,
    /// `rsaEncryption`, the digest beside it.
    BareRsa,
    Ed25519,
}

/// The fields of a TSTInfo, encoded where an attack needs it.
#[derive(Debug, Clone)]
pub(crate) struct Info {
    pub(crate) version: u8,
    pub(crate) imprint: Vec<u8>,
    pub(crate) gen_time: String,
    /// Everything after genTime.
    pub(crate) rest: Vec<Vec<u8>>,
}

impl Info {
    fn to_der(&self) -> Vec<u8> {
        seq(&[
            &[2, 1, self.version],
            &oid("1.2.3.4.1"),
            &self.imprint,
            &[2, 2, 0x01, 0x02],
            &tlv(0x18, &[self.gen_time.as_bytes()]),
            &self.rest.concat(),
        ])
    }
}

/// A token in parts, each to be bent before it is put together.
#[derive(Debug, Clone)]
pub(crate) struct Forge {
    pkcs8: Vec<u8>,
    pub(crate) key: Key,
    pub(crate) certificate: Vec<u8>,
    pub(crate) outer_type: String,
    pub(crate) content_type: String,
    pub(crate) info: Info,
    /// Taken for the message digest instead of the content, when the forger leaves the old one.
    pub(crate) digested: Option<Vec<u8>>,
    pub(crate) attributes: Vec<Vec<u8>>,
    pub(crate) with_attributes: bool,
    pub(crate) bag: Vec<Vec<u8>>,
    pub(crate) signer_id: Vec<u8>,
    pub(crate) signer_version: u8,
    pub(crate) digest_algorithm: Vec<u8>,
    pub(crate) signature_algorithm: Vec<u8>,
    pub(crate) unsigned: Vec<u8>,
    pub(crate) signers: usize,
}

impl Forge {
    /// An honest token by the certificate of that name.
    pub(crate) fn honest(authority: &Authority, name: &str, key: Key) -> Self {
        let certificate = certificate(authority, name).as_der().to_vec();
        let intermediate = certificate_at(authority, "intermediate");
        let mut bag = vec![certificate.clone()];
        bag.extend(intermediate);
        Self {
            pkcs8: authority.pkcs8(name).unwrap(),
            key,
            outer_type: SIGNED_DATA.to_owned(),
            content_type: TST_INFO.to_owned(),
            info: Info {
                version: 1,
                imprint: seq(&[&seq(&[&oid(SHA256), &[5, 0]]), &tlv(4, &[&IMPRINT])]),
                gen_time: "20260101120000Z".to_owned(),
                rest: vec![vec![0x30, 3, 2, 1, 1]],
            },
            digested: None,
            attributes: vec![
                attribute(CONTENT_TYPE, &oid(TST_INFO)),
                attribute(SIGNING_CERTIFICATE_V2, &bind(&[&certificate])),
            ],
            with_attributes: true,
            signer_id: issuer_and_serial(&certificate),
            certificate,
            bag,
            signer_version: 1,
            digest_algorithm: seq(&[&oid(SHA256)]),
            signature_algorithm: signature_algorithm(key),
            unsigned: Vec::new(),
            signers: 1,
        }
    }

    /// Stamps under the name of another certificate: the identifier and the binding are its.
    pub(crate) fn in_the_name_of(mut self, certificate: &[u8]) -> Self {
        self.signer_id = issuer_and_serial(certificate);
        self.attributes[1] = attribute(SIGNING_CERTIFICATE_V2, &bind(&[certificate]));
        self
    }

    pub(crate) fn token(&self) -> Vec<u8> {
        let content = self.info.to_der();
        let digested = self.digested.as_ref().unwrap_or(&content);
        let mut attributes = self.attributes.clone();
        attributes.push(attribute(
            MESSAGE_DIGEST,
            &tlv(4, &[&self.digest(digested)]),
        ));
        let attributes = set(attributes);
        let signature = self.sign(if self.with_attributes {
            &attributes
        } else {
            &content
        });
        let mut tagged = attributes;
        tagged[0] = 0xa0;
        if !self.with_attributes {
            tagged.clear();
        }
        let signer = seq(&[
            &[2, 1, self.signer_version],
            &self.signer_id,
            &self.digest_algorithm,
            &tagged,
            &self.signature_algorithm,
            &tlv(4, &[&signature]),
            &self.unsigned,
        ]);
        let bag = if self.bag.is_empty() {
            Vec::new()
        } else {
            tlv(0xa0, &[&self.bag.concat()])
        };
        let signed_data = seq(&[
            &[2, 1, 3],
            &tlv(0x31, &[&self.digest_algorithm]),
            &seq(&[
                &oid(&self.content_type),
                &tlv(0xa0, &[&tlv(4, &[&content])]),
            ]),
            &bag,
            &tlv(0x31, &[&signer.repeat(self.signers)]),
        ]);
        seq(&[&oid(&self.outer_type), &tlv(0xa0, &[&signed_data])])
    }

    fn digest(&self, data: &[u8]) -> Vec<u8> {
        match self.key {
            Key::Ed25519 => hash(&aws_lc_rs::digest::SHA512, data),
            _ => sha256(data),
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self.key {
            Key::Ec => EcdsaKeyPair::from_pkcs8(&aws::ECDSA_P256_SHA256_ASN1_SIGNING, &self.pkcs8)
                .unwrap()
                .sign(&random, message)
                .unwrap()
                .as_ref()
                .to_vec(),
            Key::Ed25519 => Ed25519KeyPair::from_pkcs8_maybe_unchecked(&self.pkcs8)
                .unwrap()
                .sign(message)
                .as_ref()
                .to_vec(),
            Key::RsaPss | Key::BareRsa => {
                let key = RsaKeyPair::from_pkcs8(&self.pkcs8).unwrap();
                let mut signature = vec![0; key.public_modulus_len()];
                let padding: &dyn aws::RsaEncoding = match self.key {
                    Key::RsaPss => &aws::RSA_PSS_SHA256,
                    _ => &aws::RSA_PKCS1_SHA256,
                };
                key.sign(padding, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }
}

fn signature_algorithm(key: Key) -> Vec<u8> {
    match key {
        Key::Ec => seq(&[&oid("1.2.840.10045.4.3.2")]),
        Key::Ed25519 => seq(&[&oid("1.3.101.112")]),
        Key::BareRsa => seq(&[&oid("1.2.840.113549.1.1.1"), &[5, 0]]),
        Key::RsaPss => pss(SHA256, SHA256, 32),
    }
}

/// RSASSA-PSS with these parameters.
pub(crate) fn pss(digest: &str, mask: &str, salt: u8) -> Vec<u8> {
    let hash = |name: &str| seq(&[&oid(name), &[5, 0]]);
    seq(&[
        &oid("1.2.840.113549.1.1.10"),
        &seq(&[
            &tlv(0xa0, &[&hash(digest)]),
            &tlv(0xa1, &[&seq(&[&oid("1.2.840.113549.1.1.8"), &hash(mask)])]),
            &tlv(0xa2, &[&[2, 1, salt]]),
        ]),
    ])
}

/// SigningCertificateV2 over these certificates, by SHA-256 alone.
pub(crate) fn bind(certificates: &[&[u8]]) -> Vec<u8> {
    let ids: Vec<Vec<u8>> = certificates
        .iter()
        .map(|certificate| seq(&[&tlv(4, &[&sha256(certificate)])]))
        .collect();
    seq(&[&seq(&[&ids.concat()])])
}

pub(crate) fn issuer_and_serial(certificate: &[u8]) -> Vec<u8> {
    let certificate = x509_cert::Certificate::from_der(certificate).unwrap();
    let tbs = certificate.tbs_certificate();
    seq(&[
        &tbs.issuer().to_der().unwrap(),
        &tbs.serial_number().to_der().unwrap(),
    ])
}

pub(crate) fn certificate(authority: &Authority, name: &str) -> Certificate {
    let pem = authority.pem(name).unwrap();
    Certificate::from_pem(&pem).unwrap().remove(0)
}

fn certificate_at(authority: &Authority, name: &str) -> Option<Vec<u8>> {
    let pem = authority.pem(name).ok()?;
    Some(Certificate::from_pem(&pem).unwrap()[0].as_der().to_vec())
}

pub(crate) fn trust(authority: &Authority) -> Trust {
    Trust::new(vec![certificate(authority, "root")]).unwrap()
}

pub(crate) fn expected() -> Expected {
    Expected::imprint(Imprint::new(Digest::Sha256, &IMPRINT).unwrap())
}

/// The verdict on these bytes, from reading them on.
pub(crate) fn judge(
    token: &[u8],
    expected: &Expected,
    trust: &Trust,
) -> Result<timestamp::Verified, timestamp::Error> {
    Token::from_der(token)?.verify(expected, trust)
}
