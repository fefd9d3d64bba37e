//! Comparing the history a request carries with the history that was seen.
//!
//! Pure functions over [`Mark`]s. Nothing here knows about runs.

use protocol::MessageView;
use std::collections::HashMap;

/// How far a departure looks for the place where the two histories meet again, in messages.
const RESYNC_WINDOW: usize = 256;

/// Departures that one request reports. Behind the first few, the histories have little in common.
pub(super) const MAX_DEPARTURES: usize = 8;

/// A message as the tracker keeps it: 126 bits of its fingerprint and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Mark(u128);

/// What a message is to the question who wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    System,
    /// Written by the user or the agent: may appear at any time.
    Input,
    /// Claimed to be written by the model: must have passed the recorder.
    Answer,
    /// The result of a tool that the model called.
    ToolResult,
}

impl Part {
    fn of(message: &MessageView) -> Self {
        match message.role.as_str() {
            "assistant" | "model" => Self::Answer,
            "system" | "developer" => Self::System,
            "tool" | "function" => Self::ToolResult,
            _ if !message.tool_result_ids.is_empty() => Self::ToolResult,
            _ => Self::Input,
        }
    }

    const fn bits(self) -> u128 {
        match self {
            Self::System => 0,
            Self::Input => 1,
            Self::Answer => 2,
            Self::ToolResult => 3,
        }
    }
}

impl Mark {
    pub(super) fn of(message: &MessageView) -> Self {
        let digest = message
            .fingerprint
            .0
            .first_chunk::<16>()
            .copied()
            .unwrap_or_default();
        Self((u128::from_be_bytes(digest) & !0b11) | Part::of(message).bits())
    }

    pub(super) const fn bits(self) -> u128 {
        self.0
    }

    pub(super) const fn part(self) -> Part {
        match self.0 & 0b11 {
            0 => Part::System,
            1 => Part::Input,
            2 => Part::Answer,
            _ => Part::ToolResult,
        }
    }

    pub(super) fn is_answer(self) -> bool {
        self.part() == Part::Answer
    }
}

/// One way in which a request does not continue what was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Departure {
    pub(super) change: Change,
    /// Index of the message in the request.
    pub(super) at: usize,
}

/// The spelling in the event is [`Change::as_str`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Edited,
    Dropped,
    Inserted,
    Unseen,
}

impl Change {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Edited => "edited",
            Self::Dropped => "dropped",
            Self::Inserted => "inserted",
            Self::Unseen => "unseen",
        }
    }
}

/// How many messages the two begin with in common.
pub(super) fn common_prefix(seen: &[Mark], sent: &[Mark]) -> usize {
    seen.iter().zip(sent).take_while(|(a, b)| a == b).count()
}

/// What a comparison found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Comparison {
    pub(super) departures: Vec<Departure>,
    /// Index in the request from which on its messages are new.
    pub(super) fresh: usize,
}

/// Lays `sent` beside `seen` and names every place where they part.
pub(super) fn compare(seen: &[Mark], sent: &[Mark]) -> Comparison {
    let mut departures = Vec::new();
    let mut at_seen = common_prefix(seen, sent);
    let mut at_sent = at_seen;
    loop {
        let (seen_rest, sent_rest) = (
            seen.get(at_seen..).unwrap_or_default(),
            sent.get(at_sent..).unwrap_or_default(),
        );
        if seen_rest.is_empty() || departures.len() == MAX_DEPARTURES {
            break;
        }
        if sent_rest.is_empty() {
            departures.push(Departure {
                change: Change::Dropped,
                at: at_sent,
            });
            break;
        }
        let Some((skipped, instead)) = meet_again(seen_rest, sent_rest) else {
            let (change, instead) = rest(seen_rest, sent_rest);
            departures.push(Departure {
                change,
                at: at_sent,
            });
            at_sent += instead;
            break;
        };
        let change = match (skipped, instead) {
            (_, 0) => Change::Dropped,
            (0, _) => Change::Inserted,
            _ => Change::Edited,
        };
        departures.push(Departure {
            change,
            at: at_sent,
        });
        at_seen += skipped;
        at_sent += instead;
        let same = common_prefix(
            seen.get(at_seen..).unwrap_or_default(),
            sent.get(at_sent..).unwrap_or_default(),
        );
        at_seen += same;
        at_sent += same;
    }
    Comparison {
        departures,
        fresh: at_sent,
    }
}

/// The nearest place where both rests hold the same message: how many were skipped in each.
fn meet_again(seen: &[Mark], sent: &[Mark]) -> Option<(usize, usize)> {
    let mut first = HashMap::new();
    for (index, mark) in seen.iter().take(RESYNC_WINDOW).enumerate() {
        first.entry(*mark).or_insert(index);
    }
    let mut best: Option<(usize, usize)> = None;
    for (instead, mark) in sent.iter().take(RESYNC_WINDOW).enumerate() {
        if best.is_some_and(|(skipped, taken)| skipped + taken <= instead) {
            break;
        }
        if let Some(&skipped) = first.get(mark)
            && best.is_none_or(|(s, t)| skipped + instead < s + t)
        {
            best = Some((skipped, instead));
        }
    }
    best
}

/// Nothing of the seen rest comes again. When the request holds, in the same places, messages of
/// the same parts, they were edited; when it holds fewer or others, the seen ones were dropped and
/// what the request holds is new. Returns how many of the sent stand for the seen.
fn rest(seen: &[Mark], sent: &[Mark]) -> (Change, usize) {
    let same_parts =
        sent.len() >= seen.len() && seen.iter().zip(sent).all(|(a, b)| a.part() == b.part());
    if same_parts {
        (Change::Edited, seen.len())
    } else {
        (Change::Dropped, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `s`ystem, `u`ser, `a`nswer, `t`ool result, and a number.
    fn marks(text: &str) -> Vec<Mark> {
        text.split_whitespace()
            .map(|word| {
                let part = match word.as_bytes()[0] {
                    b's' => Part::System,
                    b'u' => Part::Input,
                    b'a' => Part::Answer,
                    _ => Part::ToolResult,
                };
                let number: u128 = word.get(1..).unwrap().parse().unwrap();
                Mark((number << 8) | part.bits())
            })
            .collect()
    }

    fn check(seen: &str, sent: &str, expected: &str) {
        let found = compare(&marks(seen), &marks(sent));
        let mut text: Vec<String> = found
            .departures
            .iter()
            .map(|d| format!("{}@{}", d.change.as_str(), d.at))
            .collect();
        text.push(format!("fresh@{}", found.fresh));
        assert_eq!(text.join(" "), expected, "seen {seen} | sent {sent}");
    }

    #[test]
    fn departures_are_named_where_they_are() {
        check("s1 u1 a1", "s1 u1 a1 u2", "fresh@3");
        check("s1 u1 a1", "s1 u1 a9 u2", "edited@2 fresh@3");
        check("s1 u1 a1 u2 a2", "s1 u9 a1 u2 a2 u3", "edited@1 fresh@5");
        check("s1 u1 a1 u2 a2", "s1 u1 u2 a2 u3", "dropped@2 fresh@4");
        check("s1 u1 a1 u2 a2", "u1 a1 u2 a2 u3", "dropped@0 fresh@4");
        check("s1 u1 a1 u2 a2", "s1 u1 a1 u3", "dropped@3 fresh@3");
        check(
            "s1 u1 a1 t1 a2",
            "s1 u1 a1 u8 t1 a2 u2",
            "inserted@3 fresh@6",
        );
        check("s1 u1 a1 t1 a2", "s1 u7", "dropped@1 fresh@1");
        check("s1 u1 a1 t1 a2 u2 a3", "s1 u7 a3 u3", "edited@1 fresh@3");
        check(
            "s1 u1 a1 u2 a2 u3 a3",
            "s1 u1 a9 u2 u3 a3 u4",
            "edited@2 dropped@4 fresh@6",
        );
        check("u1 a1 u2 a2", "u1 a1", "dropped@2 fresh@2");
        check("", "u1", "fresh@0");
    }

    proptest! {
        #[test]
        fn comparing_never_fails_and_never_blames_a_continuation(
            seen in prop::collection::vec(0u128..12, 0..40),
            more in prop::collection::vec(0u128..12, 0..10),
            sent in prop::collection::vec(0u128..12, 0..40),
        ) {
            let seen: Vec<Mark> = seen.into_iter().map(Mark).collect();
            let sent: Vec<Mark> = sent.into_iter().map(Mark).collect();
            let found = compare(&seen, &sent);
            prop_assert!(found.fresh <= sent.len());
            prop_assert!(found.departures.len() <= MAX_DEPARTURES);
            prop_assert!(found.departures.iter().all(|d| d.at <= sent.len()));
            prop_assert_eq!(found.departures.is_empty(), sent.starts_with(&seen));
            let continued: Vec<Mark> = seen.iter().copied().chain(more.into_iter().map(Mark)).collect();
            let found = compare(&seen, &continued);
            prop_assert!(found.departures.is_empty());
            prop_assert_eq!(found.fresh, seen.len());
        }
    }
}
