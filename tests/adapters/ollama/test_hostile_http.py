"""Backends that break HTTP itself."""

from __future__ import annotations

import asyncio
import itertools
import resource

import pytest

from adapters.ollama.address import BackendAddress
from adapters.ollama.model_backend import OllamaBackend
from domain.faults import BackendFailed
from tests.adapters.ollama.raw_server import HEAD, LINE, Visit, http_chunk, raw_server
from tests.adapters.ollama.tapes import chat, drain, upstream_of

CALL = upstream_of(chat("m"), ours="m")


async def flood(visit: Visit, first: bytes, repeated: bytes) -> None:
    await visit.read_request()
    await visit.send(first)
    for _ in itertools.count():
        await visit.send(repeated)
        await asyncio.sleep(0)


FLOODS = {
    "interim heads": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "early hints": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 100),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 100),
    "one header": (b"HTTP/1.1 200 OK\r\nX: ", b"a" * 10_000),
    "status line": (b"HTTP/1.1 200 ", b"a" * 10_000),
    "no http": (b"", b"\x00\xff" * 1000),
    "one line": (HEAD.replace(b"Transfer-Encoding: chunked\r\n", b""), b"x" * 65536),
    "absurd length": (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nContent-Length: 99999999999999\r\n\r\n",
        b"x" * 65536,
    ),
    "chunk size line": (HEAD, b"1" * 1000),
    "chunk extension": (HEAD + b"1;", b"a=b;" * 1000),
    "switching protocols": (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"x" * 9999,
    ),
}


@pytest.mark.parametrize("what", FLOODS)
async def test_a_flood_is_a_fault_in_bounded_memory(what: str) -> None:
    first, repeated = FLOODS[what]
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    async with raw_server(lambda visit: flood(visit, first, repeated)) as server:
        backend = OllamaBackend(BackendAddress(name="raw", url=server.url))
        with pytest.raises(BackendFailed):
            await asyncio.wait_for(drain(backend, CALL), 20)
        await backend.aclose()

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 60_000


@pytest.mark.parametrize(
    "octets",
    [
        b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.9\r\n",
    ],
)
async def test_broken_http_is_a_fault(octets: bytes) -> None:
    async def play(visit: Visit) -> None:
        await visit.read_request()
        await visit.send(octets)
        await asyncio.sleep(0.2)

    async with raw_server(play) as server:
        backend = OllamaBackend(BackendAddress(name="raw", url=server.url))
        with pytest.raises(BackendFailed):
            await drain(backend, CALL)
        await backend.aclose()


@pytest.mark.parametrize("before", [b"", http_chunk(LINE)], ids=["at once", "after text"])
@pytest.mark.parametrize("broken", [b"zz\r\n", b"-1\r\n", b"5\r\nhello!!\r\n"])
async def test_framing_that_breaks_after_the_head_was_read_is_a_fault_at_once(before: bytes, broken: bytes) -> None:
    async def play(visit: Visit) -> None:
        await visit.read_request()
        await visit.send(HEAD + before)
        await asyncio.sleep(0.05)
        await visit.send(broken)
        await visit.watch_end()

    async with raw_server(play) as server:
        backend = OllamaBackend(BackendAddress(name="raw", url=server.url))
        with pytest.raises(BackendFailed):
            await asyncio.wait_for(drain(backend, CALL), 5)
        await backend.aclose()
