"""A clock that stands until it is moved, randomness that repeats, and a hash that is not slow."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime

from domain.faults import FaultCode, Overloaded
from domain.keys import ALPHABET, Secret
from domain.ports.surroundings import Clock, Entropy, PasswordHash

_START_S = 1_800_000_000.25


class FakeClock(Clock):
    """Moved by hand. Never the host's."""

    def __init__(self, start_s: float = _START_S) -> None:
        self._passed_s = 0.0
        self._start_s = start_s

    def advance(self, seconds: float) -> None:
        self._passed_s += seconds

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._start_s + self._passed_s, UTC)

    def monotonic_s(self) -> float:
        return self._passed_s

    def now_ms(self) -> int:
        """For stores that take a test's clock."""
        return round((self._start_s + self._passed_s) * 1000)


class FakeEntropy(Entropy):
    """The same values in the same order for the same seed."""

    def __init__(self, seed: str = "seed") -> None:
        self._seed = seed
        self._drawn = 0

    def base62(self, length: int) -> str:
        return "".join(ALPHABET[int.from_bytes(self._draw(), "big") % len(ALPHABET)] for _ in range(length))

    def request_id(self) -> str:
        return self._draw()[:16].hex()

    def _draw(self) -> bytes:
        self._drawn += 1
        return hashlib.sha256(f"{self._seed}:{self._drawn}".encode()).digest()


class FakePasswords(PasswordHash):
    """`$fake$strength$digest`; as many at once as it is told, each taking one turn of the loop."""

    def __init__(self, *, strength: int = 2, places: int = 33) -> None:
        self._strength = strength
        self._places = places
        self.runs = 0

    async def hash(self, secret: Secret) -> str:
        await self._take_a_turn()
        return self._made(secret, self._strength)

    async def verify(self, secret: Secret, stored: str) -> bool:
        await self._take_a_turn()
        strength = self._strength_of(stored)
        return strength is not None and stored == self._made(secret, strength)

    def outdated(self, stored: str) -> bool:
        strength = self._strength_of(stored)
        return strength is None or strength < self._strength

    async def _take_a_turn(self) -> None:
        if not self._places:
            raise Overloaded(FaultCode.OVERLOADED, "Too many keys are being verified at once.")
        self._places -= 1
        try:
            self.runs += 1
            await asyncio.sleep(0)
        finally:
            self._places += 1

    @staticmethod
    def _made(secret: Secret, strength: int) -> str:
        return f"$fake${strength}${hashlib.sha256(secret.unwrap().encode()).hexdigest()}"

    @staticmethod
    def _strength_of(stored: str) -> int | None:
        match stored.split("$"):
            case ["", "fake", strength, _] if strength.isdecimal():
                return int(strength)
        return None
