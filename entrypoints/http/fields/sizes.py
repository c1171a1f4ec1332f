"""Sizes of what goes into a prompt."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from entrypoints.http.slices import bounds_of

_ESCAPED_BY_GO: Final = (b"<", b">", b"&", "\u2028".encode(), "\u2029".encode())
_ESCAPED_BYTES: Final = len(rb"\u003c")
_DIGITS_AND_E: Final = bytes.maketrans(b"123456789E", b"000000000e")
_MORE_DIGITS: Final = len("100000000000000000000") - len("1e20")
_TAGS_OF_A_NAME: Final = 4
"""Tokens beyond those of the quotes and the colon, which are not written then."""
_RESULT: Final = b"""{"tool_call_id": "0", "results": {"0": {"content": ""}}, "is_error": null}"""


def size(content: str) -> int:
    """UTF-8 bytes of a text."""
    if content.isascii():
        return len(content)
    return sum(len(content[start:end].encode()) for start, end in bounds_of(len(content)))


def deep_size(value: Any) -> int:
    """UTF-8 bytes that a JSON value is at most as Ollama writes it into a prompt.

    Go's `json.Marshal` makes six bytes of `<`, `>`, `&` and of the two line separators, and up to 21 digits of `1e20`
    (`encoding/json` floatEncoder); some of Ollama's renderers put a space behind each separator, others make two tags
    of each name (v0.33 `model/renderers`).
    """
    octets = msgspec.json.encode(value)
    exponents = octets.translate(_DIGITS_AND_E).count(b"0e")
    separators = octets.count(b",") + octets.count(b":") * _TAGS_OF_A_NAME
    return _escaped_size(octets) + exponents * _MORE_DIGITS + separators


def result_size(said: str) -> int:
    """UTF-8 bytes that a tool's answer is at most in a prompt: some models are shown it as a text in a JSON object
    (Ollama v0.33 `model/renderers/cohere.go`, the chat template of Llama 3.1).
    """
    slices = (said[start:end] for start, end in bounds_of(len(said)))
    return len(_RESULT) + sum(_escaped_size(msgspec.json.encode(part)) for part in slices)


def _escaped_size(octets: bytes) -> int:
    return len(octets) + sum(octets.count(sign) * (_ESCAPED_BYTES - len(sign)) for sign in _ESCAPED_BY_GO)
