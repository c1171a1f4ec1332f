"""Rules: what a value must be, how it is read, and how that is told to people and to machines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs
import msgspec

from domain.refusals import Code, Refusal

if TYPE_CHECKING:
    from entrypoints.http.fields.tables import Table

Read = Callable[[Any, str], Any]
Schema = Mapping[str, Any]
"""A JSON Schema, draft 2020-12, as OpenAPI 3.1 takes it."""


class _Dropped:
    """The mark of a value that does not go upstream."""


DROPPED: Final = _Dropped()


@attrs.frozen
class Rule:
    """What a value must be."""

    read: Read
    """Takes the value and its path; returns what may go upstream, raises a 400 that names the path, or says `DROPPED`.
    """
    schema: Schema
    """The values that `read` takes; as near as a JSON Schema comes."""
    words: str
    """The same to people, as the end of "must be ..."."""
    inside: tuple[Table, ...] = ()
    """The tables of the objects in it."""

    def __call__(self, value: Any, path: str) -> Any:
        """Reads a value."""
        return self.read(value, path)


def wrong(path: str, must: str) -> Refusal:
    """The 400 that names a field."""
    return Refusal(Code.INVALID_REQUEST, f"`{path}` must be {must}.", param=path)


def rule(schema: Schema, words: str, *inside: Table) -> Callable[[Read], Rule]:
    """Makes a rule of a function that reads, where no other rule here fits."""

    def made(read: Read) -> Rule:
        return Rule(read, schema, words, inside)

    return made


@rule({"type": "boolean"}, "true or false")
def flag(value: Any, path: str) -> bool:
    """A truth value."""
    if not isinstance(value, bool):
        raise wrong(path, "true or false")
    return value


@rule({"type": "string"}, "a text")
def text(value: Any, path: str) -> str:
    """Any text."""
    if not isinstance(value, str):
        raise wrong(path, "a text")
    return value


def one_of(*choices: str) -> Rule:
    """One of a closed set of words."""
    named = [choice for choice in choices if choice]
    words = f'"{named[0]}"' if len(named) == 1 else "one of " + ", ".join(named)

    def read(value: Any, path: str) -> str:
        if not isinstance(value, str) or value not in choices:
            raise wrong(path, words)
        return value

    return Rule(read, {"type": "string", "enum": list(choices)}, words)


def whole(least: int, most: int) -> Rule:
    """A whole number within bounds. Ollama refuses `1.0` for integers, so we do not let it through either."""
    words = f"a whole number from {least} to {most}"

    def read(value: Any, path: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise wrong(path, words)
        return value

    return Rule(read, {"type": "integer", "minimum": least, "maximum": most}, words)


def _written(bound: float) -> str:
    return f"{bound:.0f}" if float(bound).is_integer() else f"{bound:g}"


def number(least: float, most: float) -> Rule:
    """A number within bounds."""
    words = f"a number from {_written(least)} to {_written(most)}"

    def read(value: Any, path: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise wrong(path, words)
        return value

    return Rule(read, {"type": "number", "minimum": least, "maximum": most}, words)


def cut_to_whole(least: int, most: int) -> Rule:
    """A number that Ollama cuts towards zero, as it does with every whole-numbered option (Ollama `api/types.go`)."""
    in_bounds = number(least, most)

    def read(value: Any, path: str) -> int:
        return int(in_bounds.read(value, path))

    return attrs.evolve(in_bounds, read=read)


def list_of(item: Rule, *, most: int, least: int = 0) -> Rule:
    """A list whose items all follow a rule."""
    words = f"a list of at most {most} items" if least == 0 else f"a list of {least} to {most} items"
    one = item.read

    def read(value: Any, path: str) -> list[Any]:
        if not isinstance(value, list) or not least <= len(value) <= most:
            raise wrong(path, words)
        return [one(given, f"{path}[{index}]") for index, given in enumerate(value)]

    at_least = {"minItems": least} if least else {}
    return Rule(read, {"type": "array", "items": item.schema, "maxItems": most, **at_least}, words, item.inside)


def json_object(most_bytes: int) -> Rule:
    """Any JSON object of bounded size, as a schema."""

    def read(value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise wrong(path, "an object")
        if len(msgspec.json.encode(value)) > most_bytes:
            raise wrong(path, f"at most {most_bytes} bytes")
        return value

    return Rule(read, {"type": "object"}, f"an object of at most {most_bytes} bytes")


def unless_empty(full: Rule) -> Rule:
    """A rule whose empty text, list or object means "not given"."""
    inner = full.read

    def read(value: Any, path: str) -> Any:
        return inner(value, path) or DROPPED

    return attrs.evolve(full, read=read)


_KINDS: Final[Mapping[str, Sequence[type]]] = {
    "boolean": (bool,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "array": (list,),
    "object": (dict,),
}


def either(*rules: Rule) -> Rule:
    """One of several rules, told apart by the kind of the value: a text or a list, say.

    Raises:
        ValueError: two rules for one kind, or a rule whose schema has no `type`.
    """
    reads: dict[type, Read] = {}
    for one in rules:
        for kind in _KINDS.get(one.schema.get("type", ""), (object,)):
            if kind is object or kind in reads:
                raise ValueError(f"cannot tell {one.words} from the others by its kind")
            reads[kind] = one.read
    words = " or ".join(one.words for one in rules)

    def read(value: Any, path: str) -> Any:
        chosen = reads.get(type(value))
        if chosen is None:
            raise wrong(path, words)
        return chosen(value, path)

    inside = tuple(inner for one in rules for inner in one.inside)
    return Rule(read, {"anyOf": [one.schema for one in rules]}, words, inside)
