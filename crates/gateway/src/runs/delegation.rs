//! Tool calls that models asked for a short while ago: what they said, so that the work they
//! started can be joined to them.
//!
//! Two joins rest on it: a new run whose first user text repeats an argument was delegated by the
//! call (a sub-agent), and an MCP `tools/call` with the same arguments is the call being carried out.

use protocol::ToolCallView;
use serde_json::Value;
use std::collections::{VecDeque, hash_map::RandomState};
use std::hash::{BuildHasher as _, Hasher};

/// Tool calls that are remembered.
const MAX_CALLS: usize = 512;
/// String leaves remembered of one call.
const MAX_LEAVES: usize = 16;
/// Bytes remembered of one leaf. A longer leaf counts as repeated when its first bytes are.
const LEAF_BYTES: usize = 256;
/// Shortest leaf that counts when the text merely contains it, in bytes.
const CONTAINED_BYTES: usize = 32;
/// Shortest leaf that counts at all.
const EQUAL_BYTES: usize = 8;
/// Longest arguments that are read.
const ARGUMENT_BYTES: usize = 256 * 1024;

/// The memory of recent tool calls. Bounded; the oldest goes first.
#[derive(Debug, Default)]
pub(super) struct RecentCalls {
    calls: VecDeque<Call>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Call {
    run: u64,
    agent: String,
    name: String,
    arguments: u64,
    leaves: Vec<String>,
}

impl RecentCalls {
    /// Remembers a call that `run` of `agent` asked for.
    pub(super) fn remember(&mut self, run: u64, agent: &str, call: &ToolCallView) {
        // What the agent only approves of, and what came with but a part of its arguments, it is not seen to carry out.
        let question = call.kind == "mcp_approval_request";
        let whole = call.arguments.len() as u64 == call.arguments_bytes;
        if call.provider_executed || question || !whole || call.arguments.len() > ARGUMENT_BYTES {
            return;
        }
        let Some(arguments) = parse(&call.arguments) else {
            return;
        };
        let mut leaves = Vec::new();
        collect_leaves(&arguments, &mut leaves);
        if self.calls.len() == MAX_CALLS {
            self.calls.pop_front();
        }
        self.calls.push_back(Call {
            run,
            agent: agent.to_owned(),
            name: call.name.clone(),
            arguments: self.digest(&arguments),
            leaves,
        });
    }

    /// The run, other than `not`, that asked for something `text` repeats. The newest call wins.
    pub(super) fn delegator(&self, text: &str, not: u64) -> Option<u64> {
        let text = text.trim();
        if text.len() < EQUAL_BYTES {
            return None;
        }
        self.calls
            .iter()
            .rev()
            .filter(|call| call.run != not)
            .find(|call| call.leaves.iter().any(|leaf| repeats(text, leaf)))
            .map(|call| call.run)
    }

    /// The run of `agent` whose model asked for the tool call that is being carried out. An
    /// agent's name for a tool ends with the server's (`mcp__crm__lookup`).
    pub(super) fn caller(&self, agent: &str, name: &str, arguments: &str) -> Option<u64> {
        if name.is_empty() || arguments.len() > ARGUMENT_BYTES {
            return None;
        }
        let digest = self.digest(&parse(arguments)?);
        self.calls
            .iter()
            .rev()
            .find(|c| c.arguments == digest && c.agent == agent && c.name.ends_with(name))
            .map(|call| call.run)
    }

    /// Forgets the calls of a run that is no longer known.
    pub(super) fn forget(&mut self, run: u64) {
        self.calls.retain(|call| call.run != run);
    }

    /// A digest that does not depend on spacing or the order of keys.
    fn digest(&self, value: &Value) -> u64 {
        let mut state = self.hasher.build_hasher();
        feed(value, &mut state, &self.hasher);
        state.finish()
    }
}

/// Arguments as JSON; no arguments at all are the empty object.
fn parse(arguments: &str) -> Option<Value> {
    if arguments.trim().is_empty() {
        return Some(Value::Object(serde_json::Map::new()));
    }
    serde_json::from_str(arguments).ok()
}

fn repeats(text: &str, leaf: &str) -> bool {
    text == leaf || (leaf.len() >= CONTAINED_BYTES && text.contains(leaf))
}

fn collect_leaves(value: &Value, leaves: &mut Vec<String>) {
    if leaves.len() >= MAX_LEAVES {
        return;
    }
    match value {
        Value::String(text) => {
            let text = text.trim();
            if text.len() >= EQUAL_BYTES {
                leaves.push(cut(text).to_owned());
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_leaves(item, leaves)),
        Value::Object(map) => map.values().for_each(|item| collect_leaves(item, leaves)),
        _ => {}
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LEAF_BYTES))
        .unwrap_or(text)
}

// serde_json bounds the nesting it parses, so the recursion is bounded too.
fn feed(value: &Value, state: &mut impl Hasher, hasher: &RandomState) {
    match value {
        Value::Null => state.write_u8(0),
        Value::Bool(value) => state.write_u8(1 + u8::from(*value)),
        Value::Number(number) => {
            state.write_u8(3);
            state.write(number.to_string().as_bytes());
        }
        Value::String(text) => {
            state.write_u8(4);
            state.write_usize(text.len());
            state.write(text.as_bytes());
        }
        Value::Array(items) => {
            state.write_u8(5);
            state.write_usize(items.len());
            items.iter().for_each(|item| feed(item, state, hasher));
        }
        Value::Object(map) => {
            state.write_u8(6);
            // Entries are summed up, so that their order does not matter.
            let sum = map.iter().fold(0u64, |sum, (key, item)| {
                let mut entry = hasher.build_hasher();
                entry.write(key.as_bytes());
                entry.write_u8(0xff);
                feed(item, &mut entry, hasher);
                sum.wrapping_add(entry.finish())
            });
            state.write_usize(map.len());
            state.write_u64(sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, arguments: &str) -> ToolCallView {
        ToolCallView {
            name: name.into(),
            id: None,
            arguments: arguments.into(),
            arguments_bytes: arguments.len() as u64,
            complete: true,
            provider_executed: false,
            kind: "tool_use".into(),
            choice: 0,
        }
    }

    #[test]
    fn a_repeated_argument_names_the_delegator() {
        let mut recent = RecentCalls::default();
        let task = "Find every invoice of March that was paid twice";
        recent.remember(
            1,
            "a",
            &call("Task", &format!(r#"{{"kind":"x","prompt":"{task}"}}"#)),
        );
        recent.remember(2, "a", &call("Task", r#"{"prompt":"short one"}"#));
        for (text, expected) in [
            (task.to_owned(), Some(1)),
            (format!("  {task}\n"), Some(1)),
            (format!("You are a helper. {task}. Report back."), Some(1)),
            ("short one".into(), Some(2)),
            ("a short one here".into(), None),
            ("x".into(), None),
            (String::new(), None),
        ] {
            assert_eq!(recent.delegator(&text, 9), expected, "{text}");
        }
        assert_eq!(
            recent.delegator(task, 1),
            None,
            "a run does not delegate to itself"
        );
    }

    #[test]
    fn a_long_task_is_recognised_by_its_first_bytes() {
        let mut recent = RecentCalls::default();
        let task = "word ".repeat(400);
        recent.remember(1, "a", &call("Task", &format!(r#"{{"prompt":"{task}"}}"#)));
        let excerpt = task.get(..protocol::limits::EXCERPT_BYTES).unwrap();
        assert_eq!(recent.delegator(excerpt, 9), Some(1));
    }

    #[test]
    fn only_calls_that_the_agent_carries_out_are_remembered() {
        let asked = call("lookup", "{}");
        let table = [
            (asked.clone(), Some(1)),
            (
                ToolCallView {
                    provider_executed: true,
                    ..asked.clone()
                },
                None,
            ),
            (
                ToolCallView {
                    kind: "mcp_approval_request".into(),
                    ..asked.clone()
                },
                None,
            ),
            (
                ToolCallView {
                    arguments: String::new(),
                    arguments_bytes: 20,
                    ..asked
                },
                None,
            ),
        ];
        for (call, expected) in table {
            let mut recent = RecentCalls::default();
            recent.remember(1, "a", &call);
            assert_eq!(recent.caller("a", "lookup", "{}"), expected, "{call:?}");
        }
    }

    #[test]
    fn a_call_is_found_by_name_and_arguments_whatever_their_spelling() {
        let mut recent = RecentCalls::default();
        recent.remember(
            1,
            "a",
            &call("mcp__crm__lookup", r#"{"id": 7, "deep": {"x": [1, "1"]}}"#),
        );
        recent.remember(2, "a", &call("ping", ""));
        assert_eq!(
            recent.caller("a", "lookup", r#"{"deep":{"x":[1,"1"]},"id":7}"#),
            Some(1)
        );
        assert_eq!(recent.caller("a", "ping", "{}"), Some(2));
        assert_eq!(
            recent.caller("b", "lookup", r#"{"deep":{"x":[1,"1"]},"id":7}"#),
            None
        );
        assert_eq!(
            recent.caller("a", "lookup", r#"{"deep":{"x":["1",1]},"id":7}"#),
            None
        );
        assert_eq!(
            recent.caller("a", "delete", r#"{"deep":{"x":[1,"1"]},"id":7}"#),
            None
        );
        assert_eq!(recent.caller("a", "lookup", "not json"), None);
        recent.forget(1);
        assert_eq!(
            recent.caller("a", "lookup", r#"{"deep":{"x":[1,"1"]},"id":7}"#),
            None
        );
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut recent = RecentCalls::default();
        for run in 0..2 * MAX_CALLS as u64 {
            recent.remember(run, "a", &call("t", &format!(r#"{{"n":{run}}}"#)));
        }
        assert_eq!(recent.calls.len(), MAX_CALLS);
        assert_eq!(recent.caller("a", "t", r#"{"n":0}"#), None);
    }
}
