"""Debts are paid once, in full, and only if they were made."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.afterwork import Afterwork
from application.rooms.dispatch import Dispatch
from application.rooms.settle import Debts, Ending
from domain.calls import Bounds
from domain.settlement import Outcome, Sent
from domain.tally import Tally, Usage
from tests.application.rig import Rig, a_call, in_no_time

BOUNDS = Bounds(prompt=100, output=20)


def debts_of(rig: Rig) -> Debts:
    return Debts(
        limits=rig.limits,
        ledger=rig.ledger,
        clock=rig.clock,
        request_id="r",
        attempt=1,
        tenant_id="t",
        key_id="k",
        began_s=rig.clock.monotonic_s(),
    )


def pay(rig: Rig, debts: Debts, *, sent: Sent = Sent.YES, tally: Tally | None = None) -> None:
    dispatch = Dispatch(rig.backends, rig.turns, rig.clock, Afterwork(), rig.watchdog, sent=sent)
    debts.pay(a_call(), BOUNDS, tally or Tally(), dispatch, Ending(Outcome.DONE, status=200, bytes_out=7))


async def test_who_owes_nothing_pays_nothing() -> None:
    rig = await Rig.of()

    pay(rig, debts_of(rig))

    assert (rig.ledger.settlements, rig.limits.releases) == ([], [])


async def test_an_admission_is_given_back_under_its_own_attempt() -> None:
    rig = await Rig.of()
    debts = debts_of(rig)
    debts.will_admit(120)

    pay(rig, debts, sent=Sent.NO)
    pay(rig, debts, sent=Sent.NO)

    [release] = rig.limits.releases
    assert (release.tenant_id, release.key_id, release.request_id, release.attempt) == ("t", "k", "r", 1)
    assert (release.refund_tokens, release.refund_call) == (120, True)
    assert rig.ledger.settlements == []


async def test_a_hold_is_settled_once_and_its_rest_refunded() -> None:
    rig = await Rig.of()
    debts = debts_of(rig)
    debts.will_admit(120)
    debts.will_hold()
    rig.clock.advance(1.5)

    for _ in range(3):
        pay(rig, debts, tally=Tally(usage=Usage(30, 5), ended=True))

    [settlement] = rig.ledger.settlements
    assert (settlement.request_id, settlement.charge.tokens, settlement.duration_ms) == ("r", 35, 1500)
    assert [(one.refund_tokens, one.refund_call) for one in rig.limits.releases] == [(85, False)]


async def test_what_was_refused_is_not_owed() -> None:
    rig = await Rig.of()
    debts = debts_of(rig)
    debts.will_admit(120)
    debts.nothing_admitted()
    debts.will_hold()
    debts.nothing_held()

    pay(rig, debts)

    assert (rig.ledger.settlements, rig.limits.releases) == ([], [])


async def test_a_charge_above_the_admission_refunds_nothing() -> None:
    rig = await Rig.of()
    debts = debts_of(rig)
    debts.will_admit(10)
    debts.will_hold()

    pay(rig, debts, tally=Tally(usage=Usage(90, 5), ended=True))

    assert rig.limits.releases[0].refund_tokens == 0


STEPS = ["will_admit", "nothing_admitted", "will_hold", "nothing_held", "pay"]


@given(st.lists(st.sampled_from(STEPS), max_size=12), st.sampled_from(Sent))
def test_no_order_of_steps_pays_more_than_is_owed(steps: list[str], sent: Sent) -> None:
    async def story() -> None:
        rig = await Rig.of()
        debts = debts_of(rig)
        admitted = held = releases = settlements = 0
        for step in steps:
            match step:
                case "will_admit":
                    debts.will_admit(120)
                    admitted = 1
                case "nothing_admitted":
                    debts.nothing_admitted()
                    admitted = 0
                case "will_hold":
                    debts.will_hold()
                    held = 1
                case "nothing_held":
                    debts.nothing_held()
                    held = 0
                case _:
                    pay(rig, debts, sent=sent)
                    releases, settlements = releases + admitted, settlements + held
                    admitted = held = 0
            assert (len(rig.limits.releases), len(rig.ledger.settlements)) == (releases, settlements)
        assert all(0 <= one.refund_tokens <= 120 for one in rig.limits.releases)

    in_no_time(story())


@pytest.mark.parametrize("outcome", Outcome)
async def test_a_call_that_was_not_sent_keeps_its_place_only_if_its_client_left(outcome: Outcome) -> None:
    rig = await Rig.of()
    debts = debts_of(rig)
    debts.will_admit(120)
    dispatch = Dispatch(rig.backends, rig.turns, rig.clock, Afterwork(), rig.watchdog)

    debts.pay(a_call(), BOUNDS, Tally(), dispatch, Ending(outcome))

    assert rig.limits.releases[0].refund_call is (outcome is not Outcome.HUNG_UP)
