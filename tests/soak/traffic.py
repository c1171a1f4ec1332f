"""The mixed load: every kind of call, in proportion, at a constant pace; and what each kind may come to.

A call that ends as its kind allows is counted; any other is a surprise, and is kept with what was seen of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from tests.soak import cast
from tests.soak.cast import Cast, Holder
from tests.soak.wire import POLITE, Ask, Client, Leave, Manner, Seen

MOST_AT_ONCE = 400
_MOST_KEPT = 50
_LATE = frozenset({"identity_unavailable", "limiter_unavailable", "ledger_unavailable"})
_OK = frozenset({200})
_ANY = frozenset(range(200, 600))
_NOT_A_KEY = "nz_abcdefgh" + "0" * 40
_WORDS = "Say something about gateways and the people who keep them."


@attrs.frozen(kw_only=True)
class Turn:
    """One call about to be made."""

    ask: Ask
    holder: Holder | None = None
    manner: Manner = POLITE
    allowed: frozenset[int] = _OK
    whole: bool = True
    """Whether a stream that begins must come to its proper end."""


Make = Callable[[Cast, random.Random], Turn]


@attrs.frozen(kw_only=True)
class Kind:
    """One kind of call, and how often it is made."""

    name: str
    weight: int
    make: Make


def chat(holder: Holder, *, openai: bool, streamed: bool, model: str = cast.CHAT, most: int | None = None) -> Ask:
    """An ordinary call."""
    body: dict[str, Any] = {
        "model": model,
        "stream": streamed,
        "messages": [{"role": "user", "content": _WORDS}],
    }
    if most is not None:
        body |= {"max_tokens": most} if openai else {"options": {"num_predict": most}}
    return Ask(path="/v1/chat/completions" if openai else "/api/chat", body=body, key=holder.key.text)


def _plain(*, openai: bool, streamed: bool) -> Make:
    def make(who: Cast, chance: random.Random) -> Turn:
        holder = who.anyone(chance)
        return Turn(ask=chat(holder, openai=openai, streamed=streamed), holder=holder)

    return make


def _embed(path: str) -> Make:
    def make(who: Cast, chance: random.Random) -> Turn:
        holder = who.anyone(chance)
        body = {"model": cast.EMBED, "input": [_WORDS] * chance.randint(1, 8)}
        return Turn(ask=Ask(path=path, body=body, key=holder.key.text), holder=holder)

    return make


def _look(who: Cast, chance: random.Random) -> Turn:
    holder = who.anyone(chance)
    path = chance.choice(("/api/tags", "/api/ps", "/v1/models", "/api/version", "/api/show"))
    if path == "/api/show":
        return Turn(ask=Ask(path=path, body={"model": cast.CHAT}, key=holder.key.text), holder=holder)
    return Turn(ask=Ask(method="GET", path=path, key=holder.key.text), holder=holder)


def _refused(which: Callable[[Cast], Holder], *allowed: int) -> Make:
    def make(who: Cast, chance: random.Random) -> Turn:
        holder = which(who)
        ask = chat(holder, openai=chance.random() < 0.5, streamed=chance.random() < 0.5)
        return Turn(ask=ask, holder=holder, allowed=frozenset(allowed), whole=holder is not who.paused)

    return make


def _stranger(_who: Cast, chance: random.Random) -> Turn:
    key = chance.choice(("", _NOT_A_KEY, "sk-something-else"))
    body = {"model": cast.CHAT, "messages": [{"role": "user", "content": "Hi"}]}
    return Turn(ask=Ask(path="/api/chat", body=body, key=key), allowed=frozenset({401}))


def _nonsense(who: Cast, chance: random.Random) -> Turn:
    holder = who.anyone(chance)
    wrong: tuple[Ask, ...] = (
        Ask(path="/api/chat", body={"model": "no-such-model", "messages": [{"role": "user"}]}, key=holder.key.text),
        Ask(path="/api/chat", body={"model": cast.CHAT, "messages": []}, key=holder.key.text),
        Ask(path="/api/pull", body={"model": cast.CHAT}, key=holder.key.text),
        Ask(method="GET", path="/nowhere", key=holder.key.text),
    )
    return Turn(ask=chance.choice(wrong), holder=holder, allowed=frozenset({400, 403, 404}))


def _hang_up(*, streamed: bool) -> Make:
    def make(who: Cast, chance: random.Random) -> Turn:
        holder = who.anyone(chance)
        ask = chat(holder, openai=chance.random() < 0.5, streamed=streamed, model=chance.choice((cast.CHAT, cast.LONG)))
        manner = Manner(leaves_after_s=chance.uniform(0, 0.4), leaves_by=chance.choice(tuple(Leave)))
        return Turn(ask=ask, holder=holder, manner=manner)

    return make


def _slow_reader(who: Cast, chance: random.Random) -> Turn:
    holder = who.anyone(chance)
    ask = chat(holder, openai=chance.random() < 0.5, streamed=True, model=cast.LONG)
    return Turn(ask=ask, holder=holder, manner=Manner(sip_s=0.05))


def _broken(who: Cast, chance: random.Random) -> Turn:
    holder = who.anyone(chance)
    ask = chat(holder, openai=chance.random() < 0.5, streamed=chance.random() < 0.7, model=cast.BROKEN)
    return Turn(ask=ask, holder=holder, allowed=_ANY, whole=False)


KINDS: Sequence[Kind] = (
    Kind(name="native whole", weight=18, make=_plain(openai=False, streamed=False)),
    Kind(name="native streamed", weight=16, make=_plain(openai=False, streamed=True)),
    Kind(name="openai whole", weight=16, make=_plain(openai=True, streamed=False)),
    Kind(name="openai streamed", weight=16, make=_plain(openai=True, streamed=True)),
    Kind(name="native embed", weight=3, make=_embed("/api/embed")),
    Kind(name="openai embed", weight=3, make=_embed("/v1/embeddings")),
    Kind(name="look", weight=6, make=_look),
    Kind(name="rate refused", weight=3, make=_refused(lambda who: who.hurried, 200, 429)),
    Kind(name="budget refused", weight=3, make=_refused(lambda who: who.spent, 200, 429)),
    Kind(name="paused tenant", weight=1, make=_refused(lambda who: who.paused, 200, 401, 403, 503)),
    Kind(name="stranger", weight=2, make=_stranger),
    Kind(name="nonsense", weight=2, make=_nonsense),
    Kind(name="hang-up, streamed", weight=6, make=_hang_up(streamed=True)),
    Kind(name="hang-up, whole", weight=3, make=_hang_up(streamed=False)),
    Kind(name="slow reader", weight=1, make=_slow_reader),
    Kind(name="broken backend", weight=1, make=_broken),
)


def surprise_in(turn: Turn, seen: Seen, sent_at_s: float) -> str:
    """What is wrong with how a call ended, in a few words; empty when nothing is."""
    holder = turn.holder
    if turn.manner.leaves_after_s is not None and seen.left:
        return ""
    if holder is not None and holder.unsettled_since(sent_at_s) and seen.status in {0, 200, 401, 403}:
        return ""
    if seen.broken:
        return f"status {seen.status}, then {seen.broken}"
    if seen.status not in turn.allowed:
        return f"status {seen.status} {seen.code}"
    if seen.status == 200 and turn.whole and turn.ask.streamed and not turn.ask.ended(seen):
        return f"a stream without its end: {seen.tail[-120:]!r}"
    return ""


@attrs.define(kw_only=True)
class Traffic:
    """Makes calls, and keeps count."""

    clients: Sequence[Client]
    who: Cast
    chance: random.Random
    calls: int = 0
    outcomes: Counter[tuple[str, str]] = attrs.field(factory=Counter)
    """By kind and what came of it."""
    surprises: Counter[tuple[str, str]] = attrs.field(factory=Counter)
    late: Counter[tuple[str, str]] = attrs.field(factory=Counter)
    """Calls refused because a store did not answer in time: right when a shared machine stalls, if they are few."""
    held_back: int = 0
    """Calls not made because too many were under way: the pace could not be kept."""
    _under_way: set[asyncio.Task[None]] = attrs.field(factory=set)

    async def one(self) -> None:
        """Makes one call and sees how it ends."""
        kind = self.chance.choices(KINDS, [one.weight for one in KINDS])[0]
        turn = kind.make(self.who, self.chance)
        sent_at_s = time.monotonic()
        seen = await self.chance.choice(self.clients).send(turn.ask, turn.manner)
        surprise = surprise_in(turn, seen, sent_at_s)
        self.calls += 1
        self.outcomes[kind.name, "left" if seen.left else str(seen.status)] += 1
        if surprise and seen.code in _LATE:
            self.late[kind.name, seen.code] += 1
        elif surprise and (len(self.surprises) < _MOST_KEPT or (kind.name, surprise) in self.surprises):
            self.surprises[kind.name, surprise] += 1

    async def flat_out(self, workers: int, for_s: float) -> float:
        """As many calls as so many workers can make; returns calls a second, and counts none of them."""
        before, began_s = self.calls, time.monotonic()

        async def work() -> None:
            while time.monotonic() - began_s < for_s:
                await self.one()

        working = asyncio.gather(*(work() for _ in range(workers)))
        await asyncio.sleep(for_s)
        could_per_s = (self.calls - before) / (time.monotonic() - began_s)
        await working
        self.calls = 0
        for counted in (self.outcomes, self.surprises, self.late):
            counted.clear()  # more than can be carried may be refused
        return could_per_s

    async def at_pace(self, per_s: float, for_s: float) -> None:
        """Calls at a constant pace, whether or not the former ones have ended."""
        began_s = time.monotonic()
        for number in range(int(per_s * for_s)):
            await asyncio.sleep(began_s + number / per_s - time.monotonic())
            if len(self._under_way) >= MOST_AT_ONCE:
                self.held_back += 1
                continue
            task = asyncio.create_task(self.one())
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def ended(self, within_s: float) -> int:
        """Waits for what is under way; returns how many calls did not end in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._under_way:
                    await asyncio.wait(list(self._under_way))
        return len(self._under_way)
