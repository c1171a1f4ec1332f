"""How many bytes of bodies a process holds that nobody has read yet: of all callers, and of one key.

A body comes before its caller's limits can be asked, since what it asks for is part of the question. Without a bound
here, whoever holds a key, even a revoked one, could have every connection keep megabytes at once.
"""

from __future__ import annotations

import attrs

from domain.faults import FaultCode, Overloaded

_OF_ONE_KEY = 16
_OF_ALL = 64
"""Of the largest bodies: 64 and 256 MiB with bodies of 4 MiB."""


@attrs.define
class BodyRoom:
    """The room of one process. All in bytes."""

    most: int
    most_of_one: int
    held: int = 0
    _by_key: dict[str, int] = attrs.field(factory=dict)

    @classmethod
    def for_bodies_of(cls, max_body_bytes: int) -> BodyRoom:
        """Room for a number of the largest bodies."""
        return cls(most=_OF_ALL * max_body_bytes, most_of_one=_OF_ONE_KEY * max_body_bytes)

    def place_of(self, key: str) -> Place:
        """A place for one body.

        Args:
            key: the public prefix of whose key it is.
        """
        return Place(self, key)

    def change(self, key: str, by: int) -> None:
        """Counts bytes in or out."""
        self.held += by
        of_one = self._by_key.get(key, 0) + by
        if of_one:
            self._by_key[key] = of_one
        else:
            self._by_key.pop(key, None)

    def has_room(self, key: str, size: int) -> bool:
        """Whether so many bytes more may be held."""
        return self.held + size <= self.most and self._by_key.get(key, 0) + size <= self.most_of_one


@attrs.define
class Place:
    """Where one body lies until it was read."""

    _room: BodyRoom
    _key: str
    _taken: int = 0

    def take(self, size: int) -> None:
        """So many bytes more.

        Raises:
            Overloaded: there is no room for them now.
        """
        if not self._room.has_room(self._key, size):
            raise Overloaded(
                FaultCode.OVERLOADED, "Too many request bodies are on their way at once. Please try again."
            )
        self._room.change(self._key, size)
        self._taken += size

    def leave(self) -> None:
        """The body was read, or is let go. May be called again."""
        self._room.change(self._key, -self._taken)
        self._taken = 0
