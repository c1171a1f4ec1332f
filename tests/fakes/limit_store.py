"""The limit store in memory: `domain.limits.ExactWindow`, leases in dictionaries, one thread, no waiting.

What the scripts in Redis must agree with, answer for answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial

import attrs

from domain.faults import FaultCode, StoreUnavailable
from domain.limits import WINDOW_S, ExactWindow, Limits, Rate, Scope
from domain.ports.limit_store import (
    Admission,
    AdmissionRequest,
    Admitted,
    Empty,
    Full,
    LimitStore,
    Outdated,
    Standing,
    TenantFacts,
)

_LEASE_MS = 30_000


@attrs.define
class _Remembered:
    attempt: int | None
    """None of what was restored: the ledger does not know."""
    answer: Admitted
    second: int
    charged: dict[str | None, int]
    """Scope (None is the tenant, else a key id) -> tokens."""
    called: frozenset[str | None]
    """Scopes whose call window was charged."""
    released: bool = False


@attrs.define
class _Tenant:
    epoch: int | None = None
    generations: dict[str, int] = attrs.field(factory=dict)
    calls: dict[str | None, ExactWindow] = attrs.field(factory=partial(defaultdict, ExactWindow))
    tokens: dict[str | None, ExactWindow] = attrs.field(factory=partial(defaultdict, ExactWindow))
    slots: dict[str | None, dict[str, int]] = attrs.field(factory=partial(defaultdict, dict))
    remembered: dict[str, _Remembered | None] = attrs.field(factory=dict)
    """By request id; None was released, and nothing else is known of it."""


@attrs.frozen
class _Counted:
    """A window that has a limit, and what the call would add."""

    rate: Rate
    scope: Scope
    window: ExactWindow
    limit: int
    cost: int


class MemoryLimitStore(LimitStore):
    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._tenants: defaultdict[str, _Tenant] = defaultdict(_Tenant)
        self.down = False
        """Set by a test: nothing is answered."""

    def forget(self, tenant_id: str) -> None:
        """As a flush would."""
        self._tenants.pop(tenant_id, None)

    def slots_taken(self, tenant_id: str) -> int:
        """Leases that are alive: leaked slots look like correct refusals, so tests count slots."""
        return sum(ends > self._now_ms() for ends in self._tenants[tenant_id].slots[None].values())

    async def admit(self, request: AdmissionRequest) -> Admission:
        self._answering()
        tenant = self._tenants[request.tenant_id]
        if tenant.epoch is None:
            return Empty()
        known = tenant.generations
        if (
            known.get(request.tenant_id, 0) > request.tenant_generation
            or known.get(request.key_id, 0) > request.key_generation
        ):
            return Outdated()
        first = tenant.remembered.get(request.request_id)
        known_attempt = first and not first.released and first.attempt == request.attempt
        if request.calls and first and known_attempt and first.answer.epoch == tenant.epoch:
            return first.answer
        windows = self._windows(tenant, request)
        if not request.calls:
            return Admitted(epoch=tenant.epoch, **self._rates(windows))
        full = self._fullest(tenant, request, windows)
        if full is not None:
            return full
        return self._charge(tenant, request, windows, tenant.epoch)

    def release(
        self,
        tenant_id: str,
        key_id: str,
        request_id: str,
        refund_tokens: int,
        *,
        refund_call: bool = False,
        attempt: int = 0,
    ) -> None:
        tenant = self._tenants[tenant_id]
        remembered = tenant.remembered.setdefault(request_id, None)
        if remembered and not remembered.released and remembered.attempt not in (None, attempt):
            return
        tenant.slots[None].pop(request_id, None)
        tenant.slots[key_id].pop(request_id, None)
        if remembered is None or remembered.released:
            return
        remembered.released = True
        if remembered.answer.epoch != tenant.epoch:
            return
        for scope in (None, key_id):
            back = min(max(0, refund_tokens), remembered.charged.get(scope, 0))
            tenant.tokens[scope].refund(back, remembered.second, self._now_ms() // 1000)
            if refund_call and scope in remembered.called:
                tenant.calls[scope].refund(1, remembered.second, self._now_ms() // 1000)

    async def restore(self, tenant_id: str, facts: TenantFacts) -> None:
        self._answering()
        tenant = self._tenants[tenant_id]
        if tenant.epoch is not None and tenant.epoch >= facts.epoch:
            return
        for scope in (None, *(call.key_id for call in facts.recent)):
            for state in (tenant.calls, tenant.tokens, tenant.slots):
                state.pop(scope, None)
        now_ms = self._now_ms()
        for call in facts.recent:
            known = tenant.remembered.get(call.request_id)
            ended = call.request_id in tenant.remembered and (known is None or known.released)
            second = (now_ms - max(0, round(call.age_s * 1000))) // 1000
            for scope in (None, call.key_id):
                if second > now_ms // 1000 - WINDOW_S - 1:
                    tenant.calls[scope].charge(1, second)
                    tenant.tokens[scope].charge(call.tokens, second)
                if call.open and not ended:
                    tenant.slots[scope][call.request_id] = now_ms + _LEASE_MS
            if call.open and not ended:
                tenant.remembered[call.request_id] = _Remembered(
                    known.attempt if known else None,
                    Admitted(epoch=facts.epoch, rpm=None, tpm=None),
                    second,
                    {None: call.tokens, call.key_id: call.tokens},
                    frozenset({None, call.key_id}),
                )
        await self.announce(tenant_id, facts.generations)
        tenant.epoch = facts.epoch

    async def announce(self, tenant_id: str, generations: Sequence[tuple[str, int]]) -> None:
        self._answering()
        known = self._tenants[tenant_id].generations
        for id_, generation in generations:
            known[id_] = max(generation, known.get(id_, 0))

    async def heartbeat(self, live: Sequence[tuple[str, str, str]]) -> None:
        self._answering()
        for tenant_id, key_id, request_id in live:
            for scope in (None, key_id):
                self._tenants[tenant_id].slots[scope][request_id] = self._now_ms() + _LEASE_MS

    async def ping(self) -> None:
        self._answering()

    def _answering(self) -> None:
        if self.down:
            raise StoreUnavailable(FaultCode.LIMITER_UNAVAILABLE, "The rate limiter cannot be reached.")

    def _windows(self, tenant: _Tenant, request: AdmissionRequest) -> list[_Counted]:
        scopes: tuple[tuple[Scope, str | None, Limits], ...] = (
            (Scope.TENANT, None, request.tenant_limits),
            (Scope.KEY, request.key_id, request.key_limits),
        )
        counted = [
            _Counted(Rate.RPM, scope, tenant.calls[name], limits.rpm, request.calls)
            for scope, name, limits in scopes
            if limits.rpm is not None
        ]
        counted += [
            _Counted(Rate.TPM, scope, tenant.tokens[name], limits.tpm, request.tokens)
            for scope, name, limits in scopes
            if limits.tpm is not None
        ]
        for each in counted:
            each.window.drop_old(self._now_ms() // 1000)
        return counted

    def _fullest(self, tenant: _Tenant, request: AdmissionRequest, windows: list[_Counted]) -> Full | None:
        now_s = self._now_ms() // 1000
        notes: list[tuple[int, Rate, Scope, int]] = []
        for each in windows:
            wait_s = each.window.wait_s(each.cost, each.limit, now_s)
            notes.append((WINDOW_S if wait_s is None else wait_s, each.rate, each.scope, each.limit))
        for scope, name, limits in (
            (Scope.TENANT, None, request.tenant_limits),
            (Scope.KEY, request.key_id, request.key_limits),
        ):
            leases = tenant.slots[name]
            for request_id in [id_ for id_, ends in leases.items() if ends <= self._now_ms()]:
                del leases[request_id]
            if limits.concurrency is not None and len(leases) >= limits.concurrency:
                notes.append((1, Rate.CONCURRENCY, scope, limits.concurrency))
        if not any(wait_s for wait_s, *_ in notes):
            return None
        wait_s, rate, scope, limit = max(notes, key=lambda note: note[0])  # the first of equals
        return Full(rate=rate, scope=scope, limit=limit, retry_after_s=wait_s, **self._rates(windows))

    def _charge(self, tenant: _Tenant, request: AdmissionRequest, windows: list[_Counted], epoch: int) -> Admitted:
        now_s = self._now_ms() // 1000
        charged: dict[str | None, int] = {}
        called: set[str | None] = set()
        for each in windows:
            each.window.charge(each.cost, now_s)
            scope = None if each.scope is Scope.TENANT else request.key_id
            if each.rate is Rate.TPM:
                charged[scope] = each.cost
            else:
                called.add(scope)
        for scope in (None, request.key_id):
            tenant.slots[scope][request.request_id] = self._now_ms() + _LEASE_MS
        answer = Admitted(epoch=epoch, **self._rates(windows))
        tenant.remembered[request.request_id] = _Remembered(request.attempt, answer, now_s, charged, frozenset(called))
        return answer

    def _rates(self, windows: list[_Counted]) -> dict[str, Standing | None]:
        return {
            "rpm": self._tightest([each for each in windows if each.rate is Rate.RPM]),
            "tpm": self._tightest([each for each in windows if each.rate is Rate.TPM]),
        }

    def _tightest(self, windows: list[_Counted]) -> Standing | None:
        now_s = self._now_ms() // 1000
        standings = [
            Standing(
                limit=each.limit,
                remaining=max(0, each.limit - each.window.total),
                reset_s=max(each.window.buckets) + WINDOW_S + 1 - now_s if each.window.total else 0,
            )
            for each in windows
        ]
        return min(standings, key=lambda standing: standing.remaining, default=None)
