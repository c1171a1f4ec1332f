"""The whole house in one thread: two tenants with two keys each, three gateway processes, both stores, one clock.

It keeps what was promised, and to whom, and looks at the promises whenever somebody is admitted or granted.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import attrs

from domain.budgets import Budgets
from domain.calls import Bounds
from domain.keys import KeyState, key_state
from domain.limits import Limits
from domain.policies import Caller, Policy, TenantState
from domain.ports.budget_ledger import Granted, HoldVerdict, Settlement
from domain.ports.limit_store import Admission, Admitted, Empty, Full, Outdated
from tests.fakes.surroundings import FakeClock
from tests.histories import promises
from tests.histories.books import Books, Seen
from tests.histories.gateways import LEASE_MS, Call, GatewayProcess, Stage
from tests.histories.limiter import Kept, Limiter

COPIES_LAST_MS = 30_000
NOTHING_SEEN = Seen([], [], [])


@attrs.define(eq=False)
class Key:
    tenant: Tenant
    prefix: str
    id: str
    budget_id: str
    policy: Policy = attrs.field(factory=Policy)
    revoked: bool = False
    expires_at: datetime | None = None


@attrs.define(eq=False)
class Tenant:
    id: str
    keys: list[Key] = attrs.field(factory=list)
    policy: Policy = attrs.field(factory=Policy)
    state: TenantState = TenantState.ACTIVE
    filled: int | None = None
    """The epoch of its windows in the limit store; None while there are none."""
    fence: int | None = None
    """The epoch that the ledger demands; None before the first."""

    @property
    def key_ids(self) -> list[str]:
        return [key.id for key in self.keys]


class Time:
    """One time for both stores, though the limit store's clock may be wrong, by as much all the time."""

    def __init__(self, books: Books, start: datetime) -> None:
        self.now = start
        self.skew = timedelta(0)
        self._books = books
        books.set_clock(start)

    def now_ms(self) -> int:
        """By the limit store's clock."""
        return int((self.now + self.skew).timestamp() * 1000)

    def advance(self, span: timedelta) -> None:
        before, self.now = self.now, self.now + span
        self._books.set_clock(self.now)
        if before.month != self.now.month:
            self._books.make_partitions()


class House:
    """What there is, and every step that can be taken."""

    def __init__(self, books: Books, limiter: Limiter, time: Time) -> None:
        self.books, self.limiter, self.time = books, limiter, time
        self.since = time.now
        books.empty()
        books.make_partitions()
        limiter.flush()
        self.tenants = [self._open_tenant() for _ in range(2)]
        self.keys = [key for tenant in self.tenants for key in tenant.keys]
        self.processes = [self._start_process() for _ in range(3)]
        self.calls: list[Call] = []
        self.told: dict[str, int] = {}
        """Scope -> the generation that every gateway must know, because a command that made it has returned."""
        self.touched: set[str] = set()
        """Whom the step is about."""
        self.before, self.seen = NOTHING_SEEN, NOTHING_SEEN
        self.kept_before: list[list[Kept]] = []
        self.kept = [limiter.kept_of(tenant.id, tenant.key_ids) for tenant in self.tenants]
        self.look()

    # -- looking ---------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Reads everything."""
        self.before, self.seen = self.seen, self.books.look((tenant.id for tenant in self.tenants), self.since)
        self.kept_before = self.kept
        self.kept = [self.kept_of(tenant) for tenant in self.tenants]

    def kept_of(self, tenant: Tenant) -> list[Kept]:
        return self.limiter.kept_of(tenant.id, tenant.key_ids)

    def budgets(self) -> dict[str, Budgets]:
        by_tenant = {tenant.id: tenant.policy.budgets for tenant in self.tenants}
        return by_tenant | {key.budget_id: key.policy.budgets for key in self.keys}

    def tenant_of(self, tenant_id: str) -> Tenant:
        return next(tenant for tenant in self.tenants if tenant.id == tenant_id)

    # -- room 4 ----------------------------------------------------------------------------------------------------

    def ask(self, call: Call) -> Admission:
        """Asks the limit store for a new call."""
        tenant = self.tenant_of(call.caller.tenant_id)
        self.touched.add(tenant.id)
        before = self.kept_of(tenant)
        verdict = self.limiter.admit(call.asks())
        match verdict:
            case Admitted():
                call.verdict, call.at_ms = verdict, self.time.now_ms()
                call.lease_until_ms = call.at_ms + LEASE_MS
                self.calls.append(call)
                call.process.calls.append(call)
                generations = call.caller.tenant_generation, call.caller.key_generation
                told = self.told.get(tenant.id, 0), self.told.get(call.caller.key_id, 0)
                call.outdated = any(known < newest for known, newest in zip(generations, told, strict=True))
                assert verdict.epoch == tenant.filled, "I11: admitted by a store that had lost its windows"
                self._look_at_rates(call)
            case Full():
                promises.a_refusal_changes_no_counter(before, self.kept_of(tenant))
            case Outdated():
                call.process.callers.pop(call.caller.key_prefix, None)
            case Empty():
                assert tenant.filled is None
        return verdict

    def ask_again(self, call: Call) -> None:
        """The answer to an admission was lost, so that the same words come once more."""
        tenant = self.tenant_of(call.caller.tenant_id)
        if call.verdict is None or call.verdict.epoch != tenant.filled or call.slot not in call.process.slots():
            return
        self.touched.add(tenant.id)
        before = self.kept_of(tenant)
        verdict = self.limiter.admit(call.asks())
        if not isinstance(verdict, Outdated):
            assert verdict == call.verdict
        promises.the_same_request_is_never_charged_twice(before, self.kept_of(tenant))

    def _look_at_rates(self, call: Call) -> None:
        tenant = self.tenant_of(call.caller.tenant_id)
        counted = [one for one in self.calls if one.committed is not None or self._may_be_granted(one, tenant)]
        promises.no_60_seconds_hold_more_than_the_limit(call, counted)
        in_flight = [one for one in counted if one.stage is not Stage.OVER]
        promises.no_more_calls_at_once_than_slots(call, in_flight, self.time.now_ms())

    @staticmethod
    def _may_be_granted(call: Call, tenant: Tenant) -> bool:
        return call.stage is not Stage.OVER and call.verdict is not None and call.verdict.epoch == tenant.fence

    # -- room 5, and the ledger's half of room 8 -------------------------------------------------------------------

    def send(self, process: GatewayProcess, *, arrives: bool = True, is_answered: bool = True) -> None:
        """One batch of a process: what was sent and not answered, or all that waits."""
        if process.unanswered is None:
            waiting = [call for call in process.calls if call.stage is Stage.ADMITTED]
            process.unanswered = process.settles, waiting
            process.settles = []
        settles, calls = process.unanswered
        requests = [call.asks_ledger() for call in calls if call.stage is not Stage.OVER]
        calls = [call for call in calls if call.stage is not Stage.OVER]
        if not settles and not requests:
            process.unanswered = None
            return
        if not arrives:
            return
        verdicts = self.books.send(process.id, settles, requests)
        self.touched |= {one.tenant_id for one in settles} | {one.tenant_id for one in requests}
        for call, verdict in zip(calls, verdicts, strict=True):
            self._committed(call, verdict)
        if is_answered:
            process.unanswered = None
            for call, verdict in zip(calls, verdicts, strict=True):
                self._answered(call, verdict)

    def _committed(self, call: Call, verdict: HoldVerdict) -> None:
        if not isinstance(verdict, Granted):
            return
        tokens = call.wanted.prompt + call.wanted.output_factor * verdict.output_tokens
        if call.committed is not None:
            assert call.committed == tokens, "I9: the same request was granted otherwise"
            return
        call.committed = tokens
        tenant = self.tenant_of(call.caller.tenant_id)
        key = next(key for key in tenant.keys if key.id == call.caller.key_id)
        assert self.is_good(key), "I10: granted to a key that is not good any more"
        assert not call.outdated, "I10: granted by a former policy"
        assert call.verdict is not None and call.verdict.epoch == tenant.fence, "I12: granted across a loss"
        self._look_at_rates(call)

    def _answered(self, call: Call, verdict: HoldVerdict) -> None:
        call.hears(verdict)
        if call.stage is Stage.OVER:
            call.process.callers.pop(call.caller.key_prefix, None)

    def is_good(self, key: Key) -> bool:
        """What the register says, to the instant."""
        in_time = key.expires_at is None or self.time.now < key.expires_at
        return not key.revoked and in_time and key.tenant.state is TenantState.ACTIVE

    def send_again(self, process: GatewayProcess, settlement: Settlement) -> None:
        """A settlement that was committed comes once more."""
        self.books.send(process.id, [settlement], [])
        self.touched.add(settlement.tenant_id)

    # -- the limit store's half of room 8 --------------------------------------------------------------------------

    def deliver(self, process: GatewayProcess, *, twice: bool = False) -> None:
        """All ends of calls that a process has to tell the limit store."""
        for release in process.releases:
            self.limiter.release(release)
            if twice:
                before = self.kept_of(self.tenant_of(release.whose[0]))
                self.limiter.release(release)
                promises.the_same_request_is_never_charged_twice(before, self.kept_of(self.tenant_of(release.whose[0])))
            self.touched.add(release.whose[0])
        process.releases.clear()

    def renew(self, process: GatewayProcess) -> None:
        """The slots of a process."""
        self.limiter.heartbeat(process.slots())
        self.touched |= {tenant_id for tenant_id, _, _ in process.slots()}
        for call in process.calls:
            if call.stage is not Stage.OVER:
                call.lease_until_ms = self.time.now_ms() + LEASE_MS

    # -- losses ----------------------------------------------------------------------------------------------------

    def lose_windows(self, *, flushed: bool) -> None:
        """All tenants' at once."""
        if flushed:
            self.limiter.flush()
            for call in self.calls:
                call.lease_until_ms = 0
        else:
            self.limiter.restart()
        for tenant in self.tenants:
            tenant.filled = None
            self.touched.add(tenant.id)

    def read_facts(self, process: GatewayProcess, tenant: Tenant) -> None:
        facts = process.facts[tenant.id] = self.books.facts(tenant.id)
        assert tenant.fence is None or facts.epoch > tenant.fence
        tenant.fence = facts.epoch
        self.touched.add(tenant.id)

    def restore(self, process: GatewayProcess, tenant: Tenant) -> None:
        facts = process.facts.pop(tenant.id)
        self.touched.add(tenant.id)
        if not self.limiter.restore(tenant.id, facts):
            return
        tenant.filled = facts.epoch
        open_ids = {call.request_id for call in facts.recent if call.open}
        for call in self.calls:
            if call.caller.tenant_id == tenant.id:
                call.lease_until_ms = self.time.now_ms() + LEASE_MS if call.request_id in open_ids else 0

    def crash(self, process: GatewayProcess) -> GatewayProcess:
        """Killed; another one comes in its place."""
        for call in process.calls:
            call.stage, call.lease_until_ms = Stage.OVER, 0
        self.processes[self.processes.index(process)] = fresh = self._start_process()
        return fresh

    # -- the operator ----------------------------------------------------------------------------------------------

    def identify(self, process: GatewayProcess, key: Key) -> Caller | None:
        """Room 2: the caller as this process knows it, if it is good by what it knows."""
        copy = process.callers.get(key.prefix)
        if copy is None or copy[1] < self.time.now_ms():
            copy = process.callers[key.prefix] = self.books.caller(key.prefix), self.time.now_ms() + COPIES_LAST_MS
        caller = copy[0]
        state = key_state(revoked_at=caller.revoked_at, expires_at=caller.expires_at, now=self.time.now)
        return caller if state is KeyState.ACTIVE and caller.tenant_state is TenantState.ACTIVE else None

    def change(self, scope: Key | Tenant, *, limits: Limits | None = None, budgets: Budgets | None = None) -> None:
        scope.policy = attrs.evolve(
            scope.policy, limits=limits or scope.policy.limits, budgets=budgets or scope.policy.budgets
        )
        if isinstance(scope, Key):
            self.books.set_key_policy(scope.prefix, scope.policy)
        else:
            self.books.set_tenant_policy(scope.id, scope.policy)
        self.tell(scope)

    def tell(self, scope: Key | Tenant) -> None:
        """What a command does after its commit and before it returns."""
        key = scope if isinstance(scope, Key) else scope.keys[0]
        caller = self.books.caller(key.prefix)
        generation = caller.key_generation if scope is key else caller.tenant_generation
        self.limiter.announce(key.tenant.id, scope.id, generation)
        self.told[scope.id] = generation
        self.touched.add(key.tenant.id)

    # -- beginnings ------------------------------------------------------------------------------------------------

    def _open_tenant(self) -> Tenant:
        tenant = Tenant(self.books.add_tenant())
        for _ in range(2):
            prefix, budget_id = self.books.add_key(tenant.id)
            tenant.keys.append(Key(tenant, prefix, self.books.caller(prefix).key_id, budget_id))
        return tenant

    def _start_process(self) -> GatewayProcess:
        process = GatewayProcess()
        self.books.beat(process.id)
        return process

    def budget_ids(self) -> dict[str, str]:
        return {key.id: key.budget_id for key in self.keys}

    @property
    def scopes(self) -> Sequence[Key | Tenant]:
        return [*self.tenants, *self.keys]


def new_call(process: GatewayProcess, caller: Caller, bounds: Bounds) -> Call:
    return Call(process, caller, bounds, FakeClock())
