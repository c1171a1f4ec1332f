"""An audit that is written, sealed, meddled with and checked: what the tests of seals have in common."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import attrs
import psycopg
from psycopg.rows import dict_row

from adapters.postgres.address import DatabaseAddress
from adapters.postgres.audit_seals import PostgresAuditSeals
from adapters.postgres.pool import Pool
from adapters.postgres.seal_queries import INSERT_ROWS, INSERT_SEAL, SEALS
from adapters.postgres.sealed_audit import PostgresSealedAudit
from adapters.system.clock import SystemClock
from application.seal_audit import SealAudit
from application.verify_audit import Verdict, VerifyAudit
from domain.seal_checks import Anchors
from domain.seals import Anchor, Seal, SealedRows, SealKey

KEY = SealKey.made_from(b"a secret that PostgreSQL never sees")
FORMER_KEY = SealKey.made_from(b"the secret that was used before that")

WRITE = """
    insert into neuronetz.audit (at, tenant_id, request_id, event, key_prefix, route, model, address, outcome, status,
        prompt_tokens, output_tokens, held_tokens, duration_ms, detail)
    select neuronetz.ledger_now(), ('00000000-0000-0000-0000-00000000000' || i %% 3)::uuid, gen_random_uuid(),
        (array['started', 'finished', 'refused'])[1 + i %% 3], 'nz_00000000', '/api/chat', 'llama3.2', '192.0.2.1',
        'answered', 200, i, 2 * i, 3 * i, i, jsonb_build_object('b', i, 'a', array[1.50, null])
    from generate_series(1, %s) i
"""


@attrs.define
class Sealing:
    """One database, one sealer, and any number of checks."""

    url: str = attrs.field(repr=False)
    pool: Pool
    sealer: SealAudit
    intruder: psycopg.Connection
    """A superuser for whom no trigger holds."""

    def write(self, rows: int = 1, *, transactions: int = 1) -> None:
        """Rows in transactions of so many."""
        for _ in range(transactions):
            with self.intruder.transaction():
                self.intruder.execute(WRITE, (rows,))

    def meddle(self, *statements: str) -> int:
        """In one transaction; says how many rows the last statement met."""
        with self.intruder.transaction():
            return [self.intruder.execute(statement.encode()).rowcount for statement in statements][-1]

    def ask(self, query: str) -> list[tuple[object, ...]]:
        return self.intruder.execute(query.encode()).fetchall()

    def seals(self) -> list[Seal]:
        """The chain."""
        with self.intruder.cursor(row_factory=dict_row) as cursor:
            return [Seal(**row) for row in cursor.execute(f"{SEALS} order by s.n").fetchall()]

    def replace(self, seal: Seal, rows: SealedRows) -> None:
        """Puts a forged one in the place of the one with its number."""
        names, leaves = rows.packed()
        with self.intruder.transaction():
            self.intruder.execute("delete from neuronetz.seals where n = %s", (seal.n,))
            self.intruder.execute("delete from neuronetz.seal_rows where n = %s", (seal.n,))
            self.intruder.execute(INSERT_SEAL, attrs.asdict(seal))
            values = {"n": seal.n, "last_at": seal.last_at, "names": names, "leaves": leaves}
            self.intruder.execute(INSERT_ROWS, values)

    async def seal(self) -> None:
        await self.sealer.step()

    async def verify(self, *keys: SealKey, anchors: Anchors | None = None) -> Verdict:
        audit = PostgresSealedAudit(self.pool)
        return await VerifyAudit(audit=audit, keys=keys or (KEY,), anchors=anchors).run()

    def anchors(self) -> Anchors:
        """What the log was told so far."""
        rows = self.ask("select n, encode(root, 'hex'), encode(mac, 'hex') from neuronetz.seals")
        return {int(str(n)): [Anchor(n=int(str(n)), root=str(root), mac=str(mac))] for n, root, mac in rows}


@asynccontextmanager
async def pool_of(url: str) -> AsyncIterator[Pool]:
    pool = Pool(DatabaseAddress.read(url), name=f"seals-{uuid4().hex[:8]}")
    try:
        yield pool
    finally:
        await pool.close()


@asynccontextmanager
async def sealing_of(url: str, key: SealKey = KEY) -> AsyncIterator[Sealing]:
    async with pool_of(url) as pool:
        with psycopg.connect(url, autocommit=True) as intruder:
            intruder.execute("set session_replication_role = replica")
            sealer = SealAudit(seals=PostgresAuditSeals(pool), key=key, clock=SystemClock(), every_s=0.0)
            yield Sealing(url=url, pool=pool, sealer=sealer, intruder=intruder)
