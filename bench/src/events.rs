//! Events as the gateway makes them, for measuring what lies below it.

use event::{
    Agent, Credential, Draft, Exchange, GenAi, Http, Ids, Kind, Outcome, Run, Source, State,
    Timing, Usage,
};
use serde_json::{Map, Value, json};

/// Room that the sequencer's part of a line takes, about.
const POSITION_BYTES: usize = 190;

/// Pseudo-random numbers, the same in every run (xorshift64*).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Lower-case hexadecimal digits: text that compresses to half, as digests do.
    pub(crate) fn hex(&mut self, digits: usize) -> String {
        let mut text = String::with_capacity(digits + 16);
        while text.len() < digits {
            text.push_str(&format!("{:016x}", self.next()));
        }
        text.truncate(digits);
        text
    }
}

/// A model call's request event whose line is about `line_bytes` long.
pub(crate) fn request(random: &mut Random, run: &str, line_bytes: usize) -> Draft {
    let mut draft = common(Kind::ModelRequest, random, run);
    draft.credential = Some(Credential {
        carrier: "authorization".into(),
        digest: format!("hmac:{}", random.hex(64)),
    });
    draft.gen_ai = Some(GenAi {
        api: "openai.chat".into(),
        operation: Some("chat".into()),
        request_model: Some("gpt-x".into()),
        messages: Some(random.next() % 100),
        ..GenAi::default()
    });
    pad(draft, random, line_bytes)
}

/// The event that closes the call of `request`.
pub(crate) fn response(random: &mut Random, run: &str, line_bytes: usize) -> Draft {
    let mut draft = common(Kind::ModelResponse, random, run);
    if let Some(http) = &mut draft.http {
        http.status = Some(200);
    }
    draft.gen_ai = Some(GenAi {
        api: "openai.chat".into(),
        operation: Some("chat".into()),
        request_model: Some("gpt-x".into()),
        response_model: Some("gpt-x-2026-08-01".into()),
        response_id: Some(format!("chatcmpl-{}", random.hex(24))),
        finish_reasons: vec!["stop".into()],
        usage: Some(Usage {
            input_tokens: Some(random.next() % 10_000),
            output_tokens: Some(random.next() % 1_000),
            ..Usage::default()
        }),
        ..GenAi::default()
    });
    draft.exchange = Some(Exchange {
        call: Some(u64::MAX),
        attempt: Some(1),
        ..Exchange::default()
    });
    draft.outcome = Some(Outcome {
        state: State::Completed,
        error: None,
        reason: None,
    });
    draft.timing = Some(Timing {
        durable_us: Some(random.next() % 1_000),
        upstream_us: Some(random.next() % 1_000_000),
        first_byte_us: Some(random.next() % 1_000_000),
        total_us: Some(random.next() % 1_000_000),
        ..Timing::default()
    });
    pad(draft, random, line_bytes)
}

/// Points a response at its request.
pub(crate) const fn answer(response: &mut Draft, call: u64) {
    if let Some(exchange) = &mut response.exchange {
        exchange.call = Some(call);
    }
}

fn common(kind: Kind, random: &mut Random, run: &str) -> Draft {
    let mut draft = Draft::new(kind, Source::Gateway);
    draft.agent = Some(Agent {
        name: "bench".into(),
        client: Some("OpenAI/Python 1.99.0".into()),
    });
    draft.run = Some(Run {
        id: run.into(),
        by: Some("history".into()),
        ..Run::default()
    });
    draft.http = Some(Http {
        upstream: Some("openai".into()),
        destination: Some("https://api.openai.com:443".into()),
        method: Some("POST".into()),
        path: Some("/v1/chat/completions".into()),
        version: Some("HTTP/1.1".into()),
        status: None,
        relayed: None,
    });
    draft.ids = Some(Ids {
        traceparent: Some(format!("00-{}-{}-01", random.hex(32), random.hex(16))),
        request_id: Some(format!("req_{}", random.hex(32))),
        ..Ids::default()
    });
    draft
}

/// Fills the line up with what has the form, and so the entropy, of the references to bodies that stand
/// in a real one; they are facts here, because there are no bodies.
fn pad(mut draft: Draft, random: &mut Random, line_bytes: usize) -> Draft {
    const REFERENCE_BYTES: usize = 155;
    let length = |draft: &Draft| draft.seal().map_or(0, |sealed| sealed.len()) + POSITION_BYTES;
    let missing = |draft: &Draft| line_bytes.saturating_sub(length(draft));
    let references: Vec<Value> = (0..missing(&draft).saturating_sub(30) / REFERENCE_BYTES)
        .map(|_| {
            json!({"role": "response", "id": random.next() % 1_000_000, "len": random.next() % 10_000,
                "commitment": random.hex(64), "media": "application/json"})
        })
        .collect();
    if !references.is_empty() {
        draft.facts = Some(Map::from_iter([("padding".to_owned(), references.into())]));
    }
    let fill = missing(&draft).saturating_sub(r#","idempotency_key":"""#.len());
    if fill > 0
        && let Some(ids) = &mut draft.ids
    {
        ids.idempotency_key = Some(random.hex(fill));
    }
    draft
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_about_as_long_as_asked() {
        let mut random = Random::new(1);
        for draft in [
            request(&mut random, "r", 1024),
            response(&mut random, "r", 1024),
        ] {
            let length = draft.seal().unwrap().len() + POSITION_BYTES;
            assert!((1000..=1048).contains(&length), "{length}");
        }
    }
}
