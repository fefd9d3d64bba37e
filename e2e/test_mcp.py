"""The MCP Python SDK, client and server, with the recorder between them: over HTTP and over stdio."""

import asyncio
import json
import pathlib
import subprocess
import sys
from collections import Counter

import httpx
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.sse import sse_client
from tacho import TACHO, Recorder, Upstream, sha256, until

SERVER = str(pathlib.Path(__file__).with_name("mcp_server.py"))
#: How the client negotiates, and the revision that follows from it.
ERAS = {"legacy": "2025-11-25", "auto": "2026-07-28", "2026-07-28": "2026-07-28"}


class RealServer:
    """The SDK's server in a process of its own."""

    def __init__(self, directory: pathlib.Path, *options: str):
        self.path = directory / f"ledger-{'-'.join(options) or 'events'}.jsonl"
        self.process = subprocess.Popen(
            [sys.executable, SERVER, "http", str(self.path), *options], stdout=subprocess.PIPE, text=True
        )
        self.url = self.process.stdout.readline().split()[1]

    def ledger(self) -> list[dict]:
        return [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    directory = tmp_path_factory.mktemp("mcp")
    all_of_them = {
        "events": RealServer(directory),
        "json": RealServer(directory, "json"),
        "sse": RealServer(directory, "sse"),
        "scripted": Upstream("mcp"),
        "scripted-events": Upstream("mcp", "--events"),
    }
    yield all_of_them
    for server in all_of_them.values():
        server.stop()


@pytest.fixture(scope="module")
def recorder(servers, tmp_path_factory):
    paths = {name: "/sse" if name == "sse" else "/mcp" for name in servers}
    config = "".join(f'[mcp.{name}]\nurl = "{server.url}{paths[name]}"\n' for name, server in servers.items())
    recorder = Recorder(tmp_path_factory.mktemp("recorder"), config)
    yield recorder
    recorder.stop()
    report = recorder.verify()
    assert not report["faults"] and not report["missing"]
    # Lines that are no messages are kept, and the record says that it did not understand them; nothing else is missing.
    gaps = [e["gap"]["cause"] for e in recorder.events(kind="gap")]
    assert set(gaps) <= {"not-understood"}, gaps


def tool_calls(recorder, agent, count):
    calls = until(f"{count} tool calls are closed", lambda: [
        found for found in [[c for c in recorder.calls(agent) if c.request["kind"] == "tool.request"]]
        if len(found) >= count])[0]
    assert len(calls) == count
    return calls


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize("server", ["events", "json"])
def test_sdk_to_sdk_over_http(recorder, servers, agent, server, mode):
    before = len(servers[server].ledger())

    async def work():
        async with Client(recorder.agent(agent, f"mcp/{server}"), mode=mode) as client:
            tools = await client.list_tools()
            assert [tool.name for tool in tools.tools] == ["get_weather", "broken", "count", "slow"]
            good = await client.call_tool("get_weather", {"city": "Z\u00fcrich"})
            bad = await client.call_tool("broken", {})
            progress = []

            async def on_progress(done, total, message):
                progress.append((done, total))

            counted = await client.call_tool("count", {"to": 3}, progress_callback=on_progress)
            return good, bad, counted, progress

    good, bad, counted, progress = asyncio.run(work())
    assert good.content[0].text == "Z\u00fcrich: 12 degrees, rain \u2602"
    assert bad.is_error
    assert counted.content[0].text == "counted to 3"
    if server == "events":
        assert progress == [(1, 3), (2, 3), (3, 3)]

    calls = tool_calls(recorder, agent, 3)
    assert [call.request["tool"]["name"] for call in calls] == ["get_weather", "broken", "count"]
    # The SDK hangs up once it has its result. Whether the stream's end or the hang-up comes first is a race, and all one.
    assert {call.state for call in calls} == {"completed"}
    assert [call.response["tool"].get("is_error", False) for call in calls] == [False, True, False]
    assert {call.request["mcp"]["protocol_version"] for call in calls} == {ERAS[mode]}
    ledger = until("the server has booked every request", lambda: [
        entries for entries in [servers[server].ledger()[before:]]
        if sum(e["method"] == "POST" for e in entries) >= 4])[0]
    answered = {(e["request"], e["response"]) for e in ledger if e["method"] == "POST"}
    for call in calls:
        assert (sha256(call.sent), sha256(call.answered)) in answered
    assert len({call.request["run"]["id"] for call in calls}) == 1 or mode != "legacy", "one session is one run"


async def call_a_good_and_a_bad_tool(client):
    good = await client.call_tool("get_weather", {"city": "Bergen"})
    assert good.content[0].text == "Bergen: 12 degrees, rain \u2602"
    assert (await client.call_tool("broken", {})).is_error


def good_and_bad_calls(recorder: Recorder, agent: str):
    """What is recorded of them: both were answered."""
    calls = tool_calls(recorder, agent, 2)
    assert [call.request["tool"]["name"] for call in calls] == ["get_weather", "broken"]
    assert [call.state for call in calls] == ["completed"] * 2
    return calls


def test_the_first_http_transport(recorder, servers, agent):
    """2024-11-05: a stream to listen to, and an address to post to that the server names in it."""

    async def work():
        async with Client(sse_client(recorder.agent(agent, "mcp/sse")), mode="legacy") as client:
            await call_a_good_and_a_bad_tool(client)

    asyncio.run(work())
    calls = good_and_bad_calls(recorder, agent)
    posted = {entry["request"] for entry in servers["sse"].ledger() if entry["method"] == "POST"}
    assert {sha256(call.sent) for call in calls} <= posted


@pytest.mark.parametrize("server", ["scripted", "scripted-events"])
@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_every_exchange_is_in_both_books(recorder, servers, agent, server, mode):
    async def work():
        async with Client(recorder.agent(agent, f"mcp/{server}"), mode=mode) as client:
            for n in range(5):
                result = await client.call_tool("echo", {"text": f"{agent} {n}"})
                assert result.content[0].text == f"{agent} {n}"
            assert (await client.call_tool("fail", {})).is_error
            assert (await client.call_tool("progress", {"text": "p"})).content[0].text == "p"

    asyncio.run(work())
    tool_calls(recorder, agent, 7)
    calls = [call for call in recorder.calls(agent) if call.request["http"]["method"] == "POST"]
    stored = Counter((sha256(call.sent), sha256(call.answered)) for call in calls)
    seen = {(e["request"]["sha256"], e["response"]["body"]["sha256"])
            for e in servers[server].ledger() if e["method"] == "POST" and e["response"]}
    assert set(stored) <= seen, "what is recorded is what the server received and sent"


def test_404_and_405_reach_the_client_untouched(recorder, servers, agent):
    url = recorder.agent(agent, "mcp/scripted")
    dead = httpx.post(url, headers={"mcp-session-id": "gone", "mcp-protocol-version": "2025-11-25"},
                      json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    assert (dead.status_code, dead.json()["error"]["message"]) == (404, "Session not found")
    no_stream = httpx.get(url, headers={"accept": "text/event-stream"})
    assert (no_stream.status_code, no_stream.headers["allow"]) == (405, "POST")


def test_ids_of_a_number_and_of_a_text_differ(recorder, servers, agent):
    url = recorder.agent(agent, "mcp/scripted")
    for i in (1, "1"):
        message = {"jsonrpc": "2.0", "id": i, "method": "tools/call", "params": {"name": "echo", "arguments": {}}}
        assert httpx.post(url, headers={"mcp-protocol-version": "2026-07-28"}, json=message).json()["id"] == i
    calls = tool_calls(recorder, agent, 2)
    assert [call.request["mcp"]["id"] for call in calls] == ["1", '"1"']


def test_a_modern_client_that_leaves_cancels_the_call(recorder, servers, agent):
    url = recorder.agent(agent, "mcp/events")
    message = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {
        "name": "slow", "arguments": {"seconds": 30}, "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {}}}}
    headers = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "slow",
               "accept": "application/json, text/event-stream"}
    before = len(servers["events"].ledger())
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(url, headers=headers, json=message, timeout=httpx.Timeout(10, read=0.3))
    [call] = tool_calls(recorder, agent, 1)
    assert call.state == "client_aborted"
    until("the server's call has ended long before its 30 s", lambda: len(servers["events"].ledger()) > before, 20)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_sdk_to_sdk_over_stdio(recorder, agent, mode):
    wrapped = StdioServerParameters(
        command=TACHO,
        args=["mcp", "--data", str(recorder.data), "--agent", agent, "--server", "weather", "--",
              sys.executable, SERVER, "stdio"],
    )

    async def work():
        async with Client(wrapped, mode=mode) as client:
            assert len((await client.list_tools()).tools) == 4
            await call_a_good_and_a_bad_tool(client)

    asyncio.run(work())
    calls = good_and_bad_calls(recorder, agent)
    assert calls[0].request["source"] == "mcp-stdio"
    events = until("the process is seen to end", lambda: [
        found for found in [recorder.events(agent=agent)] if any(e["kind"] == "process.exit" for e in found)])[0]
    assert any(event["kind"] == "process.start" for event in events)


def test_stdio_lines_pass_byte_for_byte(recorder, agent):
    lines = [
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":{"a":"\\u00e9","a":2}}}\n',
        b'  {"jsonrpc" : "2.0",\t"method":"notifications/x"}  \r\n',
        b"not json at all \xff\xfe\n",
        b"\n",
        b'{"jsonrpc":"2.0","id":1,"result":{"big":"' + b"x" * 3_000_000 + b'"}}\n',
        b"a last line without an end",
    ]
    command = [TACHO, "mcp", "--data", str(recorder.data), "--agent", agent, "--server", "cat", "--",
               "sh", "-c", "cat; echo words on stderr >&2; exit 7"]
    done = subprocess.run(command, input=b"".join(lines), capture_output=True, timeout=60)
    assert done.stdout == b"".join(lines)
    assert b"words on stderr\n" in done.stderr
    assert done.returncode == 7
    events = until("the process is seen to end", lambda: [
        found for found in [recorder.events(agent=agent)] if any(e["kind"] == "process.exit" for e in found)])[0]
    stored = Counter()
    for event in events:
        for body in event.get("bodies", []):
            if body["role"] in ("message", "request", "response"):
                stored[sha256((recorder.body(event, body["role"]) or b"").rstrip(b"\r\n"))] += 1
    for line in lines:
        if line.strip():
            assert stored[sha256(line.rstrip(b"\r\n"))] >= 1, line[:60]
    assert any(body["role"] == "stderr" for event in events for body in event.get("bodies", []))


def test_a_wrapped_agent_is_given_its_addresses(recorder, agent):
    command = [TACHO, "run", "--data", str(recorder.data), "--agent", agent, "--",
               "sh", "-c", 'echo "$ANTHROPIC_BASE_URL|$OPENAI_BASE_URL|$GOOGLE_GEMINI_BASE_URL"; exit 3']
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3, done.stderr
    addresses = done.stdout.strip().split("|")
    assert all(address.startswith(f"{recorder.gateway}/agent/{agent}/") for address in addresses), addresses
    [call] = recorder.calls(agent, 1)
    assert (call.request["kind"], call.response["kind"]) == ("process.start", "process.exit")


def test_without_a_recorder_the_server_is_not_started(tmp_path):
    mark = tmp_path / "started"
    command = [TACHO, "mcp", "--data", str(tmp_path / "none"), "--agent", "a", "--server", "s", "--", "touch", str(mark)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and "hint:" in done.stderr, done
    assert not mark.exists()


