"""What is told of a call when it is over, and to whom.

The rooms leave marks as the call comes into them (`Passage.enter`); the stay at a backend is known to `Dispatch`. Both
are put together here, once, after the call has been settled: nothing of it is done while anybody waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import TypeVar

import structlog

from application.passage import Passage
from application.rooms.dispatch import Dispatch
from domain.ports.call_observer import CallObserver, CallRecord, Mark, Room, TurnedAway
from domain.ports.surroundings import Clock

_log = structlog.get_logger("neuronetz")
_Told = TypeVar("_Told")


def record_of(passage: Passage, clock: Clock) -> CallRecord:
    """The record of a call that has ended, and come into its last room."""
    presented, caller, ending = passage.presented, passage.caller, passage.ending
    now_s = clock.monotonic_s()
    *before, last = passage.entered
    stays = [*before, *_at_the_backend(passage.dispatch), last]
    return CallRecord(
        request_id=presented.request_id,
        endpoint=presented.endpoint,
        streamed=passage.call is not None and passage.call.streamed,
        began_at=clock.now() - timedelta(seconds=now_s - stays[0][1]),
        marks=[
            *(Mark(room, began_s, ended_s) for (room, began_s), (_, ended_s) in pairwise(stays)),
            Mark(last[0], last[1], now_s),
        ],
        outcome=ending.outcome,
        status=ending.status,
        code=ending.code,
        model=passage.model,
        backend=passage.dispatch.backend,
        tenant_id=caller.tenant_id if caller else None,
        key_prefix=caller.key_prefix if caller else None,
        held_tokens=passage.bounds.hold if passage.granted else 0,
        charge=passage.charge,
    )


def _at_the_backend(dispatch: Dispatch) -> Sequence[tuple[Room, float]]:
    """When it came to ask for a turn, had it, and had its first piece; as far as it came."""
    came = ((Room.TURN, dispatch.asked_s), (Room.FIRST_BYTE, dispatch.turn_s), (Room.RELAY, dispatch.first_byte_s))
    return [(room, at_s) for room, at_s in came if at_s is not None]


class Observers(CallObserver):
    """All who watch, as one. One that fails harms neither the call nor the others."""

    def __init__(self, *observers: CallObserver) -> None:
        self._observers = observers

    def ended(self, record: CallRecord) -> None:
        """Tells each."""
        for observer in self._observers:
            self._tell(observer.ended, record)

    def turned_away(self, request: TurnedAway) -> None:
        """Tells each."""
        for observer in self._observers:
            self._tell(observer.turned_away, request)

    @staticmethod
    def _tell(tell: Callable[[_Told], None], told: _Told) -> None:
        try:
            tell(told)
        except Exception:  # noqa: BLE001  whoever watches must not cost a call its end
            _log.exception("observer_failed")
