//! OpenAI Responses.

mod answer;
mod item;
mod request;
mod session;

pub(crate) use answer::Reader;
use request::input;
pub(crate) use request::read;
pub use session::{Said, SessionReader};
