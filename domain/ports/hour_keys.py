"""The keys that kept prompts are encrypted with, in the one store that can truly forget.

PostgreSQL keeps the text and never a key to it; this store keeps the keys, wrapped, and never a word of the text. So
a dump or a base backup of PostgreSQL, however old, says nothing once the keys of its hours are destroyed.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import attrs


@attrs.frozen(kw_only=True)
class WrappedKey:
    """An hour key as it is stored."""

    id: str
    """32 hex digits."""
    wrapped: bytes = attrs.field(repr=False)
    ends_at: datetime
    """A full hour, from which on it must not exist."""


class HourKeys(Protocol):
    """Wrapped hour keys, each until its hour ends."""

    @abstractmethod
    async def put(self, keys: Sequence[WrappedKey]) -> None:
        """Stores them; when it returns, the store has acknowledged every one. Putting one again changes nothing.

        Raises:
            StoreUnavailable: some may not be stored.
        """

    @abstractmethod
    async def get(self, key_id: str) -> bytes | None:
        """A wrapped key; None when it is destroyed, or was lost.

        Raises:
            StoreUnavailable: it cannot be known now.
        """

    @abstractmethod
    async def destroy(self, key_ids: Sequence[str]) -> None:
        """Destroys them, before their hour or after. Those that are not there are no error.

        Raises:
            StoreUnavailable: some may still be there.
        """
