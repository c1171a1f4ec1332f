"""Rates and slots: how many calls and tokens a minute, how many calls at once.

The window is exact: for a limit of N, no 60 seconds contain more than N. (A token bucket or GCRA with burst N
admits up to 2N across a boundary.) It is kept as 1-second buckets with a running sum; the oldest part-second counts
whole, so 61 buckets are looked at. Redis runs the same arithmetic in `admit.lua`; this module is its specification,
and the contract suite holds the two together.

    admit:   drop what left the window; check **every** window and slot; then charge every one, or none
    refund:  lowers the bucket that was charged, while it is still inside the window
"""

from __future__ import annotations

from enum import StrEnum

import attrs

WINDOW_S = 60


class Scope(StrEnum):
    """Whose limit or budget it is. Both hold where both are set."""

    TENANT = "tenant"
    KEY = "key"


class Rate(StrEnum):
    """What is limited."""

    RPM = "rpm"
    TPM = "tpm"
    CONCURRENCY = "concurrency"


def positive_or_none(_instance: object, attribute: attrs.Attribute[int | None], value: int | None) -> None:
    """An attrs validator: a limit that is set is a positive whole number."""
    if value is not None and value <= 0:
        raise ValueError(f"{attribute.name} must be a positive whole number, or none")


@attrs.frozen(kw_only=True)
class Limits:
    """Limits of one tenant or one key; None means none is set here."""

    rpm: int | None = attrs.field(default=None, validator=positive_or_none)
    """Calls in any 60 seconds."""
    tpm: int | None = attrs.field(default=None, validator=positive_or_none)
    """Tokens in any 60 seconds, prompt and output."""
    concurrency: int | None = attrs.field(default=None, validator=positive_or_none)
    """Calls in flight at once."""


NO_LIMITS = Limits()


def tightest(*limits: int | None) -> int | None:
    """The smallest limit that is set; None when none is."""
    return min((limit for limit in limits if limit is not None), default=None)


@attrs.define
class ExactWindow:
    """One 60-second window. Mutable on purpose: it is the state that a store keeps."""

    buckets: dict[int, int] = attrs.field(factory=dict)
    """Second (of the store's clock) -> amount charged in it."""
    total: int = 0

    def drop_old(self, now_s: int) -> None:
        """Forgets seconds that lie wholly outside the last 60 s: those up to `now_s` - 61."""
        for second in [s for s in self.buckets if s <= now_s - WINDOW_S - 1]:
            self.total -= self.buckets.pop(second)

    def wait_s(self, cost: int, limit: int, now_s: int) -> int | None:
        """Seconds until `cost` fits under `limit`: 0 fits now; None never fits."""
        if cost > limit:
            return None
        self.drop_old(now_s)
        excess = self.total + cost - limit
        if excess <= 0:
            return 0
        for second in sorted(self.buckets):
            excess -= self.buckets[second]
            if excess <= 0:
                return second + WINDOW_S + 1 - now_s
        raise AssertionError("the buckets sum to the total")

    def charge(self, cost: int, now_s: int) -> None:
        """Adds `cost` to the current second."""
        if cost:
            self.buckets[now_s] = self.buckets.get(now_s, 0) + cost
            self.total += cost

    def refund(self, amount: int, second: int, now_s: int) -> None:
        """Takes back part of what was charged in `second`, if that is still inside the window."""
        self.drop_old(now_s)
        back = min(amount, self.buckets.get(second, 0))
        if back:
            self.buckets[second] -= back
            self.total -= back
