"""What tests ask of an answer: its chunks, its lines, its shape."""

import asyncio
import json
from typing import Any

import aiohttp

CHAT = {"model": "sim-chat", "messages": [{"role": "user", "content": "Say hello."}]}


async def chunks_of(response: aiohttp.ClientResponse) -> list[bytes]:
    """Return the HTTP chunks; a broken ending raises ClientPayloadError."""
    chunks, current = [], b""
    async for piece, is_end in response.content.iter_chunks():
        current += piece
        if is_end:
            chunks.append(current)
            current = b""
    return [*chunks, current] if current else chunks


async def raw_chunks(port: int, body: Any) -> list[bytes]:
    """Ask `/api/chat` on a bare socket and return the HTTP chunks as they are framed on the wire."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    octets = json.dumps(body).encode()
    head = f"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(octets)}\r\n\r\n"
    writer.write(head.encode() + octets)
    await reader.readuntil(b"\r\n\r\n")
    chunks = []
    while size := int(await reader.readline(), 16):
        chunks.append((await reader.readexactly(size + 2))[:-2])
    writer.close()
    return chunks


async def read_till_broken(response: aiohttp.ClientResponse) -> tuple[bytes, aiohttp.ClientError | None]:
    """Return what came before the connection broke, and the break."""
    got = b""
    try:
        async for piece in response.content.iter_any():
            got += piece
    except aiohttp.ClientError as broken:
        return got, broken
    return got, None


def native_lines(body: bytes) -> list[dict[str, Any]]:
    """Return the objects of an NDJSON body."""
    assert body.endswith(b"\n")
    return [json.loads(line) for line in body.splitlines()]


def sse_events(body: bytes) -> list[Any]:
    """Return the objects of an SSE body; the end marker stays text."""
    assert body.endswith(b"\n\n")
    payloads = [event.removeprefix("data: ") for event in body.decode().split("\n\n")[:-1]]
    return [payload if payload == "[DONE]" else json.loads(payload) for payload in payloads]


def named_events(body: bytes) -> list[Any]:
    """Return the objects of an SSE body whose events have names, each the same as its type."""
    assert body.endswith(b"\n\n")
    found = []
    for event in body.decode().split("\n\n")[:-1]:
        name, data = event.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


def text_of(lines: list[dict[str, Any]]) -> str:
    """Return the text of a native chat stream."""
    return "".join(line["message"]["content"] for line in lines if "message" in line)


def shape(value: Any) -> Any:
    """Return keys in order, all the way down; lists by their first item."""
    if isinstance(value, dict):
        return [(key, shape(inner)) for key, inner in value.items() if key not in {"arguments", "details"}]
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return None
