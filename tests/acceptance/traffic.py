"""Constant traffic on a gateway, and what became of every single request.

Streams in both dialects, each client beginning another when one has ended; short requests, each on a connection of its
own; short requests on one connection that is kept alive. All of it as a client without retries sees it.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from types import TracebackType
from typing import Self

import aiohttp
import attrs

from tests.e2e.house import Key

_MESSAGES = [{"role": "user", "content": "Hi"}]
_PAUSE_S = 0.03


@attrs.define
class Told:
    """What became of requests."""

    whole: int = 0
    """200, and the proper end."""
    broken_off: int = 0
    """Streams that ended with an error in their dialect's form."""
    cut: int = 0
    """Streams that ended without a word."""
    refused: int = 0
    """Connections that were refused or reset before a request was sent."""
    failed: int = 0
    """Everything else that is no 200."""
    reasons: Counter[str] = attrs.field(factory=Counter)

    @property
    def lost(self) -> int:
        return self.cut + self.refused + self.failed


class Traffic:
    """Traffic as long as the block runs; what has begun is read to its end."""

    def __init__(self, url: str, key: Key, *, streams: int, tokens: int = 40) -> None:
        self._url = url
        self._key = key
        self._streams = streams
        self._tokens = tokens
        self._over = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.told = Told()
        self.under_way = asyncio.Event()
        """Set when as many requests have ended as there are streams: all clients are in the middle of something."""

    async def __aenter__(self) -> Self:
        streams = [self._stream_on(number % 2 == 0) for number in range(self._streams)]
        short = [self._short_on(fresh=True), self._short_on(fresh=False)]
        self._tasks = [asyncio.create_task(one) for one in (*streams, *short)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if kind is not None:
            for task in self._tasks:
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=kind is not None)

    def _session(self, *, fresh: bool) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=0, force_close=fresh)
        timeout = aiohttp.ClientTimeout(total=60)
        return aiohttp.ClientSession(self._url, headers=self._key.headers, connector=connector, timeout=timeout)

    async def _stream_on(self, native: bool) -> None:  # noqa: FBT001  one of two
        async with self._session(fresh=True) as session:
            while not self._over.is_set():
                await self._stream(session, native=native)

    async def _stream(self, session: aiohttp.ClientSession, *, native: bool) -> None:
        body = {"model": "sim-chat", "messages": _MESSAGES, "stream": True}
        limit = {"options": {"num_predict": self._tokens}} if native else {"max_tokens": self._tokens}
        path = "/api/chat" if native else "/v1/chat/completions"
        last = b""
        try:
            async with session.post(path, json=body | limit) as answer:
                if answer.status != 200:
                    await self._not_200(answer)
                    return
                async for line in answer.content:
                    last = line.strip() or last
        except aiohttp.ClientConnectorError as error:
            self._lost("refused", error)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self._lost("cut" if last else "failed", error)
        else:
            self._ended(last, native=native)

    def _ended(self, last: bytes, *, native: bool) -> None:
        if last == b"data: [DONE]" or (native and json.loads(last or b"{}").get("done")):
            self._whole()
        elif b'"shutting_down"' in last or b'"error"' in last:
            self.told.broken_off += 1
        else:
            self._lost("cut", last[:80])

    async def _short_on(self, *, fresh: bool) -> None:
        body = {"model": "sim-chat", "messages": _MESSAGES, "stream": False, "options": {"num_predict": 1}}
        async with self._session(fresh=fresh) as session:
            while not self._over.is_set():
                try:
                    async with session.post("/api/chat", json=body) as answer:
                        if answer.status == 200:
                            await answer.read()
                            self._whole()
                        else:
                            await self._not_200(answer)
                except aiohttp.ClientConnectorError as error:
                    self._lost("refused", error)
                except (aiohttp.ClientError, OSError, TimeoutError) as error:
                    self._lost("failed", error)
                await asyncio.sleep(_PAUSE_S)

    async def _not_200(self, answer: aiohttp.ClientResponse) -> None:
        await answer.read()
        self._lost("failed", f"{answer.status} {answer.headers.get('x-error-code', '')}")
        await asyncio.sleep(_PAUSE_S)

    def _whole(self) -> None:
        self.told.whole += 1
        if self.told.whole >= self._streams:
            self.under_way.set()

    def _lost(self, how: str, why: object) -> None:
        setattr(self.told, how, getattr(self.told, how) + 1)
        self.told.reasons[f"{how}: {type(why).__name__ if isinstance(why, Exception) else why}"] += 1
