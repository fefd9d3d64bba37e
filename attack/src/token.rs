//! Time-stamp tokens as a forger makes them: fresh ones of an authority, and altered ones that fit but for the
//! authority's signature.

use crate::Failure;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use std::ops::Range;
use testkit::authority::{Authority, Style};

/// Object identifiers with their tags and lengths: id-ct-TSTInfo, and the signed attributes content-type and message-digest.
const TST_INFO: [u8; 13] = [6, 11, 42, 134, 72, 134, 247, 13, 1, 9, 16, 1, 4];
const CONTENT_TYPE: [u8; 11] = [6, 9, 42, 134, 72, 134, 247, 13, 1, 9, 3];
const MESSAGE_DIGEST: [u8; 11] = [6, 9, 42, 134, 72, 134, 247, 13, 1, 9, 4];

/// An RSA signature of 2,048 bits as the last element of a token.
const SIGNATURE_HEADER: [u8; 4] = [4, 130, 1, 0];
const SIGNATURE_LEN: usize = 256;

/// What an authority says now about a published head.
pub(crate) fn fresh(authority: &Authority, signer: &str, head: &[u8]) -> Result<Vec<u8>, Failure> {
    let dir = tempfile::tempdir()?;
    let (data, query) = (dir.path().join("head"), dir.path().join("query"));
    fs_err::write(&data, head)?;
    authority.openssl(&[
        "ts",
        "-query",
        "-data",
        &crate::process::arg(&data),
        "-sha256",
        "-cert",
        "-out",
        &crate::process::arg(&query),
    ])?;
    Ok(authority.reply(signer, Style::Plain, &fs_err::read(query)?)?)
}

/// `answer` with its time a year earlier: digest and signature are made to fit, with a key (PKCS#8) that is not the
/// authority's.
pub(crate) fn backdated(answer: &[u8], pkcs8: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut token = answer.to_vec();
    let content = element(&token, element(&token, after(&token, 0, &TST_INFO)?)?.start)?;

    // genTime is the GeneralizedTime of the content: YYYYMMDD…
    let times = token.get(content.clone()).unwrap_or_default();
    let is_time = |window: &[u8]| matches!(window, [24, 15..=23, b'2', b'0', _, _]);
    let year = times.windows(6).position(is_time).ok_or("no genTime")? + content.start + 2;
    let year = year..year + 4;
    let text = String::from_utf8_lossy(part(&token, &year)?).into_owned();
    let earlier = format!("{}", text.parse::<u32>()? - 1);
    put(&mut token, &year, earlier.as_bytes())?;

    let attribute = after(&token, content.end, &MESSAGE_DIGEST)?;
    let stated = element(&token, element(&token, attribute)?.start)?;
    let fitting = digest(&SHA256, part(&token, &content)?);
    put(&mut token, &stated, fitting.as_ref())?;

    // RFC 5652 section 5.4: signed as a SET OF, whatever tag they bear in the token.
    let first = after(&token, content.end, &CONTENT_TYPE)? - CONTENT_TYPE.len() - 2;
    let tag = (2..=4)
        .filter_map(|header| first.checked_sub(header))
        .find(|at| token.get(*at) == Some(&0xa0) && begins(&token, *at) == Some(first))
        .ok_or("no signed attributes")?;
    let mut signed = part(&token, &(tag..element(&token, tag)?.end))?.to_vec();
    put(&mut signed, &(0..1), &[0x31])?;
    let mut signature = [0; SIGNATURE_LEN];
    RsaKeyPair::from_pkcs8(pkcs8)?
        .sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            &signed,
            &mut signature,
        )
        .map_err(|_| "nothing can be signed")?;
    let end = token.len();
    let place = end - SIGNATURE_LEN..end;
    if part(&token, &(place.start - 4..place.start))? != SIGNATURE_HEADER {
        return Err("the token does not end in an RSA signature".into());
    }
    put(&mut token, &place, &signature)?;
    Ok(token)
}

/// Where the bytes behind `wanted` begin.
fn after(token: &[u8], from: usize, wanted: &[u8]) -> Result<usize, Failure> {
    let mut windows = token.windows(wanted.len()).enumerate().skip(from);
    let (at, _) = windows
        .find(|(_, window)| *window == wanted)
        .ok_or("the token is not as expected")?;
    Ok(at + wanted.len())
}

/// The contents of the DER element whose tag is at `at`.
fn element(token: &[u8], at: usize) -> Result<Range<usize>, Failure> {
    let start = begins(token, at).ok_or("the token ends early")?;
    let length = match part(token, &(at + 1..start))? {
        [short] => usize::from(*short),
        [_, long @ ..] => long
            .iter()
            .fold(0, |all, byte| all << 8 | usize::from(*byte)),
        [] => return Err("an element without a length".into()),
    };
    Ok(start..start + length)
}

/// Where the contents of that element begin.
fn begins(token: &[u8], at: usize) -> Option<usize> {
    let length = *token.get(at + 1)?;
    let more = if length < 128 { 0 } else { length & 127 };
    Some(at + 2 + usize::from(more))
}

fn part<'a>(token: &'a [u8], place: &Range<usize>) -> Result<&'a [u8], Failure> {
    let part = token.get(place.clone());
    part.ok_or_else(|| "the token ends early".into())
}

fn put(token: &mut [u8], place: &Range<usize>, bytes: &[u8]) -> Result<(), Failure> {
    let part = token
        .get_mut(place.clone())
        .filter(|part| part.len() == bytes.len())
        .ok_or("the token has no room for that")?;
    part.copy_from_slice(bytes);
    Ok(())
}
