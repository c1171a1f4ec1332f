"""Remembered callers in a dictionary."""

from __future__ import annotations

from datetime import datetime, timedelta

from domain.policies import Caller
from domain.ports.key_cache import KeyCache
from domain.ports.surroundings import Clock

_REMEMBER = timedelta(seconds=30)


class MemoryKeyCache(KeyCache):
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._remembered: dict[bytes, tuple[datetime, Caller]] = {}
        self.down = False
        """Set by a test: a cache in trouble knows nothing."""

    async def recall(self, fingerprint: bytes) -> Caller | None:
        found = self._remembered.get(fingerprint)
        if self.down or found is None:
            return None
        issued_at, caller = found
        return caller if self._clock.now() - issued_at < _REMEMBER else None

    def remember(self, fingerprint: bytes, caller: Caller) -> None:
        if not self.down:
            self._remembered[fingerprint] = (self._clock.now(), caller)
