"""Several gateway processes' worth of turns in one test: each has a lane, a subscriber and an id of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Self
from uuid import uuid4

import attrs
import redis.asyncio

from adapters.redis import names
from adapters.redis.lane import Lane
from adapters.redis.scripts import Scripts
from adapters.redis.subscriber import Subscriber
from adapters.redis.turns import RedisTurns
from domain.ports.turns import Turns
from tests.fakes.surroundings import FakeClock


async def forget_turns(plain: redis.asyncio.Redis) -> None:
    """As after a flush, for turns alone."""
    found = [key async for key in plain.scan_iter("nz:{turns}:*", count=1000)]
    if found:
        await plain.delete(*found)


@attrs.define
class _Running:
    lane: Lane
    subscriber: asyncio.Task[None]

    async def end(self) -> None:
        self.subscriber.cancel()
        await asyncio.wait([self.subscriber])
        await self.lane.aclose()


@attrs.define
class Processes:
    """All of one test, on one clock."""

    url: str
    scripts: Scripts
    clock: FakeClock = attrs.field(factory=FakeClock)
    _running: dict[int, _Running] = attrs.field(factory=dict)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for running in self._running.values():
            await running.end()

    async def join(
        self, most: Mapping[str, int], *, depth: int, wait_s: float, subscribed_at: str | None = None
    ) -> RedisTurns:
        """One more process, connected and subscribed; by another way than the lane if one is given."""
        process_id = uuid4().hex
        lane = Lane(self.url, self.scripts)
        await lane.start()
        turns = RedisTurns(
            lane,
            self.scripts,
            process_id=process_id,
            most_in_flight=most,
            depth=depth,
            wait_s=wait_s,
            now_ms=self.clock.now_ms,
        )
        channel = names.turns_given_to(process_id)
        subscriber = Subscriber(subscribed_at or self.url, self.scripts, channel=channel, heard=turns.heard)
        self._running[id(turns)] = _Running(lane, asyncio.create_task(subscriber.run()))
        if subscribed_at is None:
            await self._subscribed(channel)
        return turns

    async def die(self, turns: Turns) -> None:
        """It says and hears nothing more."""
        await self._running.pop(id(turns)).end()

    async def _subscribed(self, channel: str) -> None:
        async with redis.asyncio.Redis.from_url(self.url) as plain:
            for _ in range(500):
                if await plain.pubsub_channels(channel):
                    return
                await asyncio.sleep(0.005)
        raise AssertionError("the subscriber did not subscribe")
