"""The vendors' SDKs, unmodified, through a real recorder: what they get, and what the record holds."""

import asyncio

import pytest
from clients import ALL, QUESTION, Anthropic, OpenAIChat
from tacho import matches_ledger

TEXT = "The weather is fine; take a coat \u2014 it may rain."

sdks = pytest.mark.parametrize("sdk", ALL, ids=lambda sdk: sdk.__name__)
streaming = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def connect(recorder, sdk, agent, retries=0):
    return sdk(recorder.agent(agent, sdk.path), agent, retries)


def recorded(recorder, model, agent, count):
    """The agent's calls, each matched with the upstream's ledger."""
    calls = recorder.calls(agent, count)
    matches_ledger(calls, model.ledger(x_e2e=agent))
    assert len(calls) == count
    return calls


@sdks
@streaming
def test_text(recorder, model, agent, sdk, stream):
    client = connect(recorder, sdk, agent)
    assert client.text(client.ask("scripted-text", stream=stream)) == TEXT
    [call] = recorded(recorder, model, agent, 1)
    assert call.state == "completed"
    assert call.request["kind"] == "model.request"
    assert call.request["gen_ai"]["api"] == sdk.api
    assert call.request["gen_ai"]["request_model"] == "scripted-text"
    usage = {name: count for name, count in call.response["gen_ai"]["usage"].items() if count}
    if not (sdk is OpenAIChat and stream is False and not usage):
        assert usage == sdk.usage
    assert call.request["seq"] < call.response["seq"]


@sdks
@streaming
@pytest.mark.parametrize("scenario", ["scripted-tools", "scripted-parallel-tools", "scripted-thinking"])
def test_tools(recorder, model, agent, sdk, stream, scenario):
    client = connect(recorder, sdk, agent)
    answer = client.ask(scenario, stream=stream, tools=True)
    calls = client.calls(answer)
    assert [name for _, name, _ in calls] == ["get_weather"] * (2 if "parallel" in scenario else 1)
    assert calls[0][2] == {"city": "Z\u00fcrich", "note": "caf\u00e9 \U0001f327"}
    assert client.text(client.go_on(scenario, answer, stream)) == TEXT

    first, second = recorded(recorder, model, agent, 2)
    asked = [tool for tool in first.response["tool_calls"]]
    assert [tool["name"] for tool in asked] == [name for _, name, _ in calls]
    assert [tool["id"] for tool in asked] == [i for i, _, _ in calls]
    assert [tool["id"] for tool in second.request["tool_results"]] == [i for i, _, _ in calls]
    assert first.request["run"]["id"] == second.request["run"]["id"], "the history continues: one run"
    kinds = {event["kind"] for event in recorder.events(agent=agent)}
    assert "run.history" not in kinds, "an unchanged history is no event"
    if sdk is Anthropic and "thinking" in scenario:
        [(_, signature)] = client.thinking(answer)
        assert signature.encode() in second.sent, "the signature went back unchanged"


@sdks
def test_bad_request(recorder, model, agent, sdk):
    client = connect(recorder, sdk, agent)
    with pytest.raises(sdk.errors) as error:
        client.ask("scripted-400")
    assert "no such parameter" in str(error.value), "the provider's own words reach the client"
    [call] = recorded(recorder, model, agent, 1)
    assert (call.state, call.response["http"]["status"]) == ("upstream_error", 400)


@sdks
def test_retries_are_attempts_of_one_call(recorder, model, agent, sdk):
    client = connect(recorder, sdk, agent, retries=4)
    assert client.text(client.ask("scripted-429-then-text", [{"role": "user", "content": f"{QUESTION} {agent}"}]
                                  if sdk.path != "gemini" else f"{QUESTION} {agent}")) == TEXT
    calls = recorded(recorder, model, agent, 3)
    assert [call.state for call in calls] == ["upstream_error", "upstream_error", "completed"]
    first = calls[0].request["seq"]
    assert [call.request["exchange"]["attempt"] for call in calls] == [1, 2, 3]
    assert [call.request["exchange"].get("retry_of") for call in calls] == [None, first, first]


@sdks
def test_an_overloaded_provider(recorder, model, agent, sdk):
    client = connect(recorder, sdk, agent, retries=1)
    with pytest.raises(sdk.errors):
        client.ask("scripted-529")
    calls = recorded(recorder, model, agent, 2)
    assert [call.state for call in calls] == ["upstream_error"] * 2


@sdks
@pytest.mark.parametrize("scenario", ["scripted-midstream-error", "scripted-reset", "scripted-cut"])
def test_a_stream_that_breaks(recorder, model, agent, sdk, scenario):
    client = connect(recorder, sdk, agent)
    try:
        client.ask(scenario, stream=True)
    except Exception:  # noqa: BLE001  Each SDK has its own idea of a broken stream; the record has one.
        pass
    calls = recorder.calls(agent)
    ledger = model.ledger(x_e2e=agent)
    assert len(calls) == len(ledger) == 1
    [call] = calls
    assert (call.state, call.response["http"]["status"]) == ("stream_error", 200)
    if scenario != "scripted-reset":
        matches_ledger(calls, ledger)


@sdks
def test_a_client_that_leaves_in_mid_stream(recorder, model, agent, sdk):
    client = connect(recorder, sdk, agent)
    events = client.events("scripted-hang")
    next(iter(events))
    (events.close if hasattr(events, "close") else lambda: None)()
    del events
    [call] = recorder.calls(agent, 1)
    assert call.state == "client_aborted"
    assert call.answered, "what was relayed is kept"


@sdks
@streaming
def test_async(recorder, model, agent, sdk, stream):
    async def ask():
        return await connect(recorder, sdk, agent).ask_async("scripted-trickle", stream)

    assert asyncio.run(ask()) == TEXT
    [call] = recorded(recorder, model, agent, 1)
    assert call.state == "completed"


@sdks
def test_async_cancellation(recorder, model, agent, sdk):
    async def leave():
        events = await connect(recorder, sdk, agent).events_async("scripted-hang")
        started = asyncio.Event()

        async def read():
            async for _ in events:
                started.set()

        task = asyncio.create_task(read())
        await asyncio.wait_for(started.wait(), 20)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(leave())
    [call] = recorder.calls(agent, 1)
    assert call.state == "client_aborted"


@sdks
def test_a_long_stream(recorder, model, agent, sdk):
    client = connect(recorder, sdk, agent)
    assert len(client.text(client.ask("scripted-long", stream=True))) == 22 * 1100
    [call] = recorded(recorder, model, agent, 1)
    assert call.response["timing"]["chunks"] > 10


def test_the_key_is_nowhere_in_the_record(recorder, agent):
    from clients import KEY

    connect(recorder, Anthropic, agent).ask("scripted-text")
    [call] = recorder.calls(agent, 1)
    assert call.request["credential"]["digest"].startswith("hmac-sha256:")
    assert KEY.encode() not in recorder.body(call.request, "request.head")
    stored = b"".join(path.read_bytes() for path in recorder.data.rglob("*") if path.is_file())
    assert KEY.encode() not in stored


def test_endpoints_besides_inference(recorder, model, agent):
    client = connect(recorder, Anthropic, agent)
    counted = client.client.messages.count_tokens(
        model="scripted-text", messages=[{"role": "user", "content": QUESTION}])
    assert counted.input_tokens == 25
    assert any(entry.id == "scripted-text" for entry in client.client.models.list())
    calls = recorded(recorder, model, agent, 2)
    assert [call.state for call in calls] == ["completed"] * 2
