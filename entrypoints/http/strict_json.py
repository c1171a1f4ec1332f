"""One strict reading of a JSON body, so that we and the backend cannot read the same bytes differently.

Ollama decodes with Go's `encoding/json`: keys match whatever their case (U+017F counts as `s`, U+212A as `k`), the
last of several wins, and anything after the first value is ignored. A body in which that could matter is refused:
bytes that are not UTF-8, duplicate keys after case folding, numbers that are not finite, nesting deeper than 32, a
second value, lone surrogates. What is accepted means one thing, and is serialised anew before it goes upstream.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from domain.refusals import Code, Refusal

MAX_DEPTH = 32
MAX_STRUCTURE = 50_000
"""Marks of structure in any body, before an eighth of its length is allowed besides."""
_MOST_INT = 2**63


def read_object(body: bytes) -> dict[str, Any]:
    """The one JSON object in a body.

    Raises:
        Refusal: `invalid_json`, with what is wrong.
    """
    _require_simple(body)
    if not body or body.isspace():
        raise Refusal(Code.INVALID_JSON, "missing request body")
    try:
        text = body.decode("utf-8")
        value = _decoder.decode(text)
    except UnicodeDecodeError:
        _refuse("it is not UTF-8")
    except json.JSONDecodeError as error:
        _refuse(f"{error.msg} at character {error.pos}")
    except RecursionError:
        _refuse(f"it is nested deeper than {MAX_DEPTH}")
    if not isinstance(value, dict):
        _refuse("it must be an object")
    _require_shallow(value, 1)
    if b"\\u" in body and (b"\\ud" in body or b"\\uD" in body):
        _require_whole_characters(value)
    return value


def _require_whole_characters(value: dict[str, Any]) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        _refuse("a text holds half of a surrogate pair")


def _require_shallow(value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        _refuse(f"it is nested deeper than {MAX_DEPTH}")
    children = value.values() if isinstance(value, dict) else value
    for child in children:
        if isinstance(child, dict | list):
            _require_shallow(child, depth + 1)


def _require_simple(body: bytes) -> None:
    # A byte of structure costs fifty times a byte of text; counting them is quick. Text and code stay far below.
    structure = sum(body.count(mark) for mark in (b",", b":", b"[", b"{"))
    if structure > MAX_STRUCTURE + len(body) // 8:
        _refuse("it holds too many values")


def _refuse(what: str) -> NoReturn:
    raise Refusal(Code.INVALID_JSON, f"The request body is not acceptable JSON: {what}.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    # casefold, not lower: only it folds U+017F and U+212A as Go does.
    if len({key.casefold() for key in found}) != len(pairs):
        _refuse("an object has the same key twice (upper and lower case count as the same)")
    return found


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        _refuse("a number is too large")
    return number


def _int(text: str) -> int:
    if len(text) > len(str(_MOST_INT)) + 1 or not -_MOST_INT <= int(text) < _MOST_INT:
        _refuse("a whole number has more than 64 bits")
    return int(text)


def _constant(name: str) -> NoReturn:
    _refuse(f"{name} is not JSON")


_decoder = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_float, parse_int=_int, parse_constant=_constant, strict=True
)
