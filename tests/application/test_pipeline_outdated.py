"""Identities and admissions that prove out of date on the way in: looked up afresh, a bounded number of times."""

from __future__ import annotations

import asyncio

from application.live_calls import HUNG_UP
from domain.limits import Limits
from domain.policies import Policy
from domain.ports.budget_ledger import Stale
from domain.ports.limit_store import Empty, Outdated
from domain.settlement import Outcome
from tests.application.rig import HEALTHY, HOLD, Rig, turns_of_the_loop
from tests.builders import to


async def test_an_outdated_identity_is_looked_up_afresh() -> None:
    rig = await Rig.of()
    client = await rig.client()
    await rig.serve(client)
    tenant = await rig.tenants.change_tenant_policy("acme", to(Policy(limits=Limits(rpm=7))), actor="console")
    await rig.limits.announce(tenant.id, [(tenant.id, tenant.generation)])

    served = await rig.serve(client)

    assert [request.tenant_limits.rpm for request in rig.limits.requests][-2:] == [None, 7]
    assert served.reply.rates.rpm is not None
    rig.assert_settled(served, outcome=Outcome.DONE, code=None, tokens=HEALTHY, noted=False)


async def test_an_outdated_copy_in_the_shared_memory_is_passed_over() -> None:
    rig = await Rig.of()
    client = await rig.client()
    await rig.serve(client)
    await rig.tenants.revoke_key(client.key.prefix, actor="console")
    await rig.limits.announce(client.tenant.id, [(client.key.id, 9)])
    rig.identify.forget(client.tenant.id, None)

    served = await rig.serve(client)

    assert served.reply.code == "api_key_revoked"
    note = rig.note(served)
    assert (note.tenant_id, note.key_id, note.key_prefix) == (client.tenant.id, client.key.id, client.key.prefix)
    rig.assert_nothing_is_left()


async def test_an_identity_that_never_settles_is_given_up_after_some_tries() -> None:
    rig = await Rig.of()
    client = await rig.client()
    rig.limits.scripted.extend([Outdated()] * 9)

    served = await rig.serve(client)

    assert len(rig.limits.requests) == 4
    assert (rig.register.finds, rig.passwords.runs) == (4, 1)
    assert rig.limits.releases == []
    rig.assert_refused(served, "identity_unavailable")


async def test_a_stale_hold_gives_its_admission_back_and_asks_for_another() -> None:
    rig = await Rig.of()
    client = await rig.client(policy=Policy(limits=Limits(rpm=1, tpm=HOLD, concurrency=1)))
    rig.ledger.scripted.append(Stale())

    served = await rig.serve(client)

    assert [one.attempt for one in rig.releases(served)] == [0, 1]
    assert [one.refund_tokens for one in rig.releases(served)] == [HOLD, HOLD - HEALTHY]
    assert [one.refund_call for one in rig.releases(served)] == [True, False]
    assert (rig.register.finds, rig.passwords.runs) == (2, 1)
    assert rig.settlement(served).charge.tokens == HEALTHY
    rig.assert_nothing_is_left()


async def test_a_hold_that_never_settles_is_given_up_with_nothing_taken() -> None:
    rig = await Rig.of()
    client = await rig.client()
    rig.ledger.scripted.extend([Stale()] * 9)

    served = await rig.serve(client)

    assert len(rig.ledger.requests) == 4
    assert [one.refund_tokens for one in rig.releases(served)] == [HOLD] * 4
    rig.assert_refused(served, "identity_unavailable")


async def test_slots_are_kept_alive_while_a_later_admission_holds_them() -> None:
    rig = await Rig.of()
    client = await rig.client()
    rig.ledger.scripted.append(Stale())
    rig.backend.waits_after = 1
    rig.backend.reading.shut()
    served = rig.start(client)
    await asyncio.wait_for(rig.backend.reading.reached.wait(), 5)

    assert served.live.has_slots
    rig.backend.reading.open()
    await served.end()
    assert not served.live.has_slots


async def test_a_hang_up_between_two_admissions_owes_nothing() -> None:
    rig = await Rig.of()
    client = await rig.client()
    rig.ledger.scripted.append(Stale())
    await rig.serve(client)  # warms the caches; its retry is done
    rig.ledger.scripted.append(Stale())
    rig.register.finding.shut()
    rig.register.finding.reached.clear()
    served = rig.start(client)
    await asyncio.wait_for(rig.register.finding.reached.wait(), 5)

    served.live.end(HUNG_UP)
    await served.end()

    assert [one.refund_tokens for one in rig.releases(served)] == [HOLD]
    assert [one for one in rig.ledger.settlements if one.request_id == served.request_id] == []
    assert rig.note(served).code == "client_hung_up"
    rig.register.finding.open()
    await turns_of_the_loop()
    rig.assert_nothing_is_left()


async def test_a_lost_tenant_is_restored_once_for_all_who_ask() -> None:
    rig = await Rig.of(depth=50)
    client = await rig.client()

    calls = [rig.start(client) for _ in range(50)]
    await asyncio.gather(*(call.end() for call in calls))

    assert rig.ledger.facts_asked == 1
    assert rig.limits.restored == [1]
    assert {call.reply.told for call in calls} == {None}
    assert rig.used(client) == 50 * HEALTHY
    rig.assert_nothing_is_left()


async def test_a_waiter_that_leaves_does_not_stop_the_restoring() -> None:
    rig = await Rig.of()
    client = await rig.client()
    await rig.serve(client)
    rig.limits.forget(client.tenant.id)
    rig.limits.restoring.shut()
    rig.limits.restoring.reached.clear()
    first, second = rig.start(client), rig.start(client)
    await asyncio.wait_for(rig.limits.restoring.reached.wait(), 5)

    first.live.end(HUNG_UP)
    await first.end()
    rig.limits.restoring.open()
    await second.end()

    assert second.reply.told is None
    assert rig.ledger.facts_asked == 2
    rig.assert_nothing_is_left()


async def test_a_call_admitted_under_a_former_epoch_is_admitted_again() -> None:
    rig = await Rig.of()
    client = await rig.client()
    await rig.serve(client)
    rig.limits.answering.shut()
    rig.limits.answering.reached.clear()
    served = rig.start(client)
    await asyncio.wait_for(rig.limits.answering.reached.wait(), 5)
    rig.limits.forget(client.tenant.id)
    await rig.limits.restore(client.tenant.id, await rig.ledger.tenant_facts(client.tenant.id))

    rig.limits.answering.open()
    await served.end()

    assert served.reply.told is None
    assert [request.epoch for request in rig.ledger.requests][-2:] == [1, 2]
    rig.assert_nothing_is_left()


async def test_a_restoring_that_fails_closes_and_is_tried_again_by_the_next() -> None:
    rig = await Rig.of()
    client = await rig.client()
    await rig.serve(client)
    rig.limits.forget(client.tenant.id)
    rig.books.unavailable = True

    served = await rig.serve(client)

    assert served.reply.code == "ledger_unavailable"
    assert rig.note(served).status == 503
    rig.books.unavailable = False
    assert (await rig.serve(client)).reply.told is None
    rig.assert_nothing_is_left()


async def test_a_store_that_loses_what_is_restored_closes() -> None:
    rig = await Rig.of()
    client = await rig.client()
    rig.limits.scripted.extend([Empty()] * 9)

    served = await rig.serve(client)

    assert len(rig.limits.requests) == 3
    rig.assert_refused(served, "limiter_unavailable")


async def test_a_failed_restoring_whose_waiters_all_left_is_no_unheard_error() -> None:
    rig = await Rig.of()
    client = await rig.client()
    rig.limits.restoring.shut()
    request = rig.start(client)
    await asyncio.wait_for(rig.limits.restoring.reached.wait(), 5)
    rig.limits.down = True

    request.live.end(HUNG_UP)
    await request.end()
    rig.limits.restoring.open()
    await turns_of_the_loop()

    assert rig.note(request).code == "client_hung_up"
    rig.assert_nothing_is_left()


async def test_a_restoring_that_is_cancelled_is_begun_anew() -> None:
    rig = await Rig.of()
    client = await rig.client()
    rig.limits.restoring.shut()
    first = rig.start(client)
    await asyncio.wait_for(rig.limits.restoring.reached.wait(), 5)
    [restoring] = rig.admit._restoring._running.values()

    restoring.cancel()
    await first.end()
    rig.limits.restoring.open()

    assert first.reply.code == "shutting_down"
    assert (await rig.serve(client)).reply.told is None
    rig.assert_nothing_is_left()


async def test_what_was_allowed_a_moment_ago_is_allowed_though_a_copy_of_the_caller_says_otherwise() -> None:
    rig = await Rig.of()
    client = await rig.client(policy=Policy(models=frozenset()))
    rig.assert_refused(await rig.serve(client), "model_not_found")
    tenant = await rig.tenants.change_tenant_policy("acme", to(Policy()), actor="console")
    await rig.limits.announce(tenant.id, [(tenant.id, tenant.generation)])

    served = await rig.serve(client)

    rig.assert_settled(served, outcome=Outcome.DONE, code=None, tokens=HEALTHY, noted=False)


async def test_a_call_that_may_not_be_made_asks_once_whether_that_is_still_so_and_takes_nothing() -> None:
    rig = await Rig.of()
    client = await rig.client(policy=Policy(limits=Limits(rpm=1, concurrency=1), models=frozenset()))

    served = [await rig.serve(client) for _ in range(3)]

    assert {(request.tokens, request.calls) for request in rig.limits.requests} == {(0, 0)}
    assert (rig.register.finds, rig.limits.releases) == (1, [])
    for one in served:
        rig.assert_refused(one, "model_not_found")


async def test_windows_older_than_the_ledgers_epoch_are_restored_again() -> None:
    """Somebody read newer facts than those that were restored, and was killed before it restored them."""
    rig = await Rig.of()
    client = await rig.client()
    await rig.serve(client)
    await rig.ledger.tenant_facts(client.tenant.id)

    served = await rig.serve(client)

    assert rig.settlement(served).charge.tokens == HEALTHY
    assert rig.limits.restored == [1, 3]
    await rig.serve(client)
    assert rig.ledger.facts_asked == 3
    rig.assert_nothing_is_left()
