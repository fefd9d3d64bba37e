"""Recorded exchanges with real model APIs: read from the archive, and counted by hand.

The counting here shares nothing with the recorder's readers: it looks at what a body says, the plain
way, and is what the record is compared with.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import tarfile
import urllib.parse

import yaml

HOP_BY_HOP = {"connection", "content-length", "transfer-encoding", "keep-alive", "te", "trailer", "upgrade",
              "proxy-authenticate", "proxy-authorization", "host", "content-encoding", "accept-encoding", "expect"}
OPENAI = ("api.openai.com", "openrouter.ai", "api.groq.com", "api.deepseek.com", "api.mistral.ai", "ollama.com",
          "bedrock-mantle", "openai.azure.com", "snowflakecomputing", "api.cerebras.ai", "heroku", "huggingface")
GOOGLE = ("generativelanguage.googleapis.com", "aiplatform.googleapis.com")


@dataclasses.dataclass
class Exchange:
    """One request and its answer, as bytes."""

    number: int
    source: str
    api: str
    method: str
    target: str
    request_headers: list[tuple[str, str]]
    request: bytes
    status: int
    response_headers: list[tuple[str, str]]
    response: bytes

    @property
    def key(self) -> str:
        return f"cassette-{self.number}"

    @property
    def path(self) -> str:
        return self.target.split("?")[0]

    def chunks(self) -> list[bytes]:
        """Event streams leave in odd pieces, everything else in one."""
        media = dict((k.lower(), v) for k, v in self.response_headers).get("content-type", "")
        if "stream" not in media or len(self.response) < 2:
            return [self.response]
        size = 97 + self.number % 400
        return [self.response[at:at + size] for at in range(0, len(self.response), size)]


def body_of(side: dict) -> bytes:
    if "parsed_body" in side:
        return json.dumps(side["parsed_body"], ensure_ascii=False).encode()
    body = side.get("body") or ""
    body = (body.get("string") or "") if isinstance(body, dict) else body
    return body.encode() if isinstance(body, str) else body


def headers_of(side: dict) -> list[tuple[str, str]]:
    pairs = []
    for name, values in (side.get("headers") or {}).items():
        for value in values if isinstance(values, list) else [values]:
            value = str(value)
            # A header of a cassette may hold what no header of a wire can.
            if name.lower() not in HOP_BY_HOP and value.isprintable() and value.isascii():
                pairs.append((name, value))
    return pairs


def api_of(host: str) -> str:
    if host == "api.anthropic.com":
        return "anthropic"
    if any(part in host for part in OPENAI):
        return "openai"
    return "gemini" if host.endswith(GOOGLE) else "raw"


def read(archive: pathlib.Path) -> tuple[list[Exchange], int]:
    """All exchanges, and in how many cassettes they were. gRPC samples become opaque posts."""
    exchanges, cassettes = [], 0
    with tarfile.open(archive) as tar:
        for member in tar:
            if not member.isfile() or not member.name.endswith(".yaml"):
                continue
            cassettes += 1
            for one in yaml.load(tar.extractfile(member), Loader=yaml.CSafeLoader)["interactions"]:
                if exchange := convert(len(exchanges), member.name, one):
                    exchanges.append(exchange)
    return exchanges, cassettes


def convert(number: int, source: str, one: dict) -> Exchange | None:
    if "request" in one:
        request, response = one["request"], one["response"]
        address = urllib.parse.urlsplit(request["uri"])
        target = urllib.parse.quote(address.path or "/", safe="/%:@!$&'()*+,;=~-._")
        target += f"?{urllib.parse.quote(address.query, safe='/%:@!$&()*+,;=~-._?')}" if address.query else ""
        return Exchange(number, source, api_of(address.netloc), request["method"].upper(), target, headers_of(request),
                        body_of(request), response["status"]["code"], headers_of(response), body_of(response))
    for sent, got in (("request_sample", "response_sample"), ("request_stream", "response_stream")):
        if sent in one:
            raw = one[got].get("raw") or b"".join(one[got].get("chunks_raw") or [])
            grpc = [("content-type", "application/grpc+proto")]
            return Exchange(number, source, "grpc", "POST", "/xai_api.Chat/GetCompletion", grpc,
                            one[sent]["raw"], 200, grpc, raw)
    return None


# --- what a body says, read the plain way

def loads(data: bytes):
    try:
        return json.loads(data)
    except ValueError:
        return None


def events(data: bytes) -> list:
    found = []
    for block in data.decode("utf-8", "replace").replace("\r\n", "\n").split("\n\n"):
        lines = [line[5:].removeprefix(" ") for line in block.split("\n") if line.startswith("data:")]
        value = loads("\n".join(lines).encode()) if lines else None
        if isinstance(value, dict):
            found.append(value)
    return found


def kind(exchange: Exchange) -> str | None:
    """The wire format of an inference endpoint."""
    path = exchange.path.rstrip("/")
    if exchange.method != "POST":
        return None
    if exchange.api == "anthropic" and path.endswith("/messages"):
        return "anthropic.messages"
    if exchange.api == "openai" and path.endswith("/chat/completions"):
        return "openai.chat"
    if exchange.api == "openai" and path.endswith("/responses"):
        return "openai.responses"
    if exchange.api == "gemini" and path.endswith((":generateContent", ":streamGenerateContent")):
        return "gemini.generate"
    return None


def as_list(value) -> list:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def turns(exchange: Exchange) -> list[tuple[bool, int]]:
    """A request's history: whether the model spoke, and how many tool results stand there."""
    body = loads(exchange.request) or {}
    match kind(exchange):
        case "anthropic.messages":
            return [(m.get("role") == "assistant", sum(b.get("type") == "tool_result" for b in as_list(m.get("content"))))
                    for m in as_list(body.get("messages"))]
        case "openai.chat":
            return [(m.get("role") == "assistant", int(m.get("role") == "tool")) for m in as_list(body.get("messages"))]
        case "openai.responses":
            outputs, model = ("function_call_output", "custom_tool_call_output"), ("function_call", "custom_tool_call", "reasoning")
            return [(i.get("role") == "assistant" or i.get("type") in model, int(i.get("type") in outputs))
                    for i in as_list(body.get("input"))]
        case "gemini.generate":
            answers = ("functionResponse", "function_response")
            return [(c.get("role") == "model", sum(any(a in p for a in answers) for p in as_list(c.get("parts"))))
                    for c in as_list(body.get("contents"))]
    return []


def tool_results(exchange: Exchange) -> int:
    """Tool results that the model has not answered yet: those behind its last word."""
    fresh = 0
    for model_spoke, results in turns(exchange):
        fresh = 0 if model_spoke else fresh + results
    return fresh


def failed_in_stream(exchange: Exchange) -> bool:
    """Whether an event stream under a good status says that it failed."""
    streamed = exchange.response.lstrip().startswith((b"event:", b"data:", b":"))
    return streamed and any(e.get("type") in ("error", "response.failed") or e.get("error") for e in events(exchange.response))


def messages(exchange: Exchange) -> list[dict]:
    """The response as whole messages: one for a body, one built from a stream's events."""
    whole = loads(exchange.response)
    if isinstance(whole, dict):
        return [whole]
    return as_list(whole) if isinstance(whole, list) else events(exchange.response)


def tool_calls(exchange: Exchange) -> list[str]:
    """Names of the tools that the model asked the agent to run."""
    parts = messages(exchange)
    match kind(exchange):
        case "anthropic.messages":
            blocks = [b for m in parts for b in as_list(m.get("content"))]
            blocks += [m["content_block"] for m in parts if m.get("type") == "content_block_start"]
            return [b["name"] for b in blocks if b.get("type") == "tool_use"]
        case "openai.chat":
            found, seen = [], set()
            for part in parts:
                for choice in as_list(part.get("choices")):
                    for call in as_list((choice.get("message") or {}).get("tool_calls")):
                        found.append((call.get("function") or call.get("custom") or {}).get("name"))
                    for call in as_list((choice.get("delta") or {}).get("tool_calls")):
                        at = (choice.get("index"), call.get("index", 0))
                        name = (call.get("function") or {}).get("name")
                        if at not in seen and name:
                            seen.add(at)
                            found.append(name)
            return found
        case "openai.responses":
            items = [i for m in parts for i in as_list(m.get("output"))]
            items += [m["item"] for m in parts if m.get("type") == "response.output_item.done"]
            return [i["name"] for i in items if i.get("type") in ("function_call", "custom_tool_call")]
        case "gemini.generate":
            found = [p for m in parts for c in as_list(m.get("candidates")) for p in as_list((c.get("content") or {}).get("parts"))]
            return [p["functionCall"]["name"] for p in found if "functionCall" in p]
    return []


def usage(exchange: Exchange) -> dict[str, int]:
    """Input and output tokens, as the last figure on the wire states them."""
    names = {
        "anthropic.messages": ("usage", "input_tokens", "output_tokens"),
        "openai.chat": ("usage", "prompt_tokens", "completion_tokens"),
        "openai.responses": ("usage", "input_tokens", "output_tokens"),
        "gemini.generate": ("usageMetadata", "promptTokenCount", "candidatesTokenCount"),
    }.get(kind(exchange) or "")
    found: dict[str, int] = {}
    for part in messages(exchange) if names else []:
        inner = [part, part.get("message"), part.get("response"), part.get("x_groq")]
        for stated in (i.get(names[0]) for i in inner if isinstance(i, dict)):
            for ours, theirs in (("input_tokens", names[1]), ("output_tokens", names[2])):
                if isinstance(stated, dict) and isinstance(stated.get(theirs), int):
                    found[ours] = stated[theirs]
    return found
