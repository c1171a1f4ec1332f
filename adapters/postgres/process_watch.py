"""What one gateway does in PostgreSQL beside requests, on one connection: it listens, beats, reaps and looks ahead.

::

    notices     LISTEN: a tenant or key was changed, by whomever; told on within milliseconds
    re-reading  every 5 s, what was changed lately: in case a notice was lost, and after every reconnect
    beat        every 10 s: this process lives, so its holds are its own
    reaper      every 10 s: closes the holds of processes that stopped beating, and counts what is open
    partitions  every day: the audit's next months

It survives the loss of its connection. While it is away nothing is admitted wrongly, since the ledger reads tenants and
keys itself; only running streams are cut later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import attrs
import msgspec
import psycopg
import structlog

from adapters.postgres.address import DatabaseAddress
from adapters.postgres.beat import beat
from adapters.postgres.pool import cut

_log = structlog.get_logger("neuronetz")

What = Literal["changed", "revoked", "suspended"]
OnChange = Callable[[str, str | None, int, What], Awaitable[None]]
"""Is told tenant id, key id or None, the new generation, and what happened."""

CHANNEL = "neuronetz_changes"
_FIRST_LOOK_BACK = timedelta(seconds=60)
_OVERLAP = timedelta(seconds=10)
_LONGEST_PAUSE_S = 5.0
_OPEN_TIMEOUT_S = 5.0
_AGAIN_S = 1.0
"""How soon a job is tried again that the server refused, or took too long for."""

_STANDING = """
    select t.id as tenant_id, null::uuid as key_id, t.generation,
        case t.state when 'suspended' then 'suspended' else 'changed' end as what
    from neuronetz.tenants t where t.{which}
    union all
    select k.tenant_id, k.id, k.generation, case when k.revoked_at is null then 'changed' else 'revoked' end
    from neuronetz.api_keys k where k.{which}
"""
_CHANGED = _STANDING.format(which="changed_at > %(since)s")
_NAMED = _STANDING.format(which="id = %(scope)s")
_HOLDS = """
    select count(*), coalesce(extract(epoch from neuronetz.ledger_now() - min(opened_at)), 0)
    from neuronetz.holds where state = 'open'
"""
_GOODBYE = """
    delete from neuronetz.processes p
    where p.id = %s and not exists (select from neuronetz.holds h where h.process_id = p.id and h.state = 'open')
"""


class _Notice(msgspec.Struct):
    tenant: UUID
    key: UUID | None
    generation: int
    what: What

    @property
    def scope(self) -> UUID:
        return self.key or self.tenant


@attrs.frozen(kw_only=True)
class WatchSettings:
    """How often."""

    reread_every_s: float = 5.0
    beat_every_s: float = 10.0
    reap_every_s: float = 10.0
    stale_after_s: float = 60.0
    """A process that has not beaten for so long is dead, and its holds are charged in full."""
    partitions_every_s: float = 86_400.0
    answer_s: float = 3.5
    """How long it waits for an answer before it takes the connection for dead: together with `reread_every_s` it bounds
    how late the streams of a revoked key are cut.
    """


@attrs.define
class HoldsSeen:
    """The open holds of all gateways, as last seen, and how many this process has reaped."""

    open: int = 0
    oldest_s: float = 0.0
    reaped: int = 0


@attrs.define
class _Job:
    name: str
    every_s: float
    run: Callable[[psycopg.AsyncConnection], Awaitable[None]]
    due_s: float = 0.0


async def _done(job: _Job, connection: psycopg.AsyncConnection) -> bool:
    """Does it. One that fails again and again must not keep the others from their turn."""
    try:
        await job.run(connection)
    except psycopg.Error as error:
        if connection.closed:
            raise
        _log.warning("watch_job_failed", job=job.name, error=type(error).__name__, reason=str(error))
        return False
    return True


class Watch:
    """The watch of one gateway process: `run()` it until it is cancelled."""

    def __init__(
        self,
        address: DatabaseAddress,
        process_id: UUID,
        on_change: OnChange,
        settings: WatchSettings | None = None,
    ) -> None:
        self._address = address
        self._process_id = process_id
        self._on_change = on_change
        self._settings = settings or WatchSettings()
        self._seen_until: datetime | None = None
        self._told: dict[str, int] = {}
        self.holds = HoldsSeen()

    async def run(self) -> None:
        """Watches until cancelled; then takes its leave, unless it still holds something."""
        attempt = 0
        while True:
            try:
                async with asyncio.timeout(_OPEN_TIMEOUT_S):
                    connection = await self._open()
                async with connection:
                    attempt = 0
                    await self._watch(connection)
            except (psycopg.Error, OSError, TimeoutError) as error:
                attempt += 1
                if attempt == 1:
                    _log.warning("watch_connection_lost", error=type(error).__name__, reason=str(error))
                await asyncio.sleep(min(0.1 * 2.0 ** min(attempt, 10), _LONGEST_PAUSE_S))

    async def _open(self) -> psycopg.AsyncConnection:
        parameters = self._address.parameters(
            name=f"neuronetz-watch {self._process_id.hex}",
            settings={"statement_timeout": "3000", "lock_timeout": "2000"},
        )
        return await psycopg.AsyncConnection.connect(autocommit=True, **parameters)

    async def _watch(self, connection: psycopg.AsyncConnection) -> None:
        loop = asyncio.get_running_loop()
        settings = self._settings
        jobs = [
            _Job("beat", settings.beat_every_s, self._beat),
            _Job("re-reading", settings.reread_every_s, self._reread),
            _Job("reaper", settings.reap_every_s, self._reap),
            _Job("partitions", settings.partitions_every_s, self._make_partitions),
        ]
        try:
            with self._answered(connection):
                await connection.execute(f"listen {CHANNEL}")
            while True:
                for job in jobs:
                    if loop.time() >= job.due_s:
                        done = await _done(job, connection)
                        job.due_s = loop.time() + (job.every_s if done else min(job.every_s, _AGAIN_S))
                # notices that came with the answers above wait in psycopg's backlog and come first here
                patience_s = max(0.0, min(job.due_s for job in jobs) - loop.time())
                notices = [notice async for notice in connection.notifies(timeout=patience_s, stop_after=1)]
                for notice in notices:
                    await self._tell_notice(connection, notice)
        except asyncio.CancelledError:
            await self._take_leave(connection)
            raise

    @contextmanager
    def _answered(self, connection: psycopg.AsyncConnection) -> Iterator[None]:
        """Around every question: no answer in time is the end of the connection.

        The server bounds its own work; this is for the answer that is lost on its way, of which TCP need not hear.
        """
        timer = asyncio.get_running_loop().call_later(self._settings.answer_s, cut, connection)
        try:
            yield
        finally:
            timer.cancel()

    async def _take_leave(self, connection: psycopg.AsyncConnection) -> None:
        """On a connection of its own: the cancelled one may be in the middle of something."""
        await connection.close()
        try:
            async with asyncio.timeout(1.0):
                parameters = self._address.parameters(name=f"neuronetz-watch {self._process_id.hex}")
                async with await psycopg.AsyncConnection.connect(autocommit=True, **parameters) as last:
                    await last.execute(_GOODBYE, (self._process_id,))
        except (psycopg.Error, OSError, TimeoutError) as error:
            _log.warning("watch_not_taken_leave", error=type(error).__name__)

    # ---- changes ----

    async def _tell_notice(self, connection: psycopg.AsyncConnection, notify: psycopg.Notify) -> None:
        """A notice says where to look. What it says besides anybody can say who may log in to this database, so it is
        passed on of a row alone that is not there any more.
        """
        try:
            notice = msgspec.json.decode(notify.payload, type=_Notice)
        except msgspec.DecodeError:
            _log.warning("notice_not_ours", channel=CHANNEL)
            return
        with self._answered(connection):
            rows = await (await connection.execute(_NAMED, {"scope": notice.scope})).fetchall()
        await self._tell(_Notice(*rows[0]) if rows else notice)

    async def _reread(self, connection: psycopg.AsyncConnection) -> None:
        with self._answered(connection):
            row = await (await connection.execute("select neuronetz.ledger_now()")).fetchone()
        if row is None:
            raise AssertionError("a select without a table has one row")
        now: datetime = row[0]
        since = now - _FIRST_LOOK_BACK if self._seen_until is None else self._seen_until - _OVERLAP
        with self._answered(connection):
            rows = await (await connection.execute(_CHANGED, {"since": since})).fetchall()
        changed = {str(key or tenant) for tenant, key, _, _ in rows}
        self._told = {scope: generation for scope, generation in self._told.items() if scope in changed}
        for row in rows:
            await self._tell(_Notice(*row))
        self._seen_until = now

    async def _tell(self, notice: _Notice) -> None:
        scope, key_id = str(notice.scope), None if notice.key is None else str(notice.key)
        if notice.generation <= self._told.get(scope, 0):
            return
        try:
            await self._on_change(str(notice.tenant), key_id, notice.generation, notice.what)
        except Exception:  # noqa: BLE001  whoever listens must not stop the watch; not told, it is tried again when re-reading
            _log.exception("change_not_passed_on", scope=scope)
        else:
            self._told[scope] = notice.generation

    # ---- upkeep ----

    async def _beat(self, connection: psycopg.AsyncConnection) -> None:
        with self._answered(connection):
            await beat(connection, self._process_id)

    async def _reap(self, connection: psycopg.AsyncConnection) -> None:
        stale_after = timedelta(seconds=self._settings.stale_after_s)
        while closed := await self._reap_some(connection, stale_after):
            self.holds.reaped += closed
            _log.warning("holds_reaped", holds=closed)
        with self._answered(connection):
            await connection.execute("select neuronetz.forget_the_dead(%s)", (stale_after,))
        await self._count_holds(connection)

    async def _count_holds(self, connection: psycopg.AsyncConnection) -> None:
        with self._answered(connection):
            row = await (await connection.execute(_HOLDS)).fetchone()
        if row is not None:
            self.holds.open, self.holds.oldest_s = int(row[0]), float(row[1])

    async def _reap_some(self, connection: psycopg.AsyncConnection, stale_after: timedelta) -> int:
        with self._answered(connection):
            row = await (await connection.execute("select neuronetz.reap(%s)", (stale_after,))).fetchone()
        return 0 if row is None else int(row[0])

    async def _make_partitions(self, connection: psycopg.AsyncConnection) -> None:
        with self._answered(connection):
            await connection.execute("select neuronetz.make_audit_partitions()")
