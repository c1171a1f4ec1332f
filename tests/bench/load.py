"""A load generator that costs little: HTTP/1.1 as bytes over asyncio protocols, one request at a time a connection.

It runs in the bench's own program, not in what is measured, but on the same cores. It understands just enough of an
answer to know its first byte and its end.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Self, cast
from urllib.parse import urlsplit

import attrs

from tests.bench.accounts import Account

_PATHS = {"native": "/api/chat", "openai": "/v1/chat/completions"}
_NEW_KEYS_AT_ONCE = 4
_HEAD_END = b"\r\n\r\n"
# No content has a CR in it: lines of JSON end with LF.
_LAST_CHUNK = b"\r\n0\r\n\r\n"


@attrs.frozen
class Target:
    """Where requests go, and with whose keys."""

    url: str
    keys: Sequence[str] = ("",)


@attrs.define
class Record:
    """What was seen of a block's answers, in seconds."""

    first_bytes_s: list[float] = attrs.field(factory=list)
    gaps_s: list[float] = attrs.field(factory=list)
    """Between two pieces of one answer."""


@attrs.frozen(kw_only=True)
class Block:
    """What one block of requests took."""

    count: int
    took_s: float
    cpu_s: Mapping[str, float]
    record: Record = attrs.field(repr=False)

    @property
    def requests_per_s(self) -> float:
        """Answers, not attempts: one that is not 200 ends the bench."""
        return self.count / self.took_s

    def cpu_us(self, who: str) -> float:
        """CPU of one of the accounts, in microseconds a request."""
        return self.cpu_s[who] / self.count * 1_000_000

    def first_byte_ms(self, part: float) -> float:
        """A quantile of the time to the first byte."""
        return quantile(self.record.first_bytes_s, part) * 1000

    def gap_ms(self, part: float) -> float:
        """A quantile of the time between two pieces."""
        return quantile(self.record.gaps_s, part) * 1000


def quantile(values: Sequence[float], part: float) -> float:
    """The value that this part of all does not exceed; 0 when there is none."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)] if ordered else 0.0


def request_of(target: Target, key: str, kind: str, *, streamed: bool) -> bytes:
    """One request as it goes over the wire."""
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


class Line(asyncio.Protocol):
    """One connection, with one answer at a time."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._transport: asyncio.Transport | None = None
        self._answered: asyncio.Future[None] | None = None
        self._head = b""
        self._tail = b""
        self._left_bytes: int | None = None
        self._sent_s = self._piece_s = 0.0

    @classmethod
    async def open(cls, target: Target, record: Record) -> Line:
        """Connects."""
        host, _, port = urlsplit(target.url).netloc.partition(":")
        _, line = await asyncio.get_running_loop().create_connection(lambda: cls(record), host, int(port))
        return line

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its class

    async def ask(self, request: bytes) -> None:
        """Sends a request and waits for the end of its answer; raises RuntimeError for any but 200."""
        if self._transport is None:
            raise RuntimeError("the connection is closed")
        self._answered = asyncio.get_running_loop().create_future()
        self._head = self._tail = b""
        self._piece_s = 0.0
        self._sent_s = time.perf_counter()
        self._transport.write(request)
        await self._answered

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        now_s = time.perf_counter()
        if not self._tail:
            data = self._read_head(data)
            if not data:
                return
        if not self._piece_s:
            self._record.first_bytes_s.append(now_s - self._sent_s)
        elif self._left_bytes is None:
            self._record.gaps_s.append(now_s - self._piece_s)
        self._piece_s = now_s
        self._tail = (self._tail + data)[-len(_LAST_CHUNK) :]
        if self._left_bytes is not None:
            self._left_bytes -= len(data)
        if self._left_bytes == 0 or (self._left_bytes is None and self._tail == _LAST_CHUNK):
            self._end(None)

    def _read_head(self, data: bytes) -> bytes:
        """What follows the head; nothing as long as that is not whole."""
        head, end, rest = (self._head + data).partition(_HEAD_END)
        self._head = head + end
        if not end:
            return b""
        if not head.startswith(b"HTTP/1.1 200"):
            self._end(RuntimeError(f"{head.decode()}\n{rest.decode(errors='replace')}"))
            return b""
        lowered = head.lower()
        self._left_bytes = None
        if b"content-length:" in lowered:
            self._left_bytes = int(lowered.split(b"content-length:")[1].split(b"\r\n")[0])
        return rest

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._end(RuntimeError(f"the connection broke in mid-answer: {exc!r}"))

    def _end(self, error: RuntimeError | None) -> None:
        answered = self._answered
        if answered is None or answered.done():
            return
        if error is None:
            answered.set_result(None)
        else:
            answered.set_exception(error)


async def warm_up(target: Target, kind: str, *, streamed: bool) -> None:
    """Uses each key, so that what a key costs at its first use is not counted: its hash, its tenant's limits.

    First a look each, a few at a time, because more new keys at once than there is room to hash are refused; then a
    call each, all at once, because answers may be slow.
    """
    room = asyncio.Semaphore(_NEW_KEYS_AT_ONCE)

    async def once(request: bytes) -> None:
        line = await Line.open(target, Record())
        await line.ask(request)
        line.close()

    async def look(key: str) -> None:
        async with room:
            await once(_look_of(target, key))

    await asyncio.gather(*(look(key) for key in target.keys if key))
    await asyncio.gather(*(once(request_of(target, key, kind, streamed=streamed)) for key in target.keys))


def _look_of(target: Target, key: str) -> bytes:
    return (
        f"GET /api/tags HTTP/1.1\r\nHost: {urlsplit(target.url).netloc}\r\nAuthorization: Bearer {key}\r\n\r\n"
    ).encode()


async def full_load(
    target: Target,
    accounts: Mapping[str, Account],
    *,
    kind: str,
    streamed: bool,
    connections: int,
    requests: int,
    spread_s: float = 0.0,
) -> Block:
    """So many connections, each sending its next request when the last one is answered.

    Args:
        accounts: whose CPU is counted.
        requests: in all.
        spread_s: over which the connections begin, so that slow answers do not go in step.
    """
    await warm_up(target, kind, streamed=streamed)
    turn = _in_turn(target, kind, streamed=streamed)
    record = Record()
    lines = [await Line.open(target, record) for _ in range(connections)]

    async def client(place: int, line: Line) -> None:
        await asyncio.sleep(spread_s * place / connections)
        for _ in range(max(1, requests // connections)):
            await line.ask(next(turn))

    with _Counted(accounts) as counted:
        await asyncio.gather(*(client(place, line) for place, line in enumerate(lines)))
    for line in lines:
        line.close()
    return counted.block(record)


async def first_calls(target: Target, accounts: Mapping[str, Account], *, kind: str, at_once: int) -> Block:
    """One call with each key, as its first: a few at a time, because each costs a hash."""
    record, waiting = Record(), iter([request_of(target, key, kind, streamed=False) for key in target.keys])
    lines = [await Line.open(target, record) for _ in range(at_once)]

    async def client(line: Line) -> None:
        for request in waiting:
            await line.ask(request)

    with _Counted(accounts) as counted:
        await asyncio.gather(*map(client, lines))
    for line in lines:
        line.close()
    return counted.block(record)


async def constant_load(
    target: Target, accounts: Mapping[str, Account], *, kind: str, per_s: float, for_s: float
) -> Block:
    """Requests at a constant rate, whether or not the former ones are answered."""
    await warm_up(target, kind, streamed=False)
    turn, record = _in_turn(target, kind, streamed=False), Record()
    free = [await Line.open(target, record) for _ in range(8)]

    async def one() -> None:
        line = free.pop() if free else await Line.open(target, record)
        await line.ask(next(turn))
        free.append(line)

    with _Counted(accounts) as counted:
        began_s = time.perf_counter()
        asked = []
        for number in range(int(per_s * for_s)):
            await asyncio.sleep(began_s + number / per_s - time.perf_counter())
            asked.append(asyncio.create_task(one()))
        await asyncio.gather(*asked)
    for line in free:
        line.close()
    return counted.block(record)


def _in_turn(target: Target, kind: str, *, streamed: bool) -> Iterator[bytes]:
    return itertools.cycle([request_of(target, key, kind, streamed=streamed) for key in target.keys])


class _Counted:
    """Counts time and CPU while it is open."""

    def __init__(self, accounts: Mapping[str, Account]) -> None:
        self._accounts = accounts
        self._cpu_s: dict[str, float] = {}
        self._began_s = self._took_s = 0.0

    def __enter__(self) -> Self:
        self._cpu_s = {who: account() for who, account in self._accounts.items()}
        self._began_s = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self._took_s = time.perf_counter() - self._began_s
        self._cpu_s = {who: account() - self._cpu_s[who] for who, account in self._accounts.items()}

    def block(self, record: Record) -> Block:
        return Block(count=len(record.first_bytes_s), took_s=self._took_s, cpu_s=self._cpu_s, record=record)
