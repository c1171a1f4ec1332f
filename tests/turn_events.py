"""What can happen to turns, in histories of them: those in memory and those in a real store are told the same."""

from __future__ import annotations

import attrs

MOST = {"a": 1, "b": 2}
DEPTH = 3


@attrs.frozen
class Take:
    process: int
    candidates: tuple[tuple[str, ...], ...]


@attrs.frozen
class GiveBack:
    nth: int


@attrs.frozen
class Leave:
    nth: int


@attrs.frozen
class Pass:
    seconds: float
