"""The key cache: sealed callers in Redis for 30 s. It decides nothing, so all its troubles are "not known"."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.redis import names
from adapters.redis.lane import Lane
from adapters.redis.records import BadRecord, RecordSeal
from adapters.redis.words import packed
from domain.faults import StoreUnavailable
from domain.policies import Caller
from domain.ports.key_cache import KeyCache
from domain.ports.surroundings import Clock

_REMEMBER_S = 30


class RedisKeyCache(KeyCache):
    """Identities that some gateway process verified within the last 30 s."""

    def __init__(self, lane: Lane, *, peppers: Sequence[bytes], clock: Clock) -> None:
        """Opens nothing.

        Args:
            lane: carries every command.
            peppers: the ring, current first.
            clock: dates the records; hosts may differ by some seconds.
        """
        self.refused_records = 0
        """Records that were not believed. More than none means that someone writes into Redis, or a pepper changed."""
        self._lane = lane
        self._seal = RecordSeal(peppers)
        self._clock = clock

    async def recall(self, fingerprint: bytes) -> Caller | None:
        """One GET; bounded by the lane's budget."""
        try:
            record = await self._lane.ask(packed("GET", names.caller(fingerprint)))
        except StoreUnavailable:
            return None
        if not isinstance(record, bytes):
            return None
        try:
            return self._seal.open(fingerprint, record, self._clock.now())
        except BadRecord:
            self.refused_records += 1
            return None

    def remember(self, fingerprint: bytes, caller: Caller) -> None:
        """One SET, not kept when there is no connection."""
        record = self._seal.seal(fingerprint, caller, self._clock.now())
        self._lane.tell(packed("SET", names.caller(fingerprint), record, "EX", str(_REMEMBER_S)), keep=False)
