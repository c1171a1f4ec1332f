"""What every watcher does. A test module subclasses the contract and gives it a `bench`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import attrs
import pytest

from domain.calls import Endpoint
from domain.faults import FaultCode
from domain.ports.call_observer import CallObserver, CallRecord, Mark, Room, TurnedAway
from domain.refusals import Code
from domain.settlement import NOTHING, Charge, Outcome

BEGAN_S = 5000.0
ROOM_S = 0.25
"""How long each room of `a_record` takes."""
BEGAN_AT = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


@attrs.frozen(kw_only=True)
class ObserverBench:
    """A watcher, and how many calls it knows to have ended, by what it has made of them."""

    observer: CallObserver
    calls: Callable[[], int]


def a_record(
    *,
    request_id: str = "0123456789abcdef0123456789abcdef",
    rooms: tuple[Room, ...] = tuple(Room),
    outcome: Outcome = Outcome.DONE,
    code: str | None = None,
    model: str | None = "llama3.2:1b",
    endpoint: Endpoint = Endpoint.NATIVE_CHAT,
    streamed: bool = True,
    charge: Charge = NOTHING,
    held_tokens: int = 0,
) -> CallRecord:
    """A call that stayed a quarter of a second in each of its rooms."""
    return CallRecord(
        request_id=request_id,
        endpoint=endpoint,
        streamed=streamed,
        began_at=BEGAN_AT,
        marks=[Mark(room, BEGAN_S + at * ROOM_S, BEGAN_S + (at + 1) * ROOM_S) for at, room in enumerate(rooms)],
        outcome=outcome,
        status=200,
        code=code,
        model=model,
        backend="gpu1",
        tenant_id="11111111-2222-3333-4444-555555555555",
        key_prefix="nz_abc12345",
        held_tokens=held_tokens,
        charge=charge,
    )


def strange_records() -> Iterator[CallRecord]:
    """Every endpoint with every code, and charges and ways through the rooms that should not be."""
    codes = [None, *(code.value for code in (*Code, *FaultCode))]
    charges = itertools.cycle([NOTHING, Charge(prompt=10**12, output=0, overshoot=10**12), Charge(prompt=0, output=1)])
    ways = itertools.cycle(
        [tuple(Room)[:count] for count in range(1, len(Room) + 1)] + [tuple(Room) * 3, (Room.RELAY,)]
    )
    outcomes = itertools.cycle(Outcome)
    for endpoint, code, streamed in itertools.product(Endpoint, codes, (True, False)):
        yield a_record(
            endpoint=endpoint,
            code=code,
            streamed=streamed,
            charge=next(charges),
            rooms=next(ways),
            outcome=next(outcomes),
            model=None if streamed else "llama3.2:1b",
        )


class ObserverContract:
    def test_it_knows_every_call_once(self, bench: ObserverBench) -> None:
        for number in range(3):
            bench.observer.ended(a_record(request_id=f"{number + 1:032x}"))

        assert bench.calls() == 3

    def test_what_is_turned_away_is_no_call(self, bench: ObserverBench) -> None:
        bench.observer.turned_away(TurnedAway(route="/api/tags", code="invalid_api_key", status=401))

        assert bench.calls() == 0

    @pytest.mark.parametrize("outcome", Outcome)
    def test_every_ending_counts(self, bench: ObserverBench, outcome: Outcome) -> None:
        bench.observer.ended(a_record(outcome=outcome))

        assert bench.calls() == 1

    def test_a_call_that_came_no_further_than_the_first_room_counts(self, bench: ObserverBench) -> None:
        bench.observer.ended(a_record(rooms=(Room.IDENTIFY,), outcome=Outcome.NOT_SENT, code="invalid_api_key"))

        assert bench.calls() == 1

    def test_no_record_is_too_strange(self, bench: ObserverBench) -> None:
        records = list(strange_records())

        for record in records:
            bench.observer.ended(record)

        assert bench.calls() == len(records)
