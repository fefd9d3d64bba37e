//! Digests of messages in a canonical form.

use crate::view::Fingerprint;
use aws_lc_rs::digest;

/// SHA-256 of bytes as they stand.
pub(crate) fn of_bytes(bytes: &[u8]) -> Fingerprint {
    finish(&digest::digest(&digest::SHA256, bytes))
}

fn finish(digest: &digest::Digest) -> Fingerprint {
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    Fingerprint(out)
}
