//! What the world outside this machine knows of the log.
//!
//! Whoever holds a machine and its keys can write another history on it; what cannot be rewritten is what was said
//! elsewhere. This crate says the log's published checkpoints elsewhere: to time-stamp authorities (RFC 3161), to
//! witnesses (C2SP tlog-witness), to a second place ([`Keeper`]). It asks there, before a recorder goes on with a log,
//! whether the log is still what it was ([`check`]). And it is the other side too: [`host`] is a witness that anybody
//! can run on another machine.
//!
//! Promises: an anchor counts once it is verified, stored durably and recorded as an event, in this order; an authority
//! or a witness that cannot be reached, refuses or lies is named, never ignored; each has at most one checkpoint waiting,
//! the newest; nothing here delays what the recorder records.
//!
//! Never signs for the log, never believes what came with an answer, follows no redirect.

mod authority;
mod backoff;
mod check;
mod client;
mod copy;
mod epochs;
mod error;
mod facts;
mod files;
mod head;
pub mod host;
mod keeper;
mod kept;
mod known;
mod offset;
mod settings;
mod standing;
mod successor;
mod witness;
mod worker;

pub use check::{Checked, Mark, Unreachable, Verdict, check};
pub use copy::lay_down_last;
pub use error::Error;
pub use keeper::{Handle, Keeper};
pub use kept::{Kept, kept};
pub use settings::{Authority, Settings, Trusted};
pub use standing::{Anchored, Failing, Kind, Quorum, Standing};
pub use successor::{Left, Succession, Successor, succession};
