#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]
//! Every recorded exchange with a real model API is classified, and the readers find every tool call, tool result and usage
//! report in it: as many as a walk over the raw JSON that knows nothing of the readers.
//!
//! `TACHO_WRITE_DOCS=1` writes the table to `docs/wire-coverage.md`.

mod naive;
mod recording;
mod table;

use protocol::{Operation, RequestView, ResponseReader, ResponseView, classify, read_request};
use recording::Exchange;
use std::collections::BTreeMap;
use table::Row;

/// What the readers say of one exchange, in the terms of the naive count.
fn read(
    exchange: &Exchange,
    chunk: usize,
) -> (Operation, Option<RequestView>, Option<ResponseView>) {
    let operation = classify(exchange.upstream, &exchange.method, &exchange.path);
    let (api, request) = match &operation {
        Operation::Model(call) => (call.api, Some(read_request(call, &exchange.request))),
        Operation::Retrieve(api) => (*api, None),
        Operation::Other(_) => return (operation, None, None),
    };
    let mut reader =
        ResponseReader::new(api, exchange.content_type.as_deref(), None, exchange.status);
    for chunk in exchange.response.chunks(chunk) {
        reader.feed(chunk);
    }
    let response = reader.finish(true);
    (operation, request, Some(response))
}

#[test]
fn readers_find_what_is_in_every_recorded_exchange() {
    let Some(exchanges) = recording::load() else {
        return;
    };
    assert_eq!(exchanges.len(), 946, "recorded HTTP exchanges");
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    let mut mismatches = Vec::new();
    for exchange in &exchanges {
        let (operation, request, response) = read(exchange, 1 << 20);
        let name = match &operation {
            Operation::Model(call) => call.api.to_string(),
            Operation::Retrieve(api) => format!("{api} (retrieved)"),
            Operation::Other(name) => format!("other: {name}"),
        };
        let row = rows.entry(name).or_default();
        row.exchanges += 1;
        let Some(response) = response else { continue };
        let api = match &operation {
            Operation::Model(call) => call.api,
            Operation::Retrieve(api) => *api,
            Operation::Other(_) => continue,
        };
        let naive = naive::count(api, exchange);
        let found = naive::Count::of_views(request.as_ref(), &response);
        row.add(exchange, &found, &naive, request.as_ref(), &response);
        if found != naive {
            mismatches.push(format!(
                "{}#{}\n  found {found:?}\n  naive {naive:?}",
                exchange.cassette, exchange.number
            ));
        }
        let problem = request
            .as_ref()
            .and_then(|view| view.problem.clone())
            .or_else(|| response.problem.clone());
        if let Some(problem) = problem {
            row.problems.push(format!(
                "{}#{}: {problem}",
                exchange.cassette, exchange.number
            ));
        }
    }
    let table = table::render(&rows);
    println!("{table}");
    for row in rows.values() {
        row.problems
            .iter()
            .for_each(|problem| println!("problem {problem}"));
    }
    table::publish(&table);
    assert!(
        mismatches.is_empty(),
        "{} exchanges differ:\n{}",
        mismatches.len(),
        mismatches.join("\n")
    );
}

#[test]
fn chunking_changes_nothing_that_is_read() {
    let Some(exchanges) = recording::load() else {
        return;
    };
    for exchange in &exchanges {
        let (_, _, whole) = read(exchange, usize::MAX);
        for chunk in [1, 3, 100] {
            let (_, _, cut) = read(exchange, chunk);
            assert_eq!(
                cut, whole,
                "{}#{} in chunks of {chunk}",
                exchange.cassette, exchange.number
            );
        }
    }
}

/// A client resends the model's answers in its own spelling; the fingerprint must know them again.
#[test]
fn answers_are_known_again_when_clients_resend_them() {
    let Some(exchanges) = recording::load() else {
        return;
    };
    let mut by_cassette: BTreeMap<&str, Vec<&Exchange>> = BTreeMap::new();
    for exchange in &exchanges {
        by_cassette
            .entry(&exchange.cassette)
            .or_default()
            .push(exchange);
    }
    let (mut resent, mut known) = (0, 0);
    let mut continued = Continuity::default();
    for exchanges in by_cassette.values() {
        let mut before: Option<(RequestView, ResponseView)> = None;
        for exchange in exchanges {
            let (operation, Some(request), Some(response)) = read(exchange, usize::MAX) else {
                continue;
            };
            if let Some((earlier, answer)) = &before
                && earlier.gen_ai.api == request.gen_ai.api
                && !request.context_off_wire
                && let Some(answer) = &answer.message
                && request.messages.len() > earlier.messages.len()
                && request.messages[earlier.messages.len()].role == answer.role
            {
                resent += 1;
                let again = &request.messages[earlier.messages.len()];
                let same = again.fingerprint == answer.fingerprint;
                known += u32::from(same);
                let prefix = earlier
                    .messages
                    .iter()
                    .zip(&request.messages)
                    .all(|(a, b)| a.fingerprint == b.fingerprint);
                continued.note(&operation, same, prefix);
                assert!(
                    prefix,
                    "{}#{}: the client resent its own messages",
                    exchange.cassette, exchange.number
                );
                if !same {
                    println!(
                        "{}#{} answered {}\n  resent {}",
                        exchange.cassette,
                        exchange.number,
                        shown(answer),
                        shown(again)
                    );
                }
            }
            before = Some((request, response));
        }
    }
    println!("{known} of {resent} resent answers are known again; {continued:?}");
    // The rest are answers that the client did change: reasoning put into the text, ids made up, quotes replaced.
    assert!(known >= 174 && resent == 194, "{known} of {resent}");
}

/// Known again by API: answers, histories, of how many.
#[derive(Debug, Default)]
struct Continuity(BTreeMap<String, (u32, u32, u32)>);

impl Continuity {
    fn note(&mut self, operation: &Operation, answer: bool, history: bool) {
        let Operation::Model(call) = operation else {
            return;
        };
        let entry = self.0.entry(call.api.to_string()).or_default();
        entry.0 += u32::from(answer);
        entry.1 += u32::from(history);
        entry.2 += 1;
    }
}

fn shown(message: &protocol::MessageView) -> String {
    let text: String = message.text.chars().take(80).collect();
    format!(
        "{text:?} calls {:?} results {:?}",
        message.tool_call_ids, message.tool_result_ids
    )
}
