"""Sums over the books in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from domain.budgets import EPOCH, Window
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
from tests.fakes.registers import AuditRow, Books, Level, TenantRow

_CHARGES = ("finished", "reaped", "corrected")


class MemoryUsageReader(UsageReader):
    def __init__(self, books: Books) -> None:
        self._books = books
        self.gateways = 0

    async def by_time(
        self,
        tenant_name: str,
        *,
        by: Span,
        since: datetime,
        until: datetime | None = None,
        key_prefix: str | None = None,
    ) -> Sequence[SpanUse]:
        tenant = self._asked().tenant_named(tenant_name).shown
        key = None if key_prefix is None else self._books.key_at(key_prefix).shown
        if key is not None and key.tenant_id != tenant.id:
            raise Unknown(f"There is no key {key_prefix}.")
        rows = [row for row in self._books.audit if row.tenant_id == tenant.id and row.event != "admin"]
        rows = [row for row in rows if key is None or row.key_id == key.id]
        end = until or self._books.now() + timedelta(microseconds=1)
        starts = [_start(by, since)]
        while (following := _next(by, starts[-1])) < end:
            starts.append(following)
        if len(starts) > MOST_SPANS:
            raise TooManySpans(len(starts))
        return [_use(start, [row for row in rows if start <= row.at < min(_next(by, start), end)]) for start in starts]

    async def by_tenant(self, most: int) -> Sequence[TenantUse]:
        rows = self._asked().tenants.values()
        uses = [self._tenant_use(row) for row in rows]
        return sorted(uses, key=lambda use: (-use.this_month, -use.today, use.tenant_name))[:most]

    async def activity(self, *, alive_within_s: float, most_tenants: int) -> Activity:  # noqa: ARG002 - no processes
        books = self._asked()
        ended = {row.request_id for row in books.audit if row.event in _CHARGES}
        held = [row for row in books.audit if row.event == "started" and row.request_id not in ended]
        minute = [row for row in books.audit if row.at > books.now() - timedelta(seconds=60)]
        recent = [row for row in minute if row.at > books.now() - timedelta(seconds=10)]
        flows = [self._tenant_flow(row, minute, held) for row in books.tenants.values()]
        busy = [flow for flow in flows if flow.in_flight or flow.minute != _flow([])]
        return Activity(
            at=books.now(),
            gateways=self.gateways,
            in_flight=len(held),
            oldest_s=max((books.now() - row.at).total_seconds() for row in held) if held else None,
            ten_seconds=_flow(recent),
            minute=_flow(minute),
            tenants=sorted(busy, key=lambda flow: (-flow.in_flight, -flow.minute.tokens, flow.tenant_name))[
                :most_tenants
            ],
            backends=[_backend_flow(minute, recent)] if any(row.event in _CHARGES for row in minute) else [],
        )

    def _asked(self) -> Books:
        self._books.ask(FaultCode.LEDGER_UNAVAILABLE)
        return self._books

    def _level(self, row: TenantRow, window: Window) -> Level:
        start = EPOCH if window is Window.TOTAL else window.start(self._books.now())
        return self._books.windows.get((row.shown.id, row.shown.id, window, start), Level())

    def _tenant_use(self, row: TenantRow) -> TenantUse:
        return TenantUse(
            tenant_name=row.shown.name,
            state=row.shown.state,
            today=self._level(row, Window.DAILY).used,
            daily=row.shown.policy.budgets.daily,
            this_month=self._level(row, Window.MONTHLY).used,
            monthly=row.shown.policy.budgets.monthly,
            held=self._level(row, Window.TOTAL).held,
        )

    def _tenant_flow(self, row: TenantRow, minute: Sequence[AuditRow], held: Sequence[AuditRow]) -> TenantFlow:
        today = self._level(row, Window.DAILY)
        return TenantFlow(
            tenant_name=row.shown.name,
            in_flight=sum(one.tenant_id == row.shown.id for one in held),
            minute=_flow([one for one in minute if one.tenant_id == row.shown.id]),
            today=today.used + today.held,
            daily=row.shown.policy.budgets.daily,
        )


def _flow(rows: Sequence[AuditRow]) -> Flow:
    return Flow(
        calls=sum(row.event == "started" for row in rows),
        refused=sum(row.count for row in rows if row.event == "refused"),
        tokens=sum(row.prompt_tokens + row.output_tokens for row in rows if row.event in _CHARGES),
    )


def _backend_flow(minute: Sequence[AuditRow], recent: Sequence[AuditRow]) -> BackendFlow:
    """The books keep no backend; the contract has one."""
    return BackendFlow(backend="gpu-1", ten_seconds=_flow(recent).tokens, minute=_flow(minute).tokens)


def _use(start: datetime, rows: Sequence[AuditRow]) -> SpanUse:
    charged = [row for row in rows if row.event in _CHARGES]
    return SpanUse(
        starts=start,
        calls=sum(row.event == "started" for row in rows),
        prompt_tokens=sum(row.prompt_tokens for row in charged),
        output_tokens=sum(row.output_tokens for row in charged),
        refused=sum(row.count for row in rows if row.event == "refused"),
    )


def _start(by: Span, at: datetime) -> datetime:
    hour = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return hour if by is Span.HOUR else (Window.DAILY if by is Span.DAY else Window.MONTHLY).start(hour)


def _next(by: Span, start: datetime) -> datetime:
    if by is Span.MONTH:
        return Window.MONTHLY.end(start) or start
    return start + (timedelta(hours=1) if by is Span.HOUR else timedelta(days=1))
