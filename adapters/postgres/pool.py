"""The few connections for everything that is not the ledger's hot path: key lookups, the operator's changes, notes.

psycopg's pool, with its patience cut short. When PostgreSQL stays away, the pool waits longer and longer between
attempts (1, 2, 4, 8 ... s) for as long as `reconnect_timeout`; with a short one it gives up instead, and the next
caller makes it try anew, so that it serves within seconds of PostgreSQL's return (psycopg issue 370).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from adapters.postgres.address import DatabaseAddress
from domain.faults import FaultCode, StoreUnavailable

_PATIENCE_S = 1.0
_STATEMENT_TIMEOUT_MS = "5000"
_RECONNECT_S = 1.0
_MOST_WAITING = 200

Connection = psycopg.AsyncConnection[DictRow]


class Pool:
    """A small pool. `open()` it in a running loop; PostgreSQL may come later."""

    def __init__(self, address: DatabaseAddress, *, name: str = "neuronetz-pool", most: int = 4) -> None:
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            kwargs={
                **address.parameters(name=name, settings={"statement_timeout": _STATEMENT_TIMEOUT_MS}),
                "row_factory": dict_row,
            },
            min_size=1,
            max_size=most,
            timeout=_PATIENCE_S,
            max_waiting=_MOST_WAITING,
            reconnect_timeout=_RECONNECT_S,
            check=AsyncConnectionPool.check_connection,
            name=name,
            open=False,
        )

    async def open(self) -> None:
        """Begins to connect; waits for nothing."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Closes every connection."""
        await self._pool.close(timeout=_PATIENCE_S)

    @asynccontextmanager
    async def transaction(self, code: FaultCode) -> AsyncIterator[Connection]:
        """A connection inside one transaction, which commits when the block ends well.

        Args:
            code: which fault it is when PostgreSQL cannot answer.

        Raises:
            StoreUnavailable: it cannot.
            psycopg.errors.UniqueViolation: the caller's to translate; any other error of psycopg's is not let out.
        """
        try:
            async with self._pool.connection() as connection:
                yield connection
        except psycopg.errors.UniqueViolation:
            raise
        except psycopg.Error as error:
            raise StoreUnavailable(code, "PostgreSQL cannot answer.") from error
