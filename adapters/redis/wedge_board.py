"""The board of wedged runners in Redis: one hash for all, a field a runner, its word the value."""

from __future__ import annotations

from collections.abc import Mapping

from adapters.redis import names
from adapters.redis.lane import Lane
from adapters.redis.wire import Reply
from adapters.redis.words import packed
from domain.ports.wedge_board import Runner, WedgeBoard

KEPT_S = 600
_WEDGED, _WELL = b"wedged", b"well"
_MS = 1000


class RedisWedgeBoard(WedgeBoard):
    """Of all gateways that share a Redis. Losing it loses only time."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane

    async def read(self) -> Mapping[Runner, bool]:
        """One HGETALL; a handful of fields at most."""
        return said_by(await self._lane.ask(packed("HGETALL", names.WEDGED)))

    def found_wedged(self, runner: Runner) -> None:
        """See the port."""
        self._tell("HSET", runner, _WEDGED)

    def still_wedged(self, runner: Runner) -> None:
        """See the port."""
        self._tell("HSETNX", runner, _WEDGED)

    def found_well(self, runner: Runner) -> None:
        """See the port."""
        self._tell("HSET", runner, _WELL)

    async def may_probe(self, runner: Runner, every_s: float) -> bool:
        """A lock that runs out by itself; nobody gives it back."""
        key = names.probed(runner.backend, runner.model)
        return await self._lane.ask(packed("SET", key, "1", "NX", "PX", str(round(every_s * _MS)))) is not None

    def _tell(self, verb: str, runner: Runner, word: bytes) -> None:
        self._lane.tell(packed(verb, names.WEDGED, f"{runner.backend} {runner.model}", word), keep=False)
        self._lane.tell(packed("EXPIRE", names.WEDGED, str(KEPT_S)), keep=False)


def said_by(reply: Reply) -> Mapping[Runner, bool]:
    """What the hash says; what we would not write is left out."""
    if not isinstance(reply, list):
        return {}
    said = {}
    for field, word in zip(reply[::2], reply[1::2], strict=False):
        backend, _, model = field.decode(errors="replace").partition(" ")
        if model and word in (_WEDGED, _WELL):
            said[Runner(backend, model)] = word == _WEDGED
    return said
