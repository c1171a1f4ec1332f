"""Deadlines, and cuts that happen once."""

from __future__ import annotations

import asyncio

import pytest

from application.live_calls import HUNG_UP, Cut, Deadlines, LiveCall, LiveCalls, Waiting, overdue
from domain.faults import Fault, FaultCode
from domain.settlement import Outcome
from tests.application.rig import DEADLINES, turns_of_the_loop
from tests.fakes.model_backend import FakeAnswer, Scene
from tests.fakes.surroundings import FakeClock

STOP = Cut(Outcome.SHUT_DOWN, Fault(FaultCode.SHUTTING_DOWN, "stop"))


async def _for_ever() -> None:
    await asyncio.Event().wait()


async def a_call(**known: object) -> LiveCall:
    task = asyncio.create_task(_for_ever())
    await asyncio.sleep(0)
    call = LiveCall("id", task, 0.0)
    call.enter()
    for name, value in known.items():
        setattr(call, name, value)
    return call


async def _gone(call: LiveCall) -> None:
    call.task.cancel()
    await asyncio.wait([call.task])


@pytest.mark.parametrize(
    ("waits_for", "waited_s", "code"),
    [
        (Waiting.STORES, 599, None),
        (Waiting.FIRST_BYTE, 120, None),
        (Waiting.FIRST_BYTE, 120.1, FaultCode.BACKEND_TIMEOUT),
        (Waiting.NEXT_BYTE, 60, None),
        (Waiting.NEXT_BYTE, 60.1, FaultCode.BACKEND_TIMEOUT),
        (Waiting.READER, 30, None),
        (Waiting.READER, 30.1, FaultCode.READER_TOO_SLOW),
        (Waiting.STORES, 600.1, FaultCode.CALL_TOO_LONG),
        (Waiting.FIRST_BYTE, 600.1, FaultCode.CALL_TOO_LONG),
        (Waiting.NEXT_BYTE, 600.1, FaultCode.CALL_TOO_LONG),
        (Waiting.READER, 600.1, FaultCode.CALL_TOO_LONG),
    ],
)
async def test_each_wait_has_its_deadline(waits_for: Waiting, waited_s: float, code: FaultCode | None) -> None:
    call = await a_call(waits_for=waits_for)

    cut = overdue(call, waited_s, DEADLINES)

    assert (cut.fault.code if cut else None) == code
    await _gone(call)


async def test_a_wait_is_counted_from_its_own_beginning() -> None:
    call = await a_call(waits_for=Waiting.NEXT_BYTE, since_s=500.0)

    assert overdue(call, 559.0, DEADLINES) is None
    assert overdue(call, 561.0, DEADLINES) is not None
    await _gone(call)


async def test_a_full_buffer_counts_while_it_is_full() -> None:
    answer = FakeAnswer(Scene(clogged=True))
    call = await a_call(waits_for=Waiting.READER, answer=answer)

    call.look(5.0)
    call.look(6.0)
    assert overdue(call, 6.0, DEADLINES) is None
    call.look(6.1)
    cut = overdue(call, 6.1, DEADLINES)
    assert cut is not None
    assert cut.outcome is Outcome.READER_TOO_SLOW
    answer.close()
    call.look(7.0)

    assert overdue(call, 7.0, DEADLINES) is None
    await _gone(call)


async def test_a_call_is_cut_once_and_the_first_reason_stands() -> None:
    call = await a_call()

    call.end(STOP)
    call.end(HUNG_UP)

    assert call.cut is STOP
    assert call.task.cancelling() == 1
    await asyncio.wait([call.task])


async def test_a_call_that_has_ended_is_not_cut() -> None:
    call = await a_call()
    await _gone(call)

    call.end(STOP)

    assert call.cut is None


async def test_a_call_that_has_not_begun_learns_of_its_cut_when_it_does() -> None:
    task = asyncio.create_task(_for_ever())
    call = LiveCall("id", task, 0.0)

    call.end(STOP)

    assert task.cancelling() == 0
    with pytest.raises(asyncio.CancelledError):
        call.enter()
    await _gone(call)


async def test_a_call_is_known_while_its_task_runs() -> None:
    live = LiveCalls(FakeClock(), DEADLINES)
    task = asyncio.create_task(_for_ever())

    call = live.add("id", task)

    assert live["id"] is call
    assert (len(live), list(live)) == (1, [call])
    await _gone(call)
    await asyncio.sleep(0)
    assert len(live) == 0


async def test_the_sweep_cuts_what_is_overdue_and_nothing_else() -> None:
    clock = FakeClock()
    live = LiveCalls(clock, Deadlines(first_byte_s=1, next_byte_s=1, reader_s=1, whole_call_s=100))
    late, early = (live.add(name, asyncio.create_task(_for_ever())) for name in ("late", "early"))
    await asyncio.sleep(0)
    late.enter()
    late.waits_for = Waiting.NEXT_BYTE

    clock.advance(2)
    live.sweep()
    live.sweep()
    await asyncio.wait([late.task])

    assert late.task.cancelled()
    assert early.cut is None
    await _gone(early)


async def test_cuts_reach_the_calls_of_their_key_or_tenant_only() -> None:
    live = LiveCalls(FakeClock(), DEADLINES)
    calls = {}
    for name, tenant, key in (("one", "t1", "k1"), ("two", "t1", "k2"), ("three", "t2", "k3")):
        call = calls[name] = live.add(name, asyncio.create_task(_for_ever()))
        call.tenant_id, call.key_id = tenant, key

    live.cut_key("k1")
    assert [name for name, call in calls.items() if call.cut] == ["one"]
    live.cut_tenant("t1")
    assert [name for name, call in calls.items() if call.cut] == ["one", "two"]
    live.cut_all(STOP)

    assert all(call.cut for call in calls.values())
    for call in calls.values():
        await _gone(call)


async def test_drained_returns_when_the_last_call_ends() -> None:
    live = LiveCalls(FakeClock(), DEADLINES)
    await live.drained()
    call = live.add("id", asyncio.create_task(_for_ever()))

    drained = asyncio.create_task(live.drained())
    await turns_of_the_loop()
    assert not drained.done()
    await _gone(call)

    await drained


async def test_drained_waits_for_calls_that_begin_meanwhile() -> None:
    """A body that was on its way when the drain began is a call like the others."""
    live = LiveCalls(FakeClock(), DEADLINES)
    first = live.add("first", asyncio.create_task(_for_ever()))
    drained = asyncio.create_task(live.drained())
    await turns_of_the_loop()

    second = live.add("second", asyncio.create_task(_for_ever()))
    await _gone(first)
    await turns_of_the_loop()
    assert not drained.done()
    await _gone(second)

    await drained
