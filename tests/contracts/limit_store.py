"""What every limit store does. A test module subclasses the contract and gives it a `bench`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

import attrs
import pytest

from domain.limits import NO_LIMITS, Limits, Rate, Scope
from domain.ports.limit_store import (
    Admission,
    AdmissionRequest,
    Admitted,
    Empty,
    Full,
    LimitStore,
    Outdated,
    RecentCall,
    Standing,
    TenantFacts,
)
from tests.fakes.surroundings import FakeClock

NOTHING = TenantFacts(epoch=1, recent=(), generations=())


@attrs.frozen
class LimitBench:
    """A store, the clock that drives it, and a way to make it forget a tenant."""

    store: LimitStore
    clock: FakeClock
    lose: Callable[[str], Awaitable[None]]


@attrs.frozen(kw_only=True)
class Tenant:
    """Random, so that a server may be shared."""

    bench: LimitBench
    id: str = attrs.field(factory=lambda: uuid4().hex)
    limits: Limits = NO_LIMITS
    key_limits: Limits = NO_LIMITS

    async def filled(self, facts: TenantFacts = NOTHING) -> Tenant:
        await self.bench.store.restore(self.id, facts)
        return self

    def request(
        self,
        request_id: str | None = None,
        *,
        key: str = "k1",
        tokens: int = 10,
        calls: int = 1,
        generation: int = 1,
        attempt: int = 0,
    ) -> AdmissionRequest:
        return AdmissionRequest(
            request_id=request_id or uuid4().hex,
            tenant_id=self.id,
            key_id=key,
            tenant_generation=generation,
            key_generation=generation,
            tenant_limits=self.limits,
            key_limits=self.key_limits,
            tokens=tokens,
            calls=calls,
            attempt=attempt,
        )

    async def admit(
        self,
        request_id: str | None = None,
        *,
        key: str = "k1",
        tokens: int = 10,
        calls: int = 1,
        generation: int = 1,
        attempt: int = 0,
    ) -> Admission:
        request = self.request(request_id, key=key, tokens=tokens, calls=calls, generation=generation, attempt=attempt)
        return await self.bench.store.admit(request)

    def release(
        self, request_id: str, refund: int = 0, *, key: str = "k1", refused: bool = False, attempt: int = 0
    ) -> None:
        self.bench.store.release(self.id, key, request_id, refund, refund_call=refused, attempt=attempt)


class LimitStoreContract:
    # ---- windows ----

    async def test_without_limits_everything_is_admitted(self, bench: LimitBench) -> None:
        tenant = await Tenant(bench=bench).filled()

        assert await tenant.admit() == Admitted(epoch=1, rpm=None, tpm=None)

    async def test_exactly_as_many_win_as_fit(self, bench: LimitBench) -> None:
        tenant = await Tenant(bench=bench, limits=Limits(rpm=50)).filled()

        verdicts = await asyncio.gather(*(tenant.admit() for _ in range(200)))

        assert sum(isinstance(verdict, Admitted) for verdict in verdicts) == 50
        assert sum(isinstance(verdict, Full) for verdict in verdicts) == 150

    async def test_exactly_as_many_slots_are_taken_as_there_are(self, bench: LimitBench) -> None:
        tenant = await Tenant(bench=bench, limits=Limits(concurrency=7)).filled()

        verdicts = await asyncio.gather(*(tenant.admit() for _ in range(40)))

        assert sum(isinstance(verdict, Admitted) for verdict in verdicts) == 7

    async def test_standings_say_what_is_left(self, bench: LimitBench) -> None:
        tenant = await Tenant(bench=bench, limits=Limits(rpm=10, tpm=100)).filled()

        first = await tenant.admit(tokens=30)
        bench.clock.advance(5)
        second = await tenant.admit(tokens=20)

        assert first == Admitted(
            epoch=1, rpm=Standing(limit=10, remaining=9, reset_s=61), tpm=Standing(limit=100, remaining=70, reset_s=61)
        )
        assert second == Admitted(
            epoch=1, rpm=Standing(limit=10, remaining=8, reset_s=61), tpm=Standing(limit=100, remaining=50, reset_s=61)
        )

    async def test_the_tighter_of_key_and_tenant_is_told(self, bench: LimitBench) -> None:
        tenant = await Tenant(bench=bench, limits=Limits(rpm=10), key_limits=Limits(rpm=3, tpm=50)).filled()

        verdict = await tenant.admit(tokens=20)

        assert isinstance(verdict, Admitted)
        assert verdict.rpm == Standing(limit=3, remaining=2, reset_s=61)
        assert verdict.tpm == Standing(limit=50, remaining=30, reset_s=61)

    async def test_two_keys_share_their_tenants_window(self, bench: LimitBench) -> None:
        tenant = await Tenant(bench=bench, limits=Limits(rpm=3), key_limits=Limits(rpm=2)).filled()

        verdicts = [await tenant.admit(key=key) for key in ("k1", "k1", "k1", "k2", "k2")]

        assert [isinstance(verdict, Admitted) for verdict in verdicts] == [True, True, False, True, False]
        assert isinstance(verdicts[2], Full)
        assert verdicts[2].scope is Scope.KEY
        assert isinstance(verdicts[4], Full)
        assert verdicts[4].scope is Scope.TENANT

    async def test_the_largest_wait_is_told(self, bench: LimitBench) -> None:
        tenant = await Tenant(bench=bench, limits=Limits(rpm=2, tpm=100)).filled()
        await tenant.admit(tokens=10)
        bench.clock.advance(20)
        await tenant.admit(tokens=90)

        verdict = await tenant.admit(tokens=50)

        assert verdict == Full(
            rate=Rate.TPM,
            scope=Scope.TENANT,
            limit=100,
            retry_after_s=61,
            rpm=Standing(limit=2, remaining=0, reset_s=61),
            tpm=Standing(limit=100, remaining=0, reset_s=61),
        )

    async def test_after_the_told_wait_it_fits(self, bench: LimitBench) -> None:
        tenant = await Tenant(bench=bench, limits=Limits(rpm=2)).filled()
        await tenant.admit()
        bench.clock.advance(10)
        await tenant.admit()
        full = await tenant.admit()
        assert isinstance(full, Full)
        assert full.retry_after_s == 51

        bench.clock.advance(full.retry_after_s - 1)
        early = await tenant.admit()
        bench.clock.advance(1)
        in_time = await tenant.admit()

        assert isinstance(early, Full)
        assert isinstance(in_time, Admitted)

    async def test_a_call_larger_than_the_limit_is_full(self, bench: LimitBench) -> None:
        tenant = await Tenant(bench=bench, limits=Limits(tpm=100)).filled()

        verdict = await tenant.admit(tokens=101)

        assert isinstance(verdict, Full)
        assert verdict.retry_after_s == 60

    async def test_everything_leaves_the_window(self, bench: LimitBench) -> None:
        tenant = await Tenant(bench=bench, limits=Limits(rpm=1, tpm=10)).filled()
        await tenant.admit()

        bench.clock.advance(3600)
        verdict = await tenant.admit()

        assert isinstance(verdict, Admitted)
        assert verdict.tpm == Standing(limit=10, remaining=0, reset_s=61)

    async def test_a_lowered_limit_binds_at_once(self, bench: LimitBench) -> None:
        before = await Tenant(bench=bench, limits=Limits(rpm=10)).filled()
        for _ in range(5):
            await before.admit()

        after = await attrs.evolve(before, limits=Limits(rpm=3)).admit()

        assert isinstance(after, Full)
        assert after.rpm == Standing(limit=3, remaining=0, reset_s=61)

    # ---- a refused call ----

    async def test_a_refused_call_consumes_nothing(self, bench: LimitBench) -> None:
        tenant = await Tenant(bench=bench, limits=Limits(rpm=10, concurrency=2), key_limits=Limits(tpm=100)).filled()
        await tenant.admit(tokens=60)
        for _ in range(5):
            assert isinstance(await tenant.admit(tokens=50), Full)

        verdict = await tenant.admit(tokens=40)

        assert isinstance(verdict, Admitted)
        assert verdict.rpm == Standing(limit=10, remaining=8, reset_s=61)
        assert verdict.tpm == Standing(limit=100, remaining=0, reset_s=61)

    async def test_a_call_refused_for_slots_charges_no_window(self, bench: LimitBench) -> None:
        tenant = await Tenant(bench=bench, limits=Limits(rpm=10, tpm=100), key_limits=Limits(concurrency=1)).filled()
        await tenant.admit("first")

        verdict = await tenant.admit()

        assert verdict == Full(
            rate=Rate.CONCURRENCY,
            scope=Scope.KEY,
            limit=1,
            retry_after_s=1,
            rpm=Standing(limit=10, remaining=9, reset_s=61),
            tpm=Standing(limit=100, remaining=90, reset_s=61),
        )

    async def test_a_look_takes_nothing(self, bench: LimitBench) -> None:
        tenant = await Tenant(bench=bench, limits=Limits(rpm=1, concurrency=1)).filled()
        for _ in range(3):
            assert isinstance(await tenant.admit("look", calls=0, tokens=0), Admitted)

        verdict = await tenant.admit("look")

        assert isinstance(verdict, Admitted)
        assert isinstance(await tenant.admit("other", calls=0, tokens=0), Admitted)

    # ---- one request id ----

    async def test_the_same_request_id_is_charged_once_and_answered_the_same(self, bench: LimitBench) -> None:
        tenant = await Tenant(bench=bench, limits=Limits(rpm=5, concurrency=5)).filled()

        verdicts = await asyncio.gather(*(tenant.admit("same") for _ in range(20)))

        assert set(verdicts) == {Admitted(epoch=1, rpm=Standing(limit=5, remaining=4, reset_s=61), tpm=None)}
        others = await asyncio.gather(*(tenant.admit() for _ in range(20)))
        assert sum(isinstance(verdict, Admitted) for verdict in others) == 4

    async def test_a_released_request_id_comes_as_new(self, bench: LimitBench) -> None:
        tenant = await Tenant(bench=bench, limits=Limits(rpm=5, concurrency=1)).filled()
        await tenant.admit("same")
        tenant.release("same")

        again = await tenant.admit("same")

        assert isinstance(again, Admitted)
        assert again.rpm == Standing(limit=5, remaining=3, reset_s=61)
        assert isinstance(await tenant.admit(), Full)

    async def test_the_late_end_of_a_former_attempt_is_none_of_the_one_that_runs(self, bench: LimitBench) -> None:
        tenant = await Tenant(bench=bench, limits=Limits(concurrency=2, tpm=100)).filled()
        first = await tenant.admit("a")
        second = await tenant.admit("a", attempt=1)

        tenant.release("a", refund=10)

        assert isinstance(first, Admitted)
        assert isinstance(second, Admitted)
        assert isinstance(await tenant.admit(), Admitted)
        assert isinstance(await tenant.admit(), Full)

    # ---- release ----

    async def test_release_frees_the_slots(self, bench: LimitBench) -> None:
        tenant = await Tenant(bench=bench, limits=Limits(concurrency=1), key_limits=Limits(concurrency=1)).filled()
        await tenant.admit("first")
        assert isinstance(await tenant.admit("second"), Full)

        tenant.release("first")

        assert isinstance(await tenant.admit("second"), Admitted)

    async def test_charge_and_refund_is_identity(self, bench: LimitBench) -> None:
        tenant = await Tenant(bench=bench, limits=Limits(tpm=100), key_limits=Limits(tpm=80)).filled()
        await tenant.admit("first", tokens=80)
        bench.clock.advance(3)

        tenant.release("first", refund=80)

        verdict = await tenant.admit("second", tokens=80)
        assert isinstance(verdict, Admitted)
        assert verdict.tpm == Standing(limit=80, remaining=0, reset_s=61)

    async def test_a_call_refused_later_on_gives_back_its_place(self, bench: LimitBench) -> None:
        tenant = await Tenant(bench=bench, limits=Limits(rpm=1), key_limits=Limits(rpm=1)).filled()
        await tenant.admit("first")

        for _ in range(3):
            tenant.release("first", refused=True)

        assert isinstance(await tenant.admit("second"), Admitted)
        assert isinstance(await tenant.admit("third"), Full)

    async def test_an_ordinary_release_keeps_the_place_taken(self, bench: LimitBench) -> None:
        tenant = await Tenant(bench=bench, limits=Limits(rpm=1)).filled()
        await tenant.admit("first")

        tenant.release("first")

        assert isinstance(await tenant.admit("second"), Full)

    async def test_a_second_release_changes_nothing(self, bench: LimitBench) -> None:
        tenant = await Tenant(bench=bench, limits=Limits(tpm=100)).filled()
        await tenant.admit("first", tokens=50)
        await tenant.admit("second", tokens=50)
        for _ in range(3):
            tenant.release("first", refund=20)

        verdict = await tenant.admit(tokens=0)

        assert isinstance(verdict, Admitted)
        assert verdict.tpm == Standing(limit=100, remaining=20, reset_s=61)

    async def test_a_refund_never_exceeds_what_the_call_was_charged(self, bench: LimitBench) -> None:
        tenant = await Tenant(bench=bench, limits=Limits(tpm=100)).filled()
        await tenant.admit("first", tokens=10)
        await tenant.admit("second", tokens=50)

        tenant.release("first", refund=60)

        verdict = await tenant.admit(tokens=0)
        assert isinstance(verdict, Admitted)
        assert verdict.tpm == Standing(limit=100, remaining=50, reset_s=61)

    async def test_a_refund_of_a_window_that_was_not_charged_takes_from_nobody(self, bench: LimitBench) -> None:
        unlimited = await Tenant(bench=bench).filled()
        await unlimited.admit("first", tokens=50)
        limited = attrs.evolve(unlimited, limits=Limits(tpm=100))
        await limited.admit("second", tokens=50)

        limited.release("first", refund=50)

        verdict = await limited.admit(tokens=0)
        assert isinstance(verdict, Admitted)
        assert verdict.tpm == Standing(limit=100, remaining=50, reset_s=61)

    async def test_a_refund_after_the_window_is_nothing(self, bench: LimitBench) -> None:
        tenant = await Tenant(bench=bench, limits=Limits(tpm=100)).filled()
        await tenant.admit("first", tokens=80)
        bench.clock.advance(61)
        await tenant.admit("second", tokens=50)

        tenant.release("first", refund=80)

        verdict = await tenant.admit(tokens=0)
        assert isinstance(verdict, Admitted)
        assert verdict.tpm == Standing(limit=100, remaining=50, reset_s=61)

    async def test_releasing_what_was_never_admitted_is_nothing(self, bench: LimitBench) -> None:
        tenant = await Tenant(bench=bench, limits=Limits(concurrency=1, tpm=100)).filled()

        tenant.release("never", refund=100)

        verdict = await tenant.admit("never", tokens=100)
        assert isinstance(verdict, Admitted)

    # ---- leases ----

    async def test_a_slot_that_is_not_renewed_is_free_after_30_s(self, bench: LimitBench) -> None:
        tenant = await Tenant(bench=bench, limits=Limits(concurrency=1)).filled()
        await tenant.admit("first")

        bench.clock.advance(29.9)
        early = await tenant.admit("second")
        bench.clock.advance(0.1)
        late = await tenant.admit("second")

        assert isinstance(early, Full)
        assert isinstance(late, Admitted)

    async def test_a_heartbeat_keeps_the_slots(self, bench: LimitBench) -> None:
        tenant = await Tenant(bench=bench, limits=Limits(concurrency=2), key_limits=Limits(concurrency=1)).filled()
        await tenant.admit("first")
        await tenant.admit("second", key="k2")
        for _ in range(3):
            bench.clock.advance(20)
            await bench.store.heartbeat([(tenant.id, "k1", "first"), (tenant.id, "k2", "second")])

        verdict = await tenant.admit("third", key="k3")

        assert isinstance(verdict, Full)
        assert verdict.scope is Scope.TENANT

    async def test_a_heartbeat_of_nobody_is_quiet(self, bench: LimitBench) -> None:
        await bench.store.heartbeat([])

    # ---- tenants ----

    async def test_one_tenant_never_sees_another(self, bench: LimitBench) -> None:
        one = await Tenant(bench=bench, limits=Limits(rpm=1, tpm=10, concurrency=1)).filled()
        other = await Tenant(bench=bench, limits=Limits(rpm=1, tpm=10, concurrency=1)).filled()
        await one.admit("same")
        await bench.store.announce(one.id, [(one.id, 9), ("k1", 9)])

        verdict = await other.admit("same")

        assert verdict == Admitted(
            epoch=1, rpm=Standing(limit=1, remaining=0, reset_s=61), tpm=Standing(limit=10, remaining=0, reset_s=61)
        )

    # ---- generations ----

    async def test_an_older_generation_is_outdated_at_once(self, bench: LimitBench) -> None:
        tenant = await Tenant(bench=bench, limits=Limits(rpm=1)).filled()

        await bench.store.announce(tenant.id, [("k1", 2)])

        assert await tenant.admit() == Outdated()
        assert await tenant.admit(calls=0, tokens=0) == Outdated()
        assert isinstance(await tenant.admit(generation=2), Admitted)

    async def test_the_tenants_generation_binds_all_its_keys(self, bench: LimitBench) -> None:
        tenant = await Tenant(bench=bench).filled()

        await bench.store.announce(tenant.id, [(tenant.id, 2)])

        assert await tenant.admit(key="k1") == Outdated()
        assert await tenant.admit(key="k2") == Outdated()

    async def test_another_keys_generation_binds_only_that_key(self, bench: LimitBench) -> None:
        tenant = await Tenant(bench=bench).filled()

        await bench.store.announce(tenant.id, [("k2", 2)])

        assert isinstance(await tenant.admit(key="k1"), Admitted)

    async def test_a_generation_never_goes_back(self, bench: LimitBench) -> None:
        tenant = await Tenant(bench=bench).filled()
        await bench.store.announce(tenant.id, [("k1", 5)])

        await bench.store.announce(tenant.id, [("k1", 3)])

        assert await tenant.admit(generation=4) == Outdated()
        assert isinstance(await tenant.admit(generation=5), Admitted)

    async def test_an_admission_does_not_outlive_its_generation(self, bench: LimitBench) -> None:
        tenant = await Tenant(bench=bench).filled()
        await tenant.admit("same")

        await bench.store.announce(tenant.id, [("k1", 2)])

        assert await tenant.admit("same") == Outdated()

    # ---- empty and restored ----

    async def test_an_unknown_tenant_is_empty(self, bench: LimitBench) -> None:
        tenant = Tenant(bench=bench)

        assert await tenant.admit() == Empty()
        assert await tenant.admit(calls=0, tokens=0) == Empty()

    async def test_a_lost_tenant_is_empty_until_restored(self, bench: LimitBench) -> None:
        tenant = await Tenant(bench=bench).filled()
        await tenant.admit("first")

        await bench.lose(tenant.id)

        assert await tenant.admit("first") == Empty()
        await tenant.filled(TenantFacts(epoch=2, recent=(), generations=()))
        assert await tenant.admit("first") == Admitted(epoch=2, rpm=None, tpm=None)

    async def test_a_restored_window_is_exact(self, bench: LimitBench) -> None:
        tenant = Tenant(bench=bench, limits=Limits(rpm=4, tpm=100), key_limits=Limits(rpm=3))
        recent = [
            RecentCall(request_id="a", key_id="k1", age_s=62.5, tokens=90, open=False),
            RecentCall(request_id="b", key_id="k1", age_s=50.0, tokens=20, open=False),
            RecentCall(request_id="c", key_id="k2", age_s=30.5, tokens=30, open=False),
            RecentCall(request_id="d", key_id="k1", age_s=0.0, tokens=10, open=True),
        ]
        await tenant.filled(TenantFacts(epoch=7, recent=recent, generations=()))

        verdict = await tenant.admit(tokens=40)
        full = await tenant.admit(key="k2", tokens=5)

        assert verdict == Admitted(
            epoch=7,
            rpm=Standing(limit=4, remaining=0, reset_s=61),
            tpm=Standing(limit=100, remaining=0, reset_s=61),
        )
        assert isinstance(full, Full)
        assert full.retry_after_s == 61 - 50

    async def test_open_calls_have_their_slots_again(self, bench: LimitBench) -> None:
        tenant = Tenant(bench=bench, limits=Limits(concurrency=2, tpm=100))
        recent = [RecentCall(request_id=id_, key_id="k1", age_s=200.0, tokens=9, open=True) for id_ in ("a", "b")]
        await tenant.filled(TenantFacts(epoch=7, recent=recent, generations=()))
        assert isinstance(await tenant.admit(), Full)

        tenant.release("a", refund=9)

        verdict = await tenant.admit()
        assert isinstance(verdict, Admitted)
        assert verdict.tpm == Standing(limit=100, remaining=90, reset_s=61)

    @pytest.mark.parametrize("lost", [True, False])
    async def test_a_call_that_ended_since_the_facts_were_read_has_no_slot(
        self,
        bench: LimitBench,
        lost: bool,  # noqa: FBT001  a column
    ) -> None:
        tenant = await Tenant(bench=bench, limits=Limits(concurrency=1)).filled()
        await tenant.admit("a")
        facts = TenantFacts(
            epoch=7, recent=[RecentCall(request_id="a", key_id="k1", age_s=1.0, tokens=9, open=True)], generations=()
        )
        if lost:
            await bench.lose(tenant.id)

        tenant.release("a")
        await tenant.filled(facts)

        assert isinstance(await tenant.admit("b"), Admitted)

    @pytest.mark.parametrize("lost", [True, False])
    async def test_a_restored_call_is_ended_by_whichever_attempt_it_was(
        self,
        bench: LimitBench,
        lost: bool,  # noqa: FBT001  a column
    ) -> None:
        tenant = await Tenant(bench=bench, limits=Limits(concurrency=1, tpm=100)).filled()
        await tenant.admit("a")
        tenant.release("a")
        await tenant.admit("a", attempt=1)
        if lost:
            await bench.lose(tenant.id)
        await tenant.filled(
            TenantFacts(
                epoch=7,
                recent=[RecentCall(request_id="a", key_id="k1", age_s=1.0, tokens=9, open=True)],
                generations=(),
            )
        )
        assert isinstance(await tenant.admit("b"), Full)

        tenant.release("a", refund=9, attempt=1)

        verdict = await tenant.admit("b", tokens=10)
        assert isinstance(verdict, Admitted)
        assert verdict.tpm == Standing(limit=100, remaining=90, reset_s=61)

    async def test_an_open_call_that_was_restored_can_be_refunded(self, bench: LimitBench) -> None:
        tenant = Tenant(bench=bench, limits=Limits(tpm=100))
        recent = [RecentCall(request_id="a", key_id="k1", age_s=20.0, tokens=80, open=True)]
        await tenant.filled(TenantFacts(epoch=7, recent=recent, generations=()))

        tenant.release("a", refund=50)
        tenant.release("a", refund=50)

        verdict = await tenant.admit(tokens=0)
        assert isinstance(verdict, Admitted)
        assert verdict.tpm == Standing(limit=100, remaining=70, reset_s=41)

    async def test_only_a_newer_epoch_restores(self, bench: LimitBench) -> None:
        tenant = await Tenant(bench=bench, limits=Limits(rpm=5)).filled(TenantFacts(epoch=4, recent=(), generations=()))
        await tenant.admit()

        for epoch in (3, 4):
            await tenant.filled(TenantFacts(epoch=epoch, recent=(), generations=()))
        same = await tenant.admit()
        await tenant.filled(TenantFacts(epoch=5, recent=(), generations=()))
        newer = await tenant.admit()

        assert same == Admitted(epoch=4, rpm=Standing(limit=5, remaining=3, reset_s=61), tpm=None)
        assert newer == Admitted(epoch=5, rpm=Standing(limit=5, remaining=4, reset_s=61), tpm=None)

    async def test_a_call_of_an_older_epoch_refunds_nothing(self, bench: LimitBench) -> None:
        tenant = await Tenant(bench=bench, limits=Limits(tpm=100)).filled()
        await tenant.admit("old", tokens=50)
        await tenant.filled(TenantFacts(epoch=2, recent=(), generations=()))
        await tenant.admit("new", tokens=50)

        tenant.release("old", refund=50)

        verdict = await tenant.admit(tokens=0)
        assert isinstance(verdict, Admitted)
        assert verdict.tpm == Standing(limit=100, remaining=50, reset_s=61)

    async def test_restoring_brings_generations_and_keeps_newer_ones(self, bench: LimitBench) -> None:
        tenant = Tenant(bench=bench)
        await bench.store.announce(tenant.id, [("k1", 5)])

        await tenant.filled(TenantFacts(epoch=1, recent=(), generations=[("k1", 3), ("k2", 2)]))

        assert await tenant.admit(key="k1", generation=4) == Outdated()
        assert await tenant.admit(key="k2", generation=1) == Outdated()
        assert isinstance(await tenant.admit(key="k1", generation=5), Admitted)

    async def test_it_answers(self, bench: LimitBench) -> None:
        await bench.store.ping()
