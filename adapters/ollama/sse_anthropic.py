"""Anthropic streams: pairs of an `event:` and a `data:` line, the last one `message_stop`.

The usual event, a piece of text or of thinking, is recognised by its fixed parts, as in `ndjson`; any other is
decoded (Ollama v0.33 `middleware/anthropic.go`). The name of an event is taken from its data and from a closed list:
what else a backend may send is not Ollama's, and not passed on.

Ollama tells of no failure in mid-stream here: the stream just stops. So only `message_stop` is an end.
"""

from __future__ import annotations

from typing import Final

from adapters.ollama import objects, rewrites
from adapters.ollama.anthropic_objects import read_anthropic
from adapters.ollama.events import EventStream
from adapters.ollama.rejections import sentence_of_error
from domain.tally import Piece

_END: Final = "message_stop"
_PASSED: Final = {
    name: b"event: %b\ndata: " % name.encode()
    for name in (
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        _END,
        "ping",
    )
}
_USUAL_NAME: Final = b"event: content_block_delta\n"
_USUAL_HEAD: Final = b'data: {"type":"content_block_delta","index":'
_USUAL_DELTAS: Final = (
    b',"delta":{"type":"text_delta","text":"',
    b',"delta":{"type":"thinking_delta","thinking":"',
)
_USUAL_TAIL: Final = b'"}}'


class AnthropicStream(EventStream):
    """Bytes of one Anthropic stream to pieces."""

    def __init__(self, *, theirs: str, request_id: str) -> None:
        """Takes the model's name as the caller spells it."""
        super().__init__()
        self._theirs = rewrites.json_inside(theirs)
        self._request_id = request_id.encode()

    def _usual(self, line: bytes, piece: Piece) -> bytes | None:
        after_index = line.find(b",", len(_USUAL_HEAD))
        for delta in _USUAL_DELTAS:
            if line.startswith(delta, after_index):
                break
        else:
            return None
        start = after_index + len(delta)
        end = line.find(b'"', start)
        usual = (
            end > start
            and line[end:] == _USUAL_TAIL
            and line[len(_USUAL_HEAD) : after_index].isdigit()
            and line.startswith(_USUAL_HEAD)
        )
        if not usual:
            return None
        piece.objects += 1
        piece.text_bytes += objects.unescaped_bytes(line[start:end])
        return _USUAL_NAME + line

    def _decode(self, octets: bytes, piece: Piece) -> bytes | None:
        found = read_anthropic(octets)
        if found.error is not None:
            self.cause = objects.error_text(found.error)
            piece.error = sentence_of_error(self.cause)
            self.over = True
            return None
        head = _PASSED.get(found.type or "")
        if head is None:
            return None
        match found.type:
            case "message_start":
                octets = rewrites.with_message_id(rewrites.with_model(octets, self._theirs), self._request_id)
            case "message_delta":
                piece.usage = found.counted or piece.usage
            case "message_stop":
                piece.ended = self.over = True
        text_bytes = found.text_bytes
        if text_bytes:
            piece.objects += 1
            piece.text_bytes += text_bytes
        return head + octets
