"""What is told of a call at its end: from the rooms it was in, whatever way it went."""

from __future__ import annotations

from datetime import timedelta

import pytest

from application.live_calls import HUNG_UP
from application.records import Observers
from domain.faults import BackendFailed, BackendUnreachable, FaultCode, StoreUnavailable
from domain.limits import Limits
from domain.policies import Policy
from domain.ports.call_observer import CallObserver, CallRecord, Room, TurnedAway
from domain.ports.limit_store import Outdated
from domain.refusals import Code, Refusal
from domain.settlement import Outcome
from tests.application.rig import (
    HOLD,
    MODEL,
    NATIVE,
    NATIVE_WHOLE,
    Form,
    Rig,
    RiggedBackend,
    a_call,
    in_no_time,
    turns_of_the_loop,
)
from tests.contracts.call_observer import a_record
from tests.fakes.call_observer import MemoryCallObserver
from tests.fakes.model_backend import Scene

ENTERED = [Room.IDENTIFY, Room.PERMIT, Room.ADMIT, Room.RESERVE]
ALL = [*ENTERED, Room.TURN, Room.FIRST_BYTE, Room.RELAY, Room.SETTLE]


def rooms(record: CallRecord) -> list[Room]:
    return [mark.room for mark in record.marks]


def assert_whole(record: CallRecord) -> None:
    """Each room begins where the last one ended."""
    ends = [mark.ended_s for mark in record.marks]
    assert [mark.began_s for mark in record.marks] == [record.began_s, *ends[:-1]]
    assert ends == sorted(ends)


@pytest.mark.parametrize("form", [NATIVE, NATIVE_WHOLE], ids=str)
def test_an_answered_call_was_in_every_room(form: Form) -> None:
    async def story() -> None:
        rig = await Rig.of()
        client = await rig.client()

        await rig.serve(client, a_call(form))

        (record,) = rig.observer.records
        assert rooms(record) == ALL
        assert_whole(record)
        assert (record.outcome, record.code, record.status) == (Outcome.DONE, None, 200)
        assert (record.model, record.backend, record.held_tokens) == (MODEL, "fake", HOLD)
        assert (record.tenant_id, record.key_prefix) == (client.tenant.id, client.key.prefix)
        assert record.streamed is form.streamed
        assert record.charge == rig.ledger.settlements[0].charge

    in_no_time(story())


def test_a_stranger_is_known_by_nothing() -> None:
    async def story() -> None:
        rig = await Rig.of()

        await rig.serve(None)

        (record,) = rig.observer.records
        assert rooms(record) == [Room.IDENTIFY, Room.SETTLE]
        assert (record.code, record.tenant_id, record.model, record.backend) == ("missing_api_key", None, None, None)

    in_no_time(story())


def test_a_refused_call_ends_in_the_room_that_refused_it() -> None:
    async def story() -> None:
        rig = await Rig.of()
        client = await rig.client(policy=Policy(limits=Limits(rpm=1)))
        await rig.serve(client)

        await rig.serve(client)

        record = rig.observer.records[-1]
        assert rooms(record) == [Room.IDENTIFY, Room.PERMIT, Room.ADMIT, Room.SETTLE]
        assert (record.code, record.outcome, record.held_tokens) == ("rate_limited", Outcome.NOT_SENT, 0)

    in_no_time(story())


def test_a_model_that_is_not_there_is_not_named() -> None:
    async def story() -> None:
        rig = await Rig.of()
        client = await rig.client()

        await rig.serve(client, a_call(model="whatever-the-caller-likes:1b"))

        (record,) = rig.observer.records
        assert (record.code, record.model) == (Code.MODEL_NOT_FOUND, None)
        assert "whatever" not in repr(record)

    in_no_time(story())


def test_a_body_that_cannot_be_read_is_a_record_too() -> None:
    async def story() -> None:
        rig = await Rig.of()
        client = await rig.client()

        await rig.serve(client, Refusal(Code.INVALID_JSON, "No JSON."))

        (record,) = rig.observer.records
        assert rooms(record) == [Room.IDENTIFY, Room.PERMIT, Room.SETTLE]

    in_no_time(story())


def test_a_call_that_starts_over_passes_its_rooms_again() -> None:
    async def story() -> None:
        rig = await Rig.of()
        client = await rig.client()
        rig.limits.scripted.append(Outdated())

        await rig.serve(client)

        (record,) = rig.observer.records
        assert rooms(record) == [Room.IDENTIFY, Room.PERMIT, Room.ADMIT, *ALL]
        assert_whole(record)

    in_no_time(story())


def test_a_backend_that_fails_before_its_first_byte_ends_the_call_there() -> None:
    async def story() -> None:
        rig = await Rig.of()
        client = await rig.client()
        rig.backend.play(Scene(refuses=BackendFailed()))

        await rig.serve(client)

        (record,) = rig.observer.records
        assert rooms(record) == [*ENTERED, Room.TURN, Room.FIRST_BYTE, Room.SETTLE]
        assert record.error == FaultCode.BACKEND_FAILED

    in_no_time(story())


async def test_who_leaves_the_line_for_a_second_backend_waited_for_a_turn() -> None:
    one, two = RiggedBackend("one"), RiggedBackend("two", most_in_flight=1)
    rig = await Rig.of(one, two)
    await rig.turns.take([["two"]])
    one.play(Scene(refuses=BackendUnreachable()))
    served = rig.start(await rig.client())
    await turns_of_the_loop()
    rig.clock.advance(20)

    served.live.end(HUNG_UP)
    await served.end()

    (record,) = rig.observer.records
    assert rooms(record) == [*ENTERED, Room.TURN, Room.SETTLE]
    assert record.backend is None
    assert rig.ledger.settlements[0].queued_ms == 20_000


def test_one_who_watches_and_fails_harms_nobody() -> None:
    class Broken(CallObserver):
        def ended(self, record: CallRecord) -> None:
            raise RuntimeError(record.request_id)

        def turned_away(self, request: TurnedAway) -> None:
            raise RuntimeError(request.code)

    other = MemoryCallObserver()
    observers = Observers(Broken(), other)

    observers.ended(a_record())
    observers.turned_away(TurnedAway(route="-", code="unknown_route", status=404))

    assert (len(other.records), len(other.away)) == (1, 1)


def test_a_record_tells_when_the_call_began() -> None:
    async def story() -> None:
        rig = await Rig.of()
        client = await rig.client()
        rig.backend.waits_after = 1
        rig.backend.reading.shut()
        began_at = rig.clock.now()

        served = rig.start(client)
        await turns_of_the_loop(200)
        rig.clock.advance(7.5)
        rig.backend.reading.open()
        await served.end()

        (record,) = rig.observer.records
        assert abs(record.began_at - began_at) < timedelta(microseconds=10)
        assert record.seconds == 7.5

    in_no_time(story())


def test_a_store_that_is_away_is_a_record_with_its_code() -> None:
    async def story() -> None:
        rig = await Rig.of()
        client = await rig.client()
        rig.ledger.scripted.append(StoreUnavailable(FaultCode.LEDGER_UNAVAILABLE, "away"))

        await rig.serve(client)

        (record,) = rig.observer.records
        assert (record.code, rooms(record)) == ("ledger_unavailable", [*ENTERED, Room.SETTLE])

    in_no_time(story())
