"""The few connections for everything that is not the ledger's hot path: key lookups, the operator's changes, notes.

Own and small, because of what was seen with `psycopg_pool`: after an outage its attempts come 1, 2, 4, 8 ... s apart
for minutes (psycopg issue 370), and on a server that is frozen rather than dead, its patience ends while its check
of a connection goes on waiting. Here a connection is made when someone needs it, an idle one is asked whether it lives
before it is used again, and patience is kept with `cut`: the socket is shut down, which psycopg meets as a loss.

psycopg is never cancelled in the middle of something: that asks the server to cancel, waits for its leave, and now and
then loses the connection. A caller that may leave works `uninterrupted`: it leaves, and the work ends without it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import attrs
import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row

from adapters.postgres.address import DatabaseAddress
from domain.faults import FaultCode, StoreUnavailable

PATIENCE_S = 1.0
_STATEMENT_TIMEOUT_MS = 30_000
_MOST_WAITING = 200
_TRUSTED_FOR_S = 1.0

Connection = psycopg.AsyncConnection[DictRow]
T = TypeVar("T")


@attrs.frozen(kw_only=True)
class PoolUse:
    """How much of the pool is taken now."""

    lent: int
    idle: int
    waiting: int


class Pool:
    """At most so many connections, made when they are needed. Building it connects to nothing."""

    def __init__(
        self,
        address: DatabaseAddress,
        *,
        name: str = "neuronetz-pool",
        most: int = 4,
        statement_timeout_ms: int = _STATEMENT_TIMEOUT_MS,
    ) -> None:
        settings = {"statement_timeout": str(statement_timeout_ms), "client_connection_check_interval": "500"}
        self._parameters = address.parameters(name=name, settings=settings)
        self._places = asyncio.Semaphore(most)
        self._lent_now = 0
        self._waiting = 0
        self._idle: list[tuple[Connection, float]] = []
        self._works: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        """Makes a first connection, so that nobody waits for it; without PostgreSQL, nothing."""
        with contextlib.suppress(StoreUnavailable):
            async with self.transaction(FaultCode.LEDGER_UNAVAILABLE):
                pass

    async def close(self) -> None:
        """Waits for works whose caller has left, which is not longer than their patience; then closes everything."""
        if self._works:
            await asyncio.wait(self._works)
        self._idle, idle = [], self._idle
        for connection, _ in idle:
            await connection.close()

    @property
    def use(self) -> PoolUse:
        """For whoever watches."""
        return PoolUse(lent=self._lent_now, idle=len(self._idle), waiting=self._waiting)

    async def uninterrupted(self, work: Coroutine[Any, Any, T]) -> T:
        """Does the work to its end, even if the caller is cancelled while it waits."""
        task = asyncio.create_task(work)
        self._works.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._works.discard(task)
        if not task.cancelled():
            task.exception()  # looked at: its caller may have left

    @asynccontextmanager
    async def transaction(self, code: FaultCode, *, patience_s: float = PATIENCE_S) -> AsyncIterator[Connection]:
        """A connection inside one transaction, which commits when the block ends well.

        Args:
            code: which fault it is when PostgreSQL cannot answer.
            patience_s: how long getting a connection and the block may take together.

        Raises:
            StoreUnavailable: it cannot.
            psycopg.errors.UniqueViolation: the caller's to translate; no other error of psycopg's is let out.
        """
        try:
            async with self._place(code), self._lent(patience_s) as connection, connection.transaction():
                yield connection
        except psycopg.errors.UniqueViolation:
            raise
        except psycopg.errors.InsufficientPrivilege as error:
            raise StoreUnavailable(code, "PostgreSQL refuses this to the login that asks.") from error
        except (psycopg.Error, OSError, TimeoutError) as error:
            raise StoreUnavailable(code, "PostgreSQL cannot answer.") from error

    @asynccontextmanager
    async def _place(self, code: FaultCode) -> AsyncIterator[None]:
        if self._waiting >= _MOST_WAITING:
            raise StoreUnavailable(code, "Too many are waiting for PostgreSQL.")
        self._waiting += 1
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._places.acquire()
        finally:
            self._waiting -= 1
        self._lent_now += 1
        try:
            yield
        finally:
            self._lent_now -= 1
            self._places.release()

    @asynccontextmanager
    async def _lent(self, patience_s: float) -> AsyncIterator[Connection]:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + patience_s
        connection = await self._living(deadline_s) or await self._new(deadline_s)
        guard, cancelled = loop.call_at(deadline_s, cut, connection), False
        try:
            yield connection
        except asyncio.CancelledError:
            cancelled = True
            cut(connection)  # what it was doing is not known any more
            raise
        finally:
            guard.cancel()
            # One that was cut may look idle, if its last answer had come: the next one to borrow it would meet its end.
            await self._take_back(connection, whole=not cancelled and loop.time() < deadline_s)

    async def _living(self, deadline_s: float) -> Connection | None:
        loop = asyncio.get_running_loop()
        while self._idle:
            connection, since_s = self._idle.pop()
            if loop.time() - since_s < _TRUSTED_FOR_S and not connection.closed:
                return connection
            guard = loop.call_at(deadline_s, cut, connection)
            try:
                await connection.execute("")
            except psycopg.Error:
                await connection.close()
            except BaseException:
                await connection.close()
                raise
            else:
                return connection
            finally:
                guard.cancel()
        return None

    async def _new(self, deadline_s: float) -> Connection:
        async with asyncio.timeout_at(deadline_s):
            return await psycopg.AsyncConnection.connect(autocommit=True, row_factory=dict_row, **self._parameters)

    async def _take_back(self, connection: Connection, *, whole: bool) -> None:
        if not whole or connection.closed or connection.info.transaction_status is not TransactionStatus.IDLE:
            await connection.close()
        else:
            self._idle.append((connection, asyncio.get_running_loop().time()))


def cut(connection: psycopg.AsyncConnection[Any]) -> None:
    """Ends a connection from outside, whatever waits on it: that meets an end of file at once."""
    if connection.closed:
        return
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as twin:
        twin.shutdown(socket.SHUT_RDWR)
