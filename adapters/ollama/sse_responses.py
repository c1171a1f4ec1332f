"""Streams of `/v1/responses`: pairs of an `event:` and a `data:` line, the last one `response.completed`.

The usual event, a piece of text or of thinking, is recognised by its fixed parts; any other is decoded (Ollama v0.33
`openai/responses.go`: the members stand in alphabetical order, for it encodes Go maps). The name of an event is taken
from its data.

Ollama tells of no failure in mid-stream here: the stream just stops. So only `response.completed`, or
`response.incomplete` where a version has it, is an end. That an answer was cut at its cap Ollama does not tell either:
it says `completed`, and is left to say so, since the same count is that of an answer that ended there by itself; both
numbers, `usage.output_tokens` and `max_output_tokens`, are in the answer.

One event is added. Ollama begins a reasoning item and goes on with its text, where OpenAI first begins a part of its
summary; without that the stream helper of `openai` for JavaScript (7.57) raises. It has the number of the event that it
comes before: every other would have to be counted anew.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from adapters.ollama import objects, rewrites
from adapters.ollama.events import EventStream
from adapters.ollama.rejections import GENERATION_FAILED, sentence_of_error
from adapters.ollama.responses_objects import FAILED, Event, read_event
from domain.faults import BackendFailed
from domain.tally import Piece

_ENDS: Final = ("response.completed", "response.incomplete")
_FAILURES: Final = ("response.failed", "error")
_ITEM_BEGUN: Final = "response.output_item.added"
_PART_BEGUN: Final = "response.reasoning_summary_part.added"
_THOUGHT: Final = "response.reasoning_summary_text.delta"
_NAME: Final = re.compile(r"response(?:\.[a-z_]+)+", re.ASCII)
_USUAL: Final = re.compile(
    rb"data: \{"
    rb'(?:"content_index":\d+,)?'
    rb'"delta":"((?:[^"\\\r]++|\\[^\r])++)",'
    rb'"item_id":"\w+",'
    rb'(?:"logprobs":\[\],)?'
    rb'"output_index":\d+,"sequence_number":\d+,'
    rb'(?:"summary_index":\d+,)?'
    rb'"type":"(response\.(?:output_text|reasoning_summary_text)\.delta)"\}'
)


class ResponsesStream(EventStream):
    """Bytes of one stream to pieces."""

    def __init__(self, *, theirs: str, request_id: str) -> None:
        """Takes the model's name as the caller spells it."""
        super().__init__()
        self._theirs = rewrites.json_inside(theirs)
        self._request_id = request_id.encode()
        self._lacks_part = False
        """Whether a reasoning item has begun and no part of its summary."""

    def _usual(self, line: bytes, piece: Piece) -> bytes | None:
        usual = None if self._lacks_part else _USUAL.fullmatch(line)
        if usual is None:
            return None
        delta, name = usual.groups()
        piece.objects += 1
        piece.text_bytes += objects.unescaped_bytes(delta)
        return b"event: %b\n%b" % (name, line)

    def _decode(self, octets: bytes, piece: Piece) -> bytes | None:
        found = read_event(octets)
        kind = found.type or ""
        if kind in _FAILURES or _failed(found):
            self.cause = _cause(found)
            piece.error = sentence_of_error(self.cause)
            self.over = True
            return None
        if not _NAME.fullmatch(kind):
            return None
        if b"\r" in octets:  # white space to JSON, and the end of a line to a reader of events
            raise BackendFailed("The model backend sent something that is not its protocol.")
        self._count(found, kind, piece)
        if found.response is not None:
            named = rewrites.with_model(octets, self._theirs)
            octets = rewrites.with_response_id(named, self._request_id)
        event = b"event: %b\ndata: %b" % (kind.encode(), octets)
        if kind == _ITEM_BEGUN:
            self._lacks_part = found.item is not None and found.item.type == "reasoning"
        elif self._lacks_part:
            self._lacks_part = False
            if kind == _THOUGHT:
                return _part_begun(found) + b"\n\n" + event
        return event

    def _count(self, found: Event, kind: str, piece: Piece) -> None:
        if kind.endswith(".delta") and isinstance(found.delta, str) and found.delta:
            piece.objects += 1
            piece.text_bytes += objects.length(found.delta)
        elif kind == _ITEM_BEGUN and found.item is not None:
            piece.text_bytes += objects.length(found.item.name)
        elif kind in _ENDS:
            piece.usage = (found.response.counted if found.response is not None else None) or piece.usage
            piece.ended = self.over = True


def _failed(found: Event) -> bool:
    """Whether an error is told, under whatever name: its text may tell of the host."""
    response = found.response
    return found.error is not None or (
        response is not None and (response.error is not None or response.status == FAILED)
    )


def _part_begun(delta: Event) -> bytes:
    begun = {
        "item_id": delta.item_id,
        "output_index": delta.output_index,
        "part": {"text": "", "type": "summary_text"},
        "sequence_number": delta.sequence_number,
        "summary_index": delta.summary_index,
        "type": _PART_BEGUN,
    }
    return b"event: %b\ndata: %b" % (_PART_BEGUN.encode(), msgspec.json.encode(begun))


def _cause(found: Event) -> str:
    told = (found.error, found.message, found.response.error if found.response is not None else None)
    return next(filter(None, map(objects.error_text, told)), GENERATION_FAILED)
