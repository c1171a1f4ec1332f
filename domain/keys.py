"""API keys: their form, their keyed check, and when one is good.

A key is 51 characters::

    nz_ abcd1234 QxV0...32 base62...9k  7fGh2KpQ
    |   |        |                      +-- check: HMAC-SHA256(pepper, all before it), 47 bits in 8 base62 digits
    |   |        +-- secret: 190 random bits; only its Argon2id hash is stored
    |   +-- public prefix: finds the key, may be shown and logged
    +-- marks the string for secret scanners; `_` selects as one word

Only someone with the pepper can make a string that passes the check, so a made-up key costs four microseconds and
reaches neither Redis nor PostgreSQL nor Argon2id (27 ms and 19 MiB each). The check proves nothing else: a key is
good only when the register knows it and Argon2id agrees.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

import attrs

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
MARK = "nz_"
PREFIX_LENGTH = 8
SECRET_LENGTH = 32
CHECK_LENGTH = 8
_CHECK_BITS = 47  # the most whole bits that 8 base62 digits hold: 62**8 > 2**47
_BODY_LENGTH = len(MARK) + PREFIX_LENGTH + SECRET_LENGTH
_BASE62 = re.compile(r"[0-9A-Za-z]*", re.ASCII)
_KEY_FORM = re.compile(rf"nz_[0-9A-Za-z]{{{PREFIX_LENGTH + SECRET_LENGTH + CHECK_LENGTH}}}", re.ASCII)

_LOOKS_LIKE_KEY = re.compile(r"nz_[0-9A-Za-z]{20,}", re.ASCII)


class Secret:
    """A text that must not be seen: it has no readable form, and is unwrapped once, where it is used.

    Not an attrs class on purpose: `attrs.asdict` of a value that holds one would walk into it.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def unwrap(self) -> str:
        """The text itself. Call it at the border where it leaves the program, and keep no copy."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)


@attrs.frozen(kw_only=True)
class PresentedKey:
    """A key whose check passed: made by us, or by someone who holds a pepper."""

    prefix: str
    """The public part with its mark, as operators see it: `nz_` and 8 characters."""
    secret: Secret
    """The whole key text; what Argon2id hashes."""
    fingerprint: bytes = attrs.field(repr=False)
    """The whole HMAC, 32 bytes: the name of this key in caches, from which the key cannot be recovered."""


def mint(prefix: str, secret: str, pepper: bytes) -> PresentedKey:
    """Makes a key from random base62 characters.

    Args:
        prefix: 8 random base62 characters, unique in the register.
        secret: 32 random base62 characters.
        pepper: the current pepper.
    """
    if len(prefix) != PREFIX_LENGTH or len(secret) != SECRET_LENGTH or not _BASE62.fullmatch(prefix + secret):
        raise ValueError("a key is made from 8 and 32 base62 characters")
    body = f"{MARK}{prefix}{secret}"
    digest = _digest(body, pepper)
    return PresentedKey(prefix=MARK + prefix, secret=Secret(body + _check_characters(digest)), fingerprint=digest)


def read_key(text: str, peppers: Sequence[bytes]) -> PresentedKey | None:
    """Reads a presented key; None when it was not made with one of our peppers.

    The same steps are taken for a malformed secret and for an unknown prefix: time tells nothing.

    Args:
        text: what the caller sent as its credential.
        peppers: the ring, current first; a key made under a former pepper still passes.
    """
    if not _KEY_FORM.fullmatch(text):
        return None
    body, check = text[:_BODY_LENGTH], text[_BODY_LENGTH:]
    for pepper in peppers:
        digest = _digest(body, pepper)
        if hmac.compare_digest(_check_characters(digest), check):
            return PresentedKey(prefix=body[: len(MARK) + PREFIX_LENGTH], secret=Secret(text), fingerprint=digest)
    return None


def blotted(text: str) -> str:
    """A text in which nothing looks like a key any more. Keys get pasted into any field, and fields into logs."""
    return _LOOKS_LIKE_KEY.sub(f"{MARK}***", text) if MARK in text else text


class KeyState(StrEnum):
    """What a key may do."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


def key_state(*, revoked_at: datetime | None, expires_at: datetime | None, now: datetime) -> KeyState:
    """A revoked key stays revoked; an expiry binds from its instant on."""
    if revoked_at is not None:
        return KeyState.REVOKED
    if expires_at is not None and now >= expires_at:
        return KeyState.EXPIRED
    return KeyState.ACTIVE


def _digest(body: str, pepper: bytes) -> bytes:
    return hmac.digest(pepper, body.encode("ascii"), "sha256")


def _check_characters(digest: bytes) -> str:
    number = int.from_bytes(digest[:8], "big") >> (64 - _CHECK_BITS)
    characters = []
    for _ in range(CHECK_LENGTH):
        number, digit = divmod(number, 62)
        characters.append(ALPHABET[digit])
    return "".join(characters)
