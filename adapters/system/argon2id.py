"""The slow hash itself; the one module that knows passlib (its maintained fork, libpass).

Parameters are OWASP's minimum of 2026 for Argon2id, 19 MiB and two passes
(https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html): what is hashed has 190 random
bits, so more would only cost.
"""

from __future__ import annotations

from passlib.hash import argon2

MEMORY_KIB = 19_456
PASSES = 2
LANES = 1
MOST_MEMORY_KIB = 131_072
MOST_PASSES = 8
MOST_LANES = 8
"""Others may write hashes, and a hash says itself what checking it costs: one that asks for gigabytes is no key's."""

_HASHER = argon2.using(type="ID", memory_cost=MEMORY_KIB, time_cost=PASSES, parallelism=LANES)


def make(text: str) -> str:
    """A PHC string."""
    return str(_HASHER.hash(text))


def matches(text: str, stored: str) -> bool:
    """Whether the text made it. What is no hash, what costs too much, and a text too long to have made one, match
    nothing.
    """
    try:
        return _is_affordable(stored) and bool(_HASHER.verify(text, stored))
    except (ValueError, TypeError):  # passlib's own errors, too, are ValueErrors
        return False


def is_weaker(stored: str) -> bool:
    """Whether its parameters are below today's, or it is no hash at all.

    passlib's own `needs_update` calls any other memory cost outdated, a larger one, too.
    """
    try:
        parsed = argon2.from_string(stored)
    except (ValueError, TypeError):
        return True
    return bool(
        parsed.type != "id"
        or parsed.version < argon2.max_version
        or parsed.memory_cost < MEMORY_KIB
        or parsed.rounds < PASSES
    )


def _is_affordable(stored: str) -> bool:
    parsed = argon2.from_string(stored)
    return bool(
        parsed.memory_cost <= MOST_MEMORY_KIB and parsed.rounds <= MOST_PASSES and parsed.parallelism <= MOST_LANES
    )
