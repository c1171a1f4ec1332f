"""Whether more was admitted in some minute than the limit says: a replay of admissions whose moment is known roughly.

A call was admitted after its client sent it and before its hold was written, so somewhere in `[from_s, until_s]`. A
minute is surely too full when calls that all lie wholly in it are too many. What may have lain outside is not counted,
so nothing is ever accused wrongly; the spans are milliseconds, except where a fault made a call wait.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

WINDOW_S = 60.0


@attrs.frozen(kw_only=True)
class Admitted:
    """One admission."""

    name: str
    from_s: float
    until_s: float
    cost: int = 1


@attrs.frozen(kw_only=True)
class TooFull:
    """The fullest minute above the limit."""

    from_s: float
    amount: int
    limit: int
    names: Sequence[str]


def fullest(admitted: Sequence[Admitted], limit: Callable[[float, float], int]) -> TooFull | None:
    """The minute that is furthest above its limit, if one is.

    Args:
        admitted: in any order.
        limit: the largest that may have been in force from one moment to another.
    """
    worst: TooFull | None = None
    by_start = sorted(admitted, key=lambda one: one.from_s)
    for place, first in enumerate(by_start):
        end_s = first.from_s + WINDOW_S
        within = [one for one in by_start[place:] if one.from_s <= end_s and one.until_s <= end_s]
        amount, most = sum(one.cost for one in within), limit(first.from_s, end_s)
        if amount > most and (worst is None or amount - most > worst.amount - worst.limit):
            worst = TooFull(from_s=first.from_s, amount=amount, limit=most, names=[one.name for one in within])
    return worst
