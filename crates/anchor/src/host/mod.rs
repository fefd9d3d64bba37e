//! A witness that anybody can run on another machine: C2SP tlog-witness, for the logs that it is told of.
//!
//! It remembers the largest tree of each log, cosigns what continues it, and refuses everything else. What it has
//! cosigned is durable before anybody learns of it; two requests at a time are two requests in a row. It serves the
//! newest checkpoint of each log to whoever asks. When a write fails, nobody knows what the disk holds: it says nothing
//! any more and ends, and begins again from what lies there.
//!
//! Beyond the specification it takes `POST /add-key-epoch`: a note by which a key of a log hands over to the next one,
//! signed by both. A log that renews its key every day would be one its witness knows for a day.

mod epochs;
#[cfg(test)]
mod faults;
mod memory;
mod serve;

pub use memory::{Host, Options};
