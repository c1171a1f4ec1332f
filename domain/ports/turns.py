"""Turns at the backends: at most so many calls at each at once, over all gateways, and one bounded queue before them.

Ollama itself queues without bound once a model is loaded, so this is the only cap there is.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Protocol

import attrs

Candidates = Sequence[Sequence[str]]
"""Backends that would do, in tiers: the first tier is the best, and within a tier all are equally good."""


@attrs.frozen
class Turn:
    """A turn that was taken. It is given back exactly once."""

    id: str
    backend: str


@attrs.frozen(kw_only=True)
class TurnStanding:
    """Who is served and who waits, over all gateways."""

    in_flight: Mapping[str, int]
    """Turns taken, by backend."""
    waiting: int


class Turns(Protocol):
    """Gives out turns, first come, first served among those who can use the backend that becomes free.

    A turn is a lease: it is kept by `renew`, and free 30 s after the last of them, for a process that died gives
    nothing back. Who waits in a dead process is out of the line after 3 s; what it was given until then is free 5 s
    later.
    """

    @abstractmethod
    async def take(self, candidates: Candidates) -> Turn:
        """Waits for a turn at one of the backends and says at which: of the first tier with room, the least busy over
        all gateways. Ties keep the order.

        Safe to cancel: a turn that was granted meanwhile is given back.

        Raises:
            Overloaded: too many wait already, or the wait ran out.
            StoreUnavailable: nobody can tell how many are in flight.
        """

    @abstractmethod
    def give_back(self, turn: Turn) -> None:
        """Ends a turn; the next in line gets it. Returns at once; twice is once."""

    @abstractmethod
    async def renew(self) -> None:
        """Keeps what this process has and waits for, and hands on what others lost. To be called once a second.

        Raises:
            StoreUnavailable: it could not be done; nothing is lost yet.
        """

    @property
    @abstractmethod
    def in_flight(self) -> Mapping[str, int]:
        """Turns taken now by this process, by backend."""

    @property
    @abstractmethod
    def waiting(self) -> int:
        """How many of this process wait now."""

    @abstractmethod
    async def standing(self) -> TurnStanding:
        """The whole picture.

        Raises:
            StoreUnavailable: it cannot be read.
        """
