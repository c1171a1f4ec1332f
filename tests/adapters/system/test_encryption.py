"""The fake and AES-256-GCM keep one contract; and what this one is made of, checked against the standards' own ways."""

from __future__ import annotations

import hashlib
import hmac

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from adapters.system.encryption import AesGcmEncryption
from tests.contracts.encryption import CURRENT, EncryptionContract
from tests.fakes.encryption import FakeEncryption


class TestFake(EncryptionContract):
    make = FakeEncryption


class TestAesGcm(EncryptionContract):
    make = AesGcmEncryption


def test_a_wrapped_key_opens_with_hkdf_of_the_secret_and_nothing_else_of_ours() -> None:
    """RFC 5869 by hand: extract with a salt of zeros, expand to one block."""
    box = AesGcmEncryption([CURRENT])
    key = box.new_key()
    wrapped = box.wrap(key, b"its name")

    extracted = hmac.digest(bytes(32), CURRENT, "sha256")
    expanded = hmac.digest(extracted, b"neuronetz prompt log key 1" + b"\x01", "sha256")

    assert AESGCM(expanded).decrypt(wrapped[:12], wrapped[12:], b"its name") == key


def test_no_secret_and_no_key_is_seen() -> None:
    box = AesGcmEncryption([CURRENT])

    assert CURRENT.decode() not in repr(box) + repr(vars(box))
    assert hashlib.sha256(CURRENT).hexdigest() not in repr(vars(box))
