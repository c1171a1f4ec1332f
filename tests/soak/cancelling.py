"""The cancel storm: thousands of calls that their clients leave at any moment, in waves, and what that has cost.

Clients leave before the first byte, in mid-answer, and while they queue; by FIN and by RST; streamed and not. The
backend has 64 slots and each wave brings more clients than that. Afterwards everything must be as it was: no slot, turn
or hold is taken, memory and descriptors are where they were, every call is charged at least what the backend made, and
all 64 slots serve again at the same time.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
import uvloop

from entrypoints.embedded import EmbeddedStores
from tests.bench.accounts import footprint
from tests.bench.stage import Stage, make_keys, open_stage, tenants
from tests.figures.record import record
from tests.figures.table import Figure
from tests.soak import cast
from tests.soak.books import Books
from tests.soak.cast import Holder
from tests.soak.leftovers import await_none, counted
from tests.soak.printing import Report
from tests.soak.traffic import chat
from tests.soak.troupe import Troupe, start_troupe
from tests.soak.wire import Client, Leave, Manner

SLOTS = 64
_WAVE = 100
_KEYS = 4
_TOKENS, _TOKEN_DELAY_MS = 60, 5
_SHORT_STAY_S, _LONG_STAY_S = 0.02, 0.8
_MOST_READ_BYTES = 6000
_PART_STREAMED = 0.75
_LEFT_WITHIN_S, _CALM_WITHIN_S = 60.0, 10.0
_KIB_IN_MIB = 1024
_SHORT = {
    "open holds": "holds",
    "slots": "slots",
    "turns": "turns",
    "waiting for a turn": "queue",
    "in flight at the backend": "in flight",
    "slots taken at the backend": "taken",
}
_MOST_GROWTH_MIB = 8.0
"""From the first stop to the last: the first holds what warming up takes."""
_MOST_MORE_FDS = 8


@attrs.frozen(kw_only=True)
class Stop:
    """What is seen when a part of the storm is over and everything has been let go."""

    streams: int
    took_s: float
    rss_mib: float
    fds: int
    threads: int
    backend_connections: int
    left: Mapping[str, int]
    undercharged: int
    resets: int

    @property
    def own_fds(self) -> int:
        """Without the connections to the backend, which are kept for a while to be used again."""
        return self.fds - self.backend_connections


@attrs.define(kw_only=True)
class _Storm:
    stage: Stage
    troupe: Troupe
    keys: Sequence[Holder]
    books: Books
    chance: random.Random
    stops: list[Stop] = attrs.field(factory=list)
    stayed: int = 0
    """Calls that ended before their client left."""
    in_mid_answer: int = 0
    """Calls whose client left when some of the answer had come."""
    began_s: float = attrs.field(factory=time.monotonic)

    async def rage(self, streams: int, stop_every: int, report: Report) -> Sequence[str]:
        """The storm, with a stop every so often; returns what was wrong at a stop."""
        client = Client(self.troupe.urls[0], self.chance, keeps=0.0)
        wrong: list[str] = []
        for number in range(0, streams, _WAVE):
            if number % stop_every == 0:
                wrong += await self._stop(number, report)
            await asyncio.gather(*(self._one(client) for _ in range(min(_WAVE, streams - number))))
        wrong += await self._stop(streams, report)
        await client.aclose()
        return wrong

    async def _one(self, client: Client) -> None:
        chance = self.chance
        streamed = chance.random() < _PART_STREAMED
        ask = chat(chance.choice(self.keys), openai=chance.random() < 0.5, streamed=streamed)
        seen = await client.send(ask, self._manner(streamed=streamed))
        self.stayed += not seen.left
        self.in_mid_answer += seen.left and bool(seen.body_bytes)

    def _manner(self, *, streamed: bool) -> Manner:
        chance, leaves_by = self.chance, self.chance.choice(tuple(Leave))
        match chance.randrange(4):
            case 0:
                return Manner(leaves_after_s=chance.uniform(0, _SHORT_STAY_S), leaves_by=leaves_by)
            case 1 | 2 if streamed:
                return Manner(leaves_after_bytes=chance.randint(1, _MOST_READ_BYTES), leaves_by=leaves_by)
            case _:
                return Manner(leaves_after_s=chance.uniform(0, _LONG_STAY_S), leaves_by=leaves_by)

    async def _stop(self, streams: int, report: Report) -> Sequence[str]:
        wrong = await asyncio.to_thread(await_none, self.stage.house, _LEFT_WITHIN_S)
        await asyncio.to_thread(self.books.balance)
        seen = await asyncio.to_thread(self._look_when_calm, streams)
        self.stops.append(seen)
        report.say(
            f"{streams:>7,} streams after {seen.took_s:.0f} s: RSS {seen.rss_mib:.1f} MiB, {seen.own_fds} descriptors"
        )
        return wrong

    def _look_when_calm(self, streams: int) -> Stop:
        """Half-closed connections to the backend take two seconds to go."""
        deadline = time.monotonic() + _CALM_WITHIN_S
        while True:
            seen = self._look(streams)
            calm = not self.stops or seen.own_fds <= self.stops[0].own_fds + _MOST_MORE_FDS
            if calm or time.monotonic() > deadline:
                return seen
            time.sleep(0.5)

    def _look(self, streams: int) -> Stop:
        held = [footprint(pid) for pid in self.troupe.pids]
        return Stop(
            streams=streams,
            took_s=time.monotonic() - self.began_s,
            rss_mib=sum(one.rss_kib for one in held) / _KIB_IN_MIB,
            fds=sum(one.fds for one in held),
            threads=sum(one.threads for one in held),
            backend_connections=int(self.stage.house.simulator.state()["open_connections"]),
            left=counted(self.stage.house),
            undercharged=self.books.undercharged_calls,
            resets=self.books.resets,
        )

    async def warm_up(self) -> None:
        """Every key at once, so that each thread that hashes has its memory; then every slot."""
        client = Client(self.troupe.urls[0], self.chance, keeps=0.0)
        asks = [chat(holder, openai=False, streamed=False) for holder in self.keys]
        await asyncio.gather(*(client.send(ask) for ask in asks))
        await client.aclose()
        await self.served_at_once()

    async def served_at_once(self) -> tuple[int, int]:
        """Sends as many calls as the backend has slots: how many were served, and how many at the same time."""
        client = Client(self.troupe.urls[0], self.chance, keeps=0.0)
        asks = [chat(self.keys[0], openai=False, streamed=False, model=cast.LONG) for _ in range(SLOTS)]
        calls = [asyncio.create_task(client.send(ask)) for ask in asks]
        most = 0
        while not all(call.done() for call in calls):
            state = await asyncio.to_thread(self.stage.house.simulator.state)
            most = max(most, sum(state["slots_taken"].values()))
            await asyncio.sleep(0.05)
        await client.aclose()
        return sum(call.result().status == 200 for call in calls), most


def cancel_storm(
    streams: int,
    out: Path,
    *,
    stop_every: int = 5000,
    seed: int = 7,
    most_growth_mib: float = _MOST_GROWTH_MIB,
    stores: EmbeddedStores | None = None,
) -> int:
    """Runs it, on stores of its own if none are given; the exit status: 1 when something is lost or wrong."""
    out.mkdir(parents=True, exist_ok=True)
    report = Report(out / "cancel.txt")
    options = ("--models", str(cast.write_models(out / "models.json")), "--tokens", str(_TOKENS))
    pace = ("--token-delay-ms", str(_TOKEN_DELAY_MS), "--prompt-delay-ms-per-token", "0.2")
    slots = ("--num-parallel", str(SLOTS), "--log-tokens-per-line", "0")
    with open_stage(*options, *pace, *slots, stores=stores, BACKEND_MAX_IN_FLIGHT=str(SLOTS)) as stage:
        keys = [Holder(key) for key in make_keys(stage.house, tenants(_KEYS))]
        storm = _Storm(
            stage=stage,
            troupe=start_troupe(stage.house, 1),
            keys=keys,
            books=Books(stage.house),
            chance=random.Random(seed),  # noqa: S311  not a secret; the same storm every time
        )
        wrong = uvloop.run(_weather(storm, streams, stop_every, most_growth_mib, report))
        storm.books.balance()
        wrong = [*wrong, *storm.books.wrongs()]
        _tell(storm, report)
    return _verdict(wrong, report)


async def _weather(
    storm: _Storm, streams: int, stop_every: int, most_growth_mib: float, report: Report
) -> Sequence[str]:
    await storm.warm_up()
    wrong = list(await storm.rage(streams, stop_every, report))
    served, at_once = await storm.served_at_once()
    report.say(f"Afterwards {served} of {SLOTS} calls were served, {at_once} at the same time.")
    lost = SLOTS - min(served, at_once)
    record(Figure.CONNECTIONS_LOST, str(lost), good=not lost, how=f"{streams:,} streams, most of them cancelled")
    if lost:
        wrong.append(f"Only {served} of {SLOTS} calls were served afterwards, at most {at_once} at the same time.")
    first, last = storm.stops[min(1, len(storm.stops) - 1)], storm.stops[-1]
    if last.rss_mib - first.rss_mib > most_growth_mib:
        wrong.append(f"RSS grew from {first.rss_mib:.1f} to {last.rss_mib:.1f} MiB.")
    if last.own_fds - first.own_fds > _MOST_MORE_FDS:
        wrong.append(f"Descriptors went from {first.own_fds} to {last.own_fds}, the backend's connections left out.")
    if last.threads > first.threads:
        wrong.append(f"Threads went from {first.threads} to {last.threads}.")
    return [*wrong, *await asyncio.to_thread(await_none, storm.stage.house, _LEFT_WITHIN_S)]


def _tell(storm: _Storm, report: Report) -> None:
    left = sorted(storm.stops[0].left)
    rows = [
        (
            f"{stop.streams:,}",
            f"{stop.rss_mib:.1f}",
            f"{stop.own_fds}",
            f"{stop.backend_connections}",
            f"{stop.threads}",
            *(f"{stop.left[what]}" for what in left),
            f"{stop.undercharged}",
            f"{stop.resets}",
        )
        for stop in storm.stops
    ]
    headings = (
        "streams",
        "RSS MiB",
        "fds",
        "to backend",
        "threads",
        *(_SHORT[what] for what in left),
        "short",
        "resets",
    )
    report.table("when each part of the storm was over", headings, rows)
    reached = ", ".join(f"{count:,} {how}" for how, count in sorted(storm.books.ended.items()))
    report.say(
        f"{storm.in_mid_answer:,} clients left in mid-answer; {storm.stayed:,} had it whole before they would leave. "
        f"At the backend: {reached}."
    )


def _verdict(wrong: Sequence[str], report: Report) -> int:
    for sentence in wrong:
        report.say(f"WRONG: {sentence}")
    report.say("Something is lost or wrong." if wrong else "Nothing lost, nothing wrong.")
    report.close()
    return 1 if wrong else 0
