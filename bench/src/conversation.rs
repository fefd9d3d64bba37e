//! A conversation of a hundred turns whose whole context is sent again at each: the text that recorders
//! were compared with before, made again to the letter.

use crate::mersenne::Mersenne;
use crate::replay::{Call, To};
use crate::{text, wire};
use serde::Serialize;
use std::collections::HashSet;

#[derive(Debug, Clone, Serialize)]
struct Message {
    role: &'static str,
    content: String,
}

#[derive(Debug, Serialize)]
struct Request<'a> {
    model: &'static str,
    messages: &'a [Message],
    temperature: u8,
}

/// The conversation as calls, and the bytes of its distinct messages.
#[derive(Debug)]
pub(crate) struct Conversation {
    pub(crate) calls: Vec<Call>,
    pub(crate) unique_bytes: u64,
}

pub(crate) fn new(turns: usize) -> Conversation {
    let mut random = Mersenne::new(7);
    let mut messages = vec![Message {
        role: "system",
        content: content(&mut random, 3000),
    }];
    let mut seen = HashSet::new();
    let mut conversation = Conversation {
        calls: Vec::new(),
        unique_bytes: 0,
    };
    for turn in 0..turns {
        let role = if turn % 3 == 0 { "user" } else { "tool" };
        let content = |random: &mut Mersenne, bytes| self::content(random, bytes);
        messages.push(Message {
            role,
            content: content(&mut random, 1200),
        });
        let request = Request {
            model: "gpt-x",
            messages: &messages,
            temperature: 0,
        };
        let body = serde_json::to_vec(&request).unwrap_or_default();
        let answer = Message {
            role: "assistant",
            content: content(&mut random, 800),
        };
        conversation.calls.push(Call {
            to: To::Model,
            body,
            answer: wire::chat_answer(turn as u64, &serde_json::json!(answer)),
        });
        messages.push(answer);
        for message in messages.iter().rev().take(3) {
            if seen.insert(message.content.clone()) {
                conversation.unique_bytes += message.content.len() as u64;
            }
        }
    }
    conversation
}

fn content(random: &mut Mersenne, bytes: usize) -> String {
    let words = text::vocabulary();
    let count = u32::try_from(words.len()).unwrap_or(1);
    let mut parts: Vec<String> = Vec::new();
    let mut size = 0;
    while size < bytes {
        let picked = random.below(count) as usize;
        let mut word = words.get(picked).copied().unwrap_or_default().to_owned();
        if random.random() < 0.15 {
            word.push_str(&random.below(10_000).to_string());
        }
        size += word.len() + 1;
        parts.push(word);
    }
    let mut text = parts.join(" ");
    text.truncate(bytes);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_conversation_is_the_one_that_others_were_measured_with() {
        let conversation = new(100);
        assert_eq!(conversation.calls.len(), 100);
        assert_eq!(conversation.unique_bytes, 202_970);
    }
}
