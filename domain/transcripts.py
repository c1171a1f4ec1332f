"""What was said, read back from what was kept: the caller's JSON, and an answer's bytes in whatever dialect they are.

Tolerant where everything else here is strict: what is kept may be cut anywhere, and is there for a person to read. What
cannot be read as what it ought to be is shown as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from json import dumps, loads
from typing import Any

import attrs

_EVENT = b"data:"
_THINKING = ("thinking", "reasoning")
"""Ollama's own word, and that of its OpenAI dialect."""


@attrs.frozen
class Said:
    """Something one side said."""

    who: str
    """A role, or `prompt`, `input`, `answer`, `thinking`, `tool call`, `error`, `other fields`."""
    text: str = attrs.field(repr=False)


def prompt_said(kept: bytes) -> Sequence[Said]:
    """A prompt's messages or inputs, in their order; then its other fields."""
    body = _object(kept)
    if body is None:
        return [Said("prompt", kept.decode(errors="replace"))]
    said = [
        Said(name, str(body.pop(name))) for name in ("system", "prompt", "suffix") if isinstance(body.get(name), str)
    ]
    inputs = body.pop("input", [])
    said += [Said("input", _text(one)) for one in (inputs if isinstance(inputs, list) else [inputs])]
    for message in _list(body.pop("messages", [])):
        said += _of_message(message)
    rest = {name: value for name, value in body.items() if name not in ("model", "stream")}
    return [*said, Said("other fields", _text(rest))] if rest else said


def answer_said(kept: bytes) -> Sequence[Said]:
    """An answer's thinking, text and tool calls, each joined over all pieces of a stream."""
    objects = [found for found in map(_object, _lines(kept)) if found is not None]
    if not objects:
        return [Said("answer", kept.decode(errors="replace"))] if kept else []
    joined: dict[str, list[str]] = {"thinking": [], "answer": [], "tool call": [], "error": []}
    for found in objects:
        for said in _of_piece(found):
            joined[said.who].append(said.text)
    between = {"tool call": "\n", "error": "\n"}
    return [Said(who, between.get(who, "").join(texts)) for who, texts in joined.items() if any(texts)]


def _lines(kept: bytes) -> Iterator[bytes]:
    for line in kept.split(b"\n"):
        yield line.removeprefix(_EVENT).strip()


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        found = loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _of_message(message: Any) -> Iterator[Said]:
    if not isinstance(message, Mapping):
        yield Said("other fields", _text(message))
        return
    role = str(message.get("role", "user"))
    content = message.get("content", "")
    parts = content if isinstance(content, list) else [content]
    texts = [_part(part) for part in parts] + [_text(image) for image in _list(message.get("images"))]
    for name in _THINKING:
        if message.get(name):
            yield Said(f"{role}, thinking", _text(message[name]))
    if any(texts):
        yield Said(role, "\n".join(text for text in texts if text))
    for call in _list(message.get("tool_calls")):
        yield Said(f"{role}, tool call", _text(call))


def _part(part: Any) -> str:
    if isinstance(part, Mapping):
        return _text(part.get("text", part.get("image_url", part)))
    return _text(part)


def _of_piece(piece: Mapping[str, Any]) -> Iterator[Said]:
    choices = [choice for choice in _list(piece.get("choices")) if isinstance(choice, Mapping)]
    places = [piece, piece.get("message"), *choices]
    places += [choice.get(name) for choice in choices for name in ("delta", "message")]
    for place in places:
        if isinstance(place, Mapping):
            yield from _of_place(place)
    for name in ("embeddings", "embedding", "data"):
        if isinstance(piece.get(name), list):
            yield Said("answer", f"({name}: {len(piece[name])})")
    if piece.get("error"):
        yield Said("error", _text(piece["error"]))


def _of_place(place: Mapping[str, Any]) -> Iterator[Said]:
    for name in _THINKING:
        if isinstance(place.get(name), str):
            yield Said("thinking", place[name])
    for name in ("content", "response", "text"):
        if isinstance(place.get(name), str):
            yield Said("answer", place[name])
    for call in _list(place.get("tool_calls")):
        yield Said("tool call", _text(call))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else dumps(value, ensure_ascii=False)
