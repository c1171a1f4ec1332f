"""The ledger in memory: the specification of what the SQL does, hold by hold, without batches."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import attrs

from domain.budgets import Window
from domain.faults import FaultCode
from domain.keys import KeyState, key_state
from domain.limits import Scope
from domain.policies import TenantState
from domain.ports.budget_ledger import BudgetLedger, Granted, HoldRequest, HoldVerdict, Settlement, Spent, Stale
from domain.ports.limit_store import RecentCall, TenantFacts
from tests.fakes.registers import AuditRow, Books, KeyRow, TenantRow, WindowKey

_RECENT = timedelta(seconds=61)
_CACHED = timedelta(hours=1)


@attrs.define
class _Hold:
    request: HoldRequest
    tokens: int
    output_tokens: int
    windows: list[WindowKey]
    opened_at: datetime
    charged: int | None = None
    """What the reaper charged; None while it is open."""


class MemoryBudgetLedger(BudgetLedger):
    """Settles at once. `lose_settlements` keeps them waiting, as while PostgreSQL is away."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._holds: dict[tuple[str, str], _Hold] = {}
        self._waiting: list[Settlement] = []

    async def hold(self, request: HoldRequest) -> HoldVerdict:
        await asyncio.sleep(0)
        self._books.ask(FaultCode.LEDGER_UNAVAILABLE)
        self._settle_waiting()
        known = self._holds.get((request.tenant_id, request.request_id))
        if known is not None:
            return Stale() if known.charged is not None else Granted(output_tokens=known.output_tokens)
        tenant, key = self._books.tenants.get(request.tenant_id), self._books.keys.get(request.key_id)
        if tenant is None or key is None or not self._may_hold(request, tenant, key):
            return Stale()
        return self._fit(request, tenant, key)

    def settle(self, settlement: Settlement) -> None:
        self._waiting.append(settlement)
        self._settle_waiting()

    async def tenant_facts(self, tenant_id: str) -> TenantFacts:
        await asyncio.sleep(0)
        self._books.ask(FaultCode.LEDGER_UNAVAILABLE)
        tenant = self._books.tenants.get(tenant_id)
        if tenant is None:
            return TenantFacts(epoch=1, recent=(), generations=())
        tenant.epoch += 1
        since = self._books.now() - _CACHED
        changed = [(tenant_id, tenant.shown.generation)] if tenant.changed_at > since else []
        for key_id, key in self._books.keys.items():
            if key.shown.tenant_id == tenant_id and key.changed_at > since:
                changed.append((key_id, key.shown.generation))
        return TenantFacts(epoch=tenant.epoch, recent=self._recent(tenant_id), generations=changed)

    def unsettled(self) -> int:
        return len(self._waiting)

    async def drain(self, timeout_s: float) -> None:  # noqa: ARG002 - there is nothing to wait for
        self._settle_waiting()

    async def ping(self) -> None:
        self._books.ask(FaultCode.LEDGER_UNAVAILABLE)

    def reap(self) -> int:
        """Closes every open hold, as if the process that made them had died."""
        orphans = [hold for hold in self._holds.values() if hold.charged is None]
        for hold in orphans:
            self._move(hold, used=hold.tokens, held=-hold.tokens)
            hold.charged = hold.tokens
            prompt = hold.request.prompt_tokens
            self._write(hold, "reaped", "reaped", prompt, hold.tokens - prompt)
        return len(orphans)

    def _may_hold(self, request: HoldRequest, tenant: TenantRow, key: KeyRow) -> bool:
        state = key_state(revoked_at=key.shown.revoked_at, expires_at=key.shown.expires_at, now=self._books.now())
        return (
            key.shown.tenant_id == request.tenant_id
            and tenant.shown.state is TenantState.ACTIVE
            and state is KeyState.ACTIVE
            and tenant.epoch == request.epoch
        )

    def _fit(self, request: HoldRequest, tenant: TenantRow, key: KeyRow) -> HoldVerdict:
        now = self._books.now()
        rooms: list[tuple[int, int, int, Spent]] = []
        windows: list[WindowKey] = []
        scopes = ((Scope.KEY, key.scope_id, key.shown.policy), (Scope.TENANT, tenant.shown.id, tenant.shown.policy))
        for nth, (scope, scope_id, policy) in enumerate(scopes):
            for kind, window in enumerate(Window):
                where = (request.tenant_id, scope_id, window, window.start(now))
                windows.append(where)
                level = self._books.level(*where)
                limit = policy.budgets.limit(window)
                if limit is not None:
                    spent = Spent(
                        scope=scope,
                        window=window,
                        limit=limit,
                        used=level.used,
                        held=level.held,
                        ends=window.end(now),
                    )
                    rooms.append((limit - level.used - level.held, -kind, nth, spent))
        output = request.output_tokens
        if rooms:
            room, _, _, spent = min(rooms, key=lambda one: one[:3])
            if request.prompt_tokens + request.output_factor * output > room:
                output = (room - request.prompt_tokens) // request.output_factor
                if request.output_tokens == 0 or output < 1:
                    return spent
        tokens = request.prompt_tokens + request.output_factor * output
        hold = _Hold(request, tokens, output, windows, now)
        self._holds[(request.tenant_id, request.request_id)] = hold
        self._move(hold, used=0, held=tokens)
        self._write(hold, "started", None, request.prompt_tokens, output)
        return Granted(output_tokens=output)

    def _settle_waiting(self) -> None:
        if self._books.unavailable:
            return
        waiting, self._waiting = self._waiting, []
        for settlement in waiting:
            self._settle(settlement)

    def _settle(self, settlement: Settlement) -> None:
        hold = self._holds.pop((settlement.tenant_id, settlement.request_id), None)
        if hold is None:
            return
        prompt = min(max(settlement.charge.prompt, 0), hold.tokens)
        output = min(max(settlement.charge.output, 0), hold.tokens - prompt)
        if hold.charged is None:
            self._move(hold, used=prompt + output, held=-hold.tokens)
            self._write(hold, "finished", settlement.outcome, prompt, output)
        else:
            self._move(hold, used=prompt + output - hold.charged, held=0)
            bound = hold.request.prompt_tokens
            self._write(hold, "corrected", settlement.outcome, prompt - bound, output - (hold.charged - bound))

    def _move(self, hold: _Hold, *, used: int, held: int) -> None:
        for where in hold.windows:
            level = self._books.level(*where)
            level.used += used
            level.held += held

    def _write(self, hold: _Hold, event: str, outcome: str | None, prompt: int, output: int) -> None:
        self._books.audit.append(
            AuditRow(
                at=self._books.now(),
                event=event,
                tenant_id=hold.request.tenant_id,
                request_id=hold.request.request_id,
                key_id=hold.request.key_id,
                outcome=outcome,
                prompt_tokens=prompt,
                output_tokens=output,
                held_tokens=hold.tokens,
            )
        )

    def _recent(self, tenant_id: str) -> list[RecentCall]:
        now = self._books.now()
        mine = [row for row in self._books.audit if row.tenant_id == tenant_id]
        calls = []
        for row in mine:
            if row.event != "started" or row.key_id is None:
                continue
            ends = [other for other in mine if other.request_id == row.request_id and other.event != "started"]
            still_open = not ends
            if now - row.at >= _RECENT and not still_open:
                continue
            charged = sum(end.prompt_tokens + end.output_tokens for end in ends)
            calls.append(
                RecentCall(
                    request_id=row.request_id,
                    key_id=row.key_id,
                    age_s=(now - row.at).total_seconds(),
                    tokens=row.held_tokens if still_open else charged,
                    open=still_open,
                )
            )
        return sorted(calls, key=lambda call: -call.age_s)
