"""A call that is cut, wherever it stands: by the client, by a deadline, by a revoked key, by the end of the process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import attrs
import pytest

from application.live_calls import HUNG_UP, Cut, Waiting
from domain.faults import BackendUnreachable, Fault, FaultCode
from domain.settlement import Outcome
from domain.tally import Piece, Usage
from tests.application.rig import (
    FORMS,
    HEALTHY,
    HOLD,
    NATIVE,
    NATIVE_WHOLE,
    PROMPT,
    STREAMED,
    Form,
    Gate,
    Rig,
    RiggedBackend,
    Served,
    a_call,
    in_no_time,
    scene,
    turns_of_the_loop,
    word,
)
from tests.fakes.model_backend import Scene

each_form = pytest.mark.parametrize("form", FORMS, ids=str)
each_stream = pytest.mark.parametrize("form", STREAMED, ids=str)

SHUT_DOWN = Cut(Outcome.SHUT_DOWN, Fault(FaultCode.SHUTTING_DOWN, "The gateway is shutting down."))


@attrs.frozen(kw_only=True)
class Phase:
    """Where a call waits; what it is charged if it is cut there; whether the audit only has a note of it."""

    stop: Callable[[Rig, Served, Form], Gate]
    streamed: int
    whole: int
    held: bool = True
    admitted: bool = True
    noted: bool = False


def _identify(rig: Rig, _: Served, __: Form) -> Gate:
    return rig.register.finding


def _admit(rig: Rig, _: Served, __: Form) -> Gate:
    return rig.limits.answering


def _hold(rig: Rig, _: Served, __: Form) -> Gate:
    return rig.ledger.answering


def _before_the_first_piece(rig: Rig, _: Served, __: Form) -> Gate:
    rig.backend.waits_after = 0
    return rig.backend.reading


def _in_the_middle(rig: Rig, _: Served, form: Form) -> Gate:
    rig.backend.waits_after = 2
    rig.backend.play(scene(form, 4))
    return rig.backend.reading


def _begin(_: Rig, served: Served, __: Form) -> Gate:
    return served.reply.gates["begin"]


def _send(_: Rig, served: Served, form: Form) -> Gate:
    return served.reply.gates["send" if form.streamed else "begin"]


def _finish(_: Rig, served: Served, __: Form) -> Gate:
    return served.reply.gates["finish"]


PHASES = {
    "identify": Phase(stop=_identify, streamed=0, whole=0, held=False, admitted=False, noted=True),
    "admit": Phase(stop=_admit, streamed=0, whole=0, held=False, noted=True),
    "hold": Phase(stop=_hold, streamed=0, whole=0, noted=True),
    "before the first piece": Phase(stop=_before_the_first_piece, streamed=PROMPT, whole=HOLD),
    "in the middle": Phase(stop=_in_the_middle, streamed=PROMPT + 3, whole=HOLD),
    "begin": Phase(stop=_begin, streamed=PROMPT + 2, whole=HEALTHY),
    "send": Phase(stop=_send, streamed=PROMPT + 3, whole=HEALTHY),
    "finish": Phase(stop=_finish, streamed=HEALTHY, whole=HEALTHY),
}
each_phase = pytest.mark.parametrize("name", PHASES)


async def _stopped(rig: Rig, name: str, form: Form) -> Served:
    """A call that waits in that phase."""
    client = await rig.client()
    served = rig.start(client, a_call(form))
    gate = PHASES[name].stop(rig, served, form)
    gate.reached.clear()
    gate.shut()
    await asyncio.wait_for(gate.reached.wait(), 5)
    return served


def _assert_cut(rig: Rig, served: Served, name: str, form: Form, cut: Cut) -> None:
    phase = PHASES[name]
    if phase.held:
        tokens = phase.streamed if form.streamed else phase.whole
        hung_up = cut.outcome is Outcome.HUNG_UP
        code = None if hung_up else cut.fault.code.value
        rig.assert_settled(served, outcome=cut.outcome, code=code, tokens=tokens, noted=phase.noted)
    else:
        assert rig.ledger.settlements == []
        assert [one.refund_tokens for one in rig.releases(served)] == ([HOLD] if phase.admitted else [])
    if phase.noted:
        assert rig.note(served).code == cut.fault.code
    assert served.reply.wrongs == []
    rig.assert_nothing_is_left()


@each_phase
@each_form
async def test_a_hang_up_in_any_phase_is_settled_once(name: str, form: Form) -> None:
    rig = await Rig.of()
    served = await _stopped(rig, name, form)

    served.live.end(HUNG_UP)
    await served.end()

    assert served.reply.told is None
    _assert_cut(rig, served, name, form, HUNG_UP)


@each_phase
@each_form
async def test_the_end_of_the_process_in_any_phase_is_told_and_settled_once(name: str, form: Form) -> None:
    rig = await Rig.of()
    served = await _stopped(rig, name, form)

    rig.live_calls.cut_all(SHUT_DOWN)
    rig.live_calls.cut_all(SHUT_DOWN)
    await rig.live_calls.drained()

    assert served.reply.code == (None if name == "finish" else "shutting_down")
    _assert_cut(rig, served, name, form, SHUT_DOWN)


@each_phase
async def test_a_cancellation_without_a_reason_is_the_end_of_the_process(name: str) -> None:
    rig = await Rig.of()
    served = await _stopped(rig, name, NATIVE)

    served.live.task.cancel()
    await served.end()

    _assert_cut(rig, served, name, NATIVE, SHUT_DOWN)


@pytest.mark.parametrize("name", [name for name in PHASES if name not in ("identify", "finish")])
@each_form
async def test_a_revoked_key_is_cut_in_any_phase(name: str, form: Form) -> None:
    rig = await Rig.of()
    client = await rig.client("bystander")
    served = await _stopped(rig, name, form)
    bystander = rig.start(client, a_call(form))

    rig.live_calls.cut_key(served.live.key_id)
    await served.end()

    assert served.reply.code == "key_cut"
    assert served.reply.ended
    cut = served.live.cut
    assert cut is not None
    assert bystander.live.cut is None
    bystander.live.end(HUNG_UP)
    await bystander.end()
    rig.ledger.settlements = [one for one in rig.ledger.settlements if one.request_id == served.request_id]
    _assert_cut(rig, served, name, form, cut)


async def test_a_suspended_tenant_is_cut() -> None:
    rig = await Rig.of()
    served = await _stopped(rig, "in the middle", NATIVE)

    rig.live_calls.cut_tenant("another")
    assert served.live.cut is None
    rig.live_calls.cut_tenant(served.live.tenant_id)
    await served.end()

    assert served.reply.code == "key_cut"
    rig.assert_nothing_is_left()


@each_form
async def test_a_hang_up_in_the_queue_costs_nothing_and_leaves_no_turn_behind(form: Form) -> None:
    rig = await Rig.of(RiggedBackend(most_in_flight=1))
    client = await rig.client()
    opens = asyncio.Event()
    rig.backend.play(attrs.evolve(scene(form, 1), waits=opens))
    first = rig.start(client, a_call(form))
    await turns_of_the_loop()
    served = rig.start(client, a_call(form))
    await turns_of_the_loop()

    served.live.end(HUNG_UP)
    await served.end()
    opens.set()
    await first.end()

    rig.assert_settled(served, outcome=Outcome.HUNG_UP, code=None, tokens=0, noted=False)
    assert (await rig.serve(client, a_call(form))).reply.told is None


@each_form
async def test_a_hang_up_before_the_head_closes_nothing_and_charges_the_prompt(form: Form) -> None:
    rig = await Rig.of()
    client = await rig.client()
    rig.backend.play(Scene(waits=asyncio.Event()))
    served = rig.start(client, a_call(form))
    await turns_of_the_loop()

    served.live.end(HUNG_UP)
    await served.end()

    tokens = PROMPT if form.streamed else HOLD
    rig.assert_settled(served, outcome=Outcome.HUNG_UP, code=None, tokens=tokens, noted=False)


# -- a cut at the edges of a call -----------------------------------------------------------------------------------


async def test_a_client_that_is_gone_before_the_call_begins_leaves_a_trace() -> None:
    rig = await Rig.of()
    served = rig.start(await rig.client())

    served.live.end(HUNG_UP)
    await served.end()

    assert rig.note(served).code == "client_hung_up"
    assert rig.limits.requests == []
    rig.assert_nothing_is_left()


async def test_a_call_that_is_cut_before_it_begins_is_told() -> None:
    rig = await Rig.of()
    served = rig.start(await rig.client())

    rig.live_calls.cut_all(SHUT_DOWN)
    await rig.live_calls.drained()

    rig.assert_refused(served, "shutting_down")


@each_stream
@pytest.mark.parametrize("cut", [HUNG_UP, SHUT_DOWN], ids=lambda cut: str(cut.outcome))
async def test_a_cut_after_the_answers_end_changes_nothing(form: Form, cut: Cut) -> None:
    rig = await Rig.of()
    client = await rig.client()
    rig.backend.play(Scene(pieces=[Piece(b"end", usage=Usage(11, 1), ended=True)]))
    rig.backend.waits_after = 1
    rig.backend.reading.shut()
    served = rig.start(client, a_call(form))
    await asyncio.wait_for(rig.backend.reading.reached.wait(), 5)

    served.live.end(cut)
    await served.end()

    assert served.reply.told is None
    rig.assert_settled(served, outcome=Outcome.DONE, code=None, tokens=12, noted=False)


def test_the_rest_of_an_answer_is_not_waited_for_long() -> None:
    async def story() -> None:
        rig = await Rig.of()
        rig.backend.play(Scene(pieces=[Piece(b"end", usage=Usage(11, 1), ended=True)]))
        rig.backend.waits_after = 1
        rig.backend.reading.shut()
        served = rig.start(await rig.client())
        began_s = asyncio.get_running_loop().time()

        await asyncio.wait([served.live.task])

        assert asyncio.get_running_loop().time() - began_s < 1.5
        rig.assert_settled(served, outcome=Outcome.DONE, code=None, tokens=12, noted=False)

    in_no_time(story())


async def test_the_first_reason_stands() -> None:
    rig = await Rig.of()
    served = await _stopped(rig, "in the middle", NATIVE)

    served.live.end(SHUT_DOWN)
    served.live.end(HUNG_UP)
    await served.end()
    served.live.end(HUNG_UP)

    assert served.live.cut is SHUT_DOWN
    assert served.reply.code == "shutting_down"


@pytest.mark.parametrize("form", [NATIVE, NATIVE_WHOLE], ids=str)
def test_a_client_that_does_not_take_the_last_words_is_left_after_a_while(form: Form) -> None:
    async def story() -> None:
        rig = await Rig.of()
        served = await _stopped(rig, "in the middle", form)
        last = "break_off" if form.streamed else "refuse"
        served.reply.gates[last].shut()

        served.live.end(SHUT_DOWN)
        await served.reply.gates[last].reached.wait()
        assert not rig.backend.open_answers  # the GPU is let go first
        assert not any(rig.turns.in_flight.values())
        await asyncio.wait([served.live.task])

        _assert_cut(rig, served, "in the middle", form, SHUT_DOWN)

    in_no_time(story())


async def test_a_client_that_leaves_while_it_is_refused_is_noted_once_as_refused() -> None:
    rig = await Rig.of()
    served = rig.start(None)
    served.reply.gates["refuse"].shut()
    await asyncio.wait_for(served.reply.gates["refuse"].reached.wait(), 5)

    served.live.end(HUNG_UP)
    await served.end()

    assert rig.note(served).code == "missing_api_key"
    rig.assert_nothing_is_left()


# -- deadlines ------------------------------------------------------------------------------------------------------


async def _swept_after(rig: Rig, seconds: float) -> None:
    rig.clock.advance(seconds - 0.5)
    rig.live_calls.sweep()
    await turns_of_the_loop(3)
    assert all(call.cut is None for call in rig.live_calls)
    rig.clock.advance(1)
    rig.live_calls.sweep()


@each_form
async def test_a_first_byte_that_does_not_come_in_time_is_a_timeout(form: Form) -> None:
    rig = await Rig.of()
    served = await _stopped(rig, "before the first piece", form)

    await _swept_after(rig, 120)
    await served.end()

    tokens = PROMPT if form.streamed else HOLD
    assert (served.reply.code, served.reply.status) == ("backend_timeout", 503)
    rig.assert_settled(served, outcome=Outcome.TIMED_OUT, code="backend_timeout", tokens=tokens, noted=False)


@each_form
async def test_a_next_piece_that_does_not_come_in_time_is_a_timeout(form: Form) -> None:
    rig = await Rig.of()
    served = await _stopped(rig, "in the middle", form)

    await _swept_after(rig, 60)
    await served.end()

    tokens = PROMPT + 3 if form.streamed else HOLD
    assert (served.reply.code, served.reply.status) == ("backend_timeout", 200 if form.streamed else 503)
    rig.assert_settled(served, outcome=Outcome.TIMED_OUT, code="backend_timeout", tokens=tokens, noted=False)


@each_form
async def test_a_reader_that_does_not_read_is_cut(form: Form) -> None:
    rig = await Rig.of()
    served = await _stopped(rig, "begin", form)

    await _swept_after(rig, 30)
    await served.end()

    tokens = PROMPT + 2 if form.streamed else HEALTHY
    rig.assert_settled(served, outcome=Outcome.READER_TOO_SLOW, code="reader_too_slow", tokens=tokens, noted=False)


@each_form
async def test_a_call_that_takes_too_long_is_cut_wherever_it_is(form: Form) -> None:
    rig = await Rig.of(RiggedBackend(most_in_flight=1))
    client = await rig.client()
    rig.backend.play(Scene(waits=asyncio.Event()))
    first = rig.start(client, a_call(form))
    await turns_of_the_loop()
    first.live.since_s = 1_000  # its own deadline is not the point
    served = rig.start(client, a_call(form))
    await turns_of_the_loop()

    await _swept_after(rig, 600)
    await first.end()
    await served.end()

    assert served.reply.code == "call_too_long"
    rig.assert_settled(served, outcome=Outcome.TIMED_OUT, code="call_too_long", tokens=0, noted=False)


async def test_a_reader_that_lets_the_buffer_fill_is_cut_at_once() -> None:
    rig = await Rig.of()
    rig.backend.play(scene(NATIVE, 4, clogged=True))
    served = rig.start(await rig.client())
    served.reply.gates["send"].shut()
    await asyncio.wait_for(served.reply.gates["send"].reached.wait(), 5)

    for _ in range(3):
        rig.clock.advance(1)
        rig.live_calls.sweep()
    await served.end()

    assert served.reply.code == "reader_too_slow"
    rig.assert_settled(served, outcome=Outcome.READER_TOO_SLOW, code="reader_too_slow", tokens=PROMPT + 3, noted=False)


async def test_a_reader_that_sips_does_not_hold_up_the_backend_for_long() -> None:
    rig = await Rig.of()
    rig.backend.play(scene(NATIVE, 40, clogged=True))
    served = rig.start(await rig.client())
    sending = served.reply.gates["send"]
    sending.shut()

    sips = 0
    while served.live.cut is None and sips < 30:
        await asyncio.wait_for(sending.reached.wait(), 5)
        rig.clock.advance(0.9)
        rig.live_calls.sweep()
        sending.reached.clear()
        sending.open()
        await turns_of_the_loop(1)
        sending.shut()
        await turns_of_the_loop(3)
        sips += 1
    await served.end()

    assert sips < 5
    assert served.reply.code == "reader_too_slow"


async def test_a_buffer_that_is_full_for_a_moment_is_no_reason_to_cut() -> None:
    rig = await Rig.of()
    rig.backend.play(scene(NATIVE, 4, clogged=True))
    served = rig.start(await rig.client())
    served.reply.gates["send"].shut()
    await asyncio.wait_for(served.reply.gates["send"].reached.wait(), 5)

    rig.clock.advance(0.9)
    rig.live_calls.sweep()

    assert served.live.cut is None
    served.live.end(HUNG_UP)
    await served.end()


async def test_a_call_that_queues_for_its_second_backend_waits_for_no_first_byte() -> None:
    one, two = RiggedBackend("one"), RiggedBackend("two", most_in_flight=1)
    rig = await Rig.of(one, two)
    client = await rig.client()
    occupying = await rig.turns.take([["two"]])
    fails = asyncio.Event()
    one.play(Scene(refuses=BackendUnreachable(), waits=fails))
    served = rig.start(client)
    await turns_of_the_loop()
    assert served.live.waits_for is Waiting.FIRST_BYTE

    fails.set()
    await turns_of_the_loop()
    rig.clock.advance(130)
    rig.live_calls.sweep()

    assert served.live.cut is None
    rig.turns.give_back(occupying)
    await served.end()
    rig.assert_settled(served, outcome=Outcome.DONE, code=None, tokens=HEALTHY, noted=False)


async def test_a_steady_stream_meets_no_deadline_but_the_last() -> None:
    rig = await Rig.of()
    rig.backend.play(Scene(pieces=[word() for _ in range(8)] + [Piece(b"end", usage=Usage(11, 8), ended=True)]))
    served = rig.start(await rig.client())
    served.reply.gates["send"].shut()

    for _ in range(8):
        await asyncio.wait_for(served.reply.gates["send"].reached.wait(), 5)
        served.reply.gates["send"].reached.clear()
        rig.clock.advance(29)
        rig.live_calls.sweep()
        served.reply.gates["send"].open()
        await turns_of_the_loop(1)
        served.reply.gates["send"].shut()
    served.reply.gates["send"].open()
    await served.end()

    rig.assert_settled(served, outcome=Outcome.DONE, code=None, tokens=HEALTHY, noted=False)
