//! Hybrid public key encryption: RFC 9180, base mode, single shot,
//! with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and AES-256-GCM.

use aws_lc_rs::aead::{AES_256_GCM, Aad, Algorithm, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk};
use aws_lc_rs::hmac;

/// Bytes of a public key, and of the encapsulation that stands before a ciphertext.
pub(super) const PUBLIC_BYTES: usize = 32;

const VERSION: &[u8] = b"HPKE-v1";
/// `KEM` and the identifier of DHKEM(X25519, HKDF-SHA256) (section 7.1).
const KEM: &[u8] = b"KEM\x00\x20";

/// The cipher of the suite (section 7.3).
pub(super) struct Suite {
    aead: &'static Algorithm,
    /// `HPKE`, then the identifiers of the KEM, of HKDF-SHA256 and of the cipher.
    id: &'static [u8],
}

pub(super) const AES_256: Suite = Suite {
    aead: &AES_256_GCM,
    id: b"HPKE\x00\x20\x00\x01\x00\x02",
};

/// Of the RFC's appendix A.1; only its vectors use it.
#[cfg(test)]
pub(super) const AES_128: Suite = Suite {
    aead: &aws_lc_rs::aead::AES_128_GCM,
    id: b"HPKE\x00\x20\x00\x01\x00\x01",
};

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn extract(salt: &[u8], suite: &[u8], label: &[u8], ikm: &[u8]) -> Vec<u8> {
    // An absent salt is as many zeros as the hash has bytes, which HMAC makes of any shorter key.
    let key = hmac::Key::new(
        hmac::HMAC_SHA256,
        if salt.is_empty() { &[0; 32] } else { salt },
    );
    let mut context = hmac::Context::with_key(&key);
    for part in [VERSION, suite, label, ikm] {
        context.update(part);
    }
    context.sign().as_ref().to_vec()
}

fn expand(prk: &[u8], suite: &[u8], label: &[u8], info: &[u8], len: usize) -> Option<Vec<u8>> {
    let length = u16::try_from(len).ok()?.to_be_bytes();
    let mut out = vec![0; len];
    Prk::new_less_safe(HKDF_SHA256, prk)
        .expand(&[&length, VERSION, suite, label, info], Length(len))
        .ok()?
        .fill(&mut out)
        .ok()?;
    Some(out)
}

/// `ExtractAndExpand` of section 4.1 over the Diffie-Hellman value of the two keys. `None`: the public key is not one, or
/// one of small order.
fn shared_secret(
    private: &PrivateKey,
    public: &[u8; PUBLIC_BYTES],
    enc: &[u8],
    recipient: &[u8],
) -> Option<Vec<u8>> {
    let public = UnparsedPublicKey::new(&X25519, public);
    let prk = agree(private, public, (), |dh| {
        Ok(extract(b"", KEM, b"eae_prk", dh))
    })
    .ok()?;
    expand(&prk, KEM, b"shared_secret", &[enc, recipient].concat(), 32)
}

/// Key and nonce of the first message (section 5.1, base mode).
fn schedule(suite: &Suite, shared: &[u8], info: &[u8]) -> Option<(Vec<u8>, [u8; 12])> {
    let mut context = vec![0];
    context.extend(extract(b"", suite.id, b"psk_id_hash", b""));
    context.extend(extract(b"", suite.id, b"info_hash", info));
    let secret = extract(shared, suite.id, b"secret", b"");
    let key = expand(&secret, suite.id, b"key", &context, suite.aead.key_len())?;
    let nonce = expand(&secret, suite.id, b"base_nonce", &context, 12)?;
    Some((key, nonce.try_into().ok()?))
}

/// `enc || ciphertext || tag` for whoever holds the private key of `recipient`, bound to `info`.
pub(super) fn seal(recipient: &[u8; PUBLIC_BYTES], info: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
    let mut secret = [0; 32];
    crate::ambient::fill(&mut secret).ok()?;
    let ephemeral = PrivateKey::from_private_key(&X25519, &secret).ok()?;
    seal_from(&AES_256, &ephemeral, recipient, info, b"", plain)
}

pub(super) fn seal_from(
    suite: &Suite,
    ephemeral: &PrivateKey,
    recipient: &[u8; PUBLIC_BYTES],
    info: &[u8],
    aad: &[u8],
    plain: &[u8],
) -> Option<Vec<u8>> {
    let enc = ephemeral.compute_public_key().ok()?;
    let shared = shared_secret(ephemeral, recipient, enc.as_ref(), recipient)?;
    let (key, nonce) = schedule(suite, &shared, info)?;
    let key = LessSafeKey::new(UnboundKey::new(suite.aead, &key).ok()?);
    let mut sealed = plain.to_vec();
    // The key is new with every encapsulation and encrypts once.
    let nonce = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(nonce, Aad::from(aad), &mut sealed)
        .ok()?;
    Some([enc.as_ref(), &sealed].concat())
}

/// What [`seal`] was given; `None` with another key, another `info`, or other bytes.
pub(super) fn open(private: &PrivateKey, info: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    open_with(&AES_256, private, info, b"", sealed)
}

pub(super) fn open_with(
    suite: &Suite,
    private: &PrivateKey,
    info: &[u8],
    aad: &[u8],
    sealed: &[u8],
) -> Option<Vec<u8>> {
    let (enc, sealed) = sealed.split_first_chunk::<PUBLIC_BYTES>()?;
    let recipient = private.compute_public_key().ok()?;
    let shared = shared_secret(private, enc, enc, recipient.as_ref())?;
    let (key, nonce) = schedule(suite, &shared, info)?;
    let key = LessSafeKey::new(UnboundKey::new(suite.aead, &key).ok()?);
    let mut plain = sealed.to_vec();
    let nonce = Nonce::assume_unique_for_key(nonce);
    let len = key
        .open_in_place(nonce, Aad::from(aad), &mut plain)
        .ok()?
        .len();
    plain.truncate(len);
    Some(plain)
}
