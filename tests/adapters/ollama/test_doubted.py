"""A line that died half takes its kept connections along: one of them found silent, the others are not tried."""

from __future__ import annotations

import asyncio

import pytest

from adapters.ollama import half_close
from adapters.ollama.address import BackendAddress
from adapters.ollama.model_backend import OllamaBackend
from tests.adapters.ollama.raw_server import HEAD, Visit, http_chunk, raw_server
from tests.adapters.ollama.tapes import chat, upstream_of

CALL = upstream_of(chat("m"), ours="m")
ANSWER = HEAD + http_chunk(b'{"model":"m","done":true}\n') + b"0\r\n\r\n"
KEPT = 3


async def asked(backend: OllamaBackend) -> None:
    answer = await backend.open(CALL)
    while await answer.read():
        pass
    answer.close()


@pytest.mark.parametrize(
    ("silent_s", "opened"),
    [(half_close.SILENT_S + 0.1, KEPT + 1), (0.05, KEPT)],
    ids=["for long", "only just"],
)
async def test_after_a_call_that_heard_nothing_the_kept_connections_are_doubted(silent_s: float, opened: int) -> None:
    together = asyncio.Barrier(KEPT)

    async def play(visit: Visit) -> None:
        await visit.read_request()
        if len(server.visits) <= KEPT:
            await together.wait()
        await visit.send(ANSWER)
        visit.request = b""
        await visit.read_request()
        asked_again.append(visit)
        if len(asked_again) == 1 or silent_s > half_close.SILENT_S:
            await visit.watch_end()
        await visit.send(ANSWER)

    asked_again: list[Visit] = []
    async with raw_server(play) as server:
        backend = OllamaBackend(BackendAddress(name="raw", url=server.url))
        await asyncio.gather(*(asked(backend) for _ in range(KEPT)))
        assert len(server.visits) == KEPT

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(silent_s):
                await backend.open(CALL)
        async with asyncio.timeout(3):
            await asked(backend)

        assert len(server.visits) == opened
        await backend.aclose()
