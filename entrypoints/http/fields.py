"""The vocabulary of field tables: what a field must be, and what becomes of it.

A table maps a field's name to a rule. A rule takes the value and its path and returns what may go upstream, raises a
400 that names the path, or says `DROPPED`. Fields that are not in the table are dropped as well; `null` always means
"not given".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from domain.refusals import Code, Refusal


class _Dropped:
    """The mark of a value that does not go upstream."""


DROPPED: Final = _Dropped()
Rule = Callable[[Any, str], Any]
Table = Mapping[str, Rule]


def wrong(path: str, must: str) -> Refusal:
    """The 400 that names a field."""
    return Refusal(Code.INVALID_REQUEST, f"`{path}` must be {must}.", param=path)


def drop(_value: Any, _path: str) -> Any:
    """Known, and not for the backend."""
    return DROPPED


def flag(value: Any, path: str) -> bool:
    """A truth value."""
    if not isinstance(value, bool):
        raise wrong(path, "true or false")
    return value


def text(value: Any, path: str) -> str:
    """Any text."""
    if not isinstance(value, str):
        raise wrong(path, "a text")
    return value


def text_or_dropped(value: Any, path: str) -> Any:
    """A text; an empty one means "not given"."""
    return text(value, path) or DROPPED


def one_of(*words: str) -> Rule:
    """One of a closed set of words."""

    def rule(value: Any, path: str) -> str:
        if value not in words or not isinstance(value, str):
            raise wrong(path, "one of " + ", ".join(words))
        return value

    return rule


def whole(least: int, most: int) -> Rule:
    """A whole number within bounds. Ollama refuses `1.0` for integers, so we do not let it through either."""

    def rule(value: Any, path: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise wrong(path, f"a whole number from {least} to {most}")
        return value

    return rule


def number(least: float, most: float) -> Rule:
    """A number within bounds."""

    def rule(value: Any, path: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise wrong(path, f"a number from {least:g} to {most:g}")
        return value

    return rule


def cut_to_whole(least: int, most: int) -> Rule:
    """A number that Ollama cuts towards zero, as it does with every whole-numbered option (Ollama `api/types.go`)."""
    in_bounds = number(least, most)

    def rule(value: Any, path: str) -> int:
        return int(in_bounds(value, path))

    return rule


def list_of(rule: Rule, *, most: int) -> Rule:
    """A list whose items all follow a rule."""

    def listed(value: Any, path: str) -> list[Any]:
        if not isinstance(value, list) or len(value) > most:
            raise wrong(path, f"a list of at most {most} items")
        return [rule(item, f"{path}[{index}]") for index, item in enumerate(value)]

    return listed


def table(fields: Table) -> Rule:
    """An object that is cut to a table."""

    def rule(value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise wrong(path, "an object")
        return apply(fields, value, path)

    return rule


def json_object(most_bytes: int) -> Rule:
    """Any JSON object of bounded size, as a schema."""

    def rule(value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise wrong(path, "an object")
        if len(msgspec.json.encode(value)) > most_bytes:
            raise wrong(path, f"at most {most_bytes} bytes")
        return value

    return rule


def apply(fields: Table, value: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """What of an object may go upstream."""
    kept = {}
    for name, rule in fields.items():
        given = value.get(name)
        if given is None:
            continue
        result = rule(given, f"{path}.{name}" if path else name)
        if result is not DROPPED:
            kept[name] = result
    return kept


def size(content: str) -> int:
    """UTF-8 bytes of a text."""
    return len(content) if content.isascii() else len(content.encode())


def deep_size(value: Any) -> int:
    """UTF-8 bytes that a JSON value is at most as Ollama writes it into a prompt: Go's `json.Marshal` makes six
    bytes of `<`, `>` and `&`, and some of its renderers put a space behind each separator.
    """
    octets = msgspec.json.encode(value)
    return len(octets) + 5 * sum(map(octets.count, (b"<", b">", b"&"))) + octets.count(b",") + octets.count(b":")
