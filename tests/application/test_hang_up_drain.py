"""ON_HANG_UP=drain: the client has gone, the backend finishes, and the call costs exactly what it says."""

from __future__ import annotations

import attrs
import pytest

from application.live_calls import SHUT_DOWN
from domain.faults import BackendFailed, BackendUnreachable
from tests.application.rig import (
    DEADLINES,
    FORMS,
    HEALTHY,
    HOLD,
    NATIVE,
    PROMPT,
    Client,
    Form,
    Rig,
    RiggedBackend,
    Served,
    a_call,
    scene,
    turns_of_the_loop,
)

DRAIN_S = 40.0
DRAINING = attrs.evolve(DEADLINES, drain_s=DRAIN_S)
each_form = pytest.mark.parametrize("form", FORMS, ids=str)


async def left_in_the_middle(form: Form, *, after: int = 0) -> tuple[Rig, Client, Served]:
    """A call whose client leaves when the backend has it, before the first piece or after so many."""
    rig = await Rig.of(deadlines=DRAINING)
    client = await rig.client()
    rig.backend.waits_after = after
    rig.backend.reading.shut()
    served = rig.start(client, a_call(form))
    await turns_of_the_loop()
    served.live.hang_up()
    await turns_of_the_loop()
    return rig, client, served


@each_form
@pytest.mark.parametrize("after", [0, 2])
async def test_the_backend_finishes_and_its_own_count_is_charged(form: Form, after: int) -> None:
    rig, _, served = await left_in_the_middle(form, after=after if form.streamed else 0)
    told = served.reply.bytes_out

    assert len(rig.live_calls.slots()) == 1
    assert rig.turns.in_flight == {"fake": 1}
    rig.backend.reading.open()
    await served.end()

    rig.assert_settled(served, outcome="hung_up", code=None, tokens=HEALTHY, noted=False)
    assert served.reply.bytes_out == told, "nobody is there to be told"


async def test_it_is_cut_when_its_time_is_over() -> None:
    rig, _, served = await left_in_the_middle(NATIVE, after=2)

    rig.live_calls.sweep()
    rig.clock.advance(DRAIN_S)
    rig.live_calls.sweep()
    await turns_of_the_loop()
    assert not served.live.task.done()
    rig.clock.advance(1)
    rig.live_calls.sweep()
    await served.end()

    rig.assert_settled(served, outcome="hung_up", code=None, tokens=PROMPT + 3, noted=False)


@pytest.mark.parametrize("ends", ["the process stops", "its key is revoked", "the backend stops in mid-answer"])
async def test_what_ends_other_calls_ends_it_too(ends: str) -> None:
    rig, client, served = await left_in_the_middle(NATIVE, after=2)

    if ends == "the process stops":
        rig.live_calls.cut_all(SHUT_DOWN)
    elif ends == "its key is revoked":
        await rig.revoke(client)
    else:
        rig.clock.advance(DEADLINES.next_byte_s + 1)
        rig.live_calls.sweep()
    await served.end()

    rig.assert_settled(served, outcome="hung_up", code=None, tokens=PROMPT + 3, noted=False)


async def test_a_backend_that_breaks_off_then_has_nobody_to_tell() -> None:
    rig = await Rig.of(deadlines=DRAINING)
    client = await rig.client()
    rig.backend.waits_after = 1
    rig.backend.reading.shut()
    rig.backend.play(scene(NATIVE, 2, breaks=BackendFailed()))
    served = rig.start(client)
    await turns_of_the_loop()
    served.live.hang_up()

    rig.backend.reading.open()
    reply = await served.end()

    rig.assert_settled(served, outcome="hung_up", code=None, tokens=PROMPT + 3, noted=False)
    assert reply.told is None


async def test_a_backend_that_pours_is_cut_at_the_cap_for_a_client_who_left_too() -> None:
    rig = await Rig.of(deadlines=DRAINING)
    client = await rig.client()
    rig.backend.waits_after = 1
    rig.backend.reading.shut()
    rig.backend.play(scene(NATIVE, 5000))
    served = rig.start(client)
    await turns_of_the_loop()
    served.live.hang_up()

    rig.backend.reading.open()
    await served.end()

    rig.assert_settled(served, outcome="cut_at_cap", code="stream_broken", tokens=HOLD, noted=False)


async def test_a_client_that_leaves_before_anything_was_sent_costs_no_backend() -> None:
    rig = await Rig.of(RiggedBackend(most_in_flight=1), deadlines=DRAINING)
    client = await rig.client()
    rig.backend.reading.shut()
    rig.backend.waits_after = 0
    running = rig.start(client)
    await turns_of_the_loop()
    waiting = rig.start(client)
    await turns_of_the_loop()

    waiting.live.hang_up()
    await waiting.end()
    rig.backend.reading.open()
    await running.end()

    assert rig.settlement(waiting).charge.tokens == 0
    assert rig.settlement(waiting).outcome == "hung_up"
    assert len(rig.backend.calls) == 1
    rig.assert_nothing_is_left()


async def test_for_a_client_who_left_no_second_backend_is_tried() -> None:
    one, two = RiggedBackend("one"), RiggedBackend("two")
    rig = await Rig.of(one, two, deadlines=DRAINING)
    client = await rig.client()
    begun: list[Served] = []

    async def refuse(_: object) -> None:
        begun[0].live.hang_up()
        raise BackendUnreachable

    one.open = two.open = refuse  # type: ignore[assignment, method-assign]
    begun.append(rig.start(client))
    await begun[0].end()

    settlement = rig.settlement(begun[0])
    assert (settlement.outcome, settlement.charge.tokens) == ("hung_up", 0)
    rig.assert_nothing_is_left()
