"""A real MCP server made with the Python SDK: `mcp_server.py stdio` or `mcp_server.py http LEDGER [json|sse]`.

Over HTTP it writes one JSON line for each request it has answered: the digest of what it received and
of what it sent, taken below the SDK.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys

import uvicorn
from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("weather", version="1.0.0")


@server.tool()
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"{city}: 12 degrees, rain \u2602"


@server.tool()
def broken() -> str:
    """Always fails."""
    raise ValueError("the gauge is frozen")


@server.tool()
async def count(to: int, ctx: Context) -> str:
    """Counts, and says how far it has come."""
    for n in range(to):
        await ctx.report_progress(n + 1, to)
    return f"counted to {to}"


@server.tool()
async def slow(seconds: float) -> str:
    """Takes its time."""
    await asyncio.sleep(seconds)
    return "done"


class Ledger:
    """Digests what passes between the HTTP server and the SDK."""

    def __init__(self, app, path: str):
        self.app, self.path = app, path

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        request, response, status = hashlib.sha256(), hashlib.sha256(), []

        async def receiving():
            message = await receive()
            request.update(message.get("body", b""))
            return message

        async def sending(message):
            if message["type"] == "http.response.start":
                status.append(message["status"])
            response.update(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, receiving, sending)
        finally:
            entry = {"method": scope["method"], "path": scope["path"], "status": status[0] if status else None,
                     "request": request.hexdigest(), "response": response.hexdigest()}
            with open(self.path, "a", encoding="utf-8") as out:
                out.write(json.dumps(entry) + "\n")


class Announcing(uvicorn.Server):
    """Says where it listens."""

    async def startup(self, sockets=None):
        await super().startup(sockets)
        port = self.servers[0].sockets[0].getsockname()[1]
        print(f"ready http://127.0.0.1:{port}", flush=True)


def main() -> None:
    if sys.argv[1] == "stdio":
        server.run("stdio")
        return
    options = sys.argv[3:]
    app = server.sse_app() if "sse" in options else server.streamable_http_app(json_response="json" in options)
    Announcing(uvicorn.Config(Ledger(app, sys.argv[2]), port=0, log_level="warning")).run()


if __name__ == "__main__":
    main()
