//! Recorded answers, found again by a key that the request carries.

use crate::reply::Reply;
use crate::wire::Request;
use std::collections::HashMap;

/// The request header that names the recorded answer.
pub const REPLAY_HEADER: &str = "x-replay-id";

/// Answers by key. The key is the [`REPLAY_HEADER`]'s value or, where a client cannot set headers,
/// the path's first segment.
#[derive(Debug, Default)]
pub struct Book(HashMap<String, Reply>);

impl Book {
    /// Files `reply` under `key`; the last one filed under a key counts.
    pub fn insert(&mut self, key: impl Into<String>, reply: Reply) {
        self.0.insert(key.into(), reply);
    }

    /// How many answers are on file.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no answer is on file.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The recorded answer, or a 404 that says which key was missing.
    #[must_use]
    pub fn answer(&self, request: &Request) -> Reply {
        let by_path = request.route().split('/').nth(1);
        let key = request
            .header(REPLAY_HEADER)
            .or(by_path)
            .unwrap_or_default();
        self.0.get(key).cloned().unwrap_or_else(|| {
            Reply::json(404, &serde_json::json!({ "error": { "message": format!("nothing on file under {key:?}") } }))
        })
    }
}
