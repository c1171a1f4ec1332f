"""A load generator that costs little: raw HTTP/1.1 over asyncio streams, one request at a time per connection."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import attrs

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_US = 1_000_000
_PATHS = {"native": "/api/chat", "openai": "/v1/chat/completions"}


@attrs.frozen
class Target:
    """Where requests go, with whose keys, and whose CPU is counted."""

    url: str
    keys: Sequence[str]
    pid: int


@attrs.frozen(kw_only=True)
class Block:
    """What one block of requests took."""

    requests_per_s: float
    cpu_us_per_request: float
    p50_ms: float
    p99_ms: float


def cpu_s(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def _request(target: Target, key: str, kind: str, *, streamed: bool) -> bytes:
    body = json.dumps(
        {
            "model": "sim-chat",
            "stream": streamed,
            "messages": [{"role": "user", "content": "Tell me something about gateways, please."}],
        }
    ).encode()
    head = (
        f"POST {_PATHS[kind]} HTTP/1.1\r\nHost: {urlsplit(target.url).netloc}\r\n"
        f"Authorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _answer(reader: asyncio.StreamReader) -> float:
    """Reads one answer; says when its first body byte came."""
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(head.decode())
    lowered = head.lower()
    if b"content-length:" in lowered:
        length = int(lowered.split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        return time.perf_counter()
    first: float | None = None
    while size := int(await reader.readuntil(b"\r\n"), 16):
        first = first or time.perf_counter()
        await reader.readexactly(size + 2)
    await reader.readexactly(2)
    return first or time.perf_counter()


async def _client(target: Target, requests: Sequence[bytes], first_bytes_s: list[float]) -> None:
    address = urlsplit(target.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    for request in requests:
        began = time.perf_counter()
        writer.write(request)
        first_bytes_s.append(await _answer(reader) - began)
    writer.close()
    await writer.wait_closed()


async def run_block(target: Target, *, kind: str, streamed: bool, connections: int, requests: int) -> Block:
    """Sends requests over so many connections; the first use of each key is not counted."""
    prepared = [_request(target, key, kind, streamed=streamed) for key in target.keys]
    await _client(target, prepared, [])
    turn = itertools.cycle(prepared)
    shares = [[next(turn) for _ in range(requests // connections)] for _ in range(connections)]
    first_bytes_s: list[float] = []
    cpu_before, began = cpu_s(target.pid), time.perf_counter()
    await asyncio.gather(*(_client(target, share, first_bytes_s) for share in shares))
    took_s, cpu = time.perf_counter() - began, cpu_s(target.pid) - cpu_before
    first_bytes_s.sort()
    count = len(first_bytes_s)
    return Block(
        requests_per_s=count / took_s,
        cpu_us_per_request=cpu / count * _US,
        p50_ms=first_bytes_s[count // 2] * 1000,
        p99_ms=first_bytes_s[int(count * 0.99)] * 1000,
    )
