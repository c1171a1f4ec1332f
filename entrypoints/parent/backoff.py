"""How long a child that ended is left alone before it is started again.

At once the first time, since most deaths are single ones; then 1, 2, 4 ... seconds while each life is a short one.
Whoever has lived a minute was well, and counts as new.
"""

from __future__ import annotations

LONG_LIFE_S = 60.0
LONGEST_PAUSE_S = 30.0
_FIRST_PAUSE_S = 1.0


def short_lives_after(before: int, lived_s: float) -> int:
    """How many lives in a row were short, when one more has ended."""
    return 0 if lived_s >= LONG_LIFE_S else before + 1


def pause_s(short_lives: int) -> float:
    """Seconds until the next start, after so many short lives in a row."""
    if short_lives <= 1:
        return 0.0
    doubled = min(short_lives - 2, 10)  # 2.0 ** thousands would overflow
    return min(_FIRST_PAUSE_S * 2.0**doubled, LONGEST_PAUSE_S)
