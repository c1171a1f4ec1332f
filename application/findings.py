"""What an examination finds: each point well, worth a look, or wrong, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import attrs


class Level(StrEnum):
    """How grave it is."""

    OK = "ok"
    WARNING = "warning"
    """It works, and something will bite later."""
    PROBLEM = "problem"
    """It does not work, or is not safe."""


@attrs.frozen
class Finding:
    """One point."""

    subject: str
    """Which point; a name that does not change."""
    level: Level
    sentence: str
    remedy: str = ""
    """What to do; empty where all is well."""


def ok(subject: str, sentence: str) -> Finding:
    """All is well."""
    return Finding(subject, Level.OK, sentence)


def warning(subject: str, sentence: str, remedy: str) -> Finding:
    """Worth a look."""
    return Finding(subject, Level.WARNING, sentence, remedy)


def problem(subject: str, sentence: str, remedy: str) -> Finding:
    """Wrong."""
    return Finding(subject, Level.PROBLEM, sentence, remedy)


def latency(subject: str, what: str, took_ms: Sequence[float], bound_ms: float, bound: str) -> Finding:
    """Whether answers come well within the time that a gateway gives them.

    Args:
        subject: which point.
        what: what was timed.
        took_ms: how long each took.
        bound_ms: after which a gateway refuses the call.
        bound: the setting that says so.
    """
    middle, longest = sorted(took_ms)[len(took_ms) // 2], max(took_ms)
    sentence = f"{len(took_ms)} {what} took {middle:.1f} ms at the median and {longest:.1f} ms at most."
    remedy = f"Calls are refused with 503 beyond {bound} ({bound_ms:g} ms): bring it nearer, or raise {bound}."
    if middle >= bound_ms:
        return problem(subject, sentence, remedy)
    return warning(subject, sentence, remedy) if longest > bound_ms / 2 else ok(subject, sentence)
