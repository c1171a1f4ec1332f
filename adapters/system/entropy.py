"""Randomness of the operating system."""

from __future__ import annotations

import secrets

from domain.keys import ALPHABET
from domain.ports.surroundings import Entropy

_FAIR_BELOW = 256 - 256 % len(ALPHABET)
"""Bytes from here on would favour the first characters, and are thrown away (8 in 256)."""


class SystemEntropy(Entropy):
    """`secrets`."""

    def base62(self, length: int) -> str:
        """Uniform: by rejection, not by remainder."""
        characters: list[str] = []
        while len(characters) < length:
            fair = (byte for byte in secrets.token_bytes(length) if byte < _FAIR_BELOW)
            characters += [ALPHABET[byte % len(ALPHABET)] for byte in fair]
        return "".join(characters[:length])

    def request_id(self) -> str:
        """128 random bits."""
        return secrets.token_hex(16)
