use super::*;

fn named(operation: &Operation) -> String {
    match operation {
        Operation::Model(call) => {
            let model = call.model.as_deref().unwrap_or("-");
            let stream = call
                .stream
                .map_or("body", |stream| if stream { "stream" } else { "whole" });
            format!("{} {model} {stream}", call.api)
        }
        Operation::Retrieve(api) => format!("retrieve {api}"),
        Operation::Other(name) => format!("other {name}"),
    }
}

#[test]
fn every_spelling_of_a_model_call_is_recognised() {
    use UpstreamApi::{Anthropic, Gemini, OpenAi, Raw};
    let table = [
        (
            Anthropic,
            "POST",
            "/v1/messages",
            "anthropic.messages - body",
        ),
        (
            Anthropic,
            "POST",
            "/v1/messages?beta=true",
            "anthropic.messages - body",
        ),
        (Anthropic, "POST", "/messages/", "anthropic.messages - body"),
        (
            Anthropic,
            "POST",
            "/v1/v1/messages",
            "anthropic.messages - body",
        ),
        (
            Anthropic,
            "post",
            "//v1//messages",
            "anthropic.messages - body",
        ),
        (Raw, "POST", "/v1/messages", "anthropic.messages - body"),
        (Raw, "POST", "/messages", "other other"),
        (
            OpenAi,
            "POST",
            "/v1/threads/thread_1/messages",
            "other assistants",
        ),
        (Anthropic, "GET", "/v1/messages", "other other"),
        (
            Anthropic,
            "POST",
            "/v1/messages/count_tokens?beta=true",
            "other count_tokens",
        ),
        (
            Anthropic,
            "GET",
            "/v1/messages/batches/b_1/results",
            "other batches",
        ),
        (
            Anthropic,
            "POST",
            "/v1/sessions/s/messages",
            "other sessions",
        ),
        (Anthropic, "HEAD", "/api/hello", "other hello"),
        (OpenAi, "POST", "/v1/chat/completions", "openai.chat - body"),
        (OpenAi, "POST", "/chat/completions", "openai.chat - body"),
        (
            OpenAi,
            "POST",
            "/api/v1/chat/completions",
            "openai.chat - body",
        ),
        (
            OpenAi,
            "POST",
            "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21",
            "openai.chat gpt-4o body",
        ),
        (
            Gemini,
            "POST",
            "/v1beta/openai/chat/completions",
            "openai.chat - body",
        ),
        (
            OpenAi,
            "GET",
            "/v1/chat/completions/chatcmpl-1",
            "retrieve openai.chat",
        ),
        (OpenAi, "POST", "/v1/responses", "openai.responses - body"),
        (OpenAi, "POST", "/responses", "openai.responses - body"),
        (
            OpenAi,
            "POST",
            "/openai/v1/responses",
            "openai.responses - body",
        ),
        (
            OpenAi,
            "POST",
            "/v1/responses/compact",
            "openai.responses - body",
        ),
        (
            OpenAi,
            "POST",
            "/v1/responses/input_tokens",
            "other count_tokens",
        ),
        (
            OpenAi,
            "GET",
            "/v1/responses/resp_1?stream=true&starting_after=3",
            "retrieve openai.responses",
        ),
        (
            OpenAi,
            "POST",
            "/v1/responses/resp_1/cancel",
            "retrieve openai.responses",
        ),
        (
            OpenAi,
            "DELETE",
            "/v1/responses/resp_1",
            "other responses.other",
        ),
        (Raw, "POST", "/responses", "other other"),
        (OpenAi, "POST", "/v1/completions", "other completions"),
        (OpenAi, "POST", "/v1/embeddings", "other embeddings"),
        (OpenAi, "GET", "/v1/models", "other models"),
        (OpenAi, "GET", "/v1/files/f_1/content", "other files"),
        (
            Gemini,
            "POST",
            "/v1beta/models/gemini-2.5-flash:generateContent",
            "gemini.generate gemini-2.5-flash whole",
        ),
        (
            Gemini,
            "POST",
            "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
            "gemini.generate gemini-2.5-flash stream",
        ),
        (
            Gemini,
            "POST",
            "/v1beta/models/g%3AgenerateContent",
            "gemini.generate g whole",
        ),
        (
            Gemini,
            "POST",
            "/v1beta/models/g:countTokens",
            "other count_tokens",
        ),
        (Gemini, "POST", "/v1beta/interactions", "other interactions"),
        (
            Gemini,
            "POST",
            "/v1/projects/p/locations/l/publishers/anthropic/models/claude@1:streamRawPredict",
            "anthropic.messages claude@1 body",
        ),
        (
            Gemini,
            "POST",
            "/v1/projects/p/locations/l/publishers/anthropic/models/count-tokens:rawPredict",
            "other count_tokens",
        ),
        (
            Gemini,
            "POST",
            "/v1/projects/p/locations/l/publishers/mistralai/models/m:rawPredict",
            "openai.chat m body",
        ),
        (
            Raw,
            "POST",
            "/model/us.amazon.nova-micro-v1%3A0/converse",
            "bedrock.converse us.amazon.nova-micro-v1:0 whole",
        ),
        (
            Raw,
            "POST",
            "/model/m/converse-stream",
            "bedrock.converse m stream",
        ),
        (
            Anthropic,
            "POST",
            "/model/eu.anthropic.claude-v1:0/invoke-with-response-stream",
            "anthropic.messages eu.anthropic.claude-v1:0 stream",
        ),
        (Raw, "POST", "/model/amazon.titan/invoke", "other invoke"),
        (Raw, "GET", "", "other other"),
        (Raw, "GET", "/%zz/%", "other other"),
    ];
    for (api, method, path, want) in table {
        assert_eq!(
            named(&classify(api, method, path)),
            want,
            "{api} {method} {path}"
        );
    }
}

#[test]
fn the_configuration_spells_every_upstream_api() {
    for api in UpstreamApi::ALL {
        assert_eq!(api.as_str().parse(), Ok(*api));
    }
    assert_eq!("claude".parse::<UpstreamApi>(), Err(()));
}
