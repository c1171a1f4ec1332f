"""Kept prompts for the operator: found, and the look at them written down, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from adapters.postgres.pool import Pool
from adapters.postgres.register_steps import Steps, no_such_key
from adapters.postgres.rows import RECORD, Row
from domain.faults import FaultCode
from domain.ports.prompt_journal import KeptPrompts, NotKept
from domain.prompts import Heading, Listed, SealedExchange

_PATIENCE_S = 10.0
_LISTED = """
    select p.tenant_id, p.request_id, p.at, p.expires_at, p.key_id, p.key_prefix, p.route, p.model, p.streamed,
        p.prompt_bytes, p.prompt_cut, p.answer_bytes, p.answer_cut
    from neuronetz.prompts p
    where p.tenant_id = %(tenant_id)s and p.expires_at > neuronetz.ledger_now()
        and (%(key_id)s::uuid is null or p.key_id = %(key_id)s)
        and (%(since)s::timestamptz is null or p.at >= %(since)s)
    order by p.at desc, p.request_id
    limit %(most)s
"""
_ONE = """
    select * from neuronetz.prompts p
    where p.request_id = %(request_id)s and p.expires_at > neuronetz.ledger_now()
"""


class PostgresKeptPrompts(KeptPrompts):
    """The operator's side of the prompt log."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def entries(
        self, tenant_name: str, *, key_prefix: str | None, since: datetime | None, most: int, actor: str
    ) -> Sequence[Listed]:
        """See the port."""
        async with self._pool.transaction(FaultCode.LEDGER_UNAVAILABLE, patience_s=_PATIENCE_S) as connection:
            steps = Steps(connection, actor)
            tenant = await steps.tenant(tenant_name)
            key = None if key_prefix is None else await steps.key(key_prefix)
            if key is not None and key.tenant_id != tenant.id:
                raise no_such_key(key.prefix)
            key_id = None if key is None else UUID(key.id)
            rows = await steps.rows(_LISTED, tenant_id=UUID(tenant.id), key_id=key_id, since=since, most=most)
            looked = {"entries": len(rows), "since": since}
            await _record(steps, "list_prompts", looked, actor, tenant.id, key_id, key_prefix)
            return [_listed(row) for row in rows]

    async def entry(self, request_id: str, *, actor: str) -> SealedExchange:
        """See the port."""
        async with self._pool.transaction(FaultCode.LEDGER_UNAVAILABLE, patience_s=_PATIENCE_S) as connection:
            steps = Steps(connection, actor)
            row = await steps.one(_ONE, request_id=UUID(request_id))
            if row is None:
                raise NotKept(request_id)
            looked = {"request_id": request_id}
            await _record(steps, "show_prompt", looked, actor, row["tenant_id"], row["key_id"], row["key_prefix"])
            return SealedExchange(
                listed=_listed(row), hour_key_id=row["hour_key_id"].hex, prompt=row["prompt"], answer=row["answer"]
            )


async def _record(
    steps: Steps, look: str, at: Row, actor: str, tenant_id: object, key_id: UUID | None, key_prefix: str | None
) -> None:
    """The audit row of a look: at what, never what it said."""
    detail = Jsonb({"change": look, "before": None, "after": at}, dumps=msgspec.json.encode)
    await steps.run(RECORD, tenant_id=tenant_id, key_id=key_id, key_prefix=key_prefix, actor=actor, detail=detail)


def _listed(row: Row) -> Listed:
    return Listed(
        heading=Heading(
            request_id=row["request_id"].hex,
            tenant_id=str(row["tenant_id"]),
            key_id=str(row["key_id"]),
            key_prefix=row["key_prefix"],
            route=row["route"],
            model=row["model"],
            streamed=row["streamed"],
        ),
        at=row["at"],
        expires_at=row["expires_at"],
        prompt_bytes=row["prompt_bytes"],
        answer_bytes=row["answer_bytes"],
        prompt_cut=row["prompt_cut"],
        answer_cut=row["answer_cut"],
    )
