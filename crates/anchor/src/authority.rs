//! The client of a time-stamp authority: RFC 3161 over HTTP (section 3.4).

use crate::Error;
use crate::client::Client;
use crate::facts::shortened;
use crate::head::{Head, sha256};
use crate::offset;
use crate::settings::Authority;
use aws_lc_rs::rand;
use jiff::Timestamp;
use serde_json::{Value, json};
use timestamp::{Expected, Imprint, MAX_RESPONSE_BYTES, Nonce, Request, Response, Trust, Verified};

const QUERY: &str = "application/timestamp-query";
const REPLY: &str = "application/timestamp-reply";

/// An answer that holds.
#[derive(Debug)]
pub(crate) struct Stamp {
    /// The whole TimeStampResp, as it came.
    pub(crate) response: Vec<u8>,
    /// When, as the authority says.
    pub(crate) gen_time: Timestamp,
    /// For the event.
    pub(crate) facts: Value,
}

/// Asks `authority` for a time-stamp over the bytes of `head`, and verifies all of the answer.
pub(crate) async fn stamp(
    client: &Client,
    authority: &Authority,
    head: &Head,
) -> Result<Stamp, Error> {
    let mut random = [0; 8];
    rand::fill(&mut random).map_err(|_| Error::Local("the system gives no randomness".into()))?;
    let request = Request::new(Imprint::sha256(head.sha256), Nonce::new(random));
    let request = match authority.policy {
        Some(policy) => request.under_policy(policy),
        None => request,
    };
    let answer = client
        .post(&authority.url, QUERY, request.to_der(), MAX_RESPONSE_BYTES)
        .await?;
    if answer.status != 200 {
        return Err(Error::Refused(format!(
            "it answered HTTP {}",
            answer.status
        )));
    }
    let media = answer.content_type.as_deref().unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case(REPLY) {
        return Err(Error::Lies(format!(
            "its content type is `{}`, not {REPLY}",
            shortened(media)
        )));
    }
    judge(answer.body, &Expected::answer_to(&request), authority, head)
}

/// An answer over `head` that was stored and that no event tells of yet: it is as good as it was.
pub(crate) fn stored(
    response: Vec<u8>,
    authority: &Authority,
    head: &Head,
) -> Result<Stamp, Error> {
    let expected = Expected::imprint(Imprint::sha256(head.sha256));
    let mut stamp = judge(response, &expected, authority, head)?;
    if let Some(facts) = stamp.facts.as_object_mut() {
        // How long it lay there is not how far the clocks are apart.
        facts.remove("clock_offset_ms");
    }
    Ok(stamp)
}

/// When an authority vouched for the checkpoint of that digest, by an answer that was stored.
pub(crate) fn vouches(
    response: &[u8],
    checkpoint_sha256: [u8; 32],
    trust: &Trust,
) -> Result<Timestamp, Error> {
    let expected = Expected::imprint(Imprint::sha256(checkpoint_sha256));
    Ok(verify(response, &expected, trust)?.claims.gen_time)
}

fn verify(response: &[u8], expected: &Expected, trust: &Trust) -> Result<Verified, Error> {
    let token = Response::from_der(response)
        .map_err(|error| Error::Lies(error.to_string()))?
        .into_token()
        .map_err(|error| Error::Refused(error.to_string()))?;
    token
        .verify(expected, trust)
        .map_err(|error| Error::Lies(error.to_string()))
}

/// A certificate has to be valid now as well: with the key of one that has expired, somebody could date back.
fn judge(
    response: Vec<u8>,
    expected: &Expected,
    authority: &Authority,
    head: &Head,
) -> Result<Stamp, Error> {
    let now = Timestamp::now();
    let trust = authority.trusted.trust().also_valid_at(now);
    let verified = verify(&response, expected, &trust)?;
    let claims = &verified.claims;
    let offset = offset::of_clock(claims.gen_time, now)?;
    let facts = json!({
        "authority": authority.name,
        "gen_time": claims.gen_time.to_string(),
        "serial": claims.serial.to_string(),
        "policy": claims.policy.to_string(),
        "token_sha256": hex::encode(sha256(&response)),
        "checkpoint_sha256": hex::encode(head.sha256),
        "clock_offset_ms": i64::try_from(offset.as_millis()).unwrap_or(i64::MAX),
    });
    Ok(Stamp {
        gen_time: claims.gen_time,
        facts,
        response,
    })
}
