"""A gateway's side of the seals: looks at the chain, takes its turn, and adds one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import attrs
from psycopg.errors import UniqueViolation
from psycopg.rows import tuple_row

from adapters.postgres.pool import Connection, Pool
from adapters.postgres.seal_queries import (
    IN_ORDER,
    INSERT_ROWS,
    INSERT_SEAL,
    ROWS,
    SEALS,
    TURN,
    UNBORN,
    UNSEALED_AGE,
    WITHIN,
    head_of,
    one,
    state_of,
)
from domain.faults import FaultCode
from domain.ports.audit_seals import AlreadySealed, AuditSeals, SealingState, SealingTurn, SealLook
from domain.seals import Row, Seal, SealedRows

_PATIENCE_S = 30.0


@attrs.define
class _Turn(SealingTurn):
    _connection: Connection
    head: Seal | None
    state: SealingState

    async def rows(self, from_xid: int, to_xid: int, most: int | None, *, restored: bool) -> Sequence[Row]:
        """See the port."""
        query = f"{ROWS} {WITHIN} {UNBORN if restored else ''} {IN_ORDER} limit %(most)s"
        async with self._connection.cursor(row_factory=tuple_row) as cursor:
            await cursor.execute(query, {"from_xid": from_xid, "to_xid": to_xid, "most": most})
            return await cursor.fetchall()

    async def append(self, seal: Seal, rows: SealedRows) -> None:
        """See the port."""
        names, leaves = rows.packed()
        await self._connection.execute(INSERT_SEAL, attrs.asdict(seal))
        values = {"n": seal.n, "last_at": seal.last_at, "names": names, "leaves": leaves}
        await self._connection.execute(INSERT_ROWS, values)


class PostgresAuditSeals(AuditSeals):
    """Works on the pool that everything beside the ledger shares."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def look(self, known: int) -> SealLook:
        """See the port."""
        async with self._pool.transaction(FaultCode.LEDGER_UNAVAILABLE, patience_s=_PATIENCE_S) as connection:
            head, state = await head_of(connection), await state_of(connection)
            rows = await (await connection.execute(f"{SEALS} where s.n = %s", (known,))).fetchall()
            from_xid = 0 if head is None or head.restored or head.server != state.server else head.to_xid
            age = await one(connection, UNSEALED_AGE, from_xid=from_xid, unborn_from=state.unborn_from)
            return SealLook(head=head, known=Seal(**rows[0]) if rows else None, now=state.now, unsealed_s=age["age_s"])

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[SealingTurn | None]:
        """See the port."""
        try:
            async with self._pool.transaction(FaultCode.LEDGER_UNAVAILABLE, patience_s=_PATIENCE_S) as connection:
                if not (await one(connection, TURN))["mine"]:
                    yield None
                    return
                # Asked after the turn was given: so what the one before did is seen.
                yield _Turn(connection, await head_of(connection), await state_of(connection))
        except UniqueViolation as error:
            raise AlreadySealed from error
