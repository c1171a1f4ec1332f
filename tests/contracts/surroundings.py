"""What clocks, randomness and the slow hash do, real or fake. Test modules subclass these and give the fixtures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from domain.faults import FaultCode, Overloaded
from domain.keys import ALPHABET, Secret
from domain.ports.surroundings import Clock, Entropy, PasswordHash

PasswordsOf = Callable[[int], PasswordHash]
"""Makes one with so many places."""


class ClockContract:
    def test_now_is_aware_utc(self, clock: Clock) -> None:
        assert clock.now().utcoffset() == timedelta(0)

    def test_the_monotonic_clock_never_goes_back(self, clock: Clock) -> None:
        readings = [clock.monotonic_s() for _ in range(100)]

        assert readings == sorted(readings)


class EntropyContract:
    def test_base62_has_the_length_asked_and_only_its_alphabet(self, entropy: Entropy) -> None:
        for length in (0, 1, 8, 32, 1000):
            text = entropy.base62(length)
            assert len(text) == length
            assert set(text) <= set(ALPHABET)

    def test_base62_is_even(self, entropy: Entropy) -> None:
        """Each character comes 1,000 times in 62,000; five sigma is 157. A remainder alone would be far off."""
        text = entropy.base62(62_000)

        assert all(843 <= text.count(character) <= 1157 for character in ALPHABET)

    def test_request_ids_are_32_hex_digits_and_never_come_again(self, entropy: Entropy) -> None:
        ids = [entropy.request_id() for _ in range(1000)]

        assert len(set(ids)) == 1000
        assert all(len(id_) == 32 and set(id_) <= set("0123456789abcdef") for id_ in ids)


class PasswordHashContract:
    async def test_a_hash_is_verified_by_its_secret_alone(self, passwords_of: PasswordsOf) -> None:
        passwords = passwords_of(4)

        stored = await passwords.hash(Secret("nz_right"))

        assert await passwords.verify(Secret("nz_right"), stored)
        assert not await passwords.verify(Secret("nz_wrong"), stored)
        assert "nz_right" not in stored

    async def test_what_is_no_hash_verifies_nothing_and_is_outdated(self, passwords_of: PasswordsOf) -> None:
        passwords = passwords_of(4)

        for stored in ("", "x", "$argon2id$", "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$!!", "\x00", "$fake$x$y"):
            assert not await passwords.verify(Secret("nz_any"), stored)
            assert passwords.outdated(stored)

    async def test_an_endless_secret_verifies_nothing(self, passwords_of: PasswordsOf) -> None:
        passwords = passwords_of(4)
        stored = await passwords.hash(Secret("nz_right"))

        assert not await passwords.verify(Secret("nz_right" + "x" * 100_000), stored)

    async def test_todays_hash_is_not_outdated(self, passwords_of: PasswordsOf) -> None:
        passwords = passwords_of(4)

        assert not passwords.outdated(await passwords.hash(Secret("nz_any")))

    async def test_of_many_at_once_as_many_run_as_there_are_places(self, passwords_of: PasswordsOf) -> None:
        passwords = passwords_of(3)
        stored = await passwords.hash(Secret("nz_right"))

        ends = await asyncio.gather(
            *(passwords.verify(Secret("nz_right"), stored) for _ in range(12)), return_exceptions=True
        )

        assert ends.count(True) == 3
        refused = [end for end in ends if isinstance(end, Overloaded)]
        assert len(refused) == 9
        assert {fault.code for fault in refused} == {FaultCode.OVERLOADED}

    async def test_places_come_free_again(self, passwords_of: PasswordsOf) -> None:
        passwords = passwords_of(2)

        for _ in range(3):
            await asyncio.gather(passwords.hash(Secret("a")), passwords.hash(Secret("b")))
