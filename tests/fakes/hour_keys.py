"""Wrapped hour keys in a dictionary, each gone at the end of its hour."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from domain.faults import FaultCode, StoreUnavailable
from domain.ports.hour_keys import HourKeys, WrappedKey


class MemoryHourKeys(HourKeys):
    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.stored: dict[str, WrappedKey] = {}
        """Empty it, and the store has lost its memory."""
        self.away = False

    async def put(self, keys: Sequence[WrappedKey]) -> None:
        self._ask()
        self.stored |= {key.id: key for key in keys if key.ends_at > self._now()}

    async def get(self, key_id: str) -> bytes | None:
        self._ask()
        found = self.stored.get(key_id)
        return found.wrapped if found is not None and found.ends_at > self._now() else None

    async def destroy(self, key_ids: Sequence[str]) -> None:
        self._ask()
        for key_id in key_ids:
            self.stored.pop(key_id, None)

    def _ask(self) -> None:
        if self.away:
            raise StoreUnavailable(FaultCode.LIMITER_UNAVAILABLE, "Redis cannot answer.")
