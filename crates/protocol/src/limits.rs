//! The bounds of every reader. What crosses one is counted or named in the view, never an error to the caller.

/// Longest text of a view that is destined for an event: model names, tool names, ids. Bytes, cut at a character boundary.
pub const NAME_BYTES: usize = 256;

/// First bytes of a message's or an answer's text that a view keeps.
pub const EXCERPT_BYTES: usize = 512;

/// Longest arguments text that a tool call view keeps whole; the digest and the length cover all of it.
pub const ARGUMENT_BYTES: usize = 1024 * 1024;

/// Longest server-sent event, and longest JSON body that is held for reading. Both are configurable on their readers.
pub const DOCUMENT_BYTES: usize = 16 * 1024 * 1024;

/// Longest decoded size of a compressed body that is followed.
pub const DECODED_BYTES: u64 = 256 * 1024 * 1024;

/// Messages of one request that get a view; all are counted.
pub const MESSAGES: usize = 16 * 1024;

/// Tool calls, tool results, choices, content blocks or messages of a batch that get a view; all are counted.
pub const ENTRIES: usize = 4096;

/// Bytes of tool arguments, text and the like that one response may hold open at a time, all its calls together.
pub const OPEN_BYTES: usize = 16 * 1024 * 1024;

/// Depth of nesting that is followed for a canonical form. Deeper values are digested as they stand on the wire.
pub const DEPTH: usize = 96;
