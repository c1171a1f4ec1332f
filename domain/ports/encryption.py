"""Authenticated encryption, and the key-encryption key that the operator's PROMPT_LOG_KEY makes."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol


class CannotOpen(ValueError):
    """It was not sealed with this key, not for this place, or has been changed since."""


class Encryption(Protocol):
    """Seals texts with hour keys, and wraps hour keys with the key-encryption key.

    What something is bound to is not stored with it: whoever opens it must name the same.
    """

    @abstractmethod
    def new_key(self) -> bytes:
        """A random hour key, 32 bytes."""

    @abstractmethod
    def seal(self, key: bytes, text: bytes, bound_to: bytes) -> bytes:
        """The text, encrypted. Sealing the same again gives something else."""

    @abstractmethod
    def open(self, key: bytes, sealed: bytes, bound_to: bytes) -> bytes:
        """The text again.

        Raises:
            CannotOpen: whoever sealed it had another key or another place in mind, or somebody changed it.
        """

    @abstractmethod
    def wrap(self, key: bytes, bound_to: bytes) -> bytes:
        """An hour key, encrypted with the current key-encryption key."""

    @abstractmethod
    def unwrap(self, wrapped: bytes, bound_to: bytes) -> bytes:
        """The hour key again, whichever key-encryption key of the ring wrapped it.

        Raises:
            CannotOpen: none of them did.
        """
