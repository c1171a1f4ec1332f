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
"""Ollama's own word, which is Anthropic's too, and that of its OpenAI dialect."""
_BEFORE = {"thinking": "thinking", "tool_result": "tool result"}
"""Parts of Anthropic's messages that are not its text, by type."""
_CALL = "tool_use"


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
    plain = ("system", "instructions", "prompt", "suffix")
    said = [Said(name, str(body.pop(name))) for name in plain if isinstance(body.get(name), str)]
    if isinstance(body.get("system"), list):
        said += [Said("system", _part(part)) for part in body.pop("system")]
    inputs = body.pop("input", [])
    for one in inputs if isinstance(inputs, list) else [inputs]:
        said += _of_item(one) if isinstance(one, Mapping) else [Said("input", _text(one))]
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
    texts = [_part(part) for part in parts if _kind(part) not in (*_BEFORE, _CALL)]
    texts += [_text(image) for image in _list(message.get("images"))]
    for part in parts:
        if _kind(part) in _BEFORE:
            yield Said(f"{role}, {_BEFORE[_kind(part)]}", _part(part))
    for name in _THINKING:
        if message.get(name):
            yield Said(f"{role}, thinking", _text(message[name]))
    if any(texts):
        yield Said(role, "\n".join(text for text in texts if text))
    for call in [*_list(message.get("tool_calls")), *(part for part in parts if _kind(part) == _CALL)]:
        yield Said(f"{role}, tool call", _text(call))


def _of_item(item: Mapping[str, Any]) -> Iterator[Said]:
    """An item of the input of `/v1/responses`."""
    match _kind(item):
        case "function_call":
            yield Said("assistant, tool call", _text(item))
        case "function_call_output":
            yield from _of_message({"role": "tool", "content": item.get("output", "")})
        case "reasoning":
            yield Said("assistant, thinking", _thought(item) or _text(item))
        case _:
            yield from _of_message(item)


def _thought(item: Mapping[str, Any]) -> str:
    return "\n".join(map(_part, _list(item.get("summary")))) or str(item.get("encrypted_content") or "")


def _kind(part: Any) -> str:
    return str(part.get("type")) if isinstance(part, Mapping) else ""


def _part(part: Any) -> str:
    if isinstance(part, Mapping):
        return _text(part.get("text", part.get("thinking", part.get("image_url", part))))
    return _text(part)


def _of_piece(piece: Mapping[str, Any]) -> Iterator[Said]:
    kind = _kind(piece)
    if kind.startswith("response."):
        yield from _of_event(kind, piece)
        return
    for item in _list(piece.get("output")):
        yield from _of_output(item)
    choices = [choice for choice in _list(piece.get("choices")) if isinstance(choice, Mapping)]
    places = [piece, *(piece.get(name) for name in ("message", "content_block", "delta")), *choices]
    places += _list(piece.get("content"))
    places += [choice.get(name) for choice in choices for name in ("delta", "message")]
    for place in places:
        if isinstance(place, Mapping):
            yield from _of_place(place)
    for name in ("embeddings", "embedding", "data"):
        if isinstance(piece.get(name), list):
            yield Said("answer", f"({name}: {len(piece[name])})")
    if piece.get("error"):
        yield Said("error", _text(piece["error"]))


def _of_event(kind: str, event: Mapping[str, Any]) -> Iterator[Said]:
    """An event of `/v1/responses`. Texts are taken from their deltas, and calls where they are done: what comes
    between and after repeats them.
    """
    if kind.endswith("text.delta"):
        yield Said("thinking" if "reasoning" in kind else "answer", _text(event.get("delta", "")))
    elif kind == "response.output_item.done" and _kind(event.get("item")) == "function_call":
        yield Said("tool call", _text(event["item"]))


def _of_output(item: Any) -> Iterator[Said]:
    """An item of a whole answer of `/v1/responses`."""
    match _kind(item):
        case "message":
            yield from (Said("answer", _part(part)) for part in _list(item.get("content")))
        case "reasoning":
            yield Said("thinking", _thought(item))
        case "function_call":
            yield Said("tool call", _text(item))


def _of_place(place: Mapping[str, Any]) -> Iterator[Said]:
    for name in _THINKING:
        if isinstance(place.get(name), str):
            yield Said("thinking", place[name])
    for name in ("content", "response", "text"):
        if isinstance(place.get(name), str):
            yield Said("answer", place[name])
    for call in _list(place.get("tool_calls")):
        yield Said("tool call", _text(call))
    if _kind(place) == _CALL:
        yield Said("tool call", _text(place))
    if isinstance(place.get("partial_json"), str):
        yield Said("tool call", place["partial_json"])


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else dumps(value, ensure_ascii=False)
