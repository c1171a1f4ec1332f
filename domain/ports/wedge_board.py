"""Where gateways tell each other which models are wedged, so that what cost one of them its callers' patience need not
cost the others theirs.

The board decides nothing: what it has lost is found out again, and what it says wrongly a probe puts right.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Protocol

import attrs


@attrs.frozen(order=True)
class Runner:
    """A model as one backend runs it."""

    backend: str
    model: str
    """In canonical form."""


class WedgeBoard(Protocol):
    """One word for a runner: wedged, or well again. All are forgotten ten minutes after the last."""

    @abstractmethod
    async def read(self) -> Mapping[Runner, bool]:
        """Whether a runner is wedged, for all that anything is said of.

        Raises:
            StoreUnavailable: it cannot be read now.
        """

    @abstractmethod
    def found_wedged(self, runner: Runner) -> None:
        """Says so to all. Returns at once."""

    @abstractmethod
    def still_wedged(self, runner: Runner) -> None:
        """Says so where nothing is said: the board may have been emptied. Overrules no other word. Returns at once."""

    @abstractmethod
    def found_well(self, runner: Runner) -> None:
        """Says so to all. Returns at once."""

    @abstractmethod
    async def may_probe(self, runner: Runner, every_s: float) -> bool:
        """Whether this gateway is the one to probe it now; one of all is, once in so many seconds.

        Raises:
            StoreUnavailable: that cannot be known now.
        """
