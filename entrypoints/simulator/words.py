"""What a simulated answer says: that it is one, then filler words, one token each, always the same.

Pieces are made once and carry their JSON form, for they are most of what a benchmark's upstream has to send.
"""

import enum
from collections.abc import Iterator
from itertools import cycle, islice
from typing import Any

import attrs

from entrypoints.simulator.decoding import go_json

_NOTICE = "This is a simulated answer from neuronetz-gateway's built-in backend, not a model."
_FILLER = (
    "The words that follow carry no meaning : river stone lantern meadow copper window harbour cloud thread"
    " garden silver bridge candle forest paper anchor violin orchard marble feather compass valley ."
)
_THOUGHT = "Nothing is thought here ; these tokens only stand where a model would reason ."


class Kind(enum.Enum):
    """Which part of a message a piece belongs to."""

    CONTENT = enum.auto()
    THINKING = enum.auto()
    TOOL_CALL = enum.auto()


@attrs.frozen
class Piece:
    """What one object of a stream carries.

    Args:
        text: the text, or the tool's name.
        tokens: how many tokens it took; one, but for a tool call.
        arguments: of a tool call.
        encoded: the text as a JSON string.
    """

    kind: Kind
    text: str
    tokens: int = 1
    arguments: dict[str, Any] = attrs.field(factory=dict)
    encoded: bytes = attrs.field(default=attrs.Factory(lambda self: go_json(self.text), takes_self=True), repr=False)


def _pieces(kind: Kind, words: str, *, starts: bool) -> tuple[Piece, ...]:
    return tuple(
        Piece(kind, word if starts and position == 0 else f" {word}") for position, word in enumerate(words.split())
    )


_OPENING = _pieces(Kind.CONTENT, _NOTICE, starts=True)
_FILLING = _pieces(Kind.CONTENT, _FILLER, starts=False)
_MUSING = _pieces(Kind.THINKING, _THOUGHT, starts=False)
_LONG = 4096
_ANSWER = (*_OPENING, *islice(cycle(_FILLING), _LONG))
_JSON_START = Piece(Kind.CONTENT, '{"note":"')
_EXAMPLES: dict[str, Any] = {"array": [], "integer": 1, "number": 1, "boolean": True}
_JSON_END = Piece(Kind.CONTENT, '"}')


def endless() -> Iterator[Piece]:
    """Return pieces of content without end."""
    yield from _OPENING
    yield from cycle(_FILLING)


def answer(tokens: int) -> Iterator[Piece]:
    """Return so many pieces of content."""
    return iter(_ANSWER[:tokens]) if tokens <= _LONG else islice(endless(), tokens)


def json_answer(tokens: int) -> Iterator[Piece]:
    """Return a JSON object in so many pieces, two at least."""
    return iter((_JSON_START, *answer(max(0, tokens - 2)), _JSON_END))


def thought(tokens: int) -> Iterator[Piece]:
    """Return so many pieces of thinking."""
    return islice(cycle(_MUSING), tokens)


def example(schema: dict[str, Any]) -> Any:
    """Return a value that a simple JSON Schema allows, for the arguments of a tool call."""
    choices, properties = schema.get("enum"), schema.get("properties")
    if isinstance(choices, list) and choices:
        return choices[0]
    if schema.get("const") is not None:
        return schema["const"]
    if schema.get("type") == "object":
        inner = properties if isinstance(properties, dict) else {}
        return {name: example(part if isinstance(part, dict) else {}) for name, part in inner.items()}
    return _EXAMPLES.get(str(schema.get("type")), "simulated")
