"""AES-256-GCM and HKDF-SHA256, from `cryptography`: what kept prompts and their hour keys are encrypted with.

A sealed text is its nonce (96 random bits), the ciphertext and the tag. An hour key seals for at most the few hours in
which it is written with, far fewer than the 2^32 texts that random nonces are safe for (NIST SP 800-38D, section 8.3).
The key-encryption key is HKDF (RFC 5869) of the operator's secret, so that no other use of that secret can meet it.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from domain.ports.encryption import CannotOpen, Encryption

_KEY_BYTES = 32
_NONCE_BYTES = 12
_PURPOSE = b"neuronetz prompt log key 1"


class AesGcmEncryption(Encryption):
    """Both kinds of sealing."""

    def __init__(self, secret_ring: Sequence[bytes]) -> None:
        """Derives the key-encryption keys.

        Args:
            secret_ring: the operator's secrets, current first; what a former one wrapped still opens.
        """
        self._ring = [AESGCM(_derived(secret)) for secret in secret_ring]

    def new_key(self) -> bytes:
        """Of the operating system's randomness."""
        return secrets.token_bytes(_KEY_BYTES)

    def seal(self, key: bytes, text: bytes, bound_to: bytes) -> bytes:
        """See the port."""
        return _sealed(AESGCM(key), text, bound_to)

    def open(self, key: bytes, sealed: bytes, bound_to: bytes) -> bytes:
        """See the port."""
        return _opened([AESGCM(key)], sealed, bound_to)

    def wrap(self, key: bytes, bound_to: bytes) -> bytes:
        """See the port."""
        return _sealed(self._ring[0], key, bound_to)

    def unwrap(self, wrapped: bytes, bound_to: bytes) -> bytes:
        """See the port."""
        return _opened(self._ring, wrapped, bound_to)


def _derived(secret: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=_PURPOSE).derive(secret)


def _sealed(cipher: AESGCM, text: bytes, bound_to: bytes) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, text, bound_to)


def _opened(ciphers: Sequence[AESGCM], sealed: bytes, bound_to: bytes) -> bytes:
    nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    for cipher in ciphers:
        try:
            return cipher.decrypt(nonce, rest, bound_to)
        except (InvalidTag, ValueError):  # ValueError: too short to have a nonce
            continue
    raise CannotOpen("no key opens it")
