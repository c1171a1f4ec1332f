"""The time that all gateways share: the register's, kept by this host's steady clock from one look-up to the next.

An expiry is an instant of the ledger's clock, which refuses holds from then on. A host that judged it by its own wall
clock would turn a key away early or let one in late, and would not believe what others have put into the shared memory.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from domain.ports.surroundings import Clock


class SharedTime(Clock):
    """A host's clock, set right whenever the register tells its own."""

    def __init__(self, host: Clock) -> None:
        self._host = host
        self._told: tuple[datetime, float] | None = None

    def heard(self, now: datetime) -> None:
        """The register says that it is `now`."""
        self._told = now, self._host.monotonic_s()

    def now(self) -> datetime:
        """By the register's clock; the host's own until the register was asked for the first time.

        It lags by the way of the answer, so that what the register called past is past here, too.
        """
        if self._told is None:
            return self._host.now()
        then, then_s = self._told
        return then + timedelta(seconds=self._host.monotonic_s() - then_s)

    def monotonic_s(self) -> float:
        """The host's."""
        return self._host.monotonic_s()
