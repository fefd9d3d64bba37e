//! Making an event fit the line it has.
//!
//! What hostile input can stretch goes, step by step, the least telling first; the bytes themselves are in the bodies.
//! After the last step an event is never too long, whatever was in it.

use crate::redact::cut;
use event::{BodyRef, Draft, Gap, Mcp, Outcome, Run, ToolRef};

/// Longest text in the shortest form, in bytes. JSON may stretch it sixfold.
const TEXT_BYTES: usize = 64;

/// Bodies and causes that the shortest form refers to. More than any event has.
const REFERENCES: usize = 6;

/// Each makes an event shorter, until it fits.
pub(crate) const STEPS: &[fn(&mut Draft)] = &[
    fewer_tools,
    no_tools,
    no_names,
    no_facts,
    no_ids,
    short_address,
    shortest,
];

fn keep_tools(draft: &mut Draft, kept: usize) {
    let lists = draft.tool_calls.len() + draft.tool_results.len();
    draft.tool_calls.truncate(kept);
    draft.tool_results.truncate(kept);
    let left_out = lists - draft.tool_calls.len() - draft.tool_results.len();
    if let (1.., Some(gen_ai)) = (left_out, &mut draft.gen_ai) {
        *gen_ai.unknown.get_or_insert(0) += left_out as u64;
    }
}

fn fewer_tools(draft: &mut Draft) {
    keep_tools(draft, 4);
}

fn no_tools(draft: &mut Draft) {
    keep_tools(draft, 0);
}

fn no_names(draft: &mut Draft) {
    if let Some(gen_ai) = &mut draft.gen_ai {
        gen_ai.finish_reasons.clear();
        gen_ai.response_id = None;
        gen_ai.response_model = None;
    }
}

fn no_facts(draft: &mut Draft) {
    draft.facts = None;
}

fn no_ids(draft: &mut Draft) {
    draft.ids = None;
}

fn short_address(draft: &mut Draft) {
    if let Some(path) = draft.http.as_mut().and_then(|http| http.path.as_mut()) {
        path.truncate(cut(path, 256).len());
    }
}

/// What makes it the event it is: which, of which call and run, how it ended, what it lost, where its bytes are.
fn shortest(draft: &mut Draft) {
    let mut short = Draft::new(draft.kind, draft.source);
    short.basis = draft.basis;
    short.exchange = draft.exchange.take();
    short.timing = draft.timing.take();
    short.history = None;
    short.causes = std::mem::take(&mut draft.causes);
    short.causes.truncate(REFERENCES);
    short.bodies = std::mem::take(&mut draft.bodies);
    short.bodies.truncate(REFERENCES);
    for BodyRef {
        media, encoding, ..
    } in &mut short.bodies
    {
        shorten(media);
        shorten(encoding);
    }
    short.agent = draft.agent.take().map(|mut agent| {
        agent.client = None;
        agent.name = text(&agent.name);
        agent
    });
    short.run = draft.run.take().map(|run| Run {
        // An id that is cut is another id; one from the wire is never that long.
        id: cut(&run.id, crate::runs::MAX_ID_BYTES).to_owned(),
        ..Run::default()
    });
    short.tool = draft.tool.take().map(|tool| ToolRef {
        name: tool.name.as_deref().map(text),
        is_error: tool.is_error,
        ..ToolRef::default()
    });
    short.mcp = draft.mcp.take().map(|mcp| Mcp {
        server: text(&mcp.server),
        method: mcp.method.as_deref().map(text),
        direction: mcp.direction.as_deref().map(text),
        error_code: mcp.error_code,
        batch: mcp.batch,
        ..Mcp::default()
    });
    if let Some(http) = &draft.http {
        short.http = Some(event::Http {
            status: http.status,
            relayed: http.relayed,
            ..event::Http::default()
        });
    }
    short.outcome = draft.outcome.take().map(|outcome| Outcome {
        error: outcome.error.as_deref().map(text),
        reason: outcome.reason.as_deref().map(text),
        ..outcome
    });
    short.gap = draft.gap.take().map(|gap| Gap {
        of: text(&gap.of),
        cause: text(&gap.cause),
        unit: text(&gap.unit),
        ..gap
    });
    *draft = short;
}

fn text(long: &str) -> String {
    cut(long, TEXT_BYTES).to_owned()
}

fn shorten(long: &mut Option<String>) {
    if let Some(long) = long {
        long.truncate(cut(long, TEXT_BYTES).len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::{
        Agent, Credential, Exchange, GenAi, History, Http, Ids, Kind, Role, Source, State,
    };
    use proptest::prelude::*;

    /// Every text of an event is `long`, every list has `count` elements.
    fn stretched(kind: Kind, long: &str, count: usize) -> Draft {
        let text = || long.to_owned();
        let some = || Some(long.to_owned());
        let mut draft = Draft::new(kind, Source::Gateway);
        draft.agent = Some(Agent {
            name: text(),
            client: some(),
        });
        draft.run = Some(Run {
            id: text(),
            parent: some(),
            by: some(),
            user: some(),
        });
        draft.credential = Some(Credential {
            carrier: text(),
            digest: text(),
        });
        draft.exchange = Some(Exchange {
            call: Some(u64::MAX),
            attempt: Some(u32::MAX),
            retry_of: Some(u64::MAX),
        });
        draft.http = Some(Http {
            upstream: some(),
            destination: some(),
            method: some(),
            path: some(),
            version: some(),
            status: Some(599),
            relayed: Some(u64::MAX),
        });
        draft.gen_ai = Some(GenAi {
            api: text(),
            operation: some(),
            request_model: some(),
            response_model: some(),
            response_id: some(),
            finish_reasons: vec![text(); count],
            ..GenAi::default()
        });
        draft.mcp = Some(Mcp {
            server: text(),
            method: some(),
            id: some(),
            session: some(),
            protocol_version: some(),
            direction: some(),
            tool_digest: some(),
            error_code: Some(i64::MIN),
            batch: Some(u64::MAX),
        });
        let tool = ToolRef {
            name: some(),
            id: some(),
            ..ToolRef::default()
        };
        draft.tool = Some(tool.clone());
        draft.tool_calls = vec![tool.clone(); count];
        draft.tool_results = vec![tool; count];
        draft.outcome = Some(Outcome {
            state: State::UpstreamError,
            error: some(),
            reason: some(),
        });
        draft.ids = Some(Ids {
            traceparent: some(),
            request_id: some(),
            session_id: some(),
            previous_response_id: some(),
            idempotency_key: some(),
        });
        draft.history = Some(History {
            change: text(),
            ..History::default()
        });
        draft.gap = Some(Gap {
            of: text(),
            cause: text(),
            count: u64::MAX,
            unit: text(),
            from: Some(u64::MAX),
            to: Some(u64::MAX),
        });
        draft.causes = vec![u64::MAX; count];
        draft.governance = some();
        draft.facts = Some(
            [(text(), serde_json::Value::from(text()))]
                .into_iter()
                .collect(),
        );
        draft.bodies = (0..count as u64)
            .map(|id| BodyRef {
                role: Role::Response,
                id,
                len: u64::MAX,
                commitment: "f".repeat(64),
                media: some(),
                encoding: some(),
                truncated: u64::MAX,
            })
            .collect();
        draft
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn an_event_always_fits_in_the_end(byte in prop::sample::select(vec!["\u{1}", "\"", "x", "\u{1F600}"]), len in 0usize..2_000, count in 0usize..40) {
            let mut draft = stretched(Kind::ToolResponse, &byte.repeat(len), count);
            for step in STEPS {
                if draft.seal().is_ok() {
                    break;
                }
                step(&mut draft);
            }
            prop_assert!(draft.seal().is_ok());
            prop_assert_eq!(draft.exchange.unwrap().call, Some(u64::MAX));
            prop_assert_eq!(draft.outcome.unwrap().state, State::UpstreamError);
            prop_assert_eq!(draft.bodies.len(), count.min(draft.bodies.len().max(REFERENCES)));
        }
    }

    #[test]
    fn what_hostile_names_stretch_goes_and_is_counted() {
        let mut draft = stretched(Kind::ModelResponse, &"\u{1}".repeat(200), 32);
        draft.bodies.truncate(2);
        for step in STEPS {
            if draft.seal().is_ok() {
                break;
            }
            step(&mut draft);
        }
        assert!(draft.seal().is_ok());
        assert_eq!(draft.bodies.len(), 2);
        assert_eq!(draft.mcp.unwrap().method.unwrap().len(), TEXT_BYTES);
    }
}
