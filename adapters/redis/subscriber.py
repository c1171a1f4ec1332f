"""The subscriber: a second connection on which the server speaks first.

A connection that has subscribed takes no other commands (https://redis.io/docs/latest/develop/pubsub/), so this cannot
be the lane. What is said while there is no connection is lost; whoever listens must have another way to learn of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from redis.exceptions import RedisError

from adapters.redis.scripts import Scripts
from adapters.redis.wire import Reply, Wire, check_url
from adapters.redis.words import packed

_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 1.0
_OPENING_S = 1.0


class Subscriber:
    """Hears one channel for as long as `run` runs."""

    def __init__(
        self, url: str, scripts: Scripts, *, channel: str, heard: Callable[[bytes], None], silence_s: float = 5.0
    ) -> None:
        """Opens nothing.

        Args:
            url: `redis://`, `rediss://` or `unix://`.
            scripts: made known to every server it connects to, as the lane does.
            channel: what it subscribes to.
            heard: is told every message, in the loop; must not wait.
            silence_s: between two PINGs. A connection on which nothing came from one to the next is dead, and nobody
                else would notice.

        Raises:
            ValueError: the URL is none of ours.
        """
        check_url(url)
        self._url = url
        self._scripts = scripts
        self._channel = channel
        self._heard = heard
        self._silence_s = silence_s
        self._something_came = False

    async def run(self) -> None:
        """Until cancelled; it keeps itself connected."""
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                wire = await Wire.open(self._url, self._scripts, timeout_s=_OPENING_S)
            except (OSError, RedisError):  # the lane meets the same trouble, and says so
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            else:
                pause_s = _FIRST_PAUSE_S
                await self._listen(wire)
            await asyncio.sleep(pause_s)

    async def _listen(self, wire: Wire) -> None:
        """Until the connection ends, for whatever reason."""
        both = {asyncio.create_task(self._read(wire)), asyncio.create_task(self._keep_alive(wire))}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            await wire.close()

    async def _read(self, wire: Wire) -> None:
        await wire.write([packed("SUBSCRIBE", self._channel)])
        while True:
            self._take_in(await wire.read())

    def _take_in(self, reply: Reply) -> None:
        self._something_came = True
        match reply:
            case [b"message", _, bytes(message)]:
                self._heard(message)
            case Exception():
                raise reply

    async def _keep_alive(self, wire: Wire) -> None:
        self._something_came = True
        while self._something_came:
            self._something_came = False
            await wire.write([packed("PING")])
            await asyncio.sleep(self._silence_s)
