"""Work on megabytes a slice at a time.

One call into C holds Python's lock until it returns, in whatever thread it runs, and the event loop waits for that
lock. So beside the loop nothing is done to a whole body at once: between two slices the loop has its turn.
"""

from __future__ import annotations

import codecs
import string
from collections.abc import Iterator
from typing import Final

SLICE: Final = 65_536
"""Bytes, or characters: a tenth of a millisecond of the slowest work here."""
_BASE64: Final = string.ascii_letters.encode() + string.digits.encode() + b"+/"
_PADDING: Final = ("", "=", "==")


def bounds_of(length: int) -> Iterator[tuple[int, int]]:
    """Where the slices of something so long begin and end."""
    return ((start, min(start + SLICE, length)) for start in range(0, length, SLICE))


def utf8(octets: bytes) -> str:
    """The text in UTF-8 bytes.

    Raises:
        UnicodeDecodeError: they are none.
    """
    if octets.isascii():  # ten times as fast, so at once
        return octets.decode("ascii")
    decoder = codecs.getincrementaldecoder("utf-8")()
    view = memoryview(octets)
    texts = [decoder.decode(view[start:end]) for start, end in bounds_of(len(octets))]
    return "".join([*texts, decoder.decode(b"", final=True)])


def is_base64(text: str, start: int = 0) -> bool:
    """Whether a text is base64 from there on (RFC 4648 section 4), with its padding or without, and not empty."""
    padding = text[-2:].lstrip(_BASE64.decode())
    length = len(text) - start
    if padding not in _PADDING or length <= len(padding) or length % 4 == 1 or not text.isascii():
        return False
    bounds = bounds_of(length - len(padding))
    return not any(text[start + one : start + end].encode("ascii").translate(None, _BASE64) for one, end in bounds)
