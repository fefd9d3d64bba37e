//! Model requests: one body, read at once.

use crate::conversation::Conversation;
use crate::json::{Json, Kind};
use crate::operation::{Api, ModelCall};
use crate::view::RequestView;
use crate::{anthropic, chat, converse, gemini, responses};

/// Reads the decoded body of a model call ([`crate::encoding::decode`] undoes a `Content-Encoding`). Never fails: what could
/// not be read is named in [`RequestView::problem`].
#[must_use]
pub fn read_request(call: &ModelCall, body: &[u8]) -> RequestView {
    let mut conversation = Conversation::new(call);
    match Json::parse(body) {
        Ok(document) if document.kind() == Kind::Object => match call.api {
            Api::AnthropicMessages => anthropic::read(document, &mut conversation),
            Api::OpenAiChat => chat::read(document, &mut conversation),
            Api::OpenAiResponses => responses::read(document, &mut conversation),
            Api::GeminiGenerate => gemini::read(document, &mut conversation),
            Api::BedrockConverse => converse::read(document, &mut conversation),
        },
        Ok(_) => conversation.view.problem = Some("the body is not a JSON object".to_owned()),
        Err(error) => conversation.view.problem = Some(error.to_string()),
    }
    conversation.finish()
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
