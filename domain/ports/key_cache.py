"""Identities that were verified lately, shared between processes so that each key costs few Argon2id runs."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from domain.policies import Caller


class KeyCache(Protocol):
    """Fingerprint -> Caller, for 30 s. Records are MAC'd: a compromised cache can forget, not forge.

    A cache decides nothing: on any trouble it simply does not know the key.
    """

    @abstractmethod
    async def recall(self, fingerprint: bytes) -> Caller | None:
        """The caller, if remembered within the last 30 s and untouched since."""

    @abstractmethod
    def remember(self, fingerprint: bytes, caller: Caller) -> None:
        """Hands over; returns at once."""
