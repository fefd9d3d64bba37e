//! What the recorder's events about its own log say: keys, anchors, volumes, the log before this one.

use crate::summary::grouped;
use crate::when;
use event::{Kind, Line};
use evidence::epochs::EpochNote;
use serde_json::{Map, Value};
use tlog::note::{Note, VerifyingKey};

/// Longest foreign text that is shown, in characters: `tacho show` has all of it.
const SHOWN: usize = 120;

type Facts = Map<String, Value>;

/// The words for an event about the log; none for any other.
pub(super) fn words(line: &Line) -> Vec<String> {
    let Some(facts) = &line.facts else {
        return Vec::new();
    };
    match line.kind.parse() {
        Ok(Kind::KeyEpoch) => epoch(facts),
        Ok(Kind::KeyRevoked) => revoked(facts),
        Ok(Kind::VaultSealed) => sealed(facts),
        Ok(Kind::AnchorTimestamp) => had(facts, text(facts, "authority"), "gen_time"),
        Ok(Kind::AnchorWitness) => had(facts, witness(facts), "time"),
        Ok(Kind::AnchorCopy) => had(facts, text(facts, "place"), "none"),
        Ok(Kind::AnchorFailed) => failed(facts),
        Ok(Kind::AnchorChecked) => checked(facts),
        Ok(Kind::LogSuccessor) => successor(facts),
        _ => Vec::new(),
    }
}

fn text(facts: &Facts, name: &str) -> Option<String> {
    let text = facts.get(name).and_then(Value::as_str);
    text.map(|text| crate::escape::cut(text, SHOWN).into_owned())
}

fn number(facts: &Facts, name: &str) -> Option<u64> {
    facts.get(name).and_then(Value::as_u64)
}

fn events(facts: &Facts) -> Option<String> {
    number(facts, "size").map(|size| super::counted(size, "event"))
}

fn epoch(facts: &Facts) -> Vec<String> {
    let number = number(facts, "epoch").map(|epoch| format!("epoch {epoch}"));
    let note = facts.get("note").and_then(Value::as_str);
    let note = note.and_then(|note| Note::parse(note.as_bytes()).ok());
    let said = note.and_then(|note| note.text().parse::<EpochNote>().ok());
    let said = said.map(|said| {
        let from = grouped(said.size);
        [
            format!("key {}", said.ed25519.id()),
            format!("signs from {from}"),
        ]
    });
    number
        .into_iter()
        .chain(said.into_iter().flatten())
        .collect()
}

fn revoked(facts: &Facts) -> Vec<String> {
    let epoch = number(facts, "epoch").map(|epoch| format!("epoch {epoch}"));
    let size = number(facts, "size").map(|size| format!("counts up to {} only", grouped(size)));
    let reason = text(facts, "reason");
    [epoch, size, reason].into_iter().flatten().collect()
}

fn sealed(facts: &Facts) -> Vec<String> {
    let volume = number(facts, "volume").map(|volume| format!("volume {volume}"));
    let bytes = number(facts, "bytes").map(|bytes| format!("{} bytes", grouped(bytes)));
    [volume, bytes].into_iter().flatten().collect()
}

/// Who vouched for how many events, and when by whose own clock.
fn had(facts: &Facts, who: Option<String>, time: &str) -> Vec<String> {
    let time = text(facts, time).map(|time| when::shorten(&time));
    [who, events(facts), time].into_iter().flatten().collect()
}

fn witness(facts: &Facts) -> Option<String> {
    let name = text(facts, "witness")?;
    let key = facts.get("key").and_then(Value::as_str);
    let key = key.and_then(|key| key.parse::<VerifyingKey>().ok());
    Some(match key {
        Some(key) => format!("{name}+{}", key.id()),
        None => name,
    })
}

fn failed(facts: &Facts) -> Vec<String> {
    let who = [text(facts, "anchor"), text(facts, "name")];
    let who: Vec<String> = who.into_iter().flatten().collect();
    let id = text(facts, "key_id").map(|id| format!("+{id}"));
    let mut words = vec![format!("{}{}", who.join(" "), id.unwrap_or_default())];
    if facts.get("incident").and_then(Value::as_bool) == Some(true) {
        words.push("INCIDENT".to_owned());
    }
    words.extend(text(facts, "error"));
    words
}

/// Who was asked at a start, and what he said.
fn checked(facts: &Facts) -> Vec<String> {
    let list = |name: &str| {
        facts
            .get(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let who = |of: &Facts| {
        let who = [text(of, "kind"), text(of, "name")];
        who.into_iter().flatten().collect::<Vec<_>>().join(" ")
    };
    let marks = list("marks").filter_map(Value::as_object).map(|mark| {
        let verdict = text(mark, "verdict").unwrap_or_default();
        let size = events(mark).unwrap_or_default();
        format!("{}: {size}, {verdict}", who(mark))
    });
    let absent = list("unreachable").filter_map(Value::as_object);
    let absent = absent.map(|absent| {
        let error = text(absent, "error").unwrap_or_default();
        format!("NOT ASKED {}: {error}", who(absent))
    });
    let words: Vec<String> = marks.chain(absent).collect();
    if words.is_empty() {
        return vec!["nobody knows the log yet".to_owned()];
    }
    words
}

fn successor(facts: &Facts) -> Vec<String> {
    let origin = text(facts, "origin").map(|origin| format!("succeeds {origin}"));
    [origin, events(facts), text(facts, "reason")]
        .into_iter()
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(kind: &str, facts: &Value) -> String {
        let line = json!({
            "v": 1, "seq": 9, "time": "2026-11-21T03:07:41Z", "boot_ns": 1, "boot": "b", "stream": 0, "n": 0,
            "source": "recorder", "basis": "observed", "kind": kind, "facts": facts,
        });
        super::super::describe(&Line::parse(line.to_string().as_bytes()).unwrap())
    }

    #[test]
    fn events_about_the_log_in_a_few_words() {
        let cosigner = tlog::cosignature::Cosigner::ed25519("example.com/w", &[1; 32]).unwrap();
        let key = cosigner.verifying_key();
        let origin = "example.com/log";
        let signer = tlog::note::SigningKey::from_seed(origin, &[2; 32]).unwrap();
        let second = tlog::cosignature::Cosigner::ml_dsa_44(origin, &[2; 32]).unwrap();
        let note = EpochNote {
            origin: origin.to_owned(),
            epoch: 2,
            size: 4_711,
            root: tlog::leaf_hash(b""),
            ed25519: signer.verifying_key().clone(),
            ml_dsa_44: second.verifying_key().clone(),
        };
        let note = Note::sign(note.to_string(), &[&signer]).unwrap();
        let long = "x".repeat(500);
        for (kind, facts, expected) in [
            (
                "key.epoch",
                json!({ "epoch": 2, "note": note.to_string() }),
                format!(
                    "epoch 2 · key {} · signs from 4,711",
                    signer.verifying_key().id()
                ),
            ),
            (
                "key.epoch",
                json!({ "epoch": 2, "note": "?" }),
                "epoch 2".to_owned(),
            ),
            (
                "key.revoked",
                json!({ "epoch": 1, "size": 4, "reason": "stolen" }),
                "epoch 1 · counts up to 4 only · stolen".to_owned(),
            ),
            (
                "vault.sealed",
                json!({ "volume": 1, "bytes": 12_345, "sha256": "00" }),
                "volume 1 · 12,345 bytes".to_owned(),
            ),
            (
                "anchor.timestamp",
                json!({ "authority": "acme", "size": 11, "gen_time": "2026-11-22T08:00:00.5Z" }),
                "acme · 11 events · 2026-11-22T08:00:00.500Z".to_owned(),
            ),
            (
                "anchor.witness",
                json!({ "witness": "example.com/w", "key": key.to_string(), "size": 1, "time": "2026-11-22T08:00:00Z" }),
                format!(
                    "example.com/w+{} · 1 event · 2026-11-22T08:00:00.000Z",
                    key.id()
                ),
            ),
            (
                "anchor.copy",
                json!({ "place": "/p", "size": 11 }),
                "/p · 11 events".to_owned(),
            ),
            (
                "anchor.failed",
                json!({ "anchor": "witness", "name": "w", "key_id": "0a0b0c0d", "error": "it lost its end", "incident": true }),
                "witness w+0a0b0c0d · INCIDENT · it lost its end".to_owned(),
            ),
            (
                "anchor.checked",
                json!({
                    "marks": [{ "kind": "copy", "name": "/p", "size": 19, "verdict": "holds" }],
                    "unreachable": [{ "kind": "witness", "name": "w", "error": "refused" }],
                }),
                "copy /p: 19 events, holds · NOT ASKED witness w: refused".to_owned(),
            ),
            (
                "anchor.checked",
                json!({ "marks": [] }),
                "nobody knows the log yet".to_owned(),
            ),
            (
                "log.successor",
                json!({ "origin": "example.com/old", "size": 14, "reason": "the operator left the log" }),
                "succeeds example.com/old · 14 events · the operator left the log".to_owned(),
            ),
            // Another program may have written anything.
            (
                "anchor.copy",
                json!({ "place": 7, "size": "many" }),
                String::new(),
            ),
        ] {
            assert_eq!(of(kind, &facts), expected, "{kind}");
        }
        let cut = of("anchor.copy", &json!({ "place": long }));
        assert!(cut.chars().count() <= SHOWN, "{cut}");
    }
}
