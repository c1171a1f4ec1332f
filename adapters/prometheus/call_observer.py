"""Calls as numbers.

Every label comes from a closed list of ours or from the catalogue; nothing a caller writes can make a series, and a
backend that changes its catalogue for ever can make no more than a bounded number. Tenants are no label: there may be
ten thousand, and what each has used is in PostgreSQL, exactly.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from adapters.prometheus import families
from adapters.prometheus.series import Counts, Histogram
from domain.calls import Endpoint
from domain.faults import FaultCode
from domain.ports.call_observer import OPERATIONS, PROVIDER, CallObserver, CallRecord, Room, TurnedAway
from domain.settlement import Outcome

_FROM_THE_START = (
    FaultCode.IDENTITY_UNAVAILABLE,
    FaultCode.LIMITER_UNAVAILABLE,
    FaultCode.LEDGER_UNAVAILABLE,
    FaultCode.NO_BACKEND,
    FaultCode.STREAM_BROKEN,
    FaultCode.INTERNAL,
)
"""Codes that alarms look for: to Prometheus, a counter that appears with its first event has not increased."""
MOST_MODELS = 1000
OTHER_MODELS = "other"
"""What those beyond are counted under."""
_ROOMS = {room: (room.value,) for room in Room}


class PrometheusCallObserver(CallObserver):
    """Counts into a registry, which renders itself when it is scraped."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._request_s = Histogram(families.REQUEST_SECONDS)
        self._first_token_s = Histogram(families.FIRST_TOKEN_SECONDS)
        self._token_s = Histogram(families.TOKEN_SECONDS)
        self._tokens = Histogram(families.TOKENS)
        self._room_s = Histogram(families.ROOM_SECONDS)
        self._queue_s = Histogram(families.QUEUE_SECONDS)
        self._calls = Counts(families.CALLS)
        self._refusals = Counts(families.REFUSALS)
        self._held = Counts(families.HELD)
        self._overshoot = Counts(families.OVERSHOOT)
        for collector in vars(self).values():
            registry.register(collector)
        self._models: set[str] = set()
        self._held.add(amount=0)
        self._overshoot.add(amount=0)
        for endpoint in Endpoint:
            for code in _FROM_THE_START:
                self._refusals.add((code.value, endpoint.value), 0)

    def ended(self, record: CallRecord) -> None:
        """See the port."""
        endpoint = record.endpoint
        self._calls.add((endpoint.value, endpoint.dialect.value, record.outcome.value))
        if record.code is not None:
            self._refusals.add((record.code, endpoint.value))
        labels = (OPERATIONS[endpoint], PROVIDER, self._model(record.model or ""))
        self._count_times(record, labels)
        self._count_tokens(record, labels)

    def turned_away(self, request: TurnedAway) -> None:
        """See the port."""
        self._refusals.add((request.code, request.route))

    def _model(self, name: str) -> str:
        if name not in self._models:
            if len(self._models) >= MOST_MODELS:
                return OTHER_MODELS
            self._models.add(name)
        return name

    def _count_times(self, record: CallRecord, labels: tuple[str, str, str]) -> None:
        self._request_s.see(record.seconds, (*labels, record.error or ""))
        asked_s = record.began_s
        for room, began_s, ended_s in record.marks:
            self._room_s.see(ended_s - began_s, _ROOMS[room])
            if room is Room.TURN:
                asked_s = began_s
            elif room is Room.FIRST_BYTE:
                self._queue_s.see(began_s - asked_s)
            elif room is Room.RELAY and record.streamed and record.outcome is Outcome.DONE:
                self._count_pace(record, labels, began_s, ended_s)

    def _count_pace(self, record: CallRecord, labels: tuple[str, str, str], first_s: float, last_s: float) -> None:
        self._first_token_s.see(first_s - record.began_s, labels)
        rest = record.charge.output - 1
        if rest > 0:
            self._token_s.see((last_s - first_s) / rest, labels)

    def _count_tokens(self, record: CallRecord, labels: tuple[str, str, str]) -> None:
        charge = record.charge
        if record.held_tokens:
            self._held.add(amount=record.held_tokens)
        if charge.overshoot:
            self._overshoot.add(amount=charge.overshoot)
        if charge.prompt:
            self._tokens.see(charge.prompt, (*labels, "input"))
        if charge.output:
            self._tokens.see(charge.output, (*labels, "output"))
