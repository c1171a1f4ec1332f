"""Clients that call all replicas with all keys at a constant pace, and remember when each call was sent.

The operator's commands are waited for in the same process, so that one clock says which came first.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import attrs
import httpx

from tests.e2e.house import Key
from tests.soak.wire import Ask, Client, Seen

CHAT = "sim-chat"
MOST_AT_ONCE = 24
_LATE = frozenset({"identity_unavailable", "limiter_unavailable", "ledger_unavailable", "server_overloaded"})


@attrs.frozen(kw_only=True)
class Sent:
    """One call."""

    key: Key
    replica: int
    at_s: float
    """On this process's monotonic clock, before its first byte was sent."""
    answered_s: float
    model: str
    status: int
    code: str


def a_chat(key: Key, model: str = CHAT, *, tokens: int = 1) -> Ask:
    """A call with a short answer."""
    body = {"model": model, "stream": False, "messages": [{"role": "user", "content": "Hi"}]}
    return Ask(path="/api/chat", body=body | {"options": {"num_predict": tokens}}, key=key.text)


def a_look(key: Key) -> Ask:
    """A call that needs no tokens, and so takes no hold."""
    return Ask(method="GET", path="/api/tags", key=key.text)


class Hammer:
    """Runs while it is open."""

    def __init__(self, urls: Sequence[str], keys: Sequence[Key], *, per_s: float = 40, model: str = CHAT) -> None:
        self.model = model
        self.sent: list[Sent] = []
        self._clients = [Client(url, random.Random(7)) for url in urls]  # noqa: S311  not a secret
        self._turns = itertools.cycle([(replica, key) for key in keys for replica in range(len(urls))])
        self._combinations = len(urls) * len(keys)
        self._per_s = per_s
        self._under_way: set[asyncio.Task[None]] = set()
        self._pace: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._pace = asyncio.create_task(self._keep_pace())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pace is not None:
            self._pace.cancel()
        await asyncio.gather(*self._under_way)
        for client in self._clients:
            await client.aclose()

    async def warm(self) -> None:
        """Returns when each replica has admitted each key, and so has its own copy of it."""
        async with asyncio.timeout(60):
            while len({(call.key.prefix, call.replica) for call in admitted(self.sent)}) < self._combinations:  # noqa: ASYNC110  as below
                await asyncio.sleep(0.05)

    async def rounds(self, count: float = 1) -> None:
        """Returns when so many more calls were answered as there are pairs of a key and a replica, times `count`."""
        wanted = len(self.sent) + int(count * self._combinations)
        async with asyncio.timeout(60):
            while len(self.sent) < wanted:  # noqa: ASYNC110  it tells nobody, it is looked at
                await asyncio.sleep(0.01)

    def after(self, at_s: float, *keys: Key) -> Sequence[Sent]:
        """The calls with these keys that were sent later."""
        prefixes = {key.prefix for key in keys}
        return [sent for sent in self.sent if sent.at_s > at_s and sent.key.prefix in prefixes]

    async def _keep_pace(self) -> None:
        began_s = time.monotonic()
        for number, (replica, key) in enumerate(self._turns):
            await asyncio.sleep(began_s + number / self._per_s - time.monotonic())
            if len(self._under_way) >= MOST_AT_ONCE:
                continue  # a machine that is busy otherwise cannot keep this pace
            task = asyncio.create_task(self._call(replica, key, is_look=number // self._combinations % 4 == 3))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _call(self, replica: int, key: Key, *, is_look: bool) -> None:
        model = "" if is_look else self.model
        ask = a_look(key) if is_look else a_chat(key, model)
        at_s = time.monotonic()
        seen: Seen = await self._clients[replica].send(ask)
        code = seen.code or seen.broken
        answered_s = time.monotonic()
        self.sent.append(
            Sent(
                key=key,
                replica=replica,
                at_s=at_s,
                answered_s=answered_s,
                model=model,
                status=seen.status,
                code=code,
            )
        )


def admitted(calls: Sequence[Sent]) -> Sequence[Sent]:
    """Those that got in."""
    return [call for call in calls if call.status == 200]


def told(calls: Sequence[Sent]) -> set[tuple[int, str]]:
    """What they were told; a store's answer that was too late for one on a busy machine is passed over."""
    return {(call.status, call.code) for call in calls if call.code not in _LATE}


@attrs.frozen
class Ended:
    """How a stream ended."""

    code: str
    at_s: float


async def streamed(url: str, key: Key) -> Ended:
    """Reads a stream to its end; cancelled, it hangs up."""
    body = {"model": CHAT, "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    last = "{}"
    async with (
        httpx.AsyncClient(timeout=120, headers=key.headers) as client,
        client.stream("POST", f"{url}/api/chat", json=body) as answer,
    ):
        async for line in answer.aiter_lines():
            last = line or last
    return Ended(str(json.loads(last).get("code", "")), time.monotonic())
