"""The hour keys that this process encrypts prompts with: one for each hour in which something expires.

    made -> stored in the other store, wrapped -> used -> stored again every minute -> forgotten at its hour

A key is used only once the store has acknowledged it: what it sealed would otherwise be lost from the first moment.
While this process lives, it heals a store that lost its memory. Nothing of a key is ever written anywhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import attrs

from domain.ports.encryption import Encryption
from domain.ports.hour_keys import HourKeys, WrappedKey
from domain.ports.surroundings import Clock, Entropy
from domain.prompts import end_of_hour

_PURPOSE = b"neuronetz hour key 1"


@attrs.frozen(kw_only=True)
class HourKey:
    """An hour key in memory."""

    stored: WrappedKey
    key: bytes = attrs.field(repr=False)
    forget_s: float
    """The end of its hour on the monotonic clock, by which it is forgotten even while PostgreSQL is away."""


def wrapped_for(key_id: str, ends_at: datetime) -> bytes:
    """What a wrapped key is bound to: under another's name, or for a longer time, it does not open."""
    return b"\0".join([_PURPOSE, key_id.encode(), str(int(ends_at.timestamp())).encode()])


class PromptKeys:
    """This process's own. One task uses it at a time."""

    def __init__(self, *, hour_keys: HourKeys, encryption: Encryption, entropy: Entropy, clock: Clock) -> None:
        self._hour_keys = hour_keys
        self._encryption = encryption
        self._entropy = entropy
        self._clock = clock
        self._held: dict[datetime, HourKey] = {}

    @property
    def held(self) -> Sequence[HourKey]:
        """All that are not forgotten yet."""
        return list(self._held.values())

    async def key_for(self, expires_at: datetime, now: datetime) -> HourKey:
        """The key of an entry's hour of expiry.

        Args:
            expires_at: of the entry.
            now: PostgreSQL's time.

        Raises:
            StoreUnavailable: there is none yet, and a new one cannot be stored.
        """
        ends_at = end_of_hour(expires_at)
        if ends_at not in self._held:
            made = self._make(ends_at, now)
            await self._hour_keys.put([made.stored])
            self._held[ends_at] = made
        return self._held[ends_at]

    async def put_again(self) -> None:
        """Stores all of them once more.

        Raises:
            StoreUnavailable: not now.
        """
        if self._held:
            await self._hour_keys.put([held.stored for held in self.held])

    def forget(self, now: datetime | None) -> None:
        """Forgets those whose hour is over, by PostgreSQL's time if it is known, and by this host's in any case."""
        for ends_at, held in list(self._held.items()):
            if held.forget_s <= self._clock.monotonic_s() or (now is not None and ends_at <= now):
                del self._held[ends_at]

    def _make(self, ends_at: datetime, now: datetime) -> HourKey:
        key, key_id = self._encryption.new_key(), self._entropy.request_id()
        wrapped = self._encryption.wrap(key, wrapped_for(key_id, ends_at))
        return HourKey(
            stored=WrappedKey(id=key_id, wrapped=wrapped, ends_at=ends_at),
            key=key,
            forget_s=self._clock.monotonic_s() + (ends_at - now).total_seconds(),
        )
