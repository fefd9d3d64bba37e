//! From an upstream's kind, a method and a path to what is asked of it.

use crate::text;

/// What an upstream is configured to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UpstreamApi {
    /// Anthropic's API and its compatibles.
    Anthropic,
    /// OpenAI's API and its many compatibles.
    OpenAi,
    /// Google's Gemini API and Vertex AI.
    Gemini,
    /// Anything. Model calls are still recognised where the path leaves no doubt.
    Raw,
}

impl UpstreamApi {
    /// Every value, in the order of the configuration's documentation.
    pub const ALL: &'static [Self] = &[Self::Anthropic, Self::OpenAi, Self::Gemini, Self::Raw];

    /// The spelling in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::OpenAi => "openai",
            Self::Gemini => "gemini",
            Self::Raw => "raw",
        }
    }
}

impl std::fmt::Display for UpstreamApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for UpstreamApi {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL
            .iter()
            .copied()
            .find(|api| api.as_str() == text)
            .ok_or(())
    }
}

/// A wire format of model calls that the readers know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Api {
    /// Anthropic Messages, also on Vertex (`:rawPredict`) and Bedrock (`/invoke`).
    AnthropicMessages,
    /// OpenAI Chat Completions.
    OpenAiChat,
    /// OpenAI Responses.
    OpenAiResponses,
    /// Gemini `generateContent` and `streamGenerateContent`.
    GeminiGenerate,
    /// Amazon Bedrock `Converse` and `ConverseStream`.
    BedrockConverse,
}

impl Api {
    /// Every value.
    pub const ALL: &'static [Self] = &[
        Self::AnthropicMessages,
        Self::OpenAiChat,
        Self::OpenAiResponses,
        Self::GeminiGenerate,
        Self::BedrockConverse,
    ];

    /// The spelling in `gen_ai.api` of an event.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AnthropicMessages => "anthropic.messages",
            Self::OpenAiChat => "openai.chat",
            Self::OpenAiResponses => "openai.responses",
            Self::GeminiGenerate => "gemini.generate",
            Self::BedrockConverse => "bedrock.converse",
        }
    }

    /// The format that [`Self::as_str`] calls so.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|api| api.as_str() == name)
    }

    /// `gen_ai.operation.name` of OpenTelemetry for a call of this format.
    #[must_use]
    pub const fn operation(self) -> &'static str {
        match self {
            Self::GeminiGenerate => "generate_content",
            _ => "chat",
        }
    }
}

impl std::fmt::Display for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// A request that makes a model work, in a format the readers know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelCall {
    /// The wire format of request and answer.
    pub api: Api,
    /// The model, where the path names it.
    pub model: Option<String>,
    /// Whether the answer streams, where the path decides it.
    pub stream: Option<bool>,
}

impl From<Api> for ModelCall {
    fn from(api: Api) -> Self {
        Self {
            api,
            model: None,
            stream: None,
        }
    }
}

/// What a request asks of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Inference in a known format: [`crate::read_request`] and [`crate::ResponseReader`] understand it.
    Model(ModelCall),
    /// Fetches or stops an answer that was asked for elsewhere. Its request has no body to read; its answer is read as one of this format.
    Retrieve(Api),
    /// Anything else, by name: `count_tokens`, `models`, `files`, `batches`, `embeddings`, ..., `other`.
    Other(&'static str),
}

/// Reads what a request asks for from its method and its path (with or without a query, a host's prefix, a doubled or missing `/v1`).
///
/// A path that only one API has is recognised on every upstream; a shorter form (`/messages`, `/responses`) only where `api` says so.
#[must_use]
pub fn classify(api: UpstreamApi, method: &str, path: &str) -> Operation {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let segments: Vec<String> = path
        .split('/')
        .filter(|s| !s.is_empty())
        .take(64)
        .map(text::percent_decoded)
        .collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let method = Method::of(method);
    google(method, &segments)
        .or_else(|| bedrock(method, &segments))
        .or_else(|| anthropic(api, method, &segments))
        .or_else(|| openai(api, method, &segments))
        .unwrap_or_else(|| Operation::Other(other(&segments)))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Get,
    Post,
    Other,
}

impl Method {
    const fn of(method: &str) -> Self {
        if method.eq_ignore_ascii_case("POST") {
            Self::Post
        } else if method.eq_ignore_ascii_case("GET") {
            Self::Get
        } else {
            Self::Other
        }
    }
}

fn model(api: Api, model: Option<&str>, stream: Option<bool>) -> Operation {
    Operation::Model(ModelCall {
        api,
        model: model.map(text::name),
        stream,
    })
}

/// `models/{model}:{verb}`, the last segment of Gemini and Vertex paths.
fn google(method: Method, segments: &[&str]) -> Option<Operation> {
    let (&last, before) = segments.split_last()?;
    let (name, verb) = last.rsplit_once(':')?;
    let publisher = match before {
        [.., "publishers", publisher, "models"] => *publisher,
        _ => "google",
    };
    let post = method == Method::Post;
    Some(match verb {
        "generateContent" if post => model(Api::GeminiGenerate, Some(name), Some(false)),
        "streamGenerateContent" if post => model(Api::GeminiGenerate, Some(name), Some(true)),
        "rawPredict" | "streamRawPredict" if name == "count-tokens" => {
            Operation::Other("count_tokens")
        }
        "rawPredict" | "streamRawPredict" if post => {
            let api = if publisher == "anthropic" {
                Api::AnthropicMessages
            } else {
                Api::OpenAiChat
            };
            // The body of either decides: `streamRawPredict` also takes `"stream": false`.
            model(api, Some(name), None)
        }
        "countTokens" => Operation::Other("count_tokens"),
        "embedContent" | "batchEmbedContents" | "asyncBatchEmbedContent" => {
            Operation::Other("embeddings")
        }
        "batchGenerateContent" => Operation::Other("batches"),
        "predict" | "predictLongRunning" => Operation::Other("predict"),
        _ => return None,
    })
}

/// `/model/{model}/{verb}` of the Bedrock runtime.
fn bedrock(method: Method, segments: &[&str]) -> Option<Operation> {
    let [.., "model", name, verb] = segments else {
        return None;
    };
    if method != Method::Post {
        return None;
    }
    let invoke = |stream| {
        if name.contains("anthropic.") {
            model(Api::AnthropicMessages, Some(name), Some(stream))
        } else if name.contains("openai.") {
            model(Api::OpenAiChat, Some(name), Some(stream))
        } else {
            Operation::Other("invoke")
        }
    };
    Some(match *verb {
        "converse" => model(Api::BedrockConverse, Some(name), Some(false)),
        "converse-stream" => model(Api::BedrockConverse, Some(name), Some(true)),
        "invoke" => invoke(false),
        "invoke-with-response-stream" => invoke(true),
        "count-tokens" => Operation::Other("count_tokens"),
        _ => return None,
    })
}

fn anthropic(api: UpstreamApi, method: Method, segments: &[&str]) -> Option<Operation> {
    match segments {
        [.., "messages", "count_tokens"] => Some(Operation::Other("count_tokens")),
        [.., "messages", "batches"]
        | [.., "messages", "batches", _]
        | [.., "messages", "batches", _, _] => Some(Operation::Other("batches")),
        [before @ .., "messages"] if method == Method::Post => {
            let plain =
                matches!(before, [] | [.., "anthropic" | "api"]) && api == UpstreamApi::Anthropic;
            let versioned = matches!(before, [.., "v1"]);
            (plain || versioned).then(|| model(Api::AnthropicMessages, None, None))
        }
        _ => None,
    }
}

fn openai(api: UpstreamApi, method: Method, segments: &[&str]) -> Option<Operation> {
    let certain = |before: &[&str]| {
        api == UpstreamApi::OpenAi
            || matches!(before, [.., "v1" | "openai"] | [.., "deployments", _])
    };
    let deployment = |before: &[&str]| match before {
        [.., "deployments", name] => Some(text::name(name)),
        _ => None,
    };
    let call = |api, before: &[&str]| {
        Operation::Model(ModelCall {
            api,
            model: deployment(before),
            stream: None,
        })
    };
    match segments {
        [before @ .., "chat", "completions"] if method == Method::Post => {
            Some(call(Api::OpenAiChat, before))
        }
        [.., "chat", "completions", _] if method == Method::Get => {
            Some(Operation::Retrieve(Api::OpenAiChat))
        }
        [.., "chat", "completions"]
        | [.., "chat", "completions", _]
        | [.., "chat", "completions", _, _] => Some(Operation::Other("chat.completions.stored")),
        [before @ .., "responses"] if method == Method::Post && certain(before) => {
            Some(call(Api::OpenAiResponses, before))
        }
        [before @ .., "responses", "compact"] if method == Method::Post && certain(before) => {
            Some(call(Api::OpenAiResponses, before))
        }
        [before @ .., "responses", "input_tokens"] if certain(before) => {
            Some(Operation::Other("count_tokens"))
        }
        [before @ .., "responses", _] if method == Method::Get && certain(before) => {
            Some(Operation::Retrieve(Api::OpenAiResponses))
        }
        [before @ .., "responses", _, "cancel"] if method == Method::Post && certain(before) => {
            Some(Operation::Retrieve(Api::OpenAiResponses))
        }
        [before @ .., "responses"]
        | [before @ .., "responses", _]
        | [before @ .., "responses", _, _]
            if certain(before) =>
        {
            Some(Operation::Other("responses.other"))
        }
        _ => None,
    }
}

/// Operations whose name a segment gives away. The first segment from the left that is in the table decides, so that
/// `/v1/files/x/content` is `files`.
const NAMED: &[(&str, &str)] = &[
    ("embeddings", "embeddings"),
    ("completions", "completions"),
    ("complete", "completions"),
    ("moderations", "moderations"),
    ("images", "images"),
    ("audio", "audio"),
    ("videos", "videos"),
    ("realtime", "realtime"),
    ("files", "files"),
    ("uploads", "files"),
    ("upload", "files"),
    ("batches", "batches"),
    ("batch", "batches"),
    ("conversations", "conversations"),
    ("interactions", "interactions"),
    ("threads", "assistants"),
    ("assistants", "assistants"),
    ("vector_stores", "vector_stores"),
    ("fileSearchStores", "vector_stores"),
    ("cachedContents", "caches"),
    ("containers", "containers"),
    ("fine_tuning", "fine_tuning"),
    ("tunedModels", "fine_tuning"),
    ("evals", "evals"),
    ("rerank", "rerank"),
    ("sessions", "sessions"),
    ("agents", "agents"),
    ("environments", "environments"),
    ("skills", "skills"),
    ("organizations", "organization"),
    ("organization", "organization"),
    ("token", "token"),
    ("hello", "hello"),
    ("models", "models"),
];

fn other(segments: &[&str]) -> &'static str {
    segments
        .iter()
        .find_map(|segment| {
            NAMED
                .iter()
                .find(|(name, _)| name == segment)
                .map(|(_, operation)| *operation)
        })
        .unwrap_or("other")
}

#[cfg(test)]
#[path = "operation_tests.rs"]
mod tests;
