"""How fast a figure grows: a straight line through its samples by least squares, and how sure that line is.

The interval takes the samples' deviations for independent. Samples of memory are not quite (they move in steps and
saws), so the true interval is wider; what is judged therefore has a tolerance besides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import attrs

_HOUR_S = 3600.0
_FEWEST = 4


@attrs.frozen(kw_only=True)
class Slope:
    """A line's slope by the hour, and the half width of its 95 % interval."""

    per_hour: float
    give_or_take: float

    @property
    def at_least(self) -> float:
        """The lower end of the interval."""
        return self.per_hour - self.give_or_take


def slope_of(points: Sequence[tuple[float, float]]) -> Slope | None:
    """The slope of (seconds, value) pairs; None when they are too few to say."""
    if len(points) < _FEWEST:
        return None
    count = len(points)
    middle_s = math.fsum(at_s for at_s, _ in points) / count
    middle = math.fsum(value for _, value in points) / count
    spread = math.fsum((at_s - middle_s) ** 2 for at_s, _ in points)
    if not spread:
        return None
    per_s = math.fsum((at_s - middle_s) * (value - middle) for at_s, value in points) / spread
    off = math.fsum((value - middle - per_s * (at_s - middle_s)) ** 2 for at_s, value in points)
    error = math.sqrt(off / (count - 2) / spread)
    return Slope(per_hour=per_s * _HOUR_S, give_or_take=students_t(count - 2) * error * _HOUR_S)


def students_t(freedom: int) -> float:
    """The 97.5 % point of Student's distribution, from the normal one.

    Source: the expansion in Abramowitz and Stegun, 26.7.5; within 1 % from 4 degrees of freedom on.
    """
    x = NormalDist().inv_cdf(0.975)
    terms: tuple[float, ...] = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    total = x
    for term in reversed(terms):
        total = x + (total - x + term) / freedom
    return total
