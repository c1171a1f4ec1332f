"""The crowd: fifty clients with known intents, who leave in every phase, and the log of what each of them saw.

A call's text names its intent, so that the backends' logs say which intent they worked for, whether or not the client
ever learnt the request id.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import threading
from typing import Any

import attrs

from tests.chaos.cast import CHAT, EMBED, LONG, Cast, Holder
from tests.chaos.stage import Stage, unix_s
from tests.soak.wire import Ask, Client, Leave, Manner, Seen

PATIENCE_S = 75.0
"""No call may take longer than this: twice what a call may last, and a gateway frozen meanwhile."""
_CLIENTS = 50
_LONGEST_PAUSE_S = 1.6
_LAST_CALLS_S = 90.0
_POLITE_PART = 0.55


@attrs.define(kw_only=True, eq=False)
class Intent:
    """One call: what was meant, and what came of it."""

    number: int
    holder: Holder
    ask: Ask
    manner: Manner
    sent_s: float
    """Unix time, as all times here."""
    ended_s: float = 0.0
    seen: Seen = attrs.field(factory=Seen)
    hung: bool = False

    @property
    def charged_path(self) -> bool:
        """Whether such a call, when answered with 200, was served by a backend."""
        return self.ask.method == "POST"

    def __str__(self) -> str:
        seen = self.seen
        end = "left" if seen.left else seen.broken or "whole"
        return (
            f"client: intent {self.number} of {self.holder.tenant.name} ({self.holder.key.prefix}) {self.ask.path}"
            f" streamed={self.ask.streamed} sent={self.sent_s:.3f} head={seen.head_at_s:.3f} ended={self.ended_s:.3f}"
            f" status={seen.status} code={seen.code} id={seen.request_id} {end}"
        )


@attrs.define(kw_only=True)
class Crowd:
    """All clients, in a thread of their own: the one that breaks things must be the main thread."""

    stage: Stage
    who: Cast
    seed: int
    log: list[Intent] = attrs.field(factory=list)
    unended: int = 0
    """Calls without an end long after the last was sent."""
    _over: threading.Event = attrs.field(factory=threading.Event)
    _thread: threading.Thread | None = None
    _numbers: itertools.count[int] = attrs.field(factory=lambda: itertools.count(1))

    def start(self) -> None:
        """Begins."""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._rage()), name="crowd")
        self._thread.start()

    def stop(self) -> None:
        """Sends nothing more, and waits for what is under way."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    async def _rage(self) -> None:
        chances = (random.Random(self.seed * 1000 + number) for number in range(_CLIENTS))  # noqa: S311  not a secret; the same intents every time
        tasks = [asyncio.create_task(self._live(chance)) for chance in chances]
        await asyncio.to_thread(self._over.wait)
        _, late = await asyncio.wait(tasks, timeout=_LAST_CALLS_S)
        self.unended = len(late)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _live(self, chance: random.Random) -> None:
        while not self._over.is_set():
            await asyncio.sleep(chance.uniform(0, _LONGEST_PAUSE_S))
            intent = self._make(chance)
            client = Client(chance.choice(self.stage.urls), chance, keeps=0.0)  # a kept one would send some calls twice
            self.log.append(intent)
            try:
                async with asyncio.timeout(PATIENCE_S):
                    intent.seen = await client.send(intent.ask, intent.manner)
            except TimeoutError:
                intent.hung = True
            finally:
                intent.ended_s = unix_s()

    def _make(self, chance: random.Random) -> Intent:
        number, holder = next(self._numbers), self.who.anyone(chance)
        streamed = chance.random() < 0.7
        ask = _ask(chance, holder, f"intent {number}.", streamed=streamed)
        return Intent(number=number, holder=holder, ask=ask, manner=_manner(chance), sent_s=unix_s())


def number_in(body: Any) -> int | None:
    """The intent that a body at the backend was sent for."""
    with contextlib.suppress(ValueError, IndexError):
        return int(str(body).partition("intent ")[2].partition(".")[0])
    return None


def _ask(chance: random.Random, holder: Holder, words: str, *, streamed: bool) -> Ask:
    model, most = chance.choice((CHAT, CHAT, LONG)), chance.choice((5, 20, 40, 120))
    messages = [{"role": "user", "content": words}]
    options = {"num_predict": most}
    asks: tuple[tuple[str, dict[str, Any]], ...] = (
        ("/api/chat", {"model": model, "messages": messages, "stream": streamed, "options": options}),
        ("/api/generate", {"model": model, "prompt": words, "stream": streamed, "options": options}),
        (
            "/v1/chat/completions",
            {"model": model, "messages": messages, "stream": streamed, "max_tokens": most},
        ),
        ("/v1/messages", {"model": model, "messages": messages, "stream": streamed, "max_tokens": most}),
        ("/api/embed", {"model": EMBED, "input": [words] * chance.randint(1, 3)}),
    )
    path, body = chance.choices(asks, (4, 2, 4, 4, 1))[0]
    return Ask(path=path, body=body, key=holder.key.text)


def _manner(chance: random.Random) -> Manner:
    """Most stay; others leave before the head, in the queue, while a model loads or a prompt is read, in mid-answer,
    or read too slowly.
    """
    if chance.random() < _POLITE_PART:
        return Manner()
    leaves_by = chance.choice(tuple(Leave))
    match chance.randrange(5):
        case 0:
            return Manner(leaves_after_s=chance.uniform(0, 0.03), leaves_by=leaves_by)
        case 1:
            return Manner(leaves_after_s=chance.uniform(0, 0.6), leaves_by=leaves_by)
        case 2:
            return Manner(leaves_after_s=chance.uniform(0.3, 4.0), leaves_by=leaves_by)
        case 3:
            return Manner(leaves_after_bytes=chance.randint(1, 4000), leaves_by=leaves_by)
        case _:
            return Manner(leaves_after_s=chance.uniform(2.0, 7.0), leaves_by=leaves_by, sip_s=chance.uniform(0.3, 2.0))
