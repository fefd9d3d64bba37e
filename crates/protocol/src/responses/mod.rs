//! OpenAI Responses.

mod answer;
mod item;
mod request;

pub(crate) use answer::Reader;
pub(crate) use request::read;
