//! How the log stands with its anchors, for people: what is known outside by what lies there and verifies, and beside it
//! what the recorder was last told.

use crate::summary::grouped;
use crate::when;
use anchor::{Anchored, Error, Kept, Kind, Standing};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;

/// How to have the head told outside, where nobody is told.
const NOWHERE: &str = "\
nowhere: NOTHING OUTSIDE THIS MACHINE KNOWS THE LOG'S HEAD. Whoever holds the machine and its key can write
            another history unseen. Name a second place (a directory on another disk or machine) in the configuration:
              [copy]
              directory = \"/mnt/elsewhere/tachograph\"
            or witnesses and time-stamp authorities: docs/anchors.md
";

/// What to do about a standing that cannot be read.
const UNREADABLE: &str = "\
            It is a hint, and no evidence: start the recorder, which asks every anchor again and writes it anew. What was
            anchored stands in the record: `tacho events --kind anchor.`
";

/// What can be said of the anchors of a record.
#[derive(Debug)]
pub(crate) struct View {
    /// What the recorder was last told.
    standing: Result<Standing, Error>,
    /// What was read back; `None` where nobody looked.
    kept: Option<Result<Vec<Kept>, Error>>,
}

impl View {
    /// As the recorder tells it, which nobody has read back.
    pub(crate) const fn told(standing: Standing) -> Self {
        Self {
            standing: Ok(standing),
            kept: None,
        }
    }

    /// As the recorder tells it, and as it lies there.
    pub(crate) async fn read_back(data: &Path, standing: Standing) -> Self {
        let kept = match standing.is_anchored() {
            true => Some(anchor::kept(data, Some(&standing)).await),
            false => None,
        };
        let standing = Ok(standing);
        Self { standing, kept }
    }

    /// As it was last told, and as it lies there: of a record that nobody writes.
    pub(crate) async fn last_known(data: &Path) -> Self {
        match Standing::last_known(data) {
            Ok(Some(standing)) => Self::read_back(data, standing).await,
            // Without the hint, what vouches for the log vouches for it all the same.
            Ok(None) => Self {
                standing: Ok(Standing::default()),
                kept: Some(anchor::kept(data, None).await),
            },
            Err(error) => Self {
                standing: Err(error),
                kept: Some(anchor::kept(data, None).await),
            },
        }
    }

    /// What was read back and holds, the farthest first.
    fn holding(&self) -> Vec<(&Kept, u64)> {
        let kept = self.kept.as_ref().and_then(|kept| kept.as_ref().ok());
        let kept = kept.into_iter().flatten();
        let mut holding: Vec<(&Kept, u64)> =
            kept.filter_map(|kept| Some((kept, kept.size?))).collect();
        holding.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
        holding
    }

    /// Of `durable` events those that nothing which was read back vouches for.
    fn unanchored(&self, durable: u64) -> u64 {
        let farthest = self.holding().first().map_or(0, |(_, size)| *size);
        durable.saturating_sub(farthest)
    }

    /// For scripts: members of the answer to `tacho status`.
    pub(crate) fn to_json(&self, durable: u64) -> [(&'static str, Value); 4] {
        let error = |error: &Error| Value::String(error.to_string());
        let (anchors, anchors_error) = match &self.standing {
            Ok(standing) => (json!(standing), Value::Null),
            Err(why) => (Value::Null, error(why)),
        };
        let kept = match &self.kept {
            Some(Ok(kept)) => json!(kept),
            Some(Err(why)) => json!({ "error": error(why) }),
            None => json!([]),
        };
        [
            ("anchors", anchors),
            ("anchors_error", anchors_error),
            ("kept", kept),
            ("unanchored_events", self.unanchored(durable).into()),
        ]
    }

    /// Lines of `tacho status`, the first after its heading.
    pub(crate) fn to_text(&self, durable: u64) -> String {
        let mut text = String::from("anchored    ");
        let holding = self.holding();
        let standing = match &self.standing {
            Ok(standing) if !standing.is_anchored() && holding.is_empty() => {
                text.push_str(NOWHERE);
                return text;
            }
            Ok(standing) => standing.clone(),
            Err(error) => {
                // Writing to a string does not fail.
                writeln!(
                    text,
                    "what the recorder was last told is not known: {error}"
                )
                .unwrap_or_default();
                text.push_str(UNREADABLE);
                text.push_str("            ");
                Standing::default()
            }
        };
        let mut line = |line: String| writeln!(text, "{line}").unwrap_or_default();
        line(self.headline(&standing, durable));
        for anchor in &standing.anchors {
            line(self.reach(anchor, durable));
            let lost = self.lost(anchor);
            lost.into_iter().for_each(&mut line);
        }
        if standing.anchors.is_empty() {
            for (kept, size) in &holding {
                let at = kept.at.as_deref();
                line(reach(kept.kind, &self.name_of(kept), *size, at, durable));
            }
        }
        if let Some(quorum) = &standing.quorum {
            line(format!(
                "  {:<10}{}",
                "quorum",
                match quorum.size {
                    0 => "not met yet".to_owned(),
                    size => format!("met for {} events", grouped(size)),
                }
            ));
        }
        failures(&standing).into_iter().for_each(line);
        text
    }

    /// How far the log is known outside, by whom, and who fails.
    fn headline(&self, standing: &Standing, durable: u64) -> String {
        let failing: Vec<String> = standing
            .anchors
            .iter()
            .filter(|anchor| anchor.failing.is_some())
            .map(|anchor| format!("{} {}", anchor.kind.as_str(), name(standing, anchor)))
            .collect();
        let beside = match failing.as_slice() {
            [] => String::new(),
            names => format!("; FAILING: {}", names.join(", ")),
        };
        match &self.kept {
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                return format!(
                    "nobody can say how far: the record cannot be read back: {error}{beside}"
                );
            }
            None => {
                return format!("as the recorder was told; `tacho status` reads it back{beside}");
            }
        }
        let holding = self.holding();
        let Some((kept, size)) = holding.first() else {
            return format!("nothing that is kept vouches for any event{beside}");
        };
        let who = format!("{} {}", kept.kind.as_str(), self.name_of(kept));
        match durable.saturating_sub(*size) {
            0 => format!("all events are known outside, to {who}{beside}"),
            tail => format!(
                "the newest {} events are known to nobody outside yet; the {} before them are, to {who}{beside}",
                grouped(tail),
                grouped(*size),
            ),
        }
    }

    /// The name of what was read back, as [`name`].
    fn name_of(&self, of: &Kept) -> String {
        let kept = self.kept.as_ref().and_then(|kept| kept.as_ref().ok());
        let alike = kept.into_iter().flatten();
        let alike = alike.filter(|other| (other.kind, &other.name) == (of.kind, &of.name));
        told_apart(&of.name, of.key_id.as_deref(), alike.count())
    }

    fn kept(&self, anchor: &Anchored) -> Option<&Kept> {
        let kept = self.kept.as_ref()?.as_ref().ok()?;
        kept.iter().find(|kept| {
            (kept.kind, &kept.name, &kept.key_id) == (anchor.kind, &anchor.name, &anchor.key_id)
        })
    }

    /// How far an anchor reaches, by what lies there where that was looked at.
    fn reach(&self, anchor: &Anchored, durable: u64) -> String {
        let name = self
            .standing
            .as_ref()
            .map_or_else(|_| anchor.name.clone(), |standing| name(standing, anchor));
        let (size, at) = match (&self.kept, self.kept(anchor)) {
            (None, _) => (anchor.size, anchor.at.as_deref()),
            (Some(_), kept) => (
                kept.and_then(|kept| kept.size),
                kept.and_then(|kept| kept.at.as_deref()),
            ),
        };
        match size {
            Some(size) => reach(anchor.kind, &name, size, at, durable),
            None if anchor.size.is_some() => {
                format!("  {:<10}nothing that holds ({name})", heading(anchor.kind))
            }
            None => format!("  {:<10}nothing yet ({name})", heading(anchor.kind)),
        }
    }

    /// What the recorder was told, and is not there.
    fn lost(&self, anchor: &Anchored) -> Option<String> {
        let said = anchor.size?;
        let kept = self.kept(anchor)?;
        if kept.size >= Some(said) {
            return None;
        }
        let when = anchor.at.as_deref().and_then(age).unwrap_or_default();
        let why = kept.trouble.as_deref();
        Some(format!(
            "  NOT THERE it had {} events{when}: {}",
            grouped(said),
            why.unwrap_or("what lies there is older")
        ))
    }
}

/// What fails, and what says that a history was rewritten.
fn failures(standing: &Standing) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(failing) = &standing.unpublished {
        lines.push(format!(
            "  FAILING   no checkpoint is published since {}: {}",
            failing.since, failing.error
        ));
    }
    for anchor in &standing.anchors {
        if let Some(failing) = &anchor.failing {
            lines.push(format!(
                "  FAILING   {} {} since {}, {} attempts: {}",
                anchor.kind.as_str(),
                name(standing, anchor),
                failing.since,
                failing.attempts,
                failing.error
            ));
        }
    }
    let failing = standing
        .anchors
        .iter()
        .filter_map(|anchor| anchor.failing.as_ref());
    let incidents = failing
        .chain(&standing.unpublished)
        .filter(|failing| failing.incident);
    lines.extend(incidents.map(|failing| format!("  INCIDENT  {}", failing.error)));
    lines
}

const fn heading(kind: Kind) -> &'static str {
    match kind {
        Kind::Witness => "witnessed",
        Kind::Timestamp => "stamped",
        Kind::Copy => "copied",
    }
}

fn reach(kind: Kind, name: &str, size: u64, at: Option<&str>, durable: u64) -> String {
    let age = at.and_then(age).unwrap_or_default();
    let behind = durable.saturating_sub(size);
    format!(
        "  {:<10}{} events, {} behind{age} ({name})",
        heading(kind),
        grouped(size),
        grouped(behind),
    )
}

/// The name of an anchor; with the id of its key where another one bears the same.
fn name(standing: &Standing, anchor: &Anchored) -> String {
    let alike = standing.anchors.iter();
    let alike = alike.filter(|other| (other.kind, &other.name) == (anchor.kind, &anchor.name));
    told_apart(&anchor.name, anchor.key_id.as_deref(), alike.count())
}

fn told_apart(name: &str, key_id: Option<&str>, alike: usize) -> String {
    match key_id {
        Some(id) if alike > 1 => format!("{name}+{id}"),
        _ => name.to_owned(),
    }
}

fn age(at: &str) -> Option<String> {
    let at: Timestamp = at.parse().ok()?;
    let us = Timestamp::now().duration_since(at).as_micros();
    Some(format!(
        ", {} ago",
        when::span_us(u64::try_from(us).unwrap_or(0))
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(anchors: Value) -> Standing {
        let of = json!({ "version": 1, "published": 9, "unpublished": null, "quorum": null, "anchors": anchors });
        serde_json::from_value(of).unwrap()
    }

    fn anchored(kind: &str, name: &str, size: u64, failing: Option<&str>) -> Value {
        let failing = failing.map(|error| json!({ "since": "2026-11-22T08:00:00Z", "error": error, "attempts": 2, "incident": false }));
        json!({ "kind": kind, "name": name, "size": size, "at": null, "failing": failing, "superseded": 0 })
    }

    fn kept(kind: Kind, name: &str, size: Option<u64>, trouble: Option<&str>) -> Kept {
        Kept {
            kind,
            name: name.to_owned(),
            key_id: None,
            size,
            at: None,
            trouble: trouble.map(str::to_owned),
        }
    }

    fn view(anchors: Value, kept: Vec<Kept>) -> View {
        View {
            standing: Ok(standing(anchors)),
            kept: Some(Ok(kept)),
        }
    }

    #[test]
    fn who_anchors_nowhere_is_told_what_that_means_and_what_to_do() {
        let text = View::told(Standing::default()).to_text(7);
        assert!(
            text.contains("NOTHING OUTSIDE THIS MACHINE KNOWS"),
            "{text}"
        );
        assert!(
            text.contains("[copy]") && text.contains("docs/anchors.md"),
            "{text}"
        );
    }

    #[test]
    fn all_events_are_known_only_to_one_that_was_read_back_and_who_fails_is_named_beside_it() {
        let anchors = json!([
            anchored("copy", "/p", 9, None),
            anchored("witness", "w", 5, Some("it answered 500")),
        ]);
        let all = [
            kept(Kind::Copy, "/p", Some(9), None),
            kept(Kind::Witness, "w", Some(5), None),
        ];
        let text = view(anchors.clone(), all.to_vec()).to_text(9);
        let first = "anchored    all events are known outside, to copy /p; FAILING: witness w\n";
        assert!(text.starts_with(first), "{text}");
        assert!(
            text.contains("  copied    9 events, 0 behind (/p)\n"),
            "{text}"
        );
        assert!(
            text.contains("  witnessed 5 events, 4 behind (w)\n"),
            "{text}"
        );
        assert!(text.contains("  FAILING   witness w since"), "{text}");

        let gone = kept(Kind::Copy, "/p", None, Some("it is not mounted"));
        let some = vec![gone.clone(), kept(Kind::Witness, "w", Some(5), None)];
        let text = view(anchors.clone(), some).to_text(9);
        assert!(!text.contains("all events are known"), "{text}");
        assert!(text.contains("the newest 4 events are known to nobody outside yet; the 5 before them are, to witness w"), "{text}");
        assert!(text.contains("  copied    nothing that holds (/p)\n  NOT THERE it had 9 events: it is not mounted\n"), "{text}");

        let text = view(anchors, vec![gone]).to_text(9);
        assert!(
            text.contains("nothing that is kept vouches for any event"),
            "{text}"
        );
    }

    #[test]
    fn what_nobody_read_back_is_no_claim() {
        let text = View::told(standing(json!([anchored("copy", "/p", 9, None)]))).to_text(9);
        assert!(text.contains("as the recorder was told"), "{text}");
        assert!(!text.contains("known outside"), "{text}");
    }
}
