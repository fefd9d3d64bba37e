//! `kill -9` at any moment: nothing that was answered is lost, every open call is closed as
//! interrupted at the next start, and the record verifies.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod client;
mod record;

use bytes::Bytes;
use client::Client;
use event::{Role, State};
use record::{TACHO, body, digest, open, read};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::model::Model;
use testkit::{Digest, Recorder, Request, Upstream, figure};

/// Stores, each with its own seed; how often each is killed; callers at a time.
const STORES: u64 = 10;
const KILLS: u64 = 20;
const CALLERS: u64 = 8;

/// Calls that were answered in full, by the id in their request: digest of the answer's bytes.
type Answered = Arc<Mutex<HashMap<String, Digest>>>;

fn config(upstream: &Upstream) -> String {
    format!(
        "[upstream.anthropic]\nbase_url = \"{}\"\napi = \"anthropic\"\n",
        upstream.url()
    )
}

/// xorshift64: the same moments in every run.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

async fn call(
    client: &Client,
    gateway: &str,
    id: &str,
    model: &str,
    stream: bool,
) -> Option<(u16, Bytes)> {
    let padding = "context ".repeat(id.len() * 40);
    let request = json!({ "model": model, "stream": stream, "max_tokens": 10, "id": id,
                          "messages": [{ "role": "user", "content": padding }] });
    client
        .post(
            &format!("{gateway}/agent/{id}/anthropic/v1/messages"),
            &[],
            request.to_string(),
        )
        .await
}

/// Calls until the recorder dies.
async fn load(gateway: String, caller: String, slow: bool, answered: Answered) {
    let client = Client::new();
    for n in 0_u64.. {
        let id = format!("{caller}-{n}");
        // One caller in four is always in the middle of a slow stream.
        let model = if slow {
            "scripted-trickle"
        } else {
            "scripted-text"
        };
        match call(&client, &gateway, &id, model, n % 2 == 0).await {
            Some((200, bytes)) => answered.lock().unwrap().insert(id, Digest::of(&bytes)),
            // The recorder may also die while it answers that it cannot.
            Some((status, bytes)) => panic!("{id}: {status} {bytes:?}"),
            None => return,
        };
    }
}

async fn torture(seed: u64, upstream: &Upstream) -> (usize, usize) {
    let dir = tempfile::tempdir().unwrap();
    let answered = Answered::default();
    let mut random = 0x9e37_79b9_7f4a_7c15 ^ seed;
    for kill in 0..KILLS {
        let recorder = Recorder::start(TACHO, dir.path(), &config(upstream))
            .await
            .unwrap();
        let mut callers = tokio::task::JoinSet::new();
        for caller in 0..CALLERS {
            let name = format!("{seed}-{kill}-{caller}");
            let slow = caller % 4 == 0;
            callers.spawn(load(
                recorder.gateway().to_owned(),
                name,
                slow,
                answered.clone(),
            ));
        }
        tokio::time::sleep(Duration::from_micros(2_000 + next(&mut random) % 150_000)).await;
        recorder.kill().await.unwrap();
        while let Some(done) = callers.join_next().await {
            done.unwrap();
        }
        if kill % 5 == 0 {
            // As the crash left it, before any recovery.
            let report = evidence::verify::run(
                &dir.path().join("record"),
                &evidence::verify::Options::default(),
                &mut |_| {},
            )
            .unwrap();
            assert_eq!(
                report.fault_count, 0,
                "seed {seed}, kill {kill}: {:?}",
                report.faults
            );
        }
    }
    let recorder = Recorder::start(TACHO, dir.path(), &config(upstream))
        .await
        .unwrap();
    recorder.stop().await.unwrap();
    let interrupted = check(dir.path(), &answered.lock().unwrap());
    (answered.lock().unwrap().len(), interrupted)
}

/// Compares the record with what the callers know; returns how many calls were interrupted.
fn check(dir: &Path, answered: &HashMap<String, Digest>) -> usize {
    let store = open(dir);
    let (calls, _) = read(&store);
    let mut interrupted = 0;
    let mut found = HashMap::new();
    for call in &calls {
        let request: Value =
            serde_json::from_slice(&body(&store, &call.request, Role::Request).unwrap()).unwrap();
        let id = request["id"].as_str().unwrap().to_owned();
        let response = call
            .response
            .as_ref()
            .unwrap_or_else(|| panic!("call {id} was never closed"));
        match response.outcome.as_ref().unwrap().state {
            State::Completed => {}
            State::Interrupted | State::ClientAborted => {
                interrupted += 1;
                assert!(
                    !answered.contains_key(&id),
                    "{id} was answered in full, and is recorded as {response:?}"
                );
            }
            other => panic!("{id} ended as {other}"),
        }
        let stored = digest(&store, response, Role::Response);
        found.insert(id, stored);
    }
    for (id, answer) in answered {
        assert_eq!(
            found.get(id),
            Some(answer),
            "{id} was answered, and this is what the record holds"
        );
    }
    let report = evidence::verify::run(
        &dir.join("record"),
        &evidence::verify::Options::default(),
        &mut |_| {},
    )
    .unwrap();
    assert_eq!(
        (
            report.fault_count,
            report.open_calls.len(),
            report.missing.len()
        ),
        (0, 0, 0),
        "{report:?}"
    );
    interrupted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_answered_is_lost_by_200_kills_under_load() {
    let began = std::time::Instant::now();
    let model = Model::new();
    let upstream = Upstream::start(move |request: &Request| model.answer(request))
        .await
        .unwrap();
    let (mut answered, mut interrupted) = (0, 0);
    for seed in 1..=STORES {
        let (more_answered, more_interrupted) = torture(seed, &upstream).await;
        answered += more_answered;
        interrupted += more_interrupted;
    }
    assert!(
        answered > 1000 && interrupted > 100,
        "the load was one: {answered} answered, {interrupted} interrupted"
    );
    figure(&format!(
        "kill -9: {} times under load, {answered} answered calls all stored, {interrupted} open calls closed as interrupted, in {:.0} s",
        STORES * KILLS,
        began.elapsed().as_secs_f64()
    ));
}

#[tokio::test]
async fn a_hundred_answered_calls_and_a_kill_are_a_hundred_stored() {
    let model = Model::new();
    let upstream = Upstream::start(move |request: &Request| model.answer(request))
        .await
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let recorder = Recorder::start(TACHO, dir.path(), &config(&upstream))
        .await
        .unwrap();
    let client = Client::new();
    let mut answered = HashMap::new();
    for n in 0..100 {
        let id = format!("call-{n}");
        let (status, bytes) = call(
            &client,
            recorder.gateway(),
            &id,
            "scripted-text",
            n % 2 == 0,
        )
        .await
        .unwrap();
        assert_eq!(status, 200);
        answered.insert(id, Digest::of(&bytes));
    }
    recorder.kill().await.unwrap();
    let recorder = Recorder::start(TACHO, dir.path(), &config(&upstream))
        .await
        .unwrap();
    recorder.stop().await.unwrap();
    assert_eq!(check(dir.path(), &answered), 0, "nothing was open");
    assert_eq!(read(&open(dir.path())).0.len(), 100);
}
