"""Whether two paired samples differ: Wilcoxon's signed-rank test, and how far apart their median is.

The interval of the median is the sign test's (order statistics of the differences, distribution-free): times on a
shared machine have long tails, for which means, and tests of means, are wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from statistics import NormalDist, median

import attrs


@attrs.frozen(kw_only=True)
class Difference:
    """Between two paired samples, in their unit."""

    median: float
    low: float
    high: float
    """The median's confidence interval."""
    p: float
    """How probable it is that samples alike would differ as much; two-sided, by the normal approximation."""

    def within(self, most: float) -> bool:
        """Whether the whole interval is."""
        return max(abs(self.low), abs(self.high)) <= most


def difference(one: Sequence[float], other: Sequence[float], *, confidence: float = 0.95) -> Difference:
    """Of `one` over `other`, pair by pair.

    Raises:
        ValueError: there are too few pairs, or not as many of each.
    """
    apart = sorted(mine - others for mine, others in zip(one, other, strict=True))
    count = len(apart)
    if count < 20:
        raise ValueError("the normal approximation needs 20 pairs")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    rank = max(0, math.floor((count - z * math.sqrt(count)) / 2) - 1)
    return Difference(median=median(apart), low=apart[rank], high=apart[count - 1 - rank], p=_signed_rank_p(apart))


def _signed_rank_p(apart: Sequence[float]) -> float:
    """Zeros are left out, ties share their rank (Wilcoxon 1945; variance with the correction for ties)."""
    ordered = sorted((value for value in apart if value), key=abs)
    count = len(ordered)
    if not count:
        return 1.0
    positive, ties, rank = 0.0, 0.0, 0
    for _, group in groupby(ordered, key=abs):
        tied = list(group)
        shared = rank + (len(tied) + 1) / 2
        positive += shared * sum(value > 0 for value in tied)
        ties += len(tied) ** 3 - len(tied)
        rank += len(tied)
    expected = count * (count + 1) / 4
    deviation = math.sqrt(count * (count + 1) * (2 * count + 1) / 24 - ties / 48)
    return 2 * (1 - NormalDist().cdf(abs(positive - expected) / deviation)) if deviation else 1.0
