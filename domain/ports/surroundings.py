"""Time, randomness and the slow hash."""

from __future__ import annotations

from abc import abstractmethod
from datetime import datetime
from typing import Protocol

from domain.keys import Secret


class Clock(Protocol):
    """This host's clocks. They decide nothing about limits or budgets: Redis's and PostgreSQL's clocks do."""

    @abstractmethod
    def now(self) -> datetime:
        """Aware UTC; for what is shown and logged."""

    @abstractmethod
    def monotonic_s(self) -> float:
        """Seconds since some instant; never goes back."""


class Entropy(Protocol):
    """Unpredictable values."""

    @abstractmethod
    def base62(self, length: int) -> str:
        """Uniform base62 characters."""

    @abstractmethod
    def request_id(self) -> str:
        """32 lower-case hex digits that never come again."""


class PasswordHash(Protocol):
    """Argon2id, in a bounded pool of threads: 27 ms and 19 MiB each, so never on the event loop."""

    @abstractmethod
    async def hash(self, secret: Secret) -> str:
        """A PHC string.

        Raises:
            Overloaded: the pool's queue is full.
        """

    @abstractmethod
    async def verify(self, secret: Secret, stored: str) -> bool:
        """Whether the secret made this hash. A stored text that is no hash verifies nothing.

        Raises:
            Overloaded: the pool's queue is full.
        """

    @abstractmethod
    def outdated(self, stored: str) -> bool:
        """Whether the parameters of a stored hash are weaker than today's."""
