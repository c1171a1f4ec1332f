"""When something last came from a model at a backend: the one thing that tells a slow one from one that is stuck.

Nothing is noted per chunk. A call that is being answered says since when it has waited for the next piece, and so when
the last one came; only its first piece and its end are noted.
"""

from __future__ import annotations

from collections.abc import Iterator

from application.live_calls import LiveCalls, Waiting
from domain.ports.surroundings import Clock
from domain.ports.wedge_board import Runner

_ANSWERED = frozenset({Waiting.NEXT_BYTE, Waiting.READER})


class SignsOfLife:
    """What this process has had from the backends. Times are of the monotonic clock, in seconds."""

    def __init__(self, live_calls: LiveCalls, clock: Clock) -> None:
        self._live_calls = live_calls
        self._clock = clock
        self._last_s: dict[Runner, float] = {}

    def now_s(self) -> float:
        """For whoever wants to ask later what has come since."""
        return self._clock.monotonic_s()

    def note(self, runner: Runner, at_s: float) -> None:
        """Something came."""
        self._last_s[runner] = max(at_s, self._last_s.get(runner, at_s))

    def since(self, since_s: float, backend: str, model: str | None = None) -> bool:
        """Whether anything came from a backend after that, or from one model (canonical name) there."""
        return any(
            at_s > since_s
            for runner, at_s in self._all()
            if runner.backend == backend and model in (None, runner.model)
        )

    def _all(self) -> Iterator[tuple[Runner, float]]:
        yield from self._last_s.items()
        for call in self._live_calls:
            if call.runner is not None and call.waits_for in _ANSWERED:
                yield call.runner, call.since_s
