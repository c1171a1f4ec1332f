"""The loops beside the requests, and changes taken in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from application.live_calls import HUNG_UP
from application.upkeep import for_ever
from domain.changes import Change
from domain.faults import Fault, FaultCode, StoreUnavailable
from domain.policies import Policy, TenantState
from domain.ports.limit_store import Outdated
from domain.settlement import Outcome
from tests.application.rig import NATIVE, PROMPT, Rig, a_call, in_no_time, scene, turns_of_the_loop
from tests.builders import to


async def _run_for(seconds: float, rig: Rig) -> None:
    """Lets upkeep run for a span of the loop's time, the rig's clock beside it."""
    running = asyncio.create_task(rig.upkeep.run())
    for _ in range(round(seconds * 10)):
        await asyncio.sleep(0.1)
        rig.clock.advance(0.1)
    assert not running.done()
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()


@pytest.mark.parametrize("fault", [Fault(FaultCode.INTERNAL, "no"), ZeroDivisionError()], ids=["fault", "bug"])
def test_a_loop_outlives_its_failures(fault: Exception) -> None:
    async def story() -> None:
        steps = 0

        async def step() -> None:
            nonlocal steps
            steps += 1
            raise fault

        loop = asyncio.create_task(for_ever(1.0, "step", step))
        await asyncio.sleep(5.5)

        assert steps == 6
        loop.cancel()
        await asyncio.wait([loop])
        assert loop.cancelled()

    in_no_time(story())


def test_slots_are_renewed_before_their_lease_ends() -> None:
    async def story() -> None:
        rig = await Rig.of()
        client = await rig.client()
        rig.backend.waits_after = 1
        rig.backend.reading.shut()
        served = rig.start(client)
        await rig.backend.reading.reached.wait()

        await _run_for(45, rig)

        assert rig.limits.heartbeats == [[(client.tenant.id, client.key.id, served.request_id)]] * 5
        assert rig.limits.slots_taken(client.tenant.id) == 1
        rig.backend.reading.open()
        await asyncio.wait([served.live.task])
        rig.assert_nothing_is_left()

    in_no_time(story())


def test_turns_are_renewed_before_their_lease_ends() -> None:
    async def story() -> None:
        rig = await Rig.of()
        board = rig.turns.board
        board.now_ms = rig.clock.now_ms
        rig.backend.waits_after = 1
        rig.backend.reading.shut()
        served = rig.start(await rig.client())
        await rig.backend.reading.reached.wait()

        await _run_for(45, rig)

        assert board.taken("fake") == 1
        rig.backend.reading.open()
        await asyncio.wait([served.live.task])
        rig.assert_nothing_is_left()

    in_no_time(story())


def test_a_call_without_slots_renews_none() -> None:
    async def story() -> None:
        rig = await Rig.of()
        rig.register.finding.shut()
        served = rig.start(await rig.client())

        await _run_for(15, rig)

        assert rig.limits.heartbeats == []
        served.live.end(HUNG_UP)
        await asyncio.wait([served.live.task])

    in_no_time(story())


def test_a_limiter_that_is_away_stops_neither_sweep_nor_surveys() -> None:
    async def story() -> None:
        rig = await Rig.of()
        rig.backend.play(scene(NATIVE, 3))
        rig.backend.waits_after = 1
        rig.backend.reading.shut()
        served = rig.start(await rig.client())
        await rig.backend.reading.reached.wait()
        rig.limits.down = True
        rig.backends.mark_unreachable("fake")

        await _run_for(70, rig)

        assert rig.backends.any_healthy
        assert served.reply.code == "backend_timeout"
        rig.assert_settled(served, outcome=Outcome.TIMED_OUT, code="backend_timeout", tokens=PROMPT + 2, noted=False)

    in_no_time(story())


async def test_a_revoked_key_is_forgotten_announced_and_cut() -> None:
    rig = await Rig.of()
    client, bystander = await rig.client(), await rig.client("other")
    rig.backend.waits_after = 1
    rig.backend.reading.shut()
    cut, left = rig.start(client), rig.start(bystander)
    await turns_of_the_loop()

    await rig.revoke(client)
    await cut.end()

    assert cut.reply.code == "key_cut"
    assert left.live.cut is None
    assert (await rig.serve(client)).reply.code == "api_key_revoked"
    rig.backend.reading.open()
    await left.end()
    rig.assert_nothing_is_left()


async def test_a_suspended_tenant_is_forgotten_announced_and_cut() -> None:
    rig = await Rig.of()
    client = await rig.client()
    rig.backend.waits_after = 1
    rig.backend.reading.shut()
    cut = rig.start(client)
    await turns_of_the_loop()

    await rig.suspend(client)
    await cut.end()

    assert cut.reply.code == "key_cut"
    assert (await rig.serve(client)).reply.code == "tenant_suspended"
    rig.assert_nothing_is_left()


async def _a_policy(rig: Rig, whole_tenant: bool) -> tuple[str, str | None, int]:  # noqa: FBT001
    if whole_tenant:
        tenant = await rig.tenants.change_tenant_policy("acme", to(Policy(models=frozenset())), actor="console")
        return tenant.id, None, tenant.generation
    [key] = await rig.tenants.keys("acme")
    key = await rig.tenants.change_key_policy(key.prefix, to(Policy(models=frozenset())), actor="console")
    return key.tenant_id, key.id, key.generation


@pytest.mark.parametrize("whole_tenant", [True, False])
async def test_a_changed_policy_binds_the_next_call_and_cuts_none(whole_tenant: bool) -> None:  # noqa: FBT001
    rig = await Rig.of()
    client = await rig.client()
    rig.backend.waits_after = 1
    rig.backend.reading.shut()
    running = rig.start(client)
    await turns_of_the_loop()

    tenant_id, key_id, generation = await _a_policy(rig, whole_tenant)
    await rig.upkeep.taken_in(tenant_id, key_id, generation, Change.CHANGED)

    assert running.live.cut is None
    assert (await rig.serve(client)).reply.code == "model_not_found"
    rig.backend.reading.open()
    await running.end()
    assert running.reply.told is None


async def test_a_revocation_cuts_even_when_it_cannot_be_announced() -> None:
    rig = await Rig.of()
    client = await rig.client()
    rig.backend.waits_after = 1
    rig.backend.reading.shut()
    cut = rig.start(client)
    await turns_of_the_loop()
    rig.limits.down = True

    with pytest.raises(StoreUnavailable):
        await rig.revoke(client)
    await cut.end()

    assert cut.reply.code == "key_cut"


@pytest.mark.parametrize("stop", [lambda rig: rig.limits.answering, lambda rig: rig.register.finding])
async def test_a_call_that_enters_while_its_key_is_revoked_is_never_sent(stop: Callable[[Rig], object]) -> None:
    rig = await Rig.of()
    client = await rig.client()
    gate = rig.limits.answering if stop(rig) is rig.limits.answering else rig.register.finding
    gate.shut()
    served = rig.start(client)
    await asyncio.wait_for(gate.reached.wait(), 5)

    await rig.revoke(client)
    gate.open()
    await served.end()

    assert rig.backend.calls == []
    assert served.reply.code in ("key_cut", "api_key_revoked")
    rig.assert_nothing_is_left()


async def test_an_announcement_outdates_the_copies_of_other_processes() -> None:
    rig = await Rig.of()
    client = await rig.client()
    await rig.serve(client)
    caller = await rig.identify(rig.present(client.secret, a_call()))
    key = await rig.tenants.revoke_key(client.key.prefix, actor="console")

    await rig.upkeep.taken_in(client.tenant.id, key.id, key.generation, Change.REVOKED)

    request = rig.limits.requests[0]
    assert request.key_generation == caller.key_generation
    assert await rig.limits.admit(request) == Outdated()


async def test_a_resumed_tenant_is_served_at_once() -> None:
    rig = await Rig.of()
    client = await rig.client()
    await rig.suspend(client)
    assert (await rig.serve(client)).reply.code == "tenant_suspended"

    tenant = await rig.tenants.set_tenant_state("acme", TenantState.ACTIVE, actor="console")
    await rig.upkeep.taken_in(tenant.id, None, tenant.generation, Change.CHANGED)

    assert (await rig.serve(client)).reply.told is None
