"""One strict reading of a JSON body, so that we and the backend cannot read the same bytes differently.

Ollama decodes with Go's `encoding/json`: keys match whatever their case (U+017F counts as `s`, U+212A as `k`), the
last of several wins, and anything after the first value is ignored. A body in which that could matter is refused:
bytes that are not UTF-8, duplicate keys after case folding, numbers that are not finite, nesting deeper than 32, a
second value, lone surrogates. The tables refuse the rest, known fields in another spelling (`fields.tables`). What is
accepted means one thing, and is serialised anew before it goes upstream.
"""

from __future__ import annotations

import json
import math
from itertools import accumulate
from typing import Any, Final, NoReturn

import msgspec

from domain.refusals import Code, Refusal
from entrypoints.http import sliced_json, slices

MAX_DEPTH: Final = 32
MAX_VALUES: Final = 150_000
"""In a long body, keys among them. The longest honest list is the `context` that old clients replay."""
MAX_MARKS: Final = 50_000
"""Marks of structure in a short body, before an eighth of its length is allowed besides."""
LIGHT_BYTES: Final = 131_072
_LIGHT_MARKS: Final = 6_000
_MARKS: Final = (b",", b":", b"[", b"{")
_NO_MARK_OF_DEPTH: Final = bytes(set(range(256)) - set(b'"[]{}'))
_STEP: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_LONGEST_NUMBER: Final = 1_000
_MOST_INT: Final = 2**63
_MOST_DIGITS: Final = len(str(-_MOST_INT))


def is_light(body: bytes) -> bool:
    """Whether a body may be read on the event loop: that takes two milliseconds at most. Others are read beside it."""
    return len(body) <= LIGHT_BYTES and _marks(body) <= _LIGHT_MARKS


def read_object(body: bytes) -> dict[str, Any]:
    """The one JSON object in a body.

    Raises:
        Refusal: `invalid_json`, with what is wrong.
    """
    if not body or body.isspace():
        raise Refusal(Code.INVALID_JSON, "missing request body")
    try:
        value = read_short(body) if len(body) <= LIGHT_BYTES else read_long(body)
    except UnicodeDecodeError:
        _refuse("it is not UTF-8")
    except json.JSONDecodeError as error:
        _refuse(f"{error.msg} at character {error.pos}")
    except sliced_json.TooManyValues:
        _refuse("it holds too many values")
    except sliced_json.TooDeep:
        _refuse(f"it is nested deeper than {MAX_DEPTH}")
    except sliced_json.HalfCharacter:
        _refuse("a text holds half of a surrogate pair")
    if not isinstance(value, dict):
        _refuse("it must be an object")
    return value


def read_short(body: bytes) -> Any:
    """The value in a body, at once.

    Raises:
        ValueError: in one of its kinds, what is wrong.
        Refusal: an object or a number is not acceptable.
    """
    # A byte of structure costs fifty times a byte of text; counting them is quick. Text and code stay far below.
    if _marks(body) > MAX_MARKS + len(body) // 8:
        raise sliced_json.TooManyValues
    text = body.decode("utf-8")
    _require_shallow(body)
    value = _decoder.decode(text)
    if b"\\u" in body and (b"\\ud" in body or b"\\uD" in body):
        _require_whole_characters(value)
    return value


def read_long(body: bytes) -> Any:
    """The same, a slice at a time."""
    text = slices.utf8(body)
    return sliced_json.decode(text, _decoder, most_values=MAX_VALUES, most_depth=MAX_DEPTH)


def _marks(body: bytes) -> int:
    return sum(map(body.count, _MARKS))


def _require_shallow(body: bytes) -> None:
    """Before anything recurses: how deep that may go differs between Pythons and threads.

    Up to its first error, if any, the depth of a text is exact; no reader gets beyond that.
    """
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside_strings = b"".join(body.translate(None, _NO_MARK_OF_DEPTH).split(b'"')[::2])
    if max(accumulate(map(_STEP.__getitem__, outside_strings)), default=0) > MAX_DEPTH:
        raise sliced_json.TooDeep


def _require_whole_characters(value: Any) -> None:
    try:
        msgspec.json.encode(value)
    except UnicodeEncodeError:
        raise sliced_json.HalfCharacter from None


def _refuse(what: str) -> NoReturn:
    raise Refusal(Code.INVALID_JSON, f"The request body is not acceptable JSON: {what}.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    # casefold, not lower: only it folds U+017F and U+212A as Go does.
    if len({key.casefold() for key in found}) != len(pairs):
        _refuse("an object has the same key twice (upper and lower case count as the same)")
    return found


def _float(text: str) -> float:
    if len(text) > _LONGEST_NUMBER:
        _refuse("a number is too long")
    number = float(text)
    if not math.isfinite(number):
        _refuse("a number is too large")
    return number


def _int(text: str) -> int:
    if len(text) <= _MOST_DIGITS and -_MOST_INT <= (number := int(text)) < _MOST_INT:
        return number
    return _refuse("a whole number has more than 64 bits")


def _constant(name: str) -> NoReturn:
    _refuse(f"{name} is not JSON")


_decoder: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_float, parse_int=_int, parse_constant=_constant, strict=True
)
