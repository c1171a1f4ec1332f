"""`python -m tests.bench.bare KIND PARSER PORT [UPSTREAM]`: the stack without the gateway, to see what that adds.

    hello    Hypercorn and Starlette; reads the body and answers with bytes of its own, streamed if it was asked to
    relay    the same, and passes each request on through the gateway's own connections: no key, no limit, no account

Both are served as the gateway is: one worker on uvloop, the same settings. PARSER is h11, Hypercorn as it comes, or
httptools, our own HTTP/1 class in it.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable

import uvloop
from hypercorn.asyncio import serve
from hypercorn.config import Config
from multidict import CIMultiDict
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send
from yarl import URL

from adapters.ollama.transport import OllamaTransport
from domain.faults import Fault
from domain.refusals import Refusal
from entrypoints.http1.edge import Answer, Edge
from entrypoints.serving import accepting

_CHUNKS = 24
_PIECE = (
    b'{"model":"sim-chat","created_at":"2026-08-01T12:00:00.123456789Z",'
    b'"message":{"role":"assistant","content":" word"},"done":false}\n'
)
_STREAMED = b'"stream": true'


class _Bare(Starlette):
    def build_middleware_stack(self) -> ASGIApp:
        return self.router


async def _body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def _hello(_scope: Scope, receive: Receive, send: Send) -> None:
    streamed = _STREAMED in await _body(receive)
    whole = _PIECE * (1 if streamed else 3)
    headers = [] if streamed else [(b"content-length", b"%d" % len(whole))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for _ in range(_CHUNKS if streamed else 0):
        await send({"type": "http.response.body", "body": _PIECE, "more_body": True})
    await send({"type": "http.response.body", "body": b"" if streamed else whole, "more_body": False})


def _relay(upstream: str) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    transport = OllamaTransport()
    base = URL(upstream)

    async def pass_on(scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(receive)
        headers = CIMultiDict({"Content-Type": "application/json", "Accept-Encoding": "identity"})
        answer = await transport.post(base.with_path(scope["path"]), headers, body)
        length = answer.headers.get("Content-Length")
        sent = [(b"content-type", answer.content_type.encode())]
        if length is not None:
            sent.append((b"content-length", length.encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": sent})
        while piece := await answer.read():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return pass_on


def _refuse(reason: Refusal | Fault, _target: bytes, _address: str) -> Answer:
    return Answer(400, [], reason.sentence.encode())


async def _serve_own(app: Starlette, config: Config, listener: socket.socket) -> None:
    async with accepting(app, config, listener, Edge(refuse=_refuse)):
        await asyncio.Event().wait()


def main(kind: str, parser: str, port: str, upstream: str = "") -> None:
    """Serves until it is killed."""
    listener = socket.create_server(("127.0.0.1", int(port)), backlog=2048)
    listener.setblocking(False)
    config = Config()
    config.include_server_header = False
    config.accesslog = config.errorlog = None
    config.keep_alive_max_requests = 10**9
    config.keep_alive_timeout = 75
    app = _Bare()
    app.router.default = _hello if kind == "hello" else _relay(upstream)
    if parser == "httptools":
        uvloop.run(_serve_own(app, config, listener))
        return
    config.bind = [f"fd://{listener.detach()}"]
    uvloop.run(serve(app, config))  # type: ignore[arg-type]  # Starlette's and Hypercorn's ASGI types differ in name only


if __name__ == "__main__":
    main(*sys.argv[1:])
