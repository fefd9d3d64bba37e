"""What the wire can do to a recorder, with clients that are not SDKs."""

import asyncio
import gzip
import http.client
import json
import socket
import threading
import urllib.parse

import httpx
import pytest
import websockets
from tacho import Recorder, matches_ledger, sha256, until

#: What is not understood, refused or cut here is a gap in the record, and verified as such.
GAPS = True


def raw(recorder, path, data: bytes) -> bytes:
    """Bytes in, bytes out; the connection ends as the server likes."""
    address = urllib.parse.urlsplit(recorder.gateway)
    with socket.create_connection((address.hostname, address.port), 30) as stream:
        stream.sendall(data)
        stream.shutdown(socket.SHUT_WR)
        parts = []
        while part := stream.recv(65536):
            parts.append(part)
    return b"".join(parts)


def test_http2_with_prior_knowledge(recorder, model, agent):
    with httpx.Client(http1=False, http2=True) as client:
        answers = [client.post(recorder.agent(agent, f"raw/echo/{n}"), content=b"x" * n, headers={"x-e2e": agent})
                   for n in (0, 1, 70_000)]
    assert {answer.http_version for answer in answers} == {"HTTP/2"}
    assert answers[2].content == b"x" * 70_000
    matches_ledger(recorder.calls(agent, 3), model.ledger(x_e2e=agent))


def test_a_body_of_30_megabytes(recorder, model, agent, figure):
    body = bytes(range(256)) * (30 * 4096)
    assert len(body) == 30 * 1024 * 1024
    answer = httpx.post(recorder.agent(agent, "raw/big"), content=body, headers={"x-e2e": agent}, timeout=120)
    assert answer.status_code == 200 and sha256(answer.content) == sha256(body)
    matches_ledger(recorder.calls(agent, 1), model.ledger(x_e2e=agent))


def test_a_compressed_body_is_stored_as_sent(recorder, model, agent):
    packed = gzip.compress(b'{"model":"scripted-text","messages":[{"role":"user","content":"hi"}]}')
    answer = httpx.post(recorder.agent(agent, "raw/x"), content=packed,
                        headers={"x-e2e": agent, "content-encoding": "gzip", "content-type": "application/json"})
    assert answer.status_code == 200
    [call] = recorder.calls(agent, 1)
    matches_ledger([call], model.ledger(x_e2e=agent))
    [body] = [b for b in call.request["bodies"] if b["role"] == "request"]
    assert body["encoding"] == "gzip"
    decoded = recorder.run("show", str(call.request["seq"]), "--body", "request", "--decoded").stdout
    assert decoded == gzip.decompress(packed)


def test_odd_bytes_pass_unchanged(recorder, model, agent):
    odd = [
        b'{"a":1,"a":2, "z" :\t"\\u0041\\/"}\r\n\r\n ',
        b"\xff\xfe\x00\x80 not utf-8",
        b"[" * 20_000 + b"]" * 20_000,
        b'{"model":"scripted-text","messages":"not a list","tools":7}',
        b'"\\ud800"',
        b"",
    ]
    for body in odd:
        for path in ("anthropic/v1/messages", "openai/v1/chat/completions", "openai/v1/responses",
                     "gemini/v1beta/models/scripted-text:generateContent"):
            httpx.post(recorder.agent(agent, path), content=body, headers={"x-e2e": agent, "content-type": "application/json"})
    matches_ledger(recorder.calls(agent, len(odd) * 4), model.ledger(x_e2e=agent))


@pytest.mark.parametrize("path", ["anthropic/v1/messages", "anthropic/v1/v1/messages", "anthropic/messages",
                                  "anthropic/v1/messages/", "openai/v1/chat/completions", "openai/chat/completions"])
def test_v1_may_be_doubled_or_missing(recorder, model, agent, path):
    body = {"model": "scripted-text", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
    answer = httpx.post(recorder.agent(agent, path), json=body, headers={"x-e2e": agent})
    assert answer.status_code == 200, answer.text
    [entry] = model.ledger(x_e2e=agent)
    assert entry["path"].rstrip("/") in ("/v1/messages", "/v1/chat/completions")


def test_any_method_and_path_is_forwarded(recorder, model, agent):
    for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "POST"):
        httpx.request(method, recorder.agent(agent, "anthropic/v1/files/file_1?beta=true&x=%2F"), headers={"x-e2e": agent})
    ledger = model.ledger(x_e2e=agent)
    assert {entry["path"] for entry in ledger} == {"/v1/files/file_1?beta=true&x=%2F"}
    matches_ledger(recorder.calls(agent, 7), ledger)


def test_without_an_agent_in_the_address(recorder, model):
    body = {"model": "scripted-text", "messages": [], "max_tokens": 5}
    answer = httpx.post(f"{recorder.gateway}/anthropic/v1/messages", json=body, headers={"x-e2e": "nobody"})
    assert answer.status_code == 200
    assert len(model.ledger(x_e2e="nobody")) == 1


@pytest.mark.parametrize("upstream, path, shape", [
    ("anthropic", "v1/messages", lambda body: body["type"] == "error" and body["error"]["type"]),
    ("openai", "v1/chat/completions", lambda body: body["error"]["message"]),
    ("gemini", "v1beta/models/x:generateContent", lambda body: body["error"]["status"]),
])
def test_a_provider_that_is_not_there(tmp_path, upstream, path, shape):
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    recorder = Recorder(tmp_path, f'[upstream.{upstream}]\nbase_url = "http://127.0.0.1:{port}"\napi = "{upstream}"\n')
    answer = httpx.post(recorder.agent("a", f"{upstream}/{path}"), json={"model": "m"})
    assert answer.status_code in (502, 503) and shape(answer.json()), answer.text
    [call] = recorder.calls("a", 1)
    assert call.state == "upstream_error"
    recorder.stop()


def test_an_unknown_upstream_is_an_error_that_helps(recorder, agent):
    answer = httpx.post(recorder.agent(agent, "antropic/v1/messages"), json={})
    assert answer.status_code == 404 and "anthropic" in answer.text


@pytest.mark.parametrize("data", [
    b"NONSENSE\r\n\r\n",
    b"POST /agent/a/raw/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
    b"POST /agent/a/raw/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcdef",
    b"POST /agent/a/raw/x HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    b"GET /agent/a/raw/x HTTP/1.1\r\nhost: localhost\r\n" + b"x-long: " + b"y" * 2_000_000 + b"\r\n\r\n",
    b"\x00" * 1000,
])
def test_malformed_http_is_refused_and_harms_nobody(recorder, data):
    try:
        answer = raw(recorder, "", data)
        assert not answer or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), answer[:100]
    except OSError:
        # Refused and cut off before all of it was sent.
        pass
    assert httpx.get(f"{recorder.gateway}/raw/still/there").status_code == 200


def test_a_request_shorter_than_it_claims(recorder, model, agent):
    raw(recorder, "", f"POST /agent/{agent}/raw/x HTTP/1.1\r\nhost: localhost\r\nx-e2e: {agent}\r\ncontent-length: 9\r\n\r\nabc".encode())
    assert model.ledger(x_e2e=agent) == [] or not model.ledger(x_e2e=agent)[0]["request_complete"]
    calls = [e for e in recorder.events(agent=agent) if e["kind"].endswith(".response")]
    assert all(e["outcome"]["state"] != "completed" for e in calls)


def test_keys_in_the_query_do_not_reach_the_record(recorder, model, agent):
    httpx.post(recorder.agent(agent, "gemini/v1beta/models/scripted-text:generateContent?key=AIzaSECRETSECRET"),
               json={"contents": []}, headers={"x-e2e": agent})
    [entry] = model.ledger(x_e2e=agent)
    assert "key=AIzaSECRETSECRET" in entry["path"], "the provider gets it"
    recorder.calls(agent, 1)
    stored = b"".join(path.read_bytes() for path in recorder.data.rglob("*") if path.is_file())
    assert b"AIzaSECRETSECRET" not in stored


def test_the_agent_facing_side_has_no_read_path(recorder):
    for path in ("/", "/events", "/runs", "/log/checkpoint", "/checkpoint", "/metrics", "/status", "/agent", "/agent/x",
                 "/agent/x/events", "/tile/0/000", "/now", "/health", "/../log/checkpoint", "/agent/a/mcp"):
        answer = httpx.get(recorder.gateway + path)
        assert "seq" not in answer.text and "tachograph 1" not in answer.text, path


@pytest.fixture
def websocket_server():
    """An echoing WebSocket server; asks back once in binary."""
    ready, port, stop = threading.Event(), [], []

    async def serve():
        async def handler(connection):
            async for message in connection:
                await connection.send(message)

        async with websockets.serve(handler, "127.0.0.1", 0) as server:
            port.append(server.sockets[0].getsockname()[1])
            loop, event = asyncio.get_running_loop(), asyncio.Event()
            stop.append(lambda: loop.call_soon_threadsafe(event.set))
            ready.set()
            await event.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    ready.wait(10)
    yield port[0]
    stop[0]()
    thread.join(10)


def test_websocket_frames_are_recorded(tmp_path, websocket_server):
    url = f"http://127.0.0.1:{websocket_server}"
    recorder = Recorder(tmp_path, f'[upstream.openai]\nbase_url = "{url}"\napi = "openai"\n')
    messages = ['{"type":"response.create","response":{}}', "caf\u00e9 \u2602", b"\x00\x01binary", "x" * 200_000]

    async def talk():
        address = recorder.agent("a", "openai/v1/realtime?model=m").replace("http", "ws", 1)
        async with websockets.connect(address, additional_headers={"authorization": "Bearer sk-secret-ws"}) as connection:
            for message in messages:
                await connection.send(message)
                assert await connection.recv() == message

    asyncio.run(talk())

    def frames():
        found = [e for e in recorder.events(agent="a") if e["kind"] == "websocket.message"]
        return found if sum(e["websocket"]["opcode"] in ("text", "binary") for e in found) >= 8 else None

    events = [e for e in until("all frames are in the record", frames) if e["websocket"]["opcode"] in ("text", "binary")]
    for direction in ("client-to-server", "server-to-client"):
        stored = [recorder.body(e, "message") for e in events if e["websocket"]["direction"] == direction]
        assert stored == [m.encode() if isinstance(m, str) else m for m in messages], direction
    assert any(e["websocket"].get("message_type") == "response.create" for e in events)
    recorder.stop()
    assert recorder.verify()["exit_code"] == 0


def test_compressed_websockets_are_relayed_and_noted(tmp_path, websocket_server):
    recorder = Recorder(tmp_path, f'[upstream.raw]\nbase_url = "http://127.0.0.1:{websocket_server}"\napi = "raw"\n')

    async def talk():
        address = recorder.agent("a", "raw/ws").replace("http", "ws", 1)
        async with websockets.connect(address, compression="deflate") as connection:
            await connection.send("hello " * 100)
            return await connection.recv()

    assert asyncio.run(talk()) == "hello " * 100
    until("the frames are in the record",
          lambda: sum(e["kind"] == "websocket.message" for e in recorder.events(agent="a")) >= 2)
    recorder.stop()


def test_chunks_are_not_held_back(recorder, agent):
    """Each event of a slow stream arrives before the upstream has sent the last one."""
    address = urllib.parse.urlsplit(recorder.agent(agent, "anthropic/v1/messages"))
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
    body = json.dumps({"model": "scripted-hang", "stream": True, "max_tokens": 9, "messages": []})
    connection.request("POST", address.path, body, {"content-type": "application/json"})
    answer = connection.getresponse()
    seen = b""
    while b"content_block_delta" not in seen:
        seen += answer.read1(65536)
    connection.close()
    [call] = recorder.calls(agent, 1)
    assert call.answered.startswith(b"event: message_start")
    assert call.state == "client_aborted"
