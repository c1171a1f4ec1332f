"""The worker's own part of a connection's end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest
from hypercorn.config import Config
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from domain.faults import Fault
from domain.refusals import Refusal
from entrypoints.http1.edge import Answer, Edge
from entrypoints.listening import listen
from entrypoints.serving import accepting
from tests.e2e.programs import free_port

_MUCH = b"x" * 10_000_000
_END_S = 15


@pytest.fixture
def deaf() -> Iterator[socket.socket]:
    """A client that asks and never reads."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        yield client


def refuse(reason: Refusal | Fault, _target: bytes, _address: str) -> Answer:
    return Answer(400, [], reason.sentence.encode())


@pytest.mark.parametrize("stock", [False, True])
async def test_a_client_that_does_not_read_holds_up_no_stop(deaf: socket.socket, stock: bool) -> None:  # noqa: FBT001
    asked = asyncio.Event()

    async def answer_with_much(_scope: Scope, _receive: Receive, send: Send) -> None:
        asked.set()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": _MUCH})

    app = Starlette()
    app.router.default = answer_with_much
    config = Config()
    config.graceful_timeout = 0.2
    port = free_port()

    async def serve_until_asked() -> None:
        async with accepting(app, config, listen("127.0.0.1", port), Edge(refuse=refuse), stock=stock):
            deaf.connect(("127.0.0.1", port))
            deaf.sendall(b"GET / HTTP/1.1\r\nHost: g\r\n\r\n")
            await asked.wait()

    stopped, _ = await asyncio.wait([asyncio.create_task(serve_until_asked())], timeout=_END_S)

    assert stopped
