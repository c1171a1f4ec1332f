"""A watcher that remembers what it was told."""

from __future__ import annotations

from domain.ports.call_observer import CallObserver, CallRecord, TurnedAway


class MemoryCallObserver(CallObserver):
    """Keeps everything, in order."""

    def __init__(self) -> None:
        self.records: list[CallRecord] = []
        self.away: list[TurnedAway] = []

    def ended(self, record: CallRecord) -> None:
        self.records.append(record)

    def turned_away(self, request: TurnedAway) -> None:
        self.away.append(request)
