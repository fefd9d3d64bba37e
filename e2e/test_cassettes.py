"""All recorded exchanges pass through the gateway from a client to a replaying upstream."""

import base64
import http.client
import json
import urllib.parse
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import cassettes
import pytest
from tacho import Recorder, Upstream, sha256

#: Statuses that a response with a body cannot have.
BODILESS = {204, 304}


@pytest.fixture(scope="module")
def exchanges(shared):
    archive = shared / "data/cassettes/pydantic-ai.tar.xz"
    if not archive.exists():
        pytest.skip(f"no cassettes at {archive}")
    return cassettes.read(archive)


@pytest.fixture(scope="module")
def replayed(exchanges, tmp_path_factory):
    """Everything sent once; the answers the client got, the upstream's ledger and the record."""
    directory = tmp_path_factory.mktemp("cassettes")
    book = directory / "book.jsonl"
    with book.open("w") as out:
        for exchange in exchanges[0]:
            chunks = [base64.b64encode(chunk).decode() for chunk in exchange.chunks()]
            entry = {"key": exchange.key, "status": exchange.status, "headers": exchange.response_headers, "chunks": chunks}
            out.write(json.dumps(entry) + "\n")
    upstream = Upstream("replay", str(book))
    apis = {"anthropic": "anthropic", "openai": "openai", "gemini": "gemini", "raw": "raw", "grpc": "raw"}
    recorder = Recorder(directory, "".join(
        f'[upstream.{name}]\nbase_url = "{upstream.url}"\napi = "{api}"\n' for name, api in apis.items()))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda exchange: send(recorder, exchange), exchanges[0]))
    ledger = {dict((k.lower(), v) for k, v in e["headers"])["x-replay-id"]: e for e in upstream.ledger()}
    calls = {}
    for event in recorder.events():
        name = event.get("agent", {}).get("name", "")
        if name.startswith("cassette-"):
            side = "response" if event["kind"].endswith(".response") else "request"
            if event["kind"].endswith((".response", ".request")):
                assert (name, side) not in calls, "one exchange, one call"
                calls[name, side] = event
    yield exchanges[0], answers, ledger, calls, recorder
    upstream.stop()
    recorder.stop()
    recorder.verify()


def send(recorder, exchange):
    address = urllib.parse.urlsplit(recorder.gateway)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
    connection.putrequest(exchange.method, f"/agent/{exchange.key}/{exchange.api}{exchange.target}",
                          skip_host=True, skip_accept_encoding=True)
    for name, value in [("host", "localhost"), *exchange.request_headers, ("x-replay-id", exchange.key)]:
        connection.putheader(name, value)
    if exchange.request:
        connection.putheader("content-length", str(len(exchange.request)))
    connection.endheaders(exchange.request)
    answer = connection.getresponse()
    status, body = answer.status, answer.read()
    connection.close()
    return status, body


def test_bytes_in_are_bytes_out_and_bytes_stored(exchanges, replayed, figure):
    all_of_them, answers, ledger, calls, recorder = replayed
    kinds = Counter("grpc" if e.api == "grpc" else "http" for e in all_of_them)
    assert kinds["http"] == 946 and exchanges[1] == 651

    def stored(exchange):
        request, response = calls[exchange.key, "request"], calls[exchange.key, "response"]
        return recorder.body(request, "request") or b"", recorder.body(response, "response") or b""

    with ThreadPoolExecutor(4) as pool:
        bodies = list(pool.map(stored, all_of_them))
    total = 0
    for exchange, (status, answer), (kept_request, kept_response) in zip(all_of_them, answers, bodies, strict=True):
        where = (exchange.number, exchange.source, exchange.target)
        entry = ledger[exchange.key]
        expected = b"" if exchange.status in BODILESS or exchange.method == "HEAD" else exchange.response
        assert status == exchange.status == calls[exchange.key, "response"]["http"]["status"], where
        assert sha256(exchange.request) == entry["request"]["sha256"] == sha256(kept_request), where
        assert sha256(expected) == sha256(answer) == sha256(kept_response), where
        good = "stream_error" if cassettes.failed_in_stream(exchange) else "completed"
        assert calls[exchange.key, "response"]["outcome"]["state"] == (good if status < 400 else "upstream_error"), where
        total += len(exchange.request) + len(expected)
    figure(f"cassettes: {kinds['http']} HTTP exchanges and {kinds['grpc']} gRPC messages of {exchanges[1]} cassettes, "
           f"{total:,} body bytes, equal at the client, the upstream and in the record")


def test_the_readers_find_what_is_in_them(replayed, figure):
    all_of_them, _, _, calls, _ = replayed
    counts, wrong = Counter(), []
    for exchange in all_of_them:
        api = cassettes.kind(exchange)
        if not api:
            counts["exchanges of other endpoints and providers"] += 1
            continue
        counts[api] += 1
        request, response = calls[exchange.key, "request"], calls[exchange.key, "response"]
        seen = response.get("gen_ai", {}).get("usage") or {}
        found = {
            "api": request.get("gen_ai", {}).get("api"),
            "calls": Counter(t.get("name") for t in response.get("tool_calls", []) if not t.get("provider_executed")),
            "results": len(request.get("tool_results", [])),
            "usage": {k: seen[k] for k in ("input_tokens", "output_tokens") if k in seen},
        }
        expected = {
            "api": api,
            "calls": Counter(cassettes.tool_calls(exchange)),
            "results": cassettes.tool_results(exchange),
            "usage": cassettes.usage(exchange),
        }
        counts["tool calls"] += sum(expected["calls"].values())
        counts["tool results new to the model"] += expected["results"]
        counts["tool results in resent histories"] += sum(n for _, n in cassettes.turns(exchange)) - expected["results"]
        counts["responses with usage"] += bool(expected["usage"])
        for what in expected:
            if found[what] != expected[what]:
                wrong.append((exchange.number, exchange.source, exchange.target, what, expected[what], found[what]))
    figure("readers: " + ", ".join(f"{count} {what}" for what, count in sorted(counts.items())) + f"; {len(wrong)} differ")
    assert not wrong, "\n".join(map(str, wrong[:40]))
