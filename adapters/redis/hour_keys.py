"""Wrapped hour keys in Redis, each gone by itself at the end of its hour, should nobody destroy it.

`SET ... EXAT` goes by Redis's clock: a belt to the braces of the purge, which goes by PostgreSQL's and comes within a
minute of the hour. A key whose hour is over by Redis's clock is not stored at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from adapters.redis import names
from adapters.redis.lane import Lane
from adapters.redis.wire import Reply
from adapters.redis.words import packed
from domain.faults import FaultCode, StoreUnavailable
from domain.ports.hour_keys import HourKeys, WrappedKey

_AT_ONCE = 100
"""Commands of one write: requests share this connection, and must not wait for a year's worth of keys."""


class RedisHourKeys(HourKeys):
    """One string a key."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane

    async def put(self, keys: Sequence[WrappedKey]) -> None:
        """See the port."""
        await self._ask_all(
            [packed("SET", names.hour_key(key.id), key.wrapped, "EXAT", _unix_s(key)) for key in keys],
        )

    async def get(self, key_id: str) -> bytes | None:
        """See the port."""
        (found,) = await self._ask_all([packed("GET", names.hour_key(key_id))])
        return found if isinstance(found, bytes) else None

    async def destroy(self, key_ids: Sequence[str]) -> None:
        """See the port. `DEL`, not `UNLINK`: it is gone when this returns."""
        await self._ask_all([packed("DEL", names.hour_key(key_id)) for key_id in key_ids])

    async def _ask_all(self, commands: Sequence[bytes]) -> Sequence[Reply]:
        replies: list[Reply] = []
        for some in _portions(commands):
            ends = await asyncio.gather(*map(self._asked, some), return_exceptions=True)
            for end in ends:
                if isinstance(end, StoreUnavailable):
                    raise StoreUnavailable(
                        FaultCode.LIMITER_UNAVAILABLE, "Redis, which keeps the hour keys of prompts, cannot answer."
                    ) from end
                if isinstance(end, BaseException):
                    raise end
                replies.append(end)
        return replies

    async def _asked(self, command: bytes) -> Reply:
        return await self._lane.ask(command)


def _portions(commands: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(commands), _AT_ONCE):
        yield commands[start : start + _AT_ONCE]


def _unix_s(key: WrappedKey) -> str:
    return str(int(key.ends_at.timestamp()))
