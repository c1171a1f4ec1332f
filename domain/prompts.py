"""Prompts and answers, where an operator has ordered that a key's be kept: what is kept of them, and until when.

    call ends -> Exchange (plain, in memory) -> SealedExchange (encrypted, in PostgreSQL) -> unreadable at its hour

A key has a time to live for them or none, which is the rule. An entry may be read until it expires, to the second. The
hour in which it expires then takes its hour key along (see `domain.ports.hour_keys`), and with it every copy of the
entry that anyone has made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from json import dumps
from typing import Any

import attrs

from domain.calls import Call

MOST_BYTES = 256 * 1024
"""Of a prompt, and of an answer: what is beyond is not kept."""
SHORTEST_TTL = timedelta(hours=1)
"""Hour keys are destroyed by the hour: a shorter promise could not be kept."""
LONGEST_TTL = timedelta(days=365)
_HOUR = timedelta(hours=1)
_A_NODE = 4
"""Bytes that a value takes beside its text: its quotes, and what stands between it and the next."""
_MOST_NODES = 4_000
"""Of a prompt: looking at more would hold up the other calls."""
_ESCAPED = (b'"', b"\\", b"\n", b"\t", b"\r")
"""What takes two bytes in JSON. The rare others are left to the last cut."""
_ENVELOPE_BYTES = 512
"""Of the body beside its fields."""
_WITH_IMAGES = ("messages", "content")
"""What has images in it, beside the body itself. In a tool's arguments the same names are words that a model reads."""
_PURPOSE = b"neuronetz prompt log 1"


class Part(StrEnum):
    """The two sides of an exchange. Written into what they are sealed with; never changes its meaning."""

    PROMPT = "prompt"
    ANSWER = "answer"


@attrs.frozen
class Kept:
    """One side of an exchange, as far as it is kept."""

    text: bytes = attrs.field(repr=False)
    cut: bool
    """Whether there was more."""


@attrs.frozen(kw_only=True)
class Heading:
    """What an exchange was, without a word of it."""

    request_id: str
    tenant_id: str
    key_id: str
    key_prefix: str
    route: str
    model: str
    """A name of the catalogue."""
    streamed: bool


@attrs.frozen(kw_only=True)
class Exchange:
    """One ended call of a key whose prompts are kept."""

    heading: Heading
    ttl_s: int
    ended_s: float
    """On this host's monotonic clock."""
    prompt: Kept
    answer: Kept

    @property
    def text_bytes(self) -> int:
        """What it takes in memory, but for its heading."""
        return len(self.prompt.text) + len(self.answer.text)


@attrs.frozen(kw_only=True)
class Listed:
    """A kept exchange as it may be listed."""

    heading: Heading
    at: datetime
    """When the call ended."""
    expires_at: datetime
    prompt_bytes: int
    answer_bytes: int
    prompt_cut: bool
    answer_cut: bool


@attrs.frozen(kw_only=True)
class SealedExchange:
    """A kept exchange with both sides encrypted."""

    listed: Listed
    hour_key_id: str
    prompt: bytes = attrs.field(repr=False)
    answer: bytes = attrs.field(repr=False)


def bound_to(heading: Heading, part: Part) -> bytes:
    """What a sealed side is tied to, so that it opens in no other row, on no other side and under no other's name."""
    call = (heading.tenant_id, heading.request_id, heading.key_id, heading.key_prefix, heading.route, heading.model)
    return b"\0".join([_PURPOSE, *(word.encode() for word in (*call, str(heading.streamed), part))])


def end_of_hour(expires_at: datetime) -> datetime:
    """When the hour key of an entry is destroyed: its expiry, rounded up to the hour."""
    start = expires_at.replace(minute=0, second=0, microsecond=0)
    return start if start == expires_at else start + _HOUR


def prompt_of(call: Call) -> Kept:
    """The caller's body as it was rebuilt, as JSON: every image as its size, and no more than is kept.

    It is cut before it is written, because writing 4 MiB would hold up every other call for 30 ms.
    """
    left = _Left(MOST_BYTES - _ENVELOPE_BYTES)
    body = {"model": call.model, "stream": call.streamed, **_table(call.fields, left, images=True)}
    text = dumps(body, ensure_ascii=False).encode(errors="replace")
    return Kept(text[:MOST_BYTES], left.none or len(text) > MOST_BYTES)  # escapes take more than what they stand for


@attrs.define
class Hearing:
    """What has been heard of an answer so far."""

    cut: bool = False
    _text: bytearray = attrs.field(factory=bytearray, repr=False)

    def add(self, raw: bytes) -> None:
        """Listens on."""
        part = raw[: MOST_BYTES - len(self._text)]
        self.cut = self.cut or len(part) < len(raw)
        self._text += part

    def kept(self) -> Kept:
        """All of it, as far as it is kept."""
        return Kept(bytes(self._text), self.cut)


@attrs.define
class _Left:
    """What may still be kept."""

    count: int
    """In bytes of JSON, near enough."""
    nodes: int = _MOST_NODES
    none: bool = False

    def take(self, wanted: int, *, nodes: int = 1) -> bool:
        """Whether there was room for a value, or a name, of so many bytes beside its punctuation."""
        self.count -= wanted + _A_NODE
        self.nodes -= nodes
        if self.count < 0 or self.nodes < 0:
            self.none = True
        return not self.none


def _value(value: Any, left: _Left, *, images: bool) -> Any:
    if isinstance(value, str):
        return _text(value, left)
    left.take(0)
    if isinstance(value, Mapping):
        return _table(value, left, images=images)
    if isinstance(value, Sequence):
        return _list(value, left, images=images)
    return value


def _table(fields: Mapping[str, Any], left: _Left, *, images: bool) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in fields.items():
        if not left.take(len(name), nodes=0):
            break
        seen = _without_images(name, value) if images else value
        kept[name] = _value(seen, left, images=images and name in _WITH_IMAGES)
    return kept


def _list(values: Sequence[Any], left: _Left, *, images: bool) -> list[Any]:
    kept: list[Any] = []
    for value in values:
        if left.none:
            break
        kept.append(_value(value, left, images=images))
    return kept


def _text(text: str, left: _Left) -> str:
    room = max(left.count, 0)
    raw = text[: room + 1].encode(errors="replace")
    head = raw[:room]
    written = len(head) + sum(map(head.count, _ESCAPED))
    if left.take(max(len(raw), written)):
        return text
    return head[: room * len(head) // max(written, 1)].decode(errors="ignore")


def _without_images(name: str, value: Any) -> Any:
    """Native calls have lists of base64 in `images`, OpenAI's data URLs in `image_url`, Anthropic's base64 in the
    `data` of a `source`.
    """
    if name == "images" and isinstance(value, list):
        return [_size(str(image)) for image in value]
    if name == "image_url" and isinstance(value, Mapping):
        return {part: _size(str(url)) for part, url in value.items()}
    if name == "source" and isinstance(value, Mapping) and isinstance(value.get("data"), str):
        return {**value, "data": _size(value["data"])}
    return value


def _size(image: str) -> str:
    encoded = image.rpartition(",")[2]  # after a data URL's head, if it has one
    return f"(image of {len(encoded) * 3 // 4} bytes)"
