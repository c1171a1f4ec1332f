"""Encryption of the standard library's hashes: a stream from SHA-256 and an HMAC. Honest, slow, and not for use."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from domain.ports.encryption import CannotOpen, Encryption

_NONCE, _MAC = 8, 32


class FakeEncryption(Encryption):
    def __init__(self, secret_ring: Sequence[bytes] = (b"a secret",)) -> None:
        self._ring = [hashlib.sha256(b"wrapping" + secret).digest() for secret in secret_ring]
        self._made = 0

    def new_key(self) -> bytes:
        return hashlib.sha256(b"key" + self._next()).digest()

    def seal(self, key: bytes, text: bytes, bound_to: bytes) -> bytes:
        nonce = self._next()
        hidden = _hidden(key, nonce, text)
        return nonce + hidden + _mac(key, nonce + hidden, bound_to)

    def open(self, key: bytes, sealed: bytes, bound_to: bytes) -> bytes:
        nonce, hidden, mac = sealed[:_NONCE], sealed[_NONCE:-_MAC], sealed[-_MAC:]
        if not hmac.compare_digest(mac, _mac(key, nonce + hidden, bound_to)):
            raise CannotOpen("no key opens it")
        return _hidden(key, nonce, hidden)

    def wrap(self, key: bytes, bound_to: bytes) -> bytes:
        return self.seal(self._ring[0], key, bound_to)

    def unwrap(self, wrapped: bytes, bound_to: bytes) -> bytes:
        for key in self._ring:
            try:
                return self.open(key, wrapped, bound_to)
            except CannotOpen:
                continue
        raise CannotOpen("no key opens it")

    def _next(self) -> bytes:
        self._made += 1
        return self._made.to_bytes(_NONCE, "big")


def _hidden(key: bytes, nonce: bytes, text: bytes) -> bytes:
    stream = hashlib.shake_256(key + nonce).digest(len(text))
    return bytes(one ^ other for one, other in zip(text, stream, strict=True))


def _mac(key: bytes, sealed: bytes, bound_to: bytes) -> bytes:
    return hmac.digest(key, len(bound_to).to_bytes(4, "big") + bound_to + sealed, "sha256")
