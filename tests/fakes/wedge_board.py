"""A board in a dictionary, that several gateways of a test may share."""

from __future__ import annotations

from collections.abc import Mapping

from domain.faults import FaultCode, StoreUnavailable
from domain.ports.surroundings import Clock
from domain.ports.wedge_board import Runner, WedgeBoard


class MemoryWedgeBoard(WedgeBoard):
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.said: dict[Runner, bool] = {}
        """Empty it, and the store has lost its memory."""
        self.away = False
        self._probed_until_s: dict[Runner, float] = {}

    async def read(self) -> Mapping[Runner, bool]:
        self._ask()
        return dict(self.said)

    def found_wedged(self, runner: Runner) -> None:
        self._say({runner: True})

    def still_wedged(self, runner: Runner) -> None:
        self._say({runner: self.said.get(runner, True)})

    def found_well(self, runner: Runner) -> None:
        self._say({runner: False})

    async def may_probe(self, runner: Runner, every_s: float) -> bool:
        self._ask()
        now_s = self._clock.monotonic_s()
        if self._probed_until_s.get(runner, now_s) > now_s:
            return False
        self._probed_until_s[runner] = now_s + every_s
        return True

    def _say(self, words: Mapping[Runner, bool]) -> None:
        if not self.away:
            self.said |= words

    def _ask(self) -> None:
        if self.away:
            raise StoreUnavailable(FaultCode.LIMITER_UNAVAILABLE, "Redis cannot answer.")
