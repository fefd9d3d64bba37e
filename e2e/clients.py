"""The vendors' own SDKs behind one face, so that one list of promises holds for all of them.

Nothing of an SDK is patched: each is given a base URL, a key and one header, as a user would.
"""

from __future__ import annotations

import json

import anthropic
import openai
from google import genai
from google.genai import types as gemini_types

KEY = "sk-test-not-a-secret"
QUESTION = "How is the weather in Z\u00fcrich? \u2602"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "note": {"type": "string"}}}
RESULT = "12 degrees, rain"


class Anthropic:
    """`anthropic`, Messages."""

    path, upstream, api = "anthropic", "anthropic", "anthropic.messages"
    usage = {"input_tokens": 25, "output_tokens": 40, "cache_read_input_tokens": 7}
    errors = (anthropic.APIError, anthropic.APIConnectionError)
    retries = True
    tools_spec = [{"name": "get_weather", "description": "weather", "input_schema": SCHEMA}]

    def __init__(self, base: str, agent: str, retries: int = 0):
        options = {"base_url": base, "api_key": KEY, "max_retries": retries, "timeout": 30}
        options["default_headers"] = {"x-e2e": agent}
        self.client = anthropic.Anthropic(**options)
        self.async_client = anthropic.AsyncAnthropic(**options)

    def ask(self, model, messages=None, stream=False, tools=False):
        messages = messages or [{"role": "user", "content": QUESTION}]
        more = {"tools": self.tools_spec} if tools else {}
        request = {"model": model, "max_tokens": 500, "messages": messages, **more}
        if not stream:
            return self.client.messages.create(**request)
        with self.client.messages.stream(**request) as events:
            return events.get_final_message()

    def text(self, answer):
        return "".join(block.text for block in answer.content if block.type == "text")

    def calls(self, answer):
        return [(block.id, block.name, block.input) for block in answer.content if block.type == "tool_use"]

    def thinking(self, answer):
        return [(block.thinking, block.signature) for block in answer.content if block.type == "thinking"]

    def go_on(self, model, answer, stream=False):
        results = [{"type": "tool_result", "tool_use_id": i, "content": RESULT} for i, _, _ in self.calls(answer)]
        messages = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": answer.content}]
        messages.append({"role": "user", "content": results})
        return self.ask(model, messages, stream, tools=True)

    def events(self, model):
        return self.client.messages.create(
            model=model, max_tokens=500, stream=True, messages=[{"role": "user", "content": QUESTION}]
        )

    async def ask_async(self, model, stream):
        request = {"model": model, "max_tokens": 500, "messages": [{"role": "user", "content": QUESTION}]}
        if not stream:
            return self.text(await self.async_client.messages.create(**request))
        async with self.async_client.messages.stream(**request) as events:
            return "".join([piece async for piece in events.text_stream])

    async def events_async(self, model):
        return await self.async_client.messages.create(
            model=model, max_tokens=500, stream=True, messages=[{"role": "user", "content": QUESTION}]
        )


class OpenAIChat:
    """`openai`, Chat Completions."""

    path, upstream, api = "openai/v1", "openai", "openai.chat"
    usage = {"input_tokens": 32, "output_tokens": 40, "cache_read_input_tokens": 7}
    errors = (openai.APIError, openai.APIConnectionError)
    retries = True
    tools_spec = [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}]

    def __init__(self, base: str, agent: str, retries: int = 0):
        options = {"base_url": base, "api_key": KEY, "max_retries": retries, "timeout": 30}
        options["default_headers"] = {"x-e2e": agent}
        self.client = openai.OpenAI(**options)
        self.async_client = openai.AsyncOpenAI(**options)

    def ask(self, model, messages=None, stream=False, tools=False):
        messages = messages or [{"role": "user", "content": QUESTION}]
        more = {"tools": self.tools_spec} if tools else {}
        request = {"model": model, "messages": messages, **more}
        if not stream:
            return self.client.chat.completions.create(**request).choices[0].message
        with self.client.chat.completions.stream(**request, stream_options={"include_usage": True}) as events:
            for _ in events:
                pass
            return events.get_final_completion().choices[0].message

    def text(self, answer):
        return answer.content

    def calls(self, answer):
        return [(c.id, c.function.name, json.loads(c.function.arguments)) for c in answer.tool_calls or []]

    def thinking(self, answer):
        return []

    def go_on(self, model, answer, stream=False):
        asked = {"role": "assistant", "content": answer.content, "tool_calls": [
            {"id": c.id, "type": "function", "function": {"name": c.function.name, "arguments": c.function.arguments}}
            for c in answer.tool_calls]}
        results = [{"role": "tool", "tool_call_id": i, "content": RESULT} for i, _, _ in self.calls(answer)]
        return self.ask(model, [{"role": "user", "content": QUESTION}, asked, *results], stream, tools=True)

    def events(self, model):
        messages = [{"role": "user", "content": QUESTION}]
        return self.client.chat.completions.create(model=model, messages=messages, stream=True)

    async def ask_async(self, model, stream):
        messages = [{"role": "user", "content": QUESTION}]
        if not stream:
            answer = await self.async_client.chat.completions.create(model=model, messages=messages)
            return answer.choices[0].message.content
        events = await self.events_async(model)
        return "".join([e.choices[0].delta.content or "" async for e in events if e.choices])

    async def events_async(self, model):
        messages = [{"role": "user", "content": QUESTION}]
        return await self.async_client.chat.completions.create(model=model, messages=messages, stream=True)


class OpenAIResponses(OpenAIChat):
    """`openai`, Responses."""

    api = "openai.responses"
    tools_spec = [{"type": "function", "name": "get_weather", "parameters": SCHEMA, "strict": False}]

    def ask(self, model, messages=None, stream=False, tools=False):
        more = {"tools": self.tools_spec} if tools else {}
        request = {"model": model, "input": messages or [{"role": "user", "content": QUESTION}], **more}
        if not stream:
            return self.client.responses.create(**request)
        with self.client.responses.stream(**request) as events:
            return events.get_final_response()

    def text(self, answer):
        return answer.output_text

    def calls(self, answer):
        return [(i.call_id, i.name, json.loads(i.arguments)) for i in answer.output if i.type == "function_call"]

    def go_on(self, model, answer, stream=False):
        items = [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in answer.output]
        results = [{"type": "function_call_output", "call_id": i, "output": RESULT} for i, _, _ in self.calls(answer)]
        return self.ask(model, [{"role": "user", "content": QUESTION}, *items, *results], stream, tools=True)

    def events(self, model):
        return self.client.responses.create(model=model, input=QUESTION, stream=True)

    async def ask_async(self, model, stream):
        if not stream:
            return (await self.async_client.responses.create(model=model, input=QUESTION)).output_text
        events = await self.events_async(model)
        return "".join([e.delta async for e in events if e.type == "response.output_text.delta"])

    async def events_async(self, model):
        return await self.async_client.responses.create(model=model, input=QUESTION, stream=True)


class Gemini:
    """`google-genai`, generateContent and streamGenerateContent."""

    path, upstream, api = "gemini", "gemini", "gemini.generate"
    usage = {"input_tokens": 32, "output_tokens": 40, "cache_read_input_tokens": 7}
    errors = (Exception,)
    retries = True

    def __init__(self, base: str, agent: str, retries: int = 0):
        retry = gemini_types.HttpRetryOptions(attempts=retries + 1, initial_delay=0.01, max_delay=0.05)
        options = gemini_types.HttpOptions(base_url=base, headers={"x-e2e": agent}, retry_options=retry, timeout=30_000)
        self.client = genai.Client(api_key=KEY, http_options=options)

    def config(self, tools):
        if not tools:
            return None
        declaration = gemini_types.FunctionDeclaration(name="get_weather", parameters_json_schema=SCHEMA)
        return gemini_types.GenerateContentConfig(tools=[gemini_types.Tool(function_declarations=[declaration])])

    def ask(self, model, messages=None, stream=False, tools=False):
        request = {"model": model, "contents": messages or QUESTION, "config": self.config(tools)}
        if not stream:
            return list(self.client.models.generate_content(**request).candidates[0].content.parts)
        answers = list(self.client.models.generate_content_stream(**request))
        return [part for answer in answers for part in answer.candidates[0].content.parts or []]

    def text(self, answer):
        return "".join(part.text for part in answer if part.text and not part.thought)

    def calls(self, answer):
        found = [part.function_call for part in answer if part.function_call]
        return [(call.id, call.name, dict(call.args)) for call in found]

    def thinking(self, answer):
        return []

    def go_on(self, model, answer, stream=False):
        results = [gemini_types.Part(function_response=gemini_types.FunctionResponse(
            id=i, name=name, response={"result": RESULT})) for i, name, _ in self.calls(answer)]
        history = [gemini_types.Content(role="user", parts=[gemini_types.Part(text=QUESTION)])]
        history.append(gemini_types.Content(role="model", parts=answer))
        return self.ask(model, [*history, gemini_types.Content(role="user", parts=results)], stream, tools=True)

    def events(self, model):
        return self.client.models.generate_content_stream(model=model, contents=QUESTION)

    async def ask_async(self, model, stream):
        if not stream:
            return (await self.client.aio.models.generate_content(model=model, contents=QUESTION)).text
        events = await self.events_async(model)
        return "".join([event.text or "" async for event in events])

    async def events_async(self, model):
        return await self.client.aio.models.generate_content_stream(model=model, contents=QUESTION)


ALL = [Anthropic, OpenAIChat, OpenAIResponses, Gemini]
