"""Bytes on a kept connection that answer nobody's question: the next question must not get them."""

from __future__ import annotations

import asyncio

import pytest

from adapters.ollama.address import BackendAddress
from adapters.ollama.model_backend import OllamaBackend
from tests.adapters.ollama.raw_server import HEAD, Visit, http_chunk, raw_server
from tests.adapters.ollama.tapes import chat, upstream_of

CALL = upstream_of(chat("m"), ours="m")


def answer(word: bytes) -> bytes:
    said = b'{"model":"m","message":{"role":"assistant","content":"%b"},"done":true}\n' % word
    return HEAD + http_chunk(said) + b"0\r\n\r\n"


STRAYS = {
    "an answer": answer(b"stray"),
    "many answers": answer(b"stray") * 50,
    "an answer without a body": b"HTTP/1.1 204 No Content\r\n\r\n",
    "the half of one": answer(b"stray")[:-20],
    "garbage": b"\x00\xff garbage",
    "an interim answer": b"HTTP/1.1 100 Continue\r\n\r\n",
}
WHOLE = ("answer", "answers", "body")
"""Those that are seen even when they come in one piece with what was asked for."""


async def text_of(backend: OllamaBackend) -> bytes:
    said = await backend.open(CALL)
    pieces = []
    while piece := await said.read():
        pieces.append(piece.raw)
    return b"".join(pieces)


@pytest.mark.parametrize(
    ("stray", "later_s"),
    [*((stray, 0.1) for stray in STRAYS), *((stray, 0.0) for stray in STRAYS if stray.endswith(WHOLE))],
)
async def test_a_stray_answer_reaches_nobody(stray: str, later_s: float) -> None:
    async def play(visit: Visit) -> None:
        await visit.read_request()
        if later_s:
            await visit.send(answer(b"good"))
            await asyncio.sleep(later_s)
            await visit.send(STRAYS[stray])
        else:
            await visit.send(answer(b"good") + STRAYS[stray])
        visit.request = b""
        await visit.read_request()
        await visit.send(answer(b"good"))

    async with raw_server(play) as server:
        backend = OllamaBackend(BackendAddress(name="raw", url=server.url))
        assert b"good" in await text_of(backend)
        await asyncio.sleep(0.3)
        assert b"good" in await text_of(backend)
        assert len(server.visits) == 2
        await backend.aclose()
