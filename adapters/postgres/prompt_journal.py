"""Kept prompts in PostgreSQL: sealed rows in, sealed rows out, by the functions of `sql/0002/02_prompts.sql`."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import psycopg

from adapters.postgres.pool import Pool
from domain.faults import FaultCode, StoreUnavailable
from domain.ports.prompt_journal import PromptJournal, Unwritable
from domain.prompts import SealedExchange, end_of_hour

LOST = "prompts_lost"
_PATIENCE_S = 5.0
_AUDIT_LOSS = """
    insert into neuronetz.audit (at, tenant_id, event, code, count, actor, detail)
    select neuronetz.ledger_now(), l.tenant_id, 'admin', %(code)s, l.count, 'gateway',
        jsonb_build_object('change', %(code)s::text, 'before', null, 'after', jsonb_build_object('count', l.count))
    from jsonb_to_recordset(%(lost)s::jsonb) as l (tenant_id uuid, count int)
"""


class PostgresPromptJournal(PromptJournal):
    """A gateway's side of the prompt log."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def now(self) -> datetime:
        """See the port."""
        rows = await self._ask("select neuronetz.ledger_now() as now")
        found: datetime = rows[0]["now"]
        return found

    async def write(self, entries: Sequence[SealedExchange], *, lost: Mapping[str, int]) -> None:
        """See the port."""
        await self._pool.uninterrupted(self._write(entries, lost))

    async def purge(self) -> Sequence[str]:
        """See the port."""
        rows = await self._ask("select neuronetz.purge_prompts() as id")
        return [row["id"].hex for row in rows]

    async def forget_keys(self, key_ids: Sequence[str]) -> None:
        """See the port."""
        await self._ask("select neuronetz.forget_hour_keys(%(ids)s)", ids=[UUID(key_id) for key_id in key_ids])

    async def _ask(self, query: str, **values: Any) -> list[dict[str, Any]]:
        return await self._pool.uninterrupted(self._answer(query, values))

    async def _answer(self, query: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        async with self._pool.transaction(FaultCode.LEDGER_UNAVAILABLE, patience_s=_PATIENCE_S) as connection:
            cursor = await connection.execute(query, values)
            return await cursor.fetchall()

    async def _write(self, entries: Sequence[SealedExchange], lost: Mapping[str, int]) -> None:
        rows = msgspec.json.encode([_row(entry) for entry in entries]).decode()
        losses = msgspec.json.encode([{"tenant_id": tenant, "count": count} for tenant, count in lost.items()]).decode()
        try:
            async with self._pool.transaction(FaultCode.LEDGER_UNAVAILABLE, patience_s=_PATIENCE_S) as connection:
                await connection.execute("select neuronetz.write_prompts(%(rows)s::jsonb)", {"rows": rows})
                if lost:
                    await connection.execute(_AUDIT_LOSS, {"lost": losses, "code": LOST})
        except StoreUnavailable as fault:
            if isinstance(fault.__cause__, psycopg.DataError | psycopg.IntegrityError):
                raise Unwritable("PostgreSQL will not take this batch") from fault.__cause__
            raise


def _row(entry: SealedExchange) -> dict[str, object]:
    listed, heading = entry.listed, entry.listed.heading
    return {
        "tenant_id": heading.tenant_id,
        "request_id": heading.request_id,
        "at": listed.at,
        "expires_at": listed.expires_at,
        "key_id": heading.key_id,
        "key_prefix": heading.key_prefix,
        "route": heading.route,
        "model": heading.model,
        "streamed": heading.streamed,
        "hour_key_id": entry.hour_key_id,
        "hour_key_ends_at": end_of_hour(listed.expires_at),
        "prompt_bytes": listed.prompt_bytes,
        "prompt_cut": listed.prompt_cut,
        "prompt": b64encode(entry.prompt).decode(),
        "answer_bytes": listed.answer_bytes,
        "answer_cut": listed.answer_cut,
        "answer": b64encode(entry.answer).decode(),
    }
