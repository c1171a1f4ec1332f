"""What every encryption does. A test module subclasses the contract and gives it `make`, from a ring of secrets."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.ports.encryption import CannotOpen, Encryption

Make = Callable[[Sequence[bytes]], Encryption]
shared = settings(max_examples=40, suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow])
"""The same property runs in several classes, which is the point of a contract."""
CURRENT, FORMER = b"the current secret of thirty-two", b"the former one, as long as that."


class EncryptionContract:
    make: Make

    @shared
    @given(text=st.binary(max_size=400), place=st.binary(max_size=60))
    def test_what_was_sealed_opens_at_its_place(self, text: bytes, place: bytes) -> None:
        box = self.make([CURRENT])
        key = box.new_key()

        assert box.open(key, box.seal(key, text, place), place) == text

    @shared
    @given(text=st.binary(max_size=60), bit=st.integers(min_value=0))
    def test_with_any_bit_changed_it_does_not_open(self, text: bytes, bit: int) -> None:
        box = self.make([CURRENT])
        key = box.new_key()
        sealed = bytearray(box.seal(key, text, b"place"))
        at = bit % (8 * len(sealed))
        sealed[at // 8] ^= 1 << at % 8

        with pytest.raises(CannotOpen):
            box.open(key, bytes(sealed), b"place")

    @shared
    @given(text=st.binary(max_size=60), kept=st.integers(min_value=0))
    def test_cut_short_it_does_not_open(self, text: bytes, kept: int) -> None:
        box = self.make([CURRENT])
        key = box.new_key()
        sealed = box.seal(key, text, b"place")

        with pytest.raises(CannotOpen):
            box.open(key, sealed[: kept % len(sealed)], b"place")

    @shared
    @given(place=st.binary(max_size=40), other=st.binary(max_size=40))
    def test_at_another_place_it_does_not_open(self, place: bytes, other: bytes) -> None:
        box = self.make([CURRENT])
        key = box.new_key()
        sealed = box.seal(key, b"text", place)

        if place != other:
            with pytest.raises(CannotOpen):
                box.open(key, sealed, other)

    def test_another_key_does_not_open_it(self) -> None:
        box = self.make([CURRENT])

        with pytest.raises(CannotOpen):
            box.open(box.new_key(), box.seal(box.new_key(), b"text", b"place"), b"place")

    def test_keys_are_32_bytes_and_never_the_same(self) -> None:
        box = self.make([CURRENT])
        keys = {box.new_key() for _ in range(100)}

        assert len(keys) == 100
        assert {len(key) for key in keys} == {32}

    def test_the_same_text_sealed_twice_looks_different(self) -> None:
        box = self.make([CURRENT])
        key = box.new_key()

        assert box.seal(key, b"text", b"") != box.seal(key, b"text", b"")

    def test_a_text_is_not_seen_in_what_was_sealed(self) -> None:
        box = self.make([CURRENT])

        assert b"canary" not in box.seal(box.new_key(), b"a canary in the text", b"canary")

    def test_a_wrapped_key_opens_under_every_secret_of_the_ring(self) -> None:
        key = self.make([CURRENT]).new_key()
        wrapped = self.make([FORMER]).wrap(key, b"its name")

        assert self.make([CURRENT, FORMER]).unwrap(wrapped, b"its name") == key

    def test_a_key_is_wrapped_under_the_first_of_the_ring(self) -> None:
        key = self.make([CURRENT]).new_key()
        wrapped = self.make([CURRENT, FORMER]).wrap(key, b"its name")

        assert self.make([CURRENT]).unwrap(wrapped, b"its name") == key

    def test_under_another_secret_or_name_a_wrapped_key_does_not_open(self) -> None:
        box = self.make([CURRENT])
        wrapped = box.wrap(box.new_key(), b"its name")

        with pytest.raises(CannotOpen):
            self.make([FORMER]).unwrap(wrapped, b"its name")
        with pytest.raises(CannotOpen):
            box.unwrap(wrapped, b"another name")

    def test_a_wrapped_key_is_not_a_sealed_text(self) -> None:
        box = self.make([CURRENT])
        key = box.new_key()

        with pytest.raises(CannotOpen):
            box.unwrap(box.seal(key, key, b"name"), b"name")
