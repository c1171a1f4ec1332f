"""The audit trace of what took no hold: gathered in memory, written in batches every 200 ms.

A flood must not become a flood of rows: of one refusal from one network (an IPv4 /24, an IPv6 /48), 200 a second are
written one by one and the rest as one counted row. What does not fit the queue is lost and said so: `full` stays true,
which makes the gateway close, until the queue is half empty again; and the loss itself is written down, as a count.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections import deque
from collections.abc import Callable, Sequence
from functools import lru_cache
from uuid import uuid4

import attrs
import msgspec
import psycopg
import structlog

from adapters.postgres.pool import Pool
from domain.faults import FaultCode, StoreUnavailable
from domain.ports.usage_journal import Note, UsageJournal

_log = structlog.get_logger("neuronetz")

CAPACITY = 10_000
EVERY_S = 0.2
ONE_BY_ONE_A_SECOND = 200
NOTES_LOST = "notes_lost"
_MOST_IN_BATCH = 1_000
_MOST_CHARACTERS = 256
"""Of any text in a note. Some of it is the caller's, who could otherwise fill memory and table with one request."""
_PAUSE_S = 1.0
_PATIENCE_S = 5.0
_NO_JSON = (msgspec.MsgspecError, TypeError, ValueError, OverflowError)

_WRITE = """
    insert into neuronetz.audit (at, tenant_id, request_id, event, key_id, key_prefix, route, model, address, status,
        code, count)
    select neuronetz.ledger_now(), coalesce(n.tenant_id, '00000000-0000-0000-0000-000000000000'), n.request_id,
        n.event, n.key_id, n.key_prefix, n.route, n.model, n.address, n.status, n.code, n.count
    from jsonb_to_recordset(%(notes)s::jsonb) as n (tenant_id uuid, request_id uuid, event text, key_id uuid,
        key_prefix text, route text, model text, address text, status smallint, code text, count int)
    where not exists (
        select from neuronetz.audit a
        where %(again)s and a.at > neuronetz.ledger_now() - interval '1 hour'
            and a.tenant_id = coalesce(n.tenant_id, '00000000-0000-0000-0000-000000000000')
            and a.request_id = n.request_id and a.event = n.event)
    on conflict do nothing
"""


@attrs.define
class _Entry:
    note: Note
    count: int = 1

    def words(self) -> dict[str, object]:
        return {name: _writable(value) for name, value in attrs.asdict(self.note).items()} | {"count": self.count}


class PostgresUsageJournal(UsageJournal):
    """The journal of one gateway process. `start()` it in a running loop, `stop()` it after draining."""

    def __init__(self, pool: Pool, *, clock_s: Callable[[], float], capacity: int = CAPACITY) -> None:
        """Takes the pool, a monotonic clock, and how many notes may wait."""
        self._pool = pool
        self._clock_s = clock_s
        self._capacity = capacity
        self._waiting: deque[_Entry] = deque()
        self._in_flight: Sequence[_Entry] = ()
        self._second = -1
        self._seen: dict[tuple[str | None, ...], int] = {}
        self._counted: dict[tuple[str | None, ...], _Entry] = {}
        self._lost = 0
        self._full = False
        self._empty = asyncio.Event()
        self._empty.set()
        self._writer: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Starts the writer."""
        self._writer = asyncio.create_task(self._run(), name="usage-journal")

    async def stop(self) -> None:
        """Ends the writer; what is not written by now is lost: drain first."""
        if self._writer is not None:
            self._writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._writer

    @property
    def full(self) -> bool:
        """See the port."""
        return self._full

    @property
    def waiting(self) -> int:
        """Rows handed over and not yet written."""
        return len(self._waiting) + len(self._counted) + len(self._in_flight)

    def note(self, note: Note) -> None:
        """See the port."""
        note = _clipped(note)
        self._empty.clear()
        self._turn_second()
        if note.event == "refused" and self._is_flood(note):
            return
        if len(self._waiting) + len(self._counted) >= self._capacity:
            self._full = True
            self._lost += 1
            return
        self._waiting.append(_Entry(note))

    async def drain(self, timeout_s: float) -> None:
        """See the port."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                self._flush_counted()
                await self._empty.wait()

    def _is_flood(self, note: Note) -> bool:
        kind = (_network(note.address), note.code, note.tenant_id, note.key_id)
        seen = self._seen.get(kind, 0) + 1
        self._seen[kind] = seen
        if seen <= ONE_BY_ONE_A_SECOND:
            return False
        if kind in self._counted:
            self._counted[kind].count += 1
        else:
            self._counted[kind] = _Entry(note)
        return True

    def _turn_second(self) -> None:
        second = int(self._clock_s())
        if second != self._second:
            self._second = second
            self._seen.clear()
            self._flush_counted()

    def _flush_counted(self) -> None:
        self._waiting.extend(self._counted.values())
        self._counted.clear()

    async def _run(self) -> None:
        """Outlives its own bugs: without a writer the journal would fill in silence."""
        again = False
        while True:
            try:
                await asyncio.sleep(_PAUSE_S if again else EVERY_S)
                self._turn_second()
                again = not await self._write_all(again=again)
            except Exception:  # noqa: BLE001  as above; the log tells
                again = True
                _log.exception("notes_not_written", waiting=len(self._waiting))

    async def _write_all(self, *, again: bool) -> bool:
        while self._in_flight or self._waiting or self._lost:
            if not self._in_flight:
                self._gather()
            try:
                words = msgspec.json.encode([entry.words() for entry in self._in_flight])
            except _NO_JSON:  # a bug of whoever made the note, which must not stop the others
                self._drop_unwritable()
                continue
            try:
                await self._pool.uninterrupted(self._write(words, again=again))
            except StoreUnavailable as fault:
                if isinstance(fault.__cause__, psycopg.DataError):
                    self._drop_unwritable()
                    continue
                if not again:
                    _log.warning("notes_not_written", reason=str(fault.__cause__), waiting=len(self._waiting))
                return False
            self._in_flight = ()
            again = False
        if not self._counted:
            self._empty.set()
        return True

    def _gather(self) -> None:
        self._in_flight = [self._waiting.popleft() for _ in range(min(_MOST_IN_BATCH, len(self._waiting)))]
        if self._lost:
            lost = Note(request_id=uuid4().hex, event="refused", route="", address="", status=0, code=NOTES_LOST)
            self._in_flight.append(_Entry(lost, self._lost))
            self._lost = 0
        self._full = self._full and len(self._waiting) > self._capacity // 2

    def _drop_unwritable(self) -> None:
        """Halves a batch that holds something which can never be written; alone, that is lost and counted."""
        if len(self._in_flight) > 1:
            half = len(self._in_flight) // 2
            self._waiting.extendleft(reversed(self._in_flight[half:]))
            self._in_flight = self._in_flight[:half]
        else:
            _log.error("note_cannot_be_written", routes=[entry.note.route for entry in self._in_flight])
            self._lost += sum(entry.count for entry in self._in_flight)
            self._in_flight = ()

    async def _write(self, words: bytes, *, again: bool) -> None:
        async with self._pool.transaction(FaultCode.LEDGER_UNAVAILABLE, patience_s=_PATIENCE_S) as connection:
            await connection.execute(_WRITE, {"notes": words.decode(), "again": again})


def _clipped(note: Note) -> Note:
    texts = attrs.asdict(note, recurse=False)
    long = {name: text[:_MOST_CHARACTERS] for name, text in texts.items() if _is_long(text)}
    return attrs.evolve(note, **long) if long else note


def _is_long(value: object) -> bool:
    return isinstance(value, str) and len(value) > _MOST_CHARACTERS


def _writable(value: object) -> object:
    """Text as PostgreSQL keeps it: no NUL, no half of a surrogate pair."""
    return value.replace("\0", "").encode(errors="replace").decode() if isinstance(value, str) else value


@lru_cache(maxsize=4096)
def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    prefix = 24 if parsed.version == 4 else 48  # noqa: PLR2004 - the version of IP
    return str(ipaddress.ip_network((parsed, prefix), strict=False))
