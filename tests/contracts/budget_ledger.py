"""What every budget ledger does. A test module subclasses the contract and gives it a `bench`."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import attrs

from domain.budgets import Budgets, Window, WindowUse
from domain.limits import Scope
from domain.policies import Policy, TenantState
from domain.ports.budget_ledger import BudgetLedger, Granted, HoldRequest, HoldVerdict, Settlement, Spent, Stale
from domain.ports.registers import ApiKey, Tenant, TenantRegister
from domain.settlement import NOTHING, Charge, Outcome
from tests.builders import to
from tests.stores import DatabaseClock

START = datetime(2027, 3, 10, 12, 0, 0, tzinfo=UTC)


@attrs.frozen
class Line:
    """What a ledger wrote to the audit, as far as the contract looks at it."""

    event: str
    outcome: str | None
    prompt_tokens: int
    output_tokens: int
    held_tokens: int


@attrs.frozen(kw_only=True)
class LedgerBench:
    """A ledger, the register of the same books, their clock, and two looks behind the port."""

    ledger: BudgetLedger
    register: TenantRegister
    clock: DatabaseClock
    lines: Callable[[str], Awaitable[Sequence[Line]]]
    """A request id -> its lines, in order."""
    reap: Callable[[], Awaitable[int]]
    """Closes all open holds as those of a process that died."""

    async def a_key(self, *, key: Budgets | None = None, tenant: Budgets | None = None) -> ApiKey:
        """A key of a new tenant, with these budgets."""
        name = f"tenant-{uuid4().hex}"
        await self.register.add_tenant(name, actor="test")
        if tenant is not None:
            await self.register.change_tenant_policy(name, to(Policy(budgets=tenant)), actor="test")
        made = await self.another_key(name)
        if key is not None:
            made = await self.register.change_key_policy(made.prefix, to(Policy(budgets=key)), actor="test")
        return made

    async def another_key(self, tenant_name: str, *, expires_at: datetime | None = None) -> ApiKey:
        prefix = f"nz_{secrets.token_hex(4)}"
        return await self.register.add_key(
            tenant_name, name=prefix, prefix=prefix, secret_hash="hash", expires_at=expires_at, actor="test"
        )

    async def tenant_of(self, key: ApiKey) -> Tenant:
        return await self.register.tenant(key.tenant_name)

    async def use(self, key: ApiKey, scope: Scope, window: Window) -> WindowUse:
        prefix = key.prefix if scope is Scope.KEY else None
        uses = await self.register.window_use(key.tenant_name, key_prefix=prefix)
        return next(use for use in uses if use.window is window)

    async def total(self, key: ApiKey) -> tuple[int, int]:
        """Used and held in total by the tenant, which the key's other windows must agree with."""
        use = await self.use(key, Scope.TENANT, Window.TOTAL)
        return use.used, use.held

    async def settled(self, settlement: Settlement) -> None:
        self.ledger.settle(settlement)
        await self.ledger.drain(5)


def a_hold(
    key: ApiKey, *, prompt: int = 10, output: int = 90, factor: int = 1, epoch: int = 0, request_id: str | None = None
) -> HoldRequest:
    return HoldRequest(
        request_id=request_id or uuid4().hex,
        tenant_id=key.tenant_id,
        key_id=key.id,
        key_prefix=key.prefix,
        epoch=epoch,
        prompt_tokens=prompt,
        output_tokens=output,
        output_factor=factor,
        route="/api/chat",
        model="llama3.2:latest",
        address="192.0.2.7",
    )


def an_end(
    hold: HoldRequest, charge: Charge = NOTHING, *, outcome: Outcome = Outcome.DONE, tenant_id: str | None = None
) -> Settlement:
    return Settlement(
        request_id=hold.request_id,
        tenant_id=tenant_id or hold.tenant_id,
        outcome=outcome,
        charge=charge,
        backend="gpu-1",
        status=200,
        code=None,
        bytes_out=1234,
        queued_ms=1,
        first_byte_ms=20,
        duration_ms=300,
    )


class LedgerContract:
    # ---- holding ----

    async def test_an_empty_ledger_grants_what_is_asked(self, bench: LedgerBench) -> None:
        key = await bench.a_key()

        verdict = await bench.ledger.hold(a_hold(key, prompt=10, output=90))

        assert verdict == Granted(output_tokens=90)
        assert await bench.total(key) == (0, 100)

    async def test_all_six_windows_are_held_with_a_budget_or_without(self, bench: LedgerBench) -> None:
        key = await bench.a_key(key=Budgets(daily=1000))

        await bench.ledger.hold(a_hold(key, prompt=10, output=90))

        for scope in Scope:
            for window in Window:
                assert (await bench.use(key, scope, window)).held == 100

    async def test_a_budget_set_later_counts_what_was_used_before(self, bench: LedgerBench) -> None:
        key = await bench.a_key()
        hold = a_hold(key)
        await bench.ledger.hold(hold)
        await bench.settled(an_end(hold, Charge(prompt=10, output=80)))

        await bench.register.change_tenant_policy(key.tenant_name, to(Policy(budgets=Budgets(total=95))), actor="test")

        verdict = await bench.ledger.hold(a_hold(key, prompt=10, output=1))
        assert isinstance(verdict, Spent)
        assert (verdict.limit, verdict.used, verdict.held) == (95, 90, 0)

    async def test_near_a_budget_the_output_is_lowered(self, bench: LedgerBench) -> None:
        key = await bench.a_key(tenant=Budgets(daily=100), key=Budgets(daily=60))

        verdict = await bench.ledger.hold(a_hold(key, prompt=10, output=90))

        assert verdict == Granted(output_tokens=50)
        assert (await bench.use(key, Scope.KEY, Window.DAILY)).left == 0

    async def test_a_lowered_output_counts_its_factor(self, bench: LedgerBench) -> None:
        key = await bench.a_key(tenant=Budgets(daily=100))

        verdict = await bench.ledger.hold(a_hold(key, prompt=10, output=90, factor=3))

        assert verdict == Granted(output_tokens=30)
        assert await bench.total(key) == (0, 100)

    async def test_less_than_one_token_of_output_is_spent(self, bench: LedgerBench) -> None:
        key = await bench.a_key(tenant=Budgets(daily=12))

        verdict = await bench.ledger.hold(a_hold(key, prompt=10, output=90, factor=3))

        assert isinstance(verdict, Spent)
        assert await bench.total(key) == (0, 0)

    async def test_a_prompt_without_output_fits_whole_or_is_spent(self, bench: LedgerBench) -> None:
        key = await bench.a_key(tenant=Budgets(daily=100))

        first = await bench.ledger.hold(a_hold(key, prompt=60, output=0))
        second = await bench.ledger.hold(a_hold(key, prompt=60, output=0))

        assert first == Granted(output_tokens=0)
        assert isinstance(second, Spent)

    async def test_what_is_only_held_fits_when_the_calls_have_ended(self, bench: LedgerBench) -> None:
        key = await bench.a_key(tenant=Budgets(daily=100), key=Budgets(total=60))
        running, wanted = a_hold(key, prompt=10, output=50), a_hold(key, prompt=10, output=90, factor=3)
        await bench.ledger.hold(running)

        refused = await bench.ledger.hold(wanted)
        await bench.settled(an_end(running, Charge(prompt=47, output=0)))
        granted = await bench.ledger.hold(a_hold(key, prompt=10, output=90, factor=3))

        assert isinstance(refused, Spent)
        assert (refused.used, refused.held, refused.limit) == (0, 60, 60)
        assert refused.only_held(wanted.least_tokens)
        assert granted == Granted(output_tokens=1)

    async def test_what_is_used_is_not_only_held(self, bench: LedgerBench) -> None:
        key = await bench.a_key(tenant=Budgets(daily=60))
        ended = a_hold(key, prompt=10, output=50)
        await bench.ledger.hold(ended)
        await bench.settled(an_end(ended, Charge(prompt=48, output=0)))
        wanted = a_hold(key, prompt=10, output=90, factor=3)

        refused = await bench.ledger.hold(wanted)

        assert isinstance(refused, Spent)
        assert not refused.only_held(wanted.least_tokens)

    async def test_spent_names_the_tightest_window(self, bench: LedgerBench) -> None:
        key = await bench.a_key(tenant=Budgets(total=50), key=Budgets(daily=40, monthly=45))
        await bench.clock.set(START)

        verdict = await bench.ledger.hold(a_hold(key, prompt=200))

        assert verdict == Spent(
            scope=Scope.KEY,
            window=Window.DAILY,
            limit=40,
            used=0,
            held=0,
            ends=datetime(2027, 3, 11, tzinfo=UTC),
        )

    async def test_of_equally_tight_windows_the_one_that_lasts_longest_is_named(self, bench: LedgerBench) -> None:
        key = await bench.a_key(tenant=Budgets(daily=5, monthly=5, total=5))

        verdict = await bench.ledger.hold(a_hold(key))

        assert isinstance(verdict, Spent)
        assert (verdict.window, verdict.scope, verdict.ends) == (Window.TOTAL, Scope.TENANT, None)

    async def test_a_lowered_budget_binds_at_the_next_hold(self, bench: LedgerBench) -> None:
        key = await bench.a_key(tenant=Budgets(total=1000))
        await bench.ledger.hold(a_hold(key))

        await bench.register.change_tenant_policy(key.tenant_name, to(Policy(budgets=Budgets(total=50))), actor="test")

        verdict = await bench.ledger.hold(a_hold(key))
        assert isinstance(verdict, Spent)
        assert (verdict.limit, verdict.held) == (50, 100)

    async def test_of_many_at_once_exactly_as_many_win_as_fit(self, bench: LedgerBench) -> None:
        key = await bench.a_key(tenant=Budgets(monthly=1000))

        verdicts = await asyncio.gather(*(bench.ledger.hold(a_hold(key, prompt=70, output=0)) for _ in range(60)))

        assert sum(isinstance(verdict, Granted) for verdict in verdicts) == 14
        assert await bench.total(key) == (0, 980)

    async def test_two_keys_share_the_budget_of_their_tenant(self, bench: LedgerBench) -> None:
        key = await bench.a_key(tenant=Budgets(daily=100))
        other = await bench.another_key(key.tenant_name)
        await bench.ledger.hold(a_hold(key, prompt=10, output=60))

        verdict = await bench.ledger.hold(a_hold(other, prompt=10, output=60))

        assert verdict == Granted(output_tokens=20)
        assert (await bench.use(other, Scope.KEY, Window.DAILY)).held == 30

    async def test_one_tenant_never_moves_another(self, bench: LedgerBench) -> None:
        key, stranger = await bench.a_key(tenant=Budgets(daily=100)), await bench.a_key(tenant=Budgets(daily=100))
        await asyncio.gather(*(bench.ledger.hold(a_hold(stranger)) for _ in range(5)))

        verdict = await bench.ledger.hold(a_hold(key))

        assert verdict == Granted(output_tokens=90)
        assert await bench.total(stranger) == (0, 100)

    # ---- the same request again ----

    async def test_the_same_request_is_held_once(self, bench: LedgerBench) -> None:
        key = await bench.a_key(tenant=Budgets(daily=60))
        hold = a_hold(key)

        verdicts: list[HoldVerdict] = [await bench.ledger.hold(hold) for _ in range(3)]

        assert verdicts == [Granted(output_tokens=50)] * 3
        assert await bench.total(key) == (0, 60)
        assert [line.event for line in await bench.lines(hold.request_id)] == ["started"]

    async def test_the_same_request_at_once_is_held_once(self, bench: LedgerBench) -> None:
        key = await bench.a_key()
        hold = a_hold(key)

        verdicts = await asyncio.gather(*(bench.ledger.hold(hold) for _ in range(5)))

        assert verdicts == [Granted(output_tokens=90)] * 5
        assert await bench.total(key) == (0, 100)

    # ---- who may hold ----

    async def test_an_unknown_tenant_or_key_is_stale(self, bench: LedgerBench) -> None:
        key, stranger = await bench.a_key(), await bench.a_key()

        unknown = await bench.ledger.hold(a_hold(attrs.evolve(key, tenant_id=str(uuid4()))))
        foreign = await bench.ledger.hold(a_hold(attrs.evolve(key, id=stranger.id)))

        assert [unknown, foreign] == [Stale(), Stale()]

    async def test_a_revoked_key_is_stale_at_once(self, bench: LedgerBench) -> None:
        key = await bench.a_key()
        await bench.register.revoke_key(key.prefix, actor="test")

        assert await bench.ledger.hold(a_hold(key)) == Stale()

    async def test_a_suspended_tenant_is_stale_until_it_is_resumed(self, bench: LedgerBench) -> None:
        key = await bench.a_key()
        await bench.register.set_tenant_state(key.tenant_name, TenantState.SUSPENDED, actor="test")
        while_suspended = await bench.ledger.hold(a_hold(key))

        await bench.register.set_tenant_state(key.tenant_name, TenantState.ACTIVE, actor="test")

        assert while_suspended == Stale()
        assert isinstance(await bench.ledger.hold(a_hold(key)), Granted)

    async def test_a_key_expires_at_its_instant(self, bench: LedgerBench) -> None:
        await bench.clock.set(START)
        first = await bench.a_key()
        key = await bench.another_key(first.tenant_name, expires_at=START + timedelta(seconds=10))
        before = await bench.ledger.hold(a_hold(key))

        await bench.clock.advance(timedelta(seconds=10))

        assert isinstance(before, Granted)
        assert await bench.ledger.hold(a_hold(key)) == Stale()

    async def test_a_hold_of_a_former_epoch_is_stale(self, bench: LedgerBench) -> None:
        key = await bench.a_key()
        facts = await bench.ledger.tenant_facts(key.tenant_id)

        assert await bench.ledger.hold(a_hold(key, epoch=facts.epoch - 1)) == Stale()
        assert isinstance(await bench.ledger.hold(a_hold(key, epoch=facts.epoch)), Granted)

    # ---- settling ----

    async def test_a_settlement_charges_and_frees_the_rest(self, bench: LedgerBench) -> None:
        key = await bench.a_key()
        hold = a_hold(key)
        await bench.ledger.hold(hold)

        await bench.settled(an_end(hold, Charge(prompt=8, output=30)))

        assert await bench.total(key) == (38, 0)
        assert bench.ledger.unsettled() == 0
        assert await bench.lines(hold.request_id) == [
            Line("started", None, 10, 90, 100),
            Line("finished", "done", 8, 30, 100),
        ]

    async def test_a_settlement_counts_once(self, bench: LedgerBench) -> None:
        key = await bench.a_key()
        hold = a_hold(key)
        await bench.ledger.hold(hold)

        for _ in range(3):
            bench.ledger.settle(an_end(hold, Charge(prompt=8, output=30)))
        await bench.settled(an_end(hold, Charge(prompt=8, output=31)))

        assert await bench.total(key) == (38, 0)
        assert len(await bench.lines(hold.request_id)) == 2

    async def test_a_settlement_of_nothing_held_is_ignored(self, bench: LedgerBench) -> None:
        key = await bench.a_key()

        await bench.settled(an_end(a_hold(key), Charge(prompt=8, output=30)))

        assert await bench.total(key) == (0, 0)

    async def test_a_tenant_cannot_settle_for_another(self, bench: LedgerBench) -> None:
        key, stranger = await bench.a_key(), await bench.a_key()
        hold = a_hold(key)
        await bench.ledger.hold(hold)

        await bench.settled(an_end(hold, tenant_id=stranger.tenant_id))

        assert await bench.total(key) == (0, 100)

    async def test_a_charge_is_never_above_the_hold(self, bench: LedgerBench) -> None:
        key = await bench.a_key()
        hold = a_hold(key)
        await bench.ledger.hold(hold)

        await bench.settled(an_end(hold, Charge(prompt=95, output=1000)))

        assert await bench.total(key) == (100, 0)
        assert (await bench.lines(hold.request_id))[-1] == Line("finished", "done", 95, 5, 100)

    async def test_what_was_not_used_can_be_held_again(self, bench: LedgerBench) -> None:
        key = await bench.a_key(tenant=Budgets(daily=100))
        hold = a_hold(key)
        await bench.ledger.hold(hold)

        bench.ledger.settle(an_end(hold, Charge(prompt=10, output=10)))

        assert await bench.ledger.hold(a_hold(key)) == Granted(output_tokens=70)

    async def test_settling_follows_its_own_hold(self, bench: LedgerBench) -> None:
        key = await bench.a_key()
        holds = [a_hold(key) for _ in range(50)]

        async def hang_up(hold: HoldRequest) -> None:
            asking = asyncio.create_task(bench.ledger.hold(hold))
            await asyncio.sleep(0)
            asking.cancel()
            bench.ledger.settle(an_end(hold, outcome=Outcome.NOT_SENT))

        await asyncio.gather(*(hang_up(hold) for hold in holds))
        await bench.ledger.drain(5)

        assert await bench.total(key) == (0, 0)

    # ---- days and months ----

    async def test_a_call_across_midnight_is_charged_to_the_day_it_began(self, bench: LedgerBench) -> None:
        key = await bench.a_key()
        await bench.clock.set(datetime(2027, 3, 31, 23, 59, 59, tzinfo=UTC))
        hold = a_hold(key)
        await bench.ledger.hold(hold)

        await bench.clock.advance(timedelta(seconds=2))
        await bench.settled(an_end(hold, Charge(prompt=10, output=10)))

        today, month = await bench.use(key, Scope.KEY, Window.DAILY), await bench.use(key, Scope.KEY, Window.MONTHLY)
        assert (today.used, today.held, month.used, month.held) == (0, 0, 0, 0)
        await bench.clock.set(datetime(2027, 3, 31, 12, tzinfo=UTC))
        today, month = await bench.use(key, Scope.KEY, Window.DAILY), await bench.use(key, Scope.KEY, Window.MONTHLY)
        assert (today.used, today.held, month.used, month.held) == (20, 0, 20, 0)

    async def test_a_new_day_has_a_new_budget_and_the_month_goes_on(self, bench: LedgerBench) -> None:
        key = await bench.a_key(tenant=Budgets(daily=100, monthly=150))
        await bench.clock.set(datetime(2028, 2, 28, 23, 0, tzinfo=UTC))
        await bench.ledger.hold(a_hold(key))

        await bench.clock.set(datetime(2028, 2, 29, 1, 0, tzinfo=UTC))
        leap_day = await bench.ledger.hold(a_hold(key))
        await bench.clock.set(datetime(2028, 3, 1, 1, 0, tzinfo=UTC))
        next_month = await bench.ledger.hold(a_hold(key))

        assert leap_day == Granted(output_tokens=40)
        assert next_month == Granted(output_tokens=90)

    async def test_spent_says_when_the_month_ends(self, bench: LedgerBench) -> None:
        key = await bench.a_key(tenant=Budgets(monthly=5))
        await bench.clock.set(datetime(2027, 12, 31, 23, 59, tzinfo=UTC))

        verdict = await bench.ledger.hold(a_hold(key))

        assert isinstance(verdict, Spent)
        assert verdict.ends == datetime(2028, 1, 1, tzinfo=UTC)

    # ---- reaping ----

    async def test_a_reaped_hold_is_charged_in_full(self, bench: LedgerBench) -> None:
        key = await bench.a_key()
        hold = a_hold(key)
        await bench.ledger.hold(hold)

        closed = await bench.reap()

        assert closed == 1
        assert await bench.total(key) == (100, 0)
        assert (await bench.lines(hold.request_id))[-1] == Line("reaped", "reaped", 10, 90, 100)
        assert await bench.reap() == 0

    async def test_a_late_settlement_lowers_the_charge_once(self, bench: LedgerBench) -> None:
        key = await bench.a_key()
        hold = a_hold(key)
        await bench.ledger.hold(hold)
        await bench.reap()

        await bench.settled(an_end(hold, Charge(prompt=10, output=15)))
        await bench.settled(an_end(hold, Charge(prompt=0, output=0)))

        assert await bench.total(key) == (25, 0)
        assert (await bench.lines(hold.request_id))[2:] == [Line("corrected", "done", 0, -75, 100)]

    async def test_a_late_settlement_never_raises_the_charge(self, bench: LedgerBench) -> None:
        key = await bench.a_key()
        hold = a_hold(key)
        await bench.ledger.hold(hold)
        await bench.reap()

        await bench.settled(an_end(hold, Charge(prompt=100, output=500)))

        assert await bench.total(key) == (100, 0)

    async def test_a_reaped_request_cannot_hold_again(self, bench: LedgerBench) -> None:
        key = await bench.a_key()
        hold = a_hold(key)
        await bench.ledger.hold(hold)
        await bench.reap()

        assert await bench.ledger.hold(hold) == Stale()

    # ---- a tenant's facts ----

    async def test_the_facts_of_a_new_tenant(self, bench: LedgerBench) -> None:
        key = await bench.a_key()

        facts = await bench.ledger.tenant_facts(key.tenant_id)

        assert facts.epoch == 1
        assert list(facts.recent) == []
        assert {tuple(one) for one in facts.generations} == {(key.tenant_id, 1), (key.id, 1)}

    async def test_epochs_rise(self, bench: LedgerBench) -> None:
        key = await bench.a_key()

        epochs = [(await bench.ledger.tenant_facts(key.tenant_id)).epoch for _ in range(3)]

        assert epochs == [1, 2, 3]

    async def test_the_facts_hold_the_calls_of_the_last_minute_and_all_open_ones(self, bench: LedgerBench) -> None:
        await bench.clock.set(START)
        key, stranger = await bench.a_key(), await bench.a_key()
        old_open, old_done = a_hold(key), a_hold(key)
        for hold in (old_open, old_done, a_hold(stranger)):
            await bench.ledger.hold(hold)
        await bench.settled(an_end(old_done, Charge(prompt=1, output=1)))
        await bench.clock.advance(timedelta(seconds=62))
        young_open, young_done = a_hold(key), a_hold(key, prompt=20)
        await bench.ledger.hold(young_done)
        await bench.clock.advance(timedelta(seconds=5))
        await bench.ledger.hold(young_open)
        await bench.settled(an_end(young_done, Charge(prompt=3, output=4)))

        facts = await bench.ledger.tenant_facts(key.tenant_id)

        assert [(c.request_id, c.key_id, c.age_s, c.tokens, c.open) for c in facts.recent] == [
            (old_open.request_id, key.id, 67.0, 100, True),
            (young_done.request_id, key.id, 5.0, 7, False),
            (young_open.request_id, key.id, 0.0, 100, True),
        ]

    async def test_the_facts_of_an_unknown_tenant_are_none(self, bench: LedgerBench) -> None:
        facts = await bench.ledger.tenant_facts(str(uuid4()))

        assert (list(facts.recent), list(facts.generations)) == ([], [])

    async def test_the_ledger_answers(self, bench: LedgerBench) -> None:
        await bench.ledger.ping()
