"""A small application behind either HTTP/1 class, and a client that says exactly what it is told to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import attrs
from hypercorn.config import Config
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from domain.faults import Fault
from domain.refusals import Refusal
from entrypoints.http1.edge import Answer, Edge
from entrypoints.listening import listen
from entrypoints.serving import accepting
from tests.e2e.programs import free_port

MUCH = 20_000_000
_PATIENCE_S = 15.0


@attrs.define
class Behind:
    """What the application saw, and does: the path says what is asked of it.

    /echo      reads the body and answers with it
    /early     answers 413 without reading the body
    /stream    answers in three pieces, without a length
    /wait      answers when it is let
    /much      answers with many megabytes
    /break     begins an answer and fails
    /fail      fails
    /endless   never stops writing, and never lets the loop go by itself
    /drip      writes a little each time the loop has come round twice
    """

    scopes: list[Scope] = attrs.field(factory=list)
    hung_up: asyncio.Event = attrs.field(factory=asyncio.Event)
    may_answer: asyncio.Event = attrs.field(factory=asyncio.Event)
    ended: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        try:
            await getattr(self, "_" + scope["path"].strip("/"))(receive, send)
        finally:
            self.ended.set()

    async def _echo(self, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.hung_up.set()
                return
            body += message["body"]
            if not message["more_body"]:
                break
        await answer(send, body)

    async def _early(self, _receive: Receive, send: Send) -> None:
        await answer(send, b"no", status=413)

    async def _stream(self, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in (b"one", b"", b"two", b"three"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})

    async def _wait(self, receive: Receive, send: Send) -> None:
        gone = asyncio.create_task(until_gone(receive))
        let = asyncio.create_task(self.may_answer.wait())
        await asyncio.wait([gone, let], return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            self.hung_up.set()
        else:
            await answer(send, b"at last")
        gone.cancel()
        let.cancel()

    async def _much(self, _receive: Receive, send: Send) -> None:
        await answer(send, b"x" * MUCH)

    async def _break(self, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"so far", "more_body": True})
        raise RuntimeError

    async def _fail(self, _receive: Receive, _send: Send) -> None:
        raise RuntimeError

    async def _endless(self, receive: Receive, send: Send) -> None:
        gone = asyncio.create_task(until_gone(receive))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not gone.done():
            await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})
        self.hung_up.set()

    async def _drip(self, receive: Receive, send: Send) -> None:
        gone = asyncio.create_task(until_gone(receive))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not gone.done():
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        self.hung_up.set()


async def until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def answer(send: Send, body: bytes, *, status: int = 200) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class _Bare(Starlette):
    def build_middleware_stack(self) -> ASGIApp:
        return self.router


@attrs.define
class House:
    """A server on a port."""

    behind: Behind
    port: int
    refused: list[str]

    async def connect(self, limit: int = 2**16) -> Client:
        return Client(*await asyncio.open_connection("127.0.0.1", self.port, limit=limit))

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        client = await self.connect()
        try:
            yield client
        finally:
            client.close()


@attrs.define
class Client:
    """One connection to it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def hear_head(self) -> bytes:
        async with asyncio.timeout(_PATIENCE_S):
            return (await self.reader.readuntil(b"\r\n\r\n")).lower()

    async def hear(self) -> tuple[int, bytes, bytes]:
        """One answer that has a length: status, head in lower case, body."""
        head = await self.hear_head()
        lengths = [line for line in head.split(b"\r\n") if line.startswith(b"content-length:")]
        async with asyncio.timeout(_PATIENCE_S):
            body = await self.reader.readexactly(int(lengths[0].split(b":")[1]))
        return int(head.split(b" ")[1]), head, body

    async def hear_all(self) -> bytes:
        """To the end of the connection. A reset is an error."""
        async with asyncio.timeout(_PATIENCE_S):
            return await self.reader.read()

    def close(self) -> None:
        self.writer.close()


@contextlib.asynccontextmanager
async def serving(*, stock: bool, **bounds: float) -> AsyncIterator[House]:
    """The application behind one of the two classes, with bounds of one's own."""
    behind = Behind()
    refused: list[str] = []

    def refuse(reason: Refusal | Fault, _target: bytes, _address: str) -> Answer:
        refused.append(reason.code.value)
        return Answer(500 if isinstance(reason, Fault) else 400, [(b"x-error-code", reason.code.encode())], b"refused")

    app = _Bare()
    app.router.default = behind
    config = Config()
    config.include_server_header = False
    config.errorlog = None
    config.keep_alive_timeout = bounds.get("idle_s", 75.0)
    config.graceful_timeout = 1.0
    edge = Edge(refuse=refuse, **bounds)  # type: ignore[arg-type]  # its numbers of connections are ints
    port = free_port()
    async with accepting(app, config, listen("127.0.0.1", port), edge, stock=stock):
        yield House(behind, port, refused)
