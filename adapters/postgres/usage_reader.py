"""Sums of the ledger and the audit, each question one short transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any

from adapters.postgres.pool import Connection, Pool
from adapters.postgres.register_steps import Steps, no_such_key
from adapters.postgres.rows import Row
from adapters.postgres.usage_queries import (
    BY_TENANT,
    BY_TIME,
    FLOWS,
    KEY_OF_TENANT,
    SPANS,
    STANDING,
    TENANT_FLOWS,
)
from domain.faults import FaultCode
from domain.ports.registers import Unknown
from domain.ports.usage_reader import (
    MOST_SPANS,
    Activity,
    BackendFlow,
    Flow,
    Span,
    SpanUse,
    TenantFlow,
    TenantUse,
    TooManySpans,
    UsageReader,
)

_PATIENCE_S = 60.0
_STEPS = {Span.HOUR: "1 hour", Span.DAY: "1 day", Span.MONTH: "1 month"}
"""The connection's time zone is UTC, so a month is one of UTC."""


class PostgresUsageReader(UsageReader):
    """Reads on the pool's connections."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def by_time(
        self,
        tenant_name: str,
        *,
        by: Span,
        since: datetime,
        until: datetime | None = None,
        key_prefix: str | None = None,
    ) -> Sequence[SpanUse]:
        """See the port."""
        async with self._asked() as connection:
            steps = Steps(connection, "")
            row = await steps.one("select id from neuronetz.tenants where name = %(name)s", name=tenant_name)
            if row is None:
                raise Unknown(f"There is no tenant `{tenant_name}`.")
            key_id = None if key_prefix is None else await _key_id(steps, row["id"], key_prefix)
            chosen: dict[str, Any] = {"by": str(by), "step": _STEPS[by]}
            spans = await steps.one(SPANS, since=since, until=until, **chosen) or {}
            if spans["spans"] > MOST_SPANS:
                raise TooManySpans(spans["spans"])
            if not spans["spans"]:
                return []
            rows = await steps.rows(
                BY_TIME, tenant_id=row["id"], key_id=key_id, since=spans["since"], until=spans["until"], **chosen
            )
            return [SpanUse(**use) for use in rows]

    async def by_tenant(self, most: int) -> Sequence[TenantUse]:
        """See the port."""
        async with self._asked() as connection:
            rows = await Steps(connection, "").rows(BY_TENANT, most=most)
            return [_tenant_use(row) for row in rows]

    async def activity(self, *, alive_within_s: float, most_tenants: int) -> Activity:
        """See the port."""
        async with self._asked() as connection:
            steps = Steps(connection, "")
            standing = await steps.one(STANDING, alive_within_s=alive_within_s) or {}
            flows = await steps.rows(FLOWS, now=standing["now"])
            tenants = await steps.rows(TENANT_FLOWS, now=standing["now"], most=most_tenants)
        return Activity(
            at=standing["now"],
            gateways=standing["gateways"],
            in_flight=standing["in_flight"],
            oldest_s=standing["oldest_s"],
            ten_seconds=_flow(row for row in flows if row["fresh"]),
            minute=_flow(flows),
            tenants=[_tenant_flow(row) for row in tenants],
            backends=_backend_flows(flows),
        )

    def _asked(self) -> AbstractAsyncContextManager[Connection]:
        return self._pool.transaction(FaultCode.LEDGER_UNAVAILABLE, patience_s=_PATIENCE_S)


async def _key_id(steps: Steps, tenant_id: object, prefix: str) -> object:
    row = await steps.one(KEY_OF_TENANT, tenant_id=tenant_id, prefix=prefix)
    if row is None:
        raise no_such_key(prefix)
    return row["id"]


def _tenant_use(row: Row) -> TenantUse:
    return TenantUse(
        tenant_name=row["name"],
        state=row["state"],
        today=row["today"],
        daily=row["daily_tokens"],
        this_month=row["this_month"],
        monthly=row["monthly_tokens"],
        held=row["held"],
    )


def _tenant_flow(row: Row) -> TenantFlow:
    return TenantFlow(
        tenant_name=row["name"],
        in_flight=row["holds"],
        minute=Flow(calls=row["calls"], refused=row["refused"], tokens=row["tokens"]),
        today=row["today"],
        daily=row["daily_tokens"],
    )


def _flow(rows: Iterable[Row]) -> Flow:
    rows = list(rows)
    return Flow(
        calls=sum(row["calls"] for row in rows),
        refused=sum(row["refused"] for row in rows),
        tokens=sum(map(_tokens, rows)),
    )


def _backend_flows(rows: Sequence[Row]) -> Sequence[BackendFlow]:
    names = sorted({row["backend"] for row in rows if row["backend"] is not None})
    return [
        BackendFlow(
            backend=name,
            ten_seconds=sum(_tokens(row) for row in rows if row["backend"] == name and row["fresh"]),
            minute=sum(_tokens(row) for row in rows if row["backend"] == name),
        )
        for name in names
    ]


def _tokens(row: Row) -> int:
    return int(row["prompt_tokens"] + row["output_tokens"])
