"""A crowd of strangers: bad keys at a pace or as fast as they are answered, and what they were told."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator

from tests.soak.wire import Ask, Client

REFUSED = (401, "invalid_api_key")
_BODY = {"model": "sim-chat", "stream": False, "messages": [{"role": "user", "content": "Hi"}]}


class Crowd:
    """Sends bad keys to one gateway, by both ways in: calls with a body, and looks."""

    def __init__(self, url: str, keys: Iterator[str]) -> None:
        self.told: Counter[tuple[int, str]] = Counter()
        self._client = Client(url, random.Random(7), keeps=1)  # noqa: S311  not a secret; the same every time
        self._keys = keys

    async def send(self, count: int, *, at_once: int = 8) -> None:
        """So many, as fast as they are answered."""
        left = iter(range(count))

        async def one_after_another() -> None:
            for number in left:
                await self._one(number)

        await asyncio.gather(*(one_after_another() for _ in range(at_once)))

    async def at_pace(self, per_s: float, stop: asyncio.Event) -> None:
        """At a constant pace, until told to stop: each alone, since strangers do not wait for each other."""
        began_s, sent = time.monotonic(), 0
        async with asyncio.TaskGroup() as under_way:
            while not stop.is_set():
                await asyncio.sleep(began_s + sent / per_s - time.monotonic())
                while sent < (time.monotonic() - began_s) * per_s:
                    under_way.create_task(self._one(sent))
                    sent += 1

    async def aclose(self) -> None:
        """Ends its connections."""
        await self._client.aclose()

    async def _one(self, number: int) -> None:
        key = next(self._keys)
        is_look = number % 2
        ask = Ask(method="GET", path="/v1/models", key=key) if is_look else Ask(path="/api/chat", body=_BODY, key=key)
        seen = await self._client.send(ask)
        self.told[seen.status, seen.code or seen.broken] += 1
